//! Presence: what people's devices and people themselves say of whether they are there, and what
//! others see of it.

use crate::clock::Timestamp;
use crate::rejection::Rejection;

/// Most characters in the text of a custom status.
pub const STATUS_TEXT_CHARS_MAX: usize = 140;
/// Most characters in its emoji: one emoji, however it is put together, or its short name.
pub const STATUS_EMOJI_CHARS_MAX: usize = 32;
/// Longest life of a choice that ends by itself, in milliseconds: a year.
pub const STATUS_LIFE_MS_MAX: u64 = 366 * 24 * 3_600_000;

/// Whether someone is there. A later one prevails over an earlier one when devices differ: who asks
/// on one device not to be disturbed is not to be disturbed, who is active on one is there.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum Status {
    /// Not connected, or connected without wanting it known.
    #[default]
    Offline,
    /// Connected, not active.
    Away,
    /// Connected and active.
    Online,
    /// There, but not to be disturbed.
    Dnd,
}

impl Status {
    /// All of them, the strongest last.
    pub const ALL: [Self; 4] = [Self::Offline, Self::Away, Self::Online, Self::Dnd];

    /// The word on every surface.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Offline => "offline",
            Self::Away => "away",
            Self::Online => "online",
            Self::Dnd => "dnd",
        }
    }

    /// Reads the word.
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|status| status.as_str() == text)
    }

    /// What several devices come to: the strongest. May be applied to groups of devices and then
    /// to the groups, in any order.
    pub fn merged(devices: impl IntoIterator<Item = Self>) -> Self {
        devices.into_iter().max().unwrap_or_default()
    }
}

/// What a person chose to say of themselves, on all devices, until they choose anew.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Choice {
    /// Shown instead of what the devices say, while any is connected.
    pub status: Option<Status>,
    /// In a few words.
    pub text: Option<String>,
    /// Beside the words.
    pub emoji: Option<String>,
    /// When all of it ends.
    pub until: Option<Timestamp>,
    /// When it was chosen.
    pub since: Timestamp,
}

impl Choice {
    /// The choice with its texts trimmed; empty ones are none.
    ///
    /// # Errors
    /// [`Rejection::InvalidField`] for texts that are too long or hold control characters, and for
    /// an end that has passed or is more than a year away.
    pub fn checked(self, now: Timestamp) -> Result<Self, Rejection> {
        let text = tidy(self.text, STATUS_TEXT_CHARS_MAX, "text")?;
        let emoji = tidy(self.emoji, STATUS_EMOJI_CHARS_MAX, "emoji")?;
        if self.until.is_some_and(|until| until <= now || until.ms_since(now) > STATUS_LIFE_MS_MAX)
        {
            return Err(Rejection::InvalidField("expiresAt"));
        }
        Ok(Self { text, emoji, since: now, ..self })
    }

    /// Whether it says nothing.
    pub fn is_empty(&self) -> bool {
        self.status.is_none() && self.text.is_none() && self.emoji.is_none()
    }

    /// Whether it has ended.
    pub fn is_over(&self, now: Timestamp) -> bool {
        self.until.is_some_and(|until| until <= now)
    }
}

fn tidy(
    text: Option<String>,
    chars_max: usize,
    field: &'static str,
) -> Result<Option<String>, Rejection> {
    let Some(text) = text else { return Ok(None) };
    let trimmed = text.trim();
    if trimmed.chars().count() > chars_max || trimmed.chars().any(char::is_control) {
        return Err(Rejection::InvalidField(field));
    }
    Ok((!trimmed.is_empty()).then(|| trimmed.to_owned()))
}

/// A person as others see them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Presence {
    /// Whether they are there.
    pub status: Status,
    /// What they say of it.
    pub text: Option<String>,
    /// Beside the words.
    pub emoji: Option<String>,
    /// When what they chose ends.
    pub until: Option<Timestamp>,
    /// When they were there last; only of whom is offline, and only if it is known.
    pub last_seen: Option<Timestamp>,
}

impl Presence {
    /// What others see at `now` of someone whose devices come to `devices`, who chose `choice`, and
    /// whose last device left at `left`.
    ///
    /// Nobody can be made to look as if they were there. Whoever chose to look offline was seen
    /// last when they chose it, whatever they did since.
    pub fn seen(
        devices: Status,
        choice: Option<&Choice>,
        left: Option<Timestamp>,
        now: Timestamp,
    ) -> Self {
        let choice = choice.filter(|choice| !choice.is_over(now));
        let chosen = choice.and_then(|choice| choice.status);
        let status = match devices {
            Status::Offline => Status::Offline,
            there => chosen.unwrap_or(there),
        };
        let hidden_since = choice.filter(|_| chosen == Some(Status::Offline)).map(|c| c.since);
        let last_seen = match (status, hidden_since) {
            (Status::Offline, Some(since)) => Some(left.map_or(since, |left| left.min(since))),
            (Status::Offline, None) => left,
            _ => None,
        };
        Self {
            status,
            text: choice.and_then(|choice| choice.text.clone()),
            emoji: choice.and_then(|choice| choice.emoji.clone()),
            // When someone stops hiding is theirs to know.
            until: choice.filter(|_| hidden_since.is_none()).and_then(|choice| choice.until),
            last_seen,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const NOW: Timestamp = Timestamp(1_000_000);

    fn choice(status: Option<Status>) -> Choice {
        Choice { status, since: Timestamp(500), ..Choice::default() }
    }

    fn statuses() -> impl Strategy<Value = Status> {
        prop::sample::select(Status::ALL.to_vec())
    }

    /// The rule in words, without the order of the words.
    fn model(devices: &[Status]) -> Status {
        let any = |status| devices.contains(&status);
        if any(Status::Dnd) {
            Status::Dnd
        } else if any(Status::Online) {
            Status::Online
        } else if any(Status::Away) {
            Status::Away
        } else {
            Status::Offline
        }
    }

    proptest! {
        #[test]
        fn devices_merge_as_the_rule_says_whatever_instance_they_are_on(
            devices in prop::collection::vec((0usize..4, statuses()), 0..12),
            chosen in prop::option::of(statuses()),
            over in any::<bool>(),
        ) {
            let flat: Vec<Status> = devices.iter().map(|(_, status)| *status).collect();
            let on = |instance: usize| {
                let here = devices.iter().filter(move |(at, _)| *at == instance);
                Status::merged(here.map(|(_, status)| *status))
            };
            let merged = Status::merged((0..4).rev().map(on));
            prop_assert_eq!(merged, model(&flat));
            let until = over.then_some(NOW);
            let choice = Choice { until, ..choice(chosen) };
            let seen = Presence::seen(merged, Some(&choice), None, NOW).status;
            let wanted = match (model(&flat), chosen) {
                (Status::Offline, _) => Status::Offline,
                (_, Some(chosen)) if !over => chosen,
                (there, _) => there,
            };
            prop_assert_eq!(seen, wanted);
        }
    }

    #[test]
    fn who_hides_was_seen_last_when_they_hid() {
        let hidden = choice(Some(Status::Offline));
        let seen = |devices, left: Option<u64>| {
            Presence::seen(devices, Some(&hidden), left.map(Timestamp), NOW).last_seen
        };
        assert_eq!(seen(Status::Online, None), Some(Timestamp(500)));
        assert_eq!(seen(Status::Offline, Some(900)), Some(Timestamp(500)));
        assert_eq!(seen(Status::Online, Some(100)), Some(Timestamp(100)));
        let plain = Presence::seen(Status::Offline, None, Some(Timestamp(900)), NOW);
        assert_eq!(plain.last_seen, Some(Timestamp(900)));
        let there = Presence::seen(Status::Online, None, Some(Timestamp(900)), NOW);
        assert_eq!(there.last_seen, None);
    }

    #[test]
    fn a_custom_status_stays_while_offline_and_ends_on_time() {
        let until = Some(NOW.plus_ms(10));
        let text = Some("at lunch".to_owned());
        let choice = Choice { text: text.clone(), until, ..choice(None) };
        let at = |now| Presence::seen(Status::Offline, Some(&choice), None, now);
        assert_eq!((at(NOW).text, at(NOW).until), (text, until));
        assert_eq!(at(NOW.plus_ms(10)), Presence::default());
    }

    #[test]
    fn choices_are_trimmed_and_bad_ones_name_their_field() {
        let with = |text: &str, emoji: &str, until: Option<u64>| {
            let (text, emoji) = (Some(text.to_owned()), Some(emoji.to_owned()));
            Choice { text, emoji, until: until.map(Timestamp), ..Choice::default() }.checked(NOW)
        };
        let good = with("  busy ", " ", None).unwrap();
        assert_eq!((good.text.as_deref(), good.emoji, good.since), (Some("busy"), None, NOW));
        assert!(with("", "", None).unwrap().is_empty());
        assert!(with(&"ü".repeat(140), "🏖", Some(NOW.0 + 1)).is_ok());
        let refused = |outcome: Result<Choice, Rejection>| match outcome {
            Err(Rejection::InvalidField(field)) => field,
            other => panic!("{other:?}"),
        };
        assert_eq!(refused(with(&"x".repeat(141), "", None)), "text");
        assert_eq!(refused(with("a\nb", "", None)), "text");
        assert_eq!(refused(with("", &"x".repeat(33), None)), "emoji");
        assert_eq!(refused(with("", "", Some(NOW.0))), "expiresAt");
        let far = NOW.0 + STATUS_LIFE_MS_MAX + 1;
        assert_eq!(refused(with("", "", Some(far))), "expiresAt");
    }

    #[test]
    fn words_are_read_as_written() {
        for status in Status::ALL {
            assert_eq!(Status::parse(status.as_str()), Some(status));
        }
        for odd in ["", "Online", "busy", "online "] {
            assert_eq!(Status::parse(odd), None);
        }
    }
}
