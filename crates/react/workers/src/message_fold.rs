//! Timeline events folded into message rows and room heads. Pure.

use std::collections::{BTreeMap, BTreeSet};

use klatch_domain::event::{Change, TimelineEvent};
use klatch_domain::room::RoomHead;
use klatch_domain::{Event, Message, MessageId, RoomId, Seq, Timestamp};
use klatch_ports::Offset;
use klatch_ports::messages::{StayChange, StoredHead};
use klatch_pump::ApplyError;

use crate::decode::Located;
use crate::rows::Rows;

/// Rows a batch has to know before it can be folded.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Needs {
    pub(crate) messages: BTreeSet<(RoomId, Seq)>,
    pub(crate) heads: BTreeSet<RoomId>,
}

/// Rows while a batch is folded over them.
#[derive(Clone, Debug, Default)]
pub(crate) struct MessageRows {
    pub(crate) messages: Rows<(RoomId, Seq), Message>,
    pub(crate) heads: Rows<RoomId, StoredHead>,
    pub(crate) externals: Vec<(u128, RoomId, Seq)>,
    pub(crate) events: Vec<(Offset, RoomId, Timestamp)>,
    pub(crate) stays: Vec<StayChange>,
}

/// What `events` change beyond what they bring themselves. A batch of nothing but messages needs
/// nothing: each message tells the whole end of its room.
pub(crate) fn needs(events: &[Located]) -> Needs {
    let mut needs = Needs::default();
    let mut brought = BTreeSet::new();
    let mut heads_told = BTreeMap::new();
    for Located { event, .. } in events {
        let Event::Timeline(event) = event else { continue };
        let room = event.room;
        heads_told.entry(room).or_insert_with(|| tells_whole_head(event));
        match &event.change {
            Change::MessageSent(_) => {
                brought.insert((room, event.seq));
            }
            Change::MessageEdited { message, .. } | Change::MessageDeleted { message } => {
                let target = (room, message.seq());
                if !brought.contains(&target) {
                    needs.messages.insert(target);
                }
            }
            Change::RoomCreated(_)
            | Change::RoomUpdated { .. }
            | Change::RoomArchived { .. }
            | Change::RoomDeleted
            | Change::MemberJoined { .. }
            | Change::MemberLeft { .. }
            | Change::MemberRoleChanged { .. } => {}
        }
    }
    needs.heads = heads_told.into_iter().filter(|(_, told)| !told).map(|(room, _)| room).collect();
    needs
}

/// Whether the room's end after `event` follows from it alone.
fn tells_whole_head(event: &TimelineEvent) -> bool {
    match &event.change {
        Change::MessageSent(sent) => sent.ordinal.is_some(),
        Change::RoomCreated(_) => true,
        Change::MessageEdited { .. }
        | Change::MessageDeleted { .. }
        | Change::RoomUpdated { .. }
        | Change::RoomArchived { .. }
        | Change::RoomDeleted
        | Change::MemberJoined { .. }
        | Change::MemberLeft { .. }
        | Change::MemberRoleChanged { .. } => false,
    }
}

/// Folds `events` over rows that hold what [`needs`] named.
pub(crate) fn fold(mut rows: MessageRows, events: &[Located]) -> Result<MessageRows, ApplyError> {
    for located in events {
        let Event::Timeline(event) = &located.event else {
            return Err(located.refuse("an event about a user in the stream of messages"));
        };
        rows.take_in_message(event).map_err(|reason| located.refuse(reason))?;
        rows.take_in_stays(event, located.offset);
        let head = rows.heads.get(&event.room).copied().unwrap_or_default();
        if event.seq > head.head.seq {
            let head = StoredHead { head: head.head.after(event), offset: located.offset };
            rows.heads.put(event.room, head);
        }
        let active_at = RoomHead::default().after(event).active_at;
        rows.events.push((located.offset, event.room, active_at));
    }
    Ok(rows)
}

impl MessageRows {
    fn take_in_message(&mut self, event: &TimelineEvent) -> Result<(), &'static str> {
        let room = event.room;
        match &event.change {
            Change::MessageSent(sent) => {
                if let Some(message) = event.new_message() {
                    self.messages.put((room, event.seq), message);
                }
                self.externals.extend(sent.external.map(|hash| (hash, room, event.seq)));
                Ok(())
            }
            Change::MessageEdited { message, body } => {
                self.change(room, *message, |row| row.edit(body, event.at, event.seq))
            }
            Change::MessageDeleted { message } => {
                self.change(room, *message, |row| row.delete(event.at, event.seq))
            }
            Change::RoomCreated(_)
            | Change::RoomUpdated { .. }
            | Change::RoomArchived { .. }
            | Change::RoomDeleted
            | Change::MemberJoined { .. }
            | Change::MemberLeft { .. }
            | Change::MemberRoleChanged { .. } => Ok(()),
        }
    }

    fn take_in_stays(&mut self, event: &TimelineEvent, offset: Offset) {
        let room = event.room;
        let mut change = |user, inside| {
            self.stays.push(StayChange { room, user, offset, inside });
        };
        match &event.change {
            Change::RoomCreated(created) => {
                created.members.iter().for_each(|(user, _)| change(*user, true));
            }
            Change::MemberJoined { user, .. } => change(*user, true),
            Change::MemberLeft { user } => change(*user, false),
            Change::MessageSent(_)
            | Change::MessageEdited { .. }
            | Change::MessageDeleted { .. }
            | Change::RoomUpdated { .. }
            | Change::RoomArchived { .. }
            | Change::RoomDeleted
            | Change::MemberRoleChanged { .. } => {}
        }
    }

    fn change(
        &mut self,
        room: RoomId,
        id: MessageId,
        change: impl FnOnce(&mut Message),
    ) -> Result<(), &'static str> {
        let key = (room, id.seq());
        let found = self.messages.get(&key).filter(|message| message.id == id);
        let mut message = found.cloned().ok_or("it changes a message that is not there")?;
        change(&mut message);
        self.messages.put(key, message);
        Ok(())
    }
}
