//! What the server does by itself, now and then, until it stops.

use std::sync::Arc;
use std::time::Duration;

use klatch_auth::{Auth, Removed};

use super::{Adapters, Process};

/// Starts all of it.
pub(super) fn start(process: &Process, adapters: &Adapters, auth: &Arc<Auth>) {
    forget_idle(process, adapters, auth);
    keep_whereabouts(process, adapters);
    sweep_invitations(process, auth);
    sweep_ended(process, auth);
    send_letters(process, auth);
    follow_issuers(process, auth);
}

/// What was remembered of people who are not here any more goes after one to two of these.
const IDLE: Duration = Duration::from_secs(30);

/// How often invitations, sessions and links for new passwords that ended long ago are looked for.
const SWEPT_EVERY: Duration = Duration::from_hours(6);

fn sweep_invitations(process: &Process, auth: &Arc<Auth>) {
    let (auth, stop) = (Arc::clone(auth), process.stop.clone());
    let sweeping = async move {
        loop {
            match auth.sweep_invitations().await {
                Ok(0) => {}
                Ok(count) => tracing::info!(count, "removed invitations that ended long ago"),
                Err(error) => tracing::warn!(%error, "ended invitations could not be removed"),
            }
            tokio::time::sleep(SWEPT_EVERY).await;
        }
    };
    process.tasks.spawn(async move { stop.run_until_cancelled(sweeping).await });
}

fn sweep_ended(process: &Process, auth: &Arc<Auth>) {
    let (auth, stop) = (Arc::clone(auth), process.stop.clone());
    let sweeping = async move {
        loop {
            match auth.sweep_ended().await {
                Ok(Removed { sessions: 0, resets: 0 }) => {}
                Ok(Removed { sessions, resets }) => {
                    tracing::info!(sessions, resets, "removed sessions and resets that had ended");
                }
                Err(error) => tracing::warn!(%error, "ended sessions could not be removed"),
            }
            tokio::time::sleep(SWEPT_EVERY).await;
        }
    };
    process.tasks.spawn(async move { stop.run_until_cancelled(sweeping).await });
}

/// How often it is written down who left. A crash may cost as much.
const KEPT_EVERY: Duration = Duration::from_mins(1);

/// Those who leave with the server are written down by [`super::Running::stop`].
fn keep_whereabouts(process: &Process, adapters: &Adapters) {
    let (accounts, stop) = (Arc::clone(&adapters.accounts), process.stop.clone());
    process.tasks.spawn(async move {
        while stop.run_until_cancelled(tokio::time::sleep(KEPT_EVERY)).await.is_some() {
            if let Err(error) = accounts.keep_whereabouts().await {
                tracing::warn!(%error, "when people were here last could not be written");
            }
        }
    });
}

fn forget_idle(process: &Process, adapters: &Adapters, auth: &Arc<Auth>) {
    let (auth, stop) = (Arc::clone(auth), process.stop.clone());
    let (keys, ring) = (Arc::clone(&adapters.keys), Arc::clone(&adapters.key_ring));
    process.tasks.spawn(async move {
        while stop.run_until_cancelled(tokio::time::sleep(IDLE)).await.is_some() {
            auth.forget_idle();
            ring.forget_idle();
            keys.forget_idle();
        }
    });
}

/// What waits when the server leaves is gone: who asked asks again.
fn send_letters(process: &Process, auth: &Arc<Auth>) {
    let (auth, stop) = (Arc::clone(auth), process.stop.clone());
    process.tasks.spawn(async move {
        stop.run_until_cancelled(auth.run_letters()).await;
    });
}

fn follow_issuers(process: &Process, auth: &Arc<Auth>) {
    let (auth, stop) = (Arc::clone(auth), process.stop.clone());
    process.tasks.spawn(async move {
        stop.run_until_cancelled(auth.run_issuers()).await;
    });
}
