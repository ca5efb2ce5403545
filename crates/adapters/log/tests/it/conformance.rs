use std::future::{Ready, ready};
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use klatch_conformance::log::{DurableLogFixture, Log, LogFixture};
use klatch_log::disk::sim::SimDisk;
use klatch_log::disk::{Disk, RealDisk};
use klatch_log::{EmbeddedLog, LogConfig};
use klatch_testkit::ManualClock;
use tempfile::TempDir;

use crate::rig::{open, small};

struct Fixture {
    place: Place,
    config: LogConfig,
    clock: ManualClock,
    log: Option<Arc<EmbeddedLog>>,
}

enum Place {
    Real(TempDir),
    Simulated(SimDisk),
}

impl Fixture {
    fn new(place: Place, config: LogConfig) -> Self {
        let mut fixture = Self { place, config, clock: ManualClock::default(), log: None };
        fixture.open();
        fixture
    }

    fn open(&mut self) {
        let disk: Arc<dyn Disk> = match &self.place {
            Place::Real(dir) => Arc::new(RealDisk::open(dir.path()).unwrap()),
            Place::Simulated(sim) => sim.disk(),
        };
        self.log = Some(open(disk, self.config.clone(), &self.clock).unwrap());
    }
}

#[async_trait]
impl LogFixture for Fixture {
    fn log(&self) -> &dyn Log {
        &**self.log.as_ref().unwrap()
    }

    async fn pass_time(&self, span: Duration) {
        self.clock.advance(span);
    }
}

#[async_trait]
impl DurableLogFixture for Fixture {
    async fn reopen(&mut self) {
        if let Some(log) = self.log.take() {
            log.close();
        }
        self.open();
    }
}

mod real_disk {
    use super::*;

    fn make() -> Ready<Fixture> {
        let config = LogConfig { reserve_bytes: 0, ..LogConfig::default() };
        ready(Fixture::new(Place::Real(tempfile::tempdir().unwrap()), config))
    }

    klatch_conformance::log_suite!(make);
    klatch_conformance::durable_log_suite!(make);
}

/// Every read of more than the newest records goes through segments, indexes and tables.
mod small_segments_on_a_simulated_disk {
    use super::*;

    fn make() -> Ready<Fixture> {
        ready(Fixture::new(Place::Simulated(SimDisk::new(1)), small()))
    }

    klatch_conformance::log_suite!(make);
    klatch_conformance::durable_log_suite!(make);
}

mod small_segments_on_a_real_disk {
    use super::*;

    fn make() -> Ready<Fixture> {
        ready(Fixture::new(Place::Real(tempfile::tempdir().unwrap()), small()))
    }

    klatch_conformance::durable_log_suite!(make);
}
