//! Owns Klatch's words and rules: ids, rooms, messages, members, events and who may do what.
//! Must not contain: IO, async code, bytes on the wire, engine words or ambient time.
#![warn(missing_docs)]

pub mod audit;
pub mod clock;
pub mod event;
pub mod fold;
pub mod id;
pub mod limits;
pub mod member;
pub mod message;
pub mod permission;
pub mod presence;
pub mod rejection;
pub mod room;
pub mod scope;
pub mod sealed;
pub mod seen;
pub mod user;

pub use clock::{Clock, Entropy, Timestamp};
pub use event::{Change, Event, TimelineEvent, UserChange, UserEvent};
pub use id::{
    ApiTokenId, ConnectionId, InstanceId, InvitationId, MessageId, RoomId, SessionId, UserId,
};
pub use message::{ContentType, Message, Ordinal, Seq};
pub use rejection::Rejection;
pub use sealed::Sealed;
