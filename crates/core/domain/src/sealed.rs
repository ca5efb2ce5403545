//! Text under a person's key: what the log and the stores hold instead of words.

use bytes::Bytes;

use crate::id::UserId;

/// Bytes that only the holder of `person`'s data key can open.
///
/// Destroying that key makes every copy unreadable, wherever it lies.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Sealed {
    /// Whose key opens it.
    pub person: UserId,
    /// Nonce, ciphertext and tag; the layout belongs to the protocol crate.
    pub bytes: Bytes,
}

impl std::fmt::Debug for Sealed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Sealed({} bytes of {})", self.bytes.len(), self.person)
    }
}
