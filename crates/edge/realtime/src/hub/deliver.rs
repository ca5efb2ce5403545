//! Hands events to connections, in log order.

use bytes::Bytes;
use klatch_domain::UserId;
use klatch_domain::event::TimelineEvent;
use klatch_ports::{Offset, Partition, Position, StreamId};
use klatch_protocol::inbox::Effect;

use super::audience::Audiences;
use super::users::UserRef;
use super::{Hub, Item, Stopped};
use crate::connection::{Concerns, LiveFrame};

/// Where an event's frame comes from.
#[derive(Debug)]
pub(super) enum Source {
    /// Fan-out made it.
    Frame(Bytes),
    /// It was read from the log; its frame is made if anyone gets it.
    Log(Box<TimelineEvent>),
}

impl Hub {
    /// Delivers events of one partition, which follow the chain's end.
    pub(super) async fn deliver(
        &mut self,
        partition: Partition,
        items: Vec<Item>,
    ) -> Result<(), Stopped> {
        self.prepare(partition, &items).await?;
        let (events, mut deliveries) = (items.len(), 0);
        for item in items {
            self.begin_effect(partition, &item);
            if let Some(frame) = self.frame(partition, &item).await? {
                deliveries += self.hand_out(partition, &item, &frame);
            }
            self.end_effect(&item);
        }
        self.shared.stats.delivered(events, deliveries);
        Ok(())
    }

    /// Those who come in by an event, or go out by it, get it.
    fn begin_effect(&mut self, partition: Partition, item: &Item) {
        let (one, began): (Option<&UserId>, &[UserId]) = match &item.effect {
            Effect::In(user) | Effect::Out(user) => (Some(user), &[]),
            Effect::Began(users) => (None, users),
            Effect::None | Effect::Gone => (None, &[]),
        };
        let here = |user: &UserId| self.users.find(*user);
        let concerned: Vec<UserRef> = one.into_iter().chain(began).filter_map(here).collect();
        if !concerned.is_empty() {
            // Whoever asks the store from now on must wait until it knows of this.
            let place = self.partition_mut(partition);
            place.settled = place.settled.max(item.offset);
        }
        if self.users.live() == 0 {
            return;
        }
        let is_live = |user: &UserRef| self.users.live_user(*user).is_some();
        let live: Vec<UserRef> = concerned.into_iter().filter(is_live).collect();
        if matches!(item.effect, Effect::Began(_)) {
            self.rooms.learn(item.room, &super::rooms::Unknown::All, live);
        } else if let Some(room) = self.rooms.speak(item.room) {
            for user in live {
                room.add(user);
            }
        }
    }

    fn end_effect(&mut self, item: &Item) {
        match &item.effect {
            Effect::Out(user) => {
                let gone = self.users.find(*user);
                if let (Some(room), Some(user)) = (self.rooms.speak(item.room), gone) {
                    room.remove(user);
                }
            }
            Effect::Gone => self.rooms.forget(item.room),
            Effect::None | Effect::In(_) | Effect::Began(_) => {}
        }
    }

    /// The event's frame; `None` when nobody gets it.
    async fn frame(&mut self, partition: Partition, item: &Item) -> Result<Option<Bytes>, Stopped> {
        let nobody = self.rooms.speak(item.room).is_none_or(|room| room.members().is_empty());
        if nobody {
            return Ok(None);
        }
        match &item.source {
            Source::Frame(frame) => Ok(Some(frame.clone())),
            Source::Log(event) => {
                let position = self.position(partition, item.offset);
                insist!(self, "opening words", self.shared.deps.frame_of(event, position)).map(Some)
            }
        }
    }

    /// Hands a frame to everyone in the room, to be written by the next flush. Returns how many
    /// get it.
    fn hand_out(&mut self, partition: Partition, item: &Item, frame: &Bytes) -> usize {
        let position = self.position(partition, item.offset);
        let Some(room) = self.rooms.speak(item.room) else { return 0 };
        let max = self.shared.config.room_bytes_per_second;
        let loud = room.is_loud(frame.len(), self.shared.tick(), max);
        if loud {
            self.shared.stats.loud();
        }
        let live = LiveFrame {
            position,
            room: item.room,
            seq: item.seq,
            frame: frame.clone(),
            concerns: concerns(&item.effect),
            loud,
        };
        if let Some(count) = self.outgoing.follow(&live) {
            return count;
        }
        if let Some(audience) = self.audiences.find(item.room, room.version()) {
            return self.outgoing.event(live, audience);
        }
        let users = &self.users;
        room.retain(|member| users.live_user(member).is_some());
        let members = room.members().iter().filter_map(|member| users.live_user(*member));
        let connections = members.flat_map(|user| &user.connections);
        if !self.outgoing.is_empty() && !Audiences::pays(room.members().len()) {
            return self.outgoing.each(live, connections);
        }
        let audience = connections.collect();
        self.audiences.keep(item.room, room.version(), &audience);
        self.outgoing.event(live, audience)
    }

    pub(super) fn position(&self, partition: Partition, offset: Offset) -> Position {
        let (stream, epoch) = (StreamId::Messages, self.epoch);
        Position { stream, partition, epoch, offset }
    }
}

fn concerns(effect: &Effect) -> Concerns {
    match effect {
        Effect::None => Concerns::Nobody,
        Effect::In(user) | Effect::Out(user) => Concerns::User(*user),
        Effect::Began(_) | Effect::Gone => Concerns::All,
    }
}
