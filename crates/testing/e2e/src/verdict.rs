//! The end of a run: everything is read once more and judged.

use std::fmt::Write as _;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Result, bail, ensure};
use klatch_checker::{Direction, Name, What, check};

use crate::client::{Pages, Person, Stage};
use crate::stays::StaysReport;

/// How long connections may take to get what they are owed when all is quiet.
const SETTLE_MOST: Duration = Duration::from_secs(15);

/// What was looked at when nothing was found.
#[derive(Clone, Debug, Default)]
pub struct Clean {
    /// The checker's own words.
    pub text: String,
    /// Sends that were acknowledged.
    pub acknowledged: u64,
    /// Events that arrived on connections.
    pub frames: u64,
    /// Messages that walks showed.
    pub items: u64,
    /// The check of stays.
    pub stays: StaysReport,
}

/// Reads each room to both ends by each of its readers, waits until every connection has what it
/// is owed, and checks the history against I1–I10, I14 and I24.
///
/// # Errors
/// A promise was broken; the history is kept in a file that the error names.
pub async fn judge(stage: &Arc<Stage>, people: &[Person], rooms: &[RoomEnd]) -> Result<Clean> {
    let newest = people.iter().filter_map(newest_of).max_by_key(|(offset, _)| *offset);
    let newest = newest.map(|(_, text)| text);
    for RoomEnd { room, readers } in rooms {
        for (number, reader) in readers.iter().enumerate() {
            let Some(person) = people.get(*reader) else { bail!("no reader {reader}") };
            let size = [200, 7, 50].get(number % 3).copied().unwrap_or(200);
            for direction in [Direction::Backward, Direction::Forward] {
                let pages = Pages::finally(room, direction, size, newest.clone());
                ensure!(person.read(pages).await, "a final read of {room} was refused");
            }
        }
    }
    settle(stage, people, rooms).await;
    verdict(stage)
}

/// A room and the people (by their places) who read it in the end.
#[derive(Clone, Debug)]
pub struct RoomEnd {
    /// The room.
    pub room: Name,
    /// Who reads it.
    pub readers: Vec<usize>,
}

fn newest_of(person: &Person) -> Option<(u64, String)> {
    let text = person.wrote()?;
    let offset = text.parse::<crate::client::Position>().ok()?.offset;
    Some((offset, text))
}

/// Waits until each connected person has seen the end of each of their rooms, then says that they
/// were given time.
async fn settle(stage: &Arc<Stage>, people: &[Person], rooms: &[RoomEnd]) {
    let mut ends = Vec::new();
    for RoomEnd { room, readers } in rooms {
        let Some(reader) = readers.first().and_then(|reader| people.get(*reader)) else { continue };
        let path = format!("/api/v1/rooms/{room}");
        let Ok(answer) = reader.rest().get(&path).await else { continue };
        let head = answer.success().and_then(|room| room.number("headSeq"));
        ends.push((room, head.unwrap_or(0)));
    }
    let deadline = Instant::now() + SETTLE_MOST;
    for person in people.iter().filter(|person| person.is_connected()) {
        let is_there = || {
            let session = person.session();
            let mut mine = ends.iter().filter(|(room, _)| session.rooms().contains(*room));
            mine.all(|(room, head)| session.seen(room) >= *head)
        };
        while !is_there() && Instant::now() < deadline {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        stage.recorder().note(What::Settled { session: person.process() });
    }
}

/// Judges what was recorded up to now.
///
/// # Errors
/// A promise was broken.
pub fn verdict(stage: &Stage) -> Result<Clean> {
    let history = stage.recorder().snapshot();
    let report = check(&history);
    let stays = stage.stays.check();
    let surprises = stage.surprises();
    if report.is_ok() && stays.violations.is_empty() && surprises.is_empty() {
        let counts = report.counts;
        return Ok(Clean {
            text: report.render(&history, 5).trim_end().to_owned(),
            acknowledged: counts.acknowledged,
            frames: counts.frames,
            items: counts.items,
            stays,
        });
    }
    let mut text = report.render(&history, 5);
    if !stays.violations.is_empty() {
        let _ = writeln!(text, "I10 (members only): {} times", stays.violations.len());
    }
    for violation in stays.violations.iter().take(10) {
        let _ = writeln!(text, "  {violation}");
    }
    for surprise in &surprises {
        let _ = writeln!(text, "surprise: {surprise}");
    }
    match keep(&history) {
        Ok(path) => bail!("{text}the history is in {}", path.display()),
        Err(error) => bail!("{text}the history could not be kept: {error:#}"),
    }
}

fn keep(history: &klatch_checker::History) -> Result<PathBuf> {
    let own = std::env::current_exe()?;
    let name = format!("history-{}-{}.ndjson", std::process::id(), crate::token::unix_millis());
    let path = own.with_file_name(name);
    let file = std::io::BufWriter::new(std::fs::File::create(&path)?);
    klatch_checker::write(history, file)?;
    Ok(path)
}
