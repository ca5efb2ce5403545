//! Which mail server, and how it is talked to.

use std::time::Duration;

/// Settings of the mailer.
#[derive(Clone, Debug)]
pub struct Config {
    /// Name or address of the mail server; its certificate must be for this name.
    pub host: String,
    /// Its port.
    pub port: u16,
    /// How the connection is protected.
    pub security: Security,
    /// PEM of certificates that are believed besides those that the system trusts.
    pub ca: Option<Vec<u8>>,
    /// How the server shows who it is, if the mail server asks.
    pub login: Option<Login>,
    /// Whom letters come from: `chat@example.org` or `Chat <chat@example.org>`.
    pub from: String,
    /// Most time for a letter, from connecting to the last answer.
    pub timeout: Duration,
}

/// How a connection to the mail server is protected.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Security {
    /// Not at all: for a mail server on the same machine.
    Plain,
    /// It begins in plain text and nothing is said before both have gone over to TLS; a mail server
    /// that does not want to gets no letter.
    StartTls,
    /// TLS from the first byte.
    Tls,
}

/// A name and a password.
#[derive(Clone)]
pub struct Login {
    /// The name.
    pub username: String,
    /// The password.
    pub password: String,
}

impl std::fmt::Debug for Login {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Login")
    }
}

/// A setting that cannot work.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ConfigError {
    /// The sender's address is none.
    #[error("{0:?} is no address like chat@example.org or Chat <chat@example.org>")]
    From(String),
    /// The certificates cannot be read.
    #[error("there is no certificate in it (BEGIN CERTIFICATE)")]
    Ca,
    /// TLS cannot be set up.
    #[error("TLS cannot be set up: {0}")]
    Tls(String),
}
