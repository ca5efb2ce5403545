//! The mailer that the configuration describes.

use std::sync::Arc;
use std::time::Duration;

use klatch_domain::Clock;
use klatch_mail::{Config as MailConfig, ConfigError as MailError, Login, Security, SmtpMailer};

use crate::config::{Config, ConfigError, mail};

/// `None`: no letters are sent.
///
/// # Errors
/// A file cannot be read, or a setting cannot work.
pub(crate) fn mailer(
    config: &Config,
    clock: &Arc<dyn Clock>,
) -> Result<Option<SmtpMailer>, ConfigError> {
    let settings = &config.mail;
    let Some(host) = &settings.host else { return Ok(None) };
    let ca = settings.ca.as_ref().map(|file| mail::read("mail.ca", file)).transpose()?;
    let made = MailConfig {
        host: host.clone(),
        port: settings.port(),
        security: match settings.security {
            mail::Security::None => Security::Plain,
            mail::Security::Starttls => Security::StartTls,
            mail::Security::Tls => Security::Tls,
        },
        ca,
        login: login(settings)?,
        from: settings.from.clone().unwrap_or_default(),
        timeout: Duration::from_secs(settings.timeout_seconds),
    };
    SmtpMailer::new(made, Arc::clone(clock)).map(Some).map_err(|error| {
        let key = match &error {
            MailError::From(_) => "mail.from",
            MailError::Ca => "mail.ca",
            MailError::Tls(_) => "mail.security",
        };
        ConfigError::Refused { key, problem: error.to_string() }
    })
}

fn login(settings: &mail::Mail) -> Result<Option<Login>, ConfigError> {
    let Some(username) = settings.username.clone() else { return Ok(None) };
    let password = match (&settings.password, &settings.password_file) {
        (Some(password), _) => password.0.clone(),
        (None, Some(file)) => {
            let key = "mail.password_file";
            let text = String::from_utf8(mail::read(key, file)?);
            let text = text.map_err(|_| ConfigError::Refused {
                key,
                problem: format!("{}: it is not text", file.display()),
            })?;
            text.trim_end_matches(['\r', '\n']).to_owned()
        }
        (None, None) => String::new(),
    };
    Ok(Some(Login { username, password }))
}
