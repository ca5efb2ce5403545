//! The users and rooms of a workload, brought into the server by the bulk import.

use std::collections::HashMap;
use std::fmt::Write as _;
use std::ops::Range;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};

use crate::http::Http;
use crate::server::Server;

/// Lines of one import request: a few megabytes.
const LINES: usize = 20_000;
/// How often a request is repeated that the server did not get done.
const TRIES: u32 = 5;

const LONG_AGO: &str = "2026-01-01T00:00:00.000Z";

/// A room with its members.
pub(crate) struct Room {
    /// The id that the server gave it.
    pub(crate) id: String,
    /// Numbers of users.
    pub(crate) members: Vec<u32>,
}

pub(crate) struct World {
    pub(crate) rooms: Vec<Room>,
}

/// What is to be brought in.
#[derive(Clone, Debug, Default)]
pub(crate) struct Cast {
    /// Members of each room.
    pub(crate) rooms: Vec<Vec<u32>>,
    /// More members, of every room.
    pub(crate) everywhere: Range<u32>,
    /// Someone with so many more rooms, in which nobody else is.
    pub(crate) alone: Option<(u32, u32)>,
}

/// The name of a user, which is also the `sub` of tokens.
pub(crate) fn user(number: u32) -> String {
    format!("bench-u{number}")
}

fn room(number: usize) -> String {
    format!("bench-r{number}")
}

/// Sends lines to the import and checks its summary.
pub(crate) struct Import {
    http: Http,
    lines: String,
    count: usize,
    /// Seconds spent in requests.
    pub(crate) total: usize,
}

impl Import {
    pub(crate) fn open(server: &Server) -> Result<Self> {
        let http = server.http(Some(&server.admin_token()?))?;
        Ok(Self { http, lines: String::new(), count: 0, total: 0 })
    }

    pub(crate) fn line(&mut self, line: &serde_json::Value) -> Result<()> {
        writeln!(self.lines, "{line}")?;
        self.count += 1;
        if self.count >= LINES { self.flush() } else { Ok(()) }
    }

    fn room(&mut self, name: &str, visibility: &str) -> Result<()> {
        self.line(&serde_json::json!({
            "type": "room", "id": name, "roomType": "channel", "name": name,
            "visibility": visibility, "createdAt": LONG_AGO,
        }))
    }

    fn member(&mut self, room: &str, member: u32) -> Result<()> {
        self.line(&serde_json::json!({
            "type": "member", "room": room, "user": user(member), "createdAt": LONG_AGO,
        }))
    }

    pub(crate) fn flush(&mut self) -> Result<()> {
        if self.count == 0 {
            return Ok(());
        }
        let headers = [("Content-Type", "application/x-ndjson")];
        let mut tries = 0;
        // What was taken in is skipped the next time: a busy server may be asked again.
        let answer = loop {
            let body = self.lines.as_bytes();
            let answer = self.http.request("POST", "/api/v1/admin/import", &headers, body)?;
            tries += 1;
            if tries == TRIES || !matches!(answer.status, 503 | 504) {
                break answer.json().context("the import")?;
            }
            std::thread::sleep(Duration::from_secs(1));
        };
        let refused = answer.get("refused").and_then(serde_json::Value::as_u64).unwrap_or(0);
        ensure!(refused == 0, "the import refused lines: {}", short(&answer));
        let none =
            answer.get("errors").and_then(|errors| errors.as_array()).is_none_or(Vec::is_empty);
        ensure!(none, "the import refused lines: {}", short(&answer));
        let lines = answer.get("lines").and_then(serde_json::Value::as_u64);
        ensure!(
            lines == Some(self.count as u64),
            "the import took other lines: {}",
            short(&answer)
        );
        self.total += self.count;
        self.count = 0;
        self.lines.clear();
        Ok(())
    }
}

fn short(value: &serde_json::Value) -> String {
    value.to_string().chars().take(600).collect()
}

impl World {
    /// Imports `rooms` public channels whose members are given, and learns their ids.
    pub(crate) fn import(server: &Server, rooms: &[Vec<u32>]) -> Result<Self> {
        Self::bring_in(server, &Cast { rooms: rooms.to_vec(), ..Cast::default() })
    }

    /// Imports users, rooms and members, and learns the ids of the public rooms.
    pub(crate) fn bring_in(server: &Server, cast: &Cast) -> Result<Self> {
        let mut import = Import::open(server)?;
        let members = cast.rooms.iter().flatten().copied().chain(cast.everywhere.clone());
        let mut users: Vec<u32> = members.chain(cast.alone.map(|(user, _)| user)).collect();
        users.sort_unstable();
        users.dedup();
        for number in users {
            let name = user(number);
            let line = serde_json::json!({
                "type": "user", "id": name, "username": name, "displayName": name,
                "createdAt": LONG_AGO,
            });
            import.line(&line)?;
        }
        for (number, members) in cast.rooms.iter().enumerate() {
            import.room(&room(number), "public")?;
            for member in members.iter().copied().chain(cast.everywhere.clone()) {
                import.member(&room(number), member)?;
            }
        }
        if let Some((user, count)) = cast.alone {
            for number in 0..count {
                let name = format!("bench-alone-{number}");
                import.room(&name, "private")?;
                import.member(&name, user)?;
            }
        }
        import.flush()?;
        let ids = Self::ids(server, &cast.rooms)?;
        let named = cast.rooms.iter().enumerate().map(|(number, members)| {
            let id = ids.get(&room(number)).cloned();
            let id = id.with_context(|| format!("room {} is in no list", room(number)))?;
            Ok(Room { id, members: members.clone() })
        });
        Ok(Self { rooms: named.collect::<Result<_>>()? })
    }

    /// Names to ids, from the list of public rooms.
    fn ids(server: &Server, rooms: &[Vec<u32>]) -> Result<HashMap<String, String>> {
        let first = rooms.iter().flatten().next().copied().context("a world without members")?;
        let mut http = server.http_as(&user(first))?;
        let mut ids = HashMap::new();
        let mut cursor = String::new();
        // Each page brings rooms, so this ends; twice the pages needed is a server's mistake.
        for _ in 0..=2 * rooms.len() {
            let path = format!("/api/v1/rooms?scope=public&limit=200{cursor}");
            let page = http.get(&path)?.json()?;
            for item in page.get("items").and_then(|i| i.as_array()).into_iter().flatten() {
                let text = |key: &str| item.get(key).and_then(|v| v.as_str()).map(str::to_owned);
                if let (Some(name), Some(id)) = (text("name"), text("roomId")) {
                    ids.insert(name, id);
                }
            }
            match page.get("nextCursor").and_then(|cursor| cursor.as_str()) {
                Some(next) => cursor = format!("&cursor={next}"),
                None => break,
            }
        }
        Ok(ids)
    }
}

/// Loads messages: `per_room` in each room, oldest first, in the turn of rooms.
pub(crate) fn import_messages(
    server: &Server,
    world: &World,
    per_room: usize,
    length: usize,
) -> Result<usize> {
    let mut import = Import::open(server)?;
    let text: String =
        "the quick brown fox jumps over the lazy dog ".chars().cycle().take(length).collect();
    for turn in 0..per_room {
        for (number, of) in world.rooms.iter().enumerate() {
            let sender =
                of.members.get(turn % of.members.len().max(1)).copied().unwrap_or_default();
            let (minutes, seconds) = (turn / 60, turn % 60);
            let (hours, minutes) = (minutes / 60, minutes % 60);
            let (days, hours) = (hours / 24, hours % 24);
            let day = days + 2;
            let line = serde_json::json!({
                "type": "message", "id": format!("bench-m{number}-{turn}"),
                "room": room(number), "sender": user(sender), "content": text,
                "createdAt": format!("2026-01-{day:02}T{hours:02}:{minutes:02}:{seconds:02}.000Z"),
            });
            import.line(&line)?;
        }
    }
    import.flush()?;
    Ok(import.total)
}
