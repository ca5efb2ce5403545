use std::sync::Arc;
use std::time::Duration;

use klatch_domain::event::{Change, TimelineEvent};
use klatch_domain::room::Visibility;
use klatch_domain::{Event, RoomId, Seq, Timestamp};
use klatch_ports::api::queries::{HistoryFrom, PageRequest, QueryApi, RoomScope};
use klatch_ports::api::{ServiceError, ServiceResult};
use klatch_ports::messages::{Applied, MessageWriter, Range};
use klatch_ports::metadata::MetadataWriter;
use klatch_ports::{Epoch, Offset, Partition, Position, StreamId};
use tokio::time::Instant;

use super::world::{ANN, EPOCH, P0, World, actor, position, room, stay};

const HERE: RoomId = RoomId::from_bits(7);

/// Ann's room; the log ends at 3, both stores have come to 2 (and said so by hand).
async fn world() -> World {
    let world = World::new();
    world.put_rooms(&[room(7, Visibility::Private)], &[(7, stay(ANN, None))]).await;
    for seq in 1..=3 {
        let change = Change::RoomArchived { archived: false };
        let event =
            TimelineEvent { room: HERE, seq: Seq(seq), at: Timestamp(seq), actor: ANN, change };
        world.append(&Event::Timeline(event)).await;
    }
    advance_messages(&world, EPOCH, 2).await;
    advance_metadata(&world, EPOCH, 2).await;
    world
}

async fn advance_messages(world: &World, epoch: Epoch, offset: u64) {
    world.messages.advance(P0, Applied { epoch, offset: Offset(offset) }).await.unwrap();
}

async fn advance_metadata(world: &World, epoch: Epoch, offset: u64) {
    world.metadata.advance(P0, Applied { epoch, offset: Offset(offset) }).await.unwrap();
}

async fn history(world: &World, at_least: &[Position]) -> ServiceResult<usize> {
    let from = HistoryFrom::Range(Range::Latest);
    let page = world.query.history(actor(ANN), HERE, from, 50, at_least).await?;
    Ok(page.items.len())
}

async fn members(world: &World, at_least: &[Position]) -> ServiceResult<usize> {
    let page = PageRequest { cursor: None, limit: 50 };
    Ok(world.query.members(actor(ANN), HERE, page, at_least).await?.items.len())
}

#[tokio::test(start_paused = true)]
async fn a_position_the_stores_have_costs_no_wait() {
    let world = world().await;
    let before = Instant::now();
    for stream in [StreamId::Messages, StreamId::Meta] {
        assert!(history(&world, &[position(stream, EPOCH, 2)]).await.is_ok());
        assert!(members(&world, &[position(stream, EPOCH, 2)]).await.is_ok());
    }
    assert_eq!(before.elapsed(), Duration::ZERO);
    assert_eq!(world.messages_at().await, 2);
}

#[tokio::test(start_paused = true)]
async fn a_read_waits_for_its_position_and_answers_when_the_stores_have_it() {
    let world = Arc::new(world().await);
    let reader = Arc::clone(&world);
    let at_least = [position(StreamId::Messages, EPOCH, 3)];
    let read = tokio::spawn(async move { history(&reader, &at_least).await });
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert!(!read.is_finished(), "metadata and messages are missing");
    advance_metadata(&world, EPOCH, 3).await;
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert!(!read.is_finished(), "messages are missing");
    advance_messages(&world, EPOCH, 3).await;
    assert!(read.await.unwrap().is_ok());
}

#[tokio::test(start_paused = true)]
async fn a_read_that_waits_in_vain_is_behind_after_three_seconds() {
    let world = world().await;
    advance_metadata(&world, EPOCH, 3).await;
    let before = Instant::now();
    let at_least = [position(StreamId::Messages, EPOCH, 3)];
    assert!(matches!(history(&world, &at_least).await, Err(ServiceError::Behind)));
    assert_eq!(before.elapsed().as_secs(), 3);
    // Members come from metadata alone, which has the position.
    assert!(members(&world, &at_least).await.is_ok());
    let page = PageRequest { cursor: None, limit: 50 };
    let rooms = world.query.rooms(actor(ANN), RoomScope::Joined, page, &at_least).await;
    assert!(matches!(rooms, Err(ServiceError::Behind)), "rooms show ends, which are in messages");
}

#[tokio::test(start_paused = true)]
async fn a_position_of_users_is_not_waited_for_in_messages() {
    let world = world().await;
    advance_metadata(&world, EPOCH, 3).await;
    assert!(history(&world, &[position(StreamId::Meta, EPOCH, 3)]).await.is_ok());
}

#[tokio::test(start_paused = true)]
async fn positions_that_are_not_of_this_log_are_invalid_at_once() {
    let world = world().await;
    let beyond = position(StreamId::Messages, EPOCH, 4);
    let other_partition = Position { partition: Partition(1), ..beyond };
    let wrong = [
        position(StreamId::Messages, Epoch(8), 1),
        position(StreamId::System, EPOCH, 1),
        position(StreamId::Messages, EPOCH, u64::MAX),
        other_partition,
        beyond,
    ];
    for wrong in wrong {
        let before = Instant::now();
        // The good one is behind: the wrong one must be told first.
        let at_least = [position(StreamId::Messages, EPOCH, 3), wrong];
        let answer = history(&world, &at_least).await;
        assert!(matches!(answer, Err(ServiceError::InvalidPosition)), "{wrong} {answer:?}");
        assert!(before.elapsed() < Duration::from_millis(100), "{wrong}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_position_appended_this_moment_is_found_by_looking_again() {
    let world = Arc::new(world().await);
    let writer = Arc::clone(&world);
    tokio::spawn(async move {
        tokio::time::sleep(Duration::from_millis(5)).await;
        let change = Change::RoomArchived { archived: true };
        let (room, seq, at) = (HERE, Seq(4), Timestamp(4));
        let event = TimelineEvent { room, seq, at, actor: ANN, change };
        writer.append(&Event::Timeline(event)).await;
        advance_metadata(&writer, EPOCH, 4).await;
        advance_messages(&writer, EPOCH, 4).await;
    });
    assert!(history(&world, &[position(StreamId::Messages, EPOCH, 4)]).await.is_ok());
}

#[tokio::test(start_paused = true)]
async fn rows_of_another_epoch_are_never_taken_for_the_position() {
    let world = world().await;
    advance_metadata(&world, EPOCH, 3).await;
    advance_messages(&world, Epoch(8), 30).await;
    let answer = history(&world, &[position(StreamId::Messages, EPOCH, 3)]).await;
    assert!(matches!(answer, Err(ServiceError::Behind)), "{answer:?}");
}
