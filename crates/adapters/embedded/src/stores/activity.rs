//! What happened in a user's rooms, from compressed sets: the rooms a user is in, and the rooms
//! that spoke in each block of the log.
//!
//! A walk goes through the blocks from the newest one backwards and looks into a block only if
//! someone of interest spoke in it. A block of a higher level is there once the log has passed its
//! end; until then those below it are looked at.

use std::cmp::Reverse;
use std::collections::{BTreeMap, HashMap};
use std::ops::ControlFlow;

use klatch_domain::room::RoomHead;
use klatch_domain::{RoomId, Timestamp, UserId};
use klatch_ports::activity::{ActivityPlace, ChangedRoom, Span, Spans};
use klatch_ports::messages::StoredHead;
use klatch_ports::{Offset, Partition, PortResult};
use roaring::RoaringBitmap;

use super::layout::{JOINED, LEFT, NEXT_ROOM, POSITION, ROOM_NUMBER};
use super::messages::head;
use super::sets::{self, Block, CHILDREN, TOP};
use super::{View, layout, row};

/// Up to this many rooms are looked at one by one to see which changed: cheaper than the sets.
const FEW: u64 = 16;
/// Up to this many are ranked one by one: cheaper than looking where each spoke last.
const FEW_RANKED: u64 = 128;
/// Up to this many parts of a user's set of rooms are asked for one by one: cheaper than a range,
/// which meets every version of them that the tables still hold, of 8 KiB each in very many rooms.
const FEW_PARTS: u32 = 16;
/// Rooms that the first block of a range may hold besides.
const EDGE: u64 = 1 << 6;

/// The numbers of the rooms a user is in.
fn joined(view: &View, user: UserId) -> PortResult<RoaringBitmap> {
    let next = view.get(&[NEXT_ROOM])?.map(|bytes| row::decode_number(&bytes)).transpose()?;
    let last_part = next.unwrap_or_default() >> u16::BITS;
    let mut all = RoaringBitmap::new();
    if last_part < FEW_PARTS {
        for part in 0..=last_part {
            let part = u16::try_from(part).unwrap_or(u16::MAX);
            if let Some(bytes) = view.get(&layout::joined(user, part))? {
                all |= sets::decode_set(&bytes)?;
            }
        }
        return Ok(all);
    }
    for guard in view.prefix(&layout::one(JOINED, user.bits())) {
        all |= sets::decode_set(&View::pair(guard)?.1)?;
    }
    Ok(all)
}

/// The rooms a user went out of after `after`, and where last. They may have come back.
fn left(
    view: &View,
    user: UserId,
    partition: Partition,
    after: Offset,
) -> PortResult<HashMap<RoomId, Offset>> {
    let key = |offset| layout::left(user, partition, offset).to_vec();
    debug_assert_eq!(key(after).first(), Some(&LEFT));
    let later = key(Offset(after.0.saturating_add(1)))..=key(Offset(u64::MAX));
    let read = |guard| {
        let (key, room) = View::pair(guard)?;
        Ok((layout::last_room(&room)?, Offset(layout::last_number(&key)?)))
    };
    view.range(later).map(read).collect()
}

fn number(view: &View, room: RoomId) -> PortResult<Option<u32>> {
    let bytes = view.get(&layout::one(ROOM_NUMBER, room.bits()))?;
    bytes.map(|bytes| row::decode_number(&bytes)).transpose()
}

/// The rooms behind numbers, with their ends.
fn ends(view: &View, numbers: &RoaringBitmap) -> PortResult<Vec<(RoomId, Partition, StoredHead)>> {
    let mut found = Vec::new();
    for number in numbers {
        let Some(bytes) = view.get(&layout::numbered(number))? else { continue };
        let (room, partition) = sets::decode_numbered(&bytes)?;
        found.extend(head(view, room)?.map(|head| (room, partition, head)));
    }
    Ok(found)
}

pub(super) fn changed(
    view: &View,
    user: UserId,
    partition: Partition,
    after: Offset,
    limit: usize,
) -> PortResult<Option<Vec<ChangedRoom>>> {
    let most = limit as u64;
    let mut candidates = joined(view, user)?;
    if candidates.len() > FEW {
        let mut spoke = RoaringBitmap::new();
        let walk = Walk::new(view, partition, after, Offset(u64::MAX))?;
        walk.gather(&candidates, &mut spoke)?;
        if spoke.len() > most.saturating_add(EDGE) {
            return Ok(None);
        }
        candidates = spoke;
    }
    let mut found: HashMap<RoomId, ChangedRoom> = HashMap::new();
    for (room, of, head) in ends(view, &candidates)? {
        if of == partition && head.offset > after {
            found.insert(room, ChangedRoom { room, head, left: None });
        }
    }
    for (room, offset) in left(view, user, partition, after)? {
        if !found.contains_key(&room)
            && let Some(head) = head(view, room)?
        {
            found.insert(room, ChangedRoom { room, head, left: Some(offset) });
        }
    }
    let mut found: Vec<_> = found.into_values().collect();
    found.sort_unstable_by_key(|changed| Reverse(changed.head.offset));
    Ok((found.len() <= limit).then_some(found))
}

pub(super) fn spans(
    view: &View,
    user: UserId,
    partition: Partition,
    (after, to): (Offset, Offset),
    limit: usize,
) -> PortResult<Spans> {
    let mut wanted = joined(view, user)?;
    for room in left(view, user, partition, after)?.into_keys() {
        wanted.extend(number(view, room)?);
    }
    let mut found = Spans::default();
    Walk::new(view, partition, after, to)?.blocks(&mut wanted, &mut |wanted, index, block| {
        if wanted.is_disjoint(&block.rooms) {
            return Ok(ControlFlow::Continue(()));
        }
        if found.spans.len() >= limit {
            found.cut = true;
            return Ok(ControlFlow::Break(()));
        }
        let first = index << sets::bits(0);
        found.spans.push(Span {
            after: after.max(Offset(first.saturating_sub(1))),
            through: to.min(Offset(first + (1 << sets::bits(0)) - 1)),
        });
        Ok(ControlFlow::Continue(()))
    })?;
    Ok(found)
}

/// The best rooms found so far, by their place in the list.
struct Best {
    after: Option<(Reverse<Timestamp>, RoomId)>,
    limit: usize,
    rooms: BTreeMap<(Reverse<Timestamp>, RoomId), RoomHead>,
}

impl Best {
    fn offer(&mut self, room: RoomId, head: RoomHead) {
        let place = (Reverse(head.active_at), room);
        if self.after.is_none_or(|after| place > after) {
            self.rooms.insert(place, head);
        }
        if self.rooms.len() > self.limit {
            self.rooms.pop_last();
        }
    }

    /// Whether no room that was last active at `newest` or before belongs among them.
    fn is_settled(&self, newest: Timestamp) -> bool {
        let worst = self.rooms.last_key_value().map(|((Reverse(at), _), _)| *at);
        self.rooms.len() >= self.limit && worst.is_none_or(|worst| worst > newest)
    }
}

pub(super) fn latest(
    view: &View,
    user: UserId,
    after: Option<ActivityPlace>,
    limit: usize,
) -> PortResult<Vec<(RoomId, RoomHead)>> {
    let mut wanted = joined(view, user)?;
    let after = after.map(|(at, room)| (Reverse(at), room));
    let mut best = Best { after, limit, rooms: BTreeMap::new() };
    if wanted.len() <= FEW_RANKED {
        for (room, _, stored) in ends(view, &wanted)? {
            best.offer(room, stored.head);
        }
    } else {
        for partition in partitions(view)? {
            let walk = Walk::new(view, partition, Offset::ZERO, Offset(u64::MAX))?;
            walk.blocks(&mut wanted, &mut |wanted, _, block| {
                let met = &*wanted & &block.rooms;
                *wanted -= &met;
                for (room, _, stored) in ends(view, &met)? {
                    best.offer(room, stored.head);
                }
                let done = best.is_settled(block.before);
                Ok(if done { ControlFlow::Break(()) } else { ControlFlow::Continue(()) })
            })?;
        }
    }
    Ok(best.rooms.into_iter().map(|((_, room), head)| (room, head)).collect())
}

fn partitions(view: &View) -> PortResult<Vec<Partition>> {
    let read = |guard| layout::partition_of(&View::pair(guard)?.0);
    view.prefix(&[POSITION]).map(read).collect()
}

type Step = PortResult<ControlFlow<()>>;
/// May take rooms out of the set: blocks in which only they spoke are not visited any more.
type Visit<'v> = &'v mut dyn FnMut(&mut RoaringBitmap, u64, &Block) -> Step;

/// A way through the blocks of one partition, newest first.
struct Walk<'a> {
    view: &'a View,
    partition: Partition,
    after: Offset,
    to: Offset,
    /// Records that every level may speak of: those before this one.
    passed: u64,
}

impl<'a> Walk<'a> {
    fn new(view: &'a View, partition: Partition, after: Offset, to: Offset) -> PortResult<Self> {
        let stored = view.get(&layout::position(partition))?;
        let stored = stored.map(|bytes| row::decode_position(&bytes)).transpose()?;
        let newest = stored.unwrap_or_default().offset;
        let passed = newest.0.saturating_add(1);
        Ok(Self { view, partition, after, to: to.min(newest), passed })
    }

    fn is_complete(&self, level: u8, block: u64) -> bool {
        block < self.passed >> sets::bits(level)
    }

    fn is_within(&self, level: u8, block: u64) -> bool {
        let (first, last) = edges(level, block);
        first <= self.to.0 && last > self.after.0 && self.after < self.to
    }

    fn roots(&self) -> impl Iterator<Item = u64> {
        let root = |offset: u64| offset >> sets::bits(TOP);
        let first = root(self.after.0.saturating_add(1));
        (first..root(self.to.0).saturating_add(1)).rev()
    }

    fn block(&self, level: u8, block: u64) -> PortResult<Option<Block>> {
        let bytes = self.view.get(&layout::spoke(self.partition, level, block))?;
        bytes.map(|bytes| Block::decode(&bytes)).transpose()
    }

    /// Visits the blocks of the first level in which one of `wanted` spoke, newest first.
    fn blocks(&self, wanted: &mut RoaringBitmap, visit: Visit<'_>) -> PortResult<()> {
        for root in self.roots() {
            if self.enter(TOP, root, wanted, visit)?.is_break() {
                break;
            }
        }
        Ok(())
    }

    fn enter(&self, level: u8, block: u64, wanted: &mut RoaringBitmap, visit: Visit<'_>) -> Step {
        if !self.is_within(level, block) {
            return Ok(ControlFlow::Continue(()));
        }
        if !self.is_complete(level, block) {
            return self.below(level, block, wanted, visit);
        }
        match self.block(level, block)? {
            Some(found) if !found.rooms.is_disjoint(wanted) => {
                self.below(level, block, wanted, visit)
            }
            _ => Ok(ControlFlow::Continue(())),
        }
    }

    fn below(&self, level: u8, block: u64, wanted: &mut RoaringBitmap, visit: Visit<'_>) -> Step {
        let first = block * CHILDREN;
        if level > 1 {
            for child in (first..first + CHILDREN).rev() {
                if self.enter(level - 1, child, wanted, visit)?.is_break() {
                    return Ok(ControlFlow::Break(()));
                }
            }
            return Ok(ControlFlow::Continue(()));
        }
        let key = |child| layout::spoke(self.partition, 0, child).to_vec();
        for guard in self.view.range(key(first)..key(first + CHILDREN)).rev() {
            let (key, bytes) = View::pair(guard)?;
            let child = layout::last_number(&key)?;
            if !self.is_within(0, child) {
                continue;
            }
            let found = Block::decode(&bytes)?;
            if !found.rooms.is_disjoint(wanted) && visit(wanted, child, &found)?.is_break() {
                return Ok(ControlFlow::Break(()));
            }
        }
        Ok(ControlFlow::Continue(()))
    }

    /// Adds those of `wanted` that spoke to `spoke`: from the largest blocks that lie within.
    fn gather(&self, wanted: &RoaringBitmap, spoke: &mut RoaringBitmap) -> PortResult<()> {
        self.roots().try_for_each(|root| self.gather_block(TOP, root, wanted, spoke))
    }

    fn gather_block(
        &self,
        level: u8,
        block: u64,
        wanted: &RoaringBitmap,
        spoke: &mut RoaringBitmap,
    ) -> PortResult<()> {
        if !self.is_within(level, block) {
            return Ok(());
        }
        let (first, last) = edges(level, block);
        let whole = first > self.after.0 && last <= self.to.0 && self.is_complete(level, block);
        if level == 0 || whole {
            if let Some(found) = self.block(level, block)? {
                *spoke |= found.rooms & wanted;
            }
            return Ok(());
        }
        let first = block * CHILDREN;
        (first..first + CHILDREN)
            .try_for_each(|child| self.gather_block(level - 1, child, wanted, spoke))
    }
}

/// The first and the last offset of a block.
fn edges(level: u8, block: u64) -> (u64, u64) {
    let first = block << sets::bits(level);
    (first, first + ((1 << sets::bits(level)) - 1))
}

#[cfg(test)]
mod tests {
    use klatch_ports::Epoch;
    use klatch_ports::messages::Applied;

    use super::super::staged::Staged;
    use super::super::{Stores, StoresConfig};
    use super::*;

    #[test]
    fn a_set_of_rooms_is_found_whole_in_few_parts_and_in_many() {
        let dir = tempfile::tempdir().unwrap();
        let rows = Stores::open(dir.path(), StoresConfig::default()).unwrap().messages.rows();
        let (user, other) = (UserId::from_bits(1), UserId::from_bits(2));
        let few = [3, 65_535, 70_000];
        let many = [3, 65_535, 70_000, 1_100_000];
        for (offset, numbers) in [few.as_slice(), many.as_slice()].into_iter().enumerate() {
            let mut staged = Staged::default();
            let newest = numbers.last().copied().unwrap_or_default();
            staged.put(&[NEXT_ROOM], &row::encode_number(newest + 1));
            for part in numbers.chunk_by(|left, right| left >> u16::BITS == right >> u16::BITS) {
                let place = u16::try_from(part[0] >> u16::BITS).unwrap();
                let set = sets::encode_set(&part.iter().copied().collect());
                staged.put(&layout::joined(user, place), &set);
            }
            let applied = Applied { epoch: Epoch(1), offset: Offset(offset as u64 + 1) };
            staged.commit(&rows, Partition(0), applied).unwrap();
            let found: Vec<u32> = joined(&rows.view(), user).unwrap().into_iter().collect();
            assert_eq!(found, numbers);
            assert!(joined(&rows.view(), other).unwrap().is_empty());
        }
        assert!(many[3] >> u16::BITS >= FEW_PARTS && few[2] >> u16::BITS < FEW_PARTS);
    }
}
