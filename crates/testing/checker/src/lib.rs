//! Records what clients did and saw, and checks it against the promises I1–I10 (and I14, I24).
//! Must not contain: a clock, the network or a file; times and readers come in, reports go out.
//!
//! A test gives every client operation to a [`Recorder`] as an invocation and an outcome; an
//! operation whose answer never came is *unknown*, never failed. What arrives on a connection is
//! recorded in arrival order, history walks in walk order. After the faults are over the test
//! reads every room once more with [`Purpose::Final`] and calls [`check`].
//!
//! ```
//! use klatch_checker::{Call, Item, Purpose, Recorder, Reply, Walk, check};
//!
//! let mut tick = 0;
//! let recorder = Recorder::new(move || {
//!     tick += 1;
//!     tick
//! });
//! let send = Call::Send {
//!     room: "r".into(),
//!     sender: "ada".into(),
//!     client: "c1".into(),
//!     body: klatch_checker::digest(b"hello"),
//! };
//! let op = recorder.invoke(0, send);
//! recorder.ok(op, Reply::Sent { message: "m1".into(), seq: 1, ordinal: Some(1) });
//! let op = recorder.invoke(1, Call::Read(Walk::latest("r", "ada", 50, Purpose::Final)));
//! recorder.ok(op, Reply::Page { items: vec![], complete: true });
//!
//! let report = check(&recorder.finish());
//! assert_eq!(report.violations[0].invariant, klatch_checker::Invariant::I1);
//! ```
#![warn(missing_docs)]

mod check;
mod history;
mod ndjson;
mod recorder;
mod report;
mod stays;

pub use check::check;
pub use history::{
    Call, Direction, Entry, History, Item, Name, Purpose, Reply, Walk, What, digest,
};
pub use ndjson::{ParseError, parse, write};
pub use recorder::{OpHandle, Recorder};
pub use report::{Counts, Invariant, Report, Violation};
pub use stays::{Stays, StaysReport};
