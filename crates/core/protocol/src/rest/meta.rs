//! What a server says about itself.

use klatch_domain::limits;
use serde::Serialize;
use utoipa::ToSchema;

/// Increases by one with every change that clients may want to know of.
pub const FEATURE_LEVEL: u32 = 1;

/// The server in a few words.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Meta {
    /// Always `klatch`.
    pub name: &'static str,
    /// Version of the software.
    pub version: String,
    /// See [`FEATURE_LEVEL`].
    pub feature_level: u32,
    /// What an acknowledgement is worth: `fsync` (it was synced to the disk before), or `volatile`
    /// (a loss of power takes it with it).
    pub durability: &'static str,
    /// Limits.
    pub limits: MetaLimits,
}

/// The limits of this server.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct MetaLimits {
    /// Most Unicode code points in a message.
    pub content_chars: usize,
    /// Most bytes of a message's `metadata`.
    pub metadata_bytes: usize,
    /// Most attachments on a message.
    pub attachments: usize,
    /// Most characters in a `clientMessageId`.
    pub client_message_id_chars: usize,
    /// Most items of a page.
    pub page_items: usize,
    /// Most characters in a room's name.
    pub room_name_chars: usize,
    /// Most members of a group.
    pub group_members: u64,
    /// Most members of a channel.
    pub channel_members: u64,
    /// Most bytes of a body.
    pub body_bytes: usize,
    /// Most bytes of the body of a message.
    pub message_body_bytes: usize,
    /// Most bytes of a line of an import.
    pub import_line_bytes: usize,
}

/// Most bytes of a body.
pub const BODY_BYTES_MAX: usize = 64 * 1024;
/// Most bytes of the body of a message: 40,000 code points as JSON escapes, and metadata.
pub const MESSAGE_BODY_BYTES_MAX: usize = 256 * 1024;
/// Most bytes of a line of an import.
pub const IMPORT_LINE_BYTES_MAX: usize = 256 * 1024;

impl Meta {
    /// The answer of a server of this version, whose acknowledgements are worth this.
    pub fn of(version: &str, durability: &'static str) -> Self {
        Self {
            name: "klatch",
            version: version.to_owned(),
            feature_level: FEATURE_LEVEL,
            durability,
            limits: MetaLimits {
                content_chars: limits::CONTENT_CHARS_MAX,
                metadata_bytes: limits::METADATA_BYTES_MAX,
                attachments: limits::ATTACHMENTS_MAX,
                client_message_id_chars: limits::CLIENT_KEY_CHARS_MAX,
                page_items: limits::PAGE_ITEMS_MAX,
                room_name_chars: limits::ROOM_NAME_CHARS_MAX,
                group_members: limits::GROUP_MEMBERS_MAX,
                channel_members: limits::CHANNEL_MEMBERS_MAX,
                body_bytes: BODY_BYTES_MAX,
                message_body_bytes: MESSAGE_BODY_BYTES_MAX,
                import_line_bytes: IMPORT_LINE_BYTES_MAX,
            },
        }
    }
}
