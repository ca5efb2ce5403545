//! The bytes of a batch: what one sync makes durable.
//!
//! ```text
//! batch  = header (64 bytes), records, zeros up to the next multiple of 512 bytes
//! header = magic u32 | crc u32 (of what follows, 56 bytes) | body bytes u32 | records u32
//!        | base offset u64 | append time u64 (ms) | durable through u64 | stamp u32 | zero (20)
//! record = body length u32 | crc u32 (of all but itself) | stream u8 | kind u8 | flags u8
//!        | zero (5) | key u128 | body | zeros up to the next multiple of 8 bytes
//! ```
//!
//! All numbers are little-endian. Batches begin at multiples of 512 bytes, so that a sector that
//! was synced is never written again. The stamp ties a batch to its file: a block of another file
//! or another life of the disk is not taken for one of this.

use bytes::Bytes;
use klatch_domain::Timestamp;
use klatch_ports::log::{Append, Key, Kind, NewRecord, Record};
use klatch_ports::{Offset, StreamId};

/// Batches begin at multiples of this; what disks write as one.
pub(super) const SECTOR: usize = 512;
pub(super) const HEADER: usize = 64;
const RECORD_HEADER: usize = 32;
const ALIGN: usize = 8;
const MAGIC: u32 = u32::from_le_bytes(*b"KLBT");
/// This record is the last of its append.
const LAST_OF_APPEND: u8 = 1;

/// The number of a stream in files; frozen.
pub(super) fn stream_number(stream: StreamId) -> u8 {
    match stream {
        StreamId::Messages => 1,
        StreamId::Meta => 2,
        StreamId::Notifications => 3,
        StreamId::Webhooks => 4,
        StreamId::System => 5,
    }
}

pub(super) fn stream_of(number: u8) -> Option<StreamId> {
    StreamId::ALL.into_iter().find(|stream| stream_number(*stream) == number)
}

/// What a batch's header says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Header {
    /// Bytes of the records.
    pub(super) body: usize,
    /// 0 marks the end of what was durable when it was written.
    pub(super) count: u32,
    /// Offset of the first record; of the next one to come when there is none.
    pub(super) base: u64,
    pub(super) time: Timestamp,
    /// The offset up to which everything was synced before this was written.
    pub(super) durable: u64,
    pub(super) stamp: u32,
}

impl Header {
    /// Offset of the last record; the one before `base` when there is none.
    pub(super) fn last(&self) -> u64 {
        self.base + u64::from(self.count) - 1
    }

    /// Bytes up to where the next batch begins.
    pub(super) fn span(&self) -> usize {
        (HEADER + self.body).next_multiple_of(SECTOR)
    }

    /// Bytes that mean something.
    pub(super) fn used(&self) -> usize {
        HEADER + self.body
    }

    fn write(&self, to: &mut [u8]) {
        let mut bytes = [0; HEADER];
        let mut fields = Fields { bytes: &mut bytes, at: 8 };
        fields.put(&u32::try_from(self.body).unwrap_or(u32::MAX).to_le_bytes());
        fields.put(&self.count.to_le_bytes());
        fields.put(&self.base.to_le_bytes());
        fields.put(&self.time.0.to_le_bytes());
        fields.put(&self.durable.to_le_bytes());
        fields.put(&self.stamp.to_le_bytes());
        let crc = crc32c::crc32c(bytes.get(8..).unwrap_or(&[]));
        let mut fields = Fields { bytes: &mut bytes, at: 0 };
        fields.put(&MAGIC.to_le_bytes());
        fields.put(&crc.to_le_bytes());
        for (to, from) in to.iter_mut().zip(bytes) {
            *to = from;
        }
    }

    /// Reads a header; `None` when these bytes are none.
    pub(super) fn read(bytes: &[u8]) -> Option<Self> {
        let bytes = bytes.get(..HEADER)?;
        if u32_at(bytes, 0)? != MAGIC || u32_at(bytes, 4)? != crc32c::crc32c(bytes.get(8..)?) {
            return None;
        }
        let header = Self {
            body: usize::try_from(u32_at(bytes, 8)?).ok()?,
            count: u32_at(bytes, 12)?,
            base: u64_at(bytes, 16)?,
            time: Timestamp(u64_at(bytes, 24)?),
            durable: u64_at(bytes, 32)?,
            stamp: u32_at(bytes, 40)?,
        };
        // Numbers that a writer never writes, and that would overflow what is computed from them.
        let sound = header.base > 0
            && header.base < u64::MAX / 2
            && header.durable < header.base
            && header.body >= RECORD_HEADER * usize::try_from(header.count).ok()?
            && (header.count > 0 || header.body == 0);
        sound.then_some(header)
    }
}

struct Fields<'a> {
    bytes: &'a mut [u8],
    at: usize,
}

impl Fields<'_> {
    fn put(&mut self, field: &[u8]) {
        let end = self.at + field.len();
        if let Some(to) = self.bytes.get_mut(self.at..end) {
            to.copy_from_slice(field);
        }
        self.at = end;
    }
}

pub(super) fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    bytes.get(at..at + 4)?.try_into().ok().map(u32::from_le_bytes)
}

pub(super) fn u64_at(bytes: &[u8], at: usize) -> Option<u64> {
    bytes.get(at..at + 8)?.try_into().ok().map(u64::from_le_bytes)
}

fn u128_at(bytes: &[u8], at: usize) -> Option<u128> {
    bytes.get(at..at + 16)?.try_into().ok().map(u128::from_le_bytes)
}

/// Bytes that an append takes in a batch.
pub(super) fn encoded_len(append: &Append) -> usize {
    let record = |record: &NewRecord| (RECORD_HEADER + record.body.len()).next_multiple_of(ALIGN);
    append.records.iter().map(record).sum()
}

/// Makes the bytes of a batch; used again and again, so that nothing is allocated for each.
#[derive(Debug, Default)]
pub(super) struct Encoder {
    bytes: Vec<u8>,
    count: u32,
}

impl Encoder {
    /// Forgets the last batch.
    pub(super) fn begin(&mut self) {
        // A batch as large as the limits allow is rare: give its memory back.
        if self.bytes.capacity() > 4 * 1024 * 1024 {
            self.bytes = Vec::new();
        }
        self.bytes.clear();
        self.bytes.resize(HEADER, 0);
        self.count = 0;
    }

    pub(super) fn push(&mut self, append: &Append) {
        let mut left = append.records.len();
        for record in &append.records {
            left -= 1;
            let flags = if left == 0 { LAST_OF_APPEND } else { 0 };
            self.push_record(append, record, flags);
        }
    }

    fn push_record(&mut self, append: &Append, record: &NewRecord, flags: u8) {
        let mut head = [0; RECORD_HEADER];
        let len = u32::try_from(record.body.len()).unwrap_or(u32::MAX);
        let mut fields = Fields { bytes: &mut head, at: 0 };
        fields.put(&len.to_le_bytes());
        fields.put(&[0; 4]);
        fields.put(&[stream_number(append.stream), record.kind as u8, flags, 0]);
        fields.put(&[0; 4]);
        fields.put(&append.key.0.to_le_bytes());
        let crc = record_crc(&head, &record.body);
        Fields { bytes: &mut head, at: 4 }.put(&crc.to_le_bytes());
        self.bytes.extend_from_slice(&head);
        self.bytes.extend_from_slice(&record.body);
        self.bytes.resize(self.bytes.len().next_multiple_of(ALIGN), 0);
        self.count += 1;
    }

    pub(super) fn count(&self) -> u32 {
        self.count
    }

    /// Bytes so far, the header included.
    pub(super) fn len(&self) -> usize {
        self.bytes.len()
    }

    /// The whole batch, a multiple of 512 bytes.
    pub(super) fn finish(&mut self, base: u64, time: Timestamp, durable: u64, stamp: u32) -> &[u8] {
        let body = self.bytes.len() - HEADER;
        let header = Header { body, count: self.count, base, time, durable, stamp };
        header.write(&mut self.bytes);
        self.bytes.resize(header.span(), 0);
        &self.bytes
    }
}

fn record_crc(head: &[u8], body: &[u8]) -> u32 {
    let crc = crc32c::crc32c(head.get(..4).unwrap_or(&[]));
    let crc = crc32c::crc32c_append(crc, head.get(8..RECORD_HEADER).unwrap_or(&[]));
    crc32c::crc32c_append(crc, body)
}

/// A record inside a batch's bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Stored {
    pub(super) stream: StreamId,
    pub(super) kind: Kind,
    pub(super) key: Key,
    pub(super) last_of_append: bool,
    /// Where the body lies, counted from where the records begin.
    pub(super) body: (usize, usize),
}

/// Where and how records contradict themselves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Damage {
    /// Counted from where the records begin.
    pub(super) at: usize,
    pub(super) what: &'static str,
}

/// The records of a batch, checked one by one; ends after the first damage.
#[derive(Debug)]
pub(super) struct Records<'a> {
    body: &'a [u8],
    at: usize,
    left: u32,
}

impl<'a> Records<'a> {
    /// `body` begins after the batch's header.
    pub(super) fn new(header: &Header, body: &'a [u8]) -> Self {
        Self { body: body.get(..header.body).unwrap_or(body), at: 0, left: header.count }
    }

    fn read(&self) -> Result<(Stored, usize), &'static str> {
        let rest = self.body.get(self.at..).unwrap_or(&[]);
        let head = rest.get(..RECORD_HEADER).ok_or("the record's header is cut off")?;
        let field = |at| u32_at(head, at).unwrap_or_default();
        let len = usize::try_from(field(0)).unwrap_or(usize::MAX);
        let end = RECORD_HEADER.saturating_add(len);
        let body = rest.get(RECORD_HEADER..end).ok_or("the record's body is cut off")?;
        if field(4) != record_crc(head, body) {
            return Err("the record's checksum does not match");
        }
        let number = |at: usize| head.get(at).copied().unwrap_or_default();
        let stream = stream_of(number(8)).ok_or("the record's stream is unknown")?;
        let kind = Kind::from_number(number(9)).ok_or("the record's kind is unknown")?;
        let start = self.at + RECORD_HEADER;
        let stored = Stored {
            stream,
            kind,
            key: Key(u128_at(head, 16).unwrap_or_default()),
            last_of_append: number(10) & LAST_OF_APPEND != 0,
            body: (start, start + len),
        };
        Ok((stored, end.next_multiple_of(ALIGN)))
    }
}

impl Iterator for Records<'_> {
    type Item = Result<Stored, Damage>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.left == 0 {
            if self.at >= self.body.len() {
                return None;
            }
            let damage = Damage { at: self.at, what: "the batch is longer than its records" };
            self.at = self.body.len();
            return Some(Err(damage));
        }
        match self.read() {
            Ok((stored, len)) => {
                self.at += len;
                self.left -= 1;
                Some(Ok(stored))
            }
            Err(what) => {
                let at = self.at;
                (self.left, self.at) = (0, self.body.len());
                Some(Err(Damage { at, what }))
            }
        }
    }
}

/// The records of a batch as the port has them; their bodies share `body`'s memory.
pub(super) fn decode(header: &Header, body: &Bytes, into: &mut Vec<Record>) -> Result<(), Damage> {
    for (offset, stored) in (header.base..).zip(Records::new(header, body)) {
        let stored = stored?;
        into.push(Record {
            offset: Offset(offset),
            home: stored.stream,
            key: stored.key,
            kind: stored.kind,
            appended_at: header.time,
            body: body.slice(stored.body.0..stored.body.1),
        });
    }
    Ok(())
}

#[cfg(test)]
mod tests;
