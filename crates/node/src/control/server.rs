//! The server's end.

use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::sync::Arc;

use anyhow::Context as _;
use axum::body::Body;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse as _, Response};
use axum::routing::post;
use axum::{Json, Router};
use bytes::Bytes;
use klatch_compliance::Compliance;
use klatch_domain::audit::By;
use klatch_embedded::stores::Stores;
use klatch_ports::api::compliance::ComplianceApi as _;
use klatch_protocol::rest::compliance::ErasedBody;
use klatch_retention::Pace;
use serde::Serialize;
use tokio::net::UnixListener;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::Line;
use crate::upkeep::{Places, Sources, Wanted, Whom, find_user, verify_live};

/// Lines that wait for a slow reader; steps beyond them are left out.
const LINES: usize = 64;

/// What a running server can be asked to do.
pub(crate) struct Control {
    pub(crate) sources: Sources,
    /// The read models as they are being written.
    pub(crate) live: Stores,
    pub(crate) people: Arc<Compliance>,
    /// Ends what takes long.
    pub(crate) stop: CancellationToken,
}

/// Answers on the socket in `dir` until `stop`.
///
/// # Errors
/// The socket cannot be made.
pub(crate) fn listen(dir: &Path, control: Control, stop: CancellationToken) -> anyhow::Result<()> {
    let path = super::path(dir);
    // Left by a server that was killed: this one holds the directory's lock.
    match std::fs::remove_file(&path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(error.into()),
        _ => {}
    }
    let listener = UnixListener::bind(&path)
        .with_context(|| format!("making the socket for commands, {}", path.display()))?;
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600))?;
    let routes = Router::new()
        .route("/backup", post(backup))
        .route("/erase", post(erase))
        .route("/export", post(export))
        .route("/verify", post(verify))
        .with_state(Arc::new(control));
    tokio::spawn(async move {
        let ended = axum::serve(listener, routes).with_graceful_shutdown(async move {
            stop.cancelled().await;
        });
        if let Err(error) = ended.await {
            tracing::warn!(%error, "commands cannot reach this server any more");
        }
        // Nobody is behind it any more.
        let _ = std::fs::remove_file(&path);
    });
    Ok(())
}

async fn backup(State(control): State<Arc<Control>>, Json(places): Json<Places>) -> Response {
    tracing::info!(to = %places.to.display(), "making a backup");
    work(move |told| control.sources.back_up(&places, told))
}

async fn verify(State(control): State<Arc<Control>>, Json(wanted): Json<Wanted>) -> Response {
    tracing::info!("verifying the read models");
    work(move |told| {
        let Control { sources, live, stop, .. } = &*control;
        let mut pace = Pace::until(stop.clone());
        let of = ((&sources.log, sources.dir.as_path()), (live, &sources.snapshot));
        verify_live(&wanted, of.0, of.1, &mut pace, told)
    })
}

async fn erase(State(control): State<Arc<Control>>, Json(whom): Json<Whom>) -> Response {
    let erased = async {
        let user = find_user(&control.sources.accounts, &whom.user).await?;
        Ok::<_, anyhow::Error>(ErasedBody::from(control.people.erase(By::Operator, user).await?))
    };
    let line = match erased.await.and_then(|erased| Ok(serde_json::to_value(erased)?)) {
        Ok(erased) => Line::Done(erased),
        Err(error) => Line::Failed(format!("{error:#}")),
    };
    (serde_json::to_string(&line).unwrap_or_default() + "\n").into_response()
}

async fn export(State(control): State<Arc<Control>>, Json(whom): Json<Whom>) -> Response {
    let begun = async {
        let user = find_user(&control.sources.accounts, &whom.user).await?;
        Ok::<_, anyhow::Error>(control.people.export(By::Operator, user).await?)
    };
    let export = match begun.await {
        Ok(export) => export,
        Err(error) => return (StatusCode::NOT_FOUND, format!("{error:#}")).into_response(),
    };
    let lines = futures::stream::unfold(Some(export), async |export| {
        let mut export = export?;
        match export.next().await {
            Ok(Some(lines)) => Some((Ok(lines), Some(export))),
            Ok(None) => None,
            Err(error) => Some((Err(std::io::Error::other(error.to_string())), None)),
        }
    });
    Body::from_stream(lines).into_response()
}

/// Does `work` on a thread that may block, and tells its steps and its end line by line.
fn work<T: Serialize>(
    work: impl FnOnce(&mut dyn FnMut(u64, u64)) -> anyhow::Result<T> + Send + 'static,
) -> Response {
    let (sender, receiver) = mpsc::channel::<Line>(LINES);
    tokio::task::spawn_blocking(move || {
        let mut told = |done, total| {
            // A step that finds no room is told by a later one.
            let _ = sender.try_send(Line::Step(done, total));
        };
        let ended = work(&mut told).and_then(|done| Ok(serde_json::to_value(done)?));
        let line = match ended {
            Ok(done) => Line::Done(done),
            Err(error) => {
                tracing::warn!(error = format!("{error:#}"), "a command failed");
                Line::Failed(format!("{error:#}"))
            }
        };
        // Whoever went away does not want to know.
        let _ = sender.blocking_send(line);
    });
    let lines = futures::stream::unfold(receiver, |mut receiver| async move {
        let line = receiver.recv().await?;
        let text = serde_json::to_string(&line).unwrap_or_default() + "\n";
        Some((Ok::<_, std::convert::Infallible>(Bytes::from(text)), receiver))
    });
    Body::from_stream(lines).into_response()
}
