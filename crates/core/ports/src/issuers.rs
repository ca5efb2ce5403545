//! Keys that others publish, so that their tokens can be checked.

use async_trait::async_trait;
use bytes::Bytes;

use crate::error::PortResult;

/// Where an issuer of tokens publishes its keys.
#[async_trait]
pub trait IssuerKeys: Send + Sync {
    /// The document as it is published now, a JSON Web Key Set (RFC 7517) if all is well. Asks
    /// once, takes a bounded time and a bounded number of bytes, and follows nobody elsewhere.
    ///
    /// # Errors
    /// Nobody answers, the answer is none, or it is too long.
    async fn fetch(&self) -> PortResult<Bytes>;
}
