//! A client whose every operation and every received frame goes into the history.

mod live;
mod person;
mod session;
mod stage;
mod walk;

pub use live::{Back, Live};
pub use person::{Change, Outcome, Person, Way};
pub use session::{Position, Session};
pub use stage::{Stage, TierCounts, Tiers};
pub use walk::Pages;
