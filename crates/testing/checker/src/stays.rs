//! I10: nobody gets an event of a room from a time when they were not in it.
//!
//! Who was in a room when is put together from everything that anyone was told about it: the
//! events of coming and going, and the answers to those who asked for them. Their own going is
//! told to those who go.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::history::Name;

/// Who was in which room from when to when, and what they got.
#[derive(Debug, Default)]
pub struct Stays(Mutex<Known>);

#[derive(Debug, Default)]
struct Known {
    /// Comings (true) and goings (false) by seq.
    moves: HashMap<(Name, Name), BTreeMap<u64, bool>>,
    /// Of these it is not known when they came or went.
    unclear: BTreeSet<(Name, Name)>,
    frames: HashMap<(Name, Name), BTreeSet<u64>>,
}

/// What became of the check.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct StaysReport {
    /// Frames that came to someone who was not in the room.
    pub violations: Vec<String>,
    /// Frames looked at.
    pub frames: u64,
    /// Pairs of user and room that cannot be judged: an answer got lost and nobody saw the event.
    pub unclear: u64,
}

impl Stays {
    /// The user is in the room from `seq` on, that event included.
    pub fn came(&self, room: &Name, user: &Name, seq: u64) {
        self.lock().moves.entry((room.clone(), user.clone())).or_default().insert(seq, true);
    }

    /// The user is in the room up to `seq`, that event included.
    pub fn went(&self, room: &Name, user: &Name, seq: u64) {
        self.lock().moves.entry((room.clone(), user.clone())).or_default().insert(seq, false);
    }

    /// The user may have come or gone; nobody knows when.
    pub fn unclear(&self, room: &Name, user: &Name) {
        self.lock().unclear.insert((room.clone(), user.clone()));
    }

    /// The user got the event `seq` of the room.
    pub fn got(&self, room: &Name, user: &Name, seq: u64) {
        self.lock().frames.entry((room.clone(), user.clone())).or_default().insert(seq);
    }

    /// Checks all frames against all stays.
    pub fn check(&self) -> StaysReport {
        let known = self.lock();
        let mut report = StaysReport::default();
        for (pair, seqs) in &known.frames {
            if known.unclear.contains(pair) {
                report.unclear += 1;
                continue;
            }
            report.frames += seqs.len() as u64;
            let none = BTreeMap::new();
            let moves = known.moves.get(pair).unwrap_or(&none);
            for seq in seqs.iter().filter(|seq| !was_in(moves, **seq)) {
                let (room, user) = pair;
                let text = format!("{user} got seq {seq} of {room}, but was in it {moves:?}");
                report.violations.push(text);
            }
        }
        report.violations.sort();
        report
    }

    fn lock(&self) -> MutexGuard<'_, Known> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Whether the last move up to `seq` was in, or `seq` is the going itself.
fn was_in(moves: &BTreeMap<u64, bool>, seq: u64) -> bool {
    let last = moves.range(..=seq).next_back();
    last.is_some_and(|(at, is_in)| *is_in || *at == seq)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_before_coming_and_after_going_are_violations() {
        let stays = Stays::default();
        let (room, ada) = (Name::from("r"), Name::from("ada"));
        stays.came(&room, &ada, 3);
        stays.went(&room, &ada, 5);
        stays.came(&room, &ada, 8);
        for seq in [2, 3, 4, 5, 6, 7, 8, 100] {
            stays.got(&room, &ada, seq);
        }
        let report = stays.check();
        assert_eq!((report.frames, report.violations.len()), (8, 3), "{report:?}");
        stays.unclear(&room, &ada);
        assert_eq!(stays.check(), StaysReport { unclear: 1, ..StaysReport::default() });
    }

    #[test]
    fn a_frame_to_someone_who_never_came_is_a_violation() {
        let stays = Stays::default();
        stays.got(&"r".into(), &"eve".into(), 1);
        assert_eq!(stays.check().violations.len(), 1);
    }
}
