//! Rooms.

use klatch_domain::member::{MemberRole, Membership};
use klatch_domain::room::{Room, RoomHead, RoomTexts, RoomTextsPatch, RoomType, Visibility};
use klatch_ports::api::commands::{Changed, CreateRoom};
use klatch_ports::api::queries::RoomView;
use klatch_ports::position::Position;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::decode::{nullable, parse, word};
use crate::problem::{Code, Problem};

/// A room as its asker sees it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = Room)]
pub struct RoomBody {
    /// Identity.
    pub room_id: String,
    /// `direct`, `group` or `channel`.
    #[serde(rename = "type")]
    pub kind: &'static str,
    /// Name; channels always have one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// `public` or `private`.
    pub visibility: &'static str,
    /// What it is for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// What it is about now.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub topic: Option<String>,
    /// Address of a picture.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub avatar: Option<String>,
    /// Who made it.
    pub created_by: String,
    /// When it began.
    pub created_at: String,
    /// Closed for writing.
    pub archived: bool,
    /// Members now.
    pub member_count: u64,
    /// Seq of its newest event.
    pub head_seq: u64,
    /// Ordinal of the newest message of its main history; 0 before the first.
    pub last_ordinal: u64,
    /// When its newest message was sent; before the first, when it began.
    pub last_activity_at: String,
    /// The asker's role: `owner`, `admin` or `member`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub role: Option<&'static str>,
    /// Whether the asker is in it.
    pub joined: bool,
}

impl From<RoomView> for RoomBody {
    fn from(view: RoomView) -> Self {
        let RoomView { room, head, membership } = view;
        let RoomHead { seq, ordinal, time: _, active_at } = head;
        let role = membership
            .map(|Membership { role, left_seq, .. }| (role, left_seq))
            .and_then(|(role, left)| left.is_none().then_some(role));
        let last = Last { seq: seq.0, ordinal: ordinal.0, at: active_at.max(room.created_at) };
        Self::new(room, last, role)
    }
}

/// The end of a room, as it is shown.
#[derive(Clone, Copy)]
struct Last {
    seq: u64,
    ordinal: u64,
    at: klatch_domain::Timestamp,
}

impl RoomBody {
    /// A room that its maker, who asks, made just now.
    pub fn just_made(room: Room) -> Self {
        let last = Last { seq: room.changed_seq.0, ordinal: 0, at: room.created_at };
        Self::new(room, last, Some(MemberRole::Owner))
    }

    fn new(room: Room, last: Last, role: Option<MemberRole>) -> Self {
        let Room {
            id,
            kind,
            visibility,
            texts: RoomTexts { name, description, topic, avatar },
            created_by,
            created_at,
            archived,
            deleted: _,
            member_count,
            changed_seq: _,
        } = room;
        Self {
            room_id: id.to_string(),
            kind: kind.as_str(),
            name,
            visibility: visibility.as_str(),
            description,
            topic,
            avatar,
            created_by: created_by.to_string(),
            created_at: created_at.to_string(),
            archived,
            member_count,
            head_seq: last.seq,
            last_ordinal: last.ordinal,
            last_activity_at: last.at.to_string(),
            role: role.map(MemberRole::as_str),
            joined: role.is_some(),
        }
    }
}

/// A room that was made, or the direct room that was there.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct RoomMadeBody {
    /// The room.
    #[serde(flatten)]
    pub room: RoomBody,
    /// Where on the log; absent when the room was there before.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(example = "m0-5f3a9c21.1234")]
    pub position: Option<String>,
}

impl RoomMadeBody {
    /// The answer about `room`.
    pub fn of(room: RoomBody, position: Option<Position>) -> Self {
        Self { room, position: position.map(|position| position.to_string()) }
    }
}

/// A wish to make a room.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct NewRoom {
    /// `direct`, `group` or `channel`.
    #[serde(rename = "type")]
    pub kind: String,
    /// Name, 1–100 characters; channels must have one.
    pub name: Option<String>,
    /// `public` or `private`; channels only, default `public`.
    pub visibility: Option<String>,
    /// What it is for, at most 2,000 characters.
    pub description: Option<String>,
    /// What it is about now, at most 2,000 characters.
    pub topic: Option<String>,
    /// Address of a picture.
    pub avatar: Option<String>,
    /// Others to be members from the start; for a direct room the one other person.
    #[serde(default)]
    pub member_ids: Vec<String>,
}

impl NewRoom {
    /// As the command takes it.
    ///
    /// # Errors
    /// `invalid_field`.
    pub fn into_wish(self) -> Result<CreateRoom, Problem> {
        let Self { kind, name, visibility, description, topic, avatar, member_ids } = self;
        let kind = word(&kind, "type", RoomType::parse)?;
        let visibility = match (kind, visibility) {
            (RoomType::Channel, None) => Visibility::Public,
            (RoomType::Direct | RoomType::Group, None) => Visibility::Private,
            (_, Some(text)) => word(&text, "visibility", Visibility::parse)?,
        };
        let members = member_ids.iter().enumerate();
        Ok(CreateRoom {
            kind,
            visibility,
            texts: RoomTexts { name, description, topic, avatar },
            members: members
                .map(|(index, id)| parse(id, &format!("memberIds/{index}")))
                .collect::<Result<_, _>>()?,
        })
    }
}

/// A wish to change a room. Absent fields stay; null clears a text.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct RoomPatch {
    /// New name.
    #[serde(default, deserialize_with = "nullable")]
    #[schema(value_type = Option<String>)]
    pub name: Option<Option<String>>,
    /// New description.
    #[serde(default, deserialize_with = "nullable")]
    #[schema(value_type = Option<String>)]
    pub description: Option<Option<String>>,
    /// New topic.
    #[serde(default, deserialize_with = "nullable")]
    #[schema(value_type = Option<String>)]
    pub topic: Option<Option<String>>,
    /// New picture.
    #[serde(default, deserialize_with = "nullable")]
    #[schema(value_type = Option<String>)]
    pub avatar: Option<Option<String>>,
    /// `public` or `private`.
    pub visibility: Option<String>,
    /// Closes the room for writing, or opens it again. Cannot be combined with other fields.
    pub archived: Option<bool>,
}

/// What a [`RoomPatch`] asks for: one command.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RoomChange {
    /// Other texts, another visibility.
    Update(RoomTextsPatch, Option<Visibility>),
    /// Closed or open for writing.
    Archive(bool),
}

impl RoomPatch {
    /// As the commands take it.
    ///
    /// # Errors
    /// `invalid_field`; `missing_field` when nothing is to change.
    pub fn into_change(self) -> Result<RoomChange, Problem> {
        let Self { name, description, topic, avatar, visibility, archived } = self;
        let texts = RoomTextsPatch { name, description, topic, avatar };
        let visibility =
            visibility.map(|text| word(&text, "visibility", Visibility::parse)).transpose()?;
        let updates = !texts.is_empty() || visibility.is_some();
        match archived {
            Some(_) if updates => Err(Problem::new(Code::InvalidField)
                .detail("archived must be changed by itself")
                .at("/archived")),
            Some(archived) => Ok(RoomChange::Archive(archived)),
            None if updates => Ok(RoomChange::Update(texts, visibility)),
            None => Err(Problem::new(Code::MissingField).detail("nothing is to change")),
        }
    }
}

/// An accepted change of a room.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct RoomChanged {
    /// Which room.
    pub room_id: String,
    /// The change's number in the room.
    pub seq: u64,
    /// When.
    pub at: String,
    /// Where on the log.
    #[schema(example = "m0-5f3a9c21.1234")]
    pub position: String,
}

impl From<&Changed> for RoomChanged {
    fn from(changed: &Changed) -> Self {
        let Changed { room, seq, at, position } = changed;
        Self {
            room_id: room.to_string(),
            seq: seq.0,
            at: at.to_string(),
            position: position.to_string(),
        }
    }
}
