use klatch_ports::log::Expected;
use smallvec::SmallVec;

use super::*;

fn append(stream: StreamId, bodies: &[&[u8]]) -> Append {
    let record = |body: &&[u8]| NewRecord { kind: Kind::Edit, body: Bytes::copy_from_slice(body) };
    let records: SmallVec<_> = bodies.iter().map(record).collect();
    Append { stream, key: Key(0x1234 << 90 | 7), expected: Expected::Any, records }
}

fn sample() -> Vec<u8> {
    let mut encoder = Encoder::default();
    encoder.begin();
    for append in [
        append(StreamId::Messages, &[b"one", b"", b"three is longer than eight"]),
        append(StreamId::System, &[&[7; 1000]]),
    ] {
        let before = encoder.len();
        encoder.push(&append);
        assert_eq!(encoder.len() - before, encoded_len(&append));
    }
    encoder.finish(41, Timestamp(99), 40, 0xabcd).to_vec()
}

fn read(bytes: &[u8]) -> Option<Result<Vec<Record>, Damage>> {
    let header = Header::read(bytes)?;
    let mut records = Vec::new();
    let body = Bytes::copy_from_slice(bytes.get(HEADER..header.used())?);
    Some(decode(&header, &body, &mut records).map(|()| records))
}

#[test]
fn a_batch_reads_back_as_it_was_written() {
    let bytes = sample();
    assert_eq!(bytes.len() % SECTOR, 0);
    let header = Header::read(&bytes).unwrap();
    assert_eq!((header.base, header.count, header.last()), (41, 4, 44));
    assert_eq!((header.durable, header.stamp, header.time), (40, 0xabcd, Timestamp(99)));
    assert_eq!(header.span(), bytes.len());
    let records = read(&bytes).unwrap().unwrap();
    let bodies: Vec<_> = records.iter().map(|record| record.body.len()).collect();
    assert_eq!(bodies, [3, 0, 26, 1000]);
    assert_eq!(records[0].body, "one");
    for (record, offset) in records.iter().zip(41..) {
        assert_eq!(record.offset, Offset(offset));
        assert_eq!((record.key, record.kind), (Key(0x1234 << 90 | 7), Kind::Edit));
        assert_eq!(record.appended_at, Timestamp(99));
    }
    assert_eq!((records[2].home, records[3].home), (StreamId::Messages, StreamId::System));
    let stored: Vec<_> = Records::new(&header, &bytes[HEADER..])
        .map(|stored| stored.unwrap().last_of_append)
        .collect();
    assert_eq!(stored, [false, false, true, true]);
}

#[test]
fn a_mark_of_the_end_is_a_batch_without_records() {
    let mut encoder = Encoder::default();
    encoder.begin();
    let bytes = encoder.finish(8, Timestamp(1), 7, 3).to_vec();
    assert_eq!(bytes.len(), SECTOR);
    let header = Header::read(&bytes).unwrap();
    assert_eq!((header.base, header.count, header.last(), header.durable), (8, 0, 7, 7));
}

#[test]
fn an_encoder_can_be_used_again() {
    let mut encoder = Encoder::default();
    encoder.begin();
    encoder.push(&append(StreamId::Meta, &[&vec![1; 6_000_000]]));
    encoder.finish(1, Timestamp(1), 0, 3);
    encoder.begin();
    encoder.push(&append(StreamId::Meta, &[b"x"]));
    let records = read(encoder.finish(2, Timestamp(1), 1, 3)).unwrap().unwrap();
    assert_eq!(records.len(), 1);
}

#[test]
fn no_flipped_bit_changes_what_is_read() {
    let bytes = sample();
    let expected = read(&bytes).unwrap().unwrap();
    for byte in 0..bytes.len() {
        for bit in [0, 3, 7] {
            let mut damaged = bytes.clone();
            damaged[byte] ^= 1 << bit;
            match read(&damaged) {
                None | Some(Err(_)) => {}
                // Only zeros between records and after the last one may go unnoticed.
                Some(Ok(records)) => {
                    assert_eq!(records, expected, "byte {byte}");
                    assert_eq!(bytes[byte], 0, "byte {byte}");
                }
            }
        }
    }
}

proptest::proptest! {
    #[test]
    fn arbitrary_bytes_never_panic(bytes: Vec<u8>, cut in 0usize..1200) {
        let _ = read(&bytes);
        let mut damaged = sample();
        for (to, from) in damaged.iter_mut().skip(cut).zip(&bytes) {
            *to = *from;
        }
        let _ = read(&damaged);
    }
}
