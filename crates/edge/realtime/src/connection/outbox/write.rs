//! Writing the queue to the socket, and what goes out when it is empty.

use std::collections::VecDeque;
use std::io::{self, ErrorKind, IoSlice};

use bytes::{Buf, Bytes};

use super::entry::Entry;
use super::{Outbox, Overfull, Passing, Phase};

/// Frames that one system call takes at most.
const SLICES: usize = 64;

/// The writing half of a socket that does not block.
pub(crate) trait Sink {
    /// Takes a part of `bytes`. What was taken goes out before all that is taken later, but may
    /// have to be sent by [`Sink::flush`].
    fn write(&self, bytes: &[u8]) -> io::Result<usize>;
    /// Takes a part of `slices`, in order.
    fn write_vectored(&self, slices: &[IoSlice<'_>]) -> io::Result<usize>;
    /// Sends what was taken. True: all of it is sent.
    fn flush(&self) -> io::Result<bool>;
    /// Whether something that was taken is not sent.
    fn has_unsent(&self) -> bool;
}

impl Outbox {
    /// Sends what has no place in any order: at once if nothing waits, else when nothing waits any
    /// more, unless a newer one of its kind comes before. True: someone must write it.
    pub(crate) fn push_passing(
        &mut self,
        what: Passing,
        frame: Bytes,
        cap: usize,
    ) -> Result<bool, Overfull> {
        if self.phase != Phase::Open {
            return Ok(false);
        }
        if self.queue.is_empty() && self.held().is_none() {
            if let Some(extra) = &mut self.extra {
                extra.forget_passing(what);
            }
            self.append(Entry::own(frame));
            return Ok(true);
        }
        let lags = self.waiting_bytes() + frame.len() > cap / 4;
        if lags && matches!(what, Passing::Typing(..)) {
            return Ok(false);
        }
        self.make_room(frame.len(), cap)?;
        self.extra.get_or_insert_default().pass(what, frame);
        Ok(false)
    }

    /// Writes what the socket takes. True: nothing waits any more.
    ///
    /// # Errors
    /// As the socket reports; the connection is over.
    pub(crate) fn flush(&mut self, stream: &impl Sink) -> io::Result<bool> {
        if !stream.flush()? {
            return Ok(false);
        }
        loop {
            if self.queue.is_empty() && !self.take_passing() {
                break;
            }
            match self.write_some(stream) {
                Ok(0) => return Err(ErrorKind::WriteZero.into()),
                Ok(count) => self.written(count),
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(false),
                Err(error) => return Err(error),
            }
        }
        if self.queue.capacity() > 0 {
            self.queue = VecDeque::new();
        }
        if let Some(extra) = &mut self.extra {
            extra.count_from = 0;
            self.drop_extra();
        }
        stream.flush()
    }

    /// Nothing waits: what passes may go. False: there is nothing.
    fn take_passing(&mut self) -> bool {
        let Some(extra) = &mut self.extra else { return false };
        if self.phase != Phase::Open || extra.held.is_some() {
            return false;
        }
        for frame in extra.take_passing() {
            self.append(Entry::own(frame));
        }
        !self.queue.is_empty()
    }

    fn write_some(&mut self, stream: &impl Sink) -> io::Result<usize> {
        if self.extra.as_ref().is_some_and(|extra| !extra.notices.is_empty()) {
            return self.write_with_notices(stream);
        }
        match self.queue.front() {
            Some(first) if self.queue.len() == 1 => stream.write(&first.frame),
            _ => write_all_of(stream, self.queue.iter().map(|entry| &entry.frame)),
        }
    }

    /// Makes the notices that are next. Those of which nothing was written stay as they were.
    fn write_with_notices(&mut self, stream: &impl Sink) -> io::Result<usize> {
        let Some(extra) = &mut self.extra else { return Ok(0) };
        let made = |entry: &Entry| match entry.event {
            Some(place) if entry.is_notice() => {
                let newest = extra.notices.get(&place.room).copied().unwrap_or(place);
                newest.notice()
            }
            _ => entry.frame.clone(),
        };
        let frames: Vec<Bytes> = self.queue.iter().take(SLICES).map(made).collect();
        let count = write_all_of(stream, frames.iter())?;
        let mut left = count;
        for (entry, frame) in self.queue.iter_mut().zip(frames) {
            if left == 0 {
                break;
            }
            left = left.saturating_sub(frame.len());
            if let Some(place) = entry.event.filter(|_| entry.is_notice()) {
                extra.notices.remove(&place.room);
                self.bytes = self.bytes.saturating_sub(entry.cost()) + frame.len();
                entry.frame = frame;
            }
        }
        Ok(count)
    }

    fn written(&mut self, mut count: usize) {
        self.bytes = self.bytes.saturating_sub(count);
        while let Some(entry) = self.queue.front_mut() {
            let first = &mut entry.frame;
            // A notice is empty until something of it is written.
            if count < first.len() || first.is_empty() {
                self.begun |= count > 0;
                first.advance(count);
                return;
            }
            count -= first.len();
            self.begun = false;
            self.queue.pop_front();
        }
    }
}

fn write_all_of<'a>(
    stream: &impl Sink,
    frames: impl Iterator<Item = &'a Bytes>,
) -> io::Result<usize> {
    let mut slices = [IoSlice::new(&[]); SLICES];
    let filled = slices.iter_mut().zip(frames).map(|(slice, frame)| {
        *slice = IoSlice::new(frame);
    });
    let count = filled.count();
    stream.write_vectored(slices.get(..count).unwrap_or_default())
}
