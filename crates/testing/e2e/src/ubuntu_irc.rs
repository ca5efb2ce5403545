//! Public chat of the Ubuntu support channel, from lines of the corpus to lines of an import.
//!
//! A line of the source is `{"room", "line", "time"}` and either `sender` and `text`, what a
//! person wrote, or `system`, what the server said; those are left out. `replyTo` holds the
//! numbers of the lines answered: the first becomes the reply, all others go into the metadata,
//! like `action` (`/me`).

use std::collections::{BTreeMap, HashSet};
use std::fs::File;
use std::io::{BufRead, BufReader, Read as _, Seek as _, Write};
use std::path::Path;

use anyhow::{Context as _, Result};
use flate2::read::MultiGzDecoder;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// Opens a file of the corpus, plain or compressed with gzip.
///
/// # Errors
/// It cannot be read.
pub fn open(path: &Path) -> Result<Box<dyn BufRead>> {
    let shown = || format!("opening {}", path.display());
    let mut file = File::open(path).with_context(shown)?;
    let mut magic = [0; 2];
    let is_gzip = file.read_exact(&mut magic).is_ok() && magic == [0x1f, 0x8b];
    file.rewind().with_context(shown)?;
    Ok(if is_gzip {
        Box::new(BufReader::new(MultiGzDecoder::new(file)))
    } else {
        Box::new(BufReader::new(file))
    })
}

/// A line of the corpus.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Line {
    /// The file of the corpus.
    pub room: String,
    /// Its number there, from 0.
    pub line: u64,
    /// UTC, rising within a room.
    pub time: String,
    /// Who wrote it; absent when the server said it.
    pub sender: Option<String>,
    /// What a person wrote.
    pub text: Option<String>,
    /// What the server said.
    pub system: Option<String>,
    /// Written as `/me`.
    #[serde(default)]
    pub action: bool,
    /// The lines of the room that it answers.
    #[serde(default)]
    pub reply_to: Vec<u64>,
}

/// A message as it must be found after the import.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    /// Its line in the room.
    pub line: u64,
    /// When it was written.
    pub time: String,
    /// Nickname of who wrote it.
    pub sender: String,
    /// The words.
    pub text: String,
    /// Line that it answers.
    pub reply_to: Option<u64>,
    /// What else is known of it.
    pub metadata: Map<String, Value>,
}

/// A whole conversation: rooms by name, each with its messages in order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Conversation {
    /// Messages by room, in order.
    pub rooms: BTreeMap<String, Vec<Message>>,
}

impl Conversation {
    /// Reads the corpus. System lines are left out.
    ///
    /// # Errors
    /// A line that is not of the shape above, with its number.
    pub fn read(source: impl BufRead) -> Result<Self> {
        let mut conversation = Self::default();
        for (number, text) in source.lines().enumerate() {
            let text = text.with_context(|| format!("reading line {}", number + 1))?;
            let line: Line =
                serde_json::from_str(&text).with_context(|| format!("line {}", number + 1))?;
            let room = line.room.clone();
            if let Some(message) = message_of(line) {
                conversation.rooms.entry(room).or_default().push(message);
            }
        }
        Ok(conversation)
    }

    /// All nicknames.
    pub fn nicknames(&self) -> HashSet<&str> {
        self.rooms.values().flatten().map(|message| message.sender.as_str()).collect()
    }

    /// How many messages there are.
    pub fn messages(&self) -> usize {
        self.rooms.values().map(Vec::len).sum()
    }
}

fn message_of(line: Line) -> Option<Message> {
    let Line { room, line, time, sender, text, system: _, action, reply_to } = line;
    let mut metadata = Map::new();
    if action {
        metadata.insert("action".to_owned(), Value::Bool(true));
    }
    let also: Vec<Value> = reply_to.iter().skip(1).map(|line| id_of(&room, *line).into()).collect();
    if !also.is_empty() {
        metadata.insert("alsoRepliesTo".to_owned(), Value::Array(also));
    }
    let reply_to = reply_to.first().copied();
    Some(Message { line, time, sender: sender?, text: text?, reply_to, metadata })
}

/// The external id of a message.
pub fn id_of(room: &str, line: u64) -> String {
    format!("{room}/{line}")
}

#[derive(Serialize)]
#[serde(tag = "type", rename_all = "camelCase", rename_all_fields = "camelCase")]
enum ImportLine<'a> {
    User {
        id: &'a str,
        display_name: &'a str,
    },
    Room {
        id: &'a str,
        room_type: &'a str,
        name: &'a str,
        description: &'a str,
    },
    Message {
        id: String,
        room: &'a str,
        sender: &'a str,
        content: &'a str,
        created_at: &'a str,
        #[serde(skip_serializing_if = "Option::is_none")]
        reply_to: Option<String>,
        #[serde(skip_serializing_if = "Map::is_empty")]
        metadata: &'a Map<String, Value>,
    },
}

/// Writes the conversation as an import: each room, each person when they first speak, and every
/// message, in order.
///
/// # Errors
/// What the writer says.
pub fn write_import(conversation: &Conversation, mut out: impl Write) -> Result<()> {
    let mut known = HashSet::new();
    for (room, messages) in &conversation.rooms {
        let description = "From the corpus of Kummerfeld et al., ACL 2019 (CC BY 4.0)";
        put(
            &mut out,
            &ImportLine::Room { id: room, room_type: "channel", name: room, description },
        )?;
        // People first, so that they are made together.
        for message in messages {
            if known.insert(message.sender.as_str()) {
                let nick = message.sender.as_str();
                put(&mut out, &ImportLine::User { id: nick, display_name: nick })?;
            }
        }
        for message in messages {
            let line = ImportLine::Message {
                id: id_of(room, message.line),
                room,
                sender: &message.sender,
                content: &message.text,
                created_at: &message.time,
                reply_to: message.reply_to.map(|line| id_of(room, line)),
                metadata: &message.metadata,
            };
            put(&mut out, &line)?;
        }
    }
    out.flush()?;
    Ok(())
}

fn put(out: &mut impl Write, line: &ImportLine<'_>) -> Result<()> {
    serde_json::to_writer(&mut *out, line)?;
    out.write_all(b"\n")?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    const SOURCE: &str = r#"
{"room": "r", "line": 0, "time": "2004-12-25T09:14:00.000Z", "sender": "a[1]", "text": "hi"}
{"room": "r", "line": 1, "time": "2004-12-25T09:14:00.001Z", "system": "b has joined"}
{"room": "r", "line": 2, "time": "2004-12-25T09:15:00.000Z", "sender": "b", "text": "waves", "action": true, "replyTo": [0]}
{"room": "r", "line": 3, "time": "2004-12-25T09:15:00.001Z", "sender": "a[1]", "text": "x", "replyTo": [2, 0]}
"#;

    #[test]
    fn system_lines_are_left_out_and_further_replies_go_into_the_metadata() {
        let conversation = Conversation::read(SOURCE.trim_start().as_bytes()).unwrap();
        assert_eq!((conversation.messages(), conversation.nicknames().len()), (3, 2));
        let last = &conversation.rooms["r"][2];
        assert_eq!((last.line, last.reply_to), (3, Some(2)));
        assert_eq!(last.metadata["alsoRepliesTo"], serde_json::json!(["r/0"]));
        assert_eq!(conversation.rooms["r"][1].metadata["action"], true);
    }

    #[test]
    fn an_import_has_rooms_and_people_before_what_names_them() {
        let conversation = Conversation::read(SOURCE.trim_start().as_bytes()).unwrap();
        let mut out = Vec::new();
        write_import(&conversation, &mut out).unwrap();
        let text = String::from_utf8(out).unwrap();
        let lines: Vec<Value> =
            text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        let kinds: Vec<&str> = lines.iter().map(|line| line["type"].as_str().unwrap()).collect();
        assert_eq!(kinds, ["room", "user", "user", "message", "message", "message"]);
        assert_eq!(lines[1]["displayName"], "a[1]");
        assert_eq!(lines[4]["replyTo"], "r/0");
        assert_eq!(lines[3].get("metadata"), None);
    }

    #[test]
    fn a_line_of_another_shape_is_named() {
        let error = Conversation::read("{\"room\": \"r\"}\n".as_bytes()).unwrap_err();
        assert_eq!(error.to_string(), "line 1");
    }
}
