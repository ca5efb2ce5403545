//! The latest 50 of a room.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};

use super::{Bench, cost, whole};
use crate::http::Http;
use crate::report::{ANSWER, RATE, Sample};
use crate::server::Server;
use crate::stats::Histogram;
use crate::world::{World, import_messages, user};

/// Rooms that are read again and again.
const HOT_ROOMS: usize = 16;
const PAGE: usize = 50;
/// How many requests were answered.
const REQUESTS: &str = "requests";
/// The server's count of reads of the message store.
const STORE_READS: &str = r#"klatch_store_reads_total{store="messages"}"#;
/// A reader needs little room for itself.
const STACK_BYTES: usize = 256 << 10;
/// One answer in so many is read whole.
const CHECK_EVERY: u64 = 64;

impl Bench<'_> {
    pub(super) fn history(&mut self) -> Result<()> {
        let sizes = self.args.sizes.clone();
        let mut server = self.server("history")?;
        // The reader is in every room, a second person in each talks with it.
        let rooms: Vec<Vec<u32>> = (1..=sizes.history_rooms).map(|other| vec![0, other]).collect();
        let world = World::import(&server, &rooms)?;
        let per_room = (sizes.history_messages / sizes.history_rooms.max(1)).max(1) as usize;
        let begun = Instant::now();
        let lines = import_messages(&server, &world, per_room, sizes.text_bytes)?;
        let rate = whole(lines as u64) / begun.elapsed().as_secs_f64();
        self.say(&format!("  imported {lines} messages, {rate:.0}/s"));
        server.settle(Duration::from_mins(1))?;
        server.restart()?;
        self.say(&format!("  restarted in {:.2} s", server.start_seconds));
        let started = server.start_seconds;

        let count = sizes.readers.max(1);
        let cold = Readers { server: &server, world: &world, page: per_room.min(PAGE), count };
        let (time, sample) = (self.stretch(), |name: &str| Sample {
            name: name.to_owned(),
            unit: "requests",
            ..Sample::default()
        });
        let mut first = sample("history, each room's first read");
        cold.read(world.rooms.len(), true, time, &mut first)?;
        first.put("import_per_second", rate);
        first.put("restart_s", started);
        self.push(first);

        let hot = HOT_ROOMS.min(world.rooms.len());
        cold.read(hot, false, self.warm_up(), &mut sample("warm-up"))?;
        let mut again = sample("history, hot rooms");
        cold.read(hot, false, time, &mut again)?;
        self.push(again);
        Ok(())
    }
}

impl Bench<'_> {
    /// Very many readers of one room at a time.
    pub(super) fn readers(&mut self) -> Result<()> {
        let (count, text_bytes) = (self.args.sizes.hot_readers, self.args.sizes.text_bytes);
        let server = self.server("readers")?;
        let world = World::import(&server, &[vec![0, 1]])?;
        import_messages(&server, &world, 2 * PAGE, text_bytes)?;
        server.settle(Duration::from_secs(10))?;
        let readers = Readers { server: &server, world: &world, page: PAGE, count };
        let mut sample = Sample { name: "readers".into(), unit: "requests", ..Sample::default() };
        readers.read(1, false, self.warm_up(), &mut sample.clone())?;
        let before = server.metrics();
        readers.read(1, false, self.stretch(), &mut sample)?;
        let reads = server.metrics().since(&before, STORE_READS);
        sample.put("readers", f64::from(count));
        if let Some((reads, requests)) = reads.zip(sample.figures.get(REQUESTS).copied()) {
            sample.put("store_reads_per_1000", reads * 1000.0 / requests.max(1.0));
        }
        self.push(sample);
        Ok(())
    }
}

struct Readers<'a> {
    server: &'a Server,
    world: &'a World,
    page: usize,
    count: u32,
}

impl Readers<'_> {
    /// Reads the first `rooms` rooms in turn, once or over and over, for at most `time`.
    fn read(&self, rooms: usize, once: bool, time: Duration, sample: &mut Sample) -> Result<()> {
        let before = self.server.usage()?;
        let begun = Instant::now();
        let next = AtomicUsize::new(0);
        let reader = || self.one_reader(&next, rooms, once, begun + time);
        let answers: Result<Vec<Histogram>> = std::thread::scope(|scope| {
            let start = |_| {
                let thread = std::thread::Builder::new().stack_size(STACK_BYTES);
                thread.spawn_scoped(scope, reader)
            };
            let readers: Vec<_> = (0..self.count).map(start).collect::<Result<_, _>>()?;
            readers
                .into_iter()
                .map(|reader| reader.join().unwrap_or_else(|_| bail!("a reader panicked")))
                .collect()
        });
        let mut all = Histogram::default();
        answers?.iter().for_each(|histogram| all.merge(histogram));
        let seconds = begun.elapsed().as_secs_f64();
        self.server.settle(Duration::from_secs(10))?;
        let used = self.server.usage()?.since(&before);
        sample.put(RATE, whole(all.count()) / seconds);
        sample.put(REQUESTS, whole(all.count()));
        cost(sample, used.as_ref(), all.count());
        sample.put_latency(ANSWER, &all);
        Ok(())
    }

    fn one_reader(
        &self,
        next: &AtomicUsize,
        rooms: usize,
        once: bool,
        deadline: Instant,
    ) -> Result<Histogram> {
        let mut http = self.server.http_as(&user(0))?;
        let mut histogram = Histogram::default();
        while Instant::now() < deadline {
            let number = next.fetch_add(1, Ordering::Relaxed);
            if once && number >= rooms {
                break;
            }
            let room = self.world.rooms.get(number % rooms.max(1)).context("no rooms")?;
            let path = format!("/api/v1/rooms/{}/messages?limit={PAGE}", room.id);
            let begun = Instant::now();
            let body = self.page(&mut http, &path)?;
            histogram.record(u64::try_from(begun.elapsed().as_nanos()).unwrap_or(u64::MAX));
            if histogram.count() % CHECK_EVERY == 1 {
                self.check(&body)?;
            }
        }
        Ok(histogram)
    }

    fn page(&self, http: &mut Http, path: &str) -> Result<Vec<u8>> {
        let body = http.get(path)?.success().with_context(|| self.server.log_tail())?;
        ensure!(body.len() > self.page * 100, "a page of {} bytes", body.len());
        Ok(body)
    }

    /// The newest messages, newest first, none left out.
    fn check(&self, body: &[u8]) -> Result<()> {
        let page: serde_json::Value = serde_json::from_slice(body)?;
        let items = page.get("items").and_then(|items| items.as_array()).context("no items")?;
        ensure!(items.len() == self.page, "{} items, not {}", items.len(), self.page);
        let ordinals: Vec<u64> =
            items.iter().filter_map(|item| item.get("ordinal")?.as_u64()).collect();
        let fall = ordinals.iter().zip(ordinals.iter().skip(1)).all(|(new, old)| *new == old + 1);
        ensure!(fall && ordinals.len() == items.len(), "ordinals {ordinals:?}");
        Ok(())
    }
}
