//! Bytes that no good client sends, and what the server says to them.

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::timeout;

/// After this a silent server counts as one that waits for more.
const SILENCE: Duration = Duration::from_secs(10);
const MASK: [u8; 4] = [0x12, 0x34, 0x56, 0x78];

/// A connection for any bytes.
#[derive(Debug)]
pub struct Hostile {
    stream: TcpStream,
    read: Vec<u8>,
}

impl Hostile {
    /// Connects.
    ///
    /// # Errors
    /// Nobody listens.
    pub async fn connect(address: SocketAddr) -> Result<Self> {
        let stream = TcpStream::connect(address).await.context("connecting")?;
        stream.set_nodelay(true)?;
        Ok(Self { stream, read: Vec::new() })
    }

    /// Connects and becomes a WebSocket.
    ///
    /// # Errors
    /// The upgrade was refused.
    pub async fn upgraded(address: SocketAddr, token: &str) -> Result<Self> {
        Self::upgraded_with(address, token, "").await
    }

    /// The same with more headers, each ended by `\r\n`.
    ///
    /// # Errors
    /// The upgrade was refused.
    pub async fn upgraded_with(address: SocketAddr, token: &str, headers: &str) -> Result<Self> {
        let (this, head) = Self::knock_with(address, token, headers).await?;
        ensure!(head.starts_with("HTTP/1.1 101 "), "{head}");
        Ok(this)
    }

    /// Asks for a WebSocket; gives the head of the answer, whatever it is.
    ///
    /// # Errors
    /// Nobody listens, or nobody answers.
    pub async fn knock(address: SocketAddr, token: &str) -> Result<(Self, String)> {
        Self::knock_with(address, token, "").await
    }

    async fn knock_with(address: SocketAddr, token: &str, headers: &str) -> Result<(Self, String)> {
        let mut this = Self::connect(address).await?;
        let request = format!(
            "GET /ws HTTP/1.1\r\nHost: {address}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
             Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\
             Authorization: Bearer {token}\r\n{headers}\r\n"
        );
        this.send(request.as_bytes()).await?;
        let head = this.head().await?;
        Ok((this, head))
    }

    /// Sends bytes. A server that has hung up is no error here: what it said is still to be read.
    ///
    /// # Errors
    /// Only when nothing can be sent for a long time.
    pub async fn send(&mut self, bytes: &[u8]) -> Result<()> {
        let _ =
            timeout(SILENCE, self.stream.write_all(bytes)).await.context("the server is deaf")?;
        Ok(())
    }

    /// The head of an HTTP answer.
    ///
    /// # Errors
    /// The server hung up or is silent.
    pub async fn head(&mut self) -> Result<String> {
        loop {
            if let Some(end) = self.read.windows(4).position(|window| window == b"\r\n\r\n") {
                let rest = self.read.split_off(end + 4);
                let head = std::mem::replace(&mut self.read, rest);
                return Ok(String::from_utf8_lossy(&head).into_owned());
            }
            ensure!(self.more().await? > 0, "the server hung up");
        }
    }

    /// The next frame: its first byte (final bit and opcode) and payload; `None` when the server
    /// hung up.
    ///
    /// # Errors
    /// The server is silent.
    pub async fn frame(&mut self) -> Result<Option<(u8, Vec<u8>)>> {
        loop {
            if let Some((first, start, end)) = measure(&self.read) {
                let rest = self.read.split_off(end);
                let frame = std::mem::replace(&mut self.read, rest);
                return Ok(Some((first, frame.get(start..).unwrap_or_default().to_vec())));
            }
            if self.more().await? == 0 {
                return Ok(None);
            }
        }
    }

    /// The code with which the server closes; other frames before it are passed over. `None` when
    /// it hung up without one.
    ///
    /// # Errors
    /// It does not close.
    pub async fn close_code(&mut self) -> Result<Option<u16>> {
        loop {
            match self.frame().await? {
                Some((0x88, payload)) => {
                    let code = payload.first_chunk::<2>().map(|code| u16::from_be_bytes(*code));
                    return Ok(Some(code.unwrap_or(1005)));
                }
                Some(_) => {}
                None => return Ok(None),
            }
        }
    }

    /// Whether the server hangs up without being sent anything more.
    ///
    /// # Errors
    /// Never; silence is an answer here.
    pub async fn hangs_up_within(&mut self, most: Duration) -> Result<bool> {
        let mut sink = [0; 4096];
        let end = async {
            loop {
                match self.stream.read(&mut sink).await {
                    Ok(0) | Err(_) => return,
                    Ok(_) => {}
                }
            }
        };
        Ok(timeout(most, end).await.is_ok())
    }

    async fn more(&mut self) -> Result<usize> {
        let mut bytes = [0; 4096];
        // A reset after bytes that nobody wanted is a way of hanging up.
        let read = timeout(SILENCE, self.stream.read(&mut bytes)).await.context("silence")?;
        let count = read.unwrap_or(0);
        self.read.extend_from_slice(bytes.get(..count).unwrap_or_default());
        Ok(count)
    }
}

/// The first byte, and where payload and frame end, of an unmasked frame that is whole.
fn measure(bytes: &[u8]) -> Option<(u8, usize, usize)> {
    let [first, second, rest @ ..] = bytes else { return None };
    let (length, start) = match second & 0x7f {
        126 => (u64::from(u16::from_be_bytes(*rest.first_chunk()?)), 4),
        127 => (u64::from_be_bytes(*rest.first_chunk()?), 10),
        short => (u64::from(short), 2),
    };
    let end = start + usize::try_from(length).ok()?;
    (bytes.len() >= end).then_some((*first, start, end))
}

/// A masked frame with this first byte (final bit, reserved bits, opcode).
pub fn masked(first: u8, payload: &[u8]) -> Vec<u8> {
    let mut frame = head(first, 0x80, payload.len());
    frame.extend_from_slice(&MASK);
    frame.extend(payload.iter().zip(MASK.iter().cycle()).map(|(byte, mask)| byte ^ mask));
    frame
}

/// A frame without the mask that clients must use.
pub fn unmasked(first: u8, payload: &[u8]) -> Vec<u8> {
    let mut frame = head(first, 0, payload.len());
    frame.extend_from_slice(payload);
    frame
}

/// The head of a masked frame that promises `length` bytes, and no payload.
pub fn promise(first: u8, length: u64) -> Vec<u8> {
    let mut frame = vec![first, 0xff];
    frame.extend_from_slice(&length.to_be_bytes());
    frame.extend_from_slice(&MASK);
    frame
}

fn head(first: u8, mask: u8, length: usize) -> Vec<u8> {
    let mut head = vec![first];
    if let Ok(short @ 0..=125) = u8::try_from(length) {
        head.push(mask | short);
    } else if let Ok(medium) = u16::try_from(length) {
        head.push(mask | 0x7e);
        head.extend_from_slice(&medium.to_be_bytes());
    } else {
        head.push(mask | 0x7f);
        head.extend_from_slice(&(length as u64).to_be_bytes());
    }
    head
}
