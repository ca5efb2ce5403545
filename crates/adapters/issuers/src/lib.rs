//! Owns the fetching of keys that issuers of tokens publish, by HTTP and HTTPS.
//! Must not contain: what keys mean, which are believed, or when they are fetched again.
#![warn(missing_docs)]

mod address;
mod fetch;

use std::time::Duration;

pub use address::AddressError;
pub use fetch::PublishedKeys;

/// Most bytes of a key set: some hundred keys.
pub const DOCUMENT_BYTES_MAX: usize = 64 * 1024;
/// Most time for fetching one, from the look-up of the name to the last byte.
pub const TIME_MOST: Duration = Duration::from_secs(5);
