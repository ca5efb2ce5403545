//! Messages: what a person sends, and what readers see of it after edits and deletes.

use std::fmt;

use crate::clock::Timestamp;
use crate::id::{MessageId, RoomId, UserId};
use crate::limits;
use crate::rejection::Rejection;
use crate::sealed::Sealed;

/// A room's event number: 1, 2, 3 … without gaps over everything in its timeline.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Seq(pub u64);

impl Seq {
    /// The number after this one.
    #[must_use]
    pub fn next(self) -> Self {
        Self(self.0 + 1)
    }
}

impl fmt::Display for Seq {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// The count of messages shown in a room's main history.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Ordinal(pub u64);

impl Ordinal {
    /// The number after this one.
    #[must_use]
    pub fn next(self) -> Self {
        Self(self.0 + 1)
    }
}

/// What a message's content is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default)]
pub enum ContentType {
    /// Markdown text.
    #[default]
    Text,
    /// A picture with an optional caption.
    Image,
    /// A file with an optional caption.
    File,
    /// Said by the server; clients may not send it.
    System,
}

impl ContentType {
    /// The word on every surface.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Text => "text",
            Self::Image => "image",
            Self::File => "file",
            Self::System => "system",
        }
    }

    /// Reads the word.
    pub fn parse(text: &str) -> Option<Self> {
        [Self::Text, Self::Image, Self::File, Self::System].into_iter().find(|t| t.as_str() == text)
    }
}

/// The words of a message: everything that lies under the sender's key.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MessageBody {
    /// Markdown as typed.
    pub content: String,
    /// A JSON object as text, or empty.
    pub metadata: String,
    /// Ids of uploaded files.
    pub attachments: Vec<String>,
    /// The sender's own key for this message, if one was given.
    pub client_key: Option<String>,
    /// Hash of the request, so that a repeat with other words is told apart.
    pub request_hash: [u8; 16],
}

/// Checks what a person typed.
///
/// # Errors
/// [`Rejection::ContentTooLong`] above 40,000 code points, [`Rejection::InvalidField`] when there
/// is nothing to say or a NUL is in it.
pub fn content(text: &str, has_attachments: bool) -> Result<(), Rejection> {
    // Bytes bound code points from both sides: most texts need no count.
    if text.len() > limits::CONTENT_CHARS_MAX && text.chars().count() > limits::CONTENT_CHARS_MAX {
        return Err(Rejection::ContentTooLong);
    }
    if (text.trim().is_empty() && !has_attachments) || text.contains('\0') {
        return Err(Rejection::InvalidField("content"));
    }
    Ok(())
}

/// Checks a sender's own key: 1–64 visible characters.
///
/// # Errors
/// [`Rejection::InvalidField`] naming `clientMessageId`.
pub fn client_key(text: &str) -> Result<(), Rejection> {
    let fits = !text.is_empty()
        && text.chars().count() <= limits::CLIENT_KEY_CHARS_MAX
        && !text.chars().any(char::is_control);
    if fits { Ok(()) } else { Err(Rejection::InvalidField("clientMessageId")) }
}

/// A message as the store keeps it: the fold of all its events, words still sealed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    /// Identity within the room.
    pub id: MessageId,
    /// Where it is.
    pub room: RoomId,
    /// The event that brought it.
    pub seq: Seq,
    /// Place in the main history; `None` for thread-only and system messages.
    pub ordinal: Option<Ordinal>,
    /// Who sent it.
    pub sender: UserId,
    /// What its content is.
    pub content_type: ContentType,
    /// The newest words; `None` once deleted.
    pub body: Option<Sealed>,
    /// The message it answers.
    pub reply_to: Option<MessageId>,
    /// The thread it belongs to.
    pub thread: Option<MessageId>,
    /// When it was accepted, or said originally if imported.
    pub created_at: Timestamp,
    /// When it was edited last, and by which event.
    pub edited: Option<(Timestamp, Seq)>,
    /// When it was deleted, and by which event.
    pub deleted: Option<(Timestamp, Seq)>,
}

impl Message {
    /// Takes in an edit. Repeating it, or one older than the newest, changes nothing.
    pub fn edit(&mut self, body: &Sealed, at: Timestamp, seq: Seq) {
        let newer = self.edited.is_none_or(|(_, last)| seq > last);
        if newer && self.deleted.is_none() {
            self.body = Some(body.clone());
            self.edited = Some((at, seq));
        }
    }

    /// Takes in the delete. Only the first one counts.
    pub fn delete(&mut self, at: Timestamp, seq: Seq) {
        if self.deleted.is_none() {
            self.body = None;
            self.deleted = Some((at, seq));
        }
    }
}
