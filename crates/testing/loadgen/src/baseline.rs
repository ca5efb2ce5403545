//! The limit of the machine: a bare epoll writer that sends frames of the same size to the same
//! sockets and does nothing else, in a process of its own.

use std::collections::HashMap;
use std::io::Write;
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::os::fd::{AsFd, OwnedFd};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};
use rustix::buffer::spare_capacity;
use rustix::event::{PollFd, PollFlags, epoll, poll};
use rustix::io::Errno;
use rustix::net::{RecvFlags, SendFlags};
use rustix::time::Timespec;

use crate::engine::ready;
use crate::handshake::{self, Answer};

/// The group number that says: this connection commands.
const CONTROL: u32 = u32::MAX;
/// A writer that nobody stops ends by itself.
const LIFETIME: Duration = Duration::from_mins(15);
const LISTENER: u64 = u64::MAX;
/// Each greeting and each command: two numbers of four bytes.
const WORDS: usize = 8;

struct Writer {
    epoll: OwnedFd,
    /// Those that ended give their descriptor back.
    conns: Vec<Option<OwnedFd>>,
    groups: HashMap<u32, Vec<usize>>,
    control: Option<usize>,
    frame_length: usize,
    frames: Vec<u8>,
    /// The start of a greeting or command whose rest has not come.
    partial: HashMap<usize, Vec<u8>>,
    /// The time of the start: tokens live longer than any run.
    unix_seconds: u64,
    done: bool,
}

/// Runs the bare writer until its commanding connection ends, at most 15 minutes. Writes
/// `listening <address>` as a line to `out` first. A connection that asks for a WebSocket gets one,
/// if its token is good, with one frame of greeting. To be called by a hidden argument of the
/// executable that [`crate::Args::baseline_argv`] names.
///
/// # Errors
/// The kernel's.
pub fn baseline_server(unix_seconds: u64, out: &mut dyn Write) -> Result<()> {
    crate::machine::raise_file_limit();
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
    rustix::net::listen(&listener, 4096)?;
    listener.set_nonblocking(true)?;
    writeln!(out, "listening {}", listener.local_addr()?)?;
    out.flush()?;
    let epoll = epoll::create(epoll::CreateFlags::CLOEXEC)?;
    epoll::add(&epoll, &listener, epoll::EventData::new_u64(LISTENER), epoll::EventFlags::IN)?;
    let mut writer = Writer {
        epoll,
        conns: Vec::new(),
        groups: HashMap::new(),
        control: None,
        frame_length: 0,
        frames: Vec::new(),
        partial: HashMap::new(),
        unix_seconds,
        done: false,
    };
    let deadline = Instant::now() + LIFETIME;
    let mut events = Vec::with_capacity(512);
    let limit = Timespec { tv_sec: 1, tv_nsec: 0 };
    while !writer.done && Instant::now() < deadline {
        events.clear();
        match epoll::wait(&writer.epoll, spare_capacity(&mut events), Some(&limit)) {
            Ok(_) | Err(Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
        for event in &events {
            match event.data.u64() {
                LISTENER => writer.accept(&listener)?,
                number => writer.read(usize::try_from(number)?)?,
            }
        }
    }
    Ok(())
}

impl Writer {
    fn accept(&mut self, listener: &TcpListener) -> Result<()> {
        loop {
            match listener.accept() {
                Ok((stream, _)) => {
                    stream.set_nonblocking(true)?;
                    stream.set_nodelay(true)?;
                    let data = epoll::EventData::new_u64(self.conns.len() as u64);
                    epoll::add(&self.epoll, &stream, data, epoll::EventFlags::IN)?;
                    self.conns.push(Some(stream.into()));
                }
                Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => return Ok(()),
                Err(error) => return Err(error.into()),
            }
        }
    }

    fn read(&mut self, number: usize) -> Result<()> {
        let Some(Some(fd)) = self.conns.get(number) else { return Ok(()) };
        let mut buffer = [0_u8; 4096];
        let length = match rustix::net::recv(fd, &mut buffer[..], RecvFlags::empty()) {
            Ok((length, _)) => length,
            Err(Errno::AGAIN | Errno::INTR) => return Ok(()),
            Err(_) => 0,
        };
        if length == 0 {
            self.done |= self.control == Some(number);
            if let Some(ended) = self.conns.get_mut(number) {
                *ended = None;
            }
            return Ok(());
        }
        let mut bytes = self.partial.remove(&number).unwrap_or_default();
        bytes.extend_from_slice(buffer.get(..length).unwrap_or_default());
        if handshake::is_request(&bytes) {
            return self.upgrade(number, bytes);
        }
        let mut rest = bytes.as_slice();
        while let Some((words, after)) = rest.split_first_chunk::<WORDS>() {
            let words = u64::from_be_bytes(*words);
            #[expect(clippy::cast_possible_truncation, reason = "the lower of two words")]
            self.obey(number, (words >> 32) as u32, words as u32)?;
            rest = after;
        }
        if !rest.is_empty() {
            self.partial.insert(number, rest.to_vec());
        }
        Ok(())
    }

    fn upgrade(&mut self, number: usize, request: Vec<u8>) -> Result<()> {
        let Some(Some(fd)) = self.conns.get(number) else { return Ok(()) };
        match handshake::answer(&request, self.unix_seconds) {
            Answer::Wait => {
                self.partial.insert(number, request);
                Ok(())
            }
            Answer::Welcome(bytes) => {
                // One that went away meanwhile is told by its end.
                let _ = send_all(fd, &bytes);
                Ok(())
            }
            Answer::Refuse => bail!("an upgrade that is none, or a bad token"),
        }
    }

    fn obey(&mut self, number: usize, one: u32, two: u32) -> Result<()> {
        if self.control != Some(number) {
            if one == CONTROL {
                self.control = Some(number);
                self.frame_length = two as usize;
            } else {
                self.groups.entry(one).or_default().push(number);
            }
            return Ok(());
        }
        let length = self.frame_length * two as usize;
        if self.frames.len() < length {
            self.frames.resize(length, b'x');
        }
        let frames = self.frames.get(..length).unwrap_or_default();
        for member in self.groups.get(&one).into_iter().flatten() {
            if let Some(Some(fd)) = self.conns.get(*member) {
                send_all(fd, frames)?;
            }
        }
        Ok(())
    }
}

fn send_all(fd: &OwnedFd, mut bytes: &[u8]) -> Result<()> {
    while !bytes.is_empty() {
        match rustix::net::send(fd, bytes, SendFlags::NOSIGNAL) {
            Ok(length) => bytes = bytes.get(length..).unwrap_or_default(),
            Err(Errno::AGAIN) => {
                let limit = Timespec { tv_sec: 5, tv_nsec: 0 };
                let ready = poll(&mut [PollFd::new(fd, PollFlags::OUT)], Some(&limit))?;
                ensure!(ready > 0, "a reader that does not read");
            }
            Err(Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(())
}

/// The reader's side: groups of sockets, counted in bytes.
pub(crate) struct BareClient {
    control: TcpStream,
    epoll: OwnedFd,
    fds: Vec<(OwnedFd, u32)>,
    frame_length: u64,
    /// Bytes that each group is still to get.
    due: Vec<u64>,
    group_size: u64,
    buffer: Vec<u8>,
    /// As that of an [`Engine`](crate::engine::Engine).
    pub(crate) is_awake: bool,
}

impl BareClient {
    /// Connects `groups` groups of `group_size` sockets.
    pub(crate) fn connect(
        server: SocketAddr,
        groups: u32,
        group_size: u32,
        frame_length: u32,
    ) -> Result<Self> {
        let epoll = epoll::create(epoll::CreateFlags::CLOEXEC)?;
        let mut fds = Vec::new();
        for group in 0..groups {
            for _ in 0..group_size {
                let fd = crate::engine::dial(server, crate::engine::Dial::Wait)?;
                rustix::net::send(&fd, &words(group, 0), SendFlags::NOSIGNAL)?;
                let data = epoll::EventData::new_u64(fds.len() as u64);
                epoll::add(&epoll, &fd, data, epoll::EventFlags::IN)?;
                fds.push((fd, group));
            }
        }
        // Greetings on other sockets may be read after the first command: give them a moment.
        std::thread::sleep(Duration::from_millis(200));
        let mut control = TcpStream::connect(server)?;
        control.set_nodelay(true)?;
        control.write_all(&words(CONTROL, frame_length))?;
        Ok(Self {
            control,
            epoll,
            fds,
            frame_length: u64::from(frame_length),
            due: vec![0; groups as usize],
            group_size: u64::from(group_size),
            buffer: vec![0; 256 << 10],
            is_awake: false,
        })
    }

    /// Has `frames` frames sent to each socket of a group, in one write each.
    pub(crate) fn command(&mut self, group: u32, frames: u32) -> Result<()> {
        self.control.write_all(&words(group, frames))?;
        let due = self.due.get_mut(group as usize).context("no such group")?;
        *due += self.frame_length * u64::from(frames) * self.group_size;
        Ok(())
    }

    /// Reads until some group has got all it is due, and tells which.
    ///
    /// # Errors
    /// Nothing came for ten seconds.
    pub(crate) fn served(&mut self) -> Result<Vec<u32>> {
        let mut events = Vec::with_capacity(512);
        let mut served = Vec::new();
        while served.is_empty() {
            ready(&self.epoll, &mut events, Duration::from_secs(10), self.is_awake)?;
            ensure!(!events.is_empty(), "the bare writer sent nothing for ten seconds");
            for event in &events {
                let Some((fd, group)) = self.fds.get(usize::try_from(event.data.u64())?) else {
                    continue;
                };
                let (length, _) =
                    rustix::net::recv(fd.as_fd(), &mut self.buffer[..], RecvFlags::empty())?;
                ensure!(length > 0, "the bare writer ended");
                let due = self.due.get_mut(*group as usize).context("no such group")?;
                *due = due.checked_sub(length as u64).context("more bytes than asked for")?;
                if *due == 0 {
                    served.push(*group);
                }
            }
        }
        Ok(served)
    }
}

fn words(one: u32, two: u32) -> [u8; WORDS] {
    (u64::from(one) << 32 | u64::from(two)).to_be_bytes()
}
