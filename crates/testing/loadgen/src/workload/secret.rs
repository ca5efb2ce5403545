//! The idle connections and the large room once more, through TLS.

use anyhow::Result;

use super::fanout::WINDOW;
use super::{Bench, By, bare};
use crate::chat::{Chat, Pace, Plan};
use crate::world::World;

impl Bench<'_> {
    /// Every handshake is a whole one: nobody comes back.
    pub(super) fn secret(&mut self) -> Result<()> {
        let server = self.secret_server("tls")?;
        self.hold("idle, TLS", server, self.args.sizes.tls)?;
        self.secret_fanout()
    }

    fn secret_fanout(&mut self) -> Result<()> {
        let server = self.secret_server("tls-fanout")?;
        let room = (0..self.args.sizes.subscribers).collect();
        let world = World::import(&server, &[room])?;
        let plan: Plan = |n, _, _, seats| (0, u32::try_from(n % u64::from(seats)).unwrap_or(0));
        let mut chat = Chat::connect(&server, &world, plan, self.args.sizes.text_bytes)?;
        chat.warm_up(Pace::Window(WINDOW), self.warm_up())?;
        // As `fanout` and its bare writer do.
        chat.engine.is_awake = self.args.pin.is_some();
        for (name, limit, pace) in [
            ("fanout, TLS, bursts of eight", bare::EIGHT, Pace::Burst(WINDOW)),
            ("fanout, TLS, one at a time", bare::SINGLE, Pace::Window(1)),
        ] {
            let stretch = chat.measure(pace, self.stretch())?;
            self.keep(name, Some(limit), By::Deliveries, &stretch);
        }
        let missing = chat.not_stored()?;
        self.last_lacks(missing);
        Ok(())
    }
}
