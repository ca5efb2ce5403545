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

#[tokio::test]
async fn what_was_forgotten_is_told_and_what_is_of_the_system_stays() {
    use klatch_ports::log::{Append, EventAppender, Expected, Key, Kind, LogReader, NewRecord};
    use klatch_ports::{ErrorKind, Offset, Partition, StreamId};
    let Fixture { log, .. } = Fixture::with_partitions(1);
    for (stream, kind) in [
        (StreamId::Messages, Kind::Send),
        (StreamId::System, Kind::System),
        (StreamId::Messages, Kind::Send),
    ] {
        let record = NewRecord { kind, body: bytes::Bytes::from_static(b"x") };
        let records = [record].into_iter().collect();
        let append = Append { stream, key: Key(1), expected: Expected::Any, records };
        log.append(append).await.unwrap();
    }
    log.forget_before(Partition(0), Offset(3)).unwrap();
    let (stream, here) = (StreamId::Messages, Partition(0));
    assert_eq!(log.start(stream, here).await.unwrap(), Offset(2));
    let refused = log.read(stream, here, Offset(1), 9).await.unwrap_err();
    assert_eq!(refused.kind, ErrorKind::Forgotten);
    assert_eq!(log.read(stream, here, Offset(2), 9).await.unwrap().records.len(), 1);
    assert_eq!(log.record(stream, here, Offset(1)).await.unwrap(), None);
    assert_eq!(log.head(stream, Key(1)).await.unwrap(), Some(Offset(3)));
    assert_eq!(log.start(StreamId::System, here).await.unwrap(), Offset::ZERO);
    assert_eq!(log.head(StreamId::System, Key(1)).await.unwrap(), Some(Offset(2)));
    let system = log.read(StreamId::System, here, Offset::ZERO, 9).await.unwrap();
    assert_eq!(system.records.len(), 1);
}
