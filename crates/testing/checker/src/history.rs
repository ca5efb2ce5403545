//! What a history is made of: invocations, outcomes, and what arrived on connections.

use std::borrow::Borrow;
use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// A room, user, message or client message id, as the server or the client wrote it.
///
/// Cheap to clone, so that a client can hold the name of its room and record it a million times.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Name(Arc<str>);

impl Name {
    /// The text of the name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl From<&str> for Name {
    fn from(text: &str) -> Self {
        Self(text.into())
    }
}

impl From<String> for Name {
    fn from(text: String) -> Self {
        Self(text.into())
    }
}

impl Borrow<str> for Name {
    fn borrow(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Serialize for Name {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for Name {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer).map(Self::from)
    }
}

/// Everything that was recorded. The order of entries matters within one process and within one
/// connection only; recordings of several threads may be put together in any interleaving.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct History {
    /// The entries, each connection's in arrival order.
    pub entries: Vec<Entry>,
}

/// One thing that happened.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    /// Nanoseconds of one monotonic clock, the same for all processes of the history.
    pub at: u64,
    /// What happened.
    pub what: What,
}

/// The kinds of entries.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum What {
    /// An operation is about to be sent. `(process, op)` is unique; a process may have several
    /// operations under way.
    Invoke {
        /// The logical client.
        process: u32,
        /// The operation's number within the process.
        op: u64,
        /// What is asked.
        call: Call,
    },
    /// The server said yes.
    Ok {
        /// The logical client.
        process: u32,
        /// The operation answered.
        op: u64,
        /// The answer.
        reply: Reply,
    },
    /// The server said no, and so promised that nothing happened.
    Fail {
        /// The logical client.
        process: u32,
        /// The operation answered.
        op: u64,
        /// The stable code of the refusal.
        code: String,
    },
    /// No answer, a lost connection, or a 5xx: it may or may not have happened.
    Unknown {
        /// The logical client.
        process: u32,
        /// The operation.
        op: u64,
    },
    /// A connection of a session is open. A session is one client's view over its connections.
    ///
    /// With `resumes` the client goes on from the positions of the session's last connection;
    /// frames are then judged when [`What::Resumed`] or [`What::Gap`] follows. When neither comes
    /// before the connection is gone, its frames are checked among themselves and forgotten: the
    /// client must resume again from the positions it had before.
    /// Without `resumes` the session starts afresh.
    Open {
        /// The client's view.
        session: u32,
        /// The connection, unique in the history.
        connection: u64,
        /// Whether it asks to go on where the session was.
        resumes: bool,
    },
    /// The session shall see every event of the room with a seq above `after`.
    Watch {
        /// The client's view.
        session: u32,
        /// The room.
        room: Name,
        /// The last seq that it need not see.
        after: u64,
    },
    /// The session has left the room: nothing is owed to it any more.
    Unwatch {
        /// The client's view.
        session: u32,
        /// The room.
        room: Name,
    },
    /// The server promised that nothing was missed (tier `replay`).
    Resumed {
        /// The connection.
        connection: u64,
    },
    /// The server told the client that it must fetch: tiers `delta` and `snapshot`, `invalid`,
    /// or the light form of `room`. What follows may skip ahead, in this room or in all.
    Gap {
        /// The connection.
        connection: u64,
        /// The room, or all.
        room: Option<Name>,
    },
    /// The connection has ended.
    Close {
        /// The connection.
        connection: u64,
    },
    /// A message arrived on the live stream.
    Receive {
        /// The connection.
        connection: u64,
        /// The room.
        room: Name,
        /// The message.
        item: Item,
    },
    /// A timeline event other than a message arrived; it takes a seq like a message.
    Other {
        /// The connection.
        connection: u64,
        /// The room.
        room: Name,
        /// Its seq.
        seq: u64,
    },
    /// All writers had stopped and the session was given time: it must have seen everything.
    Settled {
        /// The client's view.
        session: u32,
    },
}

/// What a client asks.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Call {
    /// Send a message. Retries use the same `client` and are operations of their own.
    Send {
        /// The room.
        room: Name,
        /// The user who sends.
        sender: Name,
        /// The client message id.
        client: Name,
        /// Digest of the body. Best unique per (room, client), since history does not show
        /// client ids and messages are then told apart by their bodies.
        body: u64,
    },
    /// Edit a message.
    Edit {
        /// The room.
        room: Name,
        /// The message.
        message: Name,
        /// Digest of the new body.
        body: u64,
    },
    /// Delete a message.
    Delete {
        /// The room.
        room: Name,
        /// The message.
        message: Name,
    },
    /// Walk through a room's history.
    Read(Walk),
}

/// A walk through a room's history, page by page, recorded as one operation.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Walk {
    /// The room.
    pub room: Name,
    /// The user who reads.
    pub reader: Name,
    /// The way.
    pub direction: Direction,
    /// Where it starts, exclusive: `before` or `after`. None is the end of the room.
    pub from: Option<u64>,
    /// The page size asked for.
    pub page: u32,
    /// What is owed to this walk.
    pub purpose: Purpose,
}

impl Walk {
    /// A walk from the newest message back.
    pub fn latest(
        room: impl Into<Name>,
        reader: impl Into<Name>,
        page: u32,
        purpose: Purpose,
    ) -> Self {
        let (room, reader) = (room.into(), reader.into());
        Self { room, reader, direction: Direction::Backward, from: None, page, purpose }
    }

    /// A walk from the oldest message on.
    pub fn oldest(
        room: impl Into<Name>,
        reader: impl Into<Name>,
        page: u32,
        purpose: Purpose,
    ) -> Self {
        let (room, reader) = (room.into(), reader.into());
        Self { room, reader, direction: Direction::Forward, from: Some(0), page, purpose }
    }
}

/// Which way a walk goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Direction {
    /// To smaller seqs; items are recorded in falling order.
    Backward,
    /// To greater seqs; items are recorded in rising order.
    Forward,
}

/// What a walk must show.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Purpose {
    /// It may lag behind, but what it shows has no holes.
    Any,
    /// It carried the positions of the process's acknowledged writes and must show them.
    OwnWrites,
    /// It was made when all was quiet: it is the truth that everything else is compared with.
    Final,
}

/// A yes of the server.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Reply {
    /// To a send.
    Sent {
        /// The message's id.
        message: Name,
        /// Its seq.
        seq: u64,
        /// Its ordinal, if it is in the main history.
        ordinal: Option<u64>,
    },
    /// To an edit or a delete.
    Changed {
        /// The seq of the change.
        seq: u64,
    },
    /// To a walk.
    Page {
        /// What was shown, in walk order.
        items: Vec<Item>,
        /// Whether the walk came to the end of the room in its direction.
        complete: bool,
    },
}

/// A message as someone saw it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Item {
    /// Its seq.
    pub seq: u64,
    /// Its id.
    pub message: Name,
    /// Its author.
    pub sender: Name,
    /// Its ordinal, if shown.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ordinal: Option<u64>,
    /// Its client message id, if shown.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub client: Option<Name>,
    /// Digest of its body, if shown.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub body: Option<u64>,
    /// Whether it is a tombstone.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub deleted: bool,
}

/// A 64-bit FNV-1a digest for bodies: equal bodies, equal digests; no secrecy.
pub fn digest(body: &[u8]) -> u64 {
    body.iter().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3)
    })
}
