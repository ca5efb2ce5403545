//! Many small rooms, and rooms of two.

use anyhow::Result;

use super::{Bench, By, WARM_UP, bare};
use crate::chat::{Chat, Pace, Plan};
use crate::report::RATE;
use crate::world::World;

impl Bench<'_> {
    /// Rooms of ten: the rooms take turns, and in each its members do.
    pub(super) fn rooms(&mut self) -> Result<()> {
        let sizes = &self.args.sizes;
        let members = sizes.members;
        let rooms: Vec<Vec<u32>> =
            (0..sizes.rooms).map(|r| (r * members..(r + 1) * members).collect()).collect();
        let window = sizes.rooms_window;
        let plan: Plan = |n, _, rooms, seats| {
            let (room, turn) = (n % u64::from(rooms), n / u64::from(rooms));
            let small = |n: u64| u32::try_from(n).unwrap_or(0);
            (small(room), small(turn % u64::from(seats)))
        };
        self.message_load("rooms", &rooms, plan, window, Some(bare::ROOMS))?;
        self.bare_rooms()
    }

    /// Rooms of two: each slot belongs to a sender, so each has as many under way.
    pub(super) fn pairs(&mut self) -> Result<()> {
        let sizes = &self.args.sizes;
        let rooms: Vec<Vec<u32>> = (0..sizes.senders).map(|s| vec![2 * s, 2 * s + 1]).collect();
        let window = sizes.pairs_window;
        let plan: Plan = |_, slot, rooms, _| (slot % rooms, 0);
        self.message_load("pairs", &rooms, plan, window, None)
    }

    /// As fast as the window allows, then at half of that, open loop.
    fn message_load(
        &mut self,
        name: &'static str,
        rooms: &[Vec<u32>],
        plan: Plan,
        window: u32,
        limit: Option<&'static str>,
    ) -> Result<()> {
        let server = self.server(name)?;
        let world = World::import(&server, rooms)?;
        let mut chat = Chat::connect(&server, &world, plan, self.args.sizes.text_bytes)?;
        chat.warm_up(Pace::Window(window), WARM_UP)?;
        let full = chat.measure(Pace::Window(window), self.stretch())?;
        self.keep(name, limit, By::Accepted, &full);
        let rate = self.samples.last().and_then(|sample| sample.figures.get(RATE)).copied();
        let half = chat.measure(Pace::Rate(rate.unwrap_or(1.0) / 2.0), self.stretch())?;
        self.keep(&format!("{name}, half load"), None, By::Accepted, &half);
        let missing = chat.not_stored()?;
        self.last_lacks(missing);
        Ok(())
    }
}
