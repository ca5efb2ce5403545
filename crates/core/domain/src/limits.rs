//! The limits every client is told of, with their units.

/// Most Unicode code points in a message.
pub const CONTENT_CHARS_MAX: usize = 40_000;
/// Most characters in a `clientMessageId` or `Idempotency-Key`.
pub const CLIENT_KEY_CHARS_MAX: usize = 64;
/// Most bytes of JSON in a message's `metadata`.
pub const METADATA_BYTES_MAX: usize = 16 * 1024;
/// Most attachments on a message.
pub const ATTACHMENTS_MAX: usize = 20;
/// Most characters in a room's name.
pub const ROOM_NAME_CHARS_MAX: usize = 100;
/// Most characters in a room's topic or description.
pub const ROOM_TEXT_CHARS_MAX: usize = 2_000;
/// Most people named when a room is created.
pub const INITIAL_MEMBERS_MAX: usize = 1_000;
/// Most members of a group.
pub const GROUP_MEMBERS_MAX: u64 = 1_000;
/// Most members of a channel.
pub const CHANNEL_MEMBERS_MAX: u64 = 1_000_000;
/// Least and most items of a page.
pub const PAGE_ITEMS_MAX: usize = 200;
/// Items of a page when the caller names no number.
pub const PAGE_ITEMS_DEFAULT: usize = 50;
/// Most characters that say why a record became a dead letter.
pub const DEAD_LETTER_REASON_CHARS_MAX: usize = 500;
