//! Who gets the events of the rooms that spoke last, so that a thousand members are not gone
//! through again for each event.

use std::sync::Arc;

use klatch_domain::RoomId;

use super::rooms::Version;
use crate::connection::Connection;

/// Members from which on a list costs less than going through them at the next event.
const LARGE: usize = 64;
/// Rooms of which it is remembered. Each takes eight bytes per connection.
const ROOMS_MAX: usize = 8;

/// The connections that get a room's events.
#[derive(Clone, Debug)]
pub(super) struct Audience {
    pub(super) to: Arc<[Arc<Connection>]>,
    /// The one of them that takes the longest compressed messages.
    pub(super) packs: Option<Arc<Connection>>,
}

impl<'a> FromIterator<&'a Arc<Connection>> for Audience {
    fn from_iter<I: IntoIterator<Item = &'a Arc<Connection>>>(connections: I) -> Self {
        let to: Arc<[Arc<Connection>]> = connections.into_iter().cloned().collect();
        let packs = to.iter().filter(|connection| connection.packed_bytes_max() > 0);
        let packs = packs.max_by_key(|connection| connection.packed_bytes_max()).cloned();
        Self { to, packs }
    }
}

/// The audiences that are known.
#[derive(Debug, Default)]
pub(super) struct Audiences {
    /// Each as of a version of its room; the one that spoke last is the last.
    known: Vec<(RoomId, Version, Audience)>,
}

impl Audiences {
    /// Who gets the events of `room`, whose members are still those of `version`.
    pub(super) fn find(&mut self, room: RoomId, version: Version) -> Option<Audience> {
        let index = self.known.iter().rposition(|(known, ..)| *known == room)?;
        let found = self.known.remove(index);
        if found.1 != version {
            return None;
        }
        let audience = found.2.clone();
        self.known.push(found);
        Some(audience)
    }

    /// Whether it is worth putting one of so many together only to find it again.
    pub(super) fn pays(count: usize) -> bool {
        count >= LARGE
    }

    /// To be found again.
    pub(super) fn keep(&mut self, room: RoomId, version: Version, audience: &Audience) {
        if self.known.len() >= ROOMS_MAX {
            self.known.remove(0);
        }
        self.known.push((room, version, audience.clone()));
    }

    /// Connections of a member have come or gone: nothing that is known counts any more. Nothing of
    /// a connection that is gone may be held here, its socket least of all.
    pub(super) fn clear(&mut self) {
        self.known.clear();
    }
}
