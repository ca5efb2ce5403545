//! Measures the stores on disk: `store_bench messages|members|accounts|keys|idle [count] [dir]`.
//! CPU is that of all threads, from the scheduler's own counters; times are of an otherwise idle
//! machine or not worth writing down.
#![expect(clippy::expect_used, clippy::print_stdout, reason = "a tool for the terminal")]

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use klatch_conformance::sample::{
    P0, Repeatable, account, at, claim, head, member, message, room_id, time, user, user_id,
};
use klatch_domain::{Sealed, Seq};
use klatch_embedded::accounts::Accounts;
use klatch_embedded::keys::Keys;
use klatch_embedded::stores::{Stores, StoresConfig};
use klatch_ports::accounts::{AccountStore, Claims};
use klatch_ports::keys::{KeyReader, KeyWriter};
use klatch_ports::messages::{MessageCommit, MessageReader, MessageWriter, Range};
use klatch_ports::metadata::{MemberReader, MetadataCommit, MetadataWriter};

const ROOMS: u64 = 2_000;
const BATCH: u64 = 200;

fn main() {
    let mut arguments = std::env::args().skip(1);
    let mode = arguments.next().unwrap_or_else(|| "messages".to_owned());
    let count = arguments.next().map(|n| n.parse().expect("a number"));
    let kept = arguments.next().map(PathBuf::from);
    let own = tempfile::tempdir().expect("a directory");
    let dir = kept.as_deref().unwrap_or(own.path());
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .expect("a runtime");
    runtime.block_on(async {
        match mode.as_str() {
            "messages" => messages(dir, count.unwrap_or(1_000_000)).await,
            "members" => members(dir, count.unwrap_or(1_000_000)).await,
            "accounts" => accounts(dir, count.unwrap_or(15_000)).await,
            "keys" => keys(dir, count.unwrap_or(100_000)).await,
            "idle" => idle(dir).await,
            other => println!("no such measurement: {other}"),
        }
    });
}

async fn messages(dir: &Path, count: u64) {
    let random = Repeatable::new(7);
    let stores = Stores::open(dir, config()).expect("stores");
    let mut seqs = vec![0u64; usize::try_from(ROOMS).expect("small")];
    let (mut slowest, mut commits) = (Vec::new(), 0);
    let phase = Phase::begin();
    for offset in 1..=count / BATCH {
        let commit = next_commit(&random, &mut seqs, offset);
        let begin = Instant::now();
        stores.messages.commit(commit).await.expect("commit");
        slowest.push(begin.elapsed());
        commits += 1;
    }
    phase.end("commit", "row", commits * BATCH);
    percentiles("  commit of 200", &mut slowest);
    memory_and_disk(dir);
    let all_written = "  with tables still being written";
    read_pages(&stores, &random, all_written).await;
    tokio::time::sleep(Duration::from_secs(5)).await;
    memory_and_disk(dir);
    read_pages(&stores, &random, "  settled").await;
    memory_and_disk(dir);
    read_while_writing(&stores, &random, &mut seqs, count / BATCH + 1).await;
    memory_and_disk(dir);
    drop(stores);
    let phase = Phase::begin();
    let stores = Stores::open(dir, config()).expect("stores");
    phase.end("reopen", "opening", 1);
    read_pages(&stores, &random, "  after reopening").await;
    memory_and_disk(dir);
}

fn next_commit(random: &Repeatable, seqs: &mut [u64], offset: u64) -> MessageCommit {
    let mut commit = MessageCommit { partition: P0, applied: at(offset), ..Default::default() };
    for _ in 0..BATCH {
        let room = random.next() % ROOMS;
        let seq = seqs.get_mut(usize::try_from(room).expect("small")).expect("a room");
        *seq += 1;
        let mut row = message(room_id(room), *seq, Some(*seq));
        let body: Vec<u8> = (0..32).flat_map(|_| random.next().to_be_bytes()).collect();
        row.body = Some(Sealed { person: row.sender, bytes: Bytes::from(body) });
        commit.messages.push(row);
        commit.heads.retain(|(other, _)| *other != room_id(room));
        commit.heads.push((room_id(room), head(*seq, *seq, offset)));
    }
    commit
}

async fn read_pages(stores: &Stores, random: &Repeatable, what: &str) {
    let mut times = Vec::new();
    let phase = Phase::begin();
    for _ in 0..20_000 {
        let room = room_id(random.next() % ROOMS);
        let begin = Instant::now();
        let page = stores.messages.history(room, Range::Latest, 50).await.expect("history");
        times.push(begin.elapsed());
        assert!(page.len() == 50 || page.len() < 50 && page.iter().all(|m| m.seq.0 <= 50));
    }
    phase.end("latest 50", "page", 20_000);
    percentiles(what, &mut times);
    let mut times = Vec::new();
    for _ in 0..20_000 {
        let room = room_id(random.next() % ROOMS);
        let begin = Instant::now();
        stores.messages.head(room).await.expect("head");
        times.push(begin.elapsed());
    }
    percentiles("  head", &mut times);
}

/// Readers as fast as they can while a writer commits 2,000 rows a second.
async fn read_while_writing(stores: &Stores, random: &Repeatable, seqs: &mut [u64], from: u64) {
    let messages = Arc::clone(&stores.messages);
    let reader = tokio::spawn(async move {
        let random = Repeatable::new(8);
        let (mut times, begin) = (Vec::new(), Instant::now());
        while begin.elapsed() < Duration::from_secs(30) {
            let room = room_id(random.next() % ROOMS);
            let begin = Instant::now();
            messages.history(room, Range::Latest, 50).await.expect("history");
            times.push(begin.elapsed());
            tokio::time::sleep(Duration::from_micros(500)).await;
        }
        times
    });
    let mut tick = tokio::time::interval(Duration::from_millis(100));
    let mut offset = from;
    while !reader.is_finished() {
        tick.tick().await;
        let commit = next_commit(random, seqs, offset);
        stores.messages.commit(commit).await.expect("commit");
        offset += 1;
    }
    percentiles("  latest 50 beside 2,000 rows/s", &mut reader.await.expect("reader"));
}

async fn members(dir: &Path, count: u64) {
    let stores = Stores::open(dir, StoresConfig::default()).expect("stores");
    let phase = Phase::begin();
    for offset in 0..count / BATCH {
        let numbers = offset * BATCH..(offset + 1) * BATCH;
        let users = numbers.clone().map(|n| (user(n), None)).collect();
        let members = numbers.map(|n| (room_id(1), member(user_id(n), n + 1))).collect();
        let applied = at(offset + 1);
        let commit =
            MetadataCommit { partition: P0, applied, users, members, ..Default::default() };
        stores.metadata.commit(commit).await.expect("commit");
    }
    phase.end("join", "user and stay", count);
    memory_and_disk(dir);
    for round in ["first", "again", "settled"] {
        let phase = Phase::begin();
        let numbers = stores.metadata.numbers_at(room_id(1), Seq(count / 2)).await;
        assert_eq!(u64::try_from(numbers.expect("numbers").len()).ok(), Some(count / 2));
        phase.end(&format!("numbers_at, {round}"), "member row", count);
        tokio::time::sleep(Duration::from_secs(3)).await;
    }
    memory_and_disk(dir);
}

async fn accounts(dir: &Path, count: u64) {
    let accounts = Accounts::open(dir).expect("accounts");
    let register = |n: u64| {
        let accounts = &accounts;
        async move {
            let name = [claim(&format!("user{n}"), u128::from(n))];
            accounts.claim(&name, time(n)).await.expect("claim").expect("held");
            accounts.put(&[account(n)]).await.expect("put");
        }
    };
    let phase = Phase::begin();
    futures::future::join_all((0..count).map(register)).await;
    phase.end("claim and put, all at once", "account", count);
    let phase = Phase::begin();
    for n in count..count + 500 {
        register(n).await;
    }
    phase.end("claim and put, one after another", "account", 500);
    memory_and_disk(dir);
}

async fn keys(dir: &Path, count: u64) {
    let keys = Keys::open(dir, Arc::new(Repeatable::new(1))).expect("keys");
    let people: Vec<_> = (0..count).map(user_id).collect();
    let phase = Phase::begin();
    keys.create(&people).await.expect("create");
    phase.end("create, one call", "person", count);
    let (random, phase) = (Repeatable::new(3), Phase::begin());
    for _ in 0..100_000 {
        keys.key(user_id(random.next() % count)).await.expect("key");
    }
    phase.end("look up anybody", "key", 100_000);
    let phase = Phase::begin();
    keys.destroy(user_id(0)).await.expect("destroy");
    phase.end("destroy", "person on the server", count);
    drop(keys);
    let phase = Phase::begin();
    let keys = Keys::open(dir, Arc::new(Repeatable::new(2))).expect("keys");
    phase.end("reopen", "person", count);
    memory_and_disk(dir);
    drop(keys);
}

async fn idle(dir: &Path) {
    memory_and_disk(dir);
    let stores = Stores::open(dir, StoresConfig::default()).expect("stores");
    memory_and_disk(dir);
    let accounts = Accounts::open(dir).expect("accounts");
    let keys = Keys::open(dir, Arc::new(Repeatable::new(2))).expect("keys");
    memory_and_disk(dir);
    let phase = Phase::begin();
    tokio::time::sleep(Duration::from_secs(10)).await;
    phase.end("idle", "10 s", 1);
    drop((stores, accounts, keys));
}

/// Sizes from `KLATCH_BENCH_{BUFFER,CACHE}_MIB`, to try others.
fn config() -> StoresConfig {
    let mut config = StoresConfig::default();
    let mib = |name| std::env::var(name).ok().and_then(|n| n.parse::<u64>().ok()).map(|n| n << 20);
    config.message_buffer_bytes =
        mib("KLATCH_BENCH_BUFFER_MIB").unwrap_or(config.message_buffer_bytes);
    config.cache_bytes = mib("KLATCH_BENCH_CACHE_MIB").unwrap_or(config.cache_bytes);
    config
}

fn percentiles(what: &str, times: &mut [Duration]) {
    times.sort_unstable();
    let at = |share: usize| {
        let place = times.len() * share / 10_000;
        times.get(place.min(times.len() - 1)).map_or(0.0, |time| time.as_secs_f64() * 1e6)
    };
    println!(
        "{what}: p50 {:.0} µs, p99 {:.0} µs, p99.9 {:.0} µs, max {:.0} µs",
        at(5_000),
        at(9_900),
        at(9_990),
        at(10_000)
    );
}

fn memory_and_disk(dir: &Path) {
    let status = fs::read_to_string("/proc/self/status").expect("status");
    let lines = status.lines().filter(|l| l.starts_with("VmRSS") || l.starts_with("VmHWM"));
    let memory: Vec<_> = lines.map(|l| l.replace(['\t', ' '], "")).collect();
    println!("memory {}, disk {} MiB", memory.join(" "), disk(dir) >> 20);
}

/// Bytes really taken: journals reserve more than they hold.
fn disk(dir: &Path) -> u64 {
    use std::os::unix::fs::MetadataExt;
    let entries = fs::read_dir(dir).into_iter().flatten().flatten();
    let size = |entry: fs::DirEntry| match entry.metadata() {
        Ok(about) if about.is_dir() => disk(&entry.path()),
        Ok(about) => about.blocks() * 512,
        Err(_) => 0,
    };
    entries.map(size).sum()
}

/// CPU of all threads now alive, in nanoseconds; fjall's own apart.
fn cpu() -> (u64, u64) {
    let (mut all, mut fjall) = (0, 0);
    for task in fs::read_dir("/proc/self/task").into_iter().flatten().flatten() {
        let read = |name| fs::read_to_string(task.path().join(name)).unwrap_or_default();
        let spent: u64 =
            read("schedstat").split(' ').next().and_then(|n| n.parse().ok()).unwrap_or(0);
        all += spent;
        if read("comm").starts_with("fjall") {
            fjall += spent;
        }
    }
    (all, fjall)
}

struct Phase {
    begin: Instant,
    cpu: (u64, u64),
}

impl Phase {
    fn begin() -> Self {
        Self { begin: Instant::now(), cpu: cpu() }
    }

    #[expect(clippy::cast_precision_loss, reason = "for the eye")]
    fn end(self, what: &str, unit: &str, count: u64) {
        let now = cpu();
        let each = |ns: u64| ns as f64 / 1e3 / count as f64;
        println!(
            "{what}: {:.2} s; CPU {:.2} µs per {unit} (of it fjall's thread {:.2})",
            self.begin.elapsed().as_secs_f64(),
            each(now.0.saturating_sub(self.cpu.0)),
            each(now.1.saturating_sub(self.cpu.1)),
        );
    }
}
