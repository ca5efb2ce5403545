//! What the folds promise, for any valid history. The tables here know nothing of positions, so
//! nothing but the folds themselves makes a repeat harmless.

use std::collections::BTreeMap;

use klatch_domain::event::Change;
use klatch_domain::member::Membership;
use klatch_domain::room::Room;
use klatch_domain::user::User;
use klatch_domain::{Event, Message, RoomId, Seq, Timestamp, UserId};
use klatch_ports::Offset;
use klatch_ports::messages::StoredHead;
use proptest::prelude::*;

use super::story::{script, tell};
use crate::decode::Located;
use crate::message_fold::{self, MessageRows};
use crate::meta_fold::{self, MetaRows};
use crate::rows::Rows;

/// Both read models as plain tables.
#[derive(Clone, Debug, Default, PartialEq)]
struct Tables {
    messages: BTreeMap<(RoomId, Seq), Message>,
    heads: BTreeMap<RoomId, StoredHead>,
    externals: BTreeMap<u128, (RoomId, Seq)>,
    events: BTreeMap<Offset, (RoomId, Timestamp)>,
    named: Vec<UserId>,
    stays: BTreeMap<(RoomId, UserId), bool>,
    users: BTreeMap<UserId, User>,
    user_externals: BTreeMap<u128, UserId>,
    rooms: BTreeMap<RoomId, Room>,
    room_externals: BTreeMap<u128, RoomId>,
    members: BTreeMap<(RoomId, UserId), Membership>,
}

impl Tables {
    fn apply(&mut self, batch: &[Located]) {
        self.apply_messages(batch);
        self.apply_meta(batch);
    }

    fn apply_messages(&mut self, batch: &[Located]) {
        let shown = |located: &&Located| matches!(located.event, Event::Timeline(_));
        let batch: Vec<_> = batch.iter().filter(shown).cloned().collect();
        let needs = message_fold::needs(&batch);
        let load = |key| (key, self.messages.get(&key).cloned());
        let loaded = MessageRows {
            messages: Rows::loaded(needs.messages.into_iter().map(load)),
            heads: Rows::loaded(needs.heads.into_iter().map(|k| (k, self.heads.get(&k).copied()))),
            ..MessageRows::default()
        };
        let rows = message_fold::fold(loaded, &batch).unwrap();
        self.messages.extend(rows.messages.into_changed());
        self.heads.extend(rows.heads.into_changed());
        let externals = rows.externals.into_iter().map(|(hash, room, seq)| (hash, (room, seq)));
        self.externals.extend(externals);
        self.events.extend(rows.events.iter().map(|(offset, room, at)| (*offset, (*room, *at))));
        self.stays.extend(rows.stays.iter().map(|stay| ((stay.room, stay.user), stay.inside)));
    }

    fn apply_meta(&mut self, batch: &[Located]) {
        let shown = |located: &&Located| match &located.event {
            Event::User(_) => true,
            Event::Timeline(event) => !matches!(
                event.change,
                Change::MessageSent(_)
                    | Change::MessageEdited { .. }
                    | Change::MessageDeleted { .. }
            ),
        };
        let batch: Vec<_> = batch.iter().filter(shown).cloned().collect();
        let needs = meta_fold::needs(&batch);
        let user = |key| (key, self.users.get(&key).map(|user| (user.clone(), None)));
        let room = |key| (key, self.rooms.get(&key).map(|room| (room.clone(), None)));
        let member = |key| (key, self.members.get(&key).cloned());
        let loaded = MetaRows {
            users: Rows::loaded(needs.users.into_iter().map(user)),
            rooms: Rows::loaded(needs.rooms.into_iter().map(room)),
            members: Rows::loaded(needs.members.into_iter().map(member)),
            ..MetaRows::default()
        };
        let rows = meta_fold::fold(loaded, &batch).unwrap();
        for user in &rows.named {
            if !self.named.contains(user) {
                self.named.push(*user);
            }
        }
        for (id, (user, external)) in rows.users.into_changed() {
            self.user_externals.extend(external.map(|hash| (hash, id)));
            self.users.insert(id, user);
        }
        for (id, (room, external)) in rows.rooms.into_changed() {
            self.room_externals.extend(external.map(|hash| (hash, id)));
            self.rooms.insert(id, room);
        }
        self.members.extend(rows.members.into_changed());
    }

    /// What must hold of the rows by themselves, however they came about.
    fn check_against(&self, events: &[Located]) {
        for (id, room) in &self.rooms {
            let current = self.members.iter().filter(|((at, _), m)| at == id && m.is_current());
            assert_eq!(room.member_count, current.count() as u64, "members of {id}");
            let timeline = events.iter().filter_map(|located| match &located.event {
                Event::Timeline(event) if event.room == *id => Some((located.offset, event)),
                _ => None,
            });
            let (offset, last) = timeline.clone().last().unwrap();
            let head = self.heads[id];
            assert_eq!((head.head.seq, head.head.time, head.offset), (last.seq, last.at, offset));
            let main = timeline.filter(|(_, event)| {
                matches!(&event.change, Change::MessageSent(sent) if sent.ordinal.is_some())
            });
            assert_eq!(head.head.ordinal.0, main.count() as u64, "ordinal of {id}");
        }
        let timeline = events.iter().filter(|event| matches!(event.event, Event::Timeline(_)));
        assert_eq!(self.events.len(), timeline.count(), "every event of a timeline is told");
        let members = self.members.iter().map(|(key, member)| (*key, member.is_current()));
        assert_eq!(self.stays, members.collect(), "who is in a room, told by both");
        for message in self.messages.values() {
            assert_eq!(message.body.is_none(), message.deleted.is_some(), "{}", message.id);
        }
    }
}

fn locate(events: Vec<Event>) -> Vec<Located> {
    let with_offset = |(index, event)| Located { offset: Offset(index as u64 * 3 + 1), event };
    events.into_iter().enumerate().map(with_offset).collect()
}

fn in_one_batch(events: &[Located]) -> Tables {
    let mut tables = Tables::default();
    tables.apply(events);
    tables.check_against(events);
    tables
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..Default::default() })]

    #[test]
    fn any_cut_into_batches_gives_the_same_rows(
        script in script(120),
        cuts in proptest::collection::vec(1usize..20, 1..40),
    ) {
        let events = locate(tell(&script));
        let whole = in_one_batch(&events);
        let mut tables = Tables::default();
        let (mut rest, mut cuts) = (events.as_slice(), cuts.iter().cycle());
        while !rest.is_empty() {
            let (batch, later) = rest.split_at((*cuts.next().unwrap()).min(rest.len()));
            tables.apply(batch);
            rest = later;
        }
        prop_assert_eq!(tables, whole);
    }

    #[test]
    fn a_batch_applied_twice_is_a_batch_applied_once(
        script in script(120),
        size in 1usize..40,
    ) {
        let events = locate(tell(&script));
        let mut tables = Tables::default();
        for batch in events.chunks(size) {
            tables.apply(batch);
            let once = tables.clone();
            tables.apply(batch);
            prop_assert_eq!(&tables, &once);
        }
    }

    #[test]
    fn beginning_again_anywhere_before_gives_the_same_rows(
        script in script(120),
        (reached, again) in (any::<prop::sample::Index>(), any::<prop::sample::Index>()),
        size in 1usize..20,
    ) {
        let events = locate(tell(&script));
        let whole = in_one_batch(&events);
        let reached = reached.index(events.len()) + 1;
        let again = again.index(reached);
        let mut tables = Tables::default();
        tables.apply(&events[..reached]);
        for batch in events[again..].chunks(size) {
            tables.apply(batch);
        }
        prop_assert_eq!(tables, whole);
    }
}

#[test]
fn a_batch_of_messages_alone_loads_nothing() {
    let events = locate(tell(&[(19, 0, 1), (19, 0, 2), (19, 0, 3)]));
    let needs = message_fold::needs(&events);
    assert_eq!(needs, message_fold::Needs::default());
    let later = message_fold::needs(&events[events.len() - 2..]);
    assert_eq!(later, message_fold::Needs::default());
}

#[test]
fn registering_again_undoes_nothing() {
    let events = locate(tell(&[(2, 0, 0), (3, 0, 0)]));
    let mut tables = in_one_batch(&events);
    let before = tables.clone();
    tables.apply(&[Located { offset: Offset(1_000), event: events[0].event.clone() }]);
    assert_eq!(tables, before);
}
