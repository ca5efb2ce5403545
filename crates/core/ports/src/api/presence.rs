//! Who is there, and who is typing. Nothing of it is durable.

use std::collections::HashSet;

use async_trait::async_trait;
use klatch_domain::permission::Actor;
use klatch_domain::presence::{Choice, Presence, Status};
use klatch_domain::{RoomId, UserId};

use super::ServiceResult;
use crate::error::PortResult;
use crate::kv::Revision;

/// A person's presence now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PresenceView {
    /// Who.
    pub user: UserId,
    /// As others see them.
    pub presence: Presence,
    /// The oldest of the changes that say they are connected: each instance that holds connections
    /// of theirs repeats its own. `None`: not connected.
    pub oldest: Option<Revision>,
}

impl PresenceView {
    /// Somebody of whom nothing is known.
    fn unseen(user: UserId) -> Self {
        let presence = Presence { status: Status::Offline, ..Presence::default() };
        Self { user, presence, oldest: None }
    }
}

/// A person's own presence.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OwnPresence {
    /// As others see them.
    pub view: PresenceView,
    /// What their devices come to, without what they chose.
    pub devices: Status,
    /// The status they chose, if they did.
    pub chosen: Option<Status>,
}

/// Words of a custom status; none of both takes it away.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct StatusWords {
    /// In a few words.
    pub text: Option<String>,
    /// Beside them.
    pub emoji: Option<String>,
    /// When both end.
    pub until: Option<klatch_domain::Timestamp>,
}

/// Presence and typing.
#[async_trait]
pub trait PresenceApi: Send + Sync {
    /// People as others see them, in the order asked. Whoever is not known is offline. Who may be
    /// told is for [`PresenceApi::seen_by`] to say. Cost: three look-ups each.
    async fn presence(&self, users: &[UserId]) -> PortResult<Vec<PresenceView>>;

    /// Those of `users` whose presence the asker may know ([`sees_presence`]). Free for all but
    /// guests; for them a look-up for each of their rooms and `users`, 10,000 at most: what is not
    /// found by then is not seen.
    ///
    /// [`sees_presence`]: klatch_domain::permission::sees_presence
    async fn seen_by(&self, actor: Actor, users: &[UserId]) -> PortResult<HashSet<UserId>>;

    /// [`PresenceApi::presence`] as the asker may know it: whom they may not see is offline, as
    /// somebody who was never there.
    async fn presence_for(&self, actor: Actor, users: &[UserId]) -> PortResult<Vec<PresenceView>> {
        let seen = self.seen_by(actor, users).await?;
        let mut views = self.presence(users).await?;
        for view in views.iter_mut().filter(|view| !seen.contains(&view.user)) {
            *view = PresenceView::unseen(view.user);
        }
        Ok(views)
    }

    /// The asker's own.
    async fn own_presence(&self, actor: Actor) -> ServiceResult<OwnPresence>;

    /// Replaces all that the asker chose; `since` is not looked at. Others who watch them are told.
    /// Durable when it returns.
    ///
    /// # Errors
    /// [`klatch_domain::Rejection::InvalidField`]; [`super::ServiceError::TooOften`].
    async fn choose(&self, actor: Actor, choice: Choice) -> ServiceResult<()>;

    /// Replaces the words that the asker chose, and their end; a chosen status stays.
    ///
    /// # Errors
    /// As [`PresenceApi::choose`].
    async fn say_status(&self, actor: Actor, words: StatusWords) -> ServiceResult<()>;

    /// The last device of `user` left an instance just now. Costs no write of its own; see
    /// [`crate::whereabouts::WhereaboutsStore::left`]. Whoever watches is not told by this.
    async fn left(&self, user: UserId) -> PortResult<()>;

    /// Counts a word of the asker's about a device's presence, which costs others as much as a
    /// choice does.
    ///
    /// # Errors
    /// [`super::ServiceError::TooOften`].
    fn admit_status(&self, actor: Actor) -> ServiceResult<()>;

    /// The asker types in the room, or has stopped. Told to members who asked for it, at most once
    /// in three seconds; in large rooms to nobody. May be lost; never stored.
    ///
    /// # Errors
    /// The refusals of sending a message; [`super::ServiceError::TooOften`].
    async fn typing(&self, actor: Actor, room: RoomId, is_typing: bool) -> ServiceResult<()>;
}
