//! What every route works with.

use std::sync::Arc;

use axum::Router;
use futures::future::BoxFuture;
use klatch_domain::{Clock, Entropy};
use klatch_limits::Limiter;
use klatch_ports::api::accounts::{AccountApi, InvitationApi, TokenApi};
use klatch_ports::api::audit::AuditApi;
use klatch_ports::api::auth::AuthApi;
use klatch_ports::api::commands::CommandApi;
use klatch_ports::api::compliance::ComplianceApi;
use klatch_ports::api::import::ImportApi;
use klatch_ports::api::presence::PresenceApi;
use klatch_ports::api::queries::QueryApi;

use crate::config::Config;

/// The services that answer, in this process or another.
#[derive(Clone)]
pub struct Services {
    /// Changes.
    pub commands: Arc<dyn CommandApi>,
    /// Reads.
    pub queries: Arc<dyn QueryApi>,
    /// Signing in, and tokens.
    pub auth: Arc<dyn AuthApi>,
    /// Own and others' accounts.
    pub accounts: Arc<dyn AccountApi>,
    /// Programs' tokens.
    pub tokens: Arc<dyn TokenApi>,
    /// Invitations.
    pub invitations: Arc<dyn InvitationApi>,
    /// What those who run the server did.
    pub audit: Arc<dyn AuditApi>,
    /// Imports.
    pub imports: Arc<dyn ImportApi>,
    /// Presence and typing.
    pub people: Arc<dyn PresenceApi>,
    /// How often each may come.
    pub limits: Arc<Limiter>,
    /// Time of day, for what ends by itself.
    pub clock: Arc<dyn Clock>,
    /// Export and erasure of people.
    pub compliance: Arc<dyn ComplianceApi>,
    /// Randomness for request ids and CSRF tokens.
    pub entropy: Arc<dyn Entropy>,
}

/// Whether this process can serve, and what that depends on. Anybody may read it: no paths, no
/// addresses, nothing else of the machine belongs into it.
#[derive(Clone, Debug, Default)]
pub struct Readiness {
    /// Name of each thing looked at, and what is wrong with it; `None` when it is well.
    pub checks: Vec<(String, Option<String>)>,
    /// Likewise what it can serve without.
    pub notes: Vec<(String, Option<String>)>,
}

impl Readiness {
    /// Whether all is well.
    pub fn is_ready(&self) -> bool {
        self.checks.iter().all(|(_, wrong)| wrong.is_none())
    }
}

/// Looks whether this process can serve.
pub type ReadyCheck = Arc<dyn Fn() -> BoxFuture<'static, Readiness> + Send + Sync>;

/// What the binary adds to the interface.
#[derive(Clone)]
pub struct Hooks {
    /// Answers `GET /readyz`.
    pub ready: ReadyCheck,
    /// Text for `GET /metrics`, in Prometheus' format.
    pub metrics: Arc<dyn Fn() -> String + Send + Sync>,
    /// Other roles' routes, such as `GET /ws`. They get spans and security headers as all routes
    /// do, and find [`crate::RequestId`], [`crate::Peer`] and [`klatch_limits::Address`] beside
    /// each request.
    pub routes: Option<Router>,
}

/// What every route works with.
pub(crate) struct Edge {
    pub(crate) services: Services,
    pub(crate) config: Config,
    pub(crate) hooks: Hooks,
}

pub(crate) type Shared = Arc<Edge>;
