//! The frozen wire forms: fields may be added, never changed.

mod read;
pub(super) mod sent;
mod write;

use bytes::Bytes;

use super::DecodeError;

const VERSION: u32 = 1;

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
    #[prost(oneof = "Body", tags = "10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 40, 41, 42, 48")]
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
    #[prost(message, tag = "48")]
    UserErased(EmptyV1),
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
