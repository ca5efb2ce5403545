//! The chain of frames from fan-out for one partition: what may be believed, what is missing.

use klatch_ports::kv::Revision;
use klatch_ports::{Epoch, Offset};
use klatch_protocol::inbox::InboxFrame;
use tokio::time::Instant;

/// How far one partition was delivered.
#[derive(Debug)]
pub(super) struct Chain {
    epoch: Epoch,
    /// Newest life of the partition's fan-out owner that was heard.
    owner: u64,
    /// Everything up to here was delivered to whom it concerns.
    pub(super) last: Offset,
    /// Fan-out takes presence changes up to here into account.
    pub(super) presence: Revision,
    /// When a frame was heard last.
    pub(super) heard: Instant,
}

/// What to do with a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// Nothing: another log, or an owner that was replaced.
    Drop,
    /// Deliver its events that lie after the chain's end.
    Take,
    /// Something before its events is missing: read the log up to here first.
    ReadFirst(Offset),
    /// Fan-out may not have known of everyone: read the log up to its end instead.
    ReadInstead(Offset),
}

impl Chain {
    /// A chain that begins after `last`.
    pub(super) fn new(epoch: Epoch, last: Offset) -> Self {
        let presence = Revision::default();
        Self { epoch, owner: 0, last, presence, heard: Instant::now() }
    }

    /// Judges the next frame. `required` is the presence change that fan-out must know; `None`:
    /// there is one that nobody can know yet.
    pub(super) fn judge(
        &mut self,
        frame: &InboxFrame,
        required: Option<Revision>,
        now: Instant,
    ) -> Verdict {
        if frame.epoch != self.epoch || frame.owner < self.owner {
            return Verdict::Drop;
        }
        if frame.owner > self.owner {
            // A new owner begins with what it knows, which may be less.
            self.owner = frame.owner;
            self.presence = frame.presence;
        }
        self.presence = self.presence.max(frame.presence);
        self.heard = now;
        if frame.through <= self.last {
            return if frame.events.is_empty() { Verdict::Take } else { Verdict::Drop };
        }
        if required.is_none_or(|required| frame.presence < required) {
            return Verdict::ReadInstead(frame.through);
        }
        if frame.prev > self.last { Verdict::ReadFirst(frame.prev) } else { Verdict::Take }
    }

    /// Everything up to `offset` was delivered.
    pub(super) fn advance(&mut self, offset: Offset) {
        self.last = self.last.max(offset);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use klatch_ports::Partition;

    fn frame(owner: u64, prev: u64, through: u64) -> InboxFrame {
        InboxFrame {
            partition: Partition(0),
            epoch: Epoch(7),
            owner,
            prev: Offset(prev),
            through: Offset(through),
            presence: Revision(5),
            events: Vec::new(),
        }
    }

    fn judge(chain: &mut Chain, frame: &InboxFrame) -> Verdict {
        chain.judge(frame, Some(Revision(5)), Instant::now())
    }

    #[test]
    fn a_link_that_fits_is_taken_and_one_after_a_hole_is_not() {
        let mut chain = Chain::new(Epoch(7), Offset(10));
        assert_eq!(judge(&mut chain, &frame(1, 10, 12)), Verdict::Take);
        chain.advance(Offset(12));
        assert_eq!(judge(&mut chain, &frame(1, 13, 15)), Verdict::ReadFirst(Offset(13)));
        assert_eq!(judge(&mut chain, &frame(1, 11, 15)), Verdict::Take);
    }

    #[test]
    fn old_owners_and_other_logs_are_not_heard() {
        let mut chain = Chain::new(Epoch(7), Offset(10));
        assert_eq!(judge(&mut chain, &frame(2, 10, 10)), Verdict::Take);
        assert_eq!(judge(&mut chain, &frame(1, 10, 12)), Verdict::Drop);
        let other = InboxFrame { epoch: Epoch(8), ..frame(3, 10, 12) };
        assert_eq!(judge(&mut chain, &other), Verdict::Drop);
    }

    #[test]
    fn a_frame_that_does_not_know_everyone_is_replaced_by_the_log() {
        let mut chain = Chain::new(Epoch(7), Offset(10));
        let late = frame(1, 10, 12);
        let judged = chain.judge(&late, Some(Revision(6)), Instant::now());
        assert_eq!(judged, Verdict::ReadInstead(Offset(12)));
        assert_eq!(chain.judge(&late, None, Instant::now()), Verdict::ReadInstead(Offset(12)));
        let known = InboxFrame { presence: Revision(6), ..late };
        assert_eq!(chain.judge(&known, Some(Revision(6)), Instant::now()), Verdict::Take);
    }

    #[test]
    fn a_new_owner_does_not_inherit_what_the_old_one_knew() {
        let mut chain = Chain::new(Epoch(7), Offset(10));
        judge(&mut chain, &frame(1, 10, 10));
        let newer = InboxFrame { presence: Revision(1), ..frame(2, 10, 10) };
        judge(&mut chain, &newer);
        assert_eq!(chain.presence, Revision(1));
    }
}
