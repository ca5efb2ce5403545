//! Reading: what is shown where, waiting, times.

use std::time::Duration;

use klatch_domain::Timestamp;
use klatch_ports::log::{Expected, Key, Kind};
use klatch_ports::{ErrorKind, Offset, Partition, StreamId};
use tokio::time::Instant;

use super::{
    GLIMPSE, Log, LogFixture, OTHER_ROOM, PATIENCE, ROOM, USER, all, append, bodies, everywhere,
    of, send,
};

fn partition_of_room(log: &dyn Log) -> Partition {
    log.partition_of(StreamId::Messages, ROOM)
}

/// Everything is at its beginning.
pub async fn an_empty_log_has_nothing_to_read(fixture: &impl LogFixture) {
    let log = fixture.log();
    for stream in StreamId::ALL {
        assert!(log.partitions(stream) >= 1);
        let partition = Partition(0);
        assert_eq!(log.end(stream, partition).await.unwrap(), Offset::ZERO);
        assert_eq!(log.start(stream, partition).await.unwrap(), Offset::ZERO);
        let batch = log.read(stream, partition, Offset::ZERO, 10).await.unwrap();
        assert_eq!((batch.records.len(), batch.through), (0, Offset::ZERO));
        assert_eq!(log.at_time(stream, partition, Timestamp(0)).await.unwrap(), Offset::ZERO);
        assert_eq!(log.record(stream, partition, Offset(1)).await.unwrap(), None);
    }
}

/// Once an append is completed, everybody sees all of it.
pub async fn what_was_completed_is_read_as_it_was_appended(fixture: &impl LogFixture) {
    let log = fixture.log();
    let partition = partition_of_room(log);
    for (n, kind) in [Kind::Room, Kind::Send, Kind::Edit].into_iter().enumerate() {
        let body = format!("body {n}");
        let one = of(StreamId::Messages, ROOM, Expected::Any, &[(kind, &body)]);
        let offset = append(log, one).await.last.offset;
        assert!(log.end(StreamId::Messages, partition).await.unwrap() >= offset);
        let before = Offset(offset.0 - 1);
        let batch = log.read(StreamId::Messages, partition, before, 10).await.unwrap();
        assert_eq!(bodies(&batch.records), [body.as_str()]);
        let record = &batch.records[0];
        assert_eq!(
            (record.offset, record.home, record.key, record.kind),
            (offset, StreamId::Messages, ROOM, kind),
        );
        assert!(batch.through >= offset);
    }
}

/// Any size of piece, any place to begin.
pub async fn reading_in_pieces_gives_the_same_as_reading_at_once(fixture: &impl LogFixture) {
    let log = fixture.log();
    let partition = partition_of_room(log);
    for n in 0..50u128 {
        append(log, send(if n % 3 == 0 { ROOM } else { Key(ROOM.0 + n) }, &n.to_string())).await;
    }
    let whole = all(log, StreamId::Messages, partition).await;
    for limit in [1, 2, 7, 49, 1000] {
        let (mut pieces, mut after) = (Vec::new(), Offset::ZERO);
        loop {
            let batch = log.read(StreamId::Messages, partition, after, limit).await.unwrap();
            assert!(batch.records.len() <= limit);
            let within = |offset: Offset| offset > after && offset <= batch.through;
            assert!(batch.records.iter().all(|record| within(record.offset)));
            if batch.through == after {
                break;
            }
            after = batch.through;
            pieces.extend(batch.records);
        }
        assert!(pieces == whole, "pieces of {limit}");
    }
    assert!(whole.is_sorted_by(|one, next| one.offset < next.offset));
    for record in &whole {
        let batch = log.read(StreamId::Messages, partition, record.offset, 1000).await.unwrap();
        assert!(batch.records.iter().all(|later| later.offset > record.offset));
    }
}

/// No error, and `through` stays.
pub async fn a_read_after_the_end_gives_nothing_yet(fixture: &impl LogFixture) {
    let log = fixture.log();
    append(log, send(ROOM, "x")).await;
    let partition = partition_of_room(log);
    let end = log.end(StreamId::Messages, partition).await.unwrap();
    for after in [end, Offset(end.0 + 1), Offset(end.0 + 1_000_000), Offset(u64::MAX)] {
        let batch = log.read(StreamId::Messages, partition, after, 10).await.unwrap();
        assert_eq!((batch.records.len(), batch.through), (0, after));
    }
}

/// The copy has the place, order and home of the original.
pub async fn meta_shows_the_room_and_member_events_of_messages(fixture: &impl LogFixture) {
    let log = fixture.log();
    let timeline = [(Kind::Room, "room"), (Kind::Send, "send"), (Kind::Member, "member")];
    append(log, of(StreamId::Messages, ROOM, Expected::Any, &timeline)).await;
    append(log, of(StreamId::Meta, USER, Expected::Any, &[(Kind::User, "user")])).await;
    append(log, send(ROOM, "send")).await;
    append(log, of(StreamId::Messages, ROOM, Expected::Any, &[(Kind::Member, "left")])).await;

    let messages = everywhere(log, StreamId::Messages).await;
    assert_eq!(bodies(&messages), ["room", "send", "member", "send", "left"]);
    let meta = everywhere(log, StreamId::Meta).await;
    let of_room: Vec<_> = meta.iter().filter(|record| record.key == ROOM).cloned().collect();
    assert_eq!(bodies(&of_room), ["room", "member", "left"]);
    assert!(of_room.iter().all(|record| record.home == StreamId::Messages));
    let own: Vec<_> = meta.iter().filter(|record| record.key == USER).cloned().collect();
    assert_eq!(bodies(&own), ["user"]);
    assert_eq!(own[0].home, StreamId::Meta);
}

/// Only Meta shows copies.
pub async fn other_streams_show_only_their_own_records(fixture: &impl LogFixture) {
    let log = fixture.log();
    for (stream, kind, body) in [
        (StreamId::Messages, Kind::Send, "m"),
        (StreamId::Notifications, Kind::Push, "n"),
        (StreamId::Webhooks, Kind::Hook, "w"),
        (StreamId::System, Kind::System, "s"),
        (StreamId::System, Kind::Member, "s2"),
    ] {
        append(log, of(stream, ROOM, Expected::Any, &[(kind, body)])).await;
    }
    for (stream, expected) in [
        (StreamId::Messages, vec!["m"]),
        (StreamId::Meta, vec![]),
        (StreamId::Notifications, vec!["n"]),
        (StreamId::Webhooks, vec!["w"]),
        (StreamId::System, vec!["s", "s2"]),
    ] {
        assert_eq!(bodies(&everywhere(log, stream).await), expected, "{stream:?}");
    }
}

/// Absent where the stream does not show it, and where nothing is.
pub async fn a_record_is_found_by_its_offset_in_streams_that_show_it(fixture: &impl LogFixture) {
    let log = fixture.log();
    let pair = [(Kind::Member, "joined"), (Kind::Send, "hello")];
    let appended = append(log, of(StreamId::Messages, ROOM, Expected::Any, &pair)).await;
    let partition = appended.first.partition;
    let found = log.record(StreamId::Messages, partition, appended.first.offset).await.unwrap();
    assert_eq!(found.map(|found| found.kind), Some(Kind::Member));
    let found = log.record(StreamId::Messages, partition, appended.last.offset).await.unwrap();
    assert_eq!(found.map(|found| found.kind), Some(Kind::Send));
    for offset in [Offset::ZERO, Offset(appended.last.offset.0 + 1), Offset(u64::MAX)] {
        assert_eq!(log.record(StreamId::Messages, partition, offset).await.unwrap(), None);
    }
    let hidden = log.record(StreamId::System, partition, appended.first.offset).await.unwrap();
    assert_eq!(hidden, None);
}

/// No time is lost on what is there already.
pub async fn wait_returns_at_once_when_something_is_there(fixture: &impl LogFixture) {
    let log = fixture.log();
    append(log, send(ROOM, "x")).await;
    let partition = partition_of_room(log);
    let wait = log.wait(StreamId::Messages, partition, Offset::ZERO, PATIENCE * 100);
    tokio::time::timeout(PATIENCE, wait).await.expect("in time").unwrap();
}

/// A waiting reader learns of the next record.
pub async fn wait_returns_when_something_arrives(fixture: &impl LogFixture) {
    let log = fixture.log();
    let partition = partition_of_room(log);
    let mut after = Offset::ZERO;
    for n in 0..20 {
        let wait = async {
            let wait = log.wait(StreamId::Messages, partition, after, PATIENCE * 100);
            tokio::time::timeout(PATIENCE, wait).await.expect("in time").unwrap();
            log.read(StreamId::Messages, partition, after, 10).await.unwrap()
        };
        let write = async {
            tokio::time::sleep(Duration::from_millis(n % 3)).await;
            append(log, send(ROOM, "x")).await
        };
        let (batch, appended) = futures::join!(wait, write);
        assert_eq!(batch.records.len(), 1);
        after = appended.last.offset;
    }
}

/// Waiting ends without a record too.
pub async fn wait_gives_up_after_its_time(fixture: &impl LogFixture) {
    let log = fixture.log();
    let appended = append(log, send(ROOM, "x")).await;
    let began = Instant::now();
    let at = appended.last;
    log.wait(StreamId::Messages, at.partition, at.offset, GLIMPSE).await.unwrap();
    assert!(began.elapsed() >= GLIMPSE);
    assert!(began.elapsed() < PATIENCE);
}

/// Whatever the clock does.
pub async fn times_of_records_never_go_back(fixture: &impl LogFixture) {
    let log = fixture.log();
    for n in 0..10u64 {
        append(log, send(ROOM, "x")).await;
        fixture.pass_time(Duration::from_millis(n % 2)).await;
    }
    let records = all(log, StreamId::Messages, partition_of_room(log)).await;
    assert!(records.is_sorted_by_key(|record| record.appended_at));
}

/// Between the last record before that time and the first one not before it.
pub async fn at_time_finds_the_place_before_the_first_record_of_that_time(
    fixture: &impl LogFixture,
) {
    let log = fixture.log();
    for n in 0..12 {
        append(log, send(if n % 3 == 0 { OTHER_ROOM } else { ROOM }, "x")).await;
        fixture.pass_time(Duration::from_millis(4)).await;
    }
    for partition in (0..log.partitions(StreamId::Messages)).map(Partition) {
        let records = all(log, StreamId::Messages, partition).await;
        let Some(last) = records.last() else { continue };
        let end = log.end(StreamId::Messages, partition).await.unwrap();
        for time in records.iter().flat_map(|record| {
            let Timestamp(at) = record.appended_at;
            [Timestamp(at - 1), Timestamp(at), Timestamp(at + 1)]
        }) {
            let place = log.at_time(StreamId::Messages, partition, time).await.unwrap();
            for record in &records {
                assert_eq!(record.offset > place, record.appended_at >= time, "{time} {record:?}");
            }
        }
        let later = last.appended_at.plus_ms(1_000_000);
        assert_eq!(log.at_time(StreamId::Messages, partition, later).await.unwrap(), end);
    }
}

/// A mistake of the caller.
pub async fn a_partition_that_does_not_exist_is_refused(fixture: &impl LogFixture) {
    let log = fixture.log();
    let stream = StreamId::Messages;
    let wrong = Partition(log.partitions(stream));
    let end = log.end(stream, wrong).await.map(|_| ());
    let read = log.read(stream, wrong, Offset::ZERO, 1).await.map(|_| ());
    let record = log.record(stream, wrong, Offset(1)).await.map(|_| ());
    let open = log.open("case", stream, wrong, Offset::ZERO).await.map(|_| ());
    for outcome in [end, read, record, open] {
        assert_eq!(outcome.map_err(|error| error.kind), Err(ErrorKind::Misconfigured));
    }
}

/// A reader that follows the end sees each record once and in order.
pub async fn reading_while_others_append_misses_nothing(fixture: &impl LogFixture) {
    const WRITERS: u128 = 4;
    const EACH: usize = 100;
    let log = fixture.log();
    let partition = partition_of_room(log);
    let apart = u128::from(log.partitions(StreamId::Messages));
    let writers = (0..WRITERS).map(|writer| async move {
        // Keys that lie in the partition that is read.
        let keys = (1..).map(|n| Key(ROOM.0 + (writer * 1000 + n) * apart));
        let here = |key: &Key| log.partition_of(StreamId::Messages, *key) == partition;
        let key = keys.into_iter().find(here).expect("a key of the partition");
        for n in 0..EACH {
            append(log, send(key, &format!("{writer} {n}"))).await;
        }
    });
    let reader = async {
        let (mut records, mut after) = (Vec::new(), Offset::ZERO);
        while records.len() < usize::try_from(WRITERS).unwrap() * EACH {
            log.wait(StreamId::Messages, partition, after, PATIENCE).await.unwrap();
            let batch = log.read(StreamId::Messages, partition, after, 7).await.unwrap();
            after = batch.through;
            records.extend(batch.records);
        }
        records
    };
    let both = futures::future::join(futures::future::join_all(writers), reader);
    let (_, followed) = tokio::time::timeout(PATIENCE, both).await.expect("in time");
    assert!(followed == all(log, StreamId::Messages, partition).await);
    for writer in 0..WRITERS {
        let prefix = format!("{writer} ");
        let own = bodies(&followed).into_iter().filter(|body| body.starts_with(&prefix));
        assert!(own.eq((0..EACH).map(|n| format!("{writer} {n}"))));
    }
}
