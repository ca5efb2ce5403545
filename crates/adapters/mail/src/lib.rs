//! Owns the way of letters to the mail server: SMTP, with TLS and a login as configured.
//! Must not contain: what a letter says, who gets one, or when it is tried again.
#![warn(missing_docs)]

mod config;
mod error;
mod smtp;

pub use config::{Config, ConfigError, Login, Security};
pub use smtp::SmtpMailer;
