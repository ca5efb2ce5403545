//! The log alone against the simplest loop that could do its work.
//!
//! `cargo run --release -p klatch-log --example log_bench -- [in flight] [records] [dir]`
//!
//! A few threads keep so many conditional appends of 300 bytes in flight, each on a key of its own,
//! until so many records are durable. Then one thread writes the same bytes with the same records
//! per sync into a file that was filled with zeros before. Both are done five times in turn.
#![expect(clippy::print_stdout, clippy::unwrap_used, reason = "a bench reports, and fails loudly")]

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use klatch_domain::{Clock, Timestamp};
use klatch_log::disk::{Disk, RealDisk};
use klatch_log::{EmbeddedLog, LogConfig, LogStats};
use klatch_ports::log::{Append, EventAppender, Expected, Key, Kind, NewRecord};
use klatch_ports::{Offset, StreamId};
use klatch_testkit::SeededEntropy;
use parking_lot::{Condvar, Mutex};
use smallvec::smallvec;

const THREADS: u64 = 4;
const BODY: usize = 300;
const ROUNDS: usize = 5;
const RAW: &str = "raw";
const RAW_BYTES: u64 = 32 << 20;

#[derive(Debug)]
struct SystemClock;

impl Clock for SystemClock {
    fn now(&self) -> Timestamp {
        let since = std::time::SystemTime::UNIX_EPOCH.elapsed().unwrap_or_default();
        Timestamp(u64::try_from(since.as_millis()).unwrap_or(0))
    }
}

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let number = |at: usize, default| arguments.get(at).map_or(default, |n| n.parse().unwrap());
    let (flying, records) = (number(0, 256), number(1, 1_000_000));
    let dir = arguments.get(2).map_or_else(std::env::temp_dir, PathBuf::from);
    let dir = dir.join(format!("klatch-log-bench-{}", std::process::id()));
    println!("{records} records of {BODY} bytes, {flying} in flight from {THREADS} threads");
    prepare_raw(&dir.join("raw"));
    let mut ratios = Vec::new();
    for _ in 0..ROUNDS {
        let log = measure("log", || append(&dir.join("log"), flying, records));
        let raw = measure("raw", || write_raw(&dir.join("raw"), &log.stats));
        ratios.push(log.rate / raw.rate);
    }
    fs::remove_dir_all(&dir).unwrap();
    ratios.sort_by(f64::total_cmp);
    println!("log / raw: {ratios:.2?}");
}

struct Measured {
    rate: f64,
    stats: LogStats,
}

fn measure(name: &str, work: impl FnOnce() -> (Duration, LogStats)) -> Measured {
    let before = cpu(Path::new("/proc/self/stat"));
    let (took, stats) = work();
    let cpu = cpu(Path::new("/proc/self/stat")) - before;
    let (records, syncs) = (as_f64(stats.records), as_f64(stats.syncs));
    let rate = records / took.as_secs_f64();
    println!(
        "{name}: {rate:>8.0} records/s, {:>6.0} syncs/s, {:>6.1} records/sync, {:>4.0} us/sync, \
         {:>5.2} CPU s per million",
        syncs / took.as_secs_f64(),
        records / syncs,
        as_f64(stats.sync_us) / syncs,
        cpu * 1e6 / records,
    );
    Measured { rate, stats }
}

#[expect(clippy::cast_precision_loss, reason = "counts of a bench are far below 2^52")]
fn as_f64(count: u64) -> f64 {
    count as f64
}

/// Seconds of CPU in a `stat` file of the kernel, user and system together.
fn cpu(stat: &Path) -> f64 {
    let text = fs::read_to_string(stat).unwrap_or_default();
    let fields = text.rsplit(") ").next().unwrap_or_default().split(' ');
    fields.skip(11).take(2).filter_map(|ticks| ticks.parse::<f64>().ok()).sum::<f64>() / 100.0
}

/// Those that wait for an answer, of one thread.
#[derive(Default)]
struct Slots {
    /// Keys with the head their last append left.
    idle: Mutex<Vec<(Key, Option<Offset>)>>,
    freed: Condvar,
}

impl Slots {
    fn give_back(&self, key: Key, head: Option<Offset>) {
        let was_empty = {
            let mut idle = self.idle.lock();
            idle.push((key, head));
            idle.len() == 1
        };
        if was_empty {
            self.freed.notify_one();
        }
    }

    fn take_all(&self) -> Vec<(Key, Option<Offset>)> {
        let mut idle = self.idle.lock();
        while idle.is_empty() {
            self.freed.wait(&mut idle);
        }
        std::mem::take(&mut *idle)
    }
}

fn append(dir: &Path, flying: u64, records: u64) -> (Duration, LogStats) {
    let _ = fs::remove_dir_all(dir);
    let disk: Arc<dyn Disk> = Arc::new(RealDisk::open(dir).unwrap());
    let config = LogConfig { sync_interval: sync_interval(), ..LogConfig::default() };
    let entropy = SeededEntropy::new(1);
    let log = EmbeddedLog::open(disk, config, Arc::new(SystemClock), &entropy).unwrap();
    let left = AtomicU64::new(records);
    let began = Instant::now();
    thread::scope(|scope| {
        for thread in 0..THREADS {
            let (log, left) = (&log, &left);
            scope.spawn(move || submit_all(log, left, thread, flying / THREADS));
        }
    });
    let took = began.elapsed();
    threads();
    let stats = log.stats();
    log.close();
    (took, stats)
}

/// Shortest time between syncs, from `SYNC_US`.
fn sync_interval() -> Duration {
    let us = std::env::var("SYNC_US").ok().and_then(|us| us.parse().ok());
    us.map_or(LogConfig::default().sync_interval, Duration::from_micros)
}

fn submit_all(log: &EmbeddedLog, left: &AtomicU64, thread: u64, flying: u64) {
    let slots = Arc::new(Slots::default());
    let keys = (0..flying).map(|n| (Key(u128::from(thread * 1_000_000 + n)), None));
    slots.idle.lock().extend(keys);
    let mut out = 0;
    let mut more = true;
    while more || out > 0 {
        for (key, head) in slots.take_all() {
            out = if head.is_some() { out - 1 } else { out };
            more = more
                && left
                    .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |n| n.checked_sub(1))
                    .is_ok();
            if !more {
                continue;
            }
            let append = Append {
                stream: StreamId::Messages,
                key,
                expected: Expected::Head(head),
                records: smallvec![NewRecord { kind: Kind::Send, body: vec![7; BODY].into() }],
            };
            let slots = Arc::clone(&slots);
            let done = move |outcome: Result<klatch_ports::log::Appended, _>| {
                slots.give_back(key, Some(outcome.unwrap().last.offset));
            };
            log.submit(append, Box::new(done));
            out += 1;
        }
    }
}

/// What each of the log's threads used.
fn threads() {
    let tasks = fs::read_dir("/proc/self/task").unwrap().flatten();
    let mut list: Vec<_> = tasks
        .filter_map(|task| {
            let name = fs::read_to_string(task.path().join("comm")).ok()?;
            let name = name.trim().strip_prefix("klatch-log-")?.to_owned();
            Some(format!("{name} {:.2}", cpu(&task.path().join("stat"))))
        })
        .collect();
    list.sort();
    println!("     CPU s of threads: {}", list.join(", "));
}

/// A file of zeros, over which the raw loop goes round and round: filling one of the full size just
/// before would leave the disk busy with that.
fn prepare_raw(dir: &Path) {
    let file = RealDisk::open(dir).unwrap().create(RAW).unwrap();
    for at in 0..RAW_BYTES >> 20 {
        file.zero(at << 20, (at + 1) << 20).unwrap();
        file.sync_data().unwrap();
    }
}

/// The same bytes with the same records per sync, by a loop that does nothing else.
fn write_raw(dir: &Path, like: &LogStats) -> (Duration, LogStats) {
    let file = RealDisk::open(dir).unwrap().open(RAW).unwrap();
    let bytes = vec![7; usize::try_from(like.bytes / like.syncs).unwrap()];
    let room = RAW_BYTES / bytes.len() as u64;
    let began = Instant::now();
    for sync in 0..like.syncs {
        file.write_at(&bytes, (sync % room) * bytes.len() as u64).unwrap();
        file.sync_data().unwrap();
    }
    let took = began.elapsed();
    let sync_us = u64::try_from(took.as_micros()).unwrap();
    (took, LogStats { sync_us, ..like.clone() })
}
