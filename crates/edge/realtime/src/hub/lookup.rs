//! Finds the members of rooms that speak for the first time, or for the first time since someone
//! came.

use std::collections::HashSet;
use std::time::Duration;

use futures::future::try_join_all;
use klatch_ports::{Offset, Partition, PortResult};
use klatch_protocol::inbox::Effect;

use super::rooms::Unknown;
use super::users::UserRef;
use super::{Hub, Item, Stopped};
use crate::membership::EventAt;

/// Rows asked for at the same time.
const AT_ONCE: usize = 32;
/// Up to this many users are looked up one by one without asking how large the room is.
const FEW: usize = 8;
/// Members read in a range for the price of one looked up by itself, roughly.
const RANGE_FACTOR: u64 = 16;

impl Hub {
    /// Makes the entries of all rooms that speak in `items` fit for their first event there.
    pub(super) async fn prepare(
        &mut self,
        partition: Partition,
        items: &[Item],
    ) -> Result<(), Stopped> {
        if self.users.live() == 0 {
            return Ok(());
        }
        let asked = self.questions(partition, items);
        if asked.is_empty() {
            return Ok(());
        }
        let settled = self.partition(partition).settled;
        while !insist!(self, "asking the metadata store", self.store_reaches(partition, settled))? {
            tracing::warn!(offset = settled.0, "the metadata store lags: delivery waits");
            if self.shared.stop.is_cancelled() {
                return Err(Stopped);
            }
        }
        let answers = insist!(self, "looking up members", self.members_of_all(&asked))?;
        for ((at, unknown), members) in asked.iter().zip(answers) {
            self.rooms.learn(at.room, unknown, members);
        }
        Ok(())
    }

    /// One question per room that has to ask, at its first event.
    fn questions(&self, partition: Partition, items: &[Item]) -> Vec<(EventAt, Unknown)> {
        let mut asked = Vec::new();
        let mut rooms = HashSet::new();
        for item in items {
            let Some(unknown) = self.rooms.unknown_to(item.room) else { continue };
            // A room that begins says who is in it.
            if rooms.insert(item.room) && !matches!(item.effect, Effect::Began(_)) {
                let (offset, room, seq) = (item.offset, item.room, item.seq);
                asked.push((EventAt { partition, offset, room, seq }, unknown));
            }
        }
        asked
    }

    async fn store_reaches(&self, partition: Partition, offset: Offset) -> PortResult<bool> {
        self.shared.deps.store_reaches(partition, offset, Duration::from_secs(1)).await
    }

    async fn members_of_all(&self, asked: &[(EventAt, Unknown)]) -> PortResult<Vec<Vec<UserRef>>> {
        let mut members = Vec::with_capacity(asked.len());
        for asked in asked.chunks(AT_ONCE) {
            let asked = asked.iter().map(|(at, unknown)| self.members(*at, unknown));
            members.extend(try_join_all(asked).await?);
        }
        Ok(members)
    }

    /// Those of the unknown who were in the room at its event.
    async fn members(&self, at: EventAt, unknown: &Unknown) -> PortResult<Vec<UserRef>> {
        let count = match unknown {
            Unknown::All => self.users.live(),
            Unknown::Newcomers(users) => users.len(),
        };
        if count > FEW && self.is_range_cheaper(at, count).await? {
            return self.members_by_range(at, unknown).await;
        }
        match unknown {
            Unknown::All => {
                let all = self.users.iter().map(|(user, _)| user);
                self.members_one_by_one(at, all).await
            }
            Unknown::Newcomers(users) => self.members_one_by_one(at, users.iter().copied()).await,
        }
    }

    async fn is_range_cheaper(&self, at: EventAt, count: usize) -> PortResult<bool> {
        let room = self.shared.deps.metadata.room(at.room).await?;
        let members = room.map_or(0, |room| room.member_count);
        Ok(members / RANGE_FACTOR <= count as u64)
    }

    async fn members_one_by_one(
        &self,
        at: EventAt,
        users: impl Iterator<Item = UserRef> + Send,
    ) -> PortResult<Vec<UserRef>> {
        let users = users.filter_map(|user| Some((user, self.users.live_user(user)?.id)));
        let users: Vec<_> = users.collect();
        let mut members = Vec::new();
        for some in users.chunks(AT_ONCE) {
            let asked = some.iter().map(|(_, id)| self.shared.deps.was_in(at, *id));
            let answers = try_join_all(asked).await?;
            let inside = some.iter().zip(answers).filter(|(_, inside)| *inside);
            members.extend(inside.map(|((user, _), _)| *user));
        }
        Ok(members)
    }

    async fn members_by_range(&self, at: EventAt, unknown: &Unknown) -> PortResult<Vec<UserRef>> {
        let deps = &self.shared.deps;
        let asked: Option<HashSet<UserRef>> = match unknown {
            Unknown::All => None,
            Unknown::Newcomers(users) => Some(users.iter().copied().collect()),
        };
        let is_asked = |user: &UserRef| {
            self.users.live_user(*user).is_some()
                && asked.as_ref().is_none_or(|asked| asked.contains(user))
        };
        let numbers = deps.metadata.numbers_at(at.room, at.seq).await?;
        let found = numbers.into_iter().filter_map(|number| self.users.by_number(number));
        let mut members: HashSet<UserRef> = found.filter(is_asked).collect();
        let without_number = self.users.iter().filter(|(_, user)| user.number.is_none());
        let without_number: Vec<_> =
            without_number.map(|(user, _)| user).filter(is_asked).collect();
        members.extend(self.members_one_by_one(at, without_number.into_iter()).await?);
        // Rows of later stays hide earlier ones. Read after the range, so that what it does not
        // tell is told by the room's row.
        let room = deps.metadata.room(at.room).await?;
        if room.is_some_and(|room| room.changed_seq > at.seq) {
            for (id, inside) in deps.changes_after(at).await? {
                let Some(user) = self.users.find(id).filter(is_asked) else { continue };
                if inside {
                    members.insert(user);
                } else {
                    members.remove(&user);
                }
            }
        }
        Ok(members.into_iter().collect())
    }
}
