//! One large room, in turns with a bare writer that does the same to as many sockets.

use anyhow::Result;

use super::{Bench, By, bare, whole};
use crate::chat::{Chat, Pace};
use crate::report::{CPU, Sample, TIMES_BARE};
use crate::world::World;

/// Messages under way: enough that a server can put frames together.
pub(super) const WINDOW: u32 = 8;
/// Messages a second, so few that it cannot.
pub(super) const SINGLE_RATE: f64 = 5.5;
/// What the bare writer does, and what is compared with it.
const PAIRS: [(&str, &[(&str, Pace)]); 3] = [
    (
        bare::EIGHT,
        &[
            ("fanout, bursts of eight", Pace::Burst(WINDOW)),
            ("fanout, coalesced", Pace::Window(WINDOW)),
        ],
    ),
    (bare::SINGLE, &[("fanout, one at a time", Pace::Window(1))]),
    (bare::SPARSE, &[("fanout, a few a second", Pace::Single(SINGLE_RATE))]),
];

impl Bench<'_> {
    /// What a delivery costs changes with the machine by half within minutes: so each stretch has
    /// one of the bare writer right before or behind it, and is compared with that one.
    pub(super) fn fanout(&mut self) -> Result<()> {
        let server = self.server("fanout")?;
        let room = (0..self.args.sizes.subscribers).collect();
        let world = World::import(&server, &[room])?;
        let plan = |n: u64, _, _, seats: u32| (0, u32::try_from(n % u64::from(seats)).unwrap_or(0));
        let mut chat = Chat::connect(&server, &world, plan, self.args.sizes.text_bytes)?;
        let warm = chat.measure(Pace::Window(WINDOW), self.warm_up())?;
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "the mean of lengths below 64 KiB"
        )]
        let frame_bytes = warm.frame_bytes as u32;
        self.frame_bytes = frame_bytes;
        let mut bare = self.bare_room()?;
        // A reader that has a processor for itself stays awake. Whether it is asleep when something
        // comes is chance, and the writer pays for waking it up, up to a third as much again.
        chat.engine.is_awake = self.args.pin.is_some();
        if let Some(bare) = bare.as_mut() {
            bare.stay_awake(self.args.pin.is_some());
        }
        for turn in 0..self.args.sizes.fanout_turns {
            for (limit, stretches) in PAIRS {
                let is_first = turn % 2 == 0;
                let before = bare.as_mut().filter(|_| is_first);
                let mut cost = before.map(|bare| self.bare_stretch(bare, limit)).transpose()?;
                let begin = self.samples.len();
                for (name, pace) in stretches {
                    let stretch = chat.measure(*pace, self.stretch())?;
                    self.keep(name, Some(limit), By::Deliveries, &stretch);
                }
                let end = self.samples.len();
                if let Some(bare) = bare.as_mut().filter(|_| !is_first) {
                    cost = Some(self.bare_stretch(bare, limit)?);
                }
                for sample in self.samples.get_mut(begin..end).unwrap_or_default() {
                    times(sample, cost);
                }
            }
        }
        let missing = chat.not_stored()?;
        self.last_lacks(missing);
        Ok(())
    }

    /// Files with the last stretch how many acknowledged messages history does not show.
    pub(super) fn last_lacks(&mut self, missing: u64) {
        let last = self.samples.iter_mut().rev().find(|sample| sample.figures.contains_key("lost"));
        if let Some(sample) = last {
            sample.put("not_stored", whole(missing));
        }
    }
}

/// A stretch as a multiple of the bare writer's.
fn times(sample: &mut Sample, bare: Option<f64>) {
    let own = sample.figures.get(CPU).copied();
    if let Some((own, bare)) = own.zip(bare.filter(|cost| *cost > 0.0)) {
        sample.put(TIMES_BARE, own / bare);
    }
}
