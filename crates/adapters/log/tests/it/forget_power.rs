//! The power goes at every step of forgetting: the log begins where it did or later, without holes.

use klatch_log::disk::sim::SimDisk;
use klatch_log::{EmbeddedLog, LogConfig};
use klatch_ports::log::{Append, EventAppender, Expected, Key, Kind, LogReader, NewRecord, Record};
use klatch_ports::{Offset, Partition, StreamId};
use klatch_testkit::ManualClock;
use smallvec::smallvec;

use crate::rig::{all, all_after, fill, open, segments, small};

const STREAM: StreamId = StreamId::Messages;
const HERE: Partition = Partition(0);
/// Calls that change something which may come before the power goes; forgetting makes fewer.
const CALLS: u64 = 60;

/// Records of the system between those of rooms.
async fn fill_with_system(log: &EmbeddedLog) {
    for n in 0..4_u8 {
        fill(log, 90).await;
        let record = NewRecord { kind: Kind::System, body: vec![n; 30].into() };
        let append = Append {
            stream: StreamId::System,
            key: Key(7),
            expected: Expected::Any,
            records: smallvec![record],
        };
        log.append(append).await.unwrap();
    }
}

/// Without an idle mark of its own, so that the same calls come in the same order.
fn config() -> LogConfig {
    LogConfig { consumer_save: std::time::Duration::from_hours(1), ..small() }
}

struct Before {
    records: Vec<Record>,
    system: Vec<Record>,
    start: Offset,
}

async fn check(log: &EmbeddedLog, before: &Before) -> Offset {
    let start = log.start(STREAM, HERE).await.unwrap();
    assert!(start >= before.start);
    let kept = before.records.iter().filter(|record| record.offset > start);
    let found = all_after(log, STREAM, start).await;
    assert!(found.iter().eq(kept), "from {start} on");
    assert_eq!(all(log, StreamId::System).await, before.system);
    for key in 0..7 {
        let newest = found.iter().rev().find(|record| record.key == Key(key));
        let head = log.head(STREAM, Key(key)).await.unwrap();
        assert_eq!(head, newest.map(|record| record.offset), "head of {key}");
    }
    let newest = before.system.last().map(|record| record.offset);
    assert_eq!(log.head(StreamId::System, Key(7)).await.unwrap(), newest);
    start
}

#[tokio::test]
async fn a_power_cut_at_any_step_of_forgetting_leaves_a_log_without_holes() {
    let (mut began_anew, mut stood, mut between) = (0, 0, 0);
    for calls in 0..CALLS {
        let sim = SimDisk::new(calls);
        let clock = ManualClock::default();
        let log = open(sim.disk(), config(), &clock).unwrap();
        fill_with_system(&log).await;
        let files = segments(&sim).len();
        let mut before = Before {
            records: all(&log, STREAM).await,
            system: all(&log, StreamId::System).await,
            start: Offset::ZERO,
        };
        // Twice, so that what is kept is added to as well.
        for goal in [Offset(150), Offset(330)] {
            log.close();
            drop(open(sim.disk(), config(), &clock).unwrap());
            let log = open(sim.disk(), config(), &clock).unwrap();
            let cuts = sim.power_cuts();
            sim.power_cut_after(calls);
            let forgotten = log.forget_before(goal);
            if sim.power_cuts() == cuts {
                before.start = forgotten.unwrap();
                sim.power_cut();
            }
            drop(log);
            let log = open(sim.disk(), config(), &clock).unwrap();
            let start = check(&log, &before).await;
            stood += u32::from(start == before.start && start == Offset::ZERO);
            began_anew += u32::from(start > Offset::ZERO);
            between += u32::from(segments(&sim).len() < files && start < Offset(130));
            before.start = start;
        }
    }
    assert!(stood > 5 && began_anew > 20 && between > 5, "{stood} {began_anew} {between}");
}

#[tokio::test]
async fn what_a_forgetting_could_not_remove_leaves_no_hole_when_it_is_tried_again() {
    let mut failed = 0;
    for syncs in 0..24 {
        for calls in [0, 1, 3, 6, 10, 15, CALLS] {
            let sim = SimDisk::new(100 * syncs + calls);
            let clock = ManualClock::default();
            let log = open(sim.disk(), config(), &clock).unwrap();
            fill_with_system(&log).await;
            let mut before = Before {
                records: all(&log, STREAM).await,
                system: all(&log, StreamId::System).await,
                start: Offset::ZERO,
            };
            sim.fail_syncs_after(syncs);
            failed += u32::from(log.forget_before(Offset(150)).is_err());
            sim.mend();
            let cuts = sim.power_cuts();
            sim.power_cut_after(calls);
            let forgotten = log.forget_before(Offset(330));
            if sim.power_cuts() == cuts {
                before.start = forgotten.unwrap();
                sim.power_cut();
            }
            drop(log);
            let log = open(sim.disk(), config(), &clock)
                .unwrap_or_else(|error| panic!("{syncs} syncs, {calls} calls: {error}"));
            check(&log, &before).await;
        }
    }
    assert!(failed > 30, "{failed}");
}
