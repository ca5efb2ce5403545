//! A whole soak: chapters of load and faults, each judged, and at the end everything once more.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use klatch_checker::{Name, digest};

use crate::client::Stage;
use crate::load::{Faults, Kills, Plan, Ran, Town};
use crate::report::SoakReport;
use crate::rest::Rest;
use crate::server::{Server, Settings};
use crate::verdict::Broken;

/// A chapter is judged at its end: what clients saw is held in memory until then.
const CHAPTER_MOST: Duration = Duration::from_mins(3);
/// Between two lines of progress.
const PROGRESS_EVERY: Duration = Duration::from_secs(5);
const STEADY_ROOMS: u32 = 4;
const LOBBIES: u32 = 3;
/// Longest pause of one person between two acts.
const PAUSE_MS: u64 = 250;
/// Little is much here, so that every tier of a resume occurs again and again; and nobody stands
/// in the way of people who each act for many.
const SETTINGS: [(&str, &str); 3] = [
    ("KLATCH_REALTIME__REPLAY_EVENTS", "60"),
    ("KLATCH_REALTIME__DELTA_EVENTS", "20"),
    ("KLATCH_REALTIME__DELTA_ROOMS", "6"),
];

/// A soak that is to be made.
#[derive(Clone, Debug)]
pub struct Soak {
    /// The server's binary; this very one when absent.
    pub program: Option<PathBuf>,
    /// How long people act.
    pub time: Duration,
    /// From one SIGKILL to the next; half-way in between something milder happens.
    pub kill_every: Duration,
    /// People, each with a connection; at least four.
    pub people: u32,
    /// Seed of all choices. What the processor makes of them differs from run to run.
    pub seed: u64,
    /// Where data directories are made, and removed again if all is well.
    pub data_root: Option<PathBuf>,
}

/// Somebody who hears how it goes on, a line at a time.
pub type Say = Arc<dyn Fn(&str) + Send + Sync>;

/// Runs a server on a fresh directory and hurts it while people use it. Needs a tokio runtime.
/// Every process it starts is ended when it returns or is dropped.
///
/// # Errors
/// The run could not begin. What goes wrong later is in the report.
pub async fn run(soak: &Soak, say: Say) -> Result<SoakReport> {
    ensure!(soak.people >= 4, "at least four people are needed");
    ensure!(!soak.kill_every.is_zero(), "kills cannot come all at once");
    let mut settings = Settings { program: soak.program.clone(), ..Settings::default() };
    settings.root.clone_from(&soak.data_root);
    for (name, value) in SETTINGS {
        settings = settings.with(name, value);
    }
    let mut server = Server::start(settings).await?;
    let mut report = SoakReport { seed: soak.seed, ..SoakReport::default() };
    if let Err(error) = chapters(soak, &mut server, &mut report, &say).await {
        match error.downcast_ref::<Broken>() {
            Some(broken) => {
                report.wrongs = broken.wrongs;
                report.by_invariant.clone_from(&broken.by_invariant);
                report.findings.push(broken.text.clone());
            }
            None => report.findings.push(format!("the run ended early: {error:#}")),
        }
    }
    if !report.is_clean() {
        report.findings.push(server.log_tail());
        report.kept_in = Some(server.keep().display().to_string());
    }
    Ok(report)
}

async fn chapters(
    soak: &Soak,
    server: &mut Server,
    report: &mut SoakReport,
    say: &Say,
) -> Result<()> {
    let longest = CHAPTER_MOST.max(soak.kill_every * 2);
    let count = u32::try_from(soak.time.as_millis().div_ceil(longest.as_millis()))?.max(1);
    let (mut kills, mut kept) = (Kills::default(), Vec::new());
    for chapter in 1..=count {
        let plan = Plan {
            people: soak.people,
            steady_rooms: STEADY_ROOMS,
            lobbies: LOBBIES,
            time: soak.time / count,
            pause_ms: PAUSE_MS,
            seed: soak.seed.wrapping_add(u64::from(chapter) << 32),
            chapter,
        };
        let town = Town::found_keeping(server, plan, server.root().to_owned()).await?;
        let telling = Telling::begin(town.stage(), say, (chapter, count), plan.time);
        let faults = Faults::Soak { time: plan.time, kill_every: soak.kill_every };
        let Ran { clean, tally, tiers, kills: done, reader, rooms } =
            town.live(server, faults).await?;
        drop(telling);
        kills.add(done);
        report.chapters = chapter;
        report.add(&tally, tiers, &clean);
        report.add_faults(&kills);
        say(&format!("chapter {chapter} of {count} is good: {}", clean.text));
        for room in rooms {
            let is_now = content(reader.rest(), &room).await?;
            kept.push((reader.rest().token().map(str::to_owned), room, is_now));
        }
    }
    // What one chapter was told is still there after all that befell the server in later ones.
    server.kill();
    server.begin().await?;
    for (token, room, was) in kept {
        let is_now = content(&Rest::new(server.address(), token), &room).await?;
        if is_now != was {
            report.wrongs.lost += 1;
            report.findings.push(format!("room {room} does not read as it did after its chapter"));
        }
        report.rooms_read_again += 1;
    }
    Ok(())
}

/// A digest of everything that a room's history shows.
async fn content(rest: &Rest, room: &Name) -> Result<u64> {
    let base = format!("/api/v1/rooms/{room}/messages?limit=200");
    let (mut path, mut digests) = (base.clone(), Vec::new());
    loop {
        let page = rest.get(&path).await?.success()?;
        for item in page.items()? {
            digests.extend(digest(item.to_string().as_bytes()).to_be_bytes());
        }
        let Ok(cursor) = page.text("nextCursor") else { return Ok(digest(&digests)) };
        path = format!("{base}&cursor={cursor}");
    }
}

/// Tells from time to time how it goes on, until dropped.
struct Telling(tokio::task::JoinHandle<()>);

impl Telling {
    fn begin(stage: &Arc<Stage>, say: &Say, chapter: (u32, u32), time: Duration) -> Self {
        let (stage, say) = (Arc::clone(stage), Arc::clone(say));
        Self(tokio::spawn(async move {
            let begun = Instant::now();
            loop {
                tokio::time::sleep(PROGRESS_EVERY).await;
                let (number, count) = chapter;
                let (at, time) = (begun.elapsed().as_secs(), time.as_secs());
                let (acknowledged, frames) = stage.progress();
                say(&if at <= time {
                    format!(
                        "chapter {number} of {count}, {at} of {time} s: {acknowledged} sends \
                         acknowledged, {frames} live events"
                    )
                } else {
                    format!("chapter {number} of {count}: reading everything again")
                });
            }
        }))
    }
}

impl Drop for Telling {
    fn drop(&mut self) {
        self.0.abort();
    }
}
