//! Sockets: opened from many addresses, waited for, written as far as they take it, reset.

use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4};
use std::os::fd::OwnedFd;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use rustix::buffer::spare_capacity;
use rustix::event::{Timespec, epoll};
use rustix::io::Errno;
use rustix::net::SendFlags;

use super::Conn;

/// Connections with one source address, far below the 28,232 ephemeral ports of one: the kernel
/// looks for a free one from port to port, and those that were closed are taken for a minute more.
const PER_ADDRESS: usize = 5_000;
/// Source addresses that are taken in turns, from another one on in each process, so that one is
/// rested when its turn comes again.
const ADDRESSES: usize = 250;
/// Connections of this process so far.
static DIALED: AtomicUsize = AtomicUsize::new(0);
/// What a socket of someone who does not read may take in.
const NARROW_BYTES: usize = 4 << 10;

/// How a socket is opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Dial {
    /// Waits until the connection stands.
    Wait,
    /// Waits until the connection stands; the kernel takes in little that is not read.
    Narrow,
    /// Begins to connect.
    Begin,
}

/// A non-blocking socket to the server, from 127.0.0.2 on.
pub(crate) fn dial(server: SocketAddr, how: Dial) -> Result<OwnedFd> {
    use rustix::net::{
        AddressFamily, SocketFlags, SocketType, bind, connect, socket_with, sockopt,
    };
    let (flags, family) = (SocketFlags::CLOEXEC, AddressFamily::INET);
    let fd = socket_with(family, SocketType::STREAM, flags, None).context("a socket")?;
    if how == Dial::Narrow {
        sockopt::set_socket_recv_buffer_size(&fd, NARROW_BYTES)?;
    }
    if server.ip() == Ipv4Addr::LOCALHOST {
        let turn = DIALED.fetch_add(1, Ordering::Relaxed) / PER_ADDRESS;
        let turn = (turn + std::process::id() as usize) % ADDRESSES;
        let host = u8::try_from(2 + turn).context("fewer addresses than a byte counts")?;
        bind(&fd, &SocketAddrV4::new(Ipv4Addr::new(127, 0, 0, host), 0))?;
    }
    if how == Dial::Begin {
        rustix::io::ioctl_fionbio(&fd, true)?;
    }
    match connect(&fd, &server) {
        Ok(()) => {}
        Err(Errno::INPROGRESS) if how == Dial::Begin => {}
        Err(error) => return Err(error).with_context(|| format!("connecting to {server}")),
    }
    sockopt::set_tcp_nodelay(&fd, true)?;
    rustix::io::ioctl_fionbio(&fd, true)?;
    Ok(fd)
}

/// What has come within a limit, or nothing. Whoever stays awake needs a processor for it, and none
/// of those who write to it pay for waking it up.
pub(crate) fn ready(
    epoll: &OwnedFd,
    events: &mut Vec<epoll::Event>,
    limit: Duration,
    is_awake: bool,
) -> Result<()> {
    let deadline = Instant::now() + limit;
    let wait = if is_awake { Duration::ZERO } else { limit };
    let wait = Timespec::try_from(wait).context("a limit of the far future")?;
    events.clear();
    loop {
        match epoll::wait(epoll, spare_capacity(events), Some(&wait)) {
            Ok(0) if is_awake && Instant::now() < deadline => {}
            Ok(_) | Err(Errno::INTR) => return Ok(()),
            Err(error) => return Err(error.into()),
        }
    }
}

/// Ends a connection with a reset: the other side learns it at once, and no port waits for late
/// segments. The descriptor stays until it is dropped.
pub(super) fn reset(fd: &OwnedFd) {
    // A socket that is broken already has nothing to end.
    let _ = rustix::net::connect_unspec(fd);
}

/// Writes, or keeps what the socket does not take and asks for a word when it does.
pub(super) fn write(epoll: &OwnedFd, number: u64, conn: &mut Conn, bytes: &[u8]) -> Result<()> {
    if !conn.unsent.is_empty() {
        conn.unsent.extend_from_slice(bytes);
        return Ok(());
    }
    let rest = bytes.get(put(&conn.fd, bytes)?..).unwrap_or_default();
    if !rest.is_empty() {
        conn.unsent.extend_from_slice(rest);
        let flags = epoll::EventFlags::IN | epoll::EventFlags::OUT;
        epoll::modify(epoll, &conn.fd, epoll::EventData::new_u64(number), flags)?;
    }
    Ok(())
}

/// The socket takes more.
pub(super) fn flush(epoll: &OwnedFd, number: u64, conn: &mut Conn) -> Result<()> {
    let length = put(&conn.fd, &conn.unsent)?;
    conn.unsent.drain(..length);
    if conn.unsent.is_empty() {
        conn.unsent = Vec::new();
        let data = epoll::EventData::new_u64(number);
        epoll::modify(epoll, &conn.fd, data, epoll::EventFlags::IN)?;
    }
    Ok(())
}

/// Sends what the socket takes. A broken connection takes all: reading will tell why it broke.
fn put(fd: &OwnedFd, bytes: &[u8]) -> Result<usize> {
    let mut sent = 0;
    while let Some(rest @ [_, ..]) = bytes.get(sent..) {
        match rustix::net::send(fd, rest, SendFlags::NOSIGNAL) {
            Ok(length) => sent += length,
            Err(Errno::INTR) => {}
            // Not connected yet is like not ready.
            Err(Errno::AGAIN | Errno::NOTCONN) => break,
            Err(Errno::PIPE | Errno::CONNRESET | Errno::CONNREFUSED) => return Ok(bytes.len()),
            Err(error) => return Err(error.into()),
        }
    }
    Ok(sent)
}
