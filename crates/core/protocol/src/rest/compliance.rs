//! What an erasure did, and the lines of an export.

use bytes::Bytes;
use klatch_domain::event::{Change, TimelineEvent, UserChange, UserEvent};
use klatch_domain::member::Membership;
use klatch_domain::message::MessageBody;
use klatch_domain::presence::Status;
use klatch_domain::room::RoomTexts;
use klatch_domain::user::Profile;
use klatch_domain::{Message, RoomId, Seq, Timestamp, UserId};
use klatch_ports::accounts::{Account, Session};
use klatch_ports::api::compliance::{Checked, Erased};
use klatch_ports::whereabouts::Whereabouts;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use utoipa::ToSchema;

/// What an erasure did.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = Erased)]
pub struct ErasedBody {
    /// Who.
    pub user_id: String,
    /// When it was asked for first.
    pub erased_at: String,
    /// Where the log tells it, if it did not before.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub position: Option<String>,
    /// Every store that was checked.
    pub checked: Vec<CheckedBody>,
}

/// A store that was looked at.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = Checked)]
pub struct CheckedBody {
    /// Which.
    pub store: String,
    /// What was there, and what became of it.
    pub found: String,
    /// How many readable things are left; 0 is right.
    pub readable: u64,
}

impl From<Erased> for ErasedBody {
    fn from(erased: Erased) -> Self {
        let Erased { user, at, position, checked } = erased;
        let body = |Checked { store, found, readable }| CheckedBody {
            store: String::from(store),
            found,
            readable,
        };
        Self {
            user_id: user.to_string(),
            erased_at: at.to_string(),
            position: position.map(|position| position.to_string()),
            checked: checked.into_iter().map(body).collect(),
        }
    }
}

/// A line of an export.
pub fn line(value: &Value) -> Bytes {
    Bytes::from(value.to_string() + "\n")
}

/// The first line of an export.
pub fn heading(user: UserId, at: &str) -> Value {
    json!({ "type": "export", "version": 1, "userId": user.to_string(), "at": at })
}

/// The last line: without it the export was cut short. `lines` came before it.
pub fn ending(lines: u64) -> Value {
    json!({ "type": "end", "lines": lines })
}

/// A room the user is in.
pub fn membership(room: RoomId, stay: &Membership) -> Value {
    json!({
        "type": "membership",
        "roomId": room.to_string(),
        "role": stay.role.as_str(),
        "joinedAt": stay.joined_at.to_string(),
    })
}

/// The account without what is secret: of the password only whether there is one.
pub fn account(account: &Account) -> Value {
    json!({
        "type": "account",
        "userId": account.user.to_string(),
        "role": account.role.as_str(),
        "bot": account.bot,
        "banned": account.banned,
        "createdAt": account.created_at.to_string(),
        "hasPassword": account.password_hash.is_some(),
        "imported": account.external.is_some(),
    })
}

/// When they were there last, and what they chose to show.
pub fn whereabouts(known: &Whereabouts) -> Value {
    let choice = known.choice.clone().unwrap_or_default();
    json!({
        "type": "presence",
        "lastSeen": known.left.map(|at| at.to_string()),
        "status": choice.status.map(Status::as_str),
        "text": choice.text,
        "emoji": choice.emoji,
        "expiresAt": choice.until.map(|at| at.to_string()),
    })
}

/// A signed-in device, without its secrets.
pub fn session(session: &Session) -> Value {
    json!({
        "type": "session",
        "id": session.id.to_string(),
        "device": session.device,
        "createdAt": session.created_at.to_string(),
        "usedAt": session.used_at.to_string(),
        "expiresAt": session.expires_at.to_string(),
    })
}

/// A profile as it was from a time on.
pub fn profile(profile: Option<&Profile>, at: &str) -> Value {
    let Some(Profile { username, display_name, email, avatar }) = profile else {
        return json!({ "type": "profile", "at": at, "readable": false });
    };
    json!({
        "type": "profile", "at": at, "username": username, "displayName": display_name,
        "email": email, "avatar": avatar,
    })
}

/// An event about the user, but for profiles; `None` when it says nothing more.
pub fn user_event(event: &UserEvent) -> Option<Value> {
    let at = event.at.to_string();
    match &event.change {
        UserChange::Registered { .. } | UserChange::ProfileChanged { .. } => None,
        UserChange::RoleChanged { role } => {
            Some(json!({ "type": "roleChanged", "at": at, "role": role.as_str() }))
        }
        UserChange::Erased => Some(json!({ "type": "erased", "at": at })),
    }
}

/// Something the user did, or that was done with them, in a room; `words` are those of a message,
/// `None` when they cannot be read any more.
pub fn timeline_event(event: &TimelineEvent, words: Option<&MessageBody>) -> Value {
    let (kind, more) = change(&event.change, words);
    let mut line = json!({
        "type": kind,
        "roomId": event.room.to_string(),
        "seq": event.seq.0,
        "at": event.at.to_string(),
        "actorId": event.actor.to_string(),
    });
    if let (Value::Object(line), Value::Object(more)) = (&mut line, more) {
        line.extend(more);
    }
    line
}

/// A message of the user as it stands in the history; `words` are `None` when they cannot be read
/// any more, or were deleted.
pub fn history(message: &Message, words: Option<&MessageBody>) -> Value {
    let time = |mark: Option<(Timestamp, Seq)>| mark.map(|(at, _)| at.to_string());
    let mut line = json!({
        "type": "history",
        "roomId": message.room.to_string(),
        "seq": message.seq.0,
        "messageId": message.id.to_string(),
        "ordinal": message.ordinal.map(|ordinal| ordinal.0),
        "contentType": message.content_type.as_str(),
        "replyTo": message.reply_to.map(|id| id.to_string()),
        "threadId": message.thread.map(|id| id.to_string()),
        "createdAt": message.created_at.to_string(),
        "editedAt": time(message.edited),
        "deletedAt": time(message.deleted),
    });
    if message.deleted.is_none() {
        say(&mut line, words);
    }
    line
}

fn change(change: &Change, words: Option<&MessageBody>) -> (&'static str, Value) {
    match change {
        Change::MessageSent(sent) => {
            let mut more = json!({
                "messageId": sent.id.to_string(),
                "ordinal": sent.ordinal.map(|ordinal| ordinal.0),
                "contentType": sent.content_type.as_str(),
                "replyTo": sent.reply_to.map(|id| id.to_string()),
                "threadId": sent.thread.map(|id| id.to_string()),
            });
            say(&mut more, words);
            ("message", more)
        }
        Change::MessageEdited { message, .. } => {
            let mut more = json!({ "messageId": message.to_string() });
            say(&mut more, words);
            ("edit", more)
        }
        Change::MessageDeleted { message } => {
            ("delete", json!({ "messageId": message.to_string() }))
        }
        Change::RoomCreated(created) => {
            let mut more = texts(&created.texts);
            put(&mut more, "roomType", json!(created.kind.as_str()));
            ("roomCreated", more)
        }
        Change::RoomUpdated { texts: changed, .. } => ("roomUpdated", texts(changed)),
        Change::RoomArchived { archived } => ("roomArchived", json!({ "archived": archived })),
        Change::RoomDeleted => ("roomDeleted", json!({})),
        Change::MemberJoined { user, role, .. } => {
            ("joined", json!({ "userId": user.to_string(), "role": role.as_str() }))
        }
        Change::MemberLeft { user } => ("left", json!({ "userId": user.to_string() })),
        Change::MemberRoleChanged { user, role } => {
            ("memberRole", json!({ "userId": user.to_string(), "role": role.as_str() }))
        }
    }
}

fn say(more: &mut Value, words: Option<&MessageBody>) {
    let Some(MessageBody { content, metadata, attachments, client_key, .. }) = words else {
        put(more, "readable", json!(false));
        return;
    };
    put(more, "content", json!(content));
    put(more, "metadata", serde_json::from_str(metadata).unwrap_or(Value::Null));
    put(more, "attachments", json!(attachments));
    put(more, "clientMessageId", json!(client_key));
}

fn put(object: &mut Value, name: &str, value: Value) {
    if let Value::Object(object) = object {
        object.insert(name.to_owned(), value);
    }
}

fn texts(texts: &RoomTexts) -> Value {
    let RoomTexts { name, description, topic, avatar } = texts;
    json!({ "name": name, "description": description, "topic": topic, "avatar": avatar })
}
