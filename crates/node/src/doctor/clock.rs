//! The clock of the machine: sane, steady, and not behind what was written by it before.

use std::path::Path;
use std::time::Duration;

use klatch_domain::{Clock, Timestamp};
use klatch_embedded::disk::RealDisk;
use klatch_embedded::log::{Glance, glance};

use super::Findings;

/// Before this no Klatch was written, after that none will run: one of the two is a clock that was
/// never set.
const SANE_MS: std::ops::Range<u64> = 1_735_689_600_000..4_102_444_800_000;
/// How long the two clocks are held against each other.
const WATCHED: Duration = Duration::from_millis(400);
/// A wall clock that moves this much more or less in that time was set.
const JUMP_MS: u64 = 100;
/// An instance whose clock is more behind or ahead of others is not ready.
const SKEW_MS: u64 = 30_000;

const MEND: &str = "let the system keep its time: timedatectl set-ntp true";

pub(super) async fn look(dir: &Path, clock: &dyn Clock, out: &mut Findings) {
    let newest = look_at_log(dir, out);
    let (wall, steady) = (clock.now(), tokio::time::Instant::now());
    tokio::time::sleep(WATCHED).await;
    let moved = clock.now().0.saturating_sub(wall.0);
    let passed = u64::try_from(steady.elapsed().as_millis()).unwrap_or(u64::MAX);
    judge(wall, moved.abs_diff(passed), newest, out);
}

fn judge(now: Timestamp, jumped_ms: u64, newest: Option<Timestamp>, out: &mut Findings) {
    if !SANE_MS.contains(&now.0) {
        out.bad("clock", format!("the clock says {} ms since 1970", now.0), MEND);
    } else if jumped_ms > JUMP_MS {
        out.warn(
            "clock",
            format!("the clock was set by {jumped_ms} ms while it was watched"),
            MEND,
        );
    } else if let Some(newest) = newest.filter(|newest| newest.0 > now.0 + SKEW_MS) {
        let behind = (newest.0 - now.0) / 1_000;
        let text = format!(
            "the clock is {behind} s behind the newest record of the log: new messages would bear \
             the time of that one"
        );
        out.bad("clock", text, MEND);
    } else {
        out.good("clock", "the clock is set, steady, and not behind the log");
    }
}

/// The time of the log's newest record, when there is a log.
fn look_at_log(dir: &Path, out: &mut Findings) -> Option<Timestamp> {
    if !dir.join("log").is_dir() {
        return None;
    }
    let looked = RealDisk::open(dir).and_then(|disk| glance(&disk));
    match looked {
        Ok(None) => None,
        Ok(Some(Glance { damage: Some(damage), newest, .. })) => {
            // A batch that is being written looks so for a moment.
            let mend = "if no server is writing: restore the file from a backup, it is refused";
            out.warn("log", damage, mend);
            newest
        }
        Ok(Some(Glance { segments, last, newest, .. })) => {
            out.good("log", format!("{last} records in {segments} segments"));
            newest
        }
        Err(error) => {
            let mend = "look as the user that the server runs as; damage is mended from a backup";
            out.bad("log", format!("the log cannot be read: {error}"), mend);
            None
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use klatch_embedded::log::{EmbeddedLog, LogConfig};
    use klatch_ports::StreamId;
    use klatch_ports::log::{Append, EventAppender as _, Expected, Key, Kind, NewRecord};
    use klatch_testkit::{ManualClock, SeededEntropy};

    use super::*;
    use crate::doctor::Level;

    const NOW: Timestamp = Timestamp(1_800_000_000_000);

    fn level(now: Timestamp, jumped_ms: u64, newest: Option<Timestamp>) -> Level {
        let mut out = Findings::default();
        judge(now, jumped_ms, newest, &mut out);
        out.0[0].level
    }

    #[test]
    fn a_clock_that_was_never_set_or_is_behind_the_log_is_bad() {
        assert_eq!(level(NOW, 3, None), Level::Good);
        assert_eq!(level(NOW, 3, Some(NOW.plus_ms(20_000))), Level::Good);
        assert_eq!(level(NOW, 3, Some(NOW.plus_ms(3_600_000))), Level::Bad);
        assert_eq!(level(Timestamp(5_000), 3, None), Level::Bad);
        assert_eq!(level(NOW, 3_600_000, None), Level::Warning);
    }

    #[tokio::test]
    async fn the_newest_record_is_read_while_a_server_has_the_log_open_and_damage_is_named() {
        let here = tempfile::tempdir().unwrap();
        assert_eq!(look_at_log(here.path(), &mut Findings::default()), None);
        let disk = Arc::new(RealDisk::open(here.path()).unwrap());
        let config = LogConfig { reserve_bytes: 0, ..LogConfig::default() };
        let clock = Arc::new(ManualClock::default());
        clock.set(NOW);
        let log = EmbeddedLog::open(disk, config, clock, &SeededEntropy::new(1)).unwrap();
        for _ in 0..3 {
            let record = NewRecord { kind: Kind::Send, body: vec![7; 700].into() };
            let records = smallvec::smallvec![record];
            let (stream, key) = (StreamId::Messages, Key(1));
            log.append(Append { stream, key, expected: Expected::Any, records }).await.unwrap();
        }
        let mut out = Findings::default();
        assert_eq!(look_at_log(here.path(), &mut out), Some(NOW));
        assert_eq!(
            (out.0[0].level, out.0[0].text.as_str()),
            (Level::Good, "3 records in 1 segments")
        );
        log.close();
        let segment = here.path().join("log").join("00000000000000000001.seg");
        let mut bytes = std::fs::read(&segment).unwrap();
        bytes[512 + 64 + 100] ^= 1;
        std::fs::write(&segment, bytes).unwrap();
        let mut out = Findings::default();
        look_at_log(here.path(), &mut out);
        assert_eq!(out.0[0].level, Level::Warning, "{out:?}");
        std::fs::write(&segment, "nothing").unwrap();
        look_at_log(here.path(), &mut out);
        assert_eq!(out.0[1].level, Level::Bad, "{out:?}");
    }
}
