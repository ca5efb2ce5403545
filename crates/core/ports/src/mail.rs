//! Letters by e-mail.

use async_trait::async_trait;

use crate::error::PortResult;

/// A letter in plain text.
#[derive(Clone, PartialEq, Eq)]
pub struct Letter {
    /// Hexadecimal digits that no other letter has; the same whenever this one is tried again.
    pub id: String,
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
        write!(f, "Letter({})", self.id)
    }
}

/// What a mail server that could be talked to did with a letter. Codes are those of RFC 5321.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Handover {
    /// The mail server has it and cares for the rest.
    Taken,
    /// Not this letter, not now.
    Later(u16),
    /// Never this letter.
    Never(u16),
}

/// Sends letters.
#[async_trait]
pub trait Mailer: Send + Sync {
    /// Hands a letter over to the mail server. Tries once, within a time of its own.
    ///
    /// # Errors
    /// It says nothing about this letter: the mail server cannot be reached, does not let the
    /// server in, or broke off. Whether it has the letter is unknown then; with the same id the
    /// letter may be handed over again.
    async fn send(&self, letter: &Letter) -> PortResult<Handover>;
}
