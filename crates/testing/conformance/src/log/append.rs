//! Appending: conditions, groups, order, limits.

use std::sync::mpsc;

use bytes::Bytes;
use klatch_ports::log::{
    APPEND_BYTES_MAX, APPEND_RECORDS_MAX, Append, AppendError, Expected, Key, Kind, NewRecord,
    RECORD_BYTES_MAX,
};
use klatch_ports::{ErrorKind, Offset, StreamId};

use super::{
    LogFixture, OTHER_ROOM, PATIENCE, ROOM, USER, all, append, bodies, conflict, everywhere, of,
    send, send_on,
};

/// The answer names where the record is.
pub async fn an_append_lands_in_its_stream_and_the_partition_of_its_key(fixture: &impl LogFixture) {
    let log = fixture.log();
    for (stream, key) in [(StreamId::Messages, ROOM), (StreamId::Meta, USER)] {
        let appended = append(log, of(stream, key, Expected::Any, &[(Kind::User, "x")])).await;
        assert_eq!(appended.first, appended.last);
        assert_eq!(appended.first.stream, stream);
        assert_eq!(appended.first.epoch, log.epoch());
        assert_eq!(appended.first.partition, log.partition_of(stream, key));
        assert!(appended.first.partition.0 < log.partitions(stream));
        assert!(appended.first.offset > Offset::ZERO);
    }
}

/// A group is consecutive, whatever else is appended at the same time.
pub async fn records_appended_together_lie_next_to_each_other(fixture: &impl LogFixture) {
    let log = fixture.log();
    let group = |key: Key, name: &str| {
        let bodies: Vec<String> = (0..5).map(|n| format!("{name}{n}")).collect();
        let records: Vec<_> = bodies.iter().map(|body| (Kind::Send, body.as_str())).collect();
        of(StreamId::Messages, key, Expected::Any, &records)
    };
    let groups = (0..20).map(|n| {
        let key = Key(ROOM.0 + n % 4);
        async move { (key, append(log, group(key, &format!("{n}-"))).await) }
    });
    for (n, (key, appended)) in futures::future::join_all(groups).await.into_iter().enumerate() {
        assert_eq!(appended.last.offset.0, appended.first.offset.0 + 4);
        for index in 0..5 {
            let position = appended.at(index);
            let found = log.record(StreamId::Messages, position.partition, position.offset).await;
            let found = found.unwrap().expect("the record is there");
            assert_eq!((found.key, found.offset), (key, position.offset));
            assert_eq!(found.body, Bytes::from(format!("{n}-{index}")));
        }
    }
}

/// Submitting does not wait, and order is the order of the calls.
pub async fn offsets_of_a_key_increase_in_the_order_of_submission(fixture: &impl LogFixture) {
    let log = fixture.log();
    let (sender, receiver) = mpsc::channel();
    for n in 0..200usize {
        let sender = sender.clone();
        let done = move |outcome: Result<_, AppendError>| sender.send((n, outcome)).unwrap();
        log.submit(send(ROOM, &n.to_string()), Box::new(done));
    }
    drop(sender);
    let collect = tokio::task::spawn_blocking(move || receiver.iter().collect::<Vec<_>>());
    let mut outcomes = tokio::time::timeout(PATIENCE, collect).await.expect("in time").unwrap();
    outcomes.sort_by_key(|(n, _)| *n);
    assert_eq!(outcomes.len(), 200, "each completion is called once");
    let offsets = outcomes.into_iter().map(|(_, outcome)| outcome.unwrap().first.offset);
    assert!(offsets.is_sorted_by(|one, next| one < next));
    let records = all(log, StreamId::Messages, log.partition_of(StreamId::Messages, ROOM)).await;
    assert_eq!(bodies(&records), (0..200).map(|n| n.to_string()).collect::<Vec<_>>());
}

/// `None`: the log holds nothing of this key.
pub async fn the_first_append_of_a_key_expects_no_head(fixture: &impl LogFixture) {
    let log = fixture.log();
    assert_eq!(log.head(StreamId::Messages, ROOM).await.unwrap(), None);
    let appended = append(log, send_on(ROOM, None, "first")).await;
    let head = log.head(StreamId::Messages, ROOM).await.unwrap();
    assert_eq!(head, Some(appended.last.offset));
    assert_eq!(log.head(StreamId::Messages, OTHER_ROOM).await.unwrap(), None);
}

/// The head is the last record of the last append, other keys notwithstanding.
pub async fn an_append_that_names_the_head_takes_place(fixture: &impl LogFixture) {
    let log = fixture.log();
    let mut head = None;
    for round in 0..10 {
        let pair = [(Kind::Send, "one"), (Kind::Edit, "two")];
        let on = of(StreamId::Messages, ROOM, Expected::Head(head), &pair);
        head = Some(append(log, on).await.last.offset);
        append(log, send(OTHER_ROOM, &round.to_string())).await;
        assert_eq!(log.head(StreamId::Messages, ROOM).await.unwrap(), head);
    }
}

/// The answer names the head that is there.
pub async fn an_append_that_names_an_old_head_is_a_conflict(fixture: &impl LogFixture) {
    let log = fixture.log();
    let old = append(log, send_on(ROOM, None, "1")).await.last.offset;
    let new = append(log, send_on(ROOM, Some(old), "2")).await.last.offset;
    assert_eq!(conflict(log, send_on(ROOM, Some(old), "3")).await, Some(new));
    append(log, send_on(ROOM, Some(new), "3")).await;
}

/// A key is new once.
pub async fn an_append_that_expects_no_head_on_a_used_key_is_a_conflict(fixture: &impl LogFixture) {
    let log = fixture.log();
    let head = append(log, send(ROOM, "1")).await.last.offset;
    assert_eq!(conflict(log, send_on(ROOM, None, "2")).await, Some(head));
}

/// An offset of another key is not this one's head.
pub async fn an_append_that_expects_a_head_on_a_new_key_is_a_conflict(fixture: &impl LogFixture) {
    let log = fixture.log();
    let other = append(log, send(OTHER_ROOM, "1")).await.last.offset;
    assert_eq!(conflict(log, send_on(ROOM, Some(other), "2")).await, None);
    assert_eq!(conflict(log, send_on(ROOM, Some(Offset(999)), "2")).await, None);
}

/// Neither part of a refused group, nor a gap for others.
pub async fn a_conflict_appends_nothing_and_harms_no_other_key(fixture: &impl LogFixture) {
    let log = fixture.log();
    append(log, send(ROOM, "1")).await;
    let stale = || {
        let pair = [(Kind::Send, "lost"), (Kind::Send, "lost too")];
        of(StreamId::Messages, ROOM, Expected::Head(None), &pair)
    };
    let (one, two, three) = futures::join!(
        conflict(log, stale()),
        append(log, send(OTHER_ROOM, "2")),
        conflict(log, stale()),
    );
    assert_eq!(one, three);
    let records = everywhere(log, StreamId::Messages).await;
    let mut found = bodies(&records);
    found.sort_unstable();
    assert_eq!(found, ["1", "2"]);
    assert!(records.iter().any(|record| record.offset == two.first.offset));
}

/// The whole point of conditions.
pub async fn of_many_appends_on_one_head_one_wins(fixture: &impl LogFixture) {
    let log = fixture.log();
    let mut head = None;
    for _ in 0..10 {
        let tries = (0..16).map(|n| log.append(send_on(ROOM, head, &n.to_string())));
        let outcomes = futures::future::join_all(tries).await;
        let won: Vec<_> = outcomes.iter().filter_map(|outcome| outcome.as_ref().ok()).collect();
        assert_eq!(won.len(), 1, "{outcomes:?}");
        let winner = Some(won[0].last.offset);
        for outcome in &outcomes {
            match outcome {
                Ok(_) => {}
                Err(AppendError::Conflict { actual }) => assert_eq!(*actual, winner),
                Err(AppendError::Port(error)) => panic!("{error}"),
            }
        }
        head = winner;
    }
    assert_eq!(everywhere(log, StreamId::Messages).await.len(), 10);
}

/// A key has a head per stream.
pub async fn heads_of_one_key_in_two_streams_are_apart(fixture: &impl LogFixture) {
    let log = fixture.log();
    append(log, send_on(ROOM, None, "a")).await;
    let system = of(StreamId::System, ROOM, Expected::Head(None), &[(Kind::System, "b")]);
    let appended = append(log, system).await;
    let head = log.head(StreamId::System, ROOM).await.unwrap();
    assert_eq!(head, Some(appended.last.offset));
    assert_eq!(log.head(StreamId::Webhooks, ROOM).await.unwrap(), None);
}

/// Meta's copy of a room's events is a way of reading, not a record of its own.
pub async fn copies_shown_in_meta_do_not_move_its_heads(fixture: &impl LogFixture) {
    let log = fixture.log();
    append(log, of(StreamId::Messages, ROOM, Expected::Any, &[(Kind::Room, "made")])).await;
    assert_eq!(log.head(StreamId::Meta, ROOM).await.unwrap(), None);
    let own = of(StreamId::Meta, ROOM, Expected::Head(None), &[(Kind::User, "own")]);
    append(log, own).await;
}

/// Refused as a mistake of the caller, with nothing appended.
pub async fn appends_beyond_a_limit_are_refused(fixture: &impl LogFixture) {
    let log = fixture.log();
    let record = |bytes: usize| NewRecord { kind: Kind::Send, body: Bytes::from(vec![7; bytes]) };
    let with = |records: Vec<NewRecord>| Append { records: records.into(), ..send(ROOM, "") };
    let many = APPEND_BYTES_MAX / RECORD_BYTES_MAX + 1;
    for (records, why) in [
        (vec![], "no record"),
        (vec![record(RECORD_BYTES_MAX + 1)], "a record too large"),
        ((0..=APPEND_RECORDS_MAX).map(|_| record(1)).collect(), "too many records"),
        ((0..many).map(|_| record(RECORD_BYTES_MAX)).collect(), "too many bytes"),
    ] {
        match log.append(with(records)).await {
            Err(AppendError::Port(error)) => {
                assert_eq!(error.kind, ErrorKind::Misconfigured, "{why}");
            }
            other => panic!("{why}: {other:?}"),
        }
    }
    assert_eq!(everywhere(log, StreamId::Messages).await, []);
}

/// Every limit reached at once, twice, and read back.
pub async fn the_largest_append_takes_place(fixture: &impl LogFixture) {
    let log = fixture.log();
    let body = |n: usize| Bytes::from(vec![u8::try_from(n % 251).unwrap(); RECORD_BYTES_MAX]);
    let large = APPEND_BYTES_MAX / RECORD_BYTES_MAX;
    let mut records: Vec<_> =
        (0..large).map(|n| NewRecord { kind: Kind::Send, body: body(n) }).collect();
    records.extend(
        (large..APPEND_RECORDS_MAX).map(|_| NewRecord { kind: Kind::Edit, body: Bytes::new() }),
    );
    for _ in 0..2 {
        let whole = Append { records: records.clone().into(), ..send(ROOM, "") };
        let appended = append(log, whole).await;
        assert_eq!(appended.last.offset.0 - appended.first.offset.0 + 1, 1000);
        for n in [0, 1, large - 1, large, APPEND_RECORDS_MAX - 1] {
            let at = appended.at(n);
            let found = log.record(StreamId::Messages, at.partition, at.offset).await.unwrap();
            assert!(found.is_some_and(|found| found.body == records[n].body), "record {n}");
        }
    }
    assert_eq!(everywhere(log, StreamId::Messages).await.len(), 2 * APPEND_RECORDS_MAX);
}
