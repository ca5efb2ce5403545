//! All connections cut at once, and their way back, beside bare handshakes.

use std::time::{Duration, Instant};

use anyhow::Result;

use super::{Bench, cost, whole, wrong};
use crate::chat::Chat;
use crate::child::Process;
use crate::identity::{BARE_SECRET, Issuer};
use crate::report::{ANSWER, RATE, Sample};
use crate::storm::{self, Load, Storm};
use crate::world::{Cast, World, user};

/// Messages a second that go on being sent.
const LIGHT: f64 = 100.0;
/// Messages under way at most: those to people who are away stay under way until they are back.
const WINDOW: u32 = 8192;
/// How long bare connections may take to stand at first.
const BARE_LIMIT: Duration = Duration::from_mins(1);

impl Bench<'_> {
    pub(super) fn storm(&mut self) -> Result<()> {
        let (count, members) = (self.args.sizes.storm, self.args.sizes.members.max(1));
        let bare = self.bare_handshakes(count)?;
        let rooms: Vec<Vec<u32>> =
            (0..count / members).map(|r| (r * members..(r + 1) * members).collect()).collect();
        let count = count / members * members;
        let server = self.server("storm")?;
        let cast = Cast { rooms, everywhere: count..count + 1, ..Cast::default() };
        let world = World::bring_in(&server, &cast)?;
        let mut chat = Chat::connect_with(&server, &world, count, self.args.sizes.text_bytes)?;
        chat.ledger.set_window(WINDOW);
        let mut load = Load { due: Instant::now(), gap: Duration::from_secs_f64(1.0 / LIGHT) };
        chat.talk_on(&mut load, self.warm_up())?;
        let before = server.usage()?;
        let storm = chat.storm(&mut load)?;
        let after = server.usage()?;
        let used = after.since(&before);
        chat.talk_on(&mut load, self.warm_up())?;
        chat.drain()?;
        let unfinished = chat.ledger.close_books();
        let mut sample = named("storm", "reconnects", &storm, count);
        cost(&mut sample, used.as_ref(), u64::from(count));
        sample.put_latency(["hello_p50_ms", "hello_p95_ms", "hello_p99_ms"], &storm.hello);
        wrong(&mut sample, &chat.ledger.figures);
        if unfinished > 0 {
            sample.errors.insert("never_finished".to_owned(), unfinished);
        }
        for (tier, number) in &storm.tiers {
            if tier != "replay" {
                sample.errors.insert(format!("tier_{tier}"), *number);
            }
        }
        for (key, metric) in [
            ("message_store_reads", r#"klatch_store_reads_total{store="messages"}"#),
            ("metadata_store_reads", r#"klatch_store_reads_total{store="metadata"}"#),
        ] {
            if let Some(reads) = after.metrics.since(&before.metrics, metric) {
                sample.put(key, reads);
            }
        }
        if let Some(bare) = bare {
            sample.put("times_bare_handshakes", storm.seconds / bare.max(f64::EPSILON));
        }
        sample.put("not_stored", whole(chat.not_stored()?));
        self.push(sample);
        Ok(())
    }

    /// The same number of connections, cut and made again, at a server that checks their tokens
    /// and greets them; gives the seconds it took.
    fn bare_handshakes(&mut self, count: u32) -> Result<Option<f64>> {
        let Some(argv) = &self.args.baseline_argv else { return Ok(None) };
        let cpus = self.args.pin.as_ref().map(|pin| pin.server.as_slice());
        let (process, address) =
            crate::machine::on(cpus, || Process::listening(&self.args.children, argv))?;
        let issuer = Issuer::with_secret(self.args.unix_seconds, BARE_SECRET);
        let tokens: Vec<String> =
            (0..count).map(|number| issuer.token(&user(number))).collect::<Result<_>>()?;
        let storm = storm::bare(address, &tokens, BARE_LIMIT)?;
        drop(process);
        let seconds = storm.seconds;
        self.push(named("bare handshakes", "reconnects", &storm, count));
        Ok(Some(seconds))
    }
}

fn named(name: &str, unit: &'static str, storm: &Storm, count: u32) -> Sample {
    let mut sample = Sample { name: name.to_owned(), unit, ..Sample::default() };
    sample.put(RATE, f64::from(count) / storm.seconds.max(f64::EPSILON));
    sample.put("connections", f64::from(count));
    sample.put("all_back_s", storm.seconds);
    sample.put_latency(ANSWER, &storm.back);
    sample.put("refused_at_first", whole(storm.refused.values().sum()));
    sample.put("broken_on_the_way", whole(storm.broken));
    sample
}
