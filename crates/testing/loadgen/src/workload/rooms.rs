//! Many small rooms, and rooms of two.

use anyhow::Result;

use super::{Bench, By, bare, whole};
use crate::chat::{Chat, Pace, Plan};
use crate::world::World;

/// One room after the other, in each one member after the other.
pub(super) const IN_TURN: Plan = |n, _, rooms, seats| {
    let (room, turn) = (n % u64::from(rooms), n / u64::from(rooms));
    let small = |n: u64| u32::try_from(n).unwrap_or(0);
    (small(room), small(turn % u64::from(seats)))
};

impl Bench<'_> {
    /// Rooms of ten: the rooms take turns, and in each its members do.
    pub(super) fn rooms(&mut self) -> Result<()> {
        let (rooms, window) = (self.tens(self.args.sizes.rooms), self.args.sizes.rooms_window);
        let server = self.server("rooms")?;
        let world = World::import(&server, &rooms)?;
        let mut chat = Chat::connect(&server, &world, IN_TURN, self.args.sizes.text_bytes)?;
        chat.warm_up(Pace::Window(window), self.warm_up())?;
        let full = chat.measure(Pace::Window(window), self.stretch())?;
        self.keep("rooms", Some(bare::ROOMS), By::Accepted, &full);
        let missing = chat.not_stored()?;
        self.last_lacks(missing);
        drop(chat);
        drop(server);
        self.bare_rooms()
    }

    /// The same at half of the rate that this server just reached, as a schedule says and not as
    /// answers come, so that nobody's delay hides another's.
    pub(super) fn half(&mut self) -> Result<()> {
        let (rooms, window) = (self.tens(self.args.sizes.rooms), self.args.sizes.rooms_window);
        let server = self.server("half")?;
        let world = World::import(&server, &rooms)?;
        let mut chat = Chat::connect(&server, &world, IN_TURN, self.args.sizes.text_bytes)?;
        chat.warm_up(Pace::Window(window), self.warm_up())?;
        let full = chat.measure(Pace::Window(window), self.stretch())?;
        let rate = whole(full.figures.accepted) / full.seconds / 2.0;
        let half = chat.measure(Pace::Rate(rate), self.stretch())?;
        self.keep("rooms, half load", None, By::Accepted, &half);
        let missing = chat.not_stored()?;
        self.last_lacks(missing);
        Ok(())
    }

    /// The members of so many rooms; nobody is in two.
    pub(super) fn tens(&self, rooms: u32) -> Vec<Vec<u32>> {
        let members = self.args.sizes.members;
        (0..rooms).map(|r| (r * members..(r + 1) * members).collect()).collect()
    }

    /// Rooms of two: each slot belongs to a sender, so each has as many under way. Then half load.
    pub(super) fn pairs(&mut self) -> Result<()> {
        let sizes = &self.args.sizes;
        let rooms: Vec<Vec<u32>> = (0..sizes.senders).map(|s| vec![2 * s, 2 * s + 1]).collect();
        let window = sizes.pairs_window;
        let plan: Plan = |_, slot, rooms, _| (slot % rooms, 0);
        let server = self.server("pairs")?;
        let world = World::import(&server, &rooms)?;
        let mut chat = Chat::connect(&server, &world, plan, self.args.sizes.text_bytes)?;
        chat.warm_up(Pace::Window(window), self.warm_up())?;
        let full = chat.measure(Pace::Window(window), self.stretch())?;
        self.keep("pairs", None, By::Accepted, &full);
        let rate = whole(full.figures.accepted) / full.seconds / 2.0;
        let half = chat.measure(Pace::Rate(rate), self.stretch())?;
        self.keep("pairs, half load", None, By::Accepted, &half);
        let missing = chat.not_stored()?;
        self.last_lacks(missing);
        Ok(())
    }
}
