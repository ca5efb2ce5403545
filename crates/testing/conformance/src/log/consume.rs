//! Durable consumers: at least once, in order, put back, given up.

use std::time::Duration;

use klatch_ports::log::{Consumer, Delivery, Expected, Key, Kind, OUTSTANDING_MAX};
use klatch_ports::{ErrorKind, Offset, PortError, StreamId};

use super::{GLIMPSE, Log, LogFixture, OTHER_ROOM, PATIENCE, ROOM, USER, append, of, send};

/// Long enough that a loaded machine does not pass it between two calls.
const DELAY: Duration = Duration::from_millis(300);

pub(super) async fn open(log: &dyn Log, name: &str) -> Box<dyn Consumer> {
    open_at(log, name, Offset::ZERO).await
}

async fn open_at(log: &dyn Log, name: &str, start: Offset) -> Box<dyn Consumer> {
    let partition = log.partition_of(StreamId::Messages, ROOM);
    log.open(name, StreamId::Messages, partition, start).await.expect("open")
}

pub(super) async fn fill(log: &dyn Log, count: usize) -> Vec<Offset> {
    let mut offsets = Vec::new();
    for n in 0..count {
        offsets.push(append(log, send(ROOM, &n.to_string())).await.last.offset);
    }
    offsets
}

/// What is there now, by offset and attempt.
pub(super) async fn now(consumer: &mut Box<dyn Consumer>) -> Vec<(Offset, u32)> {
    handed_out(&consumer.fetch(1000, Duration::ZERO).await.expect("fetch"))
}

async fn next(consumer: &mut Box<dyn Consumer>) -> Vec<(Offset, u32)> {
    handed_out(&consumer.fetch(1000, PATIENCE).await.expect("fetch"))
}

fn handed_out(deliveries: &[Delivery]) -> Vec<(Offset, u32)> {
    deliveries.iter().map(|delivery| (delivery.record.offset, delivery.attempt)).collect()
}

fn first(offsets: &[Offset]) -> Vec<(Offset, u32)> {
    offsets.iter().map(|offset| (*offset, 1)).collect()
}

fn kind<T>(outcome: Result<T, PortError>) -> Result<(), ErrorKind> {
    outcome.map(|_| ()).map_err(|error| error.kind)
}

/// `start` decides for a new one, and only for a new one.
pub async fn a_new_consumer_begins_after_its_start(fixture: &impl LogFixture) {
    let log = fixture.log();
    let offsets = fill(log, 5).await;
    let mut consumer = open_at(log, "late", offsets[2]).await;
    assert_eq!(consumer.floor().await.unwrap(), offsets[2]);
    assert_eq!(now(&mut consumer).await, first(&offsets[3..]));
    consumer.ack(offsets[4]).await.unwrap();
    let mut again = open_at(log, "late", Offset::ZERO).await;
    assert_eq!(now(&mut again).await, []);
}

/// Nothing that is still to come is skipped.
pub async fn a_new_consumer_cannot_begin_after_the_end(fixture: &impl LogFixture) {
    let log = fixture.log();
    let offsets = fill(log, 1).await;
    let mut consumer = open_at(log, "eager", Offset(offsets[0].0 + 1_000)).await;
    let next_one = fill(log, 1).await;
    assert_eq!(next(&mut consumer).await, first(&next_one));
}

/// Copies included, as for a reader.
pub async fn a_consumer_hands_out_only_what_its_stream_shows(fixture: &impl LogFixture) {
    let log = fixture.log();
    let timeline = [(Kind::Room, "made"), (Kind::Send, "hidden"), (Kind::Member, "joined")];
    append(log, of(StreamId::Messages, ROOM, Expected::Any, &timeline)).await;
    append(log, of(StreamId::System, ROOM, Expected::Any, &[(Kind::System, "hidden")])).await;
    let partition = log.partition_of(StreamId::Meta, ROOM);
    let mut consumer = log.open("meta", StreamId::Meta, partition, Offset::ZERO).await.unwrap();
    let mut got = Vec::new();
    while got.len() < 2 {
        got.extend(consumer.fetch(1, PATIENCE).await.unwrap());
    }
    let bodies: Vec<_> = got.iter().map(|delivery| delivery.record.body.as_ref()).collect();
    assert_eq!(bodies, [b"made".as_ref(), b"joined".as_ref()]);
}

/// Whoever asks early gets the record when it comes.
pub async fn fetch_waits_for_the_first_record(fixture: &impl LogFixture) {
    let log = fixture.log();
    let mut consumer = open(log, "waits").await;
    let write = async {
        tokio::time::sleep(GLIMPSE).await;
        append(log, send(ROOM, "x")).await
    };
    let (got, appended) = futures::join!(next(&mut consumer), write);
    assert_eq!(got, first(&[appended.last.offset]));
}

/// No error.
pub async fn fetch_without_anything_new_is_empty_after_its_time(fixture: &impl LogFixture) {
    let mut consumer = open(fixture.log(), "patient").await;
    assert_eq!(handed_out(&consumer.fetch(10, GLIMPSE).await.unwrap()), []);
}

/// A `select!` that goes another way costs nothing.
pub async fn a_fetch_that_was_dropped_hands_out_nothing(fixture: &impl LogFixture) {
    let log = fixture.log();
    let mut consumer = open(log, "dropped").await;
    assert!(tokio::time::timeout(GLIMPSE, consumer.fetch(10, PATIENCE)).await.is_err());
    let offsets = fill(log, 1).await;
    assert_eq!(next(&mut consumer).await, first(&offsets));
}

/// Done is done, for this holder and the next.
pub async fn an_acknowledged_record_does_not_come_again(fixture: &impl LogFixture) {
    let log = fixture.log();
    let offsets = fill(log, 6).await;
    let mut consumer = open(log, "acks").await;
    assert_eq!(handed_out(&consumer.fetch(3, PATIENCE).await.unwrap()), first(&offsets[..3]));
    consumer.ack(offsets[2]).await.unwrap();
    assert!(consumer.floor().await.unwrap() >= offsets[2]);
    assert!(consumer.floor().await.unwrap() < offsets[3]);
    let mut again = open(log, "acks").await;
    assert_eq!(now(&mut again).await, first(&offsets[3..]));
}

/// Unfinished, but not lost.
pub async fn what_is_out_does_not_come_again_to_its_holder(fixture: &impl LogFixture) {
    let log = fixture.log();
    let offsets = fill(log, 4).await;
    let mut consumer = open(log, "out").await;
    assert_eq!(now(&mut consumer).await, first(&offsets));
    assert_eq!(now(&mut consumer).await, []);
    assert!(consumer.floor().await.unwrap() < offsets[0]);
    consumer.ack(offsets[1]).await.unwrap();
    assert_eq!(now(&mut consumer).await, []);
    let floor = consumer.floor().await.unwrap();
    assert!(floor >= offsets[1] && floor < offsets[2]);
}

/// At least once: what was out comes again, what was finished does not.
pub async fn reopening_gives_everything_unfinished_again(fixture: &impl LogFixture) {
    let log = fixture.log();
    let offsets = fill(log, 6).await;
    let mut consumer = open(log, "again").await;
    assert_eq!(handed_out(&consumer.fetch(5, PATIENCE).await.unwrap()), first(&offsets[..5]));
    consumer.ack(offsets[1]).await.unwrap();
    consumer.term(offsets[3]).await.unwrap();
    let mut again = open(log, "again").await;
    let got: Vec<_> = now(&mut again).await.into_iter().map(|(offset, _)| offset).collect();
    assert_eq!(got, [offsets[2], offsets[4], offsets[5]]);
}

/// Two holders would hand out twice and finish for each other.
pub async fn reopening_ends_the_earlier_handle(fixture: &impl LogFixture) {
    let log = fixture.log();
    let offsets = fill(log, 2).await;
    let mut old = open(log, "one").await;
    assert_eq!(now(&mut old).await, first(&offsets));
    let mut new = open(log, "one").await;
    assert_eq!(kind(old.fetch(1, Duration::ZERO).await), Err(ErrorKind::Closed));
    assert_eq!(kind(old.ack(offsets[1]).await), Err(ErrorKind::Closed));
    assert_eq!(kind(old.nak(offsets[0], DELAY).await), Err(ErrorKind::Closed));
    assert_eq!(kind(old.term(offsets[0]).await), Err(ErrorKind::Closed));
    assert_eq!(kind(old.floor().await), Err(ErrorKind::Closed));
    assert_eq!(now(&mut new).await.len(), 2);
}

/// A name is one consumer per stream and partition.
pub async fn consumers_of_one_name_on_two_streams_are_apart(fixture: &impl LogFixture) {
    let log = fixture.log();
    let offsets = fill(log, 1).await;
    let user = of(StreamId::Meta, USER, Expected::Any, &[(Kind::User, "x")]);
    let at = append(log, user).await.last;
    let mut messages = open(log, "same").await;
    let mut meta = log.open("same", StreamId::Meta, at.partition, Offset::ZERO).await.unwrap();
    assert_eq!(now(&mut messages).await, first(&offsets));
    assert_eq!(now(&mut meta).await, first(&[at.offset]));
}

/// Not before the delay, with a higher count, and not twice.
pub async fn a_put_back_record_comes_again_after_its_delay(fixture: &impl LogFixture) {
    let log = fixture.log();
    let offsets = fill(log, 1).await;
    let mut consumer = open(log, "retries").await;
    assert_eq!(now(&mut consumer).await, first(&offsets));
    for attempt in 2..4 {
        let began = tokio::time::Instant::now();
        consumer.nak(offsets[0], DELAY).await.unwrap();
        assert_eq!(next(&mut consumer).await, [(offsets[0], attempt)]);
        assert!(began.elapsed() >= DELAY, "came too early");
        assert_eq!(now(&mut consumer).await, []);
    }
    consumer.ack(offsets[0]).await.unwrap();
    assert!(consumer.floor().await.unwrap() >= offsets[0]);
    consumer.nak(offsets[0], Duration::ZERO).await.unwrap();
    assert_eq!(now(&mut consumer).await, [], "a finished record cannot be put back");
}

/// One bad record does not stop the stream; when it is due it goes first.
pub async fn others_go_on_while_a_record_is_put_back(fixture: &impl LogFixture) {
    let log = fixture.log();
    let offsets = fill(log, 3).await;
    let mut consumer = open(log, "goes-on").await;
    assert_eq!(handed_out(&consumer.fetch(1, PATIENCE).await.unwrap()), first(&offsets[..1]));
    consumer.nak(offsets[0], DELAY).await.unwrap();
    assert_eq!(handed_out(&consumer.fetch(1, PATIENCE).await.unwrap()), first(&offsets[1..2]));
    tokio::time::sleep(DELAY * 2).await;
    let got = handed_out(&consumer.fetch(2, PATIENCE).await.unwrap());
    assert_eq!(got, [(offsets[0], 2), (offsets[2], 1)]);
}

/// The floor waits for it, also over a reopening.
pub async fn acknowledging_past_a_put_back_record_leaves_it_unfinished(fixture: &impl LogFixture) {
    let log = fixture.log();
    let offsets = fill(log, 5).await;
    let mut consumer = open(log, "past").await;
    assert_eq!(now(&mut consumer).await.len(), 5);
    consumer.nak(offsets[1], DELAY).await.unwrap();
    consumer.ack(offsets[4]).await.unwrap();
    let floor = consumer.floor().await.unwrap();
    assert!(floor >= offsets[0] && floor < offsets[1]);
    let mut consumer = open(log, "past").await;
    assert_eq!(next(&mut consumer).await, [(offsets[1], 2)]);
    consumer.ack(offsets[1]).await.unwrap();
    assert!(consumer.floor().await.unwrap() >= offsets[4]);
}

/// Whether it was put back before or not.
pub async fn a_record_that_was_given_up_never_comes_again(fixture: &impl LogFixture) {
    let log = fixture.log();
    let offsets = fill(log, 3).await;
    let mut consumer = open(log, "gives-up").await;
    assert_eq!(now(&mut consumer).await.len(), 3);
    consumer.nak(offsets[0], Duration::ZERO).await.unwrap();
    consumer.term(offsets[0]).await.unwrap();
    consumer.term(offsets[1]).await.unwrap();
    assert!(consumer.floor().await.unwrap() >= offsets[1]);
    consumer.ack(offsets[2]).await.unwrap();
    assert!(consumer.floor().await.unwrap() >= offsets[2]);
    let mut again = open(log, "gives-up").await;
    assert_eq!(now(&mut again).await, []);
}

/// Otherwise a quiet stream would hold back retention for ever.
pub async fn the_floor_passes_records_of_other_streams(fixture: &impl LogFixture) {
    let log = fixture.log();
    let mut consumer = open(log, "quiet").await;
    let system = of(StreamId::System, ROOM, Expected::Any, &[(Kind::System, "x")]);
    append(log, system).await;
    assert_eq!(now(&mut consumer).await, []);
    let partition = log.partition_of(StreamId::Messages, ROOM);
    let end = log.end(StreamId::Messages, partition).await.unwrap();
    assert_eq!(consumer.floor().await.unwrap(), end);
}

/// Memory and state stay bounded; finishing makes room again.
pub async fn too_many_unfinished_records_stop_new_ones(fixture: &impl LogFixture) {
    let log = fixture.log();
    let thousand: Vec<_> = (0..1000).map(|_| (Kind::Send, "x")).collect();
    for _ in 0..=OUTSTANDING_MAX / 1000 {
        append(log, of(StreamId::Messages, ROOM, Expected::Any, &thousand)).await;
    }
    let mut consumer = open(log, "swamped").await;
    let mut out = Vec::new();
    loop {
        let got = now(&mut consumer).await;
        if got.is_empty() {
            break;
        }
        out.extend(got);
    }
    assert_eq!(out.len(), OUTSTANDING_MAX);
    consumer.nak(out[5].0, Duration::ZERO).await.unwrap();
    assert_eq!(now(&mut consumer).await, [(out[5].0, 2)], "what is due still comes");
    consumer.ack(out[9].0).await.unwrap();
    assert_eq!(now(&mut consumer).await.len(), 10);
}

/// Names become parts of file names and subjects.
pub async fn names_that_are_not_plain_words_are_refused(fixture: &impl LogFixture) {
    let log = fixture.log();
    let too_long = "x".repeat(65);
    for name in ["", ".", "..", "a/b", "a b", "Upper", "a.b", "ä", "a\0", too_long.as_str()] {
        let partition = log.partition_of(StreamId::Messages, Key(1));
        let opened = log.open(name, StreamId::Messages, partition, Offset::ZERO).await;
        assert_eq!(kind(opened), Err(ErrorKind::Misconfigured), "{name:?}");
    }
    append(log, send(OTHER_ROOM, "x")).await;
    let longest = "fan-out_pool-3".repeat(4);
    open(log, &longest).await;
}
