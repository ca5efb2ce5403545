//! Whatever happens when: against an exact bucket, in virtual time.

use std::time::Duration;

use klatch_limits::Policy;
use proptest::prelude::*;

use crate::world::{World, messages, person};

/// What happens: so much time passes, then someone sends at an instance.
#[derive(Clone, Copy, Debug)]
struct Step {
    pause_ms: u64,
    instance: usize,
    person: u128,
}

fn steps(instances: usize) -> impl Strategy<Value = Vec<Step>> {
    let pause =
        prop_oneof![6 => Just(0), 3 => 1..400_u64, 2 => 400..3_000_u64, 1 => 0..120_000_u64];
    let step = (pause, 0..instances, 1..3_u128);
    let step = step.prop_map(|(pause_ms, instance, person)| Step { pause_ms, instance, person });
    prop::collection::vec(step, 1..400)
}

fn windows() -> impl Strategy<Value = (u32, Duration)> {
    let per = prop_oneof![Just(1_u64), Just(10), Just(60), Just(600)].prop_map(Duration::from_secs);
    (prop_oneof![Just(1_u32), 2..20_u32, 20..400_u32], per)
}

/// The most an instance may hold: what the crate's documentation says.
fn chunk(count: u32) -> u32 {
    (count / 8).clamp(1, 32)
}

fn in_virtual_time<F: Future<Output = Result<(), TestCaseError>>>(
    run: F,
) -> Result<(), TestCaseError> {
    let mut runtime = tokio::runtime::Builder::new_current_thread();
    let built = runtime.enable_time().start_paused(true).build();
    built.map_err(|error| TestCaseError::fail(error.to_string()))?.block_on(run)
}

/// An exact bucket in tokens; below zero when more was let through than it held.
struct Exact {
    tokens: f64,
    count: f64,
    per_ms: f64,
}

impl Exact {
    fn new(count: u32, per: Duration) -> Self {
        let count = f64::from(count);
        Self { tokens: count, count, per_ms: count / (per.as_secs_f64() * 1_000.0) }
    }

    fn pass(&mut self, ms: u64) {
        #[expect(clippy::cast_precision_loss, reason = "spans of a test")]
        let more = ms as f64 * self.per_ms;
        self.tokens = (self.tokens + more).min(self.count);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn at_one_instance_nobody_is_refused_while_an_exact_bucket_holds_a_token(
        (count, per) in windows(),
        steps in steps(1),
    ) {
        in_virtual_time(async {
            let world = World::one(&messages(count, per));
            let mut exact = [Exact::new(count, per), Exact::new(count, per)];
            for step in steps {
                world.pass(Duration::from_millis(step.pause_ms)).await;
                for bucket in &mut exact {
                    bucket.pass(step.pause_ms);
                }
                let bucket = &mut exact[usize::try_from(step.person - 1).unwrap()];
                let standing = world.send(0, person(step.person)).await;
                let Some(wait) = standing.refused else {
                    bucket.tokens -= 1.0;
                    let least = -f64::from(chunk(count) - 1) - 0.01;
                    prop_assert!(bucket.tokens >= least, "{} is below {least}", bucket.tokens);
                    continue;
                };
                prop_assert!(bucket.tokens < 1.01, "refused with {} tokens", bucket.tokens);
                prop_assert_eq!(standing.remaining, 0);
                prop_assert!(wait > Duration::ZERO && wait <= standing.full_after);
            }
            Ok(())
        })?;
    }

    #[test]
    fn all_instances_together_let_through_what_is_promised_and_no_more(
        (count, per) in windows(),
        steps in steps(4),
    ) {
        in_virtual_time(async {
            let world = World::new(&messages(count, per), 4);
            let (mut now, mut through) = (0_u64, Vec::new());
            for step in steps.into_iter().map(|step| Step { person: 1, ..step }) {
                world.pass(Duration::from_millis(step.pause_ms)).await;
                now += step.pause_ms;
                if world.send(step.instance, person(1)).await.refused.is_none() {
                    through.push(now);
                }
            }
            let per_ms = f64::from(count) / (per.as_secs_f64() * 1_000.0);
            let spare = f64::from(4 * (chunk(count) - 1)) + 1.0;
            for (first, from) in through.iter().enumerate() {
                for (last, to) in through.iter().enumerate().skip(first) {
                    #[expect(clippy::cast_precision_loss, reason = "spans of a test")]
                    let filled = (to - from) as f64 * per_ms;
                    let most = f64::from(count) + filled + spare;
                    #[expect(clippy::cast_precision_loss, reason = "counts of a test")]
                    let seen = (last - first + 1) as f64;
                    prop_assert!(seen <= most, "{seen} in {} ms, {most} are allowed", to - from);
                }
            }
            Ok(())
        })?;
    }

    #[test]
    fn whoever_waits_as_long_as_they_were_told_is_let_through(
        (count, per) in windows(),
        steps in steps(1),
    ) {
        in_virtual_time(async {
            let world = World::one(&messages(count, per));
            for step in steps {
                world.pass(Duration::from_millis(step.pause_ms)).await;
                if let Some(wait) = world.send(0, person(1)).await.refused {
                    // Clocks count milliseconds.
                    let ms = u64::try_from(wait.as_micros().div_ceil(1_000)).unwrap();
                    world.pass(Duration::from_millis(ms)).await;
                    let again = world.send(0, person(1)).await;
                    prop_assert_eq!(again.refused, None, "after {} ms", ms);
                }
            }
            Ok(())
        })?;
    }
}

#[tokio::test(start_paused = true)]
async fn a_full_bucket_is_told_as_the_headers_want_it() {
    let world = World::one(&Policy::default());
    let first = world.send(0, person(1)).await;
    assert_eq!((first.window.count, first.remaining, first.refused), (60, 59, None));
    assert_eq!(first.full_after, Duration::from_secs(1));
    assert_eq!(world.sends(0, person(1), 100).await, 59);
    let over = world.send(0, person(1)).await;
    assert_eq!((over.remaining, over.refused), (0, Some(Duration::from_secs(1))));
    assert_eq!(over.full_after, Duration::from_mins(1));
}
