//! Directories: one that was made durably is there after a power cut, also when a sync failed while
//! an earlier life of the process made it or one above it.

use klatch_conformance::sample::Repeatable;
use klatch_embedded::disk::create_durably;

use crate::disk::{Disk, below};
use crate::trace::{Event, Trace};

/// Whether the directory is there after a cut somewhere behind its second making.
fn is_there(seed: u64) -> bool {
    let random = Repeatable::new(seed);
    let dir = tempfile::tempdir().expect("a directory");
    let trace = Trace::begin(dir.path());
    let deep = dir.path().join("a/b/c");
    trace.fail_syncs(seed % 3, 1 + seed % 2);
    create_durably(&deep).expect_err("a failed sync");
    trace.mend();
    create_durably(&deep).expect("a directory");
    trace.mark(0);
    std::fs::write(dir.path().join("other"), "what comes later").expect("a file");
    let events = trace.end();
    let made = events.iter().position(|event| matches!(event, Event::Mark(_))).expect("a mark");
    let place = made + below(&random, events.len() - made + 1);
    let after = tempfile::tempdir().expect("a directory");
    Disk::default().cut(&events[..place], &random).lay_out(after.path());
    after.path().join("a/b/c").is_dir()
}

#[test]
fn a_directory_whose_making_failed_to_be_synced_is_durable_when_it_is_made_again() {
    for seed in 0..60 {
        assert!(is_there(seed), "seed {seed}");
    }
}
