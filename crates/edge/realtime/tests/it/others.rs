//! Other implementations, made comparable: what they read in a stream, and how it ends for them.

use std::io::{self, Read, Write};
use std::pin::Pin;
use std::task::{Context, Poll};

use futures::io::{AsyncRead, AsyncWrite};
use klatch_realtime::framing::{Flow, FrameLimits, Incoming, Parser};
use miniz_oxide::inflate::TINFLStatus;
use miniz_oxide::inflate::core::inflate_flags::TINFL_FLAG_USING_NON_WRAPPING_OUTPUT_BUF;
use miniz_oxide::inflate::core::{DecompressorOxide, decompress};
use soketto::base::{Header, OpCode};
use soketto::connection::{Builder, CloseReason, Mode};
use soketto::extension::{Extension, Param};
use tokio_tungstenite::tungstenite;
use tungstenite::error::{CapacityError, Error, ProtocolError};
use tungstenite::protocol::{Message, Role, WebSocket, WebSocketConfig};

/// Most bytes of a message, for all.
pub(crate) const MOST: usize = 2_000;

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Got {
    Text(String),
    Binary,
    Ping(Vec<u8>),
    Pong,
    Close(Option<u16>),
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum End {
    /// More would be read.
    Waits,
    /// Nothing more is read, and this is told to the peer.
    Broken(u16),
}

/// What a stream was to someone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Reading {
    pub(crate) got: Vec<Got>,
    pub(crate) end: End,
    /// Ours alone: in words.
    pub(crate) reason: &'static str,
}

fn read_as(got: Vec<Got>, end: End) -> Reading {
    Reading { got, end, reason: "" }
}

/// What our parser reads.
pub(crate) fn ours(pieces: &[Vec<u8>], deflate: bool) -> Reading {
    let limits = FrameLimits { message_bytes: 2_000, fragments: u32::MAX };
    let mut parser = Parser::new(limits).with_deflate(deflate);
    let mut got = Vec::new();
    for piece in pieces {
        let outcome = parser.feed(&mut piece.clone(), &mut |incoming| {
            got.push(match incoming {
                Incoming::Text(text) => Got::Text(text.to_owned()),
                Incoming::Ping(bytes) => Got::Ping(bytes.to_vec()),
                Incoming::Pong => Got::Pong,
                Incoming::Close(code) => Got::Close(code),
            });
            let is_over = matches!(got.last(), Some(Got::Close(_)));
            if is_over { Flow::Stop } else { Flow::Go }
        });
        if let Err(violation) = outcome {
            let end = End::Broken(violation.code.number());
            return Reading { got, end, reason: violation.reason };
        }
        if matches!(got.last(), Some(Got::Close(_))) {
            break;
        }
    }
    read_as(got, End::Waits)
}

/// A peer that says these pieces and then nothing more.
struct Peer {
    /// In reverse.
    pieces: Vec<Vec<u8>>,
    now: Vec<u8>,
}

impl Peer {
    fn new(pieces: &[Vec<u8>]) -> Self {
        Self { pieces: pieces.iter().rev().cloned().collect(), now: Vec::new() }
    }
}

impl Read for Peer {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        while self.now.is_empty() {
            match self.pieces.pop() {
                Some(piece) => self.now = piece,
                None => return Ok(0),
            }
        }
        let count = out.len().min(self.now.len());
        out[..count].copy_from_slice(&self.now[..count]);
        self.now.drain(..count);
        Ok(count)
    }
}

impl Write for Peer {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl AsyncRead for Peer {
    fn poll_read(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
        out: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        Poll::Ready(self.read(out))
    }
}

impl AsyncWrite for Peer {
    fn poll_write(self: Pin<&mut Self>, _: &mut Context<'_>, b: &[u8]) -> Poll<io::Result<usize>> {
        Poll::Ready(Ok(b.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_close(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

/// What tungstenite reads.
pub(crate) fn tungstenite(pieces: &[Vec<u8>]) -> Reading {
    let config = WebSocketConfig::default().max_message_size(Some(MOST)).max_frame_size(Some(MOST));
    let mut socket = WebSocket::from_raw_socket(Peer::new(pieces), Role::Server, Some(config));
    let mut got = Vec::new();
    loop {
        match socket.read() {
            Ok(Message::Text(text)) => got.push(Got::Text(text.to_string())),
            Ok(Message::Binary(_)) => got.push(Got::Binary),
            Ok(Message::Ping(bytes)) => got.push(Got::Ping(bytes.to_vec())),
            Ok(Message::Pong(_)) => got.push(Got::Pong),
            Ok(Message::Close(frame)) => {
                let frame = frame.map(|frame| (u16::from(frame.code), frame.reason));
                // What it answers to a code that must not be sent.
                if frame.as_ref().is_some_and(|(_, reason)| *reason == "Protocol violation") {
                    return read_as(got, End::Broken(1002));
                }
                got.push(Got::Close(frame.map(|(code, _)| code)));
                return read_as(got, End::Waits);
            }
            Ok(Message::Frame(_)) => unreachable!("never read"),
            Err(Error::Protocol(ProtocolError::ResetWithoutClosingHandshake) | Error::Io(_)) => {
                return read_as(got, End::Waits);
            }
            Err(Error::Protocol(_)) => return read_as(got, End::Broken(1002)),
            Err(Error::Capacity(CapacityError::MessageTooLong { .. })) => {
                return read_as(got, End::Broken(1009));
            }
            Err(Error::Utf8(_)) => return read_as(got, End::Broken(1007)),
            Err(error) => panic!("{error}"),
        }
    }
}

/// What soketto reads, with DEFLATE by miniz.
pub(crate) fn soketto(pieces: &[Vec<u8>], deflate: bool) -> Reading {
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    runtime.block_on(read_by_soketto(pieces, deflate))
}

async fn read_by_soketto(pieces: &[Vec<u8>], deflate: bool) -> Reading {
    use soketto::connection::Error;
    let mut builder = Builder::new(Peer::new(pieces), Mode::Server);
    builder.set_max_frame_size(MOST);
    builder.set_max_message_size(MOST);
    if deflate {
        builder.add_extensions([Box::<Deflate>::default() as Box<dyn Extension + Send>]);
    }
    let (_sender, mut receiver) = builder.finish();
    let mut got = Vec::new();
    loop {
        let mut message = Vec::new();
        match receiver.receive(&mut message).await {
            Ok(soketto::Incoming::Data(soketto::Data::Binary(_))) => got.push(Got::Binary),
            Ok(soketto::Incoming::Data(soketto::Data::Text(_))) => {
                // Left to its users.
                let Ok(text) = String::from_utf8(message) else {
                    return read_as(got, End::Broken(1007));
                };
                got.push(Got::Text(text));
            }
            Ok(soketto::Incoming::Pong(_)) => got.push(Got::Pong),
            Ok(soketto::Incoming::Closed(CloseReason { code: 1002, descr: None })) => {
                return read_as(got, End::Broken(1002));
            }
            Ok(soketto::Incoming::Closed(reason)) => {
                got.push(Got::Close(Some(reason.code).filter(|code| *code != 1005)));
                return read_as(got, End::Waits);
            }
            // Also said of a close frame without a code.
            Err(Error::Io(_) | Error::Closed) => return read_as(got, End::Waits),
            Err(
                Error::MessageTooLarge { .. }
                | Error::Codec(soketto::base::Error::PayloadTooLarge { .. }),
            ) => return read_as(got, End::Broken(1009)),
            Err(Error::Utf8(_)) => return read_as(got, End::Broken(1007)),
            Err(Error::Extension(error)) => {
                let code = error.downcast_ref::<Refused>().map_or(1002, |refused| refused.0);
                return read_as(got, End::Broken(code));
            }
            Err(_) => return read_as(got, End::Broken(1002)),
        }
    }
}

/// A code to close with.
#[derive(Debug)]
struct Refused(u16);

impl std::fmt::Display for Refused {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}", self.0)
    }
}

impl std::error::Error for Refused {}

/// permessage-deflate for soketto.
#[derive(Debug, Default)]
struct Deflate {
    /// A compressed message has begun.
    begun: bool,
}

impl Extension for Deflate {
    fn is_enabled(&self) -> bool {
        true
    }

    fn name(&self) -> &'static str {
        "permessage-deflate"
    }

    fn params(&self) -> &[Param<'_>] {
        &[]
    }

    fn configure(&mut self, _: &[Param<'_>]) -> Result<(), soketto::BoxedError> {
        Ok(())
    }

    fn reserved_bits(&self) -> (bool, bool, bool) {
        (true, false, false)
    }

    fn decode(&mut self, head: &mut Header, data: &mut Vec<u8>) -> Result<(), soketto::BoxedError> {
        let begins = head.opcode() != OpCode::Continue;
        if begins {
            self.begun = head.is_rsv1();
        }
        if head.is_fin() && std::mem::take(&mut self.begun) {
            *data = inflate_by_miniz(data).map_err(Refused)?;
        }
        Ok(())
    }

    fn encode(
        &mut self,
        _: &mut Header,
        _: &mut soketto::Storage<'_>,
    ) -> Result<(), soketto::BoxedError> {
        Ok(())
    }
}

/// A compressed message as miniz reads it, or the code to close with.
pub(crate) fn inflate_by_miniz(data: &[u8]) -> Result<Vec<u8>, u16> {
    let whole = [data, &[0, 0, 0xFF, 0xFF, 1, 0, 0, 0xFF, 0xFF]].concat();
    let (mut rest, mut out, mut written) = (whole.as_slice(), vec![0; MOST + 1], 0);
    while !rest.is_empty() {
        // Begins, or begins anew after a block that said it was the last.
        let mut raw = DecompressorOxide::new();
        // Not wrapping: looking back before the beginning is damage.
        let flags = TINFL_FLAG_USING_NON_WRAPPING_OUTPUT_BUF;
        let (status, read, wrote) = decompress(&mut raw, rest, &mut out[written..], 0, flags);
        rest = &rest[read..];
        written += wrote;
        match status {
            _ if written > MOST => return Err(1009),
            TINFLStatus::HasMoreOutput => return Err(1009),
            TINFLStatus::Done => {}
            _ => return Err(1007),
        }
    }
    out.truncate(written);
    Ok(out)
}
