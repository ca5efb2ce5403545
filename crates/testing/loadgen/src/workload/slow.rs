//! One large room in which one in twenty never reads, beside the same room in which all read. That
//! one is measured twice: how these two differ is what the machine makes of the same.

use std::collections::BTreeMap;

use anyhow::Result;

use super::{Bench, By, whole};
use crate::chat::{Chat, Pace, Plan};
use crate::report::DELIVERY;
use crate::world::{Cast, World, user};

/// One in so many never reads.
const ONE_IN: u32 = 20;
const WINDOW: u32 = 8;
const ALL: &str = "slow, all read";
const AGAIN: &str = "slow, all read again";
const SOME: &str = "slow, 5 % never read";

impl Bench<'_> {
    /// Stretches at half of the rate that the room reaches, in threes. Those who may be slow are
    /// connections beside the ones that are counted, so all stretches count the same people.
    pub(super) fn slow(&mut self) -> Result<()> {
        let sizes = &self.args.sizes;
        let (text_bytes, turns) = (sizes.slow_text_bytes, sizes.slow_turns);
        let counted = sizes.subscribers - (sizes.subscribers / ONE_IN).max(1);
        let everywhere = counted..sizes.subscribers;
        let server = self.server("slow")?;
        let rooms = vec![(0..counted).collect()];
        let cast = Cast { rooms, everywhere: everywhere.clone(), ..Cast::default() };
        let world = World::bring_in(&server, &cast)?;
        let plan: Plan = |n, _, _, seats| (0, u32::try_from(n % u64::from(seats)).unwrap_or(0));
        let mut chat = Chat::connect(&server, &world, plan, text_bytes)?;
        let others: Vec<String> =
            everywhere.map(|other| server.issuer.token(&user(other))).collect::<Result<_>>()?;
        chat.connect_others(&others, false)?;
        chat.warm_up(Pace::Window(WINDOW), self.warm_up())?;
        let full = chat.measure(Pace::Window(WINDOW), self.warm_up())?;
        let pace = Pace::Rate(whole(full.figures.accepted) / full.seconds / 2.0);
        for turn in 0..turns {
            // Whatever grows or wears off over time meets all three alike.
            let mut order = [ALL, AGAIN, SOME];
            order.rotate_left(turn % 3);
            if turn % 2 == 1 {
                order.reverse();
            }
            let mut p99 = BTreeMap::new();
            for name in order {
                p99.insert(name, self.slow_stretch(&mut chat, &others, name, pace)?);
            }
            let all = p99.get(ALL).copied().unwrap_or_default().max(f64::EPSILON);
            for name in [AGAIN, SOME] {
                let sample = self.samples.iter_mut().rev().find(|sample| sample.name == name);
                if let (Some(sample), Some(p99)) = (sample, p99.get(name)) {
                    sample.put("p99_times_all_read", p99 / all);
                }
            }
        }
        let missing = chat.not_stored()?;
        self.last_lacks(missing);
        Ok(())
    }

    /// One stretch; gives the p99 of delivery.
    fn slow_stretch(
        &mut self,
        chat: &mut Chat<'_>,
        others: &[String],
        name: &'static str,
        pace: Pace,
    ) -> Result<f64> {
        chat.connect_others(others, name == SOME)?;
        let before = chat.server.metrics();
        let stretch = chat.measure(pace, self.stretch())?;
        let closed = chat.server.metrics().since(&before, "klatch_connections_closed_total");
        self.keep(name, None, By::Deliveries, &stretch);
        let Some(sample) = self.samples.last_mut() else { return Ok(0.0) };
        if let Some(memory) = chat.server.memory()? {
            sample.put("resident_mib_most", whole(memory.peak_bytes) / f64::from(1 << 20));
        }
        if let Some(closed) = closed {
            sample.put("closed_by_server", closed);
        }
        Ok(sample.figures.get(DELIVERY[2]).copied().unwrap_or_default())
    }
}
