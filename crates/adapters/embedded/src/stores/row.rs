//! Bytes of the rows: one byte of version, then numbered fields. A version or word this build does
//! not know is refused, never guessed. What the key says is not repeated in the row.

use bytes::Bytes;
use klatch_domain::member::{MemberRole, Membership};
use klatch_domain::room::{Room, RoomHead, RoomTexts, RoomType, Visibility};
use klatch_domain::user::User;
use klatch_domain::{
    ContentType, Message, MessageId, Ordinal, RoomId, Sealed, Seq, Timestamp, UserId,
};
use klatch_ports::messages::{Applied, StoredHead};
use klatch_ports::metadata::UserNumber;
use klatch_ports::{Epoch, Offset, PortResult};

use crate::engine::codec::{
    Id, VERSION, bits, decode, encode, id, read_server_role, unreadable, wanted, words,
    write_server_role,
};

#[derive(Clone, PartialEq, ::prost::Message)]
struct MessageRow {
    /// Absent when it follows from room, seq and time.
    #[prost(message, optional, tag = "1")]
    id: Option<Id>,
    #[prost(uint64, tag = "2")]
    ordinal: u64,
    #[prost(message, optional, tag = "3")]
    sender: Option<Id>,
    #[prost(uint32, tag = "4")]
    content_type: u32,
    #[prost(bytes = "bytes", optional, tag = "5")]
    body: Option<Bytes>,
    /// Whose key opens the body; absent when the sender's.
    #[prost(message, optional, tag = "6")]
    body_person: Option<Id>,
    #[prost(message, optional, tag = "7")]
    reply_to: Option<Id>,
    #[prost(message, optional, tag = "8")]
    thread: Option<Id>,
    #[prost(uint64, tag = "9")]
    created_at: u64,
    #[prost(message, optional, tag = "10")]
    edited: Option<Mark>,
    #[prost(message, optional, tag = "11")]
    deleted: Option<Mark>,
}

#[derive(Clone, Copy, PartialEq, ::prost::Message)]
struct Mark {
    #[prost(uint64, tag = "1")]
    at: u64,
    #[prost(uint64, tag = "2")]
    seq: u64,
}

#[derive(Clone, Copy, PartialEq, ::prost::Message)]
struct HeadRow {
    #[prost(uint64, tag = "1")]
    seq: u64,
    #[prost(uint64, tag = "2")]
    ordinal: u64,
    #[prost(uint64, tag = "3")]
    time: u64,
    #[prost(uint64, tag = "4")]
    active_at: u64,
    #[prost(uint64, tag = "5")]
    offset: u64,
}

#[derive(Clone, Copy, PartialEq, ::prost::Message)]
struct PositionRow {
    #[prost(uint32, tag = "1")]
    epoch: u32,
    #[prost(uint64, tag = "2")]
    offset: u64,
}

#[derive(Clone, PartialEq, ::prost::Message)]
struct UserRow {
    #[prost(bool, tag = "1")]
    bot: bool,
    #[prost(uint32, tag = "2")]
    role: u32,
    #[prost(uint64, tag = "3")]
    created_at: u64,
    #[prost(bytes = "bytes", tag = "4")]
    profile: Bytes,
    /// Whose key opens the profile; absent when the user's own.
    #[prost(message, optional, tag = "5")]
    profile_person: Option<Id>,
}

#[derive(Clone, PartialEq, ::prost::Message)]
struct RoomRow {
    #[prost(uint32, tag = "1")]
    kind: u32,
    #[prost(uint32, tag = "2")]
    visibility: u32,
    #[prost(string, optional, tag = "3")]
    name: Option<String>,
    #[prost(string, optional, tag = "4")]
    description: Option<String>,
    #[prost(string, optional, tag = "5")]
    topic: Option<String>,
    #[prost(string, optional, tag = "6")]
    avatar: Option<String>,
    #[prost(message, optional, tag = "7")]
    created_by: Option<Id>,
    #[prost(uint64, tag = "8")]
    created_at: u64,
    #[prost(bool, tag = "9")]
    archived: bool,
    #[prost(bool, tag = "10")]
    deleted: bool,
    #[prost(uint64, tag = "11")]
    member_count: u64,
    #[prost(uint64, tag = "12")]
    changed_seq: u64,
}

#[derive(Clone, Copy, PartialEq, ::prost::Message)]
struct MemberRow {
    #[prost(uint32, tag = "1")]
    role: u32,
    #[prost(uint64, tag = "2")]
    joined_at: u64,
    #[prost(uint64, tag = "3")]
    joined_seq: u64,
    #[prost(uint64, optional, tag = "4")]
    left_seq: Option<u64>,
    #[prost(uint64, tag = "5")]
    read_floor: u64,
    #[prost(uint32, tag = "6")]
    number: u32,
}

words!(write_content, read_content, ContentType, [Text = 1, Image = 2, File = 3, System = 4]);
words!(write_kind, read_kind, RoomType, [Direct = 1, Group = 2, Channel = 3]);
words!(write_visibility, read_visibility, Visibility, [Public = 1, Private = 2]);
words!(write_member, read_member, MemberRole, [Member = 1, Admin = 2, Owner = 3]);

pub(super) fn encode_message(message: &Message, out: &mut Vec<u8>) {
    let derived = MessageId::new(message.room, message.seq, message.created_at);
    let mark = |mark: Option<(Timestamp, Seq)>| mark.map(|(at, seq)| Mark { at: at.0, seq: seq.0 });
    let body = message.body.as_ref();
    let person = body.map(|body| body.person).filter(|person| *person != message.sender);
    let row = MessageRow {
        id: id(message.id.bits()).filter(|_| message.id != derived),
        ordinal: message.ordinal.map_or(0, |ordinal| ordinal.0),
        sender: id(message.sender.bits()),
        content_type: write_content(message.content_type),
        body: body.map(|body| body.bytes.clone()),
        body_person: person.and_then(|person| id(person.bits())),
        reply_to: message.reply_to.and_then(|reply_to| id(reply_to.bits())),
        thread: message.thread.and_then(|thread| id(thread.bits())),
        created_at: message.created_at.0,
        edited: mark(message.edited),
        deleted: mark(message.deleted),
    };
    encode(&row, out);
}

pub(super) fn decode_message(room: RoomId, seq: Seq, bytes: &[u8]) -> PortResult<Message> {
    let row: MessageRow = decode("message", bytes)?;
    let sender = UserId::from_bits(wanted("sender", row.sender)?);
    let created_at = Timestamp(row.created_at);
    let derived = || MessageId::new(room, seq, created_at);
    let person = bits(row.body_person).map_or(sender, UserId::from_bits);
    let mark = |mark: Option<Mark>| mark.map(|mark| (Timestamp(mark.at), Seq(mark.seq)));
    Ok(Message {
        id: bits(row.id).map_or_else(derived, MessageId::from_bits),
        room,
        seq,
        ordinal: (row.ordinal != 0).then_some(Ordinal(row.ordinal)),
        sender,
        content_type: read_content(row.content_type)?,
        body: row.body.map(|bytes| Sealed { person, bytes }),
        reply_to: bits(row.reply_to).map(MessageId::from_bits),
        thread: bits(row.thread).map(MessageId::from_bits),
        created_at,
        edited: mark(row.edited),
        deleted: mark(row.deleted),
    })
}

pub(super) fn encode_head(stored: StoredHead, out: &mut Vec<u8>) {
    let RoomHead { seq, ordinal, time, active_at } = stored.head;
    let (seq, ordinal, time, active_at) = (seq.0, ordinal.0, time.0, active_at.0);
    encode(&HeadRow { seq, ordinal, time, active_at, offset: stored.offset.0 }, out);
}

pub(super) fn decode_head(bytes: &[u8]) -> PortResult<StoredHead> {
    let row: HeadRow = decode("head", bytes)?;
    let head = RoomHead {
        seq: Seq(row.seq),
        ordinal: Ordinal(row.ordinal),
        time: Timestamp(row.time),
        active_at: Timestamp(row.active_at),
    };
    Ok(StoredHead { head, offset: Offset(row.offset) })
}

pub(super) fn encode_position(applied: Applied) -> Vec<u8> {
    let mut out = Vec::new();
    encode(&PositionRow { epoch: applied.epoch.0, offset: applied.offset.0 }, &mut out);
    out
}

pub(super) fn decode_position(bytes: &[u8]) -> PortResult<Applied> {
    let row: PositionRow = decode("position", bytes)?;
    Ok(Applied { epoch: Epoch(row.epoch), offset: Offset(row.offset) })
}

pub(super) fn encode_user(user: &User, out: &mut Vec<u8>) {
    let person = Some(user.profile.person).filter(|person| *person != user.id);
    let row = UserRow {
        bot: user.bot,
        role: write_server_role(user.role),
        created_at: user.created_at.0,
        profile: user.profile.bytes.clone(),
        profile_person: person.and_then(|person| id(person.bits())),
    };
    encode(&row, out);
}

pub(super) fn decode_user(user: UserId, bytes: &[u8]) -> PortResult<User> {
    let row: UserRow = decode("user", bytes)?;
    let person = bits(row.profile_person).map_or(user, UserId::from_bits);
    Ok(User {
        id: user,
        bot: row.bot,
        role: read_server_role(row.role)?,
        created_at: Timestamp(row.created_at),
        profile: Sealed { person, bytes: row.profile },
    })
}

pub(super) fn encode_room(room: &Room, out: &mut Vec<u8>) {
    let row = RoomRow {
        kind: write_kind(room.kind),
        visibility: write_visibility(room.visibility),
        name: room.texts.name.clone(),
        description: room.texts.description.clone(),
        topic: room.texts.topic.clone(),
        avatar: room.texts.avatar.clone(),
        created_by: id(room.created_by.bits()),
        created_at: room.created_at.0,
        archived: room.archived,
        deleted: room.deleted,
        member_count: room.member_count,
        changed_seq: room.changed_seq.0,
    };
    encode(&row, out);
}

pub(super) fn decode_room(room: RoomId, bytes: &[u8]) -> PortResult<Room> {
    let row: RoomRow = decode("room", bytes)?;
    let RoomRow { name, description, topic, avatar, .. } = row;
    Ok(Room {
        id: room,
        kind: read_kind(row.kind)?,
        visibility: read_visibility(row.visibility)?,
        texts: RoomTexts { name, description, topic, avatar },
        created_by: UserId::from_bits(wanted("creator", row.created_by)?),
        created_at: Timestamp(row.created_at),
        archived: row.archived,
        deleted: row.deleted,
        member_count: row.member_count,
        changed_seq: Seq(row.changed_seq),
    })
}

pub(super) fn encode_member(stay: &Membership, number: UserNumber, out: &mut Vec<u8>) {
    let row = MemberRow {
        role: write_member(stay.role),
        joined_at: stay.joined_at.0,
        joined_seq: stay.joined_seq.0,
        left_seq: stay.left_seq.map(|seq| seq.0),
        read_floor: stay.read_floor,
        number: number.0,
    };
    encode(&row, out);
}

pub(super) fn decode_member(user: UserId, bytes: &[u8]) -> PortResult<(Membership, UserNumber)> {
    let row: MemberRow = decode("membership", bytes)?;
    let stay = Membership {
        user,
        role: read_member(row.role)?,
        joined_at: Timestamp(row.joined_at),
        joined_seq: Seq(row.joined_seq),
        left_seq: row.left_seq.map(Seq),
        read_floor: row.read_floor,
    };
    Ok((stay, UserNumber(row.number)))
}

/// A number as a row of its own.
pub(super) fn encode_number(number: u32) -> [u8; 5] {
    let [a, b, c, d] = number.to_be_bytes();
    [VERSION, a, b, c, d]
}

pub(super) fn decode_number(bytes: &[u8]) -> PortResult<u32> {
    match bytes {
        [VERSION, a, b, c, d] => Ok(u32::from_be_bytes([*a, *b, *c, *d])),
        other => Err(unreadable(&format!("number {other:02x?}"))),
    }
}

#[cfg(test)]
mod tests {
    use klatch_ports::ErrorKind;

    use super::*;

    const ROOM: RoomId = RoomId::from_bits(0x018b_cfe5_6800_7000_8000_0000_0000_0002);
    const SENDER: UserId = UserId::from_bits(0x018b_cfe5_6800_7000_8000_0000_0000_0001);

    fn message() -> Message {
        Message {
            id: MessageId::new(ROOM, Seq(7), Timestamp(1_700_000_000_000)),
            room: ROOM,
            seq: Seq(7),
            ordinal: Some(Ordinal(5)),
            sender: SENDER,
            content_type: ContentType::Text,
            body: Some(Sealed { person: SENDER, bytes: Bytes::from_static(&[0xAB; 250]) }),
            reply_to: None,
            thread: None,
            created_at: Timestamp(1_700_000_000_000),
            edited: None,
            deleted: None,
        }
    }

    #[test]
    fn an_ordinary_message_costs_little_more_than_its_body() {
        let mut bytes = Vec::new();
        encode_message(&message(), &mut bytes);
        assert!(bytes.len() <= 250 + 40, "{} bytes", bytes.len());
        assert_eq!(decode_message(ROOM, Seq(7), &bytes).ok(), Some(message()));
    }

    #[test]
    fn an_id_or_key_that_does_not_follow_from_the_rest_survives() {
        let mut message = message();
        message.id = MessageId::new(ROOM, Seq(7), Timestamp(1_800_000_000_000));
        message.body = Some(Sealed { person: UserId::from_bits(9), bytes: Bytes::new() });
        let mut bytes = Vec::new();
        encode_message(&message, &mut bytes);
        assert_eq!(decode_message(ROOM, Seq(7), &bytes).ok(), Some(message));
    }

    #[test]
    fn a_row_of_a_newer_version_is_refused() {
        let mut bytes = Vec::new();
        encode_message(&message(), &mut bytes);
        bytes[0] = VERSION + 1;
        let error = decode_message(ROOM, Seq(7), &bytes).unwrap_err();
        assert_eq!(error.kind, ErrorKind::Corrupt);
        assert!(error.to_string().contains("version 2"), "{error}");
    }

    #[test]
    fn a_word_of_a_newer_build_is_refused() {
        let mut bytes = Vec::new();
        let row = MessageRow { content_type: 5, sender: id(1), ..MessageRow::default() };
        encode(&row, &mut bytes);
        let error = decode_message(ROOM, Seq(7), &bytes).unwrap_err();
        assert!(error.to_string().contains("ContentType number 5"), "{error}");
    }

    #[test]
    fn cut_or_empty_rows_are_refused() {
        let mut bytes = Vec::new();
        encode_message(&message(), &mut bytes);
        for length in [0, 40, bytes.len() - 1] {
            assert!(decode_message(ROOM, Seq(7), &bytes[..length]).is_err(), "{length}");
        }
    }

    #[test]
    fn golden_rows_of_version_one_read_the_same_forever() {
        let mut bytes = Vec::new();
        encode_head(
            StoredHead {
                head: RoomHead {
                    seq: Seq(7),
                    ordinal: Ordinal(5),
                    time: Timestamp(300),
                    active_at: Timestamp(299),
                },
                offset: Offset(1),
            },
            &mut bytes,
        );
        assert_eq!(bytes, [1, 8, 7, 16, 5, 24, 172, 2, 32, 171, 2, 40, 1]);
        let applied = Applied { epoch: Epoch(0x5f3a_9c21), offset: Offset(1234) };
        let position = encode_position(applied);
        assert_eq!(position, [1, 8, 161, 184, 234, 249, 5, 16, 210, 9]);
        assert_eq!(decode_position(&position).ok(), Some(applied));
    }
}
