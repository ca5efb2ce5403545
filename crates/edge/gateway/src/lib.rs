//! Owns the REST interface, its problem documents, and the files of the web client.
//! Must not contain: decisions about rooms or people, stores, or frames of the WebSocket.
#![warn(missing_docs)]

mod address;
mod answers;
mod body;
mod caller;
mod conditions;
mod config;
mod cookies;
mod edge;
mod fault;
mod finish;
mod limits;
mod openapi;
mod pages;
mod params;
mod paths;
mod reply;
mod router;
mod routes;
mod server;
mod tls;
mod web;

pub use address::Peer;
pub use caller::Operator;
pub use config::{Config, Network, NetworkError};
pub use edge::{Hooks, Readiness, ReadyCheck, Services};
pub use finish::RequestId;
pub use openapi::document;
pub use router::router;
pub use server::{HandedOver, ServerLimits, serve};
pub use tls::{Tls, TlsError};
