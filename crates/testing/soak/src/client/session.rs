//! What a client remembers from one connection to the next.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::str::FromStr;

use anyhow::{Context as _, bail};
use klatch_checker::Name;
use serde_json::Value;

/// A place in the log as a client may take it apart: only positions with the same part before the
/// dot are comparable.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Position {
    /// Stream, partition and epoch.
    pub log: String,
    /// The place.
    pub offset: u64,
}

impl FromStr for Position {
    type Err = anyhow::Error;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let Some((log, offset)) = text.rsplit_once('.') else { bail!("no position: {text:?}") };
        let offset = offset.parse().with_context(|| format!("no position: {text:?}"))?;
        Ok(Self { log: log.to_owned(), offset })
    }
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.log, self.offset)
    }
}

/// What a client remembers from one connection to the next.
#[derive(Clone, Debug, Default)]
pub struct Session {
    newest: BTreeMap<String, u64>,
    seen: BTreeMap<Name, u64>,
    rooms: BTreeSet<Name>,
    is_behind: bool,
    /// How often the rooms were fetched.
    lists: u64,
}

impl Session {
    /// Goes on from these positions instead of those known.
    pub(super) fn set_positions(&mut self, positions: &Value) -> anyhow::Result<()> {
        let list = positions.as_array().context("no list of positions")?;
        let parse = |value: &Value| value.as_str().context("no position")?.parse::<Position>();
        let parsed = list.iter().map(parse).collect::<Result<Vec<_>, _>>()?;
        self.newest = parsed.into_iter().map(|at| (at.log, at.offset)).collect();
        Ok(())
    }

    /// An event at this position came. False: it is not newer than what came before.
    pub(super) fn advance(&mut self, position: Position) -> bool {
        let known = self.newest.entry(position.log).or_insert(0);
        let is_newer = position.offset > *known;
        *known = position.offset.max(*known);
        is_newer
    }

    /// What to resume from.
    pub fn positions(&self) -> Vec<String> {
        self.newest.iter().map(|(log, offset)| format!("{log}.{offset}")).collect()
    }

    pub(super) fn see(&mut self, room: &Name, seq: u64) {
        let known = self.seen.entry(room.clone()).or_insert(0);
        *known = seq.max(*known);
    }

    /// The newest seq of the room that came.
    pub fn seen(&self, room: &Name) -> u64 {
        self.seen.get(room).copied().unwrap_or(0)
    }

    pub(super) fn enter(&mut self, room: &Name) {
        self.rooms.insert(room.clone());
    }

    pub(super) fn leave(&mut self, room: &Name) {
        self.rooms.remove(room);
    }

    pub(super) fn set_rooms(&mut self, rooms: BTreeSet<Name>) {
        self.rooms = rooms;
        self.is_behind = false;
        self.lists += 1;
    }

    /// Takes the rooms from another copy in which they were fetched since.
    pub(super) fn catch_up_with(&mut self, other: &Self) {
        if other.lists > self.lists {
            self.rooms.clone_from(&other.rooms);
            (self.is_behind, self.lists) = (other.is_behind, other.lists);
        }
    }

    /// Something was missed: the rooms must be fetched.
    pub(super) fn fall_behind(&mut self) {
        self.is_behind = true;
    }

    /// Whether something was missed since the rooms were fetched.
    pub fn is_behind(&self) -> bool {
        self.is_behind
    }

    /// The rooms that the user is in, as far as the stream has told.
    pub fn rooms(&self) -> &BTreeSet<Name> {
        &self.rooms
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn positions_are_taken_apart_at_the_last_dot_and_only_grow() {
        let at: Position = "m0-5f3a9c21.1234".parse().unwrap();
        assert_eq!(
            (at.log.as_str(), at.offset, at.to_string().as_str()),
            ("m0-5f3a9c21", 1234, "m0-5f3a9c21.1234")
        );
        let mut session = Session::default();
        assert!(session.advance(at.clone()) && !session.advance(at));
        assert_eq!(session.positions(), ["m0-5f3a9c21.1234"]);
        assert!("nowhere".parse::<Position>().is_err());
    }
}
