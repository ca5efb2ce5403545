//! Small, repeatable things to store.

use bytes::Bytes;
use klatch_domain::member::{MemberRole, Membership};
use klatch_domain::room::{Room, RoomHead, RoomTexts, RoomType, Visibility};
use klatch_domain::scope::Scopes;
use klatch_domain::user::{ServerRole, User};
use klatch_domain::{
    ApiTokenId, ContentType, Entropy, InvitationId, Message, MessageId, Ordinal, RoomId, Sealed,
    Seq, SessionId, Timestamp, UserId,
};
use klatch_ports::accounts::{Account, Claim, ClaimKind, Session};
use klatch_ports::api_tokens::ApiToken;
use klatch_ports::invitations::Invitation;
use klatch_ports::messages::{Applied, StoredHead};
use klatch_ports::{Epoch, Offset, Partition};

/// The partition of all samples.
pub const P0: Partition = Partition(0);

const START_MS: u64 = 1_700_000_000_000;

fn v7(kind: u128, n: u64) -> u128 {
    u128::from(START_MS + n) << 80 | 0x7 << 76 | 0b10 << 62 | kind << 48 | u128::from(n)
}

/// The n-th user; ids order as numbers do.
pub fn user_id(n: u64) -> UserId {
    UserId::from_bits(v7(1, n))
}

/// The n-th room; ids order as numbers do.
pub fn room_id(n: u64) -> RoomId {
    RoomId::from_bits(v7(2, n))
}

/// The n-th session; ids order as numbers do.
pub fn session_id(n: u64) -> SessionId {
    SessionId::from_bits(v7(3, n))
}

/// A time `n` milliseconds after the samples' start.
pub fn time(n: u64) -> Timestamp {
    Timestamp(START_MS + n)
}

/// A place in the log's first life.
pub fn at(offset: u64) -> Applied {
    Applied { epoch: Epoch(1), offset: Offset(offset) }
}

/// Bytes that stand for sealed ones.
pub fn sealed(person: UserId, n: u64) -> Sealed {
    let length = usize::try_from(n % 97).unwrap_or(0) + 29;
    let bytes: Vec<u8> = n.to_be_bytes().into_iter().cycle().take(length).collect();
    Sealed { person, bytes: Bytes::from(bytes) }
}

/// A message of the main history, when `ordinal` is given, else of a thread only.
pub fn message(room: RoomId, seq: u64, ordinal: Option<u64>) -> Message {
    let sender = user_id(seq % 5);
    let thread = MessageId::new(room, Seq(1), time(1));
    Message {
        id: MessageId::new(room, Seq(seq), time(seq)),
        room,
        seq: Seq(seq),
        ordinal: ordinal.map(Ordinal),
        sender,
        content_type: ContentType::Text,
        body: Some(sealed(sender, seq)),
        reply_to: None,
        thread: ordinal.is_none().then_some(thread),
        created_at: time(seq),
        edited: None,
        deleted: None,
    }
}

/// A head of a room whose newest event is `seq`.
pub fn head(seq: u64, ordinal: u64, offset: u64) -> StoredHead {
    StoredHead {
        head: RoomHead {
            seq: Seq(seq),
            ordinal: Ordinal(ordinal),
            time: time(seq),
            active_at: time(ordinal),
        },
        offset: Offset(offset),
    }
}

/// The n-th user as stored.
pub fn user(n: u64) -> User {
    let id = user_id(n);
    User {
        id,
        bot: n % 7 == 6,
        role: if n == 0 { ServerRole::Admin } else { ServerRole::Member },
        created_at: time(n),
        profile: sealed(id, n),
    }
}

/// The n-th room as stored: a public channel.
pub fn room(n: u64) -> Room {
    Room {
        id: room_id(n),
        kind: RoomType::Channel,
        visibility: Visibility::Public,
        texts: RoomTexts { name: Some(format!("room {n}")), ..RoomTexts::default() },
        created_by: user_id(0),
        created_at: time(n),
        archived: false,
        deleted: false,
        member_count: 1,
        changed_seq: Seq(1),
    }
}

/// A stay that began at event `joined` and has not ended.
pub fn member(user: UserId, joined: u64) -> Membership {
    Membership {
        user,
        role: MemberRole::Member,
        joined_at: time(joined),
        joined_seq: Seq(joined),
        left_seq: None,
        read_floor: joined / 2,
    }
}

/// The n-th account, not announced.
pub fn account(n: u64) -> Account {
    let user = user_id(n);
    Account {
        user,
        password_hash: Some(format!("$argon2id$v=19$m=8,t=1,p=1$c2FsdA${n:032}")),
        role: ServerRole::Member,
        bot: false,
        banned: false,
        created_at: time(n),
        profile: sealed(user, n),
        external: None,
        announced: false,
    }
}

/// A claim of a user name.
pub fn claim(name: &str, holder: u128) -> Claim {
    Claim { kind: ClaimKind::Username, name: name.to_owned(), holder }
}

/// The n-th session, of `user`.
pub fn session(n: u64, user: UserId) -> Session {
    Session {
        id: session_id(n),
        user,
        refresh_hash: [u8::try_from(n % 251).unwrap_or(0); 32],
        previous: None,
        device: format!("device {n}"),
        created_at: time(n),
        used_at: time(n),
        expires_at: time(n + 1_000),
    }
}

/// The n-th invitation, for `uses_max` people; ids order as numbers do.
pub fn invitation(n: u64, room: Option<RoomId>, uses_max: u32) -> Invitation {
    Invitation {
        id: InvitationId::from_bits(v7(4, n)),
        hash: [u8::try_from(n % 251).unwrap_or(0); 32],
        room,
        role: ServerRole::Guest,
        uses_max,
        uses: 0,
        expires_at: time(1_000),
        revoked: false,
        created_by: user_id(0),
    }
}

/// The n-th token of a program, of `user`; ids order as numbers do.
pub fn api_token(n: u64, user: UserId) -> ApiToken {
    ApiToken {
        id: ApiTokenId::from_bits(v7(5, n)),
        user,
        hash: [u8::try_from(n % 251).unwrap_or(0); 32],
        name: format!("token {n}"),
        scopes: Scopes::ALL,
        expires_at: None,
        made_by: None,
    }
}

/// Bytes that repeat with the seed: a 64-bit mix of a counter.
#[derive(Debug)]
pub struct Repeatable(std::sync::atomic::AtomicU64);

impl Repeatable {
    /// From a seed.
    pub fn new(seed: u64) -> Self {
        Self(std::sync::atomic::AtomicU64::new(seed))
    }

    /// The next 64 bits (the `SplitMix64` generator).
    pub fn next(&self) -> u64 {
        const STEP: u64 = 0x9e37_79b9_7f4a_7c15;
        let old = self.0.fetch_add(STEP, std::sync::atomic::Ordering::Relaxed);
        let z = old.wrapping_add(STEP);
        let z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }
}

impl Entropy for Repeatable {
    fn fill(&self, out: &mut [u8]) {
        for part in out.chunks_mut(8) {
            for (to, from) in part.iter_mut().zip(self.next().to_be_bytes()) {
                *to = from;
            }
        }
    }
}
