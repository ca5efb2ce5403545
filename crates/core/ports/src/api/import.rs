//! Bringing in conversations from elsewhere, with their original times.

use async_trait::async_trait;
use klatch_domain::member::MemberRole;
use klatch_domain::permission::Actor;
use klatch_domain::room::{RoomTexts, RoomType, Visibility};
use klatch_domain::{ContentType, Rejection, Timestamp};

use super::ServiceResult;
use crate::position::Position;

/// One line of an import. Ids are the source's own; they refer to each other.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ImportItem {
    /// A person or bot.
    User {
        /// Its id there.
        id: String,
        /// Wanted name; made to fit.
        username: Option<String>,
        /// Shown name.
        display_name: Option<String>,
        /// Address.
        email: Option<String>,
        /// Whether a program acted under it.
        bot: bool,
        /// When the account began.
        created_at: Option<Timestamp>,
    },
    /// A room.
    Room {
        /// Its id there.
        id: String,
        /// Kind of place.
        kind: RoomType,
        /// Who may find it.
        visibility: Visibility,
        /// Names and texts.
        texts: RoomTexts,
        /// Whose it is; the importing administrator when absent.
        created_by: Option<String>,
        /// When it began; the time of its next line when absent.
        created_at: Option<Timestamp>,
    },
    /// A membership.
    Member {
        /// Which room.
        room: String,
        /// Who.
        user: String,
        /// As what.
        role: MemberRole,
        /// When; the time of the room's next message when absent.
        created_at: Option<Timestamp>,
    },
    /// A message. Its sender becomes a member first if need be.
    Message {
        /// Its id there.
        id: String,
        /// Which room.
        room: String,
        /// Who said it.
        sender: String,
        /// What.
        content: String,
        /// What the content is.
        content_type: ContentType,
        /// A JSON object as text, or empty.
        metadata: String,
        /// The message it answers.
        reply_to: Option<String>,
        /// The root of its thread.
        thread: Option<String>,
        /// When.
        created_at: Timestamp,
    },
}

/// Why a line was not taken in.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ImportError {
    /// A rule said no.
    #[error(transparent)]
    Rejected(#[from] Rejection),
    /// It names something that no line before it brought.
    #[error("the {kind} {id:?} is not known")]
    UnknownReference {
        /// "user", "room" or "message".
        kind: &'static str,
        /// The id named.
        id: String,
    },
}

/// What became of a line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ImportOutcome {
    /// Taken in.
    Added,
    /// Known before; nothing was done.
    Skipped,
    /// Refused; later lines go on.
    Refused(ImportError),
}

/// A running import. One at a time per server.
#[async_trait]
pub trait ImportSession: Send {
    /// Takes in lines, in order; returns when all that were added are durable.
    async fn push(&mut self, items: Vec<ImportItem>) -> ServiceResult<Vec<ImportOutcome>>;

    /// Newest position of what was added, for reads afterwards.
    fn position(&self) -> Option<Position>;
}

/// Starts imports.
#[async_trait]
pub trait ImportApi: Send + Sync {
    /// Begins one. Waits until the read models know all that was imported before.
    ///
    /// # Errors
    /// [`Rejection::AdminOnly`]; [`super::ServiceError::Busy`] while another runs.
    async fn begin(&self, actor: Actor) -> ServiceResult<Box<dyn ImportSession>>;
}
