//! One large room.

use anyhow::Result;

use super::{Bench, By, bare, whole};
use crate::chat::{Chat, Pace};
use crate::report::Sample;
use crate::world::World;

/// Messages under way: enough that a server can put frames together.
const WINDOW: u32 = 8;
/// Messages a second, so few that it cannot.
pub(super) const SINGLE_RATE: f64 = 5.5;

impl Bench<'_> {
    pub(super) fn fanout(&mut self) -> Result<()> {
        let server = self.server("fanout")?;
        let room = (0..self.args.sizes.subscribers).collect();
        let world = World::import(&server, &[room])?;
        let plan = |n: u64, _, _, seats: u32| (0, u32::try_from(n % u64::from(seats)).unwrap_or(0));
        let mut chat = Chat::connect(&server, &world, plan, self.args.sizes.text_bytes)?;
        chat.warm_up(Pace::Window(WINDOW), self.warm_up())?;
        for (name, limit, pace) in [
            ("fanout, bursts of eight", bare::EIGHT, Pace::Burst(WINDOW)),
            ("fanout, coalesced", bare::EIGHT, Pace::Window(WINDOW)),
            ("fanout, one at a time", bare::SINGLE, Pace::Window(1)),
            ("fanout, a few a second", bare::SPARSE, Pace::Single(SINGLE_RATE)),
        ] {
            let stretch = chat.measure(pace, self.stretch())?;
            self.keep(name, Some(limit), By::Deliveries, &stretch);
            #[expect(
                clippy::cast_possible_truncation,
                clippy::cast_sign_loss,
                reason = "the mean of lengths below 64 KiB"
            )]
            let frame_bytes = stretch.frame_bytes as u32;
            self.frame_bytes = frame_bytes;
        }
        let missing = chat.not_stored()?;
        self.last_lacks(missing);
        drop(chat);
        drop(server);
        self.bare_fanout()
    }

    /// Files with the last sample how many acknowledged messages history does not show.
    pub(super) fn last_lacks(&mut self, missing: u64) {
        if let Some(sample) = self.samples.last_mut() {
            Sample::put(sample, "not_stored", whole(missing));
        }
    }
}
