//! The task of a connection: waits for the socket, reads into the thread's buffer, drains the
//! outbox. Small, because there is one per connection and most do nothing most of the time.

use std::cell::RefCell;
use std::future::poll_fn;
use std::io::ErrorKind;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use klatch_ports::Position;

use super::talk::Talk;
use super::{Connection, Life, Phase, Waiting};
use crate::framing::Parser;

/// Bytes read at once. One buffer per thread, not per connection.
const READ_BYTES: usize = 32 * 1024;

thread_local! {
    static BUFFER: RefCell<Vec<u8>> = RefCell::new(vec![0; READ_BYTES]);
}

/// A connection's reading half and its place in the conversation.
pub(crate) struct Session {
    connection: Arc<Connection>,
    parser: Parser,
    /// Bytes that were read and have to wait.
    rest: Vec<u8>,
    talk: Talk,
    /// The stream is beyond repair: what comes is read, so that the close frame gets through, and
    /// thrown away.
    broken: bool,
}

/// Why the task woke up.
enum Turn {
    /// The socket may be read.
    Readable,
    /// Bytes that had to wait may be looked at.
    Rest,
    /// The connection is over.
    Ended,
}

impl Session {
    /// The session of a connection that waits to go live. `early` are bytes that came with the
    /// upgrade, `resume_from` positions that came in its address.
    pub(crate) fn new(
        connection: Arc<Connection>,
        early: Vec<u8>,
        resume_from: Option<Vec<Position>>,
    ) -> Self {
        let parser =
            Parser::new(connection.shared.config.frames).with_deflate(connection.has_deflate());
        let talk = Talk::new(Arc::clone(&connection), resume_from);
        Self { connection, parser, rest: early, talk, broken: false }
    }

    /// Runs until the connection is over.
    pub(crate) async fn run(mut self) {
        loop {
            match poll_fn(|cx| self.poll_turn(cx)).await {
                Turn::Readable => self.read(),
                Turn::Rest => {
                    let mut rest = std::mem::take(&mut self.rest);
                    self.feed(&mut rest);
                }
                Turn::Ended => break,
            }
        }
        self.connection.end();
    }

    fn poll_turn(&mut self, cx: &mut Context<'_>) -> Poll<Turn> {
        let talked = loop {
            // First what adds to what waits: it goes out with that, `hello` with what was missed.
            let talked = self.poll_talk(cx);
            let before = self.connection.queued_bytes();
            if self.connection.poll_drain(cx) == Life::Ended {
                return Poll::Ready(Turn::Ended);
            }
            // What is told at the pace of the socket may go on.
            if talked.is_ready() || self.connection.queued_bytes() >= before {
                break talked;
            }
        };
        let connection = &self.connection;
        let phase = connection.phase();
        if !matches!(phase, Phase::Closing { .. }) {
            // Whatever else the client says waits its turn: order is kept.
            ready!(talked);
            let waits = connection.is_saturated() || connection.shared.is_leaving();
            if waits || phase == Phase::Arriving {
                return Poll::Pending;
            }
        }
        if !self.rest.is_empty() {
            return Poll::Ready(Turn::Rest);
        }
        match ready!(connection.stream.poll_read_ready(cx)) {
            Ok(()) => Poll::Ready(Turn::Readable),
            Err(_) => Poll::Ready(Turn::Ended),
        }
    }

    fn poll_talk(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if matches!(self.connection.phase(), Phase::Closing { .. }) {
            self.talk.give_up();
        }
        self.talk.poll_pending(cx)
    }

    fn read(&mut self) {
        BUFFER.with_borrow_mut(|buffer| match self.connection.stream.try_read(buffer) {
            Ok(0) => self.connection.end(),
            Ok(count) => {
                self.connection.hear();
                self.feed(buffer.split_at_mut(count).0);
            }
            Err(error) if error.kind() == ErrorKind::WouldBlock => {}
            Err(_) => self.connection.end(),
        });
    }

    fn feed(&mut self, bytes: &mut [u8]) {
        if self.broken {
            return;
        }
        let talk = &mut self.talk;
        match self.parser.feed(bytes, &mut |incoming| talk.take(incoming)) {
            Ok(taken) => self.rest = bytes.get(taken..).unwrap_or_default().to_vec(),
            Err(violation) => {
                self.broken = true;
                self.connection.close(violation.code, violation.reason, Waiting::Keep);
            }
        }
    }
}
