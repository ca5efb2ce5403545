//! Owns what fuzzing checks: functions that take any bytes and panic when a promise is broken.
//! Must not contain: a fuzzing engine (that is `fuzz/`), or knowledge that the product lacks.
//!
//! `fuzz/fuzz_targets` hands them to libFuzzer; `tests/corpus.rs` replays the corpus on any
//! toolchain.
#![warn(missing_docs)]

mod frames;
mod records;
mod words;

pub use frames::frames;
pub use records::{events, records};
pub use words::{client_frames, positions};

/// A check of any bytes.
pub type Target = fn(&[u8]);

/// All targets, by the names of their files and corpora.
pub const TARGETS: [(&str, Target); 5] = [
    ("frames", frames),
    ("client_frames", client_frames),
    ("events", events),
    ("records", records),
    ("positions", positions),
];
