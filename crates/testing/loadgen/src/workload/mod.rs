//! The workloads, one file each, and what they share.

mod acks;
mod bare;
mod crowd;
mod fanout;
mod history;
mod idle;
mod logins;
mod many_rooms;
mod rooms;
mod secret;
mod slow;
mod storm;

use std::collections::BTreeMap;
use std::io::Write;
use std::time::Duration;

use anyhow::{Context as _, Result};

use crate::args::{Args, Workload};
use crate::chat::Stretch;
use crate::identity::Issuer;
use crate::ledger::Figures;
use crate::proc::Cpu;
use crate::report::{ACK, CPU, DELIVERY, RATE, Sample};
use crate::server::{Server, Target};

/// Stretches before the measured ones, at most: connections have spoken, caches are filled.
const WARM_UP: Duration = Duration::from_secs(2);

/// A bench under way.
pub(crate) struct Bench<'a> {
    args: &'a Args,
    issuer: Issuer,
    progress: &'a mut dyn Write,
    pub(crate) samples: Vec<Sample>,
    pub(crate) durability: Option<String>,
    /// Mean bytes of an event frame, as seen last; the bare writer sends as many.
    frame_bytes: u32,
}

impl<'a> Bench<'a> {
    pub(crate) fn new(args: &'a Args, issuer: Issuer, progress: &'a mut dyn Write) -> Self {
        let issuer = match &args.target {
            Target::Given { issuer_secret, .. } => {
                Issuer::with_secret(args.unix_seconds, issuer_secret)
            }
            Target::Spawn { .. } => issuer,
        };
        let frame_bytes = bare::usual_frame(args.sizes.text_bytes);
        Self { args, issuer, progress, samples: Vec::new(), durability: None, frame_bytes }
    }

    pub(crate) fn run(&mut self, workload: Workload, repetition: u32) -> Result<()> {
        self.say(&format!("{} ({repetition} of {})", workload.name(), self.args.repetitions));
        let outcome = match workload {
            Workload::Baseline => self.bare(),
            Workload::Fanout => self.fanout(),
            Workload::Rooms => self.rooms(),
            Workload::Acks => self.acks(),
            Workload::Pairs => self.pairs(),
            Workload::Half => self.half(),
            Workload::Idle => self.idle(),
            Workload::Tls => self.secret(),
            Workload::History => self.history(),
            Workload::Readers => self.readers(),
            Workload::Slow => self.slow(),
            Workload::Storm => self.storm(),
            Workload::Logins => self.logins(),
            Workload::ManyRooms => self.many_rooms(),
            Workload::Million => self.crowd(),
        };
        outcome.with_context(|| format!("workload {}", workload.name()))
    }

    fn say(&mut self, what: &str) {
        // Progress that nobody can read is no reason to stop.
        let _ = writeln!(self.progress, "{what}");
        let _ = self.progress.flush();
    }

    fn server(&mut self, name: &str) -> Result<Server> {
        self.start(name, false)
    }

    /// One that serves https and wss itself.
    fn secret_server(&mut self, name: &str) -> Result<Server> {
        self.start(name, true)
    }

    fn start(&mut self, name: &str, tls: bool) -> Result<Server> {
        let name = format!("{name}-{}", self.samples.len());
        let server = Server::start(self.args, &self.issuer, &name, tls)?;
        self.say(&format!("  server ready after {:.2} s", server.start_seconds));
        if self.durability.is_none() {
            self.durability = server.metrics().durability().map(str::to_owned);
        }
        Ok(server)
    }

    fn stretch(&self) -> Duration {
        Duration::from_secs_f64(self.args.seconds)
    }

    fn warm_up(&self) -> Duration {
        WARM_UP.min(self.stretch())
    }

    /// Keeps the sample of a stretch of messages and says its most telling figures.
    fn keep(&mut self, name: &str, limit: Option<&'static str>, by: By, stretch: &Stretch) {
        let figures = &stretch.figures;
        let (unit, count) = match by {
            By::Deliveries => ("deliveries", figures.deliveries),
            By::Accepted => ("accepted", figures.accepted),
        };
        let mut sample = Sample { name: name.to_owned(), unit, limit, ..Sample::default() };
        sample.put(RATE, whole(count) / stretch.seconds);
        cost(&mut sample, stretch.cpu.as_ref(), count);
        sample.put_latency(ACK, &figures.ack);
        sample.put_latency(DELIVERY, &figures.delivery);
        wrong(&mut sample, figures);
        sample.put("frame_bytes", stretch.frame_bytes);
        sample.put("frames_per_read", stretch.frames_per_read);
        if let Some(records) = stretch.records_per_sync {
            sample.put("records_per_sync", records);
        }
        sample.put("load_cpu_percent", stretch.load_cpu.seconds / stretch.seconds * 100.0);
        // They say why messages never arrived, if some did not: a reader that lagged.
        if figures.notices > 0 {
            sample.put("notices", whole(figures.notices));
        }
        if stretch.unfinished > 0 {
            sample.errors.insert("never_finished".to_owned(), stretch.unfinished);
        }
        self.push(sample);
    }

    fn push(&mut self, sample: Sample) {
        let shown: BTreeMap<_, _> =
            sample.figures.iter().filter(|(_, value)| **value > 0.0).collect();
        self.say(&format!("  {}: {shown:.2?} {:?}", sample.name, sample.errors));
        self.samples.push(sample);
    }
}

/// What a message workload's costs are counted in.
#[derive(Clone, Copy)]
enum By {
    Deliveries,
    Accepted,
}

/// What must be nothing.
fn wrong(sample: &mut Sample, figures: &Figures) {
    for (key, count) in [
        ("lost", figures.lost),
        ("doubled", figures.doubled),
        ("disordered", figures.disordered),
        ("foreign", figures.foreign),
    ] {
        sample.put(key, whole(count));
    }
    sample.errors.clone_from(&figures.errors);
}

/// CPU seconds per million, all and by threads.
fn cost(sample: &mut Sample, cpu: Option<&Cpu>, count: u64) {
    let Some(cpu) = cpu.filter(|_| count > 0) else { return };
    let per_million = 1e6 / whole(count);
    sample.put(CPU, cpu.seconds * per_million);
    let threads = cpu.threads.iter();
    sample.threads = threads.map(|(name, s)| (name.clone(), s * per_million)).collect();
}

#[expect(clippy::cast_precision_loss, reason = "counts far below 2^52")]
fn whole(count: u64) -> f64 {
    count as f64
}
