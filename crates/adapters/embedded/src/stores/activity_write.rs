//! What commits keep for [`super::activity`]: numbers of rooms, the rooms each user is in, where
//! they went out of which, and which rooms spoke in which block of the log.
//!
//! Blocks of the first level are written while they fill. One of a higher level is written once,
//! when the log has passed its end, from those below it: two or three bytes a record altogether.

use std::collections::HashMap;
use std::collections::hash_map::Entry;

use klatch_domain::{RoomId, Timestamp, UserId};
use klatch_ports::messages::{MessageCommit, StayChange};
use klatch_ports::{ErrorKind, Offset, Partition, PortError, PortResult};
use roaring::RoaringBitmap;

use super::layout::{ACTIVITY, NEXT_ROOM, ROOM_NUMBER};
use super::sets::{self, Block, CHILDREN, TOP};
use super::staged::Staged;
use super::{View, layout, row};

/// Numbers remembered between commits; all are forgotten at once.
const NUMBERS_MAX: usize = 64 * 1024;

/// What is remembered between commits. Of commits that succeeded only.
#[derive(Debug, Default)]
pub(super) struct Memory {
    numbers: HashMap<RoomId, u32>,
    /// The block that fills.
    open: Option<(Partition, u64, Block)>,
    /// Whether the store is known to say that these rows are kept.
    marked: bool,
}

/// Stages what `commit` changes, and gives what to remember if it succeeds.
pub(super) fn stage(
    view: &View,
    staged: &mut Staged,
    mut memory: Memory,
    commit: &MessageCommit,
) -> PortResult<Memory> {
    if !memory.marked {
        memory.marked = view.has(&[ACTIVITY])?;
        if !memory.marked {
            staged.put(&[ACTIVITY], &[]);
            memory.marked = true;
        }
    }
    if memory.numbers.len() > NUMBERS_MAX {
        memory.numbers = HashMap::new();
    }
    let mut writer = Writer { view, staged, memory, commit, next: None, fresh: HashMap::new() };
    writer.blocks()?;
    writer.complete()?;
    writer.stays()?;
    if let Some(next) = writer.next {
        writer.staged.put(&[NEXT_ROOM], &row::encode_number(next));
    }
    Ok(writer.memory)
}

struct Writer<'a> {
    view: &'a View,
    staged: &'a mut Staged,
    memory: Memory,
    commit: &'a MessageCommit,
    /// The next number, once one was given.
    next: Option<u32>,
    /// Blocks written by this commit, by level and block.
    fresh: HashMap<(u8, u64), Block>,
}

impl Writer<'_> {
    /// The room's number, given now if there was none.
    fn number(&mut self, room: RoomId) -> PortResult<u32> {
        if let Some(number) = self.memory.numbers.get(&room) {
            return Ok(*number);
        }
        let key = layout::one(ROOM_NUMBER, room.bits());
        let number = match self.view.get(&key)? {
            Some(bytes) => row::decode_number(&bytes)?,
            None => self.new_number(room, &key)?,
        };
        self.memory.numbers.insert(room, number);
        Ok(number)
    }

    fn new_number(&mut self, room: RoomId, key: &[u8]) -> PortResult<u32> {
        let number = match (self.next, self.view.get(&[NEXT_ROOM])?) {
            (Some(next), _) => next,
            (None, Some(bytes)) => row::decode_number(&bytes)?,
            (None, None) => 0,
        };
        let full = || PortError::new(ErrorKind::Full, "fjall", "giving a number to a room");
        self.next = Some(number.checked_add(1).ok_or_else(full)?);
        self.staged.put(key, &row::encode_number(number));
        let numbered = sets::encode_numbered(room, self.commit.partition);
        self.staged.put(&layout::numbered(number), &numbered);
        Ok(number)
    }

    /// Puts the commit's events into blocks of the first level.
    fn blocks(&mut self) -> PortResult<()> {
        let commit = self.commit;
        let block_of = |(offset, ..): &(Offset, RoomId, Timestamp)| offset.0 >> sets::bits(0);
        for events in commit.events.chunk_by(|left, right| block_of(left) == block_of(right)) {
            let Some(index) = events.first().map(block_of) else { continue };
            let mut block = self.open(index)?;
            for (_, room, active_at) in events {
                block.rooms.insert(self.number(*room)?);
                // By event and not by commit: the rows follow from the log, however it was cut.
                block.newest = block.newest.max(*active_at);
            }
            self.staged.put(&layout::spoke(commit.partition, 0, index), &block.encode());
            self.fresh.insert((0, index), block.clone());
            self.memory.open = Some((commit.partition, index, block));
        }
        Ok(())
    }

    /// The block as it is now.
    fn open(&mut self, index: u64) -> PortResult<Block> {
        let partition = self.commit.partition;
        let before = match self.memory.open.take() {
            Some((of, open, block)) if of == partition && open == index => return Ok(block),
            Some((of, open, block)) if of == partition && open < index => Some(block),
            _ => None,
        };
        if let Some(bytes) = self.view.get(&layout::spoke(partition, 0, index))? {
            return Block::decode(&bytes);
        }
        let newest = match before {
            Some(block) => block.newest,
            None => self.newest_before(index)?,
        };
        Ok(Block { before: newest, newest, rooms: RoaringBitmap::new() })
    }

    fn newest_before(&self, index: u64) -> PortResult<Timestamp> {
        let key = |block| layout::spoke(self.commit.partition, 0, block).to_vec();
        match self.view.range(key(0)..key(index)).next_back() {
            None => Ok(Timestamp::default()),
            Some(guard) => Ok(Block::decode(&View::pair(guard)?.1)?.newest),
        }
    }

    /// Writes the blocks of higher levels whose end the log has passed by this commit.
    fn complete(&mut self) -> PortResult<()> {
        let MessageCommit { partition, applied, .. } = *self.commit;
        let stored = self.view.get(&layout::position(partition))?;
        let stored = stored.map(|bytes| row::decode_position(&bytes)).transpose()?;
        // Blocks of another life of the log are made anew.
        let stored = stored.filter(|stored| stored.epoch == applied.epoch).unwrap_or_default();
        for level in 1..=TOP {
            let passed = |offset: Offset| offset.0.saturating_add(1) >> sets::bits(level);
            for block in passed(stored.offset)..passed(applied.offset) {
                self.complete_one(level, block)?;
            }
        }
        Ok(())
    }

    fn complete_one(&mut self, level: u8, block: u64) -> PortResult<()> {
        let partition = self.commit.partition;
        let (first, below) = (block * CHILDREN, level - 1);
        let key = |child| layout::spoke(partition, below, child).to_vec();
        let mut children: Vec<(u64, Block)> = Vec::new();
        for guard in self.view.range(key(first)..key(first + CHILDREN)) {
            let (key, bytes) = View::pair(guard)?;
            let child = layout::last_number(&key)?;
            if !self.fresh.contains_key(&(below, child)) {
                children.push((child, Block::decode(&bytes)?));
            }
        }
        let fresh = (first..first + CHILDREN)
            .filter_map(|child| Some((child, self.fresh.get(&(below, child))?.clone())));
        children.extend(fresh);
        children.sort_unstable_by_key(|(child, _)| *child);
        let whole = children.into_iter().map(|(_, child)| child).reduce(|whole, child| Block {
            before: whole.before,
            newest: whole.newest.max(child.newest),
            rooms: whole.rooms | child.rooms,
        });
        if let Some(whole) = whole {
            self.staged.put(&layout::spoke(partition, level, block), &whole.encode());
            self.fresh.insert((level, block), whole);
        }
        Ok(())
    }

    /// Follows who comes and goes.
    fn stays(&mut self) -> PortResult<()> {
        let commit = self.commit;
        let mut changed: HashMap<(UserId, u16), RoaringBitmap> = HashMap::new();
        for StayChange { room, user, offset, inside } in &commit.stays {
            let number = self.number(*room)?;
            let upper = u16::try_from(number >> 16).unwrap_or(u16::MAX);
            let set = match changed.entry((*user, upper)) {
                Entry::Occupied(known) => known.into_mut(),
                Entry::Vacant(unknown) => {
                    let stored = self.view.get(&layout::joined(*user, upper))?;
                    let stored = stored.map(|bytes| sets::decode_set(&bytes)).transpose()?;
                    unknown.insert(stored.unwrap_or_default())
                }
            };
            if *inside {
                set.insert(number);
            } else {
                set.remove(number);
                let key = layout::left(*user, commit.partition, *offset);
                self.staged.put(&key, &room.to_bytes());
            }
        }
        for ((user, upper), set) in changed {
            let key = layout::joined(user, upper);
            if set.is_empty() {
                self.staged.remove(&key);
            } else {
                self.staged.put(&key, &sets::encode_set(&set));
            }
        }
        Ok(())
    }
}
