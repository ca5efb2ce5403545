//! Imports: lines of JSON in, one summary out.

use klatch_domain::member::MemberRole;
use klatch_domain::room::{RoomTexts, RoomType, Visibility};
use klatch_domain::{ContentType, Timestamp};
use klatch_ports::api::import::{ImportItem, ImportOutcome};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use utoipa::ToSchema;

use super::decode::{decode, parse, parse_option, word};
use super::message::object;
use crate::problem::{Code, Problem};

/// Most refused lines that a summary tells of one by one.
pub const ERRORS_TOLD_MAX: usize = 1_000;

#[derive(Deserialize)]
struct Kind<'a> {
    #[serde(rename = "type", borrow)]
    kind: std::borrow::Cow<'a, str>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct UserLine {
    #[serde(rename = "type")]
    _kind: String,
    id: String,
    username: Option<String>,
    display_name: Option<String>,
    email: Option<String>,
    #[serde(default)]
    bot: bool,
    created_at: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct RoomLine {
    #[serde(rename = "type")]
    _kind: String,
    id: String,
    room_type: String,
    name: Option<String>,
    visibility: Option<String>,
    description: Option<String>,
    topic: Option<String>,
    avatar: Option<String>,
    created_by: Option<String>,
    created_at: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct MemberLine {
    #[serde(rename = "type")]
    _kind: String,
    #[serde(rename = "id")]
    _id: Option<String>,
    room: String,
    user: String,
    role: Option<String>,
    created_at: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct MessageLine {
    #[serde(rename = "type")]
    _kind: String,
    id: String,
    room: String,
    sender: String,
    content: String,
    content_type: Option<String>,
    metadata: Option<Box<RawValue>>,
    reply_to: Option<String>,
    thread_id: Option<String>,
    created_at: String,
}

/// Reads a line.
///
/// # Errors
/// As [`decode`]; `invalid_field` naming the field.
pub fn line(text: &[u8]) -> Result<ImportItem, Problem> {
    // What is wrong is said by the second reading, which knows the line's fields.
    let kind: Kind<'_> = serde_json::from_slice(text).map_err(|_| {
        let problem = decode::<serde_json::Map<String, serde_json::Value>>(text).err();
        problem.unwrap_or_else(|| Problem::new(Code::MissingField).at("/type"))
    })?;
    match &*kind.kind {
        "user" => user(decode(text)?),
        "room" => room(decode(text)?),
        "member" => member(decode(text)?),
        "message" => message(decode(text)?),
        _ => Err(Problem::invalid_field("type")),
    }
}

fn user(line: UserLine) -> Result<ImportItem, Problem> {
    let UserLine { _kind, id, username, display_name, email, bot, created_at } = line;
    Ok(ImportItem::User {
        id: external(id, "id")?,
        username,
        display_name,
        email,
        bot,
        created_at: parse_option(created_at.as_deref(), "createdAt")?,
    })
}

fn room(line: RoomLine) -> Result<ImportItem, Problem> {
    let RoomLine {
        _kind,
        id,
        room_type,
        name,
        visibility,
        description,
        topic,
        avatar,
        created_by,
        created_at,
    } = line;
    let kind = word(&room_type, "roomType", RoomType::parse)?;
    let visibility = match visibility {
        Some(text) => word(&text, "visibility", Visibility::parse)?,
        None if kind == RoomType::Channel => Visibility::Public,
        None => Visibility::Private,
    };
    Ok(ImportItem::Room {
        id: external(id, "id")?,
        kind,
        visibility,
        texts: RoomTexts { name, description, topic, avatar },
        created_by: created_by.map(|id| external(id, "createdBy")).transpose()?,
        created_at: parse_option(created_at.as_deref(), "createdAt")?,
    })
}

fn member(line: MemberLine) -> Result<ImportItem, Problem> {
    let MemberLine { _kind, _id, room, user, role, created_at } = line;
    let role =
        role.map_or(Ok(MemberRole::Member), |text| word(&text, "role", MemberRole::parse))?;
    Ok(ImportItem::Member {
        room: external(room, "room")?,
        user: external(user, "user")?,
        role,
        created_at: parse_option(created_at.as_deref(), "createdAt")?,
    })
}

fn message(line: MessageLine) -> Result<ImportItem, Problem> {
    let MessageLine {
        _kind,
        id,
        room,
        sender,
        content,
        content_type,
        metadata,
        reply_to,
        thread_id,
        created_at,
    } = line;
    Ok(ImportItem::Message {
        id: external(id, "id")?,
        room: external(room, "room")?,
        sender: external(sender, "sender")?,
        content,
        content_type: content_type
            .map_or(Ok(ContentType::Text), |text| word(&text, "contentType", ContentType::parse))?,
        metadata: object(metadata.as_deref(), "metadata")?,
        reply_to: reply_to.map(|id| external(id, "replyTo")).transpose()?,
        thread: thread_id.map(|id| external(id, "threadId")).transpose()?,
        created_at: parse::<Timestamp>(&created_at, "createdAt")?,
    })
}

/// An id of the source: 1–256 characters.
fn external(id: String, field: &str) -> Result<String, Problem> {
    let fits = !id.is_empty() && id.chars().count() <= 256;
    if fits { Ok(id) } else { Err(Problem::invalid_field(field)) }
}

/// What was done so far, and in the end.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct ImportSummary {
    /// Lines read, empty ones not counted.
    pub lines: u64,
    /// Users added.
    pub users: u64,
    /// Rooms added.
    pub rooms: u64,
    /// Memberships added.
    pub members: u64,
    /// Messages added.
    pub messages: u64,
    /// Lines that were known before.
    pub skipped: u64,
    /// Lines that were refused.
    pub refused: u64,
    /// The first thousand of them.
    pub errors: Vec<LineError>,
    /// Newest place on the log of what was added; reads that name it see all of it.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(example = "m0-5f3a9c21.1234")]
    pub position: Option<String>,
}

/// Why a line was not taken in.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct LineError {
    /// Number of the line, from 1.
    pub line: u64,
    /// Stable code.
    pub code: &'static str,
    /// In words.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub detail: Option<String>,
}

/// What kind of thing a line brings, for counting.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LineKind {
    /// A user.
    User,
    /// A room.
    Room,
    /// A membership.
    Member,
    /// A message.
    Message,
}

impl From<&ImportItem> for LineKind {
    fn from(item: &ImportItem) -> Self {
        match item {
            ImportItem::User { .. } => Self::User,
            ImportItem::Room { .. } => Self::Room,
            ImportItem::Member { .. } => Self::Member,
            ImportItem::Message { .. } => Self::Message,
        }
    }
}

impl ImportSummary {
    /// Counts what became of a line.
    pub fn count(&mut self, line: u64, kind: LineKind, outcome: &ImportOutcome) {
        match outcome {
            ImportOutcome::Added => {
                *match kind {
                    LineKind::User => &mut self.users,
                    LineKind::Room => &mut self.rooms,
                    LineKind::Member => &mut self.members,
                    LineKind::Message => &mut self.messages,
                } += 1;
            }
            ImportOutcome::Skipped => self.skipped += 1,
            ImportOutcome::Refused(error) => self.refuse(line, error.into()),
        }
    }

    /// Counts a line that was refused.
    pub fn refuse(&mut self, line: u64, problem: Problem) {
        self.refused += 1;
        if self.errors.len() < ERRORS_TOLD_MAX {
            let Problem { code, detail, .. } = problem;
            self.errors.push(LineError { line, code: code.as_str(), detail });
        }
    }
}

#[cfg(test)]
mod tests {
    use klatch_domain::Rejection;
    use klatch_ports::api::import::ImportError;

    use super::*;

    #[test]
    fn lines_are_read_whole() {
        let user = line(
            br#"{"type":"user","id":"u1","username":"Ann","createdAt":"2020-01-01T00:00:00Z"}"#,
        );
        assert!(matches!(user, Ok(ImportItem::User { created_at: Some(_), .. })), "{user:?}");
        let room = line(br#"{"type":"room","id":"r1","roomType":"channel","name":"x"}"#);
        let public = Visibility::Public;
        assert!(matches!(room, Ok(ImportItem::Room { visibility, .. }) if visibility == public));
        let member = line(br#"{"role":"owner","type":"member","room":"r1","user":"u1"}"#);
        let owner = MemberRole::Owner;
        assert!(matches!(member, Ok(ImportItem::Member { role, .. }) if role == owner));
        let message = line(
            br#"{"type":"message","id":"m","room":"r1","sender":"u1","content":"x",
            "createdAt":"2020-01-01T00:00:00Z","replyTo":"m0","metadata":{"a": 1}}"#,
        );
        let Ok(ImportItem::Message { metadata, .. }) = message else { panic!("{message:?}") };
        assert_eq!(metadata, r#"{"a":1}"#);
    }

    #[test]
    fn bad_lines_say_what_is_wrong() {
        for (text, code, pointer) in [
            ("", "malformed_json", ""),
            ("{", "malformed_json", ""),
            ("[]", "invalid_field", ""),
            ("{}", "missing_field", "/type"),
            (r#"{"type":"x"}"#, "invalid_field", "/type"),
            (r#"{"type":"user"}"#, "missing_field", "/id"),
            (r#"{"type":"user","id":""}"#, "invalid_field", "/id"),
            (r#"{"type":"user","id":"1","x":1}"#, "unknown_field", "/x"),
            (r#"{"type":"room","id":"1","roomType":"den"}"#, "invalid_field", "/roomType"),
            (r#"{"type":"user","id":"1","createdAt":"now"}"#, "invalid_field", "/createdAt"),
        ] {
            let problem = line(text.as_bytes()).unwrap_err();
            let found = problem.errors.first().map_or("", |error| &error.pointer);
            assert_eq!((problem.code.as_str(), found), (code, pointer), "{text}");
        }
        assert_eq!(line(b"{\"type\":\"\xff\"}").unwrap_err().code, Code::MalformedJson);
    }

    #[test]
    fn a_summary_counts_all_and_tells_of_a_thousand() {
        let mut summary = ImportSummary::default();
        summary.count(1, LineKind::User, &ImportOutcome::Added);
        summary.count(2, LineKind::User, &ImportOutcome::Skipped);
        let refused = ImportOutcome::Refused(ImportError::Rejected(Rejection::OutOfOrder));
        for number in 3..2_003 {
            summary.count(number, LineKind::Message, &refused);
        }
        assert_eq!((summary.users, summary.skipped, summary.refused), (1, 1, 2_000));
        assert_eq!(summary.errors.len(), ERRORS_TOLD_MAX);
        assert_eq!((summary.errors[0].line, summary.errors[0].code), (3, "out_of_order"));
    }
}
