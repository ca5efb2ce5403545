//! Everything of a person as lines of JSON: first what holds now, then their messages in the
//! history if the log has forgotten some, then their trail on the log.

use std::collections::VecDeque;
use std::sync::Arc;

use async_trait::async_trait;
use bytes::{Bytes, BytesMut};
use klatch_domain::{Event, Message, UserChange, UserId};
use klatch_ports::PortResult;
use klatch_ports::api::ServiceResult;
use klatch_ports::api::compliance::Export;
use klatch_ports::messages::{MessagePlace, MessageReader};
use klatch_ports::metadata::RoomsOf;
use klatch_ports::whereabouts::Whereabouts;
use klatch_protocol::rest::compliance as lines;
use klatch_protocol::sealed::{KeyRing, Place};

use crate::Compliance;
use crate::trail::{CHUNK, Trail, is_cut};

impl Compliance {
    /// The export of `user`, whoever asks.
    ///
    /// # Errors
    /// [`klatch_domain::Rejection::UserNotFound`], or as the ports report.
    pub(crate) async fn export_person(&self, user: UserId) -> ServiceResult<impl Export + use<>> {
        self.known(user).await?;
        let deps = &self.deps;
        let mut first = VecDeque::new();
        let at = deps.clock.now().to_string();
        first.push_back(lines::line(&lines::heading(user, &at)));
        if let Some(account) = deps.accounts.get(user).await? {
            first.push_back(lines::line(&lines::account(&account)));
        }
        for session in deps.sessions.list(user).await? {
            first.push_back(lines::line(&lines::session(&session)));
        }
        let known = deps.whereabouts.whereabouts(user).await?;
        if known != Whereabouts::default() {
            first.push_back(lines::line(&lines::whereabouts(&known)));
        }
        let mut rooms = RoomsOf::new(user);
        while let Some((room, stay)) = rooms.next(&*deps.metadata).await? {
            first.push_back(lines::line(&lines::membership(room, &stay)));
        }
        let trail = Trail::of(Arc::clone(&deps.log), user).await?;
        let (ring, messages) = (Arc::clone(&deps.ring), Arc::clone(&deps.messages));
        let rest = if is_cut(&*deps.log).await? { Rest::History(None) } else { Rest::Trail };
        Ok(Lines { ring, messages, user, first, trail, count: 0, rest })
    }
}

struct Lines {
    ring: Arc<KeyRing>,
    messages: Arc<dyn MessageReader>,
    user: UserId,
    first: VecDeque<Bytes>,
    trail: Trail,
    count: u64,
    rest: Rest,
}

/// What comes after the first lines.
enum Rest {
    /// Messages as they stand in the history, those after this one.
    History(Option<MessagePlace>),
    /// The trail on the log.
    Trail,
    Ended,
}

#[async_trait]
impl Export for Lines {
    async fn next(&mut self) -> ServiceResult<Option<Bytes>> {
        if let Some(line) = self.first.pop_front() {
            self.count += 1;
            return Ok(Some(line));
        }
        while let Rest::History(after) = self.rest {
            let (messages, next) = self.messages.of_person(self.user, after, CHUNK).await?;
            self.rest = next.map_or(Rest::Trail, |next| Rest::History(Some(next)));
            let out = self.history(&messages).await?;
            if !out.is_empty() {
                return Ok(Some(out));
            }
        }
        while matches!(self.rest, Rest::Trail) {
            let Some(events) = self.trail.next().await? else {
                self.rest = Rest::Ended;
                return Ok(Some(lines::line(&lines::ending(self.count))));
            };
            let mut out = BytesMut::new();
            for event in events {
                if let Some(line) = self.line(&event).await? {
                    self.count += 1;
                    out.extend_from_slice(&line);
                }
            }
            if !out.is_empty() {
                return Ok(Some(out.freeze()));
            }
        }
        Ok(None)
    }
}

impl Lines {
    async fn history(&mut self, messages: &[Message]) -> PortResult<Bytes> {
        let mut out = BytesMut::new();
        for message in messages {
            // Words of others are theirs, also where they are this person's message.
            let own = message.body.as_ref().is_some_and(|words| words.person == self.user);
            let opened = if own { self.ring.open_message(message).await? } else { None };
            self.count += 1;
            out.extend_from_slice(&lines::line(&lines::history(message, opened.as_ref())));
        }
        Ok(out.freeze())
    }

    async fn line(&self, event: &Event) -> PortResult<Option<Bytes>> {
        let value = match event {
            Event::User(event) => match &event.change {
                UserChange::Registered { profile, .. } | UserChange::ProfileChanged { profile } => {
                    let profile = self.ring.open_profile(profile).await?;
                    Some(lines::profile(profile.as_ref(), &event.at.to_string()))
                }
                UserChange::RoleChanged { .. } | UserChange::Erased => lines::user_event(event),
            },
            Event::Timeline(event) => {
                // Words of others are theirs, also where they speak of this person.
                let own = event.words().filter(|words| words.person == self.user);
                let place = Place::Timeline(event.room, event.seq);
                let opened = match own {
                    Some(words) => self.ring.open_body(place, words).await?,
                    None => None,
                };
                Some(lines::timeline_event(event, opened.as_ref()))
            }
        };
        Ok(value.map(|value| lines::line(&value)))
    }
}
