//! The disk under the data directory: space, writing, syncing, and what kind of thing it is.

use std::fs::{self, File};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use super::Findings;
use crate::durability::{Durability, FileSystem, Kind};

/// Syncs that are timed.
const SYNCS: usize = 16;
/// A sync that takes longer is felt in every acknowledgement.
const SYNC_SLOW: Duration = Duration::from_millis(50);
/// Faster than any disk can be: the sync is not taken to it.
const SYNC_TOO_FAST: Duration = Duration::from_micros(5);
/// Free space, in times the reserve, from which on it is time to think of more.
const SPACE_LOW: u64 = 4;
const MIB: u64 = 1 << 20;

pub(super) fn look(dir: &Path, reserve_mib: u64, out: &mut Findings) {
    let place = nearest(dir);
    let is_there = place == dir;
    if dir.exists() && !dir.is_dir() {
        let text = format!("{} is no directory", dir.display());
        out.bad("disk", text, "name another one with --data-dir");
        return;
    }
    look_at_kind(&place, out);
    look_at_space(&place, reserve_mib, out);
    // A directory that is not there yet would be made where the nearest one is.
    match write_and_sync(&place) {
        Ok(took) => tell_sync(took, out),
        Err(error) => {
            let text = format!("{} cannot be written and synced: {error}", place.display());
            let whose = if is_there { "make it the server's own" } else { "make it, writable" };
            out.bad("disk", text, format!("{whose}, for example: chown klatch {}", dir.display()));
        }
    }
}

/// The directory itself, or the nearest one above that is there.
fn nearest(dir: &Path) -> PathBuf {
    let mut place = dir;
    while !place.as_os_str().is_empty() {
        if place.is_dir() {
            return place.to_owned();
        }
        place = place.parent().unwrap_or(Path::new(""));
    }
    PathBuf::from(".")
}

fn look_at_kind(place: &Path, out: &mut Findings) {
    let Ok(FileSystem { name, kind }) = FileSystem::of(place) else { return };
    let shown = place.display();
    match kind {
        Kind::Disk => out.good("file system", format!("{shown} is on {name}")),
        Kind::Memory => out.warn(
            "file system",
            format!("{shown} is on {name}: it is gone when the machine stops"),
            "name a directory on a disk with --data-dir, unless this is a trial",
        ),
        Kind::Overlay => out.warn(
            "file system",
            format!("{shown} is in a container's own layer ({name}): it goes with the container"),
            "mount a volume there",
        ),
        Kind::Network => out.warn(
            "file system",
            format!(
                "{shown} is on {name}: locks and syncs are worth what the other side makes them"
            ),
            "name a directory on a disk of this machine with --data-dir",
        ),
        Kind::Unknown => out.warn(
            "file system",
            format!("{shown} is on a file system of which nothing is known here ({name})"),
            "make sure that it keeps what was synced, or name a directory on a disk",
        ),
    }
    let durability = Durability::of(place);
    match durability {
        Durability::Fsync => out.good("durability", durability.to_string()),
        Durability::Volatile => out.warn(
            "durability",
            durability.to_string(),
            "name a directory on a disk with --data-dir",
        ),
    }
}

fn look_at_space(place: &Path, reserve_mib: u64, out: &mut Findings) {
    let about = match rustix::fs::statvfs(place) {
        Ok(about) => about,
        Err(error) => {
            let text = format!("the free space of {} is not told: {error}", place.display());
            return out.bad("space", text, "name another directory with --data-dir");
        }
    };
    let free = about.f_bavail.saturating_mul(about.f_frsize) / MIB;
    let text = format!("{free} MiB are free, of which {reserve_mib} are a reserve");
    let mend = "make space, or lower log.reserve_mib";
    if free <= reserve_mib {
        out.bad("space", format!("{text}: nothing would be accepted"), mend);
    } else if free < reserve_mib * SPACE_LOW {
        out.warn("space", text, mend);
    } else {
        out.good("space", text);
    }
}

/// The middle of some syncs, each of a fresh sector.
fn write_and_sync(place: &Path) -> io::Result<Duration> {
    let path = place.join(format!(".klatch-doctor-{}", std::process::id()));
    let _gone = Gone(path.clone());
    let mut file = File::options().write(true).create_new(true).open(&path)?;
    let mut took = Vec::new();
    for _ in 0..SYNCS {
        file.write_all(&[7; 512])?;
        let begun = Instant::now();
        file.sync_data()?;
        took.push(begun.elapsed());
    }
    took.sort_unstable();
    Ok(took.get(SYNCS / 2).copied().unwrap_or_default())
}

/// A file that does not outlive the look.
struct Gone(PathBuf);

impl Drop for Gone {
    fn drop(&mut self) {
        // A file that was never made is gone already.
        let _ = fs::remove_file(&self.0);
    }
}

fn tell_sync(took: Duration, out: &mut Findings) {
    let text = format!("a sync takes {:.2} ms", took.as_secs_f64() * 1_000.0);
    if took > SYNC_SLOW {
        let mend = "use a faster disk: every acknowledgement waits for a sync";
        out.warn("sync", text, mend);
    } else if took < SYNC_TOO_FAST {
        let mend = "find out what keeps the data when the power goes: a disk takes longer";
        out.warn("sync", format!("{text}, less than any disk needs"), mend);
    } else {
        out.good("sync", text);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::doctor::Level;

    fn found(dir: &Path, reserve_mib: u64) -> Vec<(&'static str, Level)> {
        let mut out = Findings::default();
        look(dir, reserve_mib, &mut out);
        out.0.iter().map(|finding| (finding.check, finding.level)).collect()
    }

    #[test]
    fn a_directory_that_can_be_used_is_good_and_nothing_is_left_in_it() {
        let here = tempfile::tempdir().unwrap();
        let found = found(here.path(), 1);
        assert!(found.contains(&("space", Level::Good)), "{found:?}");
        assert!(found.iter().any(|(check, _)| *check == "sync"), "{found:?}");
        assert_eq!(fs::read_dir(here.path()).unwrap().count(), 0);
        let mut out = Findings::default();
        look(&here.path().join("not/yet/there"), 1, &mut out);
        assert!(!here.path().join("not").exists(), "looking makes nothing");
        assert_eq!(out.count(Level::Bad), 0);
    }

    #[test]
    fn a_file_in_the_place_of_the_directory_is_bad() {
        let here = tempfile::tempdir().unwrap();
        let file = here.path().join("data");
        fs::write(&file, "in the way").unwrap();
        assert_eq!(found(&file, 1), [("disk", Level::Bad)]);
    }

    #[test]
    fn a_directory_that_takes_no_files_is_bad() {
        // Nobody may make files there, not even the owner of the machine.
        assert!(found(Path::new("/proc"), 1).contains(&("disk", Level::Bad)));
    }

    #[test]
    fn less_free_space_than_the_reserve_is_bad_and_little_more_is_worth_a_word() {
        let here = tempfile::tempdir().unwrap();
        let about = rustix::fs::statvfs(here.path()).unwrap();
        let free = about.f_bavail * about.f_frsize / MIB;
        assert!(found(here.path(), free + 1_000_000).contains(&("space", Level::Bad)));
        assert!(found(here.path(), free / 2).contains(&("space", Level::Warning)));
    }

    #[test]
    fn a_directory_in_memory_is_worth_a_word() {
        let memory = Path::new("/dev/shm");
        if memory.is_dir() {
            let found = found(memory, 1);
            assert!(found.contains(&("file system", Level::Warning)), "{found:?}");
            assert!(found.contains(&("durability", Level::Warning)), "{found:?}");
        }
    }

    #[test]
    fn syncs_that_are_slow_or_cannot_be_true_are_told() {
        for (millis, level) in [(0.001, Level::Warning), (1.0, Level::Good), (80.0, Level::Warning)]
        {
            let mut out = Findings::default();
            tell_sync(Duration::from_secs_f64(millis / 1_000.0), &mut out);
            assert_eq!(out.0[0].level, level, "{millis} ms");
        }
    }
}
