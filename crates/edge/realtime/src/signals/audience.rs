//! Members of rooms in which someone types.

use std::collections::HashMap;
use std::sync::Arc;

use klatch_domain::{RoomId, Seq, UserId};
use klatch_ports::PortResult;
use klatch_ports::metadata::MetadataReader;

/// Rooms remembered; with the most members each, eight megabytes.
const ROOMS_MAX: usize = 1_024;

/// Members of rooms in which someone typed lately.
#[derive(Debug)]
pub(super) struct Audiences {
    members_max: usize,
    rooms: HashMap<RoomId, Audience>,
}

#[derive(Debug)]
struct Audience {
    /// The newest change of the room that `members` takes in.
    changed_seq: Seq,
    members: Arc<[UserId]>,
}

impl Audiences {
    pub(super) fn new(members_max: usize) -> Self {
        Self { members_max, rooms: HashMap::new() }
    }

    /// The members as of the change `changed_seq`, or later. `None`: there are too many of them, or
    /// the store does not know that change yet, so that someone may have been taken out since.
    ///
    /// Cost: nothing while nobody comes or goes; else one row and one range.
    pub(super) async fn members(
        &mut self,
        metadata: &dyn MetadataReader,
        room: RoomId,
        changed_seq: Seq,
    ) -> PortResult<Option<Arc<[UserId]>>> {
        if let Some(known) = self.rooms.get(&room)
            && known.changed_seq >= changed_seq
        {
            return Ok(Some(Arc::clone(&known.members)));
        }
        // Before the members, so that they take in at least this much.
        let row = metadata.room(room).await?;
        let Some(row) = row.filter(|row| !row.deleted && row.changed_seq >= changed_seq) else {
            return Ok(None);
        };
        let members = metadata.members(room, None, self.members_max + 1).await?;
        if members.len() > self.members_max {
            return Ok(None);
        }
        let members: Arc<[UserId]> = members.iter().map(|stay| stay.user).collect();
        if self.rooms.len() >= ROOMS_MAX {
            self.rooms = HashMap::new();
        }
        let known = Audience { changed_seq: row.changed_seq, members: Arc::clone(&members) };
        self.rooms.insert(room, known);
        Ok(Some(members))
    }
}
