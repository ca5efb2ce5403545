//! Which of a room's events a user may see: those of their stays.

use klatch_domain::UserId;
use klatch_ports::{PortResult, Position};
use klatch_protocol::inbox::Effect;

use crate::membership::{EventAt, was_in};
use crate::{MissedEvent, Sync};

impl Sync {
    /// Keeps what `user` may see of `events`: events of one room in order, without holes up to the
    /// user's last one there, or up to `to` if they are in it.
    pub(crate) async fn keep_visible(
        &self,
        user: UserId,
        to: Position,
        events: &mut Vec<MissedEvent>,
    ) -> PortResult<()> {
        let effects: Vec<Effect> = events.iter().map(|missed| Effect::of(&missed.event)).collect();
        let Some(last) = events.last() else { return Ok(()) };
        let told = effects.iter().find_map(|effect| before(effect, user));
        let mut inside = if let Some(inside) = told {
            inside
        } else {
            // Nothing about them among these: as at the last, so at the first.
            let (room, seq) = (last.event.room, last.event.seq);
            let (partition, offset) = (to.partition, to.offset);
            let at = EventAt { partition, offset, room, seq };
            was_in(&*self.log, &*self.metadata, at, user).await?
        };
        let mut effects = effects.iter();
        events.retain(|_| {
            let Some(effect) = effects.next() else { return false };
            let (was_inside, concerned) = (inside, before(effect, user).is_some());
            match effect {
                Effect::In(other) if *other == user => inside = true,
                Effect::Out(other) if *other == user => inside = false,
                Effect::Gone => inside = false,
                Effect::None | Effect::In(_) | Effect::Out(_) | Effect::Began(_) => {}
            }
            // Coming and going are told to whom they concern.
            was_inside || concerned && !matches!(effect, Effect::Began(_))
        });
        Ok(())
    }
}

/// Whether `user` was inside before an event that tells; of a room's beginning, whether after.
fn before(effect: &Effect, user: UserId) -> Option<bool> {
    match effect {
        Effect::In(other) if *other == user => Some(false),
        Effect::Out(other) if *other == user => Some(true),
        Effect::Began(users) => Some(users.contains(&user)),
        Effect::None | Effect::Gone | Effect::In(_) | Effect::Out(_) => None,
    }
}
