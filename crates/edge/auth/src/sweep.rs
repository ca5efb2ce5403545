//! Removing what ended by itself and is of no more use.

use klatch_domain::{SessionId, Timestamp, UserId};
use klatch_ports::PortResult;

use crate::Auth;

/// How long a session or a reset is kept after its end: so long a clock may have been ahead.
const ENDED_KEPT_MS: u64 = 24 * 3_600_000;
/// How many are looked at in one turn; others write in between.
const TURN: usize = 500;

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
        let before = Timestamp(self.parts.clock.now().0.saturating_sub(ENDED_KEPT_MS));
        let mut removed = Removed::default();
        let mut after: Option<SessionId> = None;
        loop {
            let swept = self.parts.stores.sessions.sweep_sessions(after, before, TURN).await?;
            removed.sessions += swept.removed;
            after = swept.next;
            if after.is_none() {
                break;
            }
        }
        let mut after: Option<UserId> = None;
        loop {
            let swept = self.parts.stores.resets.sweep_resets(after, before, TURN).await?;
            removed.resets += swept.removed;
            after = swept.next;
            if after.is_none() {
                return Ok(removed);
            }
        }
    }
}
