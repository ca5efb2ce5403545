//! Time and randomness as parameters, so that every run can be repeated.

use std::fmt;

/// UTC milliseconds since the Unix epoch.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Timestamp(pub u64);

impl Timestamp {
    /// The largest time a 48-bit `UUIDv7` can carry.
    pub const MAX: Self = Self((1 << 48) - 1);

    /// This time and `ms` milliseconds more, held below [`Timestamp::MAX`].
    #[must_use]
    pub fn plus_ms(self, ms: u64) -> Self {
        Self(self.0.saturating_add(ms).min(Self::MAX.0))
    }

    /// Milliseconds since `earlier`; zero when `earlier` is later.
    pub fn ms_since(self, earlier: Self) -> u64 {
        self.0.saturating_sub(earlier.0)
    }
}

impl fmt::Display for Timestamp {
    /// RFC 3339 in UTC with milliseconds, e.g. `2026-11-21T10:04:05.678Z`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (days, ms) = (self.0 / 86_400_000, self.0 % 86_400_000);
        let (year, month, day) = civil_from_days(days);
        let (h, m, s) = (ms / 3_600_000, ms / 60_000 % 60, ms / 1_000 % 60);
        if year > 9_999 {
            return write!(f, "{year}-{month:02}-{day:02}T{h:02}:{m:02}:{s:02}.{:03}Z", ms % 1_000);
        }
        // Every event is told with its time, so it is put together without the formatter.
        let mut text = *b"0000-00-00T00:00:00.000Z";
        let mut put = |end: usize, digits: usize, mut number: u64| {
            for digit in text.iter_mut().take(end).rev().take(digits) {
                *digit = b'0' + u8::try_from(number % 10).unwrap_or(0);
                number /= 10;
            }
        };
        put(4, 4, year);
        put(7, 2, month);
        put(10, 2, day);
        put(13, 2, h);
        put(16, 2, m);
        put(19, 2, s);
        put(23, 3, ms % 1_000);
        f.write_str(std::str::from_utf8(&text).map_err(|_| fmt::Error)?)
    }
}

/// Why a text is not a time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not an RFC 3339 time between 1970 and 9999")]
pub struct TimeError;

impl std::str::FromStr for Timestamp {
    type Err = TimeError;

    /// Reads RFC 3339 with any offset and up to nine digits of a second (cut to milliseconds).
    fn from_str(text: &str) -> Result<Self, TimeError> {
        parse_rfc3339(text).ok_or(TimeError)
    }
}

fn parse_rfc3339(text: &str) -> Option<Timestamp> {
    let bytes = text.as_bytes();
    let number = |from: usize, len: usize| -> Option<u64> {
        let part = bytes.get(from..from + len)?;
        part.iter().try_fold(0u64, |n, b| b.is_ascii_digit().then(|| n * 10 + u64::from(b - b'0')))
    };
    let sign_ok = bytes.get(4) == Some(&b'-')
        && bytes.get(7) == Some(&b'-')
        && matches!(bytes.get(10)?, b'T' | b't' | b' ')
        && bytes.get(13) == Some(&b':')
        && bytes.get(16) == Some(&b':');
    let (year, month, day) = (number(0, 4)?, number(5, 2)?, number(8, 2)?);
    let (hour, minute, second) = (number(11, 2)?, number(14, 2)?, number(17, 2)?);
    if !sign_ok || year < 1970 || hour > 23 || minute > 59 || second > 60 {
        return None;
    }
    let (millis, rest) = fraction(bytes.get(19..)?)?;
    let offset_minutes = offset(rest)?;
    let days = days_from_civil(year, month, day)?;
    let local = ((days * 24 + hour) * 60 + minute) * 60_000 + second.min(59) * 1_000 + millis;
    let ms = i64::try_from(local).ok()? - offset_minutes * 60_000;
    u64::try_from(ms).ok().map(Timestamp)
}

fn fraction(rest: &[u8]) -> Option<(u64, &[u8])> {
    let Some((b'.', digits)) = rest.split_first() else { return Some((0, rest)) };
    let len = digits.iter().take_while(|b| b.is_ascii_digit()).count();
    if len == 0 || len > 9 {
        return None;
    }
    let (digits, rest) = digits.split_at(len);
    let millis = (0..3).fold(0, |n, i| n * 10 + digits.get(i).map_or(0, |b| u64::from(b - b'0')));
    Some((millis, rest))
}

fn offset(rest: &[u8]) -> Option<i64> {
    match rest {
        b"Z" | b"z" => Some(0),
        [sign @ (b'+' | b'-'), h1, h0, b':', m1, m0] => {
            let digit = |b: &u8| b.is_ascii_digit().then(|| i64::from(b - b'0'));
            let hours = digit(h1)? * 10 + digit(h0)?;
            let minutes = digit(m1)? * 10 + digit(m0)?;
            if hours > 23 || minutes > 59 {
                return None;
            }
            let total = hours * 60 + minutes;
            Some(if *sign == b'-' { -total } else { total })
        }
        _ => None,
    }
}

// Both conversions follow Howard Hinnant's public "chrono-compatible low-level date algorithms".
fn civil_from_days(days: u64) -> (u64, u64, u64) {
    let z = days + 719_468;
    let era = z / 146_097;
    let doe = z % 146_097;
    let yoe = (doe - doe / 1_460 + doe / 36_524 - doe / 146_096) / 365;
    let doy = doe - (365 * yoe + yoe / 4 - yoe / 100);
    let mp = (5 * doy + 2) / 153;
    let day = doy - (153 * mp + 2) / 5 + 1;
    let month = if mp < 10 { mp + 3 } else { mp - 9 };
    let year = yoe + era * 400 + u64::from(month <= 2);
    (year, month, day)
}

fn days_from_civil(year: u64, month: u64, day: u64) -> Option<u64> {
    if !(1..=12).contains(&month) || day == 0 || day > days_in_month(year, month) {
        return None;
    }
    let y = if month <= 2 { year - 1 } else { year };
    let era = y / 400;
    let yoe = y - era * 400;
    let mp = (month + 9) % 12;
    let doy = (153 * mp + 2) / 5 + day - 1;
    let doe = yoe * 365 + yoe / 4 - yoe / 100 + doy;
    (era * 146_097 + doe).checked_sub(719_468)
}

fn days_in_month(year: u64, month: u64) -> u64 {
    let leap = year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400));
    match month {
        2 if leap => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

/// Tells the time of day. Never decides order: seq does.
pub trait Clock: Send + Sync + std::fmt::Debug {
    /// Now, in UTC milliseconds. May jump in either direction.
    fn now(&self) -> Timestamp;
}

/// Source of randomness for ids, keys and nonces.
pub trait Entropy: Send + Sync + std::fmt::Debug {
    /// Fills `out` with unpredictable bytes.
    fn fill(&self, out: &mut [u8]);

    /// Sixteen fresh bytes.
    fn bytes16(&self) -> [u8; 16] {
        let mut out = [0; 16];
        self.fill(&mut out);
        out
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_times_read_and_print_alike() {
        for (text, ms) in [
            ("1970-01-01T00:00:00.000Z", 0),
            ("2004-12-25T09:14:00.001Z", 1_103_966_040_001),
            ("2024-02-29T23:59:59.999Z", 1_709_251_199_999),
        ] {
            assert_eq!(text.parse(), Ok(Timestamp(ms)));
            assert_eq!(Timestamp(ms).to_string(), text);
        }
        assert_eq!("2024-02-29T23:59:59+01:00".parse(), Ok(Timestamp(1_709_247_599_000)));
    }

    #[test]
    fn absurd_times_are_refused() {
        for text in [
            "",
            "2023-02-29T00:00:00Z",
            "2024-13-01T00:00:00Z",
            "2024-01-01",
            "x",
            "2024-01-01T24:00:00Z",
            "2024-01-01T00:00:00",
            "1969-12-31T23:59:59Z",
            "1970-01-01T00:00:00+01:00",
            "2024-01-01T00:00:00.Z",
            "2024-01-01T00:00:00Z ",
        ] {
            assert_eq!(text.parse::<Timestamp>(), Err(TimeError), "{text}");
        }
    }

    proptest::proptest! {
        #[test]
        fn every_time_survives_print_and_parse(ms in 0u64..253_402_300_800_000) {
            proptest::prop_assert_eq!(Timestamp(ms).to_string().parse(), Ok(Timestamp(ms)));
        }
    }
}
