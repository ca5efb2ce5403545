//! Owns the loops that move events from the log into workers: batches, retries, dead letters, lag.
//! Must not contain: a feature, a store, an engine, or the meaning of any event.
//!
//! Two loops. A [`Projection`] drives a [`Projector`], a worker that builds rows and keeps its own
//! position beside them. A [`Reaction`] drives a [`Reactor`], a worker that does a job per record
//! and whose position a durable consumer of the log keeps. Both run inside a future the caller
//! spawns on its own tracker, end when their token is cancelled, and give up a record only to the
//! dead letters of the SYSTEM stream.
#![warn(missing_docs)]

mod backoff;
mod config;
mod contain;
mod dead_letter;
mod density;
mod failure;
mod progress;
mod projection;
mod reaction;
mod replay;

pub use config::{ProjectionConfig, ReactionConfig, RetryConfig};
pub use dead_letter::DeadLetters;
pub use failure::{ApplyError, PumpError};
pub use progress::{Progress, ProgressSnapshot};
pub use projection::{Projection, Projector};
pub use reaction::{ReactError, Reaction, Reactor, Start};
pub use replay::{ReplayError, Replayed, replay};

#[cfg(test)]
mod tests;
