//! Lengths of time as people write them.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

/// A length of time: `30d`, `24h`, `15m`, `90s`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Span(pub(crate) Duration);

/// How long something is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Keep {
    /// For so long.
    For(Span),
    /// For ever: `off`.
    Always,
}

const UNITS: [(char, u64); 4] = [('d', 86_400), ('h', 3_600), ('m', 60), ('s', 1)];

impl FromStr for Span {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || format!("{text:?} is no length of time: write it like 30d, 24h, 15m or 90s");
        let unit = text.chars().last().ok_or_else(wrong)?;
        let (_, seconds) = UNITS.iter().find(|(letter, _)| *letter == unit).ok_or_else(wrong)?;
        let number: u64 = text.trim_end_matches(unit).parse().map_err(|_| wrong())?;
        number.checked_mul(*seconds).map(|s| Self(Duration::from_secs(s))).ok_or_else(wrong)
    }
}

impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let all = self.0.as_secs();
        let fits = |(_, seconds): &&(char, u64)| all >= *seconds && all.is_multiple_of(*seconds);
        let (letter, seconds) = UNITS.iter().find(fits).copied().unwrap_or(('s', 1));
        write!(f, "{}{letter}", all / seconds)
    }
}

impl FromStr for Keep {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text == "off" { Ok(Self::Always) } else { text.parse().map(Self::For) }
    }
}

impl fmt::Display for Keep {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::For(span) => span.fmt(f),
            Self::Always => f.write_str("off"),
        }
    }
}

macro_rules! as_text {
    ($type:ty) => {
        impl Serialize for $type {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }

        impl<'de> Deserialize<'de> for $type {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                String::deserialize(deserializer)?.parse().map_err(de::Error::custom)
            }
        }
    };
}
as_text!(Span);
as_text!(Keep);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_read_as_they_are_written_and_anything_else_is_refused() {
        for (text, seconds) in
            [("30d", 2_592_000), ("24h", 86_400), ("90s", 90), ("15m", 900), ("0s", 0)]
        {
            let span: Span = text.parse().unwrap();
            assert_eq!(span.0, Duration::from_secs(seconds));
            assert_eq!(span.to_string().parse::<Span>().unwrap(), span);
        }
        assert_eq!(Span(Duration::from_hours(48)).to_string(), "2d");
        for text in ["", "d", "30", "3 d", "-1d", "1w", "1.5h", "99999999999999999999d", "dd"] {
            assert!(text.parse::<Span>().is_err(), "{text}");
        }
        assert_eq!("off".parse(), Ok(Keep::Always));
        assert_eq!("1d".parse(), Ok(Keep::For(Span(Duration::from_hours(24)))));
        assert!("of".parse::<Keep>().is_err());
    }
}
