//! One reader's way through one room's seqs.

/// What a seq is to a reader who has come some way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    /// The next one, or the first, or after a told gap.
    Good,
    /// Some before it did not come (yet).
    Ahead,
    /// It fills a hole: it came too late.
    Late,
    /// It came before.
    Twice,
}

/// A run of seqs that did not come, and the entry that jumped over it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Hole {
    pub(crate) first: u64,
    pub(crate) last: u64,
    pub(crate) entry: usize,
}

#[derive(Clone, Debug, Default)]
pub(crate) struct Track {
    last: Option<u64>,
    may_skip: bool,
    holes: Vec<Hole>,
}

impl Track {
    /// Nothing up to `seq` is owed.
    pub(crate) fn owe_after(&mut self, seq: u64) {
        if self.last.is_none_or(|last| last < seq) {
            self.last = Some(seq);
        }
    }

    /// The reader was told that something is missing here.
    pub(crate) fn skip(&mut self) {
        self.may_skip = true;
    }

    pub(crate) fn step(&mut self, seq: u64, entry: usize) -> Step {
        let Some(last) = self.last else {
            self.last = Some(seq);
            return Step::Good;
        };
        if seq > last {
            self.last = Some(seq);
            if seq == last + 1 || std::mem::take(&mut self.may_skip) {
                self.may_skip = false;
                return Step::Good;
            }
            self.holes.push(Hole { first: last + 1, last: seq - 1, entry });
            return Step::Ahead;
        }
        if self.fill(seq) { Step::Late } else { Step::Twice }
    }

    /// What never came, and how far the reader came unless it may skip.
    pub(crate) fn end(&self) -> (&[Hole], Option<u64>) {
        (&self.holes, self.last.filter(|_| !self.may_skip))
    }

    fn fill(&mut self, seq: u64) -> bool {
        let Some(at) = self.holes.iter().position(|h| h.first <= seq && seq <= h.last) else {
            return false;
        };
        let hole = self.holes.swap_remove(at);
        if hole.first < seq {
            self.holes.push(Hole { last: seq - 1, ..hole });
        }
        if seq < hole.last {
            self.holes.push(Hole { first: seq + 1, ..hole });
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn steps(seqs: &[u64]) -> (Vec<Step>, Track) {
        let mut track = Track::default();
        (seqs.iter().map(|seq| track.step(*seq, 0)).collect(), track)
    }

    #[test]
    fn a_late_seq_fills_its_hole_and_a_repeated_one_is_twice() {
        let (seen, track) = steps(&[1, 5, 3, 3, 6]);
        assert_eq!(seen, [Step::Good, Step::Ahead, Step::Late, Step::Twice, Step::Good]);
        let mut holes: Vec<(u64, u64)> = track.end().0.iter().map(|h| (h.first, h.last)).collect();
        holes.sort_unstable();
        assert_eq!(holes, [(2, 2), (4, 4)]);
    }

    #[test]
    fn a_told_gap_excuses_one_jump_only() {
        let mut track = Track::default();
        track.owe_after(3);
        track.skip();
        assert_eq!(track.step(9, 0), Step::Good);
        assert_eq!(track.step(11, 0), Step::Ahead);
    }
}
