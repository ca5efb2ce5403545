//! Whose presence somebody may know.

use std::collections::HashSet;

use klatch_domain::UserId;
use klatch_domain::permission::{Actor, sees_presence};
use klatch_ports::PortResult;
use klatch_ports::metadata::{MemberReader, RoomsOf};

/// Look-ups for one question of a guest.
const LOOKS_MAX: usize = 10_000;

/// Those of `users` whom the asker may see; rooms are looked at only for guests.
pub(crate) async fn seen_by(
    members: &dyn MemberReader,
    actor: Actor,
    users: &[UserId],
) -> PortResult<HashSet<UserId>> {
    let (mut seen, mut left): (HashSet<_>, HashSet<_>) =
        users.iter().partition(|user| sees_presence(actor, **user, false));
    let (mut rooms, mut looks) = (RoomsOf::new(actor.user), LOOKS_MAX);
    while !left.is_empty() {
        let Some((room, _)) = rooms.next(members).await? else { break };
        for user in left.clone() {
            if looks == 0 {
                return Ok(seen);
            }
            looks -= 1;
            let stay = members.membership(room, user).await?;
            if sees_presence(actor, user, stay.is_some_and(|stay| stay.is_current())) {
                seen.insert(user);
                left.remove(&user);
            }
        }
    }
    Ok(seen)
}
