//! One user, and users by name.

use klatch_domain::permission::Actor;
use klatch_domain::user::{Profile, User};
use klatch_domain::{Rejection, UserId};
use klatch_ports::PortResult;
use klatch_ports::api::ServiceResult;
use klatch_ports::api::queries::{Page, UserView};
use klatch_ports::metadata::MetadataReader;
use klatch_protocol::sealed::KeyRing;

use crate::circle;
use crate::cursor::{Cursor, REFUSED};
use crate::directory::Directory;

/// One user. Of people a guest shares no room with they learn nothing.
///
/// # Errors
/// [`Rejection::UserNotFound`], or as the ports report.
pub(crate) async fn user(
    metadata: &dyn MetadataReader,
    keys: &KeyRing,
    actor: Actor,
    user: UserId,
) -> ServiceResult<UserView> {
    let row = metadata.user(user).await?.ok_or(Rejection::UserNotFound)?;
    if !circle::knows_everyone(actor) && !circle::holds(metadata, actor, user).await? {
        return Err(Rejection::UserNotFound.into());
    }
    Ok(open(keys, actor, row).await?)
}

/// Users whose user name or shown name begins with `prefix`, in the order of the name that does.
/// Whoever the read model does not have yet is left out, so a page may hold fewer. A guest finds
/// the people in their rooms.
pub(crate) async fn page(
    (metadata, directory): (&dyn MetadataReader, &Directory),
    keys: &KeyRing,
    (actor, prefix): (Actor, &str),
    cursor: Option<&str>,
    limit: usize,
) -> ServiceResult<Page<UserView>> {
    let after = match cursor.map(Cursor::decode).transpose()? {
        None => None,
        Some(Cursor::Name(name, user)) => Some((name, user)),
        Some(_) => return Err(REFUSED.into()),
    };
    let mut found = if circle::knows_everyone(actor) {
        directory.find(prefix, after, limit + 1)
    } else {
        let people = circle::people(metadata, actor).await?;
        directory.find_among(&people, prefix, after, limit + 1)
    };
    let more = found.len() > limit;
    found.truncate(limit);
    let last = found.last().filter(|_| more);
    let next = last.map(|(name, user)| Cursor::Name(name.to_string(), *user).encode());
    let ids: Vec<UserId> = found.iter().map(|(_, user)| *user).collect();
    let rows = metadata.users(&ids).await?;
    let mut items = Vec::with_capacity(rows.len());
    for row in rows.into_iter().flatten() {
        items.push(open(keys, actor, row).await?);
    }
    Ok(Page { items, next })
}

/// A user with their profile; the e-mail address is for the person alone. An empty profile when
/// the person's key was destroyed.
pub(crate) async fn open(keys: &KeyRing, actor: Actor, user: User) -> PortResult<UserView> {
    let profile = keys.open_profile(&user.profile).await?.unwrap_or_else(erased);
    let email = profile.email.filter(|_| actor.user == user.id);
    Ok(UserView { profile: Profile { email, ..profile }, user })
}

/// What is shown of a person who was erased.
fn erased() -> Profile {
    let display_name = "deleted user".to_owned();
    Profile { username: String::new(), display_name, email: None, avatar: None }
}
