//! One letter, one connection.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use async_trait::async_trait;
use klatch_domain::Clock;
use klatch_ports::PortResult;
use klatch_ports::mail::{Handover, Letter, Mailer};
use lettre::message::header::{ContentType, HeaderName, HeaderValue};
use lettre::message::{Mailbox, Message};
use lettre::transport::smtp::authentication::Credentials;
use lettre::transport::smtp::client::{Certificate, Tls, TlsParameters};
use lettre::transport::smtp::extension::ClientId;
use lettre::{Address, AsyncSmtpTransport, AsyncTransport as _, Tokio1Executor};
use tokio::time::timeout;

use crate::config::{Config, ConfigError, Login, Security};
use crate::error::{chain, judge, odd, timeout as late};

/// What a mail server says to an address that it cannot read.
const NO_ADDRESS: Handover = Handover::Never(553);

/// Hands letters to a mail server, each over a connection of its own: letters are rare, and mail
/// servers end connections that wait for the next one.
pub struct SmtpMailer {
    transport: AsyncSmtpTransport<Tokio1Executor>,
    from: Mailbox,
    /// Behind the `@` of letters' ids, and the name said in greeting.
    domain: String,
    timeout: Duration,
    clock: Arc<dyn Clock>,
}

// Holds a password.
impl std::fmt::Debug for SmtpMailer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("SmtpMailer")
    }
}

impl SmtpMailer {
    /// A mailer. Connects to nobody yet, but reads the certificates that the system trusts.
    ///
    /// # Errors
    /// [`ConfigError`] names the setting that cannot work.
    pub fn new(config: Config, clock: Arc<dyn Clock>) -> Result<Self, ConfigError> {
        let Config { host, port, security, ca, login, from, timeout } = config;
        let from: Mailbox = from.parse().map_err(|_| ConfigError::From(from.clone()))?;
        let domain = from.email.domain().to_owned();
        let tls = match security {
            Security::Plain => Tls::None,
            Security::StartTls => Tls::Required(trust(&host, ca.as_deref())?),
            Security::Tls => Tls::Wrapper(trust(&host, ca.as_deref())?),
        };
        let builder = AsyncSmtpTransport::<Tokio1Executor>::builder_dangerous(host)
            .port(port)
            .tls(tls)
            .hello_name(ClientId::Domain(domain.clone()))
            .timeout(Some(timeout));
        let builder = match login {
            Some(Login { username, password }) => {
                builder.credentials(Credentials::new(username, password))
            }
            None => builder,
        };
        Ok(Self { transport: builder.build(), from, domain, timeout, clock })
    }

    /// Connects, shows who this is, and leaves: what a letter would need. Sends none.
    ///
    /// # Errors
    /// As [`Mailer::send`].
    pub async fn try_out(&self) -> PortResult<()> {
        let tried = timeout(self.timeout, self.transport.test_connection()).await;
        match tried.map_err(|_| late("connect"))? {
            Ok(_) => Ok(()),
            Err(error) => match judge(&error, "connect")? {
                Handover::Taken => Ok(()),
                Handover::Later(code) | Handover::Never(code) => Err(odd(code, "connect")),
            },
        }
    }

    /// `None` for an address that no mail can have.
    fn message(&self, letter: &Letter) -> Option<Message> {
        let to: Address = letter.to.parse().ok()?;
        let sent_at = SystemTime::UNIX_EPOCH + Duration::from_millis(self.clock.now().0);
        let message = Message::builder()
            .from(self.from.clone())
            .to(Mailbox::new(None, to))
            .subject(letter.subject.clone())
            .date(sent_at)
            .message_id(Some(format!("<{}@{}>", letter.id, self.domain)))
            // Nobody's notice of absence is wanted (RFC 3834, and its like of Exchange).
            .raw_header(fixed("Auto-Submitted", "auto-generated"))
            .raw_header(fixed("X-Auto-Response-Suppress", "All"))
            .header(ContentType::TEXT_PLAIN)
            .body(letter.text.clone());
        message.ok()
    }
}

#[async_trait]
impl Mailer for SmtpMailer {
    async fn send(&self, letter: &Letter) -> PortResult<Handover> {
        let Some(message) = self.message(letter) else { return Ok(NO_ADDRESS) };
        match timeout(self.timeout, self.transport.send(message)).await {
            Ok(Ok(_)) => Ok(Handover::Taken),
            // A mail server that knows no SMTPUTF8, and an address that needs it.
            Ok(Err(error)) if error.is_client() && !letter.to.is_ascii() => Ok(NO_ADDRESS),
            Ok(Err(error)) => judge(&error, "send"),
            Err(_) => Err(late("send")),
        }
    }
}

/// The system's certificates and those of `ca`, for the name `host`.
fn trust(host: &str, ca: Option<&[u8]>) -> Result<TlsParameters, ConfigError> {
    let mut builder = TlsParameters::builder(host.to_owned());
    if let Some(pem) = ca {
        let begins = pem.windows(17).any(|found| found == b"BEGIN CERTIFICATE");
        let certificate = Certificate::from_pem(pem).ok().filter(|_| begins);
        builder = builder.add_root_certificate(certificate.ok_or(ConfigError::Ca)?);
    }
    builder.build().map_err(|error| ConfigError::Tls(chain(&error)))
}

fn fixed(name: &'static str, value: &str) -> HeaderValue {
    HeaderValue::new(HeaderName::new_from_ascii_str(name), value.to_owned())
}
