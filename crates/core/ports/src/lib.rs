//! Owns the ports: small traits, split by capability, that roles call and engines implement.
//! Must not contain: an engine, a role, bytes of any wire format, or business rules.
#![warn(missing_docs)]

pub mod accounts;
pub mod activity;
pub mod api;
pub mod api_tokens;
pub mod bus;
pub mod erasures;
pub mod error;
pub mod invitations;
pub mod issuers;
pub mod key_index;
pub mod keys;
pub mod kv;
pub mod log;
pub mod mail;
pub mod messages;
pub mod metadata;
pub mod position;
pub mod whereabouts;

pub use error::{ErrorKind, PortError, PortResult};
pub use position::{Epoch, Offset, Partition, Position, StreamId};
