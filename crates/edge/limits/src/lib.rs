//! Owns how often someone may do something: token buckets per caller and action.
//! Must not contain: HTTP, frames, a decision on what someone may do, or a store.
//!
//! A bucket is one number in the KV: the time at which it is full again. An instance takes tokens
//! out of it in small chunks and spends them from its own memory, so that most decisions touch no
//! KV and all instances together still keep the window. A chunk is an eighth of the window's count,
//! at most 32 and at least one, and lapses a second after it was taken; what was not spent of it
//! is given back. So within any one window all instances together let through at most the count,
//! what is filled up meanwhile, and (chunk − 1) for each instance. A caller who asks at one
//! instance is never refused while an exact bucket would hold a token.
//!
//! Time is that of the instances' clocks: one that is ahead by a second gives a second's refill
//! too early. A KV that does not answer makes each instance count for itself.
#![warn(missing_docs)]

mod address;
mod bucket;
mod limiter;
mod policy;
mod table;

pub use address::Address;
pub use limiter::{Asked, Kv, Limiter, Standing};
pub use policy::{Action, Allowances, ByAddress, Caller, Class, Policy, Window};
