//! How connections end, and begin again.

use std::net::SocketAddr;

use anyhow::{Context as _, Result};
use rustix::event::epoll;

use super::{Conn, Dial, Engine, Lost, Phase, dial, socket};

impl Engine {
    /// Closes all connections from `first` on and forgets them.
    pub(crate) fn forget(&mut self, first: usize) {
        let gone = self.conns.split_off(first.min(self.conns.len()));
        self.open -= gone.iter().filter(|conn| conn.phase == Phase::Open).count();
        self.keepalive.0 = self.keepalive.0.min(first);
    }

    /// Reads nothing any more from this connection on; it stays.
    pub(crate) fn mute(&mut self, first: usize) -> Result<()> {
        for (number, conn) in (0_u64..).zip(&mut self.conns).skip(first) {
            conn.is_mute = true;
            let (data, none) = (epoll::EventData::new_u64(number), epoll::EventFlags::empty());
            epoll::modify(&self.epoll, &conn.fd, data, none)?;
        }
        Ok(())
    }

    /// Resets a connection, and begins to make it again with another request, without TLS.
    pub(crate) fn redial(
        &mut self,
        server: SocketAddr,
        number: usize,
        request: &[u8],
    ) -> Result<()> {
        self.cut(number);
        let fd = dial(server, Dial::Begin)?;
        let conn = self.conns.get_mut(number).context("no such connection")?;
        let flags = epoll::EventFlags::IN | epoll::EventFlags::OUT;
        epoll::add(&self.epoll, &fd, epoll::EventData::new_u64(number as u64), flags)?;
        let (partial, unsent) = (Vec::new(), request.to_vec());
        let phase = Phase::Upgrading;
        *conn = Conn { fd, phase, is_mute: false, partial, unsent, tls: None };
        Ok(())
    }

    /// Ends a connection without a word, as a broken network does.
    pub(crate) fn cut(&mut self, number: usize) {
        if let Some(conn) = self.conns.get_mut(number)
            && conn.phase != Phase::Closed
        {
            self.open -= usize::from(conn.phase == Phase::Open);
            conn.phase = Phase::Closed;
            // One that is watched no more needs no less.
            let _ = epoll::delete(&self.epoll, &conn.fd);
            socket::reset(&conn.fd);
        }
    }

    pub(super) fn close(&mut self, number: usize, reason: &str) -> Result<()> {
        if self.is_patient {
            self.lose(number, Lost::Ended(reason.to_owned()));
            return Ok(());
        }
        if let Some(conn) = self.conns.get_mut(number)
            && conn.phase != Phase::Closed
        {
            self.open -= usize::from(conn.phase == Phase::Open);
            conn.phase = Phase::Closed;
            *self.totals.closed.entry(reason.to_owned()).or_default() += 1;
            epoll::delete(&self.epoll, &conn.fd)?;
        }
        Ok(())
    }

    pub(super) fn lose(&mut self, number: usize, how: Lost) {
        if self.conns.get(number).is_some_and(|conn| conn.phase != Phase::Closed) {
            self.cut(number);
            self.lost.push((number, how));
        }
    }
}
