//! Domain to wire. Every `From` takes its source apart without `..`, so that a new field cannot be
//! forgotten.

use bytes::Bytes;
use klatch_domain::event::{
    Change, Event, MessageSent, RoomCreated, TimelineEvent, UserChange, UserEvent,
};
use klatch_domain::member::MemberRole;
use klatch_domain::room::{RoomTexts, RoomType, Visibility};
use klatch_domain::user::ServerRole;
use klatch_domain::{ContentType, MessageId, Ordinal, Sealed, UserId};

use super::{
    Body, EmptyV1, Envelope, MemberV1, MessageDeletedV1, MessageEditedV1, MessageSentV1, RoleV1,
    RoomArchivedV1, RoomCreatedV1, RoomUpdatedV1, SealedV1, TextsV1, UserRegisteredV1, VERSION,
};

impl From<&Event> for Envelope {
    fn from(event: &Event) -> Self {
        match event {
            Event::Timeline(TimelineEvent { room, seq, at, actor, change }) => Self {
                version: VERSION,
                subject: id_bytes(room.bits()),
                seq: seq.0,
                at_ms: at.0,
                actor: id_bytes(actor.bits()),
                body: Some(Body::from(change)),
            },
            Event::User(UserEvent { user, at, change }) => Self {
                version: VERSION,
                subject: id_bytes(user.bits()),
                seq: 0,
                at_ms: at.0,
                actor: Bytes::new(),
                body: Some(Body::from(change)),
            },
        }
    }
}

impl From<&Change> for Body {
    fn from(change: &Change) -> Self {
        match change {
            Change::MessageSent(sent) => Self::MessageSent(sent.into()),
            Change::MessageEdited { message, body } => Self::MessageEdited(MessageEditedV1 {
                message: id_bytes(message.bits()),
                body: Some(body.into()),
            }),
            Change::MessageDeleted { message } => {
                Self::MessageDeleted(MessageDeletedV1 { message: id_bytes(message.bits()) })
            }
            Change::RoomCreated(created) => Self::RoomCreated(created.into()),
            Change::RoomUpdated { texts, visibility } => Self::RoomUpdated(RoomUpdatedV1 {
                texts: Some(texts.into()),
                visibility: visibility_number(*visibility),
            }),
            Change::RoomArchived { archived } => {
                Self::RoomArchived(RoomArchivedV1 { archived: *archived })
            }
            Change::RoomDeleted => Self::RoomDeleted(EmptyV1 {}),
            Change::MemberJoined { user, role, read_floor } => {
                Self::MemberJoined(member(*user, *role, *read_floor))
            }
            Change::MemberLeft { user } => {
                Self::MemberLeft(MemberV1 { user: id_bytes(user.bits()), ..MemberV1::default() })
            }
            Change::MemberRoleChanged { user, role } => {
                Self::MemberRoleChanged(member(*user, *role, Ordinal(0)))
            }
        }
    }
}

impl From<&UserChange> for Body {
    fn from(change: &UserChange) -> Self {
        match change {
            UserChange::Registered { profile, bot, role, external } => {
                Self::UserRegistered(UserRegisteredV1 {
                    profile: Some(profile.into()),
                    bot: *bot,
                    role: server_role_number(*role),
                    external: external.map_or_else(Bytes::new, id_bytes),
                })
            }
            UserChange::ProfileChanged { profile } => Self::ProfileChanged(profile.into()),
            UserChange::RoleChanged { role } => {
                Self::RoleChanged(RoleV1 { role: server_role_number(*role) })
            }
            UserChange::Erased => Self::UserErased(EmptyV1 {}),
        }
    }
}

impl From<&MessageSent> for MessageSentV1 {
    fn from(sent: &MessageSent) -> Self {
        let MessageSent { id, ordinal, content_type, body, key, external, reply_to, thread } = sent;
        let message = |id: &Option<MessageId>| id.map_or_else(Bytes::new, |id| id_bytes(id.bits()));
        Self {
            id: id_bytes(id.bits()),
            ordinal: ordinal.map_or(0, |ordinal| ordinal.0),
            content_type: content_type_number(*content_type),
            body: Some(body.into()),
            key: key.map_or_else(Bytes::new, id_bytes),
            external: external.map_or_else(Bytes::new, id_bytes),
            reply_to: message(reply_to),
            thread: message(thread),
        }
    }
}

impl From<&RoomCreated> for RoomCreatedV1 {
    fn from(created: &RoomCreated) -> Self {
        let RoomCreated { kind, visibility, texts, members, external } = created;
        Self {
            kind: room_type_number(*kind),
            visibility: visibility_number(*visibility),
            texts: Some(texts.into()),
            members: members.iter().map(|(user, role)| member(*user, *role, Ordinal(0))).collect(),
            external: external.map_or_else(Bytes::new, id_bytes),
        }
    }
}

impl From<&RoomTexts> for TextsV1 {
    fn from(texts: &RoomTexts) -> Self {
        let RoomTexts { name, description, topic, avatar } = texts.clone();
        Self { name, description, topic, avatar }
    }
}

impl From<&Sealed> for SealedV1 {
    fn from(sealed: &Sealed) -> Self {
        let Sealed { person, bytes } = sealed;
        Self { person: id_bytes(person.bits()), bytes: bytes.clone() }
    }
}

fn member(user: UserId, role: MemberRole, read_floor: Ordinal) -> MemberV1 {
    MemberV1 { user: id_bytes(user.bits()), role: role_number(role), read_floor: read_floor.0 }
}

fn id_bytes(bits: u128) -> Bytes {
    Bytes::copy_from_slice(&bits.to_be_bytes())
}

// Numbers on the log. 0 is never used, so that an absent field is noticed.

pub(super) fn content_type_number(content_type: ContentType) -> u32 {
    match content_type {
        ContentType::Text => 1,
        ContentType::Image => 2,
        ContentType::File => 3,
        ContentType::System => 4,
    }
}

fn room_type_number(kind: RoomType) -> u32 {
    match kind {
        RoomType::Direct => 1,
        RoomType::Group => 2,
        RoomType::Channel => 3,
    }
}

fn visibility_number(visibility: Visibility) -> u32 {
    match visibility {
        Visibility::Public => 1,
        Visibility::Private => 2,
    }
}

fn role_number(role: MemberRole) -> u32 {
    match role {
        MemberRole::Member => 1,
        MemberRole::Admin => 2,
        MemberRole::Owner => 3,
    }
}

fn server_role_number(role: ServerRole) -> u32 {
    match role {
        ServerRole::Guest => 1,
        ServerRole::Member => 2,
        ServerRole::Admin => 3,
    }
}
