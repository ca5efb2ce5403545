//! The end of a run: everything is read once more and judged.

use std::collections::BTreeMap;
use std::fmt;
use std::fmt::Write as _;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Result, bail, ensure};
use klatch_checker::{Direction, History, Invariant, Name, Report, StaysReport, What, check};
use serde::Serialize;
use tokio::time::Instant;

use crate::client::{Pages, Person, Stage};

/// How long connections may take to get what they are owed when all is quiet.
const SETTLE_MOST: Duration = Duration::from_secs(15);

/// What was looked at when nothing was found.
#[derive(Clone, Debug, Default)]
pub struct Clean {
    /// The checker's own words.
    pub text: String,
    /// Sends that were acknowledged.
    pub acknowledged: u64,
    /// Sends of which nobody was told what became of them.
    pub unknown: u64,
    /// Events that arrived on connections.
    pub frames: u64,
    /// Messages that walks showed.
    pub items: u64,
    /// The check of stays.
    pub stays: StaysReport,
}

/// How often promises were broken, in the words of those who rely on them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Wrongs {
    /// Acknowledged and gone, missing from a stream, or shown live and not kept.
    pub lost: u64,
    /// Shown or made twice.
    pub doubled: u64,
    /// Not in the one order.
    pub reordered: u64,
    /// Shown to someone who was not in the room.
    pub leaked: u64,
    /// Anything else: invented, changed, stale, refused and done all the same, or surprising.
    pub other: u64,
}

impl Wrongs {
    /// All of them.
    pub fn total(&self) -> u64 {
        self.lost + self.doubled + self.reordered + self.leaked + self.other
    }

    fn of(report: &Report, stays: &StaysReport, surprises: usize) -> Self {
        let mut wrongs = Self { leaked: stays.violations.len() as u64, ..Self::default() };
        wrongs.other = surprises as u64;
        for violation in &report.violations {
            let count = match violation.invariant {
                Invariant::I1 | Invariant::I5 | Invariant::I9 => &mut wrongs.lost,
                Invariant::I3 | Invariant::I6 => &mut wrongs.doubled,
                Invariant::I4 | Invariant::I7 => &mut wrongs.reordered,
                Invariant::I2
                | Invariant::I8
                | Invariant::I14
                | Invariant::I24
                | Invariant::Incomplete => &mut wrongs.other,
            };
            *count += 1;
        }
        wrongs
    }
}

/// Promises were broken.
#[derive(Clone, Debug)]
pub struct Broken {
    /// How often, by kind.
    pub wrongs: Wrongs,
    /// How often, by invariant.
    pub by_invariant: BTreeMap<String, u64>,
    /// What exactly, and where the history is kept.
    pub text: String,
}

impl fmt::Display for Broken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl std::error::Error for Broken {}

/// Reads each room to both ends by each of its readers, waits until every connection has what it
/// is owed, and checks the history against I1–I10, I14 and I24.
///
/// # Errors
/// [`Broken`] when a promise was broken: the history is kept in a file that the error names.
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
            mine.all(|(room, head)| person.knows(room) >= *head)
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
/// [`Broken`].
pub fn verdict(stage: &Stage) -> Result<Clean> {
    let history = stage.recorder().snapshot();
    let report = check(&history);
    let stays = stage.stays.check();
    let surprises = stage.surprises();
    let wrongs = Wrongs::of(&report, &stays, surprises.len());
    if wrongs.total() == 0 {
        let counts = report.counts;
        return Ok(Clean {
            text: report.render(&history, 5).trim_end().to_owned(),
            acknowledged: counts.acknowledged,
            unknown: counts.unknown,
            frames: counts.frames,
            items: counts.items,
            stays,
        });
    }
    let mut by_invariant = BTreeMap::new();
    for violation in &report.violations {
        *by_invariant.entry(format!("{:?}", violation.invariant)).or_insert(0) += 1;
    }
    let mut text = report.render(&history, 5);
    if !stays.violations.is_empty() {
        let count = stays.violations.len();
        by_invariant.insert("I10".to_owned(), count as u64);
        let _ = writeln!(text, "I10 (members only): {count} times");
    }
    for violation in stays.violations.iter().take(10) {
        let _ = writeln!(text, "  {violation}");
    }
    for surprise in &surprises {
        let _ = writeln!(text, "surprise: {surprise}");
    }
    match keep(stage, &history) {
        Ok(path) => {
            let _ = write!(text, "the history is in {}", path.display());
        }
        Err(error) => {
            let _ = write!(text, "the history could not be kept: {error:#}");
        }
    }
    Err(Broken { wrongs, by_invariant, text }.into())
}

fn keep(stage: &Stage, history: &History) -> Result<PathBuf> {
    let name = format!("history-{}-{}.ndjson", std::process::id(), crate::token::unix_millis());
    let path = stage.keep_in.join(name);
    let file = std::io::BufWriter::new(std::fs::File::create(&path)?);
    klatch_checker::write(history, file)?;
    Ok(path)
}
