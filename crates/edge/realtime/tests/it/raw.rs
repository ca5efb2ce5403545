//! A client that says exactly the bytes it is given.

use std::io::ErrorKind;

use klatch_domain::UserId;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::client::PATIENCE;
use crate::world::Server;

pub(crate) const FIN: u8 = 0x80;
pub(crate) const RSV1: u8 = 0x40;
pub(crate) const TEXT: u8 = 0x1;
pub(crate) const BINARY: u8 = 0x2;
pub(crate) const CLOSE: u8 = 0x88;
pub(crate) const PING: u8 = 0x89;
pub(crate) const PONG: u8 = 0x8A;
const KEY: [u8; 4] = [0x5A, 0x00, 0xC3, 0xFF];

/// A masked frame.
pub(crate) fn frame(first: u8, payload: &[u8]) -> Vec<u8> {
    let mut out = vec![first];
    let length = payload.len();
    if let Some(short) = u8::try_from(length).ok().filter(|short| *short < 126) {
        out.push(0x80 | short);
    } else if let Ok(medium) = u16::try_from(length) {
        out.push(0xFE);
        out.extend_from_slice(&medium.to_be_bytes());
    } else {
        out.push(0xFF);
        out.extend_from_slice(&(length as u64).to_be_bytes());
    }
    out.extend_from_slice(&KEY);
    out.extend(payload.iter().zip(KEY.iter().cycle()).map(|(byte, key)| byte ^ key));
    out
}

/// A close frame.
pub(crate) fn close(code: u16, reason: &[u8]) -> Vec<u8> {
    frame(CLOSE, &[&code.to_be_bytes(), reason].concat())
}

/// The data of a compressed message, made by another implementation of DEFLATE.
pub(crate) fn deflated(text: &[u8]) -> Vec<u8> {
    use miniz_oxide::deflate::core::{CompressorOxide, TDEFLFlush, compress};
    let mut raw = CompressorOxide::default();
    raw.set_format_and_level(miniz_oxide::DataFormat::Raw, 6);
    let mut out = vec![0; text.len() * 2 + 64];
    let (_, read, written) = compress(&mut raw, text, &mut out, TDEFLFlush::Sync);
    assert_eq!(read, text.len());
    out.truncate(written);
    assert!(out.ends_with(&[0, 0, 0xFF, 0xFF]));
    out.truncate(written - 4);
    out
}

/// What was compressed, by another implementation of DEFLATE.
pub(crate) fn inflated(data: &[u8]) -> Vec<u8> {
    let whole = [data, &[0, 0, 0xFF, 0xFF, 1, 0, 0, 0xFF, 0xFF]].concat();
    miniz_oxide::inflate::decompress_to_vec(&whole).expect("compressed data")
}

/// An open connection.
pub(crate) struct Raw {
    pub(crate) tcp: TcpStream,
    read: Vec<u8>,
    /// What the server answered to the offered extensions.
    pub(crate) extensions: Option<String>,
}

impl Raw {
    /// Connects with these extensions offered, and reads up to `hello`.
    pub(crate) async fn open(server: &Server, user: UserId, offer: Option<&str>) -> Self {
        let mut tcp = TcpStream::connect(server.address).await.unwrap();
        tcp.set_nodelay(true).unwrap();
        let offer = offer.map(|offer| format!("sec-websocket-extensions: {offer}\r\n"));
        let request = format!(
            "GET /ws HTTP/1.1\r\nhost: x\r\nconnection: upgrade\r\nupgrade: websocket\r\n\
             sec-websocket-version: 13\r\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n\
             authorization: Bearer {user}\r\n{}\r\n",
            offer.unwrap_or_default()
        );
        tcp.write_all(request.as_bytes()).await.unwrap();
        let mut raw = Self { tcp, read: Vec::new(), extensions: None };
        let head = loop {
            if let Some(end) = raw.read.windows(4).position(|four| four == b"\r\n\r\n") {
                break String::from_utf8(raw.read.drain(..end + 4).collect()).unwrap();
            }
            assert!(raw.more().await, "an answer");
        };
        assert!(head.starts_with("HTTP/1.1 101 "), "{head}");
        raw.extensions = head.lines().find_map(|line| {
            let (name, value) = line.split_once(": ")?;
            let is_it = name.eq_ignore_ascii_case("sec-websocket-extensions");
            is_it.then(|| value.to_owned())
        });
        let (first, hello) = raw.frame().await.expect("hello");
        assert!(first == FIN | TEXT && hello.starts_with(br#"{"type":"hello""#));
        raw
    }

    /// Reads more; false at the end.
    async fn more(&mut self) -> bool {
        let read = tokio::time::timeout(PATIENCE, self.tcp.read_buf(&mut self.read)).await;
        matches!(read.expect("an answer in time"), Ok(1..))
    }

    /// The next frame's first byte and payload; `None` at the end.
    pub(crate) async fn frame(&mut self) -> Option<(u8, Vec<u8>)> {
        loop {
            if let Some((first, range)) = whole(&self.read) {
                let payload = self.read[range.clone()].to_vec();
                self.read.drain(..range.end);
                return Some((first, payload));
            }
            if !self.more().await {
                assert!(self.read.is_empty(), "the end comes within a frame");
                return None;
            }
        }
    }

    /// Writes; a server that has hung up meanwhile is for the next read to tell.
    pub(crate) async fn write(&mut self, bytes: &[u8]) {
        if let Err(error) = self.tcp.write_all(bytes).await {
            let gone = [ErrorKind::BrokenPipe, ErrorKind::ConnectionReset];
            assert!(gone.contains(&error.kind()), "{error}");
        }
    }
}

/// The first byte of the first whole frame and where its payload is.
fn whole(bytes: &[u8]) -> Option<(u8, std::ops::Range<usize>)> {
    let (first, length) = (*bytes.first()?, *bytes.get(1)?);
    let (header, payload) = match length {
        126 => (4, u64::from(u16::from_be_bytes(*bytes.get(2..)?.first_chunk()?))),
        127 => (10, u64::from_be_bytes(*bytes.get(2..)?.first_chunk()?)),
        short => (2, u64::from(short)),
    };
    assert!(length < 128, "servers do not mask");
    let end = header + usize::try_from(payload).unwrap();
    (bytes.len() >= end).then_some((first, header..end))
}
