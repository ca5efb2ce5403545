//! The durable, replayable record of all events.
//!
//! Shaped for engines that differ: an own segmented file log, `JetStream` (publishes that name the
//! last sequence of a room's subjects, atomic batches), Kafka (one fenced writer per partition)
//! and Redis Streams (a script). A caller may rely on nothing more than what is written here.

use std::fmt;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use futures::channel::oneshot;
use klatch_domain::Timestamp;
use smallvec::SmallVec;

use crate::error::{ErrorKind, PortError, PortResult};
use crate::position::{Epoch, Offset, Partition, Position, StreamId};

/// What a record belongs to: the bits of a room's, person's or hook's id. Records of one key of
/// one stream have one order and lie in one partition.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Key(pub u128);

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Key({:032x})", self.0)
    }
}

/// What a record is about, as far as an engine routes by it (the second word of a subject).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum Kind {
    /// A message was sent.
    Send = 1,
    /// A message was edited.
    Edit = 2,
    /// A message was deleted.
    Delete = 3,
    /// A reaction changed.
    React = 4,
    /// A pin changed.
    Pin = 5,
    /// A membership changed; copied to [`StreamId::Meta`].
    Member = 6,
    /// A room changed; copied to [`StreamId::Meta`].
    Room = 7,
    /// A user changed.
    User = 8,
    /// Read pointers moved.
    Read = 9,
    /// A push to deliver.
    Push = 10,
    /// A webhook call to deliver.
    Hook = 11,
    /// A record of the system itself.
    System = 12,
}

impl Kind {
    /// All kinds.
    pub const ALL: [Self; 12] = [
        Self::Send,
        Self::Edit,
        Self::Delete,
        Self::React,
        Self::Pin,
        Self::Member,
        Self::Room,
        Self::User,
        Self::Read,
        Self::Push,
        Self::Hook,
        Self::System,
    ];

    /// The kind with this number.
    pub fn from_number(number: u8) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| *kind as u8 == number)
    }

    /// The word in subjects and metrics.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Send => "send",
            Self::Edit => "edit",
            Self::Delete => "delete",
            Self::React => "react",
            Self::Pin => "pin",
            Self::Member => "member",
            Self::Room => "room",
            Self::User => "user",
            Self::Read => "read",
            Self::Push => "push",
            Self::Hook => "hook",
            Self::System => "system",
        }
    }

    /// Whether `stream` shows a record of this kind that was appended to `home`.
    ///
    /// Meta shows its own records and a copy of the room and member events of Messages.
    pub fn is_shown_in(self, home: StreamId, stream: StreamId) -> bool {
        home == stream
            || (stream == StreamId::Meta
                && home == StreamId::Messages
                && matches!(self, Self::Room | Self::Member))
    }
}

/// A record to append.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewRecord {
    /// What it is about.
    pub kind: Kind,
    /// Opaque to every engine; at most [`RECORD_BYTES_MAX`].
    pub body: Bytes,
}

/// Most bytes in a record's body.
pub const RECORD_BYTES_MAX: usize = 1024 * 1024;
/// Most records in one [`Append`].
pub const APPEND_RECORDS_MAX: usize = 1000;
/// Most bytes in the bodies of one [`Append`] together.
pub const APPEND_BYTES_MAX: usize = 8 * 1024 * 1024;

/// What must hold for an append to take place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Expected {
    /// Nothing.
    Any,
    /// The newest record of the key in this stream is this one; `None`: the log holds none.
    Head(Option<Offset>),
}

/// Records of one key that are appended together: all or none, next to each other, in order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Append {
    /// To which stream.
    pub stream: StreamId,
    /// For which key.
    pub key: Key,
    /// Under which condition.
    pub expected: Expected,
    /// What; 1 to [`APPEND_RECORDS_MAX`] records.
    pub records: SmallVec<[NewRecord; 1]>,
}

impl Append {
    /// Bytes of all bodies together.
    pub fn body_bytes(&self) -> usize {
        self.records.iter().map(|record| record.body.len()).sum()
    }

    /// Whether it keeps every limit named here; an engine refuses one that does not with
    /// [`ErrorKind::Misconfigured`].
    pub fn is_within_limits(&self) -> bool {
        (1..=APPEND_RECORDS_MAX).contains(&self.records.len())
            && self.records.iter().all(|record| record.body.len() <= RECORD_BYTES_MAX)
            && self.body_bytes() <= APPEND_BYTES_MAX
    }
}

/// Where an append landed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Appended {
    /// Of the first record.
    pub first: Position,
    /// Of the last record; the offsets between are consecutive.
    pub last: Position,
}

impl Appended {
    /// Position of the record `index` of the append.
    pub fn at(&self, index: usize) -> Position {
        let offset = Offset(self.first.offset.0 + index as u64);
        Position { offset, ..self.first }
    }
}

/// Why an append did not take place, or may not have.
#[derive(Debug)]
pub enum AppendError {
    /// Another writer was first: nothing was appended. Reload the head and decide again.
    Conflict {
        /// The newest record of the key.
        actual: Option<Offset>,
    },
    /// The engine failed. [`ErrorKind::Full`], [`ErrorKind::Throttled`], [`ErrorKind::Closed`] and
    /// [`ErrorKind::Misconfigured`]: nothing was appended. Any other kind: the outcome is unknown.
    Port(PortError),
}

impl AppendError {
    /// Whether the records may still turn up in the log.
    pub fn outcome_unknown(&self) -> bool {
        match self {
            Self::Conflict { .. } => false,
            Self::Port(error) => !matches!(
                error.kind,
                ErrorKind::Full
                    | ErrorKind::Throttled
                    | ErrorKind::Closed
                    | ErrorKind::Misconfigured
            ),
        }
    }
}

/// Called once, from any thread, when an append is durable or has failed. Must not block.
///
/// The thread may be the caller's own, before `submit` returns: hold no lock there that this takes.
pub type Completion = Box<dyn FnOnce(Result<Appended, AppendError>) + Send>;

/// Appends to the log.
#[async_trait]
pub trait EventAppender: Send + Sync {
    /// Queues an append and returns at once; `done` is called when its outcome is known, on a
    /// thread that need not belong to any runtime, and must not block it.
    ///
    /// Durable means: by the engine's strongest everyday promise (embedded: fsynced). Appends of
    /// one key take effect in the order they were submitted. An append that names a head already
    /// taken by an earlier, still running append of this caller succeeds only if it named the
    /// offset that append will get, which nobody can know: one append in flight per key.
    fn submit(&self, append: Append, done: Completion);

    /// [`EventAppender::submit`] as a future.
    ///
    /// # Errors
    /// [`AppendError`], as `submit` reports it.
    async fn append(&self, append: Append) -> Result<Appended, AppendError> {
        let (sender, receiver) = oneshot::channel();
        self.submit(
            append,
            Box::new(move |outcome| {
                // A caller that went away has no use for the outcome.
                let _ = sender.send(outcome);
            }),
        );
        let gone = || PortError::new(ErrorKind::Unavailable, "log", "append");
        receiver.await.unwrap_or_else(|_| Err(AppendError::Port(gone())))
    }
}

/// A record as the log holds it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// Its place; comparable within the stream and partition it was read from.
    pub offset: Offset,
    /// The stream it was appended to (not the one it is read through).
    pub home: StreamId,
    /// What it belongs to.
    pub key: Key,
    /// What it is about.
    pub kind: Kind,
    /// When the log took it in; never earlier than the record before it. Retention goes by this,
    /// order never does.
    pub appended_at: Timestamp,
    /// What was appended.
    pub body: Bytes,
}

/// A piece of the log.
#[derive(Clone, Debug, Default)]
pub struct Batch {
    /// Records in order of offset.
    pub records: Vec<Record>,
    /// Everything up to here has been looked at, shown or not: go on after it.
    pub through: Offset,
}

/// Reads the log. Sees durable records only.
#[async_trait]
pub trait LogReader: Send + Sync {
    /// The life this log is in.
    fn epoch(&self) -> Epoch;

    /// How many partitions `stream` has.
    fn partitions(&self, stream: StreamId) -> u16;

    /// The partition that holds `key`.
    fn partition_of(&self, stream: StreamId, key: Key) -> Partition;

    /// The end of the durable part: the offset of the newest record, or a later one. Cheap.
    async fn end(&self, stream: StreamId, partition: Partition) -> PortResult<Offset>;

    /// The offset before the oldest record of `stream` that is still there; 0 while nothing was
    /// forgotten. Records of [`StreamId::System`] are never forgotten: no read model holds them.
    async fn start(&self, stream: StreamId, partition: Partition) -> PortResult<Offset>;

    /// Up to `limit` records after `after`. An empty batch with `through == after`: nothing yet.
    /// May return fewer, or none, although more are there; `through` then is before the end.
    ///
    /// # Errors
    /// [`ErrorKind::Forgotten`]: `after` lies before [`LogReader::start`], so that something would
    /// be missed. [`ErrorKind::Corrupt`] names the damaged place; other parts stay readable.
    /// [`ErrorKind::Misconfigured`]: there is no such partition.
    async fn read(
        &self,
        stream: StreamId,
        partition: Partition,
        after: Offset,
        limit: usize,
    ) -> PortResult<Batch>;

    /// Returns when something durable may lie after `after`, or when `most` has passed.
    async fn wait(
        &self,
        stream: StreamId,
        partition: Partition,
        after: Offset,
        most: Duration,
    ) -> PortResult<()>;

    /// The offset before the first record appended at `time` or later; the end when there is none.
    async fn at_time(
        &self,
        stream: StreamId,
        partition: Partition,
        time: Timestamp,
    ) -> PortResult<Offset>;

    /// The newest durable record of `key` that was appended to `stream`, if the log still holds
    /// one: what [`Expected::Head`] is compared with. A room quiet for longer than retention has
    /// none; its end is in the read model. Copies shown in a stream do not count.
    async fn head(&self, stream: StreamId, key: Key) -> PortResult<Option<Offset>>;

    /// The record at `offset`, if `stream` shows it and it is still there.
    async fn record(
        &self,
        stream: StreamId,
        partition: Partition,
        offset: Offset,
    ) -> PortResult<Option<Record>>;
}

/// A record handed out by a durable consumer.
#[derive(Clone, Debug)]
pub struct Delivery {
    /// The record.
    pub record: Record,
    /// How often it was handed out, this time included. A crash may lose the last counts.
    pub attempt: u32,
}

/// Most records a consumer may have handed out and not finished, put-back ones included. At this
/// many, [`Consumer::fetch`] hands out nothing but what is due again.
pub const OUTSTANDING_MAX: usize = 10_000;

/// Whether `name` can name a durable consumer: 1 to 64 of `a`–`z`, `0`–`9`, `-` and `_`.
pub fn is_consumer_name(name: &str) -> bool {
    let allowed = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-' || b == b'_';
    (1..=64).contains(&name.len()) && name.bytes().all(allowed)
}

/// Opens durable consumers.
#[async_trait]
pub trait EventConsumer: Send + Sync {
    /// The consumer called `name` on a partition: made at `start` when new (its first record is
    /// the first one after it; a `start` after the end is the end), else where it was: every
    /// record after the floor that was not finished comes again, put-back ones when they are due.
    ///
    /// One holder at a time: opening it again ends the earlier handle, whose calls then answer
    /// [`ErrorKind::Closed`]. The same name on another stream or partition is another consumer.
    ///
    /// # Errors
    /// [`ErrorKind::Misconfigured`]: not a name by [`is_consumer_name`], or no such partition.
    async fn open(
        &self,
        name: &str,
        stream: StreamId,
        partition: Partition,
        start: Offset,
    ) -> PortResult<Box<dyn Consumer>>;
}

/// A durable consumer: at least once, in order except for what was put back.
#[async_trait]
pub trait Consumer: Send {
    /// Up to `limit` records that are due: put-back ones first, then new ones. Waits up to `most`
    /// for the first; empty when none came. Dropping the future hands out nothing.
    async fn fetch(&mut self, limit: usize, most: Duration) -> PortResult<Vec<Delivery>>;

    /// Done with everything handed out up to and including `through` that was not put back since.
    async fn ack(&mut self, through: Offset) -> PortResult<()>;

    /// Puts one handed-out record back; it is handed out again after `delay`. Others go on
    /// meanwhile. No effect on a record that is not out.
    async fn nak(&mut self, offset: Offset, delay: Duration) -> PortResult<()>;

    /// Gives up one record: it is not handed out again. The caller has recorded a dead letter.
    async fn term(&mut self, offset: Offset) -> PortResult<()>;

    /// Everything up to here is acknowledged or given up. Survives a restart (it may lag: records
    /// since the last few acknowledgements can come again).
    async fn floor(&self) -> PortResult<Offset>;
}
