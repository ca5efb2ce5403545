//! Once a second: silent connections, ended tokens, ended sessions, late closers. Whoever was
//! signed out or locked out is looked for at once.

use std::sync::Arc;
use std::time::Duration;

use klatch_domain::Timestamp;
use klatch_ports::api::auth::TokenError;
use klatch_protocol::ws::close::CloseCode;
use tokio::time::MissedTickBehavior;

use crate::connection::{Connection, Phase, Waiting};
use crate::framing::ping_frame;
use crate::state::Shared;

/// How often; also the unit of every count of ticks.
pub(crate) const TICK: Duration = Duration::from_secs(1);
/// How far apart looks for those who were signed out are, at least.
const LOOKS_APART: Duration = Duration::from_millis(50);
/// Ticks that a connection may wait for `hello`.
const ARRIVAL_TICKS: u32 = 30;

pub(crate) fn ticks(span: Duration) -> u32 {
    u32::try_from(span.as_secs()).unwrap_or(u32::MAX)
}

/// Runs until the role stops.
pub(crate) async fn run(shared: Arc<Shared>) {
    let mut interval = tokio::time::interval(TICK);
    interval.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            () = shared.stop.cancelled() => return,
            _ = interval.tick() => {}
            () = shared.deps.tokens.changed() => {
                check_all(&shared);
                tokio::time::sleep(LOOKS_APART).await;
                continue;
            }
        }
        let tick = shared.next_tick();
        let now = shared.deps.clock.now();
        let (mut count, mut queued) = (0, 0);
        shared.registry.for_each(|connection| {
            count += 1;
            queued += connection.waiting_bytes();
            look_at(&shared, connection, tick, now);
        });
        shared.stats.swept(count, queued);
    }
}

/// Looks at everyone's standing, and at nothing else: time has not passed.
fn check_all(shared: &Shared) {
    let now = shared.deps.clock.now();
    shared.registry.for_each(|connection| {
        if connection.phase() == Phase::Open {
            check_standing(shared, connection, now);
        }
    });
}

fn look_at(shared: &Shared, connection: &Connection, tick: u32, now: Timestamp) {
    let since = |then: u32| tick.saturating_sub(then);
    let silent = since(connection.heard());
    match connection.phase() {
        Phase::Closed => {}
        Phase::Closing { since: then, .. } => {
            if since(then) > ticks(shared.config.close_wait) {
                connection.end();
            }
        }
        // Heard last when it was made.
        Phase::Arriving => {
            if silent > ARRIVAL_TICKS {
                connection.close(CloseCode::Restart, "not ready: come back", Waiting::Forget);
            }
        }
        Phase::Open => {
            check_standing(shared, connection, now);
            if silent > ticks(shared.config.silence_max) {
                connection.close(CloseCode::Leaving, "silent for too long", Waiting::Forget);
            } else if connection.wants_ping(silent) {
                connection.answer(ping_frame());
            }
            connection.tend(tick);
            connection.idle_when_due(tick, ticks(shared.config.away_after));
        }
    }
}

fn check_standing(shared: &Shared, connection: &Connection, now: Timestamp) {
    let identity = connection.identity();
    if identity.expires_at <= now {
        let reason = "the access token has expired";
        connection.close(CloseCode::TokenExpired, reason, Waiting::Keep);
        return;
    }
    match shared.deps.tokens.recheck(&identity) {
        Ok(actor) if actor == identity.actor => {}
        Ok(actor) => connection.set_actor(actor),
        Err(TokenError::Unavailable) => {}
        Err(error @ (TokenError::Revoked | TokenError::Invalid | TokenError::Expired)) => {
            let reason = error.to_string();
            connection.close(CloseCode::SessionRevoked, &reason, Waiting::Forget);
        }
    }
}
