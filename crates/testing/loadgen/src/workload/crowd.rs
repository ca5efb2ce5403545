//! One very large room of whom few are online.

use std::time::Instant;

use anyhow::Result;

use super::fanout::SINGLE_RATE;
use super::{Bench, By, whole};
use crate::chat::{Chat, Pace, Plan};
use crate::world::{Cast, World};

impl Bench<'_> {
    /// One message at a time, so that each is a batch of its own.
    pub(super) fn crowd(&mut self) -> Result<()> {
        let sizes = &self.args.sizes;
        let (crowd, online, text_bytes) = (sizes.crowd, sizes.crowd_online, sizes.text_bytes);
        let mut server = self.server("million")?;
        let rooms = vec![(0..online).collect()];
        let cast = Cast { rooms, everywhere: online..crowd.max(online), ..Cast::default() };
        let begun = Instant::now();
        let world = World::bring_in(&server, &cast)?;
        let import = begun.elapsed().as_secs_f64();
        self.say(&format!("  imported a room of {crowd} in {import:.1} s"));
        // What the import took would hide what the room takes.
        server.restart()?;
        self.say(&format!("  restarted in {:.2} s", server.start_seconds));
        let plan: Plan = |n, _, _, seats| (0, u32::try_from(n % u64::from(seats)).unwrap_or(0));
        let mut chat = Chat::connect(&server, &world, plan, text_bytes)?;
        chat.warm_up(Pace::Single(SINGLE_RATE), self.warm_up())?;
        let stretch = chat.measure(Pace::Single(SINGLE_RATE), self.stretch())?;
        self.keep("million", None, By::Accepted, &stretch);
        let memory = server.memory()?;
        if let Some(sample) = self.samples.last_mut() {
            sample.put("members", f64::from(crowd));
            sample.put("online", f64::from(online));
            sample.put("import_s", import);
            sample.put("restart_s", server.start_seconds);
            let accepted = whole(stretch.figures.accepted.max(1));
            sample.put("deliveries_per_message", whole(stretch.figures.deliveries) / accepted);
            if let Some(publishes) = stretch.publishes {
                sample.put("publishes_per_message", publishes / accepted);
            }
            if let Some(memory) = memory {
                sample.put("resident_mib", whole(memory.resident_bytes) / f64::from(1 << 20));
            }
        }
        let missing = chat.not_stored()?;
        self.last_lacks(missing);
        Ok(())
    }
}
