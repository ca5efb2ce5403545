//! A mail server: speaks SMTP (RFC 5321) with STARTTLS (3207), TLS from the start (8314) and logins
//! (4954), and keeps what it takes.

mod mail;
mod talk;

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;

pub use mail::Mail;

/// How TLS comes into it.
#[derive(Clone, Default)]
pub enum Tls {
    /// Not at all.
    #[default]
    None,
    /// When the client asks for it; before that nothing is taken.
    OnDemand(TlsAcceptor),
    /// From the first byte.
    AtOnce(TlsAcceptor),
}

impl std::fmt::Debug for Tls {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Tls")
    }
}

/// How a mail server is.
#[derive(Clone, Debug, Default)]
pub struct Settings {
    /// How TLS comes into it.
    pub tls: Tls,
    /// The name and password that it wants, if it wants one.
    pub login: Option<(String, String)>,
    /// It lets everyone in and never says a word.
    pub mute: bool,
}

/// What clients of a mail server have done.
#[derive(Debug)]
struct Desk {
    settings: Settings,
    mails: watch::Sender<Vec<Mail>>,
    connections: AtomicUsize,
    refused_logins: AtomicUsize,
    /// Ends with the mail server.
    talks: Mutex<tokio::task::JoinSet<()>>,
}

/// A mail server on loopback. It ends when this is dropped.
///
/// Who a letter is for says what becomes of it: `gone@…` is answered with 550, `busy@…` with 450
/// on the first connection, and `cut@…` with its end. Everyone else gets it.
#[derive(Debug)]
pub struct PostOffice {
    address: SocketAddr,
    desk: Arc<Desk>,
    listening: JoinHandle<()>,
}

impl Drop for PostOffice {
    fn drop(&mut self) {
        self.listening.abort();
        self.desk.talks.lock().abort_all();
    }
}

impl PostOffice {
    /// A mail server at a port of its own.
    ///
    /// # Errors
    /// No port.
    pub async fn open(settings: Settings) -> io::Result<Self> {
        Self::open_at(SocketAddr::from((Ipv4Addr::LOCALHOST, 0)), settings).await
    }

    /// A mail server at this address.
    ///
    /// # Errors
    /// The address is taken.
    pub async fn open_at(address: SocketAddr, settings: Settings) -> io::Result<Self> {
        let listener = TcpListener::bind(address).await?;
        let address = listener.local_addr()?;
        let desk = Arc::new(Desk {
            settings,
            mails: watch::Sender::new(Vec::new()),
            connections: AtomicUsize::new(0),
            refused_logins: AtomicUsize::new(0),
            talks: Mutex::default(),
        });
        let listening = tokio::spawn(listen(listener, Arc::clone(&desk)));
        Ok(Self { address, desk, listening })
    }

    /// Where it is.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// What it took so far, oldest first.
    pub fn mails(&self) -> Vec<Mail> {
        self.desk.mails.borrow().clone()
    }

    /// How many clients have come.
    pub fn connections(&self) -> usize {
        self.desk.connections.load(Ordering::SeqCst)
    }

    /// How many logins it did not take.
    pub fn refused_logins(&self) -> usize {
        self.desk.refused_logins.load(Ordering::SeqCst)
    }

    /// Waits until it has taken this many; `None` if it has not within `most`.
    pub async fn wait_for(&self, count: usize, most: Duration) -> Option<Vec<Mail>> {
        let mut mails = self.desk.mails.subscribe();
        let found = timeout(most, mails.wait_for(|mails| mails.len() >= count)).await;
        Some(found.ok()?.ok()?.clone())
    }
}

async fn listen(listener: TcpListener, desk: Arc<Desk>) {
    while let Ok((stream, _)) = listener.accept().await {
        desk.connections.fetch_add(1, Ordering::SeqCst);
        let own = Arc::clone(&desk);
        // A client that breaks off is its own affair.
        desk.talks.lock().spawn(async move {
            let _ = talk::begin(stream, &own).await;
        });
    }
}
