//! What a program's token may be used for.

use crate::rejection::Rejection;

/// One kind of use.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Scope {
    /// See what the user sees, and get events.
    Read,
    /// Do what the user may do in rooms, and say that they are there.
    Write,
    /// Run the server, where the user is an administrator.
    Admin,
}

impl Scope {
    const ALL: [Self; 3] = [Self::Read, Self::Write, Self::Admin];

    /// The word on every surface.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Read => "read",
            Self::Write => "write",
            Self::Admin => "admin",
        }
    }

    const fn bit(self) -> u8 {
        1 << self as u8
    }
}

/// Some kinds of use, at least one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Scopes(u8);

impl Scopes {
    /// Every use there is: what a person who signed in has.
    pub const ALL: Self = Self(Scope::Read.bit() | Scope::Write.bit() | Scope::Admin.bit());

    /// Reads the words, in any order, each at most once.
    ///
    /// # Errors
    /// [`Rejection::InvalidField`] naming `scopes`: none, an unknown one, or one twice.
    pub fn parse<'a>(words: impl IntoIterator<Item = &'a str>) -> Result<Self, Rejection> {
        let mut bits = 0;
        for word in words {
            let scope = Scope::ALL.into_iter().find(|scope| scope.as_str() == word);
            match scope.map(Scope::bit) {
                Some(bit) if bits & bit == 0 => bits |= bit,
                Some(_) | None => return Err(Rejection::InvalidField("scopes")),
            }
        }
        Self::from_bits(bits).ok_or(Rejection::InvalidField("scopes"))
    }

    /// The scopes with these [`Scopes::bits`]; `None` for none and for unknown ones.
    pub fn from_bits(bits: u8) -> Option<Self> {
        (bits != 0 && bits & !Self::ALL.0 == 0).then_some(Self(bits))
    }

    /// One bit for each scope, for storage; a scope's bit never changes.
    pub fn bits(self) -> u8 {
        self.0
    }

    /// Whether this use is among them.
    pub fn has(self, scope: Scope) -> bool {
        self.0 & scope.bit() != 0
    }

    /// The words, `read` first.
    pub fn words(self) -> impl Iterator<Item = &'static str> {
        Scope::ALL.into_iter().filter(move |scope| self.has(*scope)).map(Scope::as_str)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_and_bits_lead_to_the_same_scopes_and_back() {
        for bits in 1..8 {
            let scopes = Scopes::from_bits(bits).unwrap();
            let words: Vec<_> = scopes.words().collect();
            assert_eq!(Scopes::parse(words.iter().rev().copied()), Ok(scopes));
            assert_eq!(scopes.bits(), bits);
        }
        assert_eq!(Scopes::from_bits(7), Some(Scopes::ALL));
        assert_eq!((Scopes::from_bits(0), Scopes::from_bits(8)), (None, None));
    }

    #[test]
    fn no_scope_an_unknown_one_and_one_twice_are_refused() {
        for words in [&[][..], &["all"], &["read", "read"], &["Read"], &["read", ""]] {
            let refused = Scopes::parse(words.iter().copied());
            assert_eq!(refused, Err(Rejection::InvalidField("scopes")), "{words:?}");
        }
    }
}
