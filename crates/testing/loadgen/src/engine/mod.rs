//! Many WebSocket connections on one epoll thread: cheap to wait on, nothing kept for an idle one.

mod ending;
mod secret;
mod socket;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};
use rustix::event::epoll;
use rustix::io::Errno;
use rustix::net::RecvFlags;
use rustix::time::{
    Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec, timerfd_create,
    timerfd_settime,
};
use rustls::ClientConnection;

use crate::tls::Trust;
use crate::{scan, ws};
pub(crate) use socket::{Dial, dial, ready};

/// Read at once; a frame is at most 64 KiB, so several fit.
const READ_BYTES: usize = 256 << 10;
/// Upgrades under way at a time: below every listen backlog.
const UPGRADES: usize = 128;
/// Each connection says something so often. A server closes after 75 s of silence.
const KEEPALIVE: Duration = Duration::from_secs(25);
/// How long nothing is said after all said something at once.
const QUIET: Duration = Duration::from_secs(20);
const TIMER: u64 = u64::MAX;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    Upgrading,
    Hello,
    Open,
    Closed,
}

struct Conn {
    fd: OwnedFd,
    phase: Phase,
    /// Nothing is read any more.
    is_mute: bool,
    /// The start of a frame whose rest has not come.
    partial: Vec<u8>,
    /// What the socket did not take.
    unsent: Vec<u8>,
    /// Through which all goes; a plain one has none.
    tls: Option<Box<ClientConnection>>,
}

/// Where and how connections are made.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Door<'a> {
    pub(crate) server: SocketAddr,
    pub(crate) path: &'a str,
    pub(crate) dial: Dial,
    /// Whom to trust, of a server that speaks TLS.
    pub(crate) trust: Option<&'a Trust>,
}

impl Door<'static> {
    pub(crate) fn of(server: SocketAddr) -> Self {
        Self { server, path: "/ws", dial: Dial::Wait, trust: None }
    }
}

/// Why a connection is none, or none any more.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Lost {
    /// The upgrade was refused, perhaps with a time to wait.
    Refused { status: u16, retry_after: Option<Duration> },
    /// It ended or never came to be.
    Ended(String),
}

/// What came in, over all connections.
#[derive(Clone, Debug, Default)]
pub(crate) struct Totals {
    pub(crate) bytes: u64,
    pub(crate) frames: u64,
    pub(crate) reads: u64,
    /// Text frames that were sent.
    pub(crate) said: u64,
    /// Connections that ended, by reason.
    pub(crate) closed: BTreeMap<String, u64>,
}

pub(crate) struct Engine {
    epoll: OwnedFd,
    timer: OwnedFd,
    conns: Vec<Conn>,
    buffer: Vec<u8>,
    frame: Vec<u8>,
    /// What came through TLS.
    plain: Vec<u8>,
    events: Vec<epoll::Event>,
    mask: u32,
    open: usize,
    keepalive: (usize, Instant),
    /// Set: it asks again and again instead of sleeping until something has come.
    pub(crate) is_awake: bool,
    /// Set: connections that end, and refusals, are put down in `lost` and are no errors.
    pub(crate) is_patient: bool,
    pub(crate) lost: Vec<(usize, Lost)>,
    pub(crate) totals: Totals,
}

impl Engine {
    pub(crate) fn new() -> Result<Self> {
        let epoll = epoll::create(epoll::CreateFlags::CLOEXEC)?;
        let flags = TimerfdFlags::CLOEXEC | TimerfdFlags::NONBLOCK;
        let timer = timerfd_create(TimerfdClockId::Monotonic, flags)?;
        epoll::add(&epoll, &timer, epoll::EventData::new_u64(TIMER), epoll::EventFlags::IN)?;
        Ok(Self {
            epoll,
            timer,
            conns: Vec::new(),
            buffer: vec![0; READ_BYTES],
            frame: Vec::new(),
            plain: Vec::new(),
            events: Vec::with_capacity(512),
            mask: 0x9e37_79b9,
            open: 0,
            keepalive: (0, Instant::now()),
            is_awake: false,
            is_patient: false,
            lost: Vec::new(),
            totals: Totals::default(),
        })
    }

    /// Connections that said hello and are not closed.
    pub(crate) fn open(&self) -> usize {
        self.open
    }

    /// Opens a connection per token and waits until each has its `hello`. Connections are
    /// numbered on from those before; frames that come meanwhile go to `on_text`.
    ///
    /// # Errors
    /// A refused upgrade with the server's answer, or `limit` passed.
    pub(crate) fn connect(
        &mut self,
        door: Door<'_>,
        tokens: &[String],
        limit: Duration,
        mut on_text: impl FnMut(usize, &[u8]),
    ) -> Result<()> {
        let deadline = Instant::now() + limit;
        let before = self.open;
        let mut started = 0;
        while self.open < before + tokens.len() {
            ensure!(
                Instant::now() < deadline,
                "{} of {} connections open after {limit:?}; closed: {:?}",
                self.open - before,
                tokens.len(),
                self.totals.closed
            );
            while started < tokens.len() && started - (self.open - before) < UPGRADES {
                let token = tokens.get(started).map(String::as_str);
                let request = ws::upgrade(&door.server.to_string(), door.path, token);
                self.start(door, &request)?;
                started += 1;
            }
            self.poll(Duration::from_millis(50), &mut on_text)?;
            ensure!(self.totals.closed.is_empty(), "connecting: {:?}", self.totals.closed);
        }
        Ok(())
    }

    fn start(&mut self, door: Door<'_>, request: &[u8]) -> Result<()> {
        let fd = dial(door.server, door.dial)?;
        let number = self.conns.len() as u64;
        let data = epoll::EventData::new_u64(number);
        epoll::add(&self.epoll, &fd, data, epoll::EventFlags::IN)?;
        let (partial, unsent) = (Vec::new(), Vec::new());
        let tls = door.trust.map(Trust::client).transpose()?.map(Box::new);
        self.conns.push(Conn { fd, phase: Phase::Upgrading, is_mute: false, partial, unsent, tls });
        let conn = self.conns.last_mut().context("just pushed")?;
        secret::write(&self.epoll, number, conn, request)
    }

    /// Sends a text frame.
    ///
    /// # Errors
    /// The connection is closed or unknown.
    pub(crate) fn send(&mut self, number: usize, text: &[u8]) -> Result<()> {
        self.send_frame(number, ws::TEXT, text)?;
        self.totals.said += 1;
        Ok(())
    }

    fn send_frame(&mut self, number: usize, opcode: u8, payload: &[u8]) -> Result<()> {
        self.mask = self.mask.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        self.frame.clear();
        ws::put(&mut self.frame, opcode, self.mask, payload);
        let conn = self.conns.get_mut(number).context("no such connection")?;
        ensure!(conn.phase == Phase::Open, "connection {number} is not open");
        secret::write(&self.epoll, number as u64, conn, &self.frame)
    }

    /// Makes the next [`Engine::poll`] return at the latest at this moment, to the microsecond.
    pub(crate) fn wake_at(&mut self, moment: Instant) -> Result<()> {
        let left = moment.saturating_duration_since(Instant::now()).max(Duration::from_nanos(1));
        let it_value = Timespec::try_from(left).context("a timer of the far future")?;
        let it_interval = Timespec { tv_sec: 0, tv_nsec: 0 };
        let spec = Itimerspec { it_interval, it_value };
        timerfd_settime(&self.timer, TimerfdTimerFlags::empty(), &spec)?;
        Ok(())
    }

    /// Waits for at most `limit` and hands each text frame to `on_text`. Answers pings.
    ///
    /// # Errors
    /// The kernel's, or frames that no server should send.
    pub(crate) fn poll(
        &mut self,
        limit: Duration,
        mut on_text: impl FnMut(usize, &[u8]),
    ) -> Result<()> {
        self.keep_alive()?;
        ready(&self.epoll, &mut self.events, limit, self.is_awake)?;
        let events = std::mem::take(&mut self.events);
        for event in &events {
            let (number, flags) = (event.data.u64(), event.flags);
            if number == TIMER {
                let _ = rustix::io::read(&self.timer, &mut [0_u8; 8][..]);
                continue;
            }
            let number = usize::try_from(number)?;
            let Some(conn) = self.conns.get_mut(number) else { continue };
            if conn.is_mute {
                epoll::delete(&self.epoll, &conn.fd)?;
                continue;
            }
            if flags.contains(epoll::EventFlags::OUT) {
                socket::flush(&self.epoll, number as u64, conn)?;
            }
            let readable = epoll::EventFlags::IN | epoll::EventFlags::HUP | epoll::EventFlags::ERR;
            if flags.intersects(readable) {
                self.read(number, &mut on_text)?;
            }
        }
        self.events = events;
        Ok(())
    }

    fn read(&mut self, number: usize, on_text: &mut impl FnMut(usize, &[u8])) -> Result<()> {
        let Some(conn) = self.conns.get_mut(number) else { return Ok(()) };
        let partial = std::mem::take(&mut conn.partial);
        let (held, is_secret) = (partial.len(), conn.tls.is_some());
        self.buffer.get_mut(..held).context("a frame above the buffer")?.copy_from_slice(&partial);
        let room = self.buffer.get_mut(held..).unwrap_or_default();
        let length = match rustix::net::recv(&conn.fd, room, RecvFlags::empty()) {
            Ok((length, _)) if length > 0 => length,
            Err(Errno::AGAIN | Errno::INTR) => {
                conn.partial = partial;
                return Ok(());
            }
            Ok(_) => return self.close(number, "ended"),
            Err(error) => return self.close(number, &error.to_string()),
        };
        self.totals.bytes += length as u64;
        self.totals.reads += 1;
        let buffer = std::mem::take(&mut self.buffer);
        let came = buffer.get(..held + length).unwrap_or_default();
        let outcome = if is_secret {
            self.decipher(number, came, held, on_text)
        } else {
            self.digest(number, came, on_text)
        };
        self.buffer = buffer;
        outcome
    }

    /// Reads all whole frames and keeps the rest.
    fn digest(
        &mut self,
        number: usize,
        mut bytes: &[u8],
        on_text: &mut impl FnMut(usize, &[u8]),
    ) -> Result<()> {
        let Some(conn) = self.conns.get_mut(number) else { return Ok(()) };
        if conn.phase == Phase::Upgrading {
            match ws::upgraded(bytes) {
                Ok(Some(length)) => {
                    conn.phase = Phase::Hello;
                    bytes = bytes.get(length..).unwrap_or_default();
                }
                Ok(None) => {
                    conn.partial = bytes.to_vec();
                    return Ok(());
                }
                Err(answer) if self.is_patient => {
                    let (status, retry_after) = ws::refusal(&answer);
                    self.lose(number, Lost::Refused { status, retry_after });
                    return Ok(());
                }
                Err(answer) => bail!("the upgrade was refused: {answer}"),
            }
        }
        loop {
            match ws::next(bytes) {
                ws::Next::Frame(frame, length) => {
                    self.totals.frames += 1;
                    self.take(number, frame, on_text)?;
                    bytes = bytes.get(length..).unwrap_or_default();
                }
                ws::Next::Partial => break,
                ws::Next::Broken(what) => bail!("connection {number} got {what}"),
            }
        }
        if let Some(conn) = self.conns.get_mut(number)
            && !bytes.is_empty()
        {
            conn.partial = bytes.to_vec();
        }
        Ok(())
    }

    fn take(
        &mut self,
        number: usize,
        frame: ws::Frame<'_>,
        on_text: &mut impl FnMut(usize, &[u8]),
    ) -> Result<()> {
        match frame {
            ws::Frame::Text(text) => {
                if let Some(conn) = self.conns.get_mut(number)
                    && conn.phase == Phase::Hello
                    && scan::frame(text) == scan::Said::Hello
                {
                    conn.phase = Phase::Open;
                    self.open += 1;
                }
                on_text(number, text);
                Ok(())
            }
            ws::Frame::Ping(payload) => self.send_frame(number, ws::PONG, payload),
            ws::Frame::Pong => Ok(()),
            ws::Frame::Close(code) => self.close(number, &format!("close {code}")),
        }
    }

    /// All say something now, and then nothing for twenty seconds, so that a stretch that is
    /// measured meanwhile has no heartbeats in it.
    pub(crate) fn keep_alive_now(&mut self) -> Result<()> {
        for number in 0..self.conns.len() {
            self.beat(number)?;
        }
        self.keepalive = (0, Instant::now() + QUIET);
        Ok(())
    }

    /// Each open connection says something every 25 s, spread over the time.
    fn keep_alive(&mut self) -> Result<()> {
        let (next, begun) = self.keepalive;
        if self.conns.is_empty() {
            self.keepalive = (0, Instant::now());
            return Ok(());
        }
        let elapsed = begun.elapsed().as_secs_f64() / KEEPALIVE.as_secs_f64();
        #[expect(
            clippy::cast_precision_loss,
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "a share of at most 20,000 connections"
        )]
        let due = ((self.conns.len() as f64) * elapsed.min(1.0)) as usize;
        for number in next..due {
            self.beat(number)?;
        }
        self.keepalive = (next.max(due), begun);
        if elapsed >= 1.0 {
            self.keepalive = (0, Instant::now());
        }
        Ok(())
    }

    fn beat(&mut self, number: usize) -> Result<()> {
        let is_up = |conn: &Conn| conn.phase == Phase::Open && !conn.is_mute;
        if self.conns.get(number).is_some_and(is_up) {
            self.send(number, br#"{"type":"ping"}"#)?;
        }
        Ok(())
    }
}
