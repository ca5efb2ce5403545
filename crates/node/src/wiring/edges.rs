//! The HTTP side: the gateway's routes, the WebSocket beside them, health and metrics.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::Request;
use axum::response::IntoResponse as _;
use axum::routing::get;
use futures::FutureExt as _;
use klatch_auth::AuditLog;
use klatch_compliance::Compliance;
use klatch_gateway::{Hooks, Readiness, ReadyCheck, RequestId, ServerLimits, Services, Tls};
use klatch_realtime::Realtime;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use super::unwritable::Stored;
use super::{Adapters, Certificate, Process, Roles, roles};
use crate::config::ConfigError;
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
    certificate: Option<Arc<Certificate>>,
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
        metrics_token: process.config.telemetry.metrics_token.as_ref().map(|it| it.0.clone()),
        trusted_proxies: process.config.trusted_proxies()?,
        ..klatch_gateway::Config::default()
    };
    let hooks = Hooks {
        ready: ready(adapters, roles, certificate),
        metrics: Arc::new(move || sources.text()),
        routes: Some(websocket(roles.realtime.clone())),
    };
    Ok(klatch_gateway::router(services, config, hooks))
}

/// Serves on all of `listeners` until `closing`, then until the requests under way are answered.
pub(super) fn serve(
    listeners: Vec<TcpListener>,
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
    tokio::spawn(klatch_gateway::serve(listeners, tls, router, limits, handed_over, closing))
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

fn ready(adapters: &Adapters, roles: &Roles, certificate: Option<Arc<Certificate>>) -> ReadyCheck {
    let fatal = adapters.log.fatal();
    let projections = roles.projections.clone();
    let state = Arc::new((fatal, projections, certificate, Stored::of(adapters)));
    Arc::new(move || {
        let state = Arc::clone(&state);
        async move {
            let (fatal, projections, certificate, stored) = &*state;
            // Strangers read it: what the disk said, and of which file, is in the log.
            let failed = fatal.borrow().is_some();
            let disk = failed.then(|| "its disk failed, nothing more is taken".to_owned());
            let mut checks = vec![("log".to_owned(), disk)];
            for progress in projections {
                let snapshot = progress.snapshot();
                let lag = snapshot.lag();
                let wrong = (lag > LAG_MAX).then(|| format!("{lag} events behind the log"));
                checks.push((snapshot.name.to_owned(), wrong));
            }
            let certificate = certificate.iter().map(|it| ("certificate".to_owned(), it.trouble()));
            Readiness { checks, notes: certificate.chain(stored.notes()).collect() }
        }
        .boxed()
    })
}
