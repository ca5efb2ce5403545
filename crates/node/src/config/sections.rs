//! Every section with its defaults and limits.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use klatch_embedded::erasures::LedgerFile;
use klatch_gateway::Network;
use serde::{Deserialize, Serialize, Serializer};

use super::ConfigError;
use super::limits::Limits;
use super::mail::Mail;
use super::span::{Keep, Span};

/// All settings.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Config {
    pub(crate) server: Server,
    pub(crate) auth: Auth,
    pub(crate) log: Log,
    pub(crate) realtime: Realtime,
    pub(crate) limits: Limits,
    pub(crate) mail: Mail,
    pub(crate) telemetry: Telemetry,
}

/// Where the server is and what it keeps.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Server {
    /// Address to listen on.
    pub(crate) listen: SocketAddr,
    /// Directory of everything that is kept.
    pub(crate) data_dir: PathBuf,
    /// File of the ledger of erasures; `keys/erasures` in the data directory when absent. Elsewhere
    /// it also outlives the loss of that directory.
    pub(crate) erasures: Option<PathBuf>,
    /// With it only TLS is spoken: https and wss.
    pub(crate) tls: Option<TlsFiles>,
    /// Address people use, if a proxy stands before the server: for links and origin checks.
    pub(crate) public_url: Option<String>,
    /// Origins of other web pages that may use the API.
    pub(crate) allowed_origins: Vec<String>,
    /// Addresses of the proxies before the server, such as `10.0.0.0/8`: what they say of where a
    /// request comes from is believed.
    pub(crate) trusted_proxies: Vec<String>,
    /// Most WebSocket connections at a time; as many as the limit of open files allows when absent.
    pub(crate) connections_max: Option<usize>,
    /// Seconds a shutdown may take before it is forced.
    pub(crate) grace_seconds: u64,
    /// Seconds a read waits for its read model.
    pub(crate) read_model_wait_seconds: u64,
}

impl Default for Server {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from(([127, 0, 0, 1], 8080)),
            data_dir: PathBuf::from("data"),
            erasures: None,
            tls: None,
            public_url: None,
            allowed_origins: Vec::new(),
            trusted_proxies: Vec::new(),
            connections_max: None,
            grace_seconds: 30,
            read_model_wait_seconds: 3,
        }
    }
}

/// PEM files.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct TlsFiles {
    /// The server's certificate, then those that vouch for it.
    pub(crate) cert: PathBuf,
    /// Its private key.
    pub(crate) key: PathBuf,
}

/// Who may come in.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Auth {
    /// Whether anyone may register.
    pub(crate) open_registration: bool,
    /// Life of an access token in minutes.
    pub(crate) access_minutes: u64,
    /// Life of a session after its last use in days.
    pub(crate) session_days: u64,
    /// The one-time token that makes the first administrator; random when absent.
    pub(crate) setup_token: Option<Secret>,
    /// Issuers whose tokens are accepted besides the server's own.
    pub(crate) issuers: Vec<Issuer>,
}

impl Default for Auth {
    fn default() -> Self {
        Self {
            open_registration: true,
            access_minutes: 15,
            session_days: 30,
            setup_token: None,
            issuers: Vec::new(),
        }
    }
}

/// An issuer of tokens.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Issuer {
    /// Its `iss`.
    pub(crate) name: String,
    /// Shared secret of HS256 tokens, at least 32 bytes.
    #[serde(default)]
    pub(crate) secret: Option<Secret>,
    /// Where it publishes the keys of RS256, ES256 and `EdDSA` tokens, as a JSON Web Key Set.
    #[serde(default)]
    pub(crate) jwks_url: Option<String>,
    /// A file with such a set.
    #[serde(default)]
    pub(crate) jwks_file: Option<PathBuf>,
    /// PEM file of certificates that are believed at `jwks_url` besides the system's.
    #[serde(default)]
    pub(crate) ca: Option<PathBuf>,
    /// What `aud` must hold.
    #[serde(default)]
    pub(crate) audience: Option<String>,
    /// Whether a subject that names no user becomes one.
    #[serde(default)]
    pub(crate) provision: bool,
}

/// The embedded event log.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Log {
    /// Size of a segment file in MiB.
    pub(crate) segment_mib: u64,
    /// Free space in MiB below which nothing is accepted any more.
    pub(crate) reserve_mib: u64,
    /// How long events are kept before those that a verified snapshot covers are forgotten, by the
    /// time they were appended; `off`: for ever.
    pub(crate) retention: Keep,
    /// How long a client's own key is remembered, and so what retention is at least.
    pub(crate) key_memory: Span,
}

impl Default for Log {
    fn default() -> Self {
        Self {
            segment_mib: 64,
            reserve_mib: 256,
            retention: Keep::For(Span(Duration::from_hours(24 * 30))),
            key_memory: Span(Duration::from_hours(24)),
        }
    }
}

impl Log {
    fn validate(&self) -> Result<(), ConfigError> {
        let refuse =
            |key, problem: &str| Err(ConfigError::Refused { key, problem: problem.to_owned() });
        let day = Duration::from_hours(24);
        if !(Duration::from_secs(1)..=day).contains(&self.key_memory.0) {
            return refuse("log.key_memory", "it must be between 1s and 24h");
        }
        match self.retention {
            Keep::For(retention) if retention < self.key_memory => {
                refuse("log.retention", "it must be at least log.key_memory, or off")
            }
            _ => Ok(()),
        }
    }
}

/// Connections.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Realtime {
    /// Bytes waiting for one connection before it is closed as too slow, in KiB.
    pub(crate) queue_kib: usize,
    /// What a room may send to a connection in a second before it only tells that it went on, in
    /// KiB.
    pub(crate) room_kib_per_second: usize,
    /// Frames a client may send in a second for long.
    pub(crate) frames_per_second: u16,
    /// Frames a client may send at once after a pause.
    pub(crate) frames_burst: u16,
    /// Most bytes of a message from a client, in KiB.
    pub(crate) frame_kib: u32,
    /// Most connections that may begin in a second; 0: no limit.
    pub(crate) handshakes_per_second: u32,
    /// Whether clients that offer permessage-deflate get it.
    pub(crate) deflate: bool,
    /// Most missed events that a resume replays one by one.
    pub(crate) replay_events: usize,
    /// Most events of a room that a resume tells beyond that.
    pub(crate) delta_events: usize,
    /// Most rooms that it tells of.
    pub(crate) delta_rooms: usize,
    /// Most members of a room in which others are told who types; 0 turns it off.
    pub(crate) typing_members_max: usize,
}

impl Default for Realtime {
    fn default() -> Self {
        Self {
            queue_kib: 1024,
            room_kib_per_second: 1024,
            frames_per_second: 100,
            frames_burst: 1000,
            frame_kib: 64,
            handshakes_per_second: 10_000,
            deflate: true,
            replay_events: 1_000,
            delta_events: 50,
            delta_rooms: 10_000,
            typing_members_max: 500,
        }
    }
}

/// What the server tells about itself.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Telemetry {
    /// Filter in the words of `RUST_LOG`, e.g. `info,klatch=debug`.
    pub(crate) level: String,
    /// Form of log lines.
    pub(crate) format: LogFormat,
    /// The bearer token that `GET /metrics` wants to see; everybody may read it when absent.
    pub(crate) metrics_token: Option<Secret>,
}

impl Default for Telemetry {
    fn default() -> Self {
        let level = "info,fjall=warn,lsm_tree=warn".to_owned();
        Self { level, format: LogFormat::Text, metrics_token: None }
    }
}

/// Form of log lines.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum LogFormat {
    /// For people.
    Text,
    /// One JSON object a line.
    Json,
}

/// A text that is never shown.
#[derive(Clone, Deserialize)]
#[serde(transparent)]
pub(crate) struct Secret(pub(crate) String);

impl std::fmt::Debug for Secret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("***")
    }
}

impl Serialize for Secret {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str("***")
    }
}

impl Config {
    /// The proxies that are believed.
    pub(crate) fn trusted_proxies(&self) -> Result<Vec<Network>, ConfigError> {
        let read = |text: &String| {
            text.parse().map_err(|error| ConfigError::Refused {
                key: "server.trusted_proxies",
                problem: format!("{text:?} is {error}"),
            })
        };
        self.server.trusted_proxies.iter().map(read).collect()
    }

    /// The ledger of erasures of the data in `dir`.
    pub(crate) fn erasures(&self, dir: &Path) -> LedgerFile {
        let file = self.server.erasures.clone();
        LedgerFile::new(file.unwrap_or_else(|| dir.join("keys").join("erasures")))
    }

    /// Checks what types cannot.
    pub(crate) fn validate(&self) -> Result<(), ConfigError> {
        let refuse =
            |key, problem: &str| Err(ConfigError::Refused { key, problem: problem.to_owned() });
        if !(1..=1024).contains(&self.log.segment_mib) {
            return refuse("log.segment_mib", "it must be between 1 and 1024");
        }
        self.log.validate()?;
        if !(1..=1024).contains(&self.realtime.frame_kib) {
            return refuse("realtime.frame_kib", "it must be between 1 and 1024");
        }
        let Realtime { replay_events, delta_events, delta_rooms, .. } = &self.realtime;
        for (name, value) in [
            ("realtime.replay_events", *replay_events),
            ("realtime.delta_events", *delta_events),
            ("realtime.delta_rooms", *delta_rooms),
        ] {
            if !(1..=100_000).contains(&value) {
                return refuse(name, "it must be between 1 and 100000");
            }
        }
        if !(16..=1024 * 1024).contains(&self.realtime.queue_kib) {
            return refuse("realtime.queue_kib", "it must be between 16 and 1048576");
        }
        if !(1..=3600).contains(&self.server.grace_seconds) {
            return refuse("server.grace_seconds", "it must be between 1 and 3600");
        }
        if !(1..=1024 * 1024).contains(&self.realtime.room_kib_per_second) {
            return refuse("realtime.room_kib_per_second", "it must be between 1 and 1048576");
        }
        if self.realtime.frames_per_second == 0 || self.realtime.frames_burst == 0 {
            return refuse("realtime.frames_per_second", "it and frames_burst must be at least 1");
        }
        if self.realtime.typing_members_max > 10_000 {
            return refuse("realtime.typing_members_max", "it must be at most 10000");
        }
        if !(1..=60).contains(&self.server.read_model_wait_seconds) {
            return refuse("server.read_model_wait_seconds", "it must be between 1 and 60");
        }
        self.trusted_proxies()?;
        for (key, token) in [
            ("auth.setup_token", &self.auth.setup_token),
            ("telemetry.metrics_token", &self.telemetry.metrics_token),
        ] {
            if token.as_ref().is_some_and(|token| token.0.len() < 16) {
                return refuse(key, "it must have at least 16 characters");
            }
        }
        self.mail.validate(self)
    }
}

impl Config {
    /// Where people find the server, without a slash at the end.
    pub(crate) fn address(&self) -> String {
        let scheme = if self.server.tls.is_some() { "https" } else { "http" };
        match &self.server.public_url {
            Some(url) => url.trim_end_matches('/').to_owned(),
            None => format!("{scheme}://{}", self.server.listen),
        }
    }
}
