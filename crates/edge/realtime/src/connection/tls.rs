//! TLS over a socket, for a shared reference and without waiting.
//!
//! What is given to write is encrypted at once and in order; what of that the socket does not take
//! is kept, at most [`UNSENT_BYTES_MAX`], and nothing more is taken until it is sent. So a
//! connection's frames go out in the order in which they were written here, whoever writes.

use std::io::{self, ErrorKind, IoSlice, Read, Write as _};
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};

use parking_lot::Mutex;
use rustix::net::RecvFlags;
use tokio::io::Interest;
use tokio::net::TcpStream;
use tokio_rustls::rustls::ServerConnection;

use super::stream::{read_once, send, send_vectored};

/// Most bytes that are encrypted before the socket has taken them.
const UNSENT_BYTES_MAX: usize = 32 * 1024;

/// The secret side of a connection.
pub(crate) struct Tls {
    tcp: TcpStream,
    session: Mutex<ServerConnection>,
    /// Whether there may be decrypted bytes that nobody has read.
    unread: AtomicBool,
}

impl std::fmt::Debug for Tls {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Tls").field("tcp", &self.tcp).finish_non_exhaustive()
    }
}

impl Tls {
    /// Takes a session over after its handshake, with what it holds.
    pub(crate) fn new(tcp: TcpStream, mut session: ServerConnection) -> Self {
        session.set_buffer_limit(Some(UNSENT_BYTES_MAX));
        Self { tcp, session: Mutex::new(session), unread: AtomicBool::new(true) }
    }

    pub(super) fn tcp(&self) -> &TcpStream {
        &self.tcp
    }

    pub(super) fn poll_read_ready(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.unread.load(Ordering::Acquire) {
            return Poll::Ready(Ok(()));
        }
        self.tcp.poll_read_ready(cx)
    }

    /// Reads what is there, up to the buffer's size. 0: the peer has ended its side.
    pub(super) fn try_read(&self, buffer: &mut [u8]) -> io::Result<usize> {
        let mut session = self.session.lock();
        let mut read = 0;
        let mut is_dry = false;
        loop {
            let (_, free) = buffer.split_at_mut(read);
            match session.reader().read(free) {
                Ok(0) => return Ok(self.ended(read)),
                Ok(count) => {
                    read += count;
                    if count == free.len() {
                        self.unread.store(true, Ordering::Release);
                        return Ok(read);
                    }
                    continue;
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                // The end without a word of it: nothing depends on the word, for a WebSocket has
                // its own.
                Err(error) if error.kind() == ErrorKind::UnexpectedEof => {
                    return Ok(self.ended(read));
                }
                Err(error) => return Err(error),
            }
            self.unread.store(false, Ordering::Release);
            let outcome = if is_dry {
                Err(ErrorKind::WouldBlock.into())
            } else {
                self.read_records(&mut session)
            };
            match outcome {
                Ok(now_dry) => is_dry = now_dry,
                Err(error) if error.kind() == ErrorKind::WouldBlock && read > 0 => return Ok(read),
                Err(error) => return Err(error),
            }
        }
    }

    /// The end is told once all before it is read.
    fn ended(&self, read: usize) -> usize {
        self.unread.store(true, Ordering::Release);
        read
    }

    /// Takes in what the socket has. True: it has no more.
    fn read_records(&self, session: &mut ServerConnection) -> io::Result<bool> {
        let mut socket = Socket { tcp: &self.tcp, wanted: 0, read: 0 };
        // Only a read that asks for more than it gets is short.
        let is_short = read_once(&self.tcp, usize::MAX, || {
            session.read_tls(&mut socket)?;
            Ok(if socket.read < socket.wanted { socket.read } else { usize::MAX })
        })?;
        let processed = session.process_new_packets();
        // An answer of the protocol, or the alert that says what is wrong.
        let flushed = self.send(session);
        processed.map_err(|error| io::Error::new(ErrorKind::InvalidData, error))?;
        flushed?;
        Ok(is_short)
    }

    /// Encrypts these, as far as there is room, and sends what the socket takes.
    ///
    /// # Errors
    /// `WouldBlock`: what was encrypted before is not sent yet. Otherwise as the socket reports.
    pub(super) fn try_write(&self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        let mut session = self.session.lock();
        if !self.send(&mut session)? {
            return Err(ErrorKind::WouldBlock.into());
        }
        let taken = session.writer().write_vectored(slices)?;
        self.send(&mut session)?;
        Ok(taken)
    }

    /// Sends what is encrypted. True: all of it is sent.
    pub(super) fn flush(&self) -> io::Result<bool> {
        self.send(&mut self.session.lock())
    }

    pub(super) fn has_unsent(&self) -> bool {
        self.session.lock().wants_write()
    }

    fn send(&self, session: &mut ServerConnection) -> io::Result<bool> {
        while session.wants_write() {
            let mut socket = Socket { tcp: &self.tcp, wanted: 0, read: 0 };
            match self.tcp.try_io(Interest::WRITABLE, || session.write_tls(&mut socket)) {
                Ok(0) => return Err(ErrorKind::WriteZero.into()),
                Ok(_) => {}
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(false),
                Err(error) => return Err(error),
            }
        }
        Ok(true)
    }

    /// Says that nothing follows, if the socket takes that at once.
    pub(super) fn say_goodbye(&self) {
        let mut session = self.session.lock();
        session.send_close_notify();
        let _ = self.send(&mut session);
    }
}

/// The socket as rustls wants it.
struct Socket<'a> {
    tcp: &'a TcpStream,
    /// What the last read asked for, and got.
    wanted: usize,
    read: usize,
}

impl Read for Socket<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.wanted = buffer.len();
        (self.read, _) = rustix::net::recv(self.tcp, &mut *buffer, RecvFlags::empty())?;
        Ok(self.read)
    }
}

impl io::Write for Socket<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        send(self.tcp, bytes)
    }

    fn write_vectored(&mut self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        send_vectored(self.tcp, slices)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
