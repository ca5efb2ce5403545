//! One large room in which one in twenty never reads, beside the same room in which all read.

use anyhow::Result;

use super::{Bench, By, whole};
use crate::chat::{Chat, Pace, Plan};
use crate::report::{DELIVERY, Sample};
use crate::world::{Cast, World, user};

/// One in so many never reads.
const ONE_IN: u32 = 20;
const WINDOW: u32 = 8;
const ALL: &str = "slow, all read";
const SOME: &str = "slow, 5 % never read";

impl Bench<'_> {
    /// Pairs of stretches at half of the rate that the room reaches. Those who may be slow are
    /// connections beside the ones that are counted, so both stretches count the same people.
    pub(super) fn slow(&mut self) -> Result<()> {
        let sizes = &self.args.sizes;
        let (text_bytes, pairs) = (sizes.slow_text_bytes, sizes.slow_pairs);
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
        for pair in 0..pairs {
            // Whatever grows or wears off over time meets both alike.
            let (all, some) = if pair % 2 == 0 {
                let all = self.slow_stretch(&mut chat, &others, false, pace)?;
                (all, self.slow_stretch(&mut chat, &others, true, pace)?)
            } else {
                let some = self.slow_stretch(&mut chat, &others, true, pace)?;
                (self.slow_stretch(&mut chat, &others, false, pace)?, some)
            };
            let with = self.samples.iter_mut().rev().find(|sample| sample.name == SOME);
            if let Some(with) = with {
                Sample::put(with, "p99_times_all_read", some / all.max(f64::EPSILON));
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
        narrow: bool,
        pace: Pace,
    ) -> Result<f64> {
        chat.connect_others(others, narrow)?;
        let before = chat.server.metrics();
        let stretch = chat.measure(pace, self.stretch())?;
        let closed = chat.server.metrics().since(&before, "klatch_connections_closed_total");
        self.keep(if narrow { SOME } else { ALL }, None, By::Deliveries, &stretch);
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
