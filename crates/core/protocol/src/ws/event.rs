//! Timeline events as clients get them: made once, the same bytes for every recipient.

use bytes::Bytes;
use klatch_domain::event::{Change, MessageSent, RoomCreated, TimelineEvent};
use klatch_domain::message::MessageBody;
use klatch_domain::room::RoomTexts;
use klatch_domain::{MessageId, RoomId, Timestamp, UserId};
use klatch_ports::Position;
use serde::Serialize;
use serde_json::value::RawValue;

use super::server::{Shown, framed};

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Event<T> {
    #[serde(rename = "type")]
    kind: &'static str,
    payload: Payload<T>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Payload<T> {
    room_id: Shown<RoomId>,
    seq: u64,
    position: Shown<Position>,
    #[serde(flatten)]
    rest: T,
}

/// The WebSocket text frame of an event. `body` are its opened words, if it carries any and their
/// key still is there.
pub fn event_frame(event: &TimelineEvent, body: Option<&MessageBody>, position: Position) -> Bytes {
    let ctx = Context { event, position };
    match &event.change {
        Change::MessageSent(sent) => ctx.message(sent, body),
        Change::MessageEdited { message, .. } => ctx.edit(*message, body),
        Change::MessageDeleted { message } => ctx.delete(*message),
        Change::RoomCreated(created) => ctx.created(created),
        Change::RoomUpdated { texts, visibility } => {
            ctx.room("updated", Some(texts), Some(visibility.as_str()), None)
        }
        Change::RoomArchived { archived } => ctx.room("archived", None, None, Some(*archived)),
        Change::RoomDeleted => ctx.room("deleted", None, None, None),
        Change::MemberJoined { user, role, .. } => ctx.member(*user, "joined", Some(role.as_str())),
        Change::MemberLeft { user } if *user == event.actor => ctx.member(*user, "left", None),
        Change::MemberLeft { user } => ctx.member(*user, "removed", None),
        Change::MemberRoleChanged { user, role } => ctx.member(*user, "role", Some(role.as_str())),
    }
}

struct Context<'a> {
    event: &'a TimelineEvent,
    position: Position,
}

impl Context<'_> {
    fn frame<T: Serialize>(&self, kind: &'static str, rest: T) -> Bytes {
        let payload = Payload {
            room_id: Shown(self.event.room),
            seq: self.event.seq.0,
            position: Shown(self.position),
            rest,
        };
        framed(&Event { kind, payload })
    }

    fn message(&self, sent: &MessageSent, body: Option<&MessageBody>) -> Bytes {
        #[derive(Serialize)]
        #[serde(rename_all = "camelCase")]
        struct Rest<'a> {
            message_id: Shown<MessageId>,
            ordinal: Option<u64>,
            sender_id: Shown<UserId>,
            content: &'a str,
            content_type: &'static str,
            #[serde(skip_serializing_if = "Option::is_none")]
            metadata: Option<&'a RawValue>,
            #[serde(skip_serializing_if = "Option::is_none")]
            reply_to: Option<Shown<MessageId>>,
            #[serde(skip_serializing_if = "Option::is_none")]
            thread_id: Option<Shown<MessageId>>,
            created_at: Shown<Timestamp>,
            #[serde(skip_serializing_if = "Option::is_none")]
            client_message_id: Option<&'a str>,
            attachments: &'a [String],
        }
        let rest = Rest {
            message_id: Shown(sent.id),
            ordinal: sent.ordinal.map(|ordinal| ordinal.0),
            sender_id: Shown(self.event.actor),
            content: body.map_or("", |body| &body.content),
            content_type: sent.content_type.as_str(),
            metadata: body.and_then(metadata),
            reply_to: sent.reply_to.map(Shown),
            thread_id: sent.thread.map(Shown),
            created_at: Shown(self.event.at),
            client_message_id: body.and_then(|body| body.client_key.as_deref()),
            attachments: body.map_or(&[], |body| &body.attachments),
        };
        self.frame("message", rest)
    }

    fn edit(&self, message: MessageId, body: Option<&MessageBody>) -> Bytes {
        #[derive(Serialize)]
        #[serde(rename_all = "camelCase")]
        struct Rest<'a> {
            message_id: Shown<MessageId>,
            target_seq: u64,
            sender_id: Shown<UserId>,
            content: &'a str,
            edited_at: Shown<Timestamp>,
        }
        let rest = Rest {
            message_id: Shown(message),
            target_seq: message.seq().0,
            sender_id: Shown(self.event.actor),
            content: body.map_or("", |body| &body.content),
            edited_at: Shown(self.event.at),
        };
        self.frame("edit", rest)
    }

    fn delete(&self, message: MessageId) -> Bytes {
        #[derive(Serialize)]
        #[serde(rename_all = "camelCase")]
        struct Rest {
            message_id: Shown<MessageId>,
            target_seq: u64,
            sender_id: Shown<UserId>,
            deleted_at: Shown<Timestamp>,
        }
        let rest = Rest {
            message_id: Shown(message),
            target_seq: message.seq().0,
            sender_id: Shown(self.event.actor),
            deleted_at: Shown(self.event.at),
        };
        self.frame("delete", rest)
    }

    fn created(&self, created: &RoomCreated) -> Bytes {
        let visibility = Some(created.visibility.as_str());
        self.room("created", Some(&created.texts), visibility, None)
    }

    fn room(
        &self,
        change: &'static str,
        texts: Option<&RoomTexts>,
        visibility: Option<&'static str>,
        archived: Option<bool>,
    ) -> Bytes {
        #[derive(Serialize)]
        #[serde(rename_all = "camelCase")]
        struct Texts<'a> {
            name: Option<&'a str>,
            description: Option<&'a str>,
            topic: Option<&'a str>,
            avatar: Option<&'a str>,
        }
        #[derive(Serialize)]
        #[serde(rename_all = "camelCase")]
        struct Rest<'a> {
            change: &'static str,
            #[serde(skip_serializing_if = "Option::is_none", flatten)]
            texts: Option<Texts<'a>>,
            #[serde(skip_serializing_if = "Option::is_none")]
            visibility: Option<&'static str>,
            #[serde(skip_serializing_if = "Option::is_none")]
            archived: Option<bool>,
            actor_id: Shown<UserId>,
            at: Shown<Timestamp>,
        }
        let texts = texts.map(|texts| Texts {
            name: texts.name.as_deref(),
            description: texts.description.as_deref(),
            topic: texts.topic.as_deref(),
            avatar: texts.avatar.as_deref(),
        });
        let (actor_id, at) = (Shown(self.event.actor), Shown(self.event.at));
        self.frame("room", Rest { change, texts, visibility, archived, actor_id, at })
    }

    fn member(&self, user: UserId, change: &'static str, role: Option<&'static str>) -> Bytes {
        #[derive(Serialize)]
        #[serde(rename_all = "camelCase")]
        struct Rest {
            user_id: Shown<UserId>,
            change: &'static str,
            #[serde(skip_serializing_if = "Option::is_none")]
            role: Option<&'static str>,
            actor_id: Shown<UserId>,
            at: Shown<Timestamp>,
        }
        let (actor_id, at) = (Shown(self.event.actor), Shown(self.event.at));
        self.frame("member", Rest { user_id: Shown(user), change, role, actor_id, at })
    }
}

fn metadata(body: &MessageBody) -> Option<&RawValue> {
    if body.metadata.is_empty() { None } else { serde_json::from_str(&body.metadata).ok() }
}
