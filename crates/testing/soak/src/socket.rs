//! A plain WebSocket client: JSON frames out and in, nothing remembered.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use futures::stream::{SplitSink, SplitStream};
use futures::{SinkExt as _, StreamExt as _};
use http::header::AUTHORIZATION;
use serde_json::{Value, json};
use tokio::net::{TcpSocket, TcpStream};
use tokio::time::timeout;
use tokio_tungstenite::tungstenite::client::IntoClientRequest as _;
use tokio_tungstenite::tungstenite::{Error, Message};
use tokio_tungstenite::{WebSocketStream, client_async};

use crate::dial::Dial;

const CONNECT_MOST: Duration = Duration::from_secs(10);

type Stream = WebSocketStream<TcpStream>;

/// What came from the server.
#[derive(Clone, Debug, PartialEq)]
pub enum Incoming {
    /// A frame with its `type` and the whole of it.
    Frame(String, Value),
    /// The server closed with this code (1005: none) and reason.
    Closed(u16, String),
    /// The connection broke off.
    Lost,
}

/// The half that sends.
#[derive(Debug)]
pub struct Sender(SplitSink<Stream, Message>);

/// The half that receives.
#[derive(Debug)]
pub struct Receiver(SplitStream<Stream>);

/// Connects with a token in `Authorization`. `query` begins with `?` or is empty.
///
/// # Errors
/// Nobody listens, or the upgrade was refused.
pub async fn connect(address: SocketAddr, token: &str, query: &str) -> Result<(Sender, Receiver)> {
    connect_on(TcpSocket::new_v4()?, address, token, query).await
}

/// As [`connect`], with a receive buffer so small that not reading is felt soon.
///
/// # Errors
/// Nobody listens, or the upgrade was refused.
pub async fn connect_narrow(address: SocketAddr, token: &str) -> Result<(Sender, Receiver)> {
    let socket = TcpSocket::new_v4()?;
    socket.set_recv_buffer_size(4 * 1024)?;
    connect_on(socket, address, token, "").await
}

async fn connect_on(
    socket: TcpSocket,
    address: SocketAddr,
    token: &str,
    query: &str,
) -> Result<(Sender, Receiver)> {
    let connecting = async {
        let stream = socket.connect(address).await?;
        stream.set_nodelay(true)?;
        Ok(stream)
    };
    upgrade(connecting, &address.to_string(), token, query).await
}

/// As [`connect`], to the server that `dial` reaches.
///
/// # Errors
/// Nobody listens, or the upgrade was refused.
pub async fn connect_over(dial: &dyn Dial, token: &str, query: &str) -> Result<(Sender, Receiver)> {
    upgrade(dial.dial(), &dial.host(), token, query).await
}

async fn upgrade(
    connecting: impl Future<Output = io::Result<TcpStream>>,
    host: &str,
    token: &str,
    query: &str,
) -> Result<(Sender, Receiver)> {
    crate::secrets::note(host, token);
    let mut request = format!("ws://{host}/ws{query}").into_client_request()?;
    let authorization = format!("Bearer {token}").parse()?;
    request.headers_mut().insert(AUTHORIZATION, authorization);
    let connecting = async {
        let stream = connecting.await.context("connecting")?;
        match client_async(request, stream).await {
            Ok((stream, _)) => Ok(stream),
            Err(Error::Http(response)) => {
                let body = response.body().as_deref().unwrap_or_default();
                bail!("upgrade refused: {} {}", response.status(), String::from_utf8_lossy(body))
            }
            Err(error) => Err(error).context("upgrading"),
        }
    };
    let stream = timeout(CONNECT_MOST, connecting).await.context("no upgrade in time")??;
    let (sender, receiver) = stream.split();
    Ok((Sender(sender), Receiver(receiver)))
}

impl Sender {
    /// Sends a frame.
    ///
    /// # Errors
    /// The connection is gone.
    pub async fn send(&mut self, kind: &str, payload: Value, request_id: &str) -> Result<()> {
        let frame = json!({"type": kind, "payload": payload, "requestId": request_id});
        self.send_text(frame.to_string()).await
    }

    /// Sends a text as it is.
    ///
    /// # Errors
    /// The connection is gone.
    pub async fn send_text(&mut self, text: String) -> Result<()> {
        self.0.send(Message::text(text)).await.context("sending a frame")
    }

    /// Says goodbye as one should.
    pub async fn close(&mut self) {
        let _ = self.0.send(Message::Close(None)).await;
    }
}

/// Connects, resumes at one position, and tells the type of the answer (`resumed` or `invalid`) and
/// its payload.
///
/// # Errors
/// Nobody listens, the upgrade was refused, or the connection ended before it was answered.
pub async fn resume_at(
    address: SocketAddr,
    token: &str,
    position: &str,
) -> Result<(String, Value)> {
    let (mut sender, mut receiver) = connect(address, token, "").await?;
    sender.send("resume", json!({"positions": [position]}), "r").await?;
    loop {
        match receiver.next().await {
            Incoming::Frame(kind, frame) if ["resumed", "invalid"].contains(&kind.as_str()) => {
                return Ok((kind, frame.get("payload").cloned().unwrap_or_default()));
            }
            Incoming::Frame(..) => {}
            other => bail!("{other:?} while waiting for the answer to a resume"),
        }
    }
}

impl Receiver {
    /// The next frame; pings and pongs are passed over (and answered by the library).
    pub async fn next(&mut self) -> Incoming {
        loop {
            match self.0.next().await {
                Some(Ok(Message::Text(text))) => {
                    let value: Value = serde_json::from_str(text.as_str()).unwrap_or_default();
                    let kind = value.get("type").and_then(Value::as_str).unwrap_or_default();
                    return Incoming::Frame(kind.to_owned(), value);
                }
                Some(Ok(Message::Close(frame))) => {
                    return frame.map_or(Incoming::Closed(1005, String::new()), |frame| {
                        Incoming::Closed(frame.code.into(), frame.reason.as_str().to_owned())
                    });
                }
                Some(Ok(_)) => {}
                Some(Err(_)) | None => return Incoming::Lost,
            }
        }
    }

    /// The next frame of this type; others are passed over.
    ///
    /// # Errors
    /// The connection ended, or it did not come within `most`.
    pub async fn next_of(&mut self, kind: &str, most: Duration) -> Result<Value> {
        let wanted = async {
            loop {
                match self.next().await {
                    Incoming::Frame(found, value) if found == kind => return Ok(value),
                    Incoming::Frame(..) => {}
                    other => bail!("{other:?} while waiting for {kind}"),
                }
            }
        };
        timeout(most, wanted).await.with_context(|| format!("no {kind} within {most:?}"))?
    }

    /// Waits for the end of the connection and tells the code; `None` when it broke off.
    ///
    /// # Errors
    /// It did not end within `most`.
    pub async fn closed(&mut self, most: Duration) -> Result<Option<u16>> {
        let end = async {
            loop {
                match self.next().await {
                    Incoming::Frame(..) => {}
                    Incoming::Closed(code, _) => return Some(code),
                    Incoming::Lost => return None,
                }
            }
        };
        timeout(most, end).await.with_context(|| format!("no close within {most:?}"))
    }
}
