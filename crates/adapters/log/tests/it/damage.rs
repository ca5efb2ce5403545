//! Bits flip, files are cut short or go missing: refused loudly or mended, never served.

use klatch_log::disk::sim::SimDisk;
use klatch_log::{EmbeddedLog, LogConfig};
use klatch_ports::log::{EventAppender, Expected, Key, LogReader, Record};
use klatch_ports::{ErrorKind, Offset, Partition, StreamId};
use klatch_testkit::ManualClock;
use proptest::prelude::*;

use crate::rig::{all, fill, open, open_sim, refused, segments, send, small};

const STREAM: StreamId = StreamId::Messages;
const HERE: Partition = Partition(0);
const COUNT: u64 = 300;

/// A log of several segments that was closed in order, and what it holds.
async fn closed_log() -> (SimDisk, Vec<Record>) {
    let sim = SimDisk::new(1);
    let log = open_sim(&sim).unwrap();
    fill(&log, COUNT).await;
    let records = all(&log, STREAM).await;
    log.close();
    assert!(segments(&sim).len() > 4);
    (sim, records)
}

/// Reads every record by itself: the ones that can be read, and the complaints about the others.
async fn readable(log: &EmbeddedLog) -> (Vec<Record>, Vec<String>) {
    let end = log.end(STREAM, HERE).await.unwrap().0;
    let (mut records, mut complaints) = (Vec::new(), Vec::new());
    for offset in 1..=end {
        match log.record(STREAM, HERE, Offset(offset)).await {
            Ok(record) => records.push(record.expect("no record is missing without a word")),
            Err(error) => {
                assert_eq!(error.kind, ErrorKind::Corrupt);
                complaints.push(error.to_string());
            }
        }
    }
    assert_eq!(records.len() + complaints.len(), usize::try_from(end).unwrap());
    (records, complaints)
}

/// Where the data of a segment ends: behind it there are only zeros.
fn data_end(sim: &SimDisk, path: &str) -> usize {
    let bytes = sim.bytes(path).unwrap();
    bytes.iter().rposition(|byte| *byte != 0).unwrap() + 1
}

#[tokio::test]
async fn a_flipped_bit_in_an_old_segment_is_named_and_the_rest_stays_readable() {
    let (sim, records) = closed_log().await;
    let path = &segments(&sim)[1];
    let mut named = 0;
    for byte in (0..data_end(&sim, path)).step_by(307) {
        sim.flip_bit(path, byte, 2);
        match open_sim(&sim) {
            Ok(log) => {
                let (found, complaints) = readable(&log).await;
                assert!(found.iter().all(|record| records.contains(record)));
                assert!(complaints.iter().all(|words| words.contains(path.as_str())));
                assert!(found.len() * 2 > records.len(), "other segments are readable");
                assert_eq!(log.head(STREAM, Key(3)).await.unwrap().map(|o| o.0), Some(COUNT - 2));
                named += usize::from(!complaints.is_empty());
            }
            Err(error) => {
                assert_eq!(error.kind, ErrorKind::Corrupt);
                assert!(byte < 512, "only the file's header keeps a log from opening");
            }
        }
        sim.flip_bit(path, byte, 2);
    }
    assert!(named > 15);
}

#[tokio::test]
async fn a_flipped_bit_in_the_newest_segment_is_refused_and_changes_nothing() {
    let (sim, records) = closed_log().await;
    let path = segments(&sim).pop().unwrap();
    let mut named = 0;
    for byte in (0..data_end(&sim, &path)).step_by(29) {
        sim.flip_bit(&path, byte, 6);
        let before = sim.bytes(&path);
        match open_sim(&sim) {
            // Only padding, and the mark of the end itself, may be damaged without loss.
            Ok(log) => {
                assert_eq!(all(&log, STREAM).await, records, "byte {byte}");
                log.close();
            }
            Err(error) => {
                assert_eq!(error.kind, ErrorKind::Corrupt);
                assert!(error.to_string().contains(path.as_str()), "{error}");
                assert!(error.to_string().contains("byte "), "{error}");
                assert_eq!(sim.bytes(&path), before, "it was changed");
                named += 1;
                sim.flip_bit(&path, byte, 6);
            }
        }
    }
    assert!(named > 60);
}

#[tokio::test]
async fn damage_before_the_last_batch_is_not_taken_for_a_torn_write() {
    let sim = SimDisk::new(1);
    let never = LogConfig { idle_mark: std::time::Duration::from_hours(1), ..small() };
    let log = open(sim.disk(), never.clone(), &ManualClock::default()).unwrap();
    fill(&log, 20).await;
    let records = all(&log, STREAM).await;
    // The power goes, so the end is not marked: of the last batch nobody can tell.
    sim.power_cut();
    drop(log);
    let path = segments(&sim).pop().unwrap();
    let (whole, end) = (sim.bytes(&path).unwrap(), data_end(&sim, &path));
    let last_batch = (end - 1) / 512 * 512;
    let (mut refusals, mut cuts) = (0, 0);
    for byte in (512..end).step_by(31) {
        sim.flip_bit(&path, byte, 1);
        match open(sim.disk(), never.clone(), &ManualClock::default()) {
            Ok(log) => {
                let found = all(&log, STREAM).await;
                let cut = byte >= last_batch && found == records[..19];
                assert!(found == records || cut, "byte {byte}: {} records", found.len());
                cuts += u32::from(cut);
            }
            Err(error) => {
                assert_eq!(error.kind, ErrorKind::Corrupt);
                refusals += 1;
            }
        }
        sim.damage(&path, |bytes| bytes.clone_from(&whole));
    }
    assert!(refusals > 50 && cuts > 2, "{refusals} refused, {cuts} cut");
}

#[tokio::test]
async fn a_newest_segment_that_was_cut_short_is_refused() {
    let (sim, records) = closed_log().await;
    let path = segments(&sim).pop().unwrap();
    let whole = sim.bytes(&path).unwrap();
    let end = data_end(&sim, &path);
    for len in (0..whole.len()).rev().step_by(123) {
        sim.damage(&path, |bytes| *bytes = whole[..len].to_vec());
        match open_sim(&sim) {
            Ok(log) => {
                assert!(len >= end / 512 * 512, "{len} of {end} bytes");
                assert_eq!(all(&log, STREAM).await, records);
                log.close();
            }
            Err(error) => assert_eq!(error.kind, ErrorKind::Corrupt, "{len} bytes"),
        }
    }
}

#[tokio::test]
async fn an_old_segment_that_was_cut_short_is_named_and_the_rest_stays_readable() {
    let (sim, records) = closed_log().await;
    let path = segments(&sim)[2].clone();
    let whole = sim.bytes(&path).unwrap();
    for len in (0..data_end(&sim, &path)).step_by(997) {
        sim.damage(&path, |bytes| *bytes = whole[..len].to_vec());
        match open_sim(&sim) {
            Ok(log) => {
                let (found, complaints) = readable(&log).await;
                assert!(found.iter().all(|record| records.contains(record)));
                assert!(!complaints.is_empty());
                assert!(found.len() * 2 > records.len());
            }
            Err(error) => assert_eq!((error.kind, len < 512), (ErrorKind::Corrupt, true)),
        }
    }
}

#[tokio::test]
async fn a_missing_segment_is_refused() {
    let (sim, _) = closed_log().await;
    let path = segments(&sim)[2].clone();
    sim.disk().remove(&path).unwrap();
    let error = refused(open_sim(&sim));
    assert_eq!(error.kind, ErrorKind::Corrupt);
    assert!(error.to_string().contains("missing"), "{error}");
}

#[tokio::test]
async fn segments_without_their_epoch_are_refused() {
    let (sim, _) = closed_log().await;
    sim.disk().remove("log/epoch").unwrap();
    assert_eq!(refused(open_sim(&sim)).kind, ErrorKind::Corrupt);
}

#[tokio::test]
async fn a_log_that_lost_what_a_consumer_has_seen_is_refused() {
    use klatch_ports::log::EventConsumer;
    let sim = SimDisk::new(1);
    let log = open_sim(&sim).unwrap();
    fill(&log, 5).await;
    let early = sim.bytes(&segments(&sim)[0]).unwrap();
    fill(&log, 5).await;
    let mut consumer = log.open("worker", STREAM, HERE, Offset::ZERO).await.unwrap();
    consumer.fetch(100, std::time::Duration::ZERO).await.unwrap();
    log.close();
    sim.damage(&segments(&sim)[0], |bytes| *bytes = early);
    let error = refused(open_sim(&sim));
    assert_eq!(error.kind, ErrorKind::Corrupt);
    assert!(error.to_string().contains("worker"), "{error}");
}

/// What can be made anew, is.
#[tokio::test]
async fn missing_and_damaged_indexes_are_made_anew() {
    let (sim, records) = closed_log().await;
    let names: Vec<_> = sim.names("log").into_iter().filter(|n| !n.contains(".seg")).collect();
    let derived = names.iter().filter(|name| name.contains(".idx") || name.contains(".heads"));
    let derived: Vec<_> = derived.map(|name| format!("log/{name}")).collect();
    assert!(derived.len() > 3);
    for path in &derived {
        let len = sim.bytes(path).unwrap().len();
        for byte in std::iter::once(usize::MAX).chain((0..len).step_by(307)) {
            match byte {
                usize::MAX => sim.disk().remove(path).unwrap(),
                byte => sim.flip_bit(path, byte, 4),
            }
            let log = open_sim(&sim).unwrap();
            for key in 0..8 {
                let newest = records.iter().rfind(|record| record.key == Key(key));
                let newest = newest.map(|record| record.offset);
                let head = log.head(STREAM, Key(key)).await.unwrap();
                assert_eq!(head, newest, "{path}, byte {byte}, key {key}");
            }
            let at = records[150].offset;
            let found = log.record(STREAM, HERE, at).await.unwrap();
            assert_eq!(found.as_ref(), Some(&records[150]));
            log.close();
        }
    }
    assert_eq!(all(&open_sim(&sim).unwrap(), STREAM).await, records);
}

#[tokio::test]
async fn conditions_hold_when_the_table_of_heads_is_damaged() {
    let sim = SimDisk::new(1);
    let log = open_sim(&sim).unwrap();
    let first = log.append(send(77, Expected::Head(None), "old")).await.unwrap().last.offset;
    fill(&log, COUNT).await;
    log.close();
    for name in sim.names("log").iter().filter(|name| name.contains(".idx")) {
        sim.damage(&format!("log/{name}"), |bytes| {
            let len = bytes.len();
            bytes[len.saturating_sub(4096)..].iter_mut().for_each(|byte| *byte ^= 1);
        });
    }
    let log = open_sim(&sim).unwrap();
    assert!(log.append(send(77, Expected::Head(None), "x")).await.is_err());
    log.append(send(77, Expected::Head(Some(first)), "new")).await.unwrap();
}

/// A log with one batch in its only segment, as bytes.
fn one_batch() -> (SimDisk, String, Vec<u8>) {
    let sim = SimDisk::new(1);
    let log = open_sim(&sim).unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(fill(&log, 3));
    log.close();
    let path = segments(&sim)[0].clone();
    let bytes = sim.bytes(&path).unwrap();
    (sim, path, bytes)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 100, ..ProptestConfig::default() })]

    /// Whatever stands behind the last batch, what was acknowledged is there or refused.
    #[test]
    fn any_bytes_behind_the_data_leave_it_whole(
        tail in proptest::collection::vec(any::<u8>(), 0..3000),
        copied in any::<bool>(),
    ) {
        let (sim, path, bytes) = one_batch();
        let end = data_end(&sim, &path) / 512 * 512;
        sim.damage(&path, |file| {
            let tail = if copied { &bytes[512..512 + tail.len().min(1024)] } else { &tail[..] };
            for (to, from) in file.iter_mut().skip(end).zip(tail) {
                *to = *from;
            }
        });
        let log = open_sim(&sim).unwrap();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        prop_assert_eq!(runtime.block_on(all(&log, STREAM)).len(), 3);
    }

    /// Nor do any bytes anywhere make it panic or show other records.
    #[test]
    fn any_bytes_anywhere_are_refused_or_harmless(
        at in 0usize..3000,
        noise in proptest::collection::vec(any::<u8>(), 1..600),
    ) {
        let (sim, path, _) = one_batch();
        sim.damage(&path, |file| {
            for (to, from) in file.iter_mut().skip(at).zip(&noise) {
                *to = *from;
            }
        });
        match open_sim(&sim) {
            Err(error) => prop_assert_eq!(error.kind, ErrorKind::Corrupt),
            Ok(log) => {
                let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
                for record in runtime.block_on(all(&log, STREAM)) {
                    let words = String::from_utf8(record.body.to_vec()).unwrap();
                    let number = words.split(' ').next().unwrap().parse::<u64>().unwrap();
                    prop_assert_eq!(number, record.offset.0 - 1);
                }
            }
        }
    }
}
