//! Connections through TLS: the same frames, sealed on their way out and opened on their way in.

use std::io::{Read as _, Write as _};
use std::os::fd::OwnedFd;

use anyhow::{Context as _, Result};
use rustls::{ClientConnection, HandshakeKind};

use super::{Conn, Engine, socket};

/// Writes, through TLS if the connection has it.
pub(super) fn write(epoll: &OwnedFd, number: u64, conn: &mut Conn, bytes: &[u8]) -> Result<()> {
    let Some(tls) = &mut conn.tls else { return socket::write(epoll, number, conn, bytes) };
    // Until hands are shaken it is kept, and sealed then.
    tls.writer().write_all(bytes)?;
    let mut wire = Vec::new();
    while tls.wants_write() {
        tls.write_tls(&mut wire)?;
    }
    socket::write(epoll, number, conn, &wire)
}

impl Engine {
    /// Reads what `came`: plain bytes from before, `held` of them, then what the wire gave.
    pub(super) fn decipher(
        &mut self,
        number: usize,
        came: &[u8],
        held: usize,
        on_text: &mut impl FnMut(usize, &[u8]),
    ) -> Result<()> {
        let (before, wire) = came.split_at_checked(held).context("less than there was")?;
        let Some(conn) = self.conns.get_mut(number) else { return Ok(()) };
        let Some(tls) = &mut conn.tls else { return Ok(()) };
        let mut plain = std::mem::take(&mut self.plain);
        plain.clear();
        plain.extend_from_slice(before);
        let opened = open(tls, wire, &mut plain);
        // The client's part of the handshake, or why it breaks off.
        write(&self.epoll, number as u64, conn, &[])?;
        let outcome = match opened {
            Ok(()) => self.digest(number, &plain, on_text),
            Err(error) => self.close(number, &format!("TLS: {error:#}")),
        };
        self.plain = plain;
        outcome
    }

    /// Connections through TLS whose handshakes resumed nothing.
    pub(crate) fn full_handshakes(&self) -> usize {
        let kinds = self.conns.iter().filter_map(|conn| conn.tls.as_ref()?.handshake_kind());
        kinds.filter(|kind| *kind == HandshakeKind::Full).count()
    }
}

/// Appends what `wire` seals to `plain`.
fn open(tls: &mut ClientConnection, mut wire: &[u8], plain: &mut Vec<u8>) -> Result<()> {
    while !wire.is_empty() {
        tls.read_tls(&mut wire)?;
        let length = tls.process_new_packets()?.plaintext_bytes_to_read();
        let held = plain.len();
        plain.resize(held + length, 0);
        tls.reader().read_exact(plain.get_mut(held..).unwrap_or_default())?;
    }
    Ok(())
}
