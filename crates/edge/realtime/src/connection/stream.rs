//! The byte stream under a connection.

use std::io::{self, IoSlice};
use std::os::fd::AsRawFd as _;
use std::task::{Context, Poll};

use rustix::net::{RecvFlags, SendAncillaryBuffer, SendFlags, Shutdown};
use tokio::io::Interest;
use tokio::net::TcpStream;

use super::outbox::Sink;
use super::tls::Tls;

/// What a connection reads from and writes to. Every call is for a shared reference: the task that
/// owns the connection waits, any thread may write.
#[derive(Debug)]
pub(crate) enum Stream {
    /// Without TLS, or with TLS ended before us.
    Plain(TcpStream),
    Tls(Box<Tls>),
}

impl Stream {
    /// The socket's number.
    pub(crate) fn number(&self) -> i32 {
        self.tcp().as_raw_fd()
    }

    /// The socket below.
    pub(crate) fn tcp(&self) -> &TcpStream {
        match self {
            Self::Plain(tcp) => tcp,
            Self::Tls(tls) => tls.tcp(),
        }
    }

    /// One waiter at a time.
    pub(crate) fn poll_read_ready(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self {
            Self::Plain(tcp) => tcp.poll_read_ready(cx),
            Self::Tls(tls) => tls.poll_read_ready(cx),
        }
    }

    /// One waiter at a time.
    pub(crate) fn poll_write_ready(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.tcp().poll_write_ready(cx)
    }

    /// Reads what is there.
    pub(crate) fn try_read(&self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Plain(tcp) => {
                let mut read = 0;
                let outcome = read_once(tcp, buffer.len(), || {
                    (read, _) = rustix::net::recv(tcp, &mut *buffer, RecvFlags::empty())?;
                    Ok(read)
                });
                outcome.map(|_| read)
            }
            Self::Tls(tls) => tls.try_read(buffer),
        }
    }

    /// Ends both directions now, whoever else still holds the connection.
    pub(crate) fn shutdown(&self) {
        if let Self::Tls(tls) = self {
            tls.say_goodbye();
        }
        // It may be gone already.
        let _ = rustix::net::shutdown(self.tcp(), Shutdown::Both);
    }
}

impl Sink for Stream {
    fn write(&self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Self::Plain(tcp) => at_once(tcp, || send(tcp, bytes)),
            Self::Tls(tls) => tls.try_write(&[IoSlice::new(bytes)]),
        }
    }

    fn write_vectored(&self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        match self {
            Self::Plain(tcp) => at_once(tcp, || send_vectored(tcp, slices)),
            Self::Tls(tls) => tls.try_write(slices),
        }
    }

    fn flush(&self) -> io::Result<bool> {
        match self {
            Self::Plain(_) => Ok(true),
            Self::Tls(tls) => tls.flush(),
        }
    }

    fn has_unsent(&self) -> bool {
        match self {
            Self::Plain(_) => false,
            Self::Tls(tls) => tls.has_unsent(),
        }
    }
}

/// Writes without asking first whether the socket takes anything: it nearly always does, and what
/// the runtime knows of it is in no cache. Only a refusal is told to the runtime, which then waits
/// for the socket to be ready.
fn at_once(tcp: &TcpStream, write: impl Fn() -> io::Result<usize>) -> io::Result<usize> {
    match write() {
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
            tcp.try_io(Interest::WRITABLE, write)
        }
        outcome => outcome,
    }
}

/// Sends as much as the socket takes. Here as below the kernel is called directly: the C library's
/// calls are points where a thread may be cancelled, which costs a tenth of a microsecond.
pub(super) fn send(tcp: &TcpStream, bytes: &[u8]) -> io::Result<usize> {
    Ok(rustix::net::send(tcp, bytes, SendFlags::NOSIGNAL)?)
}

/// Sends as much of `slices` as the socket takes, in order.
pub(super) fn send_vectored(tcp: &TcpStream, slices: &[IoSlice<'_>]) -> io::Result<usize> {
    let mut nothing = SendAncillaryBuffer::default();
    Ok(rustix::net::sendmsg(tcp, slices, &mut nothing, SendFlags::NOSIGNAL)?)
}

/// Reads up to `most` bytes by `read`, one system call. A short read means that nothing is left, so
/// readiness is taken back without a second call that would only say so. True: it was short.
pub(super) fn read_once(
    tcp: &TcpStream,
    most: usize,
    mut read: impl FnMut() -> io::Result<usize>,
) -> io::Result<bool> {
    let mut count = 0;
    let outcome = tcp.try_io(Interest::READABLE, || {
        count = read()?;
        let is_short = count > 0 && count < most;
        if is_short { Err(io::ErrorKind::WouldBlock.into()) } else { Ok(()) }
    });
    match outcome {
        Ok(()) => Ok(false),
        Err(error) if error.kind() == io::ErrorKind::WouldBlock && count > 0 => Ok(true),
        Err(error) => Err(error),
    }
}

/// What is left of what waited for a socket after it took what it could.
pub(super) enum Drained {
    /// Something waits for the socket.
    More,
    /// Nothing waits.
    Nothing,
    /// The connection is over.
    Ended,
}
