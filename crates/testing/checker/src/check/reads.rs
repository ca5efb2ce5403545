//! History walks: I4 (order), I5 (holes), I6 (doubles), I8 (own writes).

use std::collections::{BTreeMap, HashSet};

use super::Findings;
use super::index::{Ack, Index, Read, RoomId};
use crate::history::{Direction, Item, Purpose};
use crate::report::Invariant;

pub(crate) fn check(index: &Index<'_>, found: &mut Findings) {
    let own = OwnWrites::of(index);
    for read in &index.reads {
        order(read, found);
        ordinals(read, found);
        holes(index, read, found);
        if read.walk.purpose == Purpose::OwnWrites {
            own_writes(&own, read, found);
        }
    }
}

/// I4 and I6: each item further on than the one before, by seq and by id.
fn order(read: &Read<'_>, found: &mut Findings) {
    let room = Some(&read.walk.room);
    let mut seen = HashSet::with_capacity(read.items.len());
    for item in read.items {
        if !seen.insert(item.seq) {
            let text = format!("a walk shows seq {} twice", item.seq);
            found.add(Invariant::I6, room, &[item.seq], &[read.entry], text);
        }
    }
    for (one, two) in read.items.iter().zip(read.items.iter().skip(1)) {
        let (low, high) = match read.walk.direction {
            Direction::Backward => (two, one),
            Direction::Forward => (one, two),
        };
        let seqs = [one.seq, two.seq];
        if low.seq > high.seq {
            found.add(Invariant::I4, room, &seqs, &[read.entry], "a walk goes back and forth");
        } else if low.seq < high.seq && low.message >= high.message {
            let text = "order by id is not order by seq";
            found.add(Invariant::I4, room, &seqs, &[read.entry], text);
        }
    }
}

/// I5: ordinals of the main history count on by one.
fn ordinals(read: &Read<'_>, found: &mut Findings) {
    let mut items: Vec<(u64, u64)> =
        read.items.iter().filter_map(|item| Some((item.seq, item.ordinal?))).collect();
    items.sort_unstable();
    items.dedup();
    for (one, two) in items.iter().zip(items.iter().skip(1)) {
        if two.1 != one.1 + 1 {
            let text = format!("ordinal {} is followed by {}", one.1, two.1);
            let room = Some(&read.walk.room);
            found.add(Invariant::I5, room, &[one.0, two.0], &[read.entry], text);
        }
    }
}

/// The seqs a walk says everything about: above the first, up to the second.
fn covered(read: &Read<'_>) -> (u64, u64) {
    let seqs = || read.items.iter().map(|item| item.seq);
    let start = read.walk.from;
    match read.walk.direction {
        Direction::Backward => {
            let low =
                if read.complete { 0 } else { seqs().min().map_or(0, |seq| seq.saturating_sub(1)) };
            // It may lag, and may start above the end: it speaks up to its newest.
            (low, seqs().max().unwrap_or(0))
        }
        Direction::Forward => (start.unwrap_or(0), seqs().max().unwrap_or(0)),
    }
}

/// I5: nothing of the final read is missing between what a walk shows. A final walk shows all.
fn holes(index: &Index<'_>, read: &Read<'_>, found: &mut Findings) {
    let Some(truth) = index.truth(read.room) else { return };
    let (low, mut high) = covered(read);
    if read.walk.purpose == Purpose::Final && read.complete {
        high = u64::MAX;
    }
    let from = truth.items.partition_point(|item| item.seq <= low);
    let due = truth.items.iter().skip(from).take_while(|item| item.seq <= high);
    let shown: HashSet<u64> = read.items.iter().map(|item| item.seq).collect();
    for item in due.filter(|item| !shown.contains(&item.seq)) {
        let Item { seq, message, .. } = item;
        let text = format!("a walk leaves out message {message}");
        let proof = [read.entry, truth.entry];
        found.add(Invariant::I5, Some(&read.walk.room), &[*seq], &proof, text);
    }
}

/// Each process's acknowledged sends by time, with the greatest seq up to there.
struct OwnWrites<'h> {
    by: BTreeMap<(u32, RoomId), Vec<(Ack<'h>, u64)>>,
}

impl<'h> OwnWrites<'h> {
    fn of(index: &Index<'h>) -> Self {
        let mut by: BTreeMap<(u32, RoomId), Vec<(Ack<'h>, u64)>> = BTreeMap::new();
        for send in &index.sends {
            for attempt in &send.attempts {
                if let super::index::End::Ok(ack) = attempt.end {
                    by.entry((attempt.process, send.room)).or_default().push((ack, 0));
                }
            }
        }
        for acks in by.values_mut() {
            acks.sort_by_key(|(ack, _)| ack.at);
            let mut greatest = 0;
            for (ack, up_to) in acks {
                greatest = greatest.max(ack.seq);
                *up_to = greatest;
            }
        }
        Self { by }
    }
}

/// I8: what the process had acknowledged before it asked is there, as far as the walk reaches.
fn own_writes(own: &OwnWrites<'_>, read: &Read<'_>, found: &mut Findings) {
    let Some(acks) = own.by.get(&(read.process, read.room)) else { return };
    let known = acks.partition_point(|(ack, _)| ack.at < read.invoked);
    let (low, high) = match read.walk.direction {
        Direction::Backward => {
            (covered(read).0, read.walk.from.map_or(u64::MAX, |b| b.saturating_sub(1)))
        }
        Direction::Forward => {
            let reached = if read.complete { u64::MAX } else { covered(read).1 };
            (read.walk.from.unwrap_or(0), reached)
        }
    };
    let shown: HashSet<u64> = read.items.iter().map(|item| item.seq).collect();
    let recent = acks.iter().take(known).rev().take_while(|(_, greatest)| *greatest > low);
    for (ack, _) in recent.filter(|(ack, _)| ack.seq > low && ack.seq <= high) {
        if !shown.contains(&ack.seq) {
            let text = format!("{} does not see its own message {}", read.walk.reader, ack.message);
            let proof = [ack.entry, read.entry];
            found.add(Invariant::I8, Some(&read.walk.room), &[ack.seq], &proof, text);
        }
    }
}
