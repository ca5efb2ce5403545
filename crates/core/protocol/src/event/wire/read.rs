//! Wire to domain: what does not fit is named.

use bytes::Bytes;
use klatch_domain::event::{
    Change, Event, MessageSent, RoomCreated, TimelineEvent, UserChange, UserEvent,
};
use klatch_domain::member::MemberRole;
use klatch_domain::room::{RoomTexts, RoomType, Visibility};
use klatch_domain::user::ServerRole;
use klatch_domain::{ContentType, MessageId, Ordinal, RoomId, Sealed, Seq, Timestamp, UserId};

use super::{
    Body, DecodeError, EmptyV1, Envelope, MemberV1, MessageDeletedV1, MessageEditedV1,
    MessageSentV1, RoleV1, RoomArchivedV1, RoomCreatedV1, RoomUpdatedV1, SealedV1, TextsV1,
    UserRegisteredV1, VERSION,
};

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
        Body::UserErased(EmptyV1 {}) => Read::User(UserChange::Erased),
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
        content_type: self::content_type(content_type)?,
        body: read_sealed(body)?,
        key: optional_bits(&key, "key")?,
        external: optional_bits(&external, "external")?,
        reply_to: message(&reply_to, "reply_to")?,
        thread: message(&thread, "thread")?,
    })
}

pub(super) fn content_type(number: u32) -> Result<ContentType, DecodeError> {
    match number {
        1 => Ok(ContentType::Text),
        2 => Ok(ContentType::Image),
        3 => Ok(ContentType::File),
        4 => Ok(ContentType::System),
        _ => Err(DecodeError::Field("content_type")),
    }
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
