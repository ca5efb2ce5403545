//! The people a guest may know of: those they share a room with.

use std::collections::HashSet;

use klatch_domain::UserId;
use klatch_domain::permission::{self, Actor, ServerAction};
use klatch_ports::PortResult;
use klatch_ports::metadata::{MetadataReader, RoomsOf};

/// Most people of a circle; a guest of a larger one finds some of them by name, not all.
const PEOPLE_MAX: usize = 10_000;
/// Members read at once.
const CHUNK: usize = 500;

/// Whether the asker may find people whom they share no room with.
pub(crate) fn knows_everyone(actor: Actor) -> bool {
    permission::check_server(actor, ServerAction::BrowsePeople).is_ok()
}

/// Everyone in the rooms the asker is in. Cost: one range read for each room and 500 members.
pub(crate) async fn people(
    metadata: &dyn MetadataReader,
    actor: Actor,
) -> PortResult<HashSet<UserId>> {
    let mut people = HashSet::from([actor.user]);
    let mut rooms = RoomsOf::new(actor.user);
    while let Some((room, _)) = rooms.next(metadata).await? {
        let mut after = None;
        loop {
            let members = metadata.members(room, after, CHUNK).await?;
            after = members.last().map(|member| member.user);
            people.extend(members.iter().map(|member| member.user));
            if people.len() >= PEOPLE_MAX {
                return Ok(people);
            }
            if members.len() < CHUNK {
                break;
            }
        }
    }
    Ok(people)
}

/// Whether `user` is, or was, in one of the asker's rooms: who wrote there keeps their name. Cost:
/// one read for each room of the asker until one is found.
pub(crate) async fn holds(
    metadata: &dyn MetadataReader,
    actor: Actor,
    user: UserId,
) -> PortResult<bool> {
    let mut rooms = RoomsOf::new(actor.user);
    while let Some((room, _)) = rooms.next(metadata).await? {
        if metadata.membership(room, user).await?.is_some() {
            return Ok(true);
        }
    }
    Ok(user == actor.user)
}
