//! What a process costs, read from `/proc`: CPU of the whole tree and by thread, and memory.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use anyhow::{Context as _, Result};
use serde::Serialize;

/// CPU of a process tree at one moment.
#[derive(Clone, Debug, Default)]
pub(crate) struct Cpu {
    /// User and system seconds, ended children included.
    pub(crate) seconds: f64,
    /// Seconds by group of threads: the thread's name without a number at its end.
    pub(crate) threads: BTreeMap<String, f64>,
}

/// Memory of one process.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Memory {
    /// Resident, files that are mapped included.
    pub resident_bytes: u64,
    /// Resident and the process's own.
    pub anonymous_bytes: u64,
    /// The most that was resident at any time.
    pub peak_bytes: u64,
}

impl Cpu {
    /// Reads a process and all it started.
    ///
    /// # Errors
    /// The process is gone.
    pub(crate) fn of(pid: u32) -> Result<Self> {
        Self::sum(&tree(pid))
    }

    /// Reads this process without those it started.
    ///
    /// # Errors
    /// None that can happen.
    pub(crate) fn of_this() -> Result<Self> {
        Self::sum(&[std::process::id()])
    }

    fn sum(pids: &[u32]) -> Result<Self> {
        let ticks_per_second = ticks_per_second();
        let mut cpu = Self::default();
        for pid in pids.iter().copied() {
            let Ok(stat) = fs::read_to_string(format!("/proc/{pid}/stat")) else { continue };
            let Some(stat) = Stat::parse(&stat) else { continue };
            cpu.seconds += to_seconds(stat.ticks, ticks_per_second);
            cpu.add_threads(pid, ticks_per_second);
        }
        // Ticks are coarse and know of ended threads; nanoseconds are fine and do not.
        cpu.seconds = cpu.seconds.max(cpu.threads.values().sum());
        anyhow::ensure!(!cpu.threads.is_empty(), "processes {pids:?} are gone");
        Ok(cpu)
    }

    /// What was used since an earlier moment. Threads that ended since are in no group.
    pub(crate) fn since(&self, earlier: &Self) -> Self {
        let threads = self
            .threads
            .iter()
            .map(|(name, seconds)| {
                let before = earlier.threads.get(name).copied().unwrap_or_default();
                (name.clone(), (seconds - before).max(0.0))
            })
            .collect();
        Self { seconds: self.seconds - earlier.seconds, threads }
    }

    /// Splits what the threads of a group used by the parts of the work that they did, as far as
    /// these are known.
    pub(crate) fn split(&mut self, group: &str, parts: &BTreeMap<String, f64>) {
        let Some(whole) = self.threads.get(group).copied().filter(|_| !parts.is_empty()) else {
            return;
        };
        let known: f64 = parts.values().sum();
        self.threads.remove(group);
        for (part, seconds) in parts {
            self.threads.insert(format!("{group}: {part}"), *seconds);
        }
        self.threads.insert(format!("{group}: other"), (whole - known).max(0.0));
    }

    fn add_threads(&mut self, pid: u32, ticks_per_second: f64) {
        let Ok(tasks) = fs::read_dir(format!("/proc/{pid}/task")) else { return };
        for task in tasks.flatten().map(|task| task.path()) {
            let Ok(name) = fs::read_to_string(task.join("comm")) else { continue };
            let Some(seconds) = thread_seconds(&task, ticks_per_second) else { continue };
            *self.threads.entry(group(name.trim())).or_default() += seconds;
        }
    }
}

/// Nanoseconds where the scheduler tells them, else ticks of 10 ms.
fn thread_seconds(task: &Path, ticks_per_second: f64) -> Option<f64> {
    let precise = fs::read_to_string(task.join("schedstat")).ok();
    let nanos = precise.and_then(|text| text.split(' ').next()?.parse::<u64>().ok());
    #[expect(clippy::cast_precision_loss, reason = "nanoseconds of less than 50 days")]
    if let Some(nanos) = nanos.filter(|nanos| *nanos > 0) {
        return Some(nanos as f64 / 1e9);
    }
    let stat = fs::read_to_string(task.join("stat")).ok()?;
    Some(to_seconds(Stat::parse(&stat)?.ticks, ticks_per_second))
}

/// `klatch-log-3` and `klatch-log-4` are one group.
fn group(name: &str) -> String {
    let bare = name.trim_end_matches(|c: char| c.is_ascii_digit());
    let bare = bare.trim_end_matches(['-', '_', ':', '#', '/']);
    if bare.is_empty() { name.to_owned() } else { bare.to_owned() }
}

struct Stat {
    parent: u32,
    ticks: u64,
}

impl Stat {
    /// The name may hold spaces and brackets: fields are counted from the last bracket.
    fn parse(text: &str) -> Option<Self> {
        let (_, rest) = text.rsplit_once(')')?;
        let fields: Vec<&str> = rest.split_ascii_whitespace().collect();
        let number = |index: usize| fields.get(index)?.parse::<u64>().ok();
        let ticks = number(11)? + number(12)? + number(13)? + number(14)?;
        Some(Self { parent: u32::try_from(number(1)?).ok()?, ticks })
    }
}

/// The process and its descendants.
fn tree(root: u32) -> Vec<u32> {
    let mut parents = Vec::new();
    for entry in fs::read_dir("/proc").into_iter().flatten().flatten() {
        let Ok(pid) = entry.file_name().to_string_lossy().parse::<u32>() else { continue };
        let stat = fs::read_to_string(entry.path().join("stat")).ok();
        if let Some(stat) = stat.as_deref().and_then(Stat::parse) {
            parents.push((pid, stat.parent));
        }
    }
    let mut found = vec![root];
    let mut at = 0;
    while let Some(pid) = found.get(at).copied() {
        found.extend(parents.iter().filter(|(_, parent)| *parent == pid).map(|(child, _)| *child));
        at += 1;
    }
    found
}

#[expect(clippy::cast_precision_loss, reason = "ticks of less than 50 days")]
fn to_seconds(ticks: u64, ticks_per_second: f64) -> f64 {
    ticks as f64 / ticks_per_second
}

#[expect(clippy::cast_precision_loss, reason = "a hundred")]
fn ticks_per_second() -> f64 {
    rustix::param::clock_ticks_per_second() as f64
}

impl Memory {
    /// Reads a process.
    ///
    /// # Errors
    /// The process is gone.
    pub(crate) fn of(pid: u32) -> Result<Self> {
        let status = fs::read_to_string(format!("/proc/{pid}/status"))
            .with_context(|| format!("process {pid} is gone"))?;
        Ok(Self {
            resident_bytes: kib(&status, "VmRSS:") * 1024,
            anonymous_bytes: kib(&status, "RssAnon:") * 1024,
            peak_bytes: kib(&status, "VmHWM:") * 1024,
        })
    }
}

/// A figure in KiB of a `/proc` file of lines.
pub(crate) fn kib(text: &str, key: &str) -> u64 {
    let line = text.lines().find_map(|line| line.strip_prefix(key)).unwrap_or_default();
    line.split_ascii_whitespace().next().and_then(|word| word.parse().ok()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stat_line_with_a_name_of_brackets_and_spaces_is_read() {
        let line = "42 (a) b (c) S 7 42 42 0 -1 4194304 1 2 3 4 10 20 30 40 20 0 1 0 5";
        let stat = Stat::parse(line).unwrap();
        assert_eq!((stat.parent, stat.ticks), (7, 100));
    }

    #[test]
    fn numbered_threads_are_one_group() {
        assert_eq!(group("tokio-rt-worker-12"), "tokio-rt-worker");
        assert_eq!(group("log:3"), "log");
        assert_eq!(group("7"), "7");
    }

    #[test]
    fn what_a_group_used_is_split_by_its_parts_and_the_rest_is_other() {
        let threads = BTreeMap::from([("worker".to_owned(), 10.0), ("log".to_owned(), 1.0)]);
        let mut cpu = Cpu { seconds: 11.0, threads };
        cpu.split("worker", &BTreeMap::new());
        assert_eq!(cpu.threads.len(), 2);
        let parts = BTreeMap::from([("a".to_owned(), 3.0), ("b".to_owned(), 5.0)]);
        cpu.split("worker", &parts);
        let found: Vec<_> = cpu.threads.iter().map(|(name, s)| (name.as_str(), *s)).collect();
        let expected =
            [("log", 1.0), ("worker: a", 3.0), ("worker: b", 5.0), ("worker: other", 2.0)];
        assert_eq!(found, expected);
    }

    #[test]
    fn work_of_this_process_shows_in_its_cpu_and_its_memory() {
        let pid = std::process::id();
        let before = Cpu::of(pid).unwrap();
        let start = std::time::Instant::now();
        let mut sum = 0_u64;
        while start.elapsed().as_millis() < 100 {
            sum = (0..10_000_u64).fold(sum, |sum, n| std::hint::black_box(sum ^ n));
        }
        let used = Cpu::of(pid).unwrap().since(&before);
        assert!(used.seconds > 0.01, "{sum} {used:?}");
        assert!(used.threads.values().sum::<f64>() > 0.01);
        assert!(Memory::of(pid).unwrap().resident_bytes > 1 << 20);
    }
}
