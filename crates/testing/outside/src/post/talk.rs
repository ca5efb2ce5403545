//! What is said on one connection.

use std::future::pending;
use std::io;
use std::sync::atomic::Ordering;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use tokio::io::{AsyncBufReadExt as _, AsyncRead, AsyncWrite, AsyncWriteExt as _, BufReader};
use tokio::net::TcpStream;

use super::{Desk, Mail, Tls};

/// What can be read from and written to, whatever is below it.
pub(super) trait Line: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Line for T {}

/// What comes after a talk.
enum Then {
    /// Nothing.
    Over,
    /// The same client, through TLS.
    Secret,
}

pub(super) async fn begin(stream: TcpStream, desk: &Desk) -> io::Result<()> {
    if desk.settings.mute {
        return pending().await;
    }
    match &desk.settings.tls {
        Tls::AtOnce(acceptor) => {
            let stream = acceptor.accept(stream).await?;
            let mut talk = Talk::new(stream, desk, true);
            talk.say("220 localhost").await?;
            talk.run().await.map(drop)
        }
        Tls::None | Tls::OnDemand(_) => {
            let mut talk = Talk::new(stream, desk, false);
            talk.say("220 localhost").await?;
            match (talk.run().await?, &desk.settings.tls) {
                (Then::Secret, Tls::OnDemand(acceptor)) => {
                    let stream = acceptor.accept(talk.line.into_inner()).await?;
                    Talk::new(stream, desk, true).run().await.map(drop)
                }
                _ => Ok(()),
            }
        }
    }
}

struct Talk<'a, T> {
    line: BufReader<T>,
    desk: &'a Desk,
    secret: bool,
    login: Option<String>,
    mail: Mail,
}

impl<'a, T: Line> Talk<'a, T> {
    fn new(stream: T, desk: &'a Desk, secret: bool) -> Self {
        Self { line: BufReader::new(stream), desk, secret, login: None, mail: Mail::default() }
    }

    async fn say(&mut self, text: &str) -> io::Result<()> {
        self.line.write_all(format!("{text}\r\n").as_bytes()).await?;
        self.line.flush().await
    }

    async fn hear(&mut self) -> io::Result<String> {
        let mut line = String::new();
        if self.line.read_line(&mut line).await? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        Ok(line.trim_end_matches(['\r', '\n']).to_owned())
    }

    async fn run(&mut self) -> io::Result<Then> {
        loop {
            let line = self.hear().await?;
            let upper = line.to_ascii_uppercase();
            let command = upper.split([' ', ':']).next().unwrap_or_default();
            match command {
                "EHLO" => self.greet().await?,
                "STARTTLS" => {
                    self.say("220 go ahead").await?;
                    return Ok(Then::Secret);
                }
                "AUTH" => self.log_in(&line).await?,
                "NOOP" | "RSET" => self.say("250 fine").await?,
                "QUIT" => {
                    self.say("221 farewell").await?;
                    return Ok(Then::Over);
                }
                _ if self.wants_tls() => self.say("530 TLS first").await?,
                _ if self.wants_login() => self.say("530 a login first").await?,
                "MAIL" => {
                    self.mail = Mail { from: address(&line), ..Mail::default() };
                    self.say("250 fine").await?;
                }
                "RCPT" => self.recipient(address(&line)).await?,
                "DATA" => self.take().await?,
                _ => self.say("500 what?").await?,
            }
        }
    }

    fn wants_tls(&self) -> bool {
        !self.secret && matches!(self.desk.settings.tls, Tls::OnDemand(_))
    }

    fn wants_login(&self) -> bool {
        self.desk.settings.login.is_some() && self.login.is_none()
    }

    async fn greet(&mut self) -> io::Result<()> {
        if self.wants_tls() {
            return self.say("250-localhost\r\n250-8BITMIME\r\n250 STARTTLS").await;
        }
        let login = self.desk.settings.login.is_some();
        self.say(if login { "250-localhost\r\n250 AUTH PLAIN" } else { "250 localhost" }).await
    }

    /// PLAIN, with its answer on the same line.
    async fn log_in(&mut self, line: &str) -> io::Result<()> {
        let given = line.split(' ').nth(2).and_then(|text| BASE64.decode(text).ok());
        let given = String::from_utf8(given.unwrap_or_default()).unwrap_or_default();
        let mut parts = given.split('\0').skip(1);
        let shown = parts.next().zip(parts.next());
        let wanted = self.desk.settings.login.as_ref();
        let wanted = wanted.map(|(name, password)| (name.as_str(), password.as_str()));
        if !self.wants_tls() && shown.is_some() && shown == wanted {
            self.login = shown.map(|(name, _)| name.to_owned());
            return self.say("235 welcome").await;
        }
        self.desk.refused_logins.fetch_add(1, Ordering::SeqCst);
        self.say("535 no").await
    }

    async fn recipient(&mut self, address: String) -> io::Result<()> {
        match address.split('@').next().unwrap_or_default() {
            "gone" => self.say(&format!("550 nobody is called <{address}>")).await,
            "busy" if self.desk.connections.load(Ordering::SeqCst) == 1 => {
                self.say(&format!("450 <{address}> is busy")).await
            }
            "cut" => Err(io::ErrorKind::ConnectionAborted.into()),
            _ => {
                self.mail.to.push(address);
                self.say("250 fine").await
            }
        }
    }

    async fn take(&mut self) -> io::Result<()> {
        self.say("354 go on").await?;
        loop {
            let line = self.hear().await?;
            if line == "." {
                break;
            }
            self.mail.data.push_str(line.strip_prefix('.').unwrap_or(&line));
            self.mail.data.push('\n');
        }
        let (secret, login) = (self.secret, self.login.clone());
        let mail = Mail { secret, login, ..std::mem::take(&mut self.mail) };
        self.desk.mails.send_modify(|mails| mails.push(mail));
        self.say("250 taken").await
    }
}

/// What stands between `<` and `>`.
fn address(line: &str) -> String {
    let inner = line.split_once('<').and_then(|(_, rest)| rest.split_once('>'));
    inner.map_or("", |(inner, _)| inner).to_owned()
}
