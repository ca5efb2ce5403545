//! For each promise the smallest history that breaks it, and the good one beside it.

use klatch_checker::{Call, Invariant, Item, Purpose, Walk, What, digest};

use crate::scene::{Scene, id, item, send, sent};

#[test]
fn a_good_history_with_every_kind_of_entry_has_no_violation() {
    let mut s = Scene::new();
    s.open(1, false);
    s.watch(0);
    s.other(1, 1);
    s.send_ok("a", 2);
    s.receive(1, 2, "a");
    let lost = s.invoke(send("b"));
    s.note(What::Unknown { process: 0, op: lost });
    s.send_ok("b", 3);
    s.note(What::Close { connection: 1 });
    s.open(2, true);
    s.receive(2, 3, "b");
    s.note(What::Resumed { connection: 2 });
    let op = s.invoke(Call::Edit { room: "r".into(), message: id(2), body: 77 });
    s.ok(op, klatch_checker::Reply::Changed { seq: 4 });
    s.other(2, 4);
    let op = s.invoke(send("refused"));
    s.fail(op);
    s.note(What::Settled { session: 1 });
    let items = vec![ordinal(item(3, "b"), 2), Item { body: Some(77), ..ordinal(item(2, "a"), 1) }];
    let forward = items.iter().rev().cloned().collect();
    s.walk(Walk::latest("r", "ada", 50, Purpose::Final), items, true);
    s.walk(Walk::oldest("r", "ada", 1, Purpose::Final), forward, true);
    // The acknowledgements of this scene count ordinals like seqs; bring them in line.
    for entry in &mut s.history.entries {
        if let What::Ok { reply: klatch_checker::Reply::Sent { seq, ordinal, .. }, .. }
        | What::Receive { item: Item { seq, ordinal, .. }, .. } = &mut entry.what
        {
            *ordinal = Some(*seq - 1);
        }
    }
    let report = s.check();
    assert_eq!(report.violations, []);
    assert_eq!((report.counts.sends, report.counts.acknowledged), (3, 2));
}

fn ordinal(item: Item, ordinal: u64) -> Item {
    Item { ordinal: Some(ordinal), ..item }
}

#[test]
fn i1_an_acknowledged_message_that_the_final_read_lacks_is_lost() {
    let mut s = Scene::new();
    s.send_ok("a", 1);
    s.send_ok("b", 2);
    s.finally(&[(1, "a")]);
    assert_eq!(s.broken(), [Invariant::I1]);
    let report = s.check();
    let violation = &report.violations[0];
    assert_eq!((violation.seqs.as_slice(), violation.evidence.as_slice()), (&[2][..], &[3, 5][..]));
    assert!(report.render(&s.history, 5).contains("m000002 is not in the final read"));
}

#[test]
fn i2_a_message_that_nobody_sent_is_invented() {
    let mut s = Scene::new();
    s.send_ok("a", 1);
    s.finally(&[(1, "a"), (2, "x")]);
    assert_eq!(s.broken(), [Invariant::I2]);
}

#[test]
fn i2_a_body_that_nobody_wrote_is_invented() {
    let mut s = Scene::new();
    s.send_ok("a", 1);
    s.open(1, false);
    let item = Item { client: Some("a".into()), body: Some(9), ..item(1, "a") };
    s.note(What::Receive { connection: 1, room: "r".into(), item });
    s.finally(&[(1, "a")]);
    assert_eq!(s.broken(), [Invariant::I2]);
}

#[test]
fn i3_a_retry_that_is_answered_with_another_message_is_caught() {
    let mut s = Scene::new();
    s.send_ok("a", 1);
    s.send_ok("a", 2);
    s.finally(&[(1, "a"), (2, "b")]);
    assert!(s.broken().contains(&Invariant::I3));
}

#[test]
fn i3_one_send_that_shows_as_two_messages_is_caught_by_its_body() {
    let mut s = Scene::new();
    let op = s.invoke(send("a"));
    s.note(What::Unknown { process: 0, op });
    s.finally(&[(1, "a"), (2, "a")]);
    assert_eq!(s.broken(), [Invariant::I3]);
}

#[test]
fn i4_two_messages_at_one_seq_are_caught() {
    let mut s = Scene::new();
    s.open(1, false);
    let first = s.invoke(send("a"));
    let second = s.invoke(send("b"));
    s.receive(1, 1, "a");
    s.note(What::Unknown { process: 0, op: first });
    s.note(What::Unknown { process: 0, op: second });
    let swapped = vec![Item { message: id(2), ..item(1, "b") }];
    s.walk(Walk::latest("r", "ada", 50, Purpose::Final), swapped, true);
    assert!(s.broken().contains(&Invariant::I4));
}

#[test]
fn i4_a_live_stream_that_turns_back_is_caught() {
    let mut s = Scene::new();
    s.open(1, false);
    s.watch(0);
    s.send_ok("a", 1);
    s.send_ok("b", 2);
    s.receive(1, 2, "b");
    s.receive(1, 1, "a");
    s.finally(&[(1, "a"), (2, "b")]);
    assert_eq!(s.broken(), [Invariant::I4]);
}

#[test]
fn i4_a_walk_that_turns_back_is_caught() {
    let mut s = Scene::new();
    s.send_ok("a", 1);
    s.send_ok("b", 2);
    s.finally(&[(1, "a"), (2, "b")]);
    let items = vec![item(1, "a"), item(2, "b")];
    s.walk(Walk::latest("r", "ada", 50, Purpose::Any), items, true);
    assert_eq!(s.broken(), [Invariant::I4]);
}

#[test]
fn i5_a_hole_in_a_live_stream_is_caught_and_a_told_gap_is_not() {
    for told in [false, true] {
        let mut s = Scene::new();
        s.open(1, false);
        s.watch(0);
        s.send_ok("a", 1);
        s.send_ok("b", 2);
        s.send_ok("c", 3);
        s.receive(1, 1, "a");
        if told {
            s.note(What::Gap { connection: 1, room: Some("r".into()) });
        }
        s.receive(1, 3, "c");
        s.finally(&[(1, "a"), (2, "b"), (3, "c")]);
        assert_eq!(s.broken(), if told { vec![] } else { vec![Invariant::I5] });
    }
}

#[test]
fn i5_a_missing_tail_is_caught_once_the_session_is_settled() {
    let mut s = Scene::new();
    s.open(1, false);
    s.watch(0);
    s.send_ok("a", 1);
    s.note(What::Settled { session: 1 });
    s.finally(&[(1, "a")]);
    assert_eq!(s.broken(), [Invariant::I5]);
}

#[test]
fn i5_a_walk_that_leaves_a_message_out_is_caught_and_one_that_lags_is_not() {
    for (shown, broken) in
        [(vec![3, 1], vec![Invariant::I5]), (vec![2, 1], vec![]), (vec![], vec![])]
    {
        let mut s = Scene::new();
        for (seq, client) in [(1, "1"), (2, "2"), (3, "3")] {
            s.send_ok(client, seq);
        }
        let shown = shown
            .into_iter()
            .map(|seq: u64| Item { ordinal: None, ..item(seq, &seq.to_string()) })
            .collect();
        s.walk(Walk::latest("r", "ada", 50, Purpose::Any), shown, true);
        s.finally(&[(1, "1"), (2, "2"), (3, "3")]);
        assert_eq!(s.broken(), broken);
    }
}

#[test]
fn i5_a_missing_ordinal_is_caught() {
    let mut s = Scene::new();
    let ops: Vec<u64> = ["a", "b"].iter().map(|client| s.invoke(send(client))).collect();
    for op in ops {
        s.note(What::Unknown { process: 0, op });
    }
    let items = vec![ordinal(item(2, "b"), 3), item(1, "a")];
    s.walk(Walk::latest("r", "ada", 50, Purpose::Final), items, true);
    assert_eq!(s.broken(), [Invariant::I5]);
}

#[test]
fn i6_an_event_that_comes_again_after_a_resume_is_caught() {
    let mut s = Scene::new();
    s.open(1, false);
    s.send_ok("a", 1);
    s.send_ok("b", 2);
    s.receive(1, 1, "a");
    s.note(What::Close { connection: 1 });
    s.open(2, true);
    s.receive(2, 1, "a");
    s.receive(2, 2, "b");
    s.note(What::Resumed { connection: 2 });
    s.finally(&[(1, "a"), (2, "b")]);
    assert_eq!(s.broken(), [Invariant::I6]);
}

#[test]
fn frames_of_a_resume_that_was_never_answered_may_come_again() {
    let mut s = Scene::new();
    s.open(1, false);
    s.watch(0);
    s.send_ok("a", 1);
    s.send_ok("b", 2);
    s.receive(1, 1, "a");
    s.note(What::Close { connection: 1 });
    s.open(2, true);
    s.receive(2, 2, "b");
    s.note(What::Close { connection: 2 });
    s.open(3, true);
    s.receive(3, 2, "b");
    s.note(What::Resumed { connection: 3 });
    s.note(What::Settled { session: 1 });
    s.finally(&[(1, "a"), (2, "b")]);
    assert_eq!(s.check().violations, []);
}

#[test]
fn i5_an_event_missed_between_two_connections_is_caught_unless_the_tier_says_so() {
    for replay in [true, false] {
        let mut s = Scene::new();
        s.open(1, false);
        for (seq, client) in [(1, "a"), (2, "b"), (3, "c")] {
            s.send_ok(client, seq);
        }
        s.receive(1, 1, "a");
        s.note(What::Close { connection: 1 });
        s.open(2, true);
        s.note(if replay {
            What::Resumed { connection: 2 }
        } else {
            What::Gap { connection: 2, room: None }
        });
        s.receive(2, 3, "c");
        s.finally(&[(1, "a"), (2, "b"), (3, "c")]);
        assert_eq!(s.broken(), if replay { vec![Invariant::I5] } else { vec![] });
    }
}

#[test]
fn i7_a_later_send_with_a_smaller_seq_is_caught() {
    let mut s = Scene::new();
    s.send_ok("a", 2);
    s.send_ok("b", 1);
    s.finally(&[(1, "b"), (2, "a")]);
    assert_eq!(s.broken(), [Invariant::I7]);
}

#[test]
fn i7_sends_that_overlap_may_have_either_order() {
    let mut s = Scene::new();
    let first = s.invoke(send("a"));
    let second = s.invoke(send("b"));
    s.ok(first, sent(2));
    s.ok(second, sent(1));
    s.finally(&[(1, "b"), (2, "a")]);
    assert_eq!(s.check().violations, []);
}

#[test]
fn a_walk_from_above_the_end_may_lag_whatever_it_is_for() {
    for purpose in [Purpose::Any, Purpose::OwnWrites] {
        let mut scene = Scene::new();
        scene.send_ok("a", 1);
        let walk = Walk { from: Some(9), ..Walk::latest("r", "ada", 50, purpose) };
        scene.walk(walk, vec![item(1, "a")], true);
        scene.send_ok("b", 2);
        scene.finally(&[(1, "a"), (2, "b")]);
        assert_eq!(scene.broken(), [], "{purpose:?}");
    }
}

#[test]
fn i8_a_writer_that_does_not_see_its_own_message_is_caught() {
    let mut s = Scene::new();
    s.send_ok("a", 1);
    s.walk(Walk::latest("r", "ada", 50, Purpose::OwnWrites), vec![], true);
    s.finally(&[(1, "a")]);
    assert_eq!(s.broken(), [Invariant::I8]);
}

#[test]
fn i8_owes_nothing_below_the_page() {
    let mut s = Scene::new();
    s.send_ok("a", 1);
    s.send_ok("b", 2);
    s.walk(Walk::latest("r", "ada", 1, Purpose::OwnWrites), vec![item(2, "b")], false);
    s.finally(&[(1, "a"), (2, "b")]);
    assert_eq!(s.check().violations, []);
}

#[test]
fn i9_a_delivered_message_that_was_never_stored_is_a_ghost() {
    let mut s = Scene::new();
    s.open(1, false);
    let op = s.invoke(send("a"));
    s.receive(1, 1, "a");
    s.note(What::Unknown { process: 0, op });
    s.finally(&[]);
    assert_eq!(s.broken(), [Invariant::I9]);
}

#[test]
fn i14_a_final_body_that_is_not_the_last_edits_is_caught() {
    let mut s = Scene::new();
    s.send_ok("a", 1);
    let op = s.invoke(Call::Edit { room: "r".into(), message: id(1), body: digest(b"new") });
    s.ok(op, klatch_checker::Reply::Changed { seq: 2 });
    s.finally(&[(1, "a")]);
    assert_eq!(s.broken(), [Invariant::I14]);
}

#[test]
fn i14_a_deleted_message_that_is_still_there_is_caught() {
    let mut s = Scene::new();
    s.send_ok("a", 1);
    let op = s.invoke(Call::Delete { room: "r".into(), message: id(1) });
    s.ok(op, klatch_checker::Reply::Changed { seq: 2 });
    s.finally(&[(1, "a")]);
    assert_eq!(s.broken(), [Invariant::I14]);
}

#[test]
fn i24_a_refused_message_that_is_there_is_caught() {
    let mut s = Scene::new();
    let op = s.invoke(send("a"));
    s.fail(op);
    s.finally(&[(1, "a")]);
    assert_eq!(s.broken(), [Invariant::I24]);
}

#[test]
fn a_history_without_a_final_read_or_with_stray_answers_cannot_be_judged() {
    let mut s = Scene::new();
    s.send_ok("a", 1);
    assert_eq!(s.broken(), [Invariant::Incomplete]);
    let mut s = Scene::new();
    s.ok(9, sent(1));
    assert_eq!(s.broken(), [Invariant::Incomplete]);
    let mut s = Scene::new();
    s.other(5, 1);
    s.watch(0);
    assert_eq!(s.broken(), [Invariant::Incomplete]);
}
