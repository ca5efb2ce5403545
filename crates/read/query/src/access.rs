//! Who may see a room: asked here and nowhere else in this role.

use klatch_domain::member::Membership;
use klatch_domain::permission::{self, Action, Actor};
use klatch_domain::room::Room;
use klatch_domain::{Rejection, RoomId};
use klatch_ports::PortResult;
use klatch_ports::api::ServiceResult;
use klatch_ports::metadata::MetadataReader;

/// A room its asker may read.
#[derive(Clone, Debug)]
pub(crate) struct Seen {
    pub(crate) room: Room,
    /// The asker's stay, if they are in the room now.
    pub(crate) membership: Option<Membership>,
}

/// The room, if the asker may read it.
///
/// A room that does not exist costs the same two reads and gives the same answer as one that may
/// not be seen.
///
/// # Errors
/// [`Rejection::RoomNotFound`], or as the port reports.
pub(crate) async fn readable(
    metadata: &dyn MetadataReader,
    actor: Actor,
    room: RoomId,
) -> ServiceResult<Seen> {
    let row = metadata.room(room).await?;
    let stay = metadata.membership(room, actor.user).await?;
    let row = row.ok_or(Rejection::RoomNotFound)?;
    Ok(seen(actor, row, stay)?)
}

/// The same for rows that were read already.
///
/// # Errors
/// [`Rejection::RoomNotFound`].
pub(crate) fn seen(actor: Actor, room: Room, stay: Option<Membership>) -> Result<Seen, Rejection> {
    permission::check(actor, &room, stay.as_ref(), Action::Read)?;
    Ok(Seen { room, membership: stay.filter(Membership::is_current) })
}

/// The asker's stays in many rooms, in the order asked.
pub(crate) async fn stays(
    metadata: &dyn MetadataReader,
    actor: Actor,
    rooms: &[Room],
) -> PortResult<Vec<Option<Membership>>> {
    let stay = |room: &Room| metadata.membership(room.id, actor.user);
    futures::future::try_join_all(rooms.iter().map(stay)).await
}
