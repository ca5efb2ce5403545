//! Places in the log.

use std::fmt;
use std::str::FromStr;

/// A stream of the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum StreamId {
    /// Each room's whole timeline.
    Messages,
    /// Users; and, as a copy, every member and room event of [`StreamId::Messages`].
    Meta,
    /// Pushes to deliver.
    Notifications,
    /// Webhook calls to deliver.
    Webhooks,
    /// Instances, dead letters, snapshots, audit.
    System,
}

impl StreamId {
    /// All streams.
    pub const ALL: [Self; 5] =
        [Self::Messages, Self::Meta, Self::Notifications, Self::Webhooks, Self::System];

    /// The letter a position's text begins with.
    pub fn letter(self) -> char {
        match self {
            Self::Messages => 'm',
            Self::Meta => 'u',
            Self::Notifications => 'n',
            Self::Webhooks => 'w',
            Self::System => 's',
        }
    }
}

/// A part of a stream with one order of its own. Embedded: always 0.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Partition(pub u16);

/// Changes whenever a log may hold other events at old offsets.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Epoch(pub u32);

/// Place of a record in its stream and partition: increasing, not necessarily dense; the first is
/// at least 1, so that 0 stands for "before everything".
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Offset(pub u64);

impl Offset {
    /// Before the first record.
    pub const ZERO: Self = Self(0);
}

impl fmt::Display for Offset {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// A place in the log. Only positions with the same stream, partition and epoch are comparable.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Position {
    /// Which stream.
    pub stream: StreamId,
    /// Which partition of it.
    pub partition: Partition,
    /// Which life of the log.
    pub epoch: Epoch,
    /// Where in it.
    pub offset: Offset,
}

impl fmt::Display for Position {
    /// `<stream letter><partition>-<epoch, 8 hex digits>.<offset>`, e.g. `m0-5f3a9c21.1234`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { stream, partition, epoch, offset } = self;
        write!(f, "{}{}-{:08x}.{}", stream.letter(), partition.0, epoch.0, offset.0)
    }
}

/// Why a text is not a position.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a position of this server's log")]
pub struct PositionError;

impl FromStr for Position {
    type Err = PositionError;

    /// Reads exactly what [`fmt::Display`] writes; every other spelling is refused.
    fn from_str(text: &str) -> Result<Self, PositionError> {
        let position = parse(text).ok_or(PositionError)?;
        // One spelling per position: "m00-…" or "+1" would parse as numbers.
        if position.to_string() == text { Ok(position) } else { Err(PositionError) }
    }
}

fn parse(text: &str) -> Option<Position> {
    if text.len() > 48 {
        return None;
    }
    let (head, offset) = text.split_once('.')?;
    let (place, epoch) = head.split_once('-')?;
    let mut letters = place.chars();
    let letter = letters.next()?;
    Some(Position {
        stream: StreamId::ALL.into_iter().find(|stream| stream.letter() == letter)?,
        partition: Partition(letters.as_str().parse().ok()?),
        epoch: Epoch(u32::from_str_radix(epoch, 16).ok()?),
        offset: Offset(offset.parse().ok()?),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_position_reads_back_as_written() {
        let position = Position {
            stream: StreamId::Messages,
            partition: Partition(7),
            epoch: Epoch(0x5f3a_9c21),
            offset: Offset(1234),
        };
        assert_eq!(position.to_string(), "m7-5f3a9c21.1234");
        assert_eq!("m7-5f3a9c21.1234".parse(), Ok(position));
    }

    #[test]
    fn absurd_positions_are_refused() {
        for bad in [
            "",
            ".",
            "m0",
            "m0-5f3a9c21",
            "m0-5f3a9c21.",
            "x0-5f3a9c21.1",
            "m0-5F3A9C21.1",
            "m00-5f3a9c21.1",
            "m0-5f3a9c21.01",
            "m0-5f3a9c21.+1",
            "m0-5f3a9c21.-1",
            "m0-0.1",
            "m0-5f3a9c21.99999999999999999999999",
            "m65536-5f3a9c21.1",
            "m0-5f3a9c21.1 ",
        ] {
            assert_eq!(bad.parse::<Position>(), Err(PositionError), "{bad}");
        }
    }
}
