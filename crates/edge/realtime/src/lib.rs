//! Owns WebSocket connections: from the upgrade to the last frame, and who gets which event.
//! Must not contain: decisions on commands, writes to any store, or a browser's other requests.
#![warn(missing_docs)]

pub mod framing;
