//! Stores that count what is read from them.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use klatch_domain::member::Membership;
use klatch_domain::room::{Room, RoomHead};
use klatch_domain::user::User;
use klatch_domain::{RoomId, Seq, UserId};
use klatch_ports::activity::{ActivityPlace, ActivityReader, ChangedRoom, Spans};
use klatch_ports::messages::Applied;
use klatch_ports::metadata::{MemberReader, MetadataProgress, RoomReader, UserNumber, UserReader};
use klatch_ports::{Offset, Partition, PortResult};
use parking_lot::Mutex;

/// What was read, by method: calls, and rows that they gave.
#[derive(Clone, Debug, Default)]
pub struct Tally(Arc<Mutex<BTreeMap<&'static str, (u64, u64)>>>);

impl Tally {
    /// What was read since the last time.
    pub fn take(&self) -> BTreeMap<&'static str, (u64, u64)> {
        std::mem::take(&mut *self.0.lock())
    }

    fn count(&self, method: &'static str, rows: usize) {
        let mut counts = self.0.lock();
        let (calls, all) = counts.entry(method).or_default();
        *calls += 1;
        *all += rows as u64;
    }
}

/// A store whose reads are counted; asking how far it is, is not.
#[derive(Clone, Debug)]
pub struct Counted<T> {
    inner: Arc<T>,
    tally: Tally,
}

impl<T> Counted<T> {
    /// Counts into `tally`.
    pub fn new(inner: Arc<T>, tally: &Tally) -> Self {
        Self { inner, tally: tally.clone() }
    }
}

/// How many rows an answer is made of.
trait Rows {
    fn rows(&self) -> usize;
}

impl<T> Rows for Vec<T> {
    fn rows(&self) -> usize {
        self.len()
    }
}

impl<T> Rows for Option<Vec<T>> {
    fn rows(&self) -> usize {
        self.as_ref().map_or(0, Vec::len)
    }
}

impl Rows for Spans {
    fn rows(&self) -> usize {
        self.spans.len()
    }
}

macro_rules! one_row {
    ($($answer:ty),*) => {$(
        impl Rows for $answer {
            fn rows(&self) -> usize {
                1
            }
        }
    )*};
}

one_row!(
    usize,
    Option<User>,
    Option<UserNumber>,
    Option<UserId>,
    Option<Room>,
    Option<RoomId>,
    Option<Membership>
);

/// Passes reads of a port on, and counts them.
macro_rules! counted {
    ($port:ident { $($method:ident($($name:ident: $kind:ty),*) -> $answer:ty;)* }) => {
        #[async_trait]
        impl<T: $port> $port for Counted<T> {
            $(async fn $method(&self, $($name: $kind),*) -> PortResult<$answer> {
                let answer = self.inner.$method($($name),*).await?;
                self.tally.count(stringify!($method), answer.rows());
                Ok(answer)
            })*
        }
    };
}

counted!(UserReader {
    user(id: UserId) -> Option<User>;
    users(ids: &[UserId]) -> Vec<Option<User>>;
    number(id: UserId) -> Option<UserNumber>;
    list_users(after: Option<UserId>, limit: usize) -> Vec<User>;
    user_by_external(external: u128) -> Option<UserId>;
});

counted!(RoomReader {
    room(id: RoomId) -> Option<Room>;
    rooms(ids: &[RoomId]) -> Vec<Option<Room>>;
    public_rooms(after: Option<RoomId>, limit: usize) -> Vec<Room>;
    room_by_external(external: u128) -> Option<RoomId>;
});

counted!(MemberReader {
    membership(room: RoomId, user: UserId) -> Option<Membership>;
    members(room: RoomId, after: Option<UserId>, limit: usize) -> Vec<Membership>;
    numbers_at(room: RoomId, seq: Seq) -> Vec<UserNumber>;
    rooms_of(user: UserId, after: Option<RoomId>, limit: usize) -> Vec<(RoomId, Membership)>;
    owners(room: RoomId) -> usize;
});

counted!(ActivityReader {
    changed(user: UserId, partition: Partition, after: Offset, limit: usize)
        -> Option<Vec<ChangedRoom>>;
    spans(user: UserId, partition: Partition, within: (Offset, Offset), limit: usize) -> Spans;
    latest(user: UserId, after: Option<ActivityPlace>, limit: usize) -> Vec<(RoomId, RoomHead)>;
});

#[async_trait]
impl<T: MetadataProgress> MetadataProgress for Counted<T> {
    async fn applied(&self, partition: Partition) -> PortResult<Applied> {
        self.inner.applied(partition).await
    }

    async fn wait_applied(
        &self,
        partition: Partition,
        offset: Offset,
        most: Duration,
    ) -> PortResult<bool> {
        self.inner.wait_applied(partition, offset, most).await
    }
}
