//! How often each may do what.

use std::time::Duration;

use klatch_limits::{Allowances, ByAddress, Policy, Window};
use serde::{Deserialize, Serialize};

/// The windows, or a whole set of them by name.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Limits {
    /// `default`: the windows below. `test`: none at all, for benchmarks and tests.
    pub(crate) profile: Profile,
    pub(crate) person: Person,
    pub(crate) bot: Bot,
    pub(crate) admin: Admin,
    pub(crate) address: Address,
}

/// A named set of windows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Profile {
    /// Those of the configuration.
    #[default]
    Default,
    /// Nobody is limited.
    Test,
}

/// So many in so long; a count of 0 is no limit.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Span {
    count: u32,
    per: Per,
}

/// `90s`, `1m`, `2h` or `1d`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
struct Per(Duration);

const UNITS: [(char, u64); 4] = [('s', 1), ('m', 60), ('h', 3_600), ('d', 86_400)];
/// Longer windows would only be remembered by a KV that forgets.
const LONGEST: Duration = Duration::from_hours(30 * 24);

impl TryFrom<String> for Per {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let refused = || format!("`{text}` is no span like 90s, 1m, 2h or 1d");
        let (unit, seconds) =
            UNITS.into_iter().find(|(unit, _)| text.ends_with(*unit)).ok_or_else(refused)?;
        let number: u64 = text.trim_end_matches(unit).parse().map_err(|_| refused())?;
        let span = number.checked_mul(seconds).map(Duration::from_secs).ok_or_else(refused)?;
        if span.is_zero() || span > LONGEST {
            return Err(format!("`{text}` is not between 1s and 30d"));
        }
        Ok(Self(span))
    }
}

impl From<Per> for String {
    fn from(Per(span): Per) -> Self {
        let whole = span.as_secs();
        let largest = UNITS.into_iter().rev().find(|(_, seconds)| whole.is_multiple_of(*seconds));
        let (unit, seconds) = largest.unwrap_or(('s', 1));
        format!("{}{unit}", whole / seconds)
    }
}

impl From<Window> for Span {
    fn from(window: Window) -> Self {
        Self { count: window.count, per: Per(window.per) }
    }
}

impl From<Span> for Window {
    fn from(span: Span) -> Self {
        Self { count: span.count, per: span.per.0 }
    }
}

/// The windows of a kind of caller, each kind with defaults of its own.
macro_rules! kinds {
    ($($(#[$doc:meta])* $name:ident = $field:ident;)*) => { $(
        $(#[$doc])*
        #[derive(Clone, Debug, Serialize, Deserialize)]
        #[serde(deny_unknown_fields, default)]
        pub(crate) struct $name {
            connections: u32,
            messages: Span,
            rooms: Span,
            uploads: Span,
            reads: Span,
            others: Span,
            connects: Span,
        }

        impl Default for $name {
            fn default() -> Self {
                let of = Policy::default().$field;
                Self {
                    connections: of.connections,
                    messages: of.messages.into(),
                    rooms: of.rooms.into(),
                    uploads: of.uploads.into(),
                    reads: of.reads.into(),
                    others: of.others.into(),
                    connects: of.connects.into(),
                }
            }
        }

        impl $name {
            fn allowances(&self) -> Allowances {
                Allowances {
                    connections: self.connections,
                    messages: self.messages.into(),
                    rooms: self.rooms.into(),
                    uploads: self.uploads.into(),
                    reads: self.reads.into(),
                    others: self.others.into(),
                    connects: self.connects.into(),
                }
            }
        }
    )* };
}

kinds! {
    /// Of people.
    Person = person;
    /// Of programs with a user of their own.
    Bot = bot;
    /// Of administrators.
    Admin = admin;
}

/// Of those who have not said who they are, per address.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Address {
    logins: Span,
    registrations: Span,
    others: Span,
}

impl Default for Address {
    fn default() -> Self {
        let of = Policy::default().address;
        Self {
            logins: of.logins.into(),
            registrations: of.registrations.into(),
            others: of.others.into(),
        }
    }
}

impl Limits {
    /// What holds.
    pub(crate) fn policy(&self) -> Policy {
        match self.profile {
            Profile::Test => Policy::OPEN,
            Profile::Default => Policy {
                person: self.person.allowances(),
                bot: self.bot.allowances(),
                admin: self.admin.allowances(),
                address: ByAddress {
                    logins: self.address.logins.into(),
                    registrations: self.address.registrations.into(),
                    others: self.address.others.into(),
                },
            },
        }
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::result_large_err, reason = "figment's jail wants its own error")]

    use super::super::load;
    use super::*;
    use crate::cli::ConfigArgs;

    fn policy() -> Policy {
        load(&ConfigArgs { config: None }).unwrap().limits.policy()
    }

    #[test]
    fn windows_are_set_by_file_and_variable_and_the_rest_keeps_its_default() {
        figment::Jail::expect_with(|jail| {
            assert_eq!(policy(), Policy::default());
            let text = "[limits.person]\nmessages = {count = 5, per = \"90s\"}\nconnections = 2";
            jail.create_file("klatch.toml", text)?;
            jail.set_env("KLATCH_LIMITS__BOT__READS", r#"{count=7,per="2h"}"#);
            let mut expected = Policy::default();
            expected.person.messages = Window { count: 5, per: Duration::from_secs(90) };
            expected.person.connections = 2;
            expected.bot.reads = Window { count: 7, per: Duration::from_hours(2) };
            assert_eq!(policy(), expected);
            jail.set_env("KLATCH_LIMITS__PROFILE", "test");
            assert_eq!(policy(), Policy::OPEN);
            Ok(())
        });
    }

    #[test]
    fn spans_that_are_none_are_refused_with_their_place() {
        figment::Jail::expect_with(|jail| {
            for bad in ["", "m", "1", "0s", "-1s", "1w", "1.5m", "31d", "99999999999999999999s"] {
                let text = format!("[limits.person]\nrooms = {{count = 1, per = \"{bad}\"}}");
                jail.create_file("klatch.toml", &text)?;
                let told = load(&ConfigArgs { config: None }).unwrap_err().to_string();
                assert!(told.contains("limits.person.rooms"), "{bad}: {told}");
            }
            Ok(())
        });
    }

    #[test]
    fn a_span_is_shown_as_it_would_be_written() {
        for text in ["45s", "90s", "1m", "2h", "1d", "30d"] {
            assert_eq!(String::from(Per::try_from(text.to_owned()).unwrap()), text);
        }
    }
}
