//! What outlives the process.

use std::time::Duration;

use klatch_ports::log::{Expected, Key, Kind};
use klatch_ports::{Offset, StreamId};

use super::consume::{fill, now, open};
use super::{
    DurableLogFixture, OTHER_ROOM, ROOM, USER, append, conflict, everywhere, of, send, send_on,
};

/// Every record of every stream, unchanged.
pub async fn records_and_epoch_survive_reopening(fixture: &mut impl DurableLogFixture) {
    let log = fixture.log();
    let epoch = log.epoch();
    append(log, of(StreamId::Meta, USER, Expected::Any, &[(Kind::User, "user")])).await;
    for n in 0..300u128 {
        append(log, send(Key(ROOM.0 + n % 5), &"x".repeat(usize::try_from(n).unwrap()))).await;
    }
    let group = [(Kind::Room, "one"), (Kind::Member, "two"), (Kind::Send, "three")];
    append(log, of(StreamId::Messages, ROOM, Expected::Any, &group)).await;
    let mut before = Vec::new();
    for stream in StreamId::ALL {
        before.push(everywhere(log, stream).await);
    }
    for _ in 0..2 {
        fixture.reopen().await;
        let log = fixture.log();
        assert_eq!(log.epoch(), epoch);
        for (stream, expected) in StreamId::ALL.into_iter().zip(&before) {
            assert!(&everywhere(log, stream).await == expected, "{stream:?}");
        }
    }
}

/// An offset is used once.
pub async fn offsets_go_on_after_reopening(fixture: &mut impl DurableLogFixture) {
    let mut last = Offset::ZERO;
    for round in 0..4 {
        let appended = append(fixture.log(), send(ROOM, &round.to_string())).await;
        assert!(appended.first.offset > last);
        last = appended.last.offset;
        let partition = appended.first.partition;
        fixture.reopen().await;
        assert!(fixture.log().end(StreamId::Messages, partition).await.unwrap() >= last);
    }
    assert_eq!(everywhere(fixture.log(), StreamId::Messages).await.len(), 4);
}

/// A condition means the same before and after.
pub async fn heads_survive_reopening(fixture: &mut impl DurableLogFixture) {
    let old = append(fixture.log(), send_on(ROOM, None, "1")).await.last.offset;
    let new = append(fixture.log(), send_on(ROOM, Some(old), "2")).await.last.offset;
    fixture.reopen().await;
    let log = fixture.log();
    assert_eq!(log.head(StreamId::Messages, ROOM).await.unwrap(), Some(new));
    assert_eq!(conflict(log, send_on(ROOM, Some(old), "3")).await, Some(new));
    assert_eq!(conflict(log, send_on(ROOM, None, "3")).await, Some(new));
    append(log, send_on(ROOM, Some(new), "3")).await;
    append(log, send_on(OTHER_ROOM, None, "first")).await;
}

/// Nothing is not damage.
pub async fn an_empty_log_can_be_reopened(fixture: &mut impl DurableLogFixture) {
    let epoch = fixture.log().epoch();
    fixture.reopen().await;
    assert_eq!(fixture.log().epoch(), epoch);
    assert_eq!(everywhere(fixture.log(), StreamId::Messages).await, []);
    append(fixture.log(), send_on(ROOM, None, "first")).await;
    fixture.reopen().await;
    assert_eq!(everywhere(fixture.log(), StreamId::Messages).await.len(), 1);
}

/// Closing saves what was finished.
pub async fn a_consumer_goes_on_where_it_was_after_reopening(fixture: &mut impl DurableLogFixture) {
    let offsets = fill(fixture.log(), 6).await;
    let mut consumer = open(fixture.log(), "durable").await;
    assert_eq!(now(&mut consumer).await.len(), 6);
    consumer.ack(offsets[2]).await.unwrap();
    consumer.term(offsets[4]).await.unwrap();
    drop(consumer);
    fixture.reopen().await;
    let mut consumer = open(fixture.log(), "durable").await;
    let floor = consumer.floor().await.unwrap();
    assert!(floor >= offsets[2] && floor < offsets[3]);
    let got: Vec<_> = now(&mut consumer).await.into_iter().map(|(offset, _)| offset).collect();
    assert_eq!(got, [offsets[3], offsets[5]]);
}

/// A restart is not a way to come again at once.
pub async fn put_back_records_keep_their_count_and_delay_over_reopening(
    fixture: &mut impl DurableLogFixture,
) {
    let offsets = fill(fixture.log(), 3).await;
    let mut consumer = open(fixture.log(), "retries").await;
    assert_eq!(now(&mut consumer).await.len(), 3);
    consumer.nak(offsets[0], Duration::ZERO).await.unwrap();
    consumer.nak(offsets[1], Duration::from_hours(1)).await.unwrap();
    consumer.ack(offsets[2]).await.unwrap();
    drop(consumer);
    fixture.reopen().await;
    let mut consumer = open(fixture.log(), "retries").await;
    assert_eq!(now(&mut consumer).await, [(offsets[0], 2)]);
    consumer.ack(offsets[0]).await.unwrap();
    let floor = consumer.floor().await.unwrap();
    assert!(floor >= offsets[0] && floor < offsets[1]);
}

/// Retention goes by these times.
pub async fn times_do_not_go_back_over_reopening(fixture: &mut impl DurableLogFixture) {
    append(fixture.log(), send(ROOM, "1")).await;
    fixture.pass_time(Duration::from_millis(3)).await;
    append(fixture.log(), send(ROOM, "2")).await;
    fixture.reopen().await;
    append(fixture.log(), send(ROOM, "3")).await;
    let records = everywhere(fixture.log(), StreamId::Messages).await;
    assert_eq!(records.len(), 3);
    assert!(records.is_sorted_by_key(|record| record.appended_at));
}
