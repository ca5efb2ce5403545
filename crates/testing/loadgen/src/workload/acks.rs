//! Rooms in which everyone tells the server what arrived, beside the same rooms without a word.

use anyhow::{Result, ensure};

use super::rooms::IN_TURN;
use super::{Bench, By, whole};
use crate::acks::Acks;
use crate::chat::{Chat, Pace};
use crate::report::{CPU, Sample};
use crate::world::World;

const NONE: &str = "acks, none";
const EACH: &str = "acks, after each delivery";
/// The part of the server's work that reads frames.
const RECEIVING: &str = "klatch-worker: receiving";

impl Bench<'_> {
    /// Pairs of stretches at half of the rate that the silent rooms reach, in changing order.
    pub(super) fn acks(&mut self) -> Result<()> {
        let sizes = &self.args.sizes;
        let (rooms, window) = (self.tens(sizes.rooms), sizes.rooms_window);
        let (pairs, text_bytes) = (sizes.ack_pairs, sizes.text_bytes);
        let server = self.server("acks")?;
        let world = World::import(&server, &rooms)?;
        let mut chat = Chat::connect(&server, &world, IN_TURN, text_bytes)?;
        chat.warm_up(Pace::Window(window), self.warm_up())?;
        let full = chat.measure(Pace::Window(window), self.stretch())?;
        let pace = Pace::Rate(whole(full.figures.accepted) / full.seconds / 2.0);
        for pair in 0..pairs {
            // Whatever grows or wears off over time meets both alike.
            if pair % 2 == 0 {
                self.silent(&mut chat, pace)?;
                self.acked(&mut chat, pace)?;
            } else {
                self.acked(&mut chat, pace)?;
                self.silent(&mut chat, pace)?;
            }
            self.ack_costs();
        }
        let missing = chat.not_stored()?;
        self.last_lacks(missing);
        Ok(())
    }

    fn silent(&mut self, chat: &mut Chat<'_>, pace: Pace) -> Result<()> {
        let stretch = chat.measure(pace, self.stretch())?;
        self.keep(NONE, None, By::Accepted, &stretch);
        Ok(())
    }

    /// The server answers no `ack`. It is quiet at the end of a stretch, and has to have read as
    /// many frames as were said.
    fn acked(&mut self, chat: &mut Chat<'_>, pace: Pace) -> Result<()> {
        let (before, said_before) = (chat.server.metrics(), chat.engine.totals.said);
        chat.acks = Some(Acks::default());
        let stretch = chat.measure(pace, self.stretch())?;
        let acks = chat.acks.take().unwrap_or_default().said;
        ensure!(acks > 0, "nobody said that anything arrived");
        let said = chat.engine.totals.said - said_before;
        let read = chat.server.metrics().since(&before, "klatch_frames_in_total");
        self.keep(EACH, None, By::Accepted, &stretch);
        if let Some(sample) = self.samples.last_mut() {
            let accepted = whole(stretch.figures.accepted.max(1));
            sample.put("acks_per_message", whole(acks) / accepted);
            if let Some(read) = read {
                let unread = whole(said) - read;
                sample.put("acks_unread", unread);
                if unread.abs() > f64::EPSILON {
                    sample.errors.insert("acks_unread".to_owned(), 1);
                }
            }
        }
        Ok(())
    }

    /// Compares the stretches of a pair. A busier server puts more of everything else together, so
    /// what acknowledgements cost themselves shows in the part that reads them, not in the whole.
    fn ack_costs(&mut self) {
        let last = |name: &str| self.samples.iter().rposition(|sample| sample.name == name);
        let (Some(none), Some(each)) = (last(NONE), last(EACH)) else { return };
        let of = |sample: &Sample| {
            let receiving = sample.threads.get(RECEIVING).copied();
            (sample.figures.get(CPU).copied(), receiving)
        };
        let Some((cpu_before, receiving_before)) = self.samples.get(none).map(of) else { return };
        let Some(sample) = self.samples.get_mut(each) else { return };
        let (cpu, receiving) = of(sample);
        if let (Some(before), Some(cpu)) = (cpu_before, cpu) {
            sample.put("cpu_times_none", cpu / before.max(f64::EPSILON));
        }
        let acks = sample.figures.get("acks_per_message").copied();
        if let (Some(before), Some(now), Some(acks)) = (receiving_before, receiving, acks) {
            sample.put("receiving_s_per_million_acks", (now - before) / acks);
        }
    }
}
