//! The HTTP side: the gateway's routes, the WebSocket beside them, health and metrics.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::Request;
use axum::response::IntoResponse as _;
use axum::routing::get;
use futures::FutureExt as _;
use klatch_auth::AuditLog;
use klatch_compliance::Compliance;
use klatch_gateway::{
    Hooks, Readiness, ReadyCheck, RequestId, ServerLimits, Services, Tls, TlsError,
};
use klatch_realtime::Realtime;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use super::{Adapters, Process, Roles, roles};
use crate::config::{Config, ConfigError};
use crate::durability::Durability;
use crate::metrics::Sources;

/// How far a read model may be behind before the server says that it is not ready.
const LAG_MAX: u64 = 100_000;

/// All routes of this server.
pub(super) fn router(
    process: &Process,
    adapters: &Adapters,
    (roles, compliance): (&Roles, Arc<Compliance>),
    sources: Sources,
) -> Result<Router, ConfigError> {
    let services = Services {
        commands: roles.commands.clone(),
        queries: roles.queries.clone(),
        auth: roles.auth.clone(),
        accounts: roles.auth.clone(),
        invitations: roles.auth.clone(),
        tokens: roles.auth.clone(),
        audit: Arc::new(AuditLog::new(adapters.log.clone(), adapters.log.clone())),
        clock: Arc::clone(&process.clock),
        imports: roles.imports.clone(),
        people: roles.people.clone(),
        limits: Arc::clone(&roles.limits),
        compliance,
        entropy: Arc::clone(&process.entropy),
    };
    let server = &process.config.server;
    let public_https = server.public_url.as_deref().is_some_and(|url| url.starts_with("https://"));
    let config = klatch_gateway::Config {
        durability: Durability::of(&server.data_dir).word(),
        secure_cookies: public_https || server.tls.is_some(),
        session_life: roles::session_life(&process.config),
        allowed_origins: server.allowed_origins.clone(),
        trusted_proxies: process.config.trusted_proxies()?,
        ..klatch_gateway::Config::default()
    };
    let hooks = Hooks {
        ready: ready(adapters, roles),
        metrics: Arc::new(move || sources.text()),
        routes: Some(websocket(roles.realtime.clone())),
    };
    Ok(klatch_gateway::router(services, config, hooks))
}

/// The certificate and key that the configuration names.
///
/// # Errors
/// A file cannot be read, or is not what it should be.
pub(crate) fn tls(config: &Config) -> Result<Option<Tls>, ConfigError> {
    let Some(files) = &config.server.tls else { return Ok(None) };
    let (cert_key, key_key) = ("server.tls.cert", "server.tls.key");
    let read = |key, file: &Path| {
        std::fs::read(file).map_err(|error| ConfigError::Refused {
            key,
            problem: format!("{}: {error}", file.display()),
        })
    };
    let cert = read(cert_key, &files.cert)?;
    let key = read(key_key, &files.key)?;
    Tls::new(&cert, &key).map(Some).map_err(|error| {
        let (key, file) = match &error {
            TlsError::Certificate(_) => (cert_key, &files.cert),
            TlsError::Key(_) | TlsError::Mismatch => (key_key, &files.key),
        };
        ConfigError::Refused { key, problem: format!("{}: {error}", file.display()) }
    })
}

/// Serves until `closing`, then until the requests under way are answered.
pub(super) fn serve(
    listener: TcpListener,
    tls: Option<Tls>,
    router: Router,
    (process, roles): (&Process, &Roles),
    closing: CancellationToken,
) -> tokio::task::JoinHandle<()> {
    let defaults = ServerLimits::default();
    let limits = ServerLimits {
        sockets: process.capacity.sockets,
        connections: defaults.connections.min(process.capacity.sockets),
        grace: leaving_time(Duration::from_secs(process.config.server.grace_seconds)),
        ..defaults
    };
    let realtime = roles.realtime.clone();
    let handed_over = Arc::new(move || realtime.open_connections());
    tokio::spawn(klatch_gateway::serve(listener, tls, router, limits, handed_over, closing))
}

/// What connections and requests may take of the time to leave: most of it.
pub(super) fn leaving_time(grace: Duration) -> Duration {
    grace.saturating_sub(super::LAST).max(grace / 2)
}

fn websocket(realtime: Realtime) -> Router {
    let answer = move |request: Request| {
        let realtime = realtime.clone();
        async move {
            let id = request.extensions().get::<RequestId>().cloned().unwrap_or_default();
            realtime.upgrade(request, &id.0).await.map(axum::body::Body::from).into_response()
        }
    };
    Router::new().route("/ws", get(answer))
}

fn ready(adapters: &Adapters, roles: &Roles) -> ReadyCheck {
    let fatal = adapters.log.fatal();
    let projections = roles.projections.clone();
    let state = Arc::new((fatal, projections));
    Arc::new(move || {
        let state = Arc::clone(&state);
        async move {
            let (fatal, projections) = &*state;
            let disk = fatal.borrow().as_deref().map(str::to_owned);
            let mut checks = vec![("log".to_owned(), disk)];
            for progress in projections {
                let snapshot = progress.snapshot();
                let lag = snapshot.lag();
                let wrong = (lag > LAG_MAX).then(|| format!("{lag} events behind the log"));
                checks.push((snapshot.name.to_owned(), wrong));
            }
            Readiness { checks }
        }
        .boxed()
    })
}
