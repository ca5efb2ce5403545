//! Rooms, their settings, and the state a command is decided on.

use crate::clock::Timestamp;
use crate::id::{RoomId, UserId};
use crate::limits;
use crate::message::{Ordinal, Seq};
use crate::rejection::Rejection;
use crate::seen::is_unseen;

/// What kind of place a room is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum RoomType {
    /// Two people (or one with themselves), unique per pair.
    Direct,
    /// A few people without a public name.
    Group,
    /// A named place, public or private.
    Channel,
}

impl RoomType {
    /// The word on every surface.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Direct => "direct",
            Self::Group => "group",
            Self::Channel => "channel",
        }
    }

    /// Reads the word.
    pub fn parse(text: &str) -> Option<Self> {
        [Self::Direct, Self::Group, Self::Channel].into_iter().find(|kind| kind.as_str() == text)
    }
}

/// Who may find and read a room.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Visibility {
    /// Everyone on the server may read and join.
    Public,
    /// Members only; others are told it does not exist.
    Private,
}

impl Visibility {
    /// The word on every surface.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Public => "public",
            Self::Private => "private",
        }
    }

    /// Reads the word.
    pub fn parse(text: &str) -> Option<Self> {
        [Self::Public, Self::Private].into_iter().find(|kind| kind.as_str() == text)
    }
}

/// A room's identity and settings, as of its latest change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Room {
    /// Identity.
    pub id: RoomId,
    /// Kind of place.
    pub kind: RoomType,
    /// Who may find it.
    pub visibility: Visibility,
    /// Names and texts.
    pub texts: RoomTexts,
    /// Who made it.
    pub created_by: UserId,
    /// When it began.
    pub created_at: Timestamp,
    /// Closed for writing, open for reading.
    pub archived: bool,
    /// Gone; kept so that its id is not used again and its log can be explained.
    pub deleted: bool,
    /// Members now.
    pub member_count: u64,
    /// The event that changed this row last.
    pub changed_seq: Seq,
}

/// The texts of a room; `None` where never set.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RoomTexts {
    /// Name; channels must have one.
    pub name: Option<String>,
    /// What it is for.
    pub description: Option<String>,
    /// What it is about now.
    pub topic: Option<String>,
    /// Address of a picture.
    pub avatar: Option<String>,
}

/// A wish to change some texts; `None` leaves a text as it is, `Some(None)` clears it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RoomTextsPatch {
    /// New name.
    pub name: Option<Option<String>>,
    /// New description.
    pub description: Option<Option<String>>,
    /// New topic.
    pub topic: Option<Option<String>>,
    /// New picture.
    pub avatar: Option<Option<String>>,
}

impl RoomTextsPatch {
    /// Whether it would change nothing.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// `texts` with the wish carried out.
    #[must_use]
    pub fn apply(&self, texts: &RoomTexts) -> RoomTexts {
        let pick = |wish: &Option<Option<String>>, old: &Option<String>| {
            wish.clone().unwrap_or_else(|| old.clone())
        };
        RoomTexts {
            name: pick(&self.name, &texts.name),
            description: pick(&self.description, &texts.description),
            topic: pick(&self.topic, &texts.topic),
            avatar: pick(&self.avatar, &texts.avatar),
        }
    }
}

impl RoomTexts {
    /// The texts trimmed and checked for a room of `kind`.
    ///
    /// # Errors
    /// [`Rejection::InvalidField`] naming the text that does not fit.
    pub fn checked(self, kind: RoomType) -> Result<Self, Rejection> {
        let name = bounded(self.name, limits::ROOM_NAME_CHARS_MAX, "name")?;
        if name.as_ref().is_some_and(|name| name.chars().any(is_unseen)) {
            return Err(Rejection::InvalidField("name"));
        }
        if kind == RoomType::Channel && name.is_none() {
            return Err(Rejection::InvalidField("name"));
        }
        Ok(Self {
            name,
            description: bounded(self.description, limits::ROOM_TEXT_CHARS_MAX, "description")?,
            topic: bounded(self.topic, limits::ROOM_TEXT_CHARS_MAX, "topic")?,
            avatar: bounded(self.avatar, limits::ROOM_TEXT_CHARS_MAX, "avatar")?,
        })
    }
}

fn bounded(
    text: Option<String>,
    max: usize,
    field: &'static str,
) -> Result<Option<String>, Rejection> {
    let Some(text) = text else { return Ok(None) };
    let text = text.trim();
    if text.chars().count() > max || text.chars().any(|c| c.is_control() && c != '\n') {
        return Err(Rejection::InvalidField(field));
    }
    Ok((!text.is_empty()).then(|| text.to_owned()))
}

/// The end of a room's timeline: what the next event is computed from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RoomHead {
    /// Seq of the newest event; 0 before the first.
    pub seq: Seq,
    /// Ordinal of the newest message of the main history; 0 before the first.
    pub ordinal: Ordinal,
    /// Time of the newest event; a later event never carries an earlier one.
    pub time: Timestamp,
    /// Time of the newest message, or of the room's beginning, for lists by activity.
    pub active_at: Timestamp,
}

impl RoomHead {
    /// The time the next event carries: never before the head's.
    pub fn next_time(&self, now: Timestamp) -> Timestamp {
        now.max(self.time)
    }
}
