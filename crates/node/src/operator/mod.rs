//! The way in for whoever has the machine: a socket in the data directory that only its owner can
//! reach. It speaks the REST interface; what is below `/api/v1/admin/` needs no token there.

pub(crate) mod commands;

use std::convert::Infallible;
use std::fs::{self, DirBuilder};
use std::io;
use std::os::unix::fs::{DirBuilderExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use hyper::Request;
use hyper::body::Incoming;
use hyper::server::conn::http1::Builder;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use klatch_gateway::Operator;
use tokio::net::{UnixListener, UnixStream};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tower::ServiceExt as _;

/// A directory of its own: the socket is nowhere to be reached before its mode is set.
const FOLDER: &str = "operator";
const SOCKET: &str = "socket";
/// How long a command may take to say what it wants.
const HEAD_TIMEOUT: Duration = Duration::from_secs(10);

/// Where the socket of a data directory is.
pub(crate) fn path(data_dir: &Path) -> PathBuf {
    data_dir.join(FOLDER).join(SOCKET)
}

/// Listens in the data directory, which this process has to itself.
fn listen(data_dir: &Path) -> io::Result<UnixListener> {
    let folder = data_dir.join(FOLDER);
    if !folder.is_dir() {
        DirBuilder::new().mode(0o700).create(&folder)?;
    }
    fs::set_permissions(&folder, fs::Permissions::from_mode(0o700))?;
    let path = path(data_dir);
    // Left by a process that was killed.
    match fs::remove_file(&path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        Ok(()) | Err(_) => {}
    }
    UnixListener::bind(&path)
}

/// Serves `router` to whoever has the machine, until `stop`. A socket that cannot be made (on some
/// network file systems, or where the path is longer than 107 bytes) is told of, and done without.
pub(crate) fn serve(
    data_dir: &Path,
    router: &Router,
    tasks: &TaskTracker,
    stop: &CancellationToken,
) {
    let listener = match listen(data_dir) {
        Ok(listener) => listener,
        Err(error) => {
            let path = path(data_dir).display().to_string();
            tracing::warn!(%error, path, "no socket for `klatch user` and `klatch token`");
            return;
        }
    };
    let (router, tasks, stop) = (router.clone(), tasks.clone(), stop.clone());
    tasks.clone().spawn(async move {
        while let Some(accepted) = stop.run_until_cancelled(listener.accept()).await {
            match accepted {
                Ok((stream, _)) => {
                    let (router, stop) = (router.clone(), stop.clone());
                    tasks.spawn(async move {
                        stop.run_until_cancelled(speak(stream, router)).await;
                    });
                }
                Err(error) => {
                    tracing::warn!(%error, "a command could not be heard");
                    tokio::time::sleep(Duration::from_millis(100)).await;
                }
            }
        }
    });
}

async fn speak(stream: UnixStream, router: Router) {
    let service = service_fn(move |request: Request<Incoming>| {
        let mut request = request.map(Body::new);
        request.extensions_mut().insert(Operator);
        let router = router.clone();
        async move {
            let answer: Result<_, Infallible> = router.oneshot(request).await;
            answer
        }
    });
    let mut builder = Builder::new();
    builder.timer(TokioTimer::new()).header_read_timeout(HEAD_TIMEOUT);
    if let Err(error) = builder.serve_connection(TokioIo::new(stream), service).await {
        tracing::debug!(%error, "a command's connection ended early");
    }
}
