//! What lies in the log and goes over the bus.

use bytes::Bytes;
use klatch_protocol::event::{decode, encode};
use klatch_protocol::inbox::InboxFrame;

const BATCH_HEADER: usize = 64;
const RECORD_HEADER: usize = 32;

/// Any bytes as the body of a record and as a frame between fan-out and realtime. Promise: what is
/// read is written so that it reads the same.
pub fn events(data: &[u8]) {
    let bytes = Bytes::copy_from_slice(data);
    if let Ok(event) = decode(bytes.clone()) {
        let again = decode(encode(&event).body);
        assert_eq!(again.ok(), Some(event), "an event reads differently once written");
    }
    if let Ok(frame) = InboxFrame::decode(bytes) {
        assert_eq!(InboxFrame::decode(frame.encode()).ok(), Some(frame));
    }
}

/// Any bytes as a batch of the log, as they are and with checksums that fit: damage that a
/// checksum does not show. Promise: it is read or refused.
pub fn records(data: &[u8]) {
    klatch_log::read_batch(data);
    klatch_log::read_batch(&with_checksums(data));
}

/// The same bytes, as far as they have the shape of a batch, with checksums that fit.
fn with_checksums(data: &[u8]) -> Vec<u8> {
    let mut bytes = data.to_vec();
    bytes.resize(bytes.len().max(BATCH_HEADER), 0);
    if let Some(magic) = bytes.first_chunk_mut::<4>() {
        *magic = *b"KLBT";
    }
    // A body that ends where the bytes end; otherwise little is ever read.
    let body = u32::try_from(bytes.len() - BATCH_HEADER).unwrap_or(0);
    put(&mut bytes, 8, body);
    let header = bytes.get(8..BATCH_HEADER).map_or(0, crc32c::crc32c);
    put(&mut bytes, 4, header);
    let mut at = BATCH_HEADER;
    while let Some(length) = bytes.get(at..).and_then(|rest| rest.first_chunk::<4>()) {
        let length = usize::try_from(u32::from_le_bytes(*length)).unwrap_or(usize::MAX);
        let end = at.saturating_add(RECORD_HEADER).saturating_add(length);
        let Some(record) = bytes.get(at..end) else { break };
        let (before, after) = record.split_at(4);
        let after = after.get(4..).unwrap_or_default();
        let crc = crc32c::crc32c_append(crc32c::crc32c(before), after);
        put(&mut bytes, at + 4, crc);
        at = end.next_multiple_of(8);
    }
    bytes
}

fn put(bytes: &mut [u8], at: usize, number: u32) {
    if let Some(place) = bytes.get_mut(at..at + 4) {
        place.copy_from_slice(&number.to_le_bytes());
    }
}
