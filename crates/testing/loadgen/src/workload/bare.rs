//! The bare writer's rows.

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};

use super::{Bench, cost, whole};
use crate::baseline::BareClient;
use crate::child::Process;
use crate::proc::Cpu;
use crate::report::{CPU, RATE, Sample};
use crate::workload::fanout::SINGLE_RATE;

pub(super) const SINGLE: &str = "bare writer, 1 frame a write";
pub(super) const SPARSE: &str = "bare writer, a few times a second";
pub(super) const EIGHT: &str = "bare writer, 8 frames a write";
pub(super) const ROOMS: &str = "bare writer, rooms";

/// A message event's frame with a text of so many bytes, until a real one was seen.
pub(super) fn usual_frame(text_bytes: usize) -> u32 {
    u32::try_from(text_bytes).unwrap_or(u32::MAX).saturating_add(380)
}

/// A bare writer, and the load that reads what it sends.
pub(super) struct Bare {
    process: Process,
    client: BareClient,
}

impl Bare {
    /// Whether those who read wait without sleeping.
    pub(super) fn stay_awake(&mut self, is_awake: bool) {
        self.client.is_awake = is_awake;
    }
}

impl Bench<'_> {
    /// All rows.
    pub(super) fn bare(&mut self) -> Result<()> {
        if let Some(mut bare) = self.bare_room()? {
            for name in [EIGHT, SINGLE, SPARSE] {
                self.bare_stretch(&mut bare, name)?;
            }
        }
        self.bare_rooms()
    }

    /// A bare writer with one group of sockets, if there is one to be had.
    pub(super) fn bare_room(&mut self) -> Result<Option<Bare>> {
        self.bare_writer(1, self.args.sizes.subscribers)
    }

    /// One group of sockets: eight frames a write or one frame a write without a pause, or one
    /// frame a write a few times a second. Gives CPU seconds per million deliveries.
    pub(super) fn bare_stretch(&mut self, bare: &mut Bare, name: &'static str) -> Result<f64> {
        let frames = if name == EIGHT { 8 } else { 1 };
        let gap = Duration::from_secs_f64(if name == SPARSE { 1.0 / SINGLE_RATE } else { 0.0 });
        let before = Cpu::of(bare.process.pid())?;
        let begun = Instant::now();
        let mut rounds = 0_u64;
        while begun.elapsed() < self.stretch() {
            bare.client.command(0, frames)?;
            bare.client.served()?;
            rounds += 1;
            std::thread::sleep(gap);
        }
        let deliveries = rounds * u64::from(frames) * u64::from(self.args.sizes.subscribers);
        let cpu = Cpu::of(bare.process.pid())?.since(&before);
        Ok(self.bare_row(name, ("deliveries", deliveries), begun.elapsed(), &cpu))
    }

    /// Many groups of sockets, one frame to each socket of a group, many groups under way.
    pub(super) fn bare_rooms(&mut self) -> Result<()> {
        let sizes = &self.args.sizes;
        let (rooms, window) = (sizes.rooms, sizes.rooms_window.min(sizes.rooms));
        let Some(Bare { process, mut client }) = self.bare_writer(rooms, sizes.members)? else {
            return Ok(());
        };
        let before = Cpu::of(process.pid())?;
        let begun = Instant::now();
        let mut next = 0;
        for _ in 0..window {
            client.command(next % rooms, 1)?;
            next += 1;
        }
        let (mut messages, mut under_way) = (0_u64, window);
        while under_way > 0 {
            for _ in client.served()? {
                messages += 1;
                if begun.elapsed() < self.stretch() {
                    client.command(next % rooms, 1)?;
                    next = next.wrapping_add(1);
                } else {
                    under_way -= 1;
                }
            }
        }
        let cpu = Cpu::of(process.pid())?.since(&before);
        self.bare_row(ROOMS, ("accepted", messages), begun.elapsed(), &cpu);
        Ok(())
    }

    fn bare_writer(&mut self, groups: u32, size: u32) -> Result<Option<Bare>> {
        let Some(argv) = &self.args.baseline_argv else { return Ok(None) };
        let cpus = self.args.pin.as_ref().map(|pin| pin.server.as_slice());
        let (process, address) =
            crate::machine::on(cpus, || Process::listening(&self.args.children, argv))?;
        let client = BareClient::connect(address, groups, size, self.frame_bytes)
            .context("connecting to the bare writer")?;
        Ok(Some(Bare { process, client }))
    }

    fn bare_row(
        &mut self,
        name: &str,
        (unit, count): (&'static str, u64),
        time: Duration,
        cpu: &Cpu,
    ) -> f64 {
        let mut sample = Sample { name: name.to_owned(), unit, ..Sample::default() };
        sample.put(RATE, whole(count) / time.as_secs_f64());
        cost(&mut sample, Some(cpu), count);
        sample.threads.clear();
        sample.put("frame_bytes", f64::from(self.frame_bytes));
        let cost = sample.figures.get(CPU).copied().unwrap_or_default();
        self.push(sample);
        cost
    }
}
