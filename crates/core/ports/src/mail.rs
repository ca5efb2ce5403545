//! Letters by e-mail.

use async_trait::async_trait;

use crate::error::PortResult;

/// A letter in plain text.
#[derive(Clone, PartialEq, Eq)]
pub struct Letter {
    /// One address.
    pub to: String,
    /// One line.
    pub subject: String,
    /// Lines ended by line feeds.
    pub text: String,
}

// Letters hold secrets and addresses.
impl std::fmt::Debug for Letter {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Letter")
    }
}

/// Sends letters.
#[async_trait]
pub trait Mailer: Send + Sync {
    /// Hands a letter over to the mail server; it was taken when this returns. Tries once.
    async fn send(&self, letter: Letter) -> PortResult<()>;
}
