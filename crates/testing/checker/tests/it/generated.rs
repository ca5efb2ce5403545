//! Generated correct histories pass; every mutation of one is caught.

use klatch_checker::{Call, History, Invariant, Item, Purpose, Reply, What, check};
use proptest::prelude::*;
use proptest::sample::Index;

use crate::model::{Action, How, Model, ROOMS};

fn action(gaps: bool) -> impl Strategy<Value = Action> {
    let room = 0..ROOMS;
    let pick = 0..64_usize;
    let how = prop_oneof![3 => Just(How::Tell), 1 => Just(How::Lose)];
    let reconnect = (0..3_u32, any::<bool>())
        .prop_map(move |(session, gap)| Action::Reconnect { session, gap: gap && gaps });
    let read = (0..ROOMS, 0..3_u32, 1..8_usize, 0..4_usize, any::<bool>()).prop_map(
        |(room, process, page, lag, backward)| Action::Read { room, process, page, lag, backward },
    );
    prop_oneof![
        6 => (room.clone(), 0..3_u32).prop_map(|(room, process)| Action::Send { room, process }),
        6 => pick.clone().prop_map(|pick| Action::Commit { pick }),
        6 => (pick.clone(), how).prop_map(|(pick, how)| Action::Answer { pick, how }),
        1 => (room.clone(), pick.clone()).prop_map(|(room, pick)| Action::Edit { room, pick }),
        1 => (room.clone(), pick).prop_map(|(room, pick)| Action::Delete { room, pick }),
        1 => room.clone().prop_map(|room| Action::Member { room }),
        4 => (0..3_u32, room, 1..4_usize)
            .prop_map(|(session, room, count)| Action::Deliver { session, room, count }),
        1 => reconnect,
        2 => read,
    ]
}

fn history(gaps: bool) -> impl Strategy<Value = History> {
    prop::collection::vec(action(gaps), 20..200).prop_map(|actions| Model::run(&actions))
}

#[derive(Clone, Copy, Debug)]
enum Mutation {
    DropFrame,
    RepeatFrame,
    SwapFrames,
    ChangeFrameId,
    DropItem,
    RepeatItem,
    SwapItems,
    ChangeItemId,
    ChangeItemBody,
    ChangeAckId,
    ChangeAckSeq,
}

const MUTATIONS: [Mutation; 11] = [
    Mutation::DropFrame,
    Mutation::RepeatFrame,
    Mutation::SwapFrames,
    Mutation::ChangeFrameId,
    Mutation::DropItem,
    Mutation::RepeatItem,
    Mutation::SwapItems,
    Mutation::ChangeItemId,
    Mutation::ChangeItemBody,
    Mutation::ChangeAckId,
    Mutation::ChangeAckSeq,
];

/// Changes the history in one place; false if there is no such place.
fn mutate(history: &mut History, mutation: Mutation, at: Index) -> bool {
    match mutation {
        Mutation::DropFrame | Mutation::RepeatFrame | Mutation::SwapFrames => {
            frames(history, mutation, at)
        }
        Mutation::ChangeFrameId => change(history, at, |what| match what {
            What::Receive { item, .. } => {
                item.message = "m999999".into();
                true
            }
            _ => false,
        }),
        Mutation::ChangeAckId => change(history, at, |what| match what {
            What::Ok { reply: Reply::Sent { message, .. }, .. } => {
                *message = "m999999".into();
                true
            }
            _ => false,
        }),
        Mutation::ChangeAckSeq => change(history, at, |what| match what {
            What::Ok { reply: Reply::Sent { seq, .. }, .. } => {
                *seq += 1;
                true
            }
            _ => false,
        }),
        Mutation::DropItem
        | Mutation::RepeatItem
        | Mutation::SwapItems
        | Mutation::ChangeItemId
        | Mutation::ChangeItemBody => items(history, mutation, at),
    }
}

/// Applies a change to the picked one of the entries that take it.
fn change(history: &mut History, at: Index, mut apply: impl FnMut(&mut What) -> bool) -> bool {
    let fits: Vec<usize> = (0..history.entries.len())
        .filter(|index| apply(&mut history.entries[*index].what.clone()))
        .collect();
    if fits.is_empty() {
        return false;
    }
    apply(&mut history.entries[*at.get(&fits)].what)
}

fn frame(what: &What) -> Option<(u64, &str)> {
    match what {
        What::Receive { connection, room, .. } | What::Other { connection, room, .. } => {
            Some((*connection, room.as_str()))
        }
        _ => None,
    }
}

fn frames(history: &mut History, mutation: Mutation, at: Index) -> bool {
    let entries = &mut history.entries;
    let places: Vec<usize> =
        (0..entries.len()).filter(|index| frame(&entries[*index].what).is_some()).collect();
    if places.is_empty() {
        return false;
    }
    let place = *at.get(&places);
    match mutation {
        Mutation::DropFrame => {
            entries.remove(place);
        }
        Mutation::RepeatFrame => {
            let entry = entries[place].clone();
            entries.insert(place + 1, entry);
        }
        _ => {
            let key = frame(&entries[place].what).map(|(c, r)| (c, r.to_owned()));
            let is_next =
                |index: &usize| frame(&entries[*index].what).map(|(c, r)| (c, r.to_owned())) == key;
            let Some(other) = (place + 1..entries.len()).find(is_next) else { return false };
            let (one, two) = (entries[place].what.clone(), entries[other].what.clone());
            entries[place].what = two;
            entries[other].what = one;
        }
    }
    true
}

fn items(history: &mut History, mutation: Mutation, at: Index) -> bool {
    let finals: Vec<(u32, u64)> = history
        .entries
        .iter()
        .filter_map(|entry| match &entry.what {
            What::Invoke { process, op, call: Call::Read(walk) }
                if walk.purpose == Purpose::Final =>
            {
                Some((*process, *op))
            }
            _ => None,
        })
        .collect();
    change(history, at, |what| match what {
        What::Ok { process, op, reply: Reply::Page { items, .. } }
            if finals.contains(&(*process, *op)) =>
        {
            change_items(items, mutation, at)
        }
        _ => false,
    })
}

fn change_items(items: &mut Vec<Item>, mutation: Mutation, at: Index) -> bool {
    if items.is_empty() {
        return false;
    }
    let place = at.index(items.len());
    match mutation {
        Mutation::DropItem => {
            items.remove(place);
        }
        Mutation::RepeatItem => items.insert(place, items[place].clone()),
        Mutation::SwapItems if place + 1 < items.len() => items.swap(place, place + 1),
        Mutation::ChangeItemId => items[place].message = "m999999".into(),
        Mutation::ChangeItemBody if !items[place].deleted => items[place].body = Some(1),
        _ => return false,
    }
    true
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 300,
        failure_persistence: None,
        ..Default::default()
    })]

    #[test]
    fn a_correct_history_has_no_violation(history in history(true)) {
        let report = check(&history);
        prop_assert!(report.is_ok(), "{}", report.render(&history, 3));
    }

    #[test]
    fn every_mutation_of_a_correct_history_is_caught(
        history in history(false),
        at in any::<Index>(),
        which in 0..MUTATIONS.len(),
    ) {
        let mutation = MUTATIONS[which];
        let mut bad = history;
        prop_assume!(mutate(&mut bad, mutation, at));
        let report = check(&bad);
        prop_assert!(!report.is_ok(), "{mutation:?} was not caught");
        let judged = report.violations.iter().any(|v| v.invariant != Invariant::Incomplete);
        prop_assert!(judged, "{mutation:?} only made the history unreadable");
    }
}
