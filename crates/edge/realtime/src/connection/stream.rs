//! The byte stream under a connection.

use std::io::{self, IoSlice, Read as _};
use std::net::Shutdown;
use std::task::{Context, Poll};

use tokio::io::Interest;
use tokio::net::TcpStream;

use super::outbox::Sink;

/// What a connection reads from and writes to. Every call is for a shared reference: the task that
/// owns the connection waits, any thread may write.
#[derive(Debug)]
pub(crate) enum Stream {
    /// Without TLS, or with TLS ended before us.
    Plain(TcpStream),
}

impl Stream {
    /// One waiter at a time.
    pub(crate) fn poll_read_ready(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self {
            Self::Plain(tcp) => tcp.poll_read_ready(cx),
        }
    }

    /// One waiter at a time.
    pub(crate) fn poll_write_ready(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self {
            Self::Plain(tcp) => tcp.poll_write_ready(cx),
        }
    }

    /// Reads what is there. A short read means that nothing is left, so readiness is taken back
    /// without a second call that would only say so.
    pub(crate) fn try_read(&self, buffer: &mut [u8]) -> io::Result<usize> {
        let Self::Plain(tcp) = self;
        let mut read = 0;
        let outcome = tcp.try_io(Interest::READABLE, || {
            read = (&*socket2::SockRef::from(tcp)).read(buffer)?;
            let all = read > 0 && read < buffer.len();
            if all { Err(io::ErrorKind::WouldBlock.into()) } else { Ok(()) }
        });
        match outcome {
            Err(error) if error.kind() != io::ErrorKind::WouldBlock || read == 0 => Err(error),
            _ => Ok(read),
        }
    }

    /// Ends both directions now, whoever else still holds the connection.
    pub(crate) fn shutdown(&self) {
        match self {
            Self::Plain(tcp) => {
                // It may be gone already.
                let _ = socket2::SockRef::from(tcp).shutdown(Shutdown::Both);
            }
        }
    }
}

impl Sink for Stream {
    fn write(&self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Self::Plain(tcp) => tcp.try_write(bytes),
        }
    }

    fn write_vectored(&self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        match self {
            Self::Plain(tcp) => tcp.try_write_vectored(slices),
        }
    }
}
