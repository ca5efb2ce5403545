use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use klatch_conformance::log::{Log, LogFixture};
use klatch_memory::log::MemoryLog;
use klatch_ports::Epoch;
use klatch_testkit::ManualClock;

struct Fixture {
    log: MemoryLog,
    clock: ManualClock,
}

impl Fixture {
    fn with_partitions(partitions: u16) -> Self {
        let clock = ManualClock::default();
        let log = MemoryLog::new(Epoch(0x5f3a_9c21), partitions, Arc::new(clock.clone()));
        Self { log, clock }
    }
}

#[async_trait]
impl LogFixture for Fixture {
    fn log(&self) -> &dyn Log {
        &self.log
    }

    async fn pass_time(&self, span: Duration) {
        self.clock.advance(span);
    }
}

mod one_partition {
    use std::future::{Ready, ready};

    use super::Fixture;

    fn make() -> Ready<Fixture> {
        ready(Fixture::with_partitions(1))
    }

    klatch_conformance::log_suite!(make);
}

mod three_partitions {
    use std::future::{Ready, ready};

    use super::Fixture;

    fn make() -> Ready<Fixture> {
        ready(Fixture::with_partitions(3))
    }

    klatch_conformance::log_suite!(make);
}

mod clock_that_goes_back {
    use std::time::Duration;

    use async_trait::async_trait;
    use klatch_conformance::log::{Log, LogFixture, read};
    use klatch_domain::{Clock, Timestamp};

    use super::Fixture;

    struct Backwards(Fixture);

    #[async_trait]
    impl LogFixture for Backwards {
        fn log(&self) -> &dyn Log {
            self.0.log()
        }

        async fn pass_time(&self, _span: Duration) {
            let Timestamp(now) = self.0.clock.now();
            self.0.clock.set(Timestamp(now - 1_000));
        }
    }

    #[tokio::test]
    async fn times_of_records_never_go_back() {
        read::times_of_records_never_go_back(&Backwards(Fixture::with_partitions(1))).await;
    }
}
