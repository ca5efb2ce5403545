//! The mail server that letters go through.

use std::net::IpAddr;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::ConfigError;
use super::sections::{Config, Secret};

/// The mail server; without a `host` no letters are sent.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Mail {
    /// Name of the mail server, as in its certificate.
    pub(crate) host: Option<String>,
    /// Its port; 587 with `starttls`, 465 with `tls`, 25 with `none` when absent.
    pub(crate) port: Option<u16>,
    pub(crate) security: Security,
    /// PEM file of certificates that are believed besides the system's.
    pub(crate) ca: Option<PathBuf>,
    pub(crate) username: Option<String>,
    pub(crate) password: Option<Secret>,
    /// A file that holds the password; a line feed at its end is left out.
    pub(crate) password_file: Option<PathBuf>,
    /// Whom letters come from: `chat@example.org` or `Chat <chat@example.org>`.
    pub(crate) from: Option<String>,
    /// Most seconds for handing over a letter.
    pub(crate) timeout_seconds: u64,
}

impl Default for Mail {
    fn default() -> Self {
        Self {
            host: None,
            port: None,
            security: Security::Starttls,
            ca: None,
            username: None,
            password: None,
            password_file: None,
            from: None,
            timeout_seconds: 30,
        }
    }
}

/// How the connection to the mail server is protected.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Security {
    /// Not at all.
    None,
    /// It goes over to TLS before anything is said.
    Starttls,
    /// TLS from the first byte.
    Tls,
}

impl Mail {
    /// Checks what types cannot.
    pub(super) fn validate(&self, config: &Config) -> Result<(), ConfigError> {
        let refuse =
            |key, problem: &str| Err(ConfigError::Refused { key, problem: problem.to_owned() });
        let Some(host) = &self.host else { return Ok(()) };
        if host.is_empty() || host.contains(|c: char| c.is_whitespace() || "/@".contains(c)) {
            return refuse(
                "mail.host",
                "it is the name of a mail server, such as mail.example.org",
            );
        }
        if self.from.is_none() {
            return refuse("mail.from", "with mail.host it must say whom letters come from");
        }
        if !(1..=300).contains(&self.timeout_seconds) {
            return refuse("mail.timeout_seconds", "it must be between 1 and 300");
        }
        if self.password.is_some() && self.password_file.is_some() {
            return refuse("mail.password_file", "the password is in mail.password already");
        }
        let has_password = self.password.is_some() || self.password_file.is_some();
        if has_password != self.username.is_some() {
            return refuse("mail.username", "a name and a password belong together");
        }
        if has_password && self.security == Security::None && !is_here(host) {
            let problem = "a password would cross the network for all to read: use starttls or tls";
            return refuse("mail.security", problem);
        }
        if config.server.public_url.is_none() && !config.server.listen.ip().is_loopback() {
            let problem = "with mail.host it must be set: links in letters begin with it";
            return refuse("server.public_url", problem);
        }
        Ok(())
    }

    /// The port, or the usual one.
    pub(crate) fn port(&self) -> u16 {
        let usual = match self.security {
            Security::None => 25,
            Security::Starttls => 587,
            Security::Tls => 465,
        };
        self.port.unwrap_or(usual)
    }
}

/// Whether a mail server is on this machine.
fn is_here(host: &str) -> bool {
    host == "localhost" || host.parse().is_ok_and(|ip: IpAddr| ip.is_loopback())
}

/// Where people look for what a file of the configuration holds.
pub(crate) fn read(key: &'static str, file: &Path) -> Result<Vec<u8>, ConfigError> {
    std::fs::read(file).map_err(|error| ConfigError::Refused {
        key,
        problem: format!("{}: {error}", file.display()),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with(mail: Mail) -> Result<(), ConfigError> {
        Config { mail, ..Config::default() }.validate()
    }

    fn good() -> Mail {
        Mail {
            host: Some("mail.example.org".to_owned()),
            from: Some("chat@example.org".to_owned()),
            username: Some("chat".to_owned()),
            password: Some(Secret("secret".to_owned())),
            ..Mail::default()
        }
    }

    #[test]
    fn what_cannot_work_is_refused_by_name() {
        assert!(with(Mail::default()).is_ok() && with(good()).is_ok());
        assert_eq!(good().port(), 587);
        let bad = [
            ("mail.host", Mail { host: Some("a b".to_owned()), ..good() }),
            ("mail.from", Mail { from: None, ..good() }),
            ("mail.timeout_seconds", Mail { timeout_seconds: 0, ..good() }),
            ("mail.username", Mail { username: None, ..good() }),
            ("mail.username", Mail { password: None, ..good() }),
            ("mail.password_file", Mail { password_file: Some("x".into()), ..good() }),
            ("mail.security", Mail { security: Security::None, ..good() }),
        ];
        for (key, mail) in bad {
            let told = with(mail).unwrap_err().to_string();
            assert!(told.contains(key), "{key}: {told}");
        }
        let here = Mail { host: Some("127.0.0.1".to_owned()), security: Security::None, ..good() };
        assert!(with(here).is_ok());
        let mut open = Config { mail: good(), ..Config::default() };
        open.server.listen = "0.0.0.0:8080".parse().unwrap();
        assert!(open.validate().unwrap_err().to_string().contains("server.public_url"));
        open.server.public_url = Some("https://chat.example".to_owned());
        open.validate().unwrap();
    }

    #[test]
    fn a_password_is_never_shown() {
        let shown = toml::to_string_pretty(&good()).unwrap();
        assert!(shown.contains("***") && !shown.contains("secret"), "{shown}");
    }
}
