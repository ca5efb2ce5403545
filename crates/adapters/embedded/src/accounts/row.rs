//! Keys and bytes of the accounts' rows; see [`crate::engine::codec`]. A first byte of a key once
//! used never changes its meaning.

use bytes::Bytes;
use klatch_domain::{Sealed, SessionId, Timestamp, UserId};
use klatch_ports::PortResult;
use klatch_ports::accounts::{Account, ClaimKind, Session};

use crate::engine::codec::{
    Id, bits, decode, encode, id, read_server_role, unreadable, wanted, write_server_role,
};

/// Kind, name → holder.
pub(super) const CLAIM: u8 = 1;
/// User → account.
pub(super) const ACCOUNT: u8 = 2;
/// User → nothing; while the first event is not known to be on the log.
pub(super) const UNANNOUNCED: u8 = 3;
/// User → nothing; for administrators who are not locked out.
pub(super) const ADMIN: u8 = 4;
/// Session → session.
pub(super) const SESSION: u8 = 5;
/// User, session → nothing.
pub(super) const USER_SESSION: u8 = 6;
/// Hash of the token → reset.
pub(super) const RESET: u8 = 7;
/// User → hash of the token of their reset.
pub(super) const USER_RESET: u8 = 8;
/// Invitation → invitation.
pub(super) const INVITATION: u8 = 9;
/// Hash of the token → invitation.
pub(super) const INVITATION_OF: u8 = 10;
/// Room, invitation → nothing.
pub(super) const ROOM_INVITATION: u8 = 11;
/// Invitation, user → whether the use is finished.
pub(super) const USE: u8 = 12;
/// API token → API token.
pub(super) const TOKEN: u8 = 13;
/// User, API token → nothing.
pub(super) const USER_TOKEN: u8 = 14;
/// User → when they were there last, and what they chose to show.
pub(super) const WHEREABOUTS: u8 = 15;

pub(super) fn claim_key(kind: ClaimKind, name: &str) -> Vec<u8> {
    [&[CLAIM, kind as u8], name.as_bytes()].concat()
}

pub(super) fn key(family: u8, id: u128) -> Vec<u8> {
    [&[family][..], &id.to_be_bytes()].concat()
}

pub(super) fn pair(family: u8, first: u128, second: u128) -> Vec<u8> {
    [&[family][..], &first.to_be_bytes(), &second.to_be_bytes()].concat()
}

pub(super) fn hash_key(family: u8, hash: &[u8]) -> Vec<u8> {
    [&[family][..], hash].concat()
}

/// The id at the end of a key.
pub(super) fn last_id(key: &[u8]) -> PortResult<u128> {
    let id = key.last_chunk::<16>().map(|bytes| u128::from_be_bytes(*bytes));
    id.ok_or_else(|| unreadable(&format!("key {key:02x?}")))
}

#[derive(Clone, Copy, PartialEq, ::prost::Message)]
struct ClaimRow {
    /// Any 128 bits, zero too: unlike other ids this one is the caller's.
    #[prost(fixed64, tag = "1")]
    high: u64,
    #[prost(fixed64, tag = "2")]
    low: u64,
    #[prost(bool, tag = "3")]
    confirmed: bool,
    #[prost(uint64, tag = "4")]
    at: u64,
}

/// A claim as stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Held {
    pub(super) holder: u128,
    pub(super) confirmed: bool,
    pub(super) at: Timestamp,
}

impl Held {
    pub(super) fn encode(self) -> Vec<u8> {
        let half = |bits: u128| u64::try_from(bits & u128::from(u64::MAX)).unwrap_or(0);
        let (high, low) = (half(self.holder >> 64), half(self.holder));
        bytes_of(&ClaimRow { high, low, confirmed: self.confirmed, at: self.at.0 })
    }

    pub(super) fn decode(bytes: &[u8]) -> PortResult<Self> {
        let row: ClaimRow = decode("claim", bytes)?;
        let holder = u128::from(row.high) << 64 | u128::from(row.low);
        Ok(Self { holder, confirmed: row.confirmed, at: Timestamp(row.at) })
    }
}

#[derive(Clone, PartialEq, ::prost::Message)]
struct AccountRow {
    #[prost(string, optional, tag = "1")]
    password_hash: Option<String>,
    #[prost(uint32, tag = "2")]
    role: u32,
    #[prost(bool, tag = "3")]
    bot: bool,
    #[prost(bool, tag = "4")]
    banned: bool,
    #[prost(uint64, tag = "5")]
    created_at: u64,
    #[prost(bytes = "bytes", tag = "6")]
    profile: Bytes,
    /// Whose key opens the profile; absent when the user's own.
    #[prost(message, optional, tag = "7")]
    profile_person: Option<Id>,
    #[prost(bytes = "vec", optional, tag = "8")]
    external: Option<Vec<u8>>,
    #[prost(bool, tag = "9")]
    announced: bool,
}

pub(super) fn encode_account(account: &Account) -> Vec<u8> {
    let person = Some(account.profile.person).filter(|person| *person != account.user);
    bytes_of(&AccountRow {
        password_hash: account.password_hash.clone(),
        role: write_server_role(account.role),
        bot: account.bot,
        banned: account.banned,
        created_at: account.created_at.0,
        profile: account.profile.bytes.clone(),
        profile_person: person.and_then(|person| id(person.bits())),
        external: account.external.map(|hash| hash.to_be_bytes().to_vec()),
        announced: account.announced,
    })
}

pub(super) fn decode_account(user: UserId, bytes: &[u8]) -> PortResult<Account> {
    let row: AccountRow = decode("account", bytes)?;
    let person = bits(row.profile_person).map_or(user, UserId::from_bits);
    let hash = |bytes: Vec<u8>| {
        let bytes = bytes.try_into().map_err(|_| unreadable("the external id's hash"))?;
        Ok(u128::from_be_bytes(bytes))
    };
    Ok(Account {
        user,
        password_hash: row.password_hash,
        role: read_server_role(row.role)?,
        bot: row.bot,
        banned: row.banned,
        created_at: Timestamp(row.created_at),
        profile: Sealed { person, bytes: row.profile },
        external: row.external.map(hash).transpose()?,
        announced: row.announced,
    })
}

#[derive(Clone, PartialEq, ::prost::Message)]
struct SessionRow {
    #[prost(message, optional, tag = "1")]
    user: Option<Id>,
    #[prost(bytes = "vec", tag = "2")]
    refresh_hash: Vec<u8>,
    #[prost(bytes = "vec", optional, tag = "3")]
    previous_hash: Option<Vec<u8>>,
    #[prost(uint64, tag = "4")]
    previous_at: u64,
    #[prost(string, tag = "5")]
    device: String,
    #[prost(uint64, tag = "6")]
    created_at: u64,
    #[prost(uint64, tag = "7")]
    used_at: u64,
    #[prost(uint64, tag = "8")]
    expires_at: u64,
}

pub(super) fn encode_session(session: &Session) -> Vec<u8> {
    bytes_of(&SessionRow {
        user: id(session.user.bits()),
        refresh_hash: session.refresh_hash.to_vec(),
        previous_hash: session.previous.map(|(hash, _)| hash.to_vec()),
        previous_at: session.previous.map_or(0, |(_, at)| at.0),
        device: session.device.clone(),
        created_at: session.created_at.0,
        used_at: session.used_at.0,
        expires_at: session.expires_at.0,
    })
}

pub(super) fn decode_session(id: SessionId, bytes: &[u8]) -> PortResult<Session> {
    let row: SessionRow = decode("session", bytes)?;
    let hash = |bytes: Vec<u8>| bytes.try_into().map_err(|_| unreadable("a token's hash"));
    let previous = row.previous_hash.map(hash).transpose()?;
    Ok(Session {
        id,
        user: UserId::from_bits(wanted("user", row.user)?),
        refresh_hash: hash(row.refresh_hash)?,
        previous: previous.map(|hash| (hash, Timestamp(row.previous_at))),
        device: row.device,
        created_at: Timestamp(row.created_at),
        used_at: Timestamp(row.used_at),
        expires_at: Timestamp(row.expires_at),
    })
}

pub(super) fn bytes_of(row: &impl prost::Message) -> Vec<u8> {
    let mut out = Vec::new();
    encode(row, &mut out);
    out
}
