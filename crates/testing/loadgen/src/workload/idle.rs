//! Connections that do nothing, and what stays when they have left.

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};

use super::{Bench, cost, whole};
use crate::engine::Engine;
use crate::proc::Memory;
use crate::report::{RATE, Sample};
use crate::server::Server;
use crate::world::{World, user};

/// Connections made and ended before, so that what is made once for all is there.
const FIRST: usize = 64;
/// How long connections are held before the second look, at most.
const HOLD: Duration = Duration::from_secs(10);
/// How long after everyone has left memory is looked at last, at most: what is remembered of people
/// goes within a minute.
const RELEASE: Duration = Duration::from_secs(75);

impl Bench<'_> {
    pub(super) fn idle(&mut self) -> Result<()> {
        let server = self.server("idle")?;
        self.hold("idle", server, self.args.sizes.idle)
    }

    /// So many connections at a server of its own.
    pub(super) fn hold(&mut self, name: &str, mut server: Server, count: u32) -> Result<()> {
        let members = self.args.sizes.members.max(1);
        let rooms: Vec<Vec<u32>> = (0..count.div_ceil(members))
            .map(|room| (room * members..((room + 1) * members).min(count)).collect())
            .collect();
        World::import(&server, &rooms)?;
        // What the import took and gave back would hide what connections take.
        server.restart()?;
        let issuer = &server.issuer;
        let tokens: Vec<String> =
            (0..count).map(|number| issuer.token(&user(number))).collect::<Result<_>>()?;
        let mut engine = Engine::new()?;
        connect(&mut engine, &server, tokens.get(..FIRST.min(tokens.len())).unwrap_or_default())?;
        engine.forget(0);
        wait(&mut engine, Duration::from_secs(5))?;

        let (memory, before) = (server.memory()?, server.usage()?);
        let begun = Instant::now();
        connect(&mut engine, &server, &tokens)?;
        let seconds = begun.elapsed().as_secs_f64();
        let connecting = server.usage()?.since(&before);
        let mut sample = Sample { name: name.into(), unit: "connects", ..Sample::default() };
        sample.put(RATE, f64::from(count) / seconds);
        cost(&mut sample, connecting.as_ref(), u64::from(count));
        sample.put("connections", f64::from(count));
        if server.door().trust.is_some() {
            sample.put("full_handshakes", whole(engine.full_handshakes() as u64));
        }

        let (cpu, time) = (server.cpu()?, HOLD.min(self.stretch()));
        wait(&mut engine, time)?;
        let held = cpu.zip(server.cpu()?).map(|(before, after)| after.since(&before));
        ensure!(
            engine.open() == tokens.len(),
            "{} of {count} connections are left: {:?}",
            engine.open(),
            engine.totals.closed
        );
        if let Some(held) = held {
            sample.put("idle_cpu_percent", held.seconds / time.as_secs_f64() * 100.0);
        }
        if let (Some(memory), Some(after)) = (memory, server.memory()?) {
            each(&mut sample, count, &memory, &after);
        }
        self.leave(&mut engine, &server, memory, &mut sample)?;
        self.push(sample);
        Ok(())
    }

    /// All leave, and memory is looked at twice.
    fn leave(
        &mut self,
        engine: &mut Engine,
        server: &Server,
        before: Option<Memory>,
        sample: &mut Sample,
    ) -> Result<()> {
        engine.forget(0);
        // Everyone's leaving is told to fan-out, and freed pages go back by and by.
        wait(engine, HOLD.min(self.stretch()))?;
        server.settle(HOLD)?;
        if let Some(left) = server.memory()? {
            sample.put("resident_mib_soon_after", mib(left.resident_bytes));
        }
        wait(engine, RELEASE.min(self.stretch() * 10))?;
        if let (Some(before), Some(left)) = (before, server.memory()?) {
            sample.put("resident_mib_after", mib(left.resident_bytes));
            let times = whole(left.resident_bytes) / whole(before.resident_bytes.max(1));
            sample.put("after_times_before", times);
        }
        Ok(())
    }
}

/// What each of so many connections took.
fn each(sample: &mut Sample, count: u32, before: &Memory, after: &Memory) {
    let each = |after: u64, before: u64| (whole(after) - whole(before)) / f64::from(count);
    let resident = each(after.resident_bytes, before.resident_bytes);
    let anonymous = each(after.anonymous_bytes, before.anonymous_bytes);
    sample.put("resident_bytes_per_connection", resident);
    sample.put("anonymous_bytes_per_connection", anonymous);
    sample.put("resident_mib_before", mib(before.resident_bytes));
}

fn mib(bytes: u64) -> f64 {
    whole(bytes) / f64::from(1 << 20)
}

fn connect(engine: &mut Engine, server: &Server, tokens: &[String]) -> Result<()> {
    let limit = Duration::from_mins(3);
    let outcome = engine.connect(server.door(), tokens, limit, |_, _| {});
    outcome.with_context(|| server.log_tail())
}

fn wait(engine: &mut Engine, time: Duration) -> Result<()> {
    let deadline = Instant::now() + time;
    while Instant::now() < deadline {
        engine.poll(Duration::from_millis(50), |_, _| {})?;
    }
    Ok(())
}
