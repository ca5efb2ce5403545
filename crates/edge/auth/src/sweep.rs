//! Removing what ended by itself and is of no more use.

use klatch_domain::Timestamp;
use klatch_ports::PortResult;
use klatch_ports::accounts::Swept;

use crate::Auth;

/// How long a session or a reset is kept after its end: so long a clock may have been ahead.
const ENDED_KEPT_MS: u64 = 24 * 3_600_000;
/// How long an invitation that ended is still listed, and its token told apart from one that never
/// was.
const INVITATION_KEPT_MS: u64 = 30 * 24 * 3_600_000;
/// How many are looked at in one turn; others write in between.
const TURN: usize = 500;
/// The same of invitations, each of which may go with thousands of uses.
const INVITATIONS_TURN: usize = 100;

/// What was removed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Removed {
    /// Sessions that nobody had refreshed for their whole life.
    pub sessions: usize,
    /// Links for new passwords that nobody had used.
    pub resets: usize,
}

impl Auth {
    /// Removes sessions and resets of passwords that ended a day ago or earlier. Tokens of such a
    /// session are refused as before: they, too, had ended. Run it now and then. Cost: a look at
    /// every session and reset, 500 at a time.
    ///
    /// # Errors
    /// As the port reports; what was removed until then stays removed.
    pub async fn sweep_ended(&self) -> PortResult<Removed> {
        let (stores, before) = (&self.parts.stores, self.ended_for(ENDED_KEPT_MS));
        let sweep = |after| stores.sessions.sweep_sessions(after, before, TURN);
        let sessions = in_turns(sweep).await?;
        let sweep = |after| stores.resets.sweep_resets(after, before, TURN);
        let resets = in_turns(sweep).await?;
        Ok(Removed { sessions, resets })
    }

    /// Removes invitations that ended a month ago or earlier; how many. Run it now and then. Cost:
    /// a look at every invitation, 100 at a time.
    ///
    /// # Errors
    /// As the port reports; what was removed until then stays removed.
    pub async fn sweep_invitations(&self) -> PortResult<usize> {
        let (stores, before) = (&self.parts.stores, self.ended_for(INVITATION_KEPT_MS));
        let sweep = |after| stores.invitations.sweep_invitations(after, before, INVITATIONS_TURN);
        in_turns(sweep).await
    }

    fn ended_for(&self, ms: u64) -> Timestamp {
        Timestamp(self.parts.clock.now().0.saturating_sub(ms))
    }
}

/// Sweeps until all were looked at; how many were removed.
async fn in_turns<Id, Turn>(sweep: impl Fn(Option<Id>) -> Turn) -> PortResult<usize>
where
    Turn: Future<Output = PortResult<Swept<Id>>>,
{
    let (mut removed, mut after) = (0, None);
    loop {
        let swept = sweep(after).await?;
        removed += swept.removed;
        after = swept.next;
        if after.is_none() {
            return Ok(removed);
        }
    }
}
