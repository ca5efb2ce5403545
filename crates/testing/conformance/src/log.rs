//! The suites of the event log.
//!
//! `klatch_conformance::log_suite!(make)` and `durable_log_suite!(make)` in a test module, where
//! `make` is an async function that gives a [`LogFixture`] (for the second one a
//! [`DurableLogFixture`]) over an empty log.

pub mod append;
pub mod consume;
pub mod durable;
pub mod read;

use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use klatch_ports::log::{
    Append, AppendError, Appended, EventAppender, EventConsumer, Expected, Key, Kind, LogReader,
    NewRecord, Record,
};
use klatch_ports::{Offset, Partition, StreamId};

/// The whole port.
pub trait Log: EventAppender + LogReader + EventConsumer {}
impl<T: EventAppender + LogReader + EventConsumer> Log for T {}

/// A log under test.
#[async_trait]
pub trait LogFixture: Send + Sync {
    /// The log.
    fn log(&self) -> &dyn Log;

    /// Lets the log's clock move on by at least `span`.
    async fn pass_time(&self, span: Duration);
}

/// A log under test that outlives its process.
#[async_trait]
pub trait DurableLogFixture: LogFixture {
    /// Closes the log as a process that ends well does, and opens it again.
    async fn reopen(&mut self);
}

/// Makes every case that any engine must pass a test.
#[macro_export]
macro_rules! log_suite {
    ($make:path) => {
        $crate::log_suite!(@each $make, append, [
            an_append_lands_in_its_stream_and_the_partition_of_its_key,
            records_appended_together_lie_next_to_each_other,
            offsets_of_a_key_increase_in_the_order_of_submission,
            the_first_append_of_a_key_expects_no_head,
            an_append_that_names_the_head_takes_place,
            an_append_that_names_an_old_head_is_a_conflict,
            an_append_that_expects_no_head_on_a_used_key_is_a_conflict,
            an_append_that_expects_a_head_on_a_new_key_is_a_conflict,
            a_conflict_appends_nothing_and_harms_no_other_key,
            of_many_appends_on_one_head_one_wins,
            heads_of_one_key_in_two_streams_are_apart,
            copies_shown_in_meta_do_not_move_its_heads,
            appends_beyond_a_limit_are_refused,
            the_largest_append_takes_place,
        ]);
        $crate::log_suite!(@each $make, read, [
            an_empty_log_has_nothing_to_read,
            what_was_completed_is_read_as_it_was_appended,
            reading_in_pieces_gives_the_same_as_reading_at_once,
            a_read_after_the_end_gives_nothing_yet,
            meta_shows_the_room_and_member_events_of_messages,
            other_streams_show_only_their_own_records,
            a_record_is_found_by_its_offset_in_streams_that_show_it,
            wait_returns_at_once_when_something_is_there,
            wait_returns_when_something_arrives,
            wait_gives_up_after_its_time,
            times_of_records_never_go_back,
            at_time_finds_the_place_before_the_first_record_of_that_time,
            a_partition_that_does_not_exist_is_refused,
            reading_while_others_append_misses_nothing,
        ]);
        $crate::log_suite!(@each $make, consume, [
            a_new_consumer_begins_after_its_start,
            a_new_consumer_cannot_begin_after_the_end,
            a_consumer_hands_out_only_what_its_stream_shows,
            fetch_waits_for_the_first_record,
            fetch_without_anything_new_is_empty_after_its_time,
            a_fetch_that_was_dropped_hands_out_nothing,
            an_acknowledged_record_does_not_come_again,
            what_is_out_does_not_come_again_to_its_holder,
            reopening_gives_everything_unfinished_again,
            reopening_ends_the_earlier_handle,
            consumers_of_one_name_on_two_streams_are_apart,
            a_put_back_record_comes_again_after_its_delay,
            others_go_on_while_a_record_is_put_back,
            acknowledging_past_a_put_back_record_leaves_it_unfinished,
            a_record_that_was_given_up_never_comes_again,
            the_floor_passes_records_of_other_streams,
            too_many_unfinished_records_stop_new_ones,
            names_that_are_not_plain_words_are_refused,
        ]);
    };
    (@each $make:path, $part:ident, [$($case:ident),* $(,)?]) => {
        $(
            #[tokio::test]
            async fn $case() {
                let fixture = $make().await;
                $crate::log::$part::$case(&fixture).await;
            }
        )*
    };
}

/// Makes every case about what outlives a process a test.
#[macro_export]
macro_rules! durable_log_suite {
    ($make:path) => {
        $crate::durable_log_suite!(@each $make, [
            records_and_epoch_survive_reopening,
            offsets_go_on_after_reopening,
            heads_survive_reopening,
            an_empty_log_can_be_reopened,
            a_consumer_goes_on_where_it_was_after_reopening,
            put_back_records_keep_their_count_and_delay_over_reopening,
            times_do_not_go_back_over_reopening,
        ]);
    };
    (@each $make:path, [$($case:ident),* $(,)?]) => {
        $(
            #[tokio::test]
            async fn $case() {
                let mut fixture = $make().await;
                $crate::log::durable::$case(&mut fixture).await;
            }
        )*
    };
}

/// How long a case waits for what must happen.
const PATIENCE: Duration = Duration::from_secs(20);
/// How long a case waits to see that nothing happens.
const GLIMPSE: Duration = Duration::from_millis(30);

const ROOM: Key = Key(0x0192_aaaa_0000_7000_8000_0000_0000_0001);
const OTHER_ROOM: Key = Key(0x0192_bbbb_0000_7000_8000_0000_0000_0005);
const USER: Key = Key(0x0192_cccc_0000_7000_8000_0000_0000_0009);

fn of(stream: StreamId, key: Key, expected: Expected, bodies: &[(Kind, &str)]) -> Append {
    let record = |(kind, body): &(Kind, &str)| NewRecord {
        kind: *kind,
        body: Bytes::copy_from_slice(body.as_bytes()),
    };
    Append { stream, key, expected, records: bodies.iter().map(record).collect() }
}

fn send(key: Key, body: &str) -> Append {
    of(StreamId::Messages, key, Expected::Any, &[(Kind::Send, body)])
}

fn send_on(key: Key, head: Option<Offset>, body: &str) -> Append {
    of(StreamId::Messages, key, Expected::Head(head), &[(Kind::Send, body)])
}

async fn append(log: &dyn Log, append: Append) -> Appended {
    log.append(append).await.expect("append")
}

/// Appends and expects that another writer was first; the head it names.
async fn conflict(log: &dyn Log, append: Append) -> Option<Offset> {
    match log.append(append).await {
        Err(AppendError::Conflict { actual }) => actual,
        other => panic!("a conflict was expected, not {other:?}"),
    }
}

/// Everything that `stream` shows in `partition`.
async fn all(log: &dyn Log, stream: StreamId, partition: Partition) -> Vec<Record> {
    let mut records = Vec::new();
    let mut after = Offset::ZERO;
    loop {
        let batch = log.read(stream, partition, after, 100).await.expect("read");
        if batch.through == after {
            return records;
        }
        after = batch.through;
        records.extend(batch.records);
    }
}

/// Everything that `stream` shows, of every partition in turn.
async fn everywhere(log: &dyn Log, stream: StreamId) -> Vec<Record> {
    let mut records = Vec::new();
    for partition in 0..log.partitions(stream) {
        records.extend(all(log, stream, Partition(partition)).await);
    }
    records
}

fn bodies(records: &[Record]) -> Vec<&str> {
    records.iter().map(|record| std::str::from_utf8(&record.body).expect("text")).collect()
}
