//! The address where keys are published.

use std::convert::Infallible;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::Bytes;
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use parking_lot::Mutex;
use serde_json::json;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpListener;
use tokio::task::{JoinHandle, JoinSet};
use tokio_rustls::TlsAcceptor;

use super::SigningKey;

/// How an issuer answers.
#[derive(Clone, Debug)]
pub enum Manner {
    /// With this status and document; also with a `Location` for those who follow.
    Says(u16, String),
    /// Not at all.
    Silent,
}

#[derive(Debug)]
struct Desk {
    manner: Mutex<Manner>,
    asked: AtomicUsize,
}

/// An issuer on loopback. It ends when this is dropped.
#[derive(Debug)]
pub struct Issuer {
    address: SocketAddr,
    secret: bool,
    desk: Arc<Desk>,
    listening: JoinHandle<()>,
}

impl Drop for Issuer {
    fn drop(&mut self) {
        self.listening.abort();
    }
}

impl Issuer {
    /// An issuer at a port of its own that publishes these keys, by HTTPS if it can show who it is.
    ///
    /// # Errors
    /// No port.
    pub async fn open(keys: &[&SigningKey], tls: Option<TlsAcceptor>) -> io::Result<Self> {
        Self::open_at(SocketAddr::from((Ipv4Addr::LOCALHOST, 0)), keys, tls).await
    }

    /// The same at this address.
    ///
    /// # Errors
    /// The address is taken.
    pub async fn open_at(
        address: SocketAddr,
        keys: &[&SigningKey],
        tls: Option<TlsAcceptor>,
    ) -> io::Result<Self> {
        let listener = TcpListener::bind(address).await?;
        let address = listener.local_addr()?;
        let manner = Mutex::new(Manner::Says(200, document(keys)));
        let desk = Arc::new(Desk { manner, asked: AtomicUsize::new(0) });
        let secret = tls.is_some();
        let listening = tokio::spawn(listen(listener, tls, Arc::clone(&desk)));
        Ok(Self { address, secret, desk, listening })
    }

    /// Where it is.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Where its keys are.
    pub fn url(&self) -> String {
        let port = self.address.port();
        if self.secret {
            format!("https://localhost:{port}/keys")
        } else {
            format!("http://127.0.0.1:{port}/keys")
        }
    }

    /// Publishes these keys from now on, and no others.
    pub fn publish(&self, keys: &[&SigningKey]) {
        self.behave(Manner::Says(200, document(keys)));
    }

    /// Answers so from now on.
    pub fn behave(&self, manner: Manner) {
        *self.desk.manner.lock() = manner;
    }

    /// How often it was asked.
    pub fn asked(&self) -> usize {
        self.desk.asked.load(Ordering::SeqCst)
    }
}

fn document(keys: &[&SigningKey]) -> String {
    let keys: Vec<_> = keys.iter().map(|key| key.public()).collect();
    json!({ "keys": keys }).to_string()
}

async fn listen(listener: TcpListener, tls: Option<TlsAcceptor>, desk: Arc<Desk>) {
    // Ends with the listener.
    let mut connections = JoinSet::new();
    while let Ok((stream, _)) = listener.accept().await {
        let (tls, desk) = (tls.clone(), Arc::clone(&desk));
        connections.spawn(async move {
            match tls {
                None => serve(stream, desk).await,
                Some(tls) => {
                    if let Ok(stream) = tls.accept(stream).await {
                        serve(stream, desk).await;
                    }
                }
            }
        });
    }
}

async fn serve(stream: impl AsyncRead + AsyncWrite + Unpin + Send, desk: Arc<Desk>) {
    let answer = service_fn(move |_: Request<Incoming>| answer(Arc::clone(&desk)));
    let http = hyper::server::conn::http1::Builder::new();
    // A client that breaks off is its own affair.
    let _ = http.serve_connection(TokioIo::new(stream), answer).await;
}

async fn answer(desk: Arc<Desk>) -> Result<Response<Full<Bytes>>, Infallible> {
    desk.asked.fetch_add(1, Ordering::SeqCst);
    let manner = desk.manner.lock().clone();
    match manner {
        Manner::Silent => std::future::pending().await,
        Manner::Says(status, text) => {
            let mut answer = Response::new(Full::new(Bytes::from(text)));
            *answer.status_mut() = hyper::StatusCode::from_u16(status).unwrap_or_default();
            let elsewhere = hyper::header::HeaderValue::from_static("/elsewhere");
            answer.headers_mut().insert(hyper::header::LOCATION, elsewhere);
            Ok(answer)
        }
    }
}
