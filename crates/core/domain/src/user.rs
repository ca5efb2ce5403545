//! People and bots, and the rules for their names.

use bytes::Bytes;

use crate::clock::Timestamp;
use crate::id::UserId;
use crate::rejection::Rejection;
use crate::sealed::Sealed;
use crate::seen::is_unseen;

/// What a user is to the whole server.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ServerRole {
    /// May read and write only where invited.
    Guest,
    /// An ordinary person.
    Member,
    /// Runs the server.
    Admin,
}

impl ServerRole {
    /// The word on every surface.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Guest => "guest",
            Self::Member => "member",
            Self::Admin => "admin",
        }
    }

    /// Reads the word.
    pub fn parse(text: &str) -> Option<Self> {
        [Self::Guest, Self::Member, Self::Admin].into_iter().find(|role| role.as_str() == text)
    }
}

/// A user as the metadata store keeps it: names are under the person's own key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct User {
    /// Identity.
    pub id: UserId,
    /// Whether a program acts under this name.
    pub bot: bool,
    /// Role on this server.
    pub role: ServerRole,
    /// When the account began.
    pub created_at: Timestamp,
    /// [`Profile`], sealed.
    pub profile: Sealed,
}

impl User {
    /// What is left of the user once the person was erased.
    #[must_use]
    pub fn erased(self) -> Self {
        let profile = Sealed { person: self.id, bytes: Bytes::new() };
        Self { role: ServerRole::Guest, profile, ..self }
    }

    /// Whether the person was erased.
    pub fn is_erased(&self) -> bool {
        self.profile.bytes.is_empty()
    }
}

/// What a person tells about themselves.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Profile {
    /// Unique on the server, case-insensitively; see [`username`].
    pub username: String,
    /// Shown name, 1–100 characters.
    pub display_name: String,
    /// E-mail address, shown to the person alone.
    pub email: Option<String>,
    /// Address of a picture.
    pub avatar: Option<String>,
}

/// Checks a user name: 2–32 of `a-z 0-9 . _ -`, beginning with a letter or digit.
///
/// Upper-case letters are lowered first, so that `Alice` and `alice` are one name.
///
/// # Errors
/// [`Rejection::InvalidField`] naming `username`.
pub fn username(text: &str) -> Result<String, Rejection> {
    let name = text.trim().to_ascii_lowercase();
    let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
    let fits = (2..=32).contains(&name.len())
        && name.chars().all(|c| plain(c) || matches!(c, '.' | '_' | '-'))
        && name.starts_with(plain);
    let reserved = matches!(name.as_str(), "here" | "room" | "all" | "everyone" | "channel");
    if fits && !reserved { Ok(name) } else { Err(Rejection::InvalidField("username")) }
}

/// Checks a shown name: 1–100 characters, trimmed, none of them [unseen](is_unseen). Letters that
/// look alike are allowed: the user name beside it tells people apart, and has none.
///
/// # Errors
/// [`Rejection::InvalidField`] naming `displayName`.
pub fn display_name(text: &str) -> Result<String, Rejection> {
    let name = text.trim();
    let fits = !name.is_empty() && name.chars().count() <= 100 && !name.chars().any(is_unseen);
    if fits { Ok(name.to_owned()) } else { Err(Rejection::InvalidField("displayName")) }
}

/// Checks an e-mail address far enough to send to it; the server part is lowered.
///
/// # Errors
/// [`Rejection::InvalidField`] naming `email`.
pub fn email(text: &str) -> Result<String, Rejection> {
    let text = text.trim();
    let refuse = Err(Rejection::InvalidField("email"));
    let Some((local, server)) = text.rsplit_once('@') else { return refuse };
    let server = server.to_ascii_lowercase();
    let fits = (1..=64).contains(&local.len())
        && text.len() <= 254
        && !text.chars().any(|c| c.is_control() || c.is_whitespace())
        && !local.contains(['<', '>', '"', ',', ';', '@'])
        && server.split('.').all(|label| {
            !label.is_empty() && label.chars().all(|c| c.is_alphanumeric() || c == '-')
        });
    if fits { Ok(format!("{local}@{server}")) } else { refuse }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_could_confuse_are_refused() {
        for good in ["al", "Alice", "a.b-c_d", "0cool"] {
            assert!(username(good).is_ok(), "{good}");
        }
        for bad in
            ["", "a", ".al", "al ice", "älice", "here", "room", "a/b", "../x", &"x".repeat(33)]
        {
            assert!(username(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn addresses_keep_the_local_part_and_lower_the_server() {
        assert_eq!(email("Ann@Example.ORG").as_deref(), Ok("Ann@example.org"));
        for bad in ["", "x", "@x", "x@", "a b@c.de", "a@b..c", "a@b\n.c", "<a>@b.c"] {
            assert!(email(bad).is_err(), "{bad}");
        }
    }
}
