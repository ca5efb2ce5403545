//! Commands on rooms and messages: each becomes an event or is refused.

use async_trait::async_trait;
use klatch_domain::member::MemberRole;
use klatch_domain::permission::Actor;
use klatch_domain::room::{Room, RoomTexts, RoomTextsPatch, RoomType, Visibility};
use klatch_domain::{ContentType, MessageId, Ordinal, RoomId, Seq, Timestamp, UserId};

use super::ServiceResult;
use crate::position::Position;

/// A wish to send a message.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SendMessage {
    /// Markdown as typed.
    pub content: String,
    /// What the content is.
    pub content_type: ContentType,
    /// The sender's own key: repeating it within 24 hours creates nothing.
    pub client_key: Option<String>,
    /// The message it answers.
    pub reply_to: Option<MessageId>,
    /// The thread it belongs to.
    pub thread: Option<MessageId>,
    /// A JSON object as text, or empty.
    pub metadata: String,
    /// Ids of uploaded files.
    pub attachments: Vec<String>,
}

/// An accepted message: durable on the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sent {
    /// Its id.
    pub message: MessageId,
    /// Where.
    pub room: RoomId,
    /// Its number in the room.
    pub seq: Seq,
    /// Its place in the main history.
    pub ordinal: Option<Ordinal>,
    /// When.
    pub at: Timestamp,
    /// Where on the log.
    pub position: Position,
    /// Whether this repeats an earlier answer.
    pub replayed: bool,
}

/// Any other accepted change of a room's timeline: durable on the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Changed {
    /// Where.
    pub room: RoomId,
    /// Its number in the room.
    pub seq: Seq,
    /// When.
    pub at: Timestamp,
    /// Where on the log.
    pub position: Position,
}

/// A wish to make a room.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CreateRoom {
    /// Kind of place.
    pub kind: RoomType,
    /// Who may find it; direct rooms and groups are private whatever is said.
    pub visibility: Visibility,
    /// Names and texts.
    pub texts: RoomTexts,
    /// Others to be members from the start; the maker is owner.
    pub members: Vec<UserId>,
}

/// A room that was made, or the direct room that was there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RoomMade {
    /// The room.
    pub room: Room,
    /// Where on the log; `None` when it was there before.
    pub position: Option<Position>,
}

/// Called once, from any thread, with the answer. Must not block.
pub type Reply<T> = Box<dyn FnOnce(ServiceResult<T>) + Send>;

/// Commands. Every success is durable on the log when it is told.
#[async_trait]
pub trait CommandApi: Send + Sync {
    /// Sends a message; `reply` is called when the outcome is known. Sends of one caller to one
    /// room that are submitted one after another are appended in that order.
    fn submit_message(&self, actor: Actor, room: RoomId, message: SendMessage, reply: Reply<Sent>);

    /// [`CommandApi::submit_message`] as a future.
    async fn send_message(
        &self,
        actor: Actor,
        room: RoomId,
        message: SendMessage,
    ) -> ServiceResult<Sent>;

    /// Gives one's own message new words.
    async fn edit_message(
        &self,
        actor: Actor,
        room: RoomId,
        message: MessageId,
        content: String,
    ) -> ServiceResult<Changed>;

    /// Takes a message back: one's own, or another's as an admin of the room.
    async fn delete_message(
        &self,
        actor: Actor,
        room: RoomId,
        message: MessageId,
    ) -> ServiceResult<Changed>;

    /// Makes a room.
    async fn create_room(&self, actor: Actor, wish: CreateRoom) -> ServiceResult<RoomMade>;

    /// Changes texts and visibility of a room.
    async fn update_room(
        &self,
        actor: Actor,
        room: RoomId,
        texts: RoomTextsPatch,
        visibility: Option<Visibility>,
    ) -> ServiceResult<Changed>;

    /// Closes a room for writing, or opens it again.
    async fn archive_room(
        &self,
        actor: Actor,
        room: RoomId,
        archived: bool,
    ) -> ServiceResult<Changed>;

    /// Removes a room.
    async fn delete_room(&self, actor: Actor, room: RoomId) -> ServiceResult<Changed>;

    /// Comes into a public channel.
    async fn join(&self, actor: Actor, room: RoomId) -> ServiceResult<Changed>;

    /// Goes.
    async fn leave(&self, actor: Actor, room: RoomId) -> ServiceResult<Changed>;

    /// Brings a user in.
    async fn add_member(
        &self,
        actor: Actor,
        room: RoomId,
        user: UserId,
        role: MemberRole,
    ) -> ServiceResult<Changed>;

    /// Takes a member out.
    async fn remove_member(
        &self,
        actor: Actor,
        room: RoomId,
        user: UserId,
    ) -> ServiceResult<Changed>;

    /// Changes a member's role.
    async fn change_role(
        &self,
        actor: Actor,
        room: RoomId,
        user: UserId,
        role: MemberRole,
    ) -> ServiceResult<Changed>;
}
