//! Cases for [`klatch_ports::messages`]. Each begins with an empty store.

use std::time::{Duration, Instant};

use klatch_domain::{RoomId, Sealed, Seq, UserId};
use klatch_ports::messages::{
    Applied, MessageCommit, MessageReader, MessageWriter, Range, StoredHead,
};
use klatch_ports::{Epoch, Offset};

use crate::sample::{P0, at, head, message, room_id, sealed, time, user_id};

/// What these cases run on.
pub trait Store: MessageReader + MessageWriter {}

impl<T: MessageReader + MessageWriter> Store for T {}

/// Makes every case a test; see [`crate::suite`].
#[macro_export]
macro_rules! message_store_tests {
    ($open:expr) => {
        $crate::suite!(
            messages,
            $open,
            [
                an_empty_store_answers_nothing,
                a_committed_message_reads_back_whole,
                latest_history_is_newest_first_and_limited,
                history_before_and_after_excludes_the_seq_named,
                history_skips_messages_without_an_ordinal,
                history_keeps_to_its_room,
                history_holds_an_edited_and_a_deleted_message,
                repeating_a_commit_changes_nothing,
                an_older_commit_of_the_same_epoch_changes_nothing,
                a_commit_of_another_epoch_counts,
                heads_come_in_the_order_asked,
                externals_lead_to_their_message,
                a_walk_finds_a_persons_messages_once_each,
                waiting_ends_when_the_commit_comes,
                waiting_gives_up_in_time,
                advance_moves_the_mark_and_no_rows,
            ]
        );
    };
}

fn commit(offset: u64) -> MessageCommit {
    MessageCommit { partition: P0, applied: at(offset), ..MessageCommit::default() }
}

/// Messages 1 to `count` of the room, each with an ordinal, and the head; one commit.
pub async fn fill(store: &impl Store, room: RoomId, count: u64, offset: u64) {
    let messages = (1..=count).map(|seq| message(room, seq, Some(seq))).collect();
    let heads = vec![(room, head(count, count, offset))];
    store.commit(MessageCommit { messages, heads, ..commit(offset) }).await.expect("a commit");
}

async fn seqs(store: &impl Store, room: RoomId, range: Range, limit: usize) -> Vec<u64> {
    let found = store.history(room, range, limit).await.expect("history");
    found.iter().map(|message| message.seq.0).collect()
}

/// Nothing stored, nothing found.
pub async fn an_empty_store_answers_nothing(store: &impl Store) {
    let room = room_id(1);
    assert_eq!(store.applied(P0).await.expect("applied"), Applied::default());
    for range in [Range::Latest, Range::Before(Seq(9)), Range::After(Seq(0))] {
        assert_eq!(store.history(room, range, 50).await.expect("history"), vec![]);
    }
    assert_eq!(store.message(room, Seq(1)).await.expect("message"), None);
    assert_eq!(store.head(room).await.expect("head"), None);
    assert_eq!(store.heads(&[room, room]).await.expect("heads"), vec![None, None]);
    assert_eq!(store.by_external(7).await.expect("external"), None);
    assert_eq!(store.load(room, Seq(1)).await.expect("load"), None);
    assert_eq!(store.load_head(room).await.expect("head"), None);
}

/// Every field survives, with and without the optional ones.
pub async fn a_committed_message_reads_back_whole(store: &impl Store) {
    let room = room_id(1);
    let plain = message(room, 1, Some(1));
    let mut full = message(room, 2, None);
    full.content_type = klatch_domain::ContentType::File;
    full.reply_to = Some(plain.id);
    full.edited = Some((time(70), Seq(3)));
    full.body = Some(sealed(user_id(9), 4000));
    let mut gone = message(room, 4, Some(2));
    gone.body = None;
    gone.deleted = Some((time(80), Seq(5)));
    let messages = vec![plain, full, gone];
    store.commit(MessageCommit { messages: messages.clone(), ..commit(9) }).await.expect("commit");
    for wanted in messages {
        let read = store.message(room, wanted.seq).await.expect("message");
        assert_eq!(read.as_ref(), Some(&wanted));
        assert_eq!(store.load(room, wanted.seq).await.expect("load"), Some(wanted));
    }
    assert_eq!(store.applied(P0).await.expect("applied"), at(9));
}

/// `Latest` gives the end of the room, newest first.
pub async fn latest_history_is_newest_first_and_limited(store: &impl Store) {
    fill(store, room_id(1), 120, 120).await;
    assert_eq!(seqs(store, room_id(1), Range::Latest, 3).await, [120, 119, 118]);
    assert_eq!(seqs(store, room_id(1), Range::Latest, 500).await.len(), 120);
    assert_eq!(seqs(store, room_id(1), Range::Latest, 0).await, [0; 0]);
}

/// `Before` and `After` both exclude, and both answer newest first.
pub async fn history_before_and_after_excludes_the_seq_named(store: &impl Store) {
    let room = room_id(1);
    fill(store, room, 20, 20).await;
    assert_eq!(seqs(store, room, Range::Before(Seq(5)), 3).await, [4, 3, 2]);
    assert_eq!(seqs(store, room, Range::Before(Seq(3)), 9).await, [2, 1]);
    assert_eq!(seqs(store, room, Range::Before(Seq(1)), 9).await, [0; 0]);
    assert_eq!(seqs(store, room, Range::Before(Seq(0)), 9).await, [0; 0]);
    assert_eq!(seqs(store, room, Range::Before(Seq(u64::MAX)), 1).await, [20]);
    assert_eq!(seqs(store, room, Range::After(Seq(5)), 3).await, [8, 7, 6]);
    assert_eq!(seqs(store, room, Range::After(Seq(18)), 9).await, [20, 19]);
    assert_eq!(seqs(store, room, Range::After(Seq(20)), 9).await, [0; 0]);
    assert_eq!(seqs(store, room, Range::After(Seq(u64::MAX)), 9).await, [0; 0]);
    assert_eq!(seqs(store, room, Range::After(Seq(0)), 2).await, [2, 1]);
}

/// Thread-only messages are found by seq, and are not in the main history.
pub async fn history_skips_messages_without_an_ordinal(store: &impl Store) {
    let room = room_id(1);
    let ordinal = |seq: u64| seq.is_multiple_of(10).then_some(seq / 10);
    let messages = (1..=100).map(|seq| message(room, seq, ordinal(seq))).collect();
    store.commit(MessageCommit { messages, ..commit(100) }).await.expect("commit");
    assert_eq!(seqs(store, room, Range::Latest, 3).await, [100, 90, 80]);
    assert_eq!(seqs(store, room, Range::Before(Seq(75)), 2).await, [70, 60]);
    assert_eq!(seqs(store, room, Range::After(Seq(75)), 2).await, [90, 80]);
    let threaded = store.message(room, Seq(75)).await.expect("message");
    assert_eq!(threaded, Some(message(room, 75, None)));
}

/// Neighbouring rooms do not show through.
pub async fn history_keeps_to_its_room(store: &impl Store) {
    for n in 1..=3 {
        fill(store, room_id(n), n, n).await;
    }
    assert_eq!(seqs(store, room_id(2), Range::Latest, 9).await, [2, 1]);
    assert_eq!(seqs(store, room_id(2), Range::After(Seq(0)), 9).await, [2, 1]);
    assert_eq!(seqs(store, room_id(2), Range::Before(Seq(9)), 9).await, [2, 1]);
    assert_eq!(seqs(store, room_id(4), Range::Latest, 9).await, [0; 0]);
}

/// A later commit of the same message replaces it where it was.
pub async fn history_holds_an_edited_and_a_deleted_message(store: &impl Store) {
    let room = room_id(1);
    fill(store, room, 3, 3).await;
    let mut edited = message(room, 1, Some(1));
    edited.edit(&sealed(edited.sender, 99), time(4), Seq(4));
    let mut deleted = message(room, 2, Some(2));
    deleted.delete(time(5), Seq(5));
    let messages = vec![edited.clone(), deleted.clone()];
    store.commit(MessageCommit { messages, ..commit(5) }).await.expect("commit");
    let found = store.history(room, Range::Latest, 50).await.expect("history");
    assert_eq!(found, [message(room, 3, Some(3)), deleted, edited]);
}

/// A batch delivered twice is stored once.
pub async fn repeating_a_commit_changes_nothing(store: &impl Store) {
    let room = room_id(1);
    fill(store, room, 5, 5).await;
    let before = store.history(room, Range::Latest, 50).await.expect("history");
    fill(store, room, 5, 5).await;
    assert_eq!(store.history(room, Range::Latest, 50).await.expect("history"), before);
    assert_eq!(store.applied(P0).await.expect("applied"), at(5));
}

/// What was committed with a later position is not undone by an earlier one.
pub async fn an_older_commit_of_the_same_epoch_changes_nothing(store: &impl Store) {
    let room = room_id(1);
    fill(store, room, 5, 5).await;
    let mut edited = message(room, 5, Some(5));
    edited.edit(&sealed(edited.sender, 99), time(6), Seq(6));
    let newer = MessageCommit { messages: vec![edited.clone()], ..commit(6) };
    store.commit(newer).await.expect("commit");
    fill(store, room, 5, 5).await;
    assert_eq!(store.message(room, Seq(5)).await.expect("message"), Some(edited));
    assert_eq!(store.applied(P0).await.expect("applied"), at(6));
}

/// A new life of the log begins again at low offsets.
pub async fn a_commit_of_another_epoch_counts(store: &impl Store) {
    let room = room_id(1);
    fill(store, room, 5, 5).await;
    let applied = Applied { epoch: Epoch(2), offset: Offset(1) };
    let messages = vec![message(room, 6, Some(6))];
    store.commit(MessageCommit { messages, applied, ..commit(0) }).await.expect("commit");
    assert_eq!(store.applied(P0).await.expect("applied"), applied);
    assert_eq!(seqs(store, room, Range::Latest, 2).await, [6, 5]);
}

/// One answer per room asked for, absent ones included.
pub async fn heads_come_in_the_order_asked(store: &impl Store) {
    fill(store, room_id(1), 3, 3).await;
    fill(store, room_id(2), 4, 7).await;
    let asked = [room_id(2), room_id(9), room_id(1), room_id(2)];
    let wanted: [Option<StoredHead>; 4] =
        [Some(head(4, 4, 7)), None, Some(head(3, 3, 3)), Some(head(4, 4, 7))];
    assert_eq!(store.heads(&asked).await.expect("heads"), wanted);
    assert_eq!(store.head(room_id(1)).await.expect("head"), Some(head(3, 3, 3)));
    assert_eq!(store.load_head(room_id(2)).await.expect("head"), Some(head(4, 4, 7)));
    fill(store, room_id(1), 8, 15).await;
    assert_eq!(store.head(room_id(1)).await.expect("head"), Some(head(8, 8, 15)));
}

/// The hash of an external id finds the message, all bits counting.
pub async fn externals_lead_to_their_message(store: &impl Store) {
    let externals = vec![(1, room_id(1), Seq(1)), (1 << 127, room_id(2), Seq(MAX_SEQ))];
    store.commit(MessageCommit { externals, ..commit(2) }).await.expect("commit");
    assert_eq!(store.by_external(1).await.expect("external"), Some((room_id(1), Seq(1))));
    let far = store.by_external(1 << 127).await.expect("external");
    assert_eq!(far, Some((room_id(2), Seq(MAX_SEQ))));
    assert_eq!(store.by_external(2).await.expect("external"), None);
}

/// A walk through everything finds a person's messages once each, in parts of any size.
pub async fn a_walk_finds_a_persons_messages_once_each(store: &impl Store) {
    let (one, other) = (UserId::from_bits(71), UserId::from_bits(72));
    let mut messages = Vec::new();
    for n in 1..=40 {
        let mut message = message(room_id(n % 3), n, (n % 4 > 0).then_some(n));
        message.sender = if n % 5 == 0 { one } else { other };
        // Words may be another's than the sender's.
        let person = if n % 7 == 0 { one } else { message.sender };
        message.body = Some(Sealed { person, bytes: n.to_string().into() });
        messages.push(message);
    }
    let mut wanted: Vec<_> =
        messages.iter().filter(|m| m.seq.0 % 5 == 0 || m.seq.0 % 7 == 0).cloned().collect();
    wanted.sort_by_key(|message| message.seq);
    store.commit(MessageCommit { messages, ..commit(40) }).await.expect("commit");
    for look in [1, 3, 7, 39, 40, 41, 1_000] {
        let (mut found, mut after) = (Vec::new(), None);
        loop {
            let (part, next) = store.of_person(one, after, look).await.expect("walk");
            assert!(part.len() <= look);
            found.extend(part);
            if next.is_none() {
                break;
            }
            assert!(next > after, "it goes on");
            after = next;
        }
        found.sort_by_key(|message| message.seq);
        assert_eq!(found, wanted, "{look} at a time");
    }
}

const MAX_SEQ: u64 = klatch_domain::id::MAX_SEQ;

/// A reader that waits for a position is woken by the commit that reaches it.
pub async fn waiting_ends_when_the_commit_comes(store: &impl Store) {
    assert!(store.wait_applied(P0, Offset(0), Duration::ZERO).await.expect("wait"));
    let wait = store.wait_applied(P0, Offset(10), Duration::from_secs(20));
    let work = async {
        for offset in [4, 9, 12] {
            tokio::time::sleep(Duration::from_millis(5)).await;
            fill(store, room_id(1), offset, offset).await;
        }
    };
    let (there, ()) = futures::join!(wait, work);
    assert!(there.expect("wait"));
    let found = store.message(room_id(1), Seq(12)).await.expect("message");
    assert!(found.is_some(), "what was waited for is readable");
    assert!(store.wait_applied(P0, Offset(12), Duration::ZERO).await.expect("wait"));
}

/// A position that does not come is reported as such, after the time given.
pub async fn waiting_gives_up_in_time(store: &impl Store) {
    fill(store, room_id(1), 3, 3).await;
    let begin = Instant::now();
    let there = store.wait_applied(P0, Offset(4), Duration::from_millis(30)).await;
    assert!(!there.expect("wait"));
    assert!(begin.elapsed() >= Duration::from_millis(30));
    assert!(begin.elapsed() < Duration::from_secs(10));
}

/// Looking past records without rows lets readers go on; an older mark does not move it back, and
/// a commit after it is not taken for a repeat.
pub async fn advance_moves_the_mark_and_no_rows(store: &impl Store) {
    let room = room_id(1);
    fill(store, room, 3, 3).await;
    store.advance(P0, at(8)).await.expect("advance");
    assert_eq!(store.applied(P0).await.expect("applied"), at(8));
    assert!(store.wait_applied(P0, Offset(8), Duration::ZERO).await.expect("wait"));
    assert_eq!(seqs(store, room, Range::Latest, 9).await, [3, 2, 1]);
    store.advance(P0, at(5)).await.expect("advance");
    assert_eq!(store.applied(P0).await.expect("applied"), at(8));
    fill(store, room, 4, 9).await;
    assert_eq!(seqs(store, room, Range::Latest, 1).await, [4]);
    assert_eq!(store.applied(P0).await.expect("applied"), at(9));
}
