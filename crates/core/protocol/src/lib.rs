//! Owns every byte that leaves the process: log events, sealed bodies, inbox frames, REST and
//! WebSocket JSON, problem documents.
//! Must not contain: decisions, IO other than looking a key up, or engine words.
#![warn(missing_docs)]

pub mod audit;
pub mod dead_letter;
pub mod event;
pub mod hash;
pub mod inbox;
pub mod presence;
pub mod problem;
pub mod rest;
pub mod sealed;
mod system;
pub mod ws;
