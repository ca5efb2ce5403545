//! The WebSocket protocol: JSON text frames `{"type", "payload", "requestId"?}`.

pub mod client;
pub mod close;
pub mod event;
pub mod presence;
pub mod resumed;
pub mod server;
pub mod subscribe;

/// The subprotocol the server speaks.
pub const SUBPROTOCOL: &str = "klatch.v1";
/// Subprotocol entry that carries a token: `bearer.<token>`.
pub const TOKEN_PREFIX: &str = "bearer.";
