//! The frozen wire forms. Every `From` takes its source apart without `..`, so that a new field
//! cannot be forgotten.

use bytes::Bytes;
use klatch_domain::event::UserEvent;
use klatch_domain::event::{Change, Event, MessageSent, RoomCreated, TimelineEvent, UserChange};
use klatch_domain::member::MemberRole;
use klatch_domain::room::{RoomTexts, RoomType, Visibility};
use klatch_domain::user::ServerRole;
use klatch_domain::{ContentType, MessageId, Ordinal, RoomId, Sealed, Seq, Timestamp, UserId};

use super::DecodeError;

const VERSION: u32 = 1;

/// What a member event did, for routers that need not know more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MemberEffect {
    /// The user is in from this event on.
    In(UserId),
    /// The user is out after this event.
    Out(UserId),
}

#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct Envelope {
    #[prost(uint32, tag = "1")]
    version: u32,
    #[prost(bytes = "bytes", tag = "2")]
    subject: Bytes,
    #[prost(uint64, tag = "3")]
    seq: u64,
    #[prost(uint64, tag = "4")]
    at_ms: u64,
    #[prost(bytes = "bytes", tag = "5")]
    actor: Bytes,
    #[prost(oneof = "Body", tags = "10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 40, 41, 42")]
    body: Option<Body>,
}

#[derive(Clone, PartialEq, prost::Oneof)]
enum Body {
    #[prost(message, tag = "10")]
    MessageSent(MessageSentV1),
    #[prost(message, tag = "11")]
    MessageEdited(MessageEditedV1),
    #[prost(message, tag = "12")]
    MessageDeleted(MessageDeletedV1),
    #[prost(message, tag = "13")]
    RoomCreated(RoomCreatedV1),
    #[prost(message, tag = "14")]
    RoomUpdated(RoomUpdatedV1),
    #[prost(message, tag = "15")]
    RoomArchived(RoomArchivedV1),
    #[prost(message, tag = "16")]
    RoomDeleted(EmptyV1),
    #[prost(message, tag = "17")]
    MemberJoined(MemberV1),
    #[prost(message, tag = "18")]
    MemberLeft(MemberV1),
    #[prost(message, tag = "19")]
    MemberRoleChanged(MemberV1),
    #[prost(message, tag = "40")]
    UserRegistered(UserRegisteredV1),
    #[prost(message, tag = "41")]
    ProfileChanged(SealedV1),
    #[prost(message, tag = "42")]
    RoleChanged(RoleV1),
}

#[derive(Clone, PartialEq, prost::Message)]
struct EmptyV1 {}

#[derive(Clone, PartialEq, prost::Message)]
struct SealedV1 {
    #[prost(bytes = "bytes", tag = "1")]
    person: Bytes,
    #[prost(bytes = "bytes", tag = "2")]
    bytes: Bytes,
}

#[derive(Clone, PartialEq, prost::Message)]
struct MessageSentV1 {
    #[prost(bytes = "bytes", tag = "1")]
    id: Bytes,
    #[prost(uint64, tag = "2")]
    ordinal: u64,
    #[prost(uint32, tag = "3")]
    content_type: u32,
    #[prost(message, optional, tag = "4")]
    body: Option<SealedV1>,
    #[prost(bytes = "bytes", tag = "5")]
    key: Bytes,
    #[prost(bytes = "bytes", tag = "6")]
    external: Bytes,
    #[prost(bytes = "bytes", tag = "7")]
    reply_to: Bytes,
    #[prost(bytes = "bytes", tag = "8")]
    thread: Bytes,
}

#[derive(Clone, PartialEq, prost::Message)]
struct MessageEditedV1 {
    #[prost(bytes = "bytes", tag = "1")]
    message: Bytes,
    #[prost(message, optional, tag = "2")]
    body: Option<SealedV1>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct MessageDeletedV1 {
    #[prost(bytes = "bytes", tag = "1")]
    message: Bytes,
}

#[derive(Clone, PartialEq, prost::Message)]
struct TextsV1 {
    #[prost(string, optional, tag = "1")]
    name: Option<String>,
    #[prost(string, optional, tag = "2")]
    description: Option<String>,
    #[prost(string, optional, tag = "3")]
    topic: Option<String>,
    #[prost(string, optional, tag = "4")]
    avatar: Option<String>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct RoomCreatedV1 {
    #[prost(uint32, tag = "1")]
    kind: u32,
    #[prost(uint32, tag = "2")]
    visibility: u32,
    #[prost(message, optional, tag = "3")]
    texts: Option<TextsV1>,
    #[prost(message, repeated, tag = "4")]
    members: Vec<MemberV1>,
    #[prost(bytes = "bytes", tag = "5")]
    external: Bytes,
}

#[derive(Clone, PartialEq, prost::Message)]
struct RoomUpdatedV1 {
    #[prost(message, optional, tag = "1")]
    texts: Option<TextsV1>,
    #[prost(uint32, tag = "2")]
    visibility: u32,
}

#[derive(Clone, PartialEq, prost::Message)]
struct RoomArchivedV1 {
    #[prost(bool, tag = "1")]
    archived: bool,
}

#[derive(Clone, PartialEq, prost::Message)]
struct MemberV1 {
    #[prost(bytes = "bytes", tag = "1")]
    user: Bytes,
    #[prost(uint32, tag = "2")]
    role: u32,
    #[prost(uint64, tag = "3")]
    read_floor: u64,
}

#[derive(Clone, PartialEq, prost::Message)]
struct UserRegisteredV1 {
    #[prost(message, optional, tag = "1")]
    profile: Option<SealedV1>,
    #[prost(bool, tag = "2")]
    bot: bool,
    #[prost(uint32, tag = "3")]
    role: u32,
    #[prost(bytes = "bytes", tag = "4")]
    external: Bytes,
}

#[derive(Clone, PartialEq, prost::Message)]
struct RoleV1 {
    #[prost(uint32, tag = "1")]
    role: u32,
}

// === domain -> wire ===

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

fn content_type_number(content_type: ContentType) -> u32 {
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

// === wire -> domain ===

impl TryFrom<Envelope> for Event {
    type Error = DecodeError;

    fn try_from(envelope: Envelope) -> Result<Self, DecodeError> {
        let Envelope { version, subject, seq, at_ms, actor, body } = envelope;
        if version != VERSION {
            return Err(DecodeError::Newer(version));
        }
        let at = Timestamp(at_ms);
        let body = body.ok_or(DecodeError::Field("body"))?;
        match read_body(body)? {
            Read::User(change) => {
                Ok(Self::User(UserEvent { user: user(&subject, "subject")?, at, change }))
            }
            Read::Timeline(change) => Ok(Self::Timeline(TimelineEvent {
                room: RoomId::from_bits(bits(&subject, "subject")?),
                seq: if seq == 0 { Err(DecodeError::Field("seq")) } else { Ok(Seq(seq)) }?,
                at,
                actor: user(&actor, "actor")?,
                change,
            })),
        }
    }
}

enum Read {
    Timeline(Change),
    User(UserChange),
}

fn read_body(body: Body) -> Result<Read, DecodeError> {
    Ok(match body {
        Body::MessageSent(sent) => Read::Timeline(Change::MessageSent(read_sent(sent)?)),
        Body::MessageEdited(MessageEditedV1 { message, body }) => {
            let message = MessageId::from_bits(bits(&message, "message")?);
            Read::Timeline(Change::MessageEdited { message, body: read_sealed(body)? })
        }
        Body::MessageDeleted(MessageDeletedV1 { message }) => {
            let message = MessageId::from_bits(bits(&message, "message")?);
            Read::Timeline(Change::MessageDeleted { message })
        }
        Body::RoomCreated(created) => Read::Timeline(Change::RoomCreated(read_created(created)?)),
        Body::RoomUpdated(RoomUpdatedV1 { texts, visibility }) => {
            let texts = read_texts(texts);
            Read::Timeline(Change::RoomUpdated { texts, visibility: read_visibility(visibility)? })
        }
        Body::RoomArchived(RoomArchivedV1 { archived }) => {
            Read::Timeline(Change::RoomArchived { archived })
        }
        Body::RoomDeleted(EmptyV1 {}) => Read::Timeline(Change::RoomDeleted),
        Body::MemberJoined(MemberV1 { user: who, role, read_floor }) => {
            let (user, role) = (user(&who, "user")?, read_role(role)?);
            let read_floor = Ordinal(read_floor);
            Read::Timeline(Change::MemberJoined { user, role, read_floor })
        }
        Body::MemberLeft(MemberV1 { user: who, role: _, read_floor: _ }) => {
            Read::Timeline(Change::MemberLeft { user: user(&who, "user")? })
        }
        Body::MemberRoleChanged(MemberV1 { user: who, role, read_floor: _ }) => {
            let (user, role) = (user(&who, "user")?, read_role(role)?);
            Read::Timeline(Change::MemberRoleChanged { user, role })
        }
        Body::UserRegistered(UserRegisteredV1 { profile, bot, role, external }) => {
            Read::User(UserChange::Registered {
                profile: read_sealed(profile)?,
                bot,
                role: read_server_role(role)?,
                external: optional_bits(&external, "external")?,
            })
        }
        Body::ProfileChanged(profile) => {
            Read::User(UserChange::ProfileChanged { profile: read_sealed(Some(profile))? })
        }
        Body::RoleChanged(RoleV1 { role }) => {
            Read::User(UserChange::RoleChanged { role: read_server_role(role)? })
        }
    })
}

fn read_sent(sent: MessageSentV1) -> Result<MessageSent, DecodeError> {
    let MessageSentV1 { id, ordinal, content_type, body, key, external, reply_to, thread } = sent;
    let message = |bytes: &Bytes, field| -> Result<Option<MessageId>, DecodeError> {
        Ok(optional_bits(bytes, field)?.map(MessageId::from_bits))
    };
    Ok(MessageSent {
        id: MessageId::from_bits(bits(&id, "id")?),
        ordinal: (ordinal != 0).then_some(Ordinal(ordinal)),
        content_type: match content_type {
            1 => ContentType::Text,
            2 => ContentType::Image,
            3 => ContentType::File,
            4 => ContentType::System,
            _ => return Err(DecodeError::Field("content_type")),
        },
        body: read_sealed(body)?,
        key: optional_bits(&key, "key")?,
        external: optional_bits(&external, "external")?,
        reply_to: message(&reply_to, "reply_to")?,
        thread: message(&thread, "thread")?,
    })
}

fn read_created(created: RoomCreatedV1) -> Result<RoomCreated, DecodeError> {
    let RoomCreatedV1 { kind, visibility, texts, members, external } = created;
    Ok(RoomCreated {
        kind: match kind {
            1 => RoomType::Direct,
            2 => RoomType::Group,
            3 => RoomType::Channel,
            _ => return Err(DecodeError::Field("kind")),
        },
        visibility: read_visibility(visibility)?,
        texts: read_texts(texts),
        members: members
            .into_iter()
            .map(|MemberV1 { user: who, role, read_floor: _ }| {
                Ok((user(&who, "members")?, read_role(role)?))
            })
            .collect::<Result<_, DecodeError>>()?,
        external: optional_bits(&external, "external")?,
    })
}

fn read_texts(texts: Option<TextsV1>) -> RoomTexts {
    let TextsV1 { name, description, topic, avatar } = texts.unwrap_or_default();
    RoomTexts { name, description, topic, avatar }
}

fn read_sealed(sealed: Option<SealedV1>) -> Result<Sealed, DecodeError> {
    let SealedV1 { person, bytes } = sealed.ok_or(DecodeError::Field("sealed"))?;
    Ok(Sealed { person: user(&person, "person")?, bytes })
}

fn read_visibility(number: u32) -> Result<Visibility, DecodeError> {
    match number {
        1 => Ok(Visibility::Public),
        2 => Ok(Visibility::Private),
        _ => Err(DecodeError::Field("visibility")),
    }
}

fn read_role(number: u32) -> Result<MemberRole, DecodeError> {
    match number {
        1 => Ok(MemberRole::Member),
        2 => Ok(MemberRole::Admin),
        3 => Ok(MemberRole::Owner),
        _ => Err(DecodeError::Field("role")),
    }
}

fn read_server_role(number: u32) -> Result<ServerRole, DecodeError> {
    match number {
        1 => Ok(ServerRole::Guest),
        2 => Ok(ServerRole::Member),
        3 => Ok(ServerRole::Admin),
        _ => Err(DecodeError::Field("role")),
    }
}

fn user(bytes: &Bytes, field: &'static str) -> Result<UserId, DecodeError> {
    bits(bytes, field).map(UserId::from_bits)
}

fn bits(bytes: &Bytes, field: &'static str) -> Result<u128, DecodeError> {
    let array = bytes.as_ref().try_into().map_err(|_| DecodeError::Field(field))?;
    Ok(u128::from_be_bytes(array))
}

fn optional_bits(bytes: &Bytes, field: &'static str) -> Result<Option<u128>, DecodeError> {
    if bytes.is_empty() { Ok(None) } else { bits(bytes, field).map(Some) }
}
