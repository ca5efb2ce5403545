//! Many who sign in at once beside rooms that go on talking: what their passwords cost others.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};

use super::rooms::IN_TURN;
use super::{Bench, By, whole};
use crate::chat::{Chat, Pace};
use crate::http::Http;
use crate::report::{ACK, DELIVERY, RATE, Sample};
use crate::server::Server;
use crate::stats::Histogram;
use crate::world::World;

/// Messages a second: a twentieth of what the machine could do, and thousands in a stretch, so that
/// the slowest hundredth is dozens.
const SENDS: f64 = 400.0;
const CALM: &str = "sends, nobody signs in";
const STORMY: &str = "sends, all sign in";
const LOGINS: &str = "logins meanwhile";
const PASSWORD: &str = "correct horse battery staple";
/// Accounts that sign in, in turns: a name that is tried often is not slowed down by success. A
/// server keeps a hundred sessions of each, so up to 6,336 logins none has to make room; each one
/// beyond that ends an old session too, which costs it another write.
const ACCOUNTS: usize = 64;
/// What an attempt that was told to come again waits: less than a person would.
const AGAIN: Duration = Duration::from_millis(50);
/// Enough for a client without deep calls.
const STACK_BYTES: usize = 256 << 10;

impl Bench<'_> {
    /// Pairs of stretches at one rate of sends, without and with the storm, in changing order.
    pub(super) fn logins(&mut self) -> Result<()> {
        let sizes = &self.args.sizes;
        let (rooms, pairs) = (self.tens(sizes.login_rooms), sizes.login_pairs);
        let (text_bytes, clients) = (sizes.text_bytes, sizes.login_clients);
        let server = self.server("logins")?;
        let accounts = register(&server)?;
        let world = World::import(&server, &rooms)?;
        let mut chat = Chat::connect(&server, &world, IN_TURN, text_bytes)?;
        chat.warm_up(Pace::Rate(SENDS), self.warm_up())?;
        for pair in 0..pairs {
            // Whatever grows or wears off over time meets both alike.
            let (calm, stormy) = if pair % 2 == 0 {
                let calm = self.calm(&mut chat)?;
                (calm, self.stormy(&mut chat, &accounts, clients)?)
            } else {
                let stormy = self.stormy(&mut chat, &accounts, clients)?;
                (self.calm(&mut chat)?, stormy)
            };
            self.compare(&calm, &stormy);
        }
        let missing = chat.not_stored()?;
        self.last_lacks(missing);
        Ok(())
    }

    fn calm(&mut self, chat: &mut Chat<'_>) -> Result<Latencies> {
        let stretch = chat.measure(Pace::Rate(SENDS), self.stretch())?;
        self.keep(CALM, None, By::Accepted, &stretch);
        Ok(self.latencies(CALM))
    }

    fn stormy(
        &mut self,
        chat: &mut Chat<'_>,
        accounts: &[String],
        clients: u32,
    ) -> Result<Latencies> {
        let (over, server, time) = (AtomicBool::new(false), chat.server, self.stretch());
        let begun = Instant::now();
        let (stretch, storm) = std::thread::scope(|scope| {
            let start = |number| {
                let over = &over;
                let thread = std::thread::Builder::new().stack_size(STACK_BYTES);
                thread.spawn_scoped(scope, move || sign_in(server, accounts, number, over))
            };
            let clients: Vec<_> = (0..clients as usize).map(start).collect::<Result<_, _>>()?;
            // The storm lasts as long as messages are sent, and ends before the server is to be
            // quiet: whoever is under way is still answered.
            let ends = scope.spawn(|| {
                std::thread::sleep(time);
                over.store(true, Ordering::Relaxed);
            });
            let stretch = chat.measure(Pace::Rate(SENDS), time);
            let _ = ends.join();
            let mut storm = Storm::default();
            for client in clients {
                storm.merge(client.join().unwrap_or_else(|_| bail!("a client panicked"))?);
            }
            anyhow::Ok((stretch?, storm))
        })?;
        self.keep(STORMY, None, By::Accepted, &stretch);
        let latencies = self.latencies(STORMY);
        self.keep_logins(&storm, begun.elapsed().min(time));
        Ok(latencies)
    }

    /// The latencies of the sample of this name that was kept last.
    fn latencies(&self, name: &str) -> Latencies {
        let last = self.samples.iter().rev().find(|sample| sample.name == name);
        let figure = |key| last.and_then(|it| it.figures.get(key).copied()).unwrap_or_default();
        [ACK, DELIVERY].map(|keys| keys.map(figure))
    }

    fn keep_logins(&mut self, storm: &Storm, time: Duration) {
        let mut sample = Sample { name: LOGINS.to_owned(), unit: "logins", ..Sample::default() };
        sample.put(RATE, whole(storm.in_time) / time.as_secs_f64());
        sample.put_latency(["answer_p50_ms", "answer_p95_ms", "answer_p99_ms"], &storm.signed_in);
        for (key, status) in [("signed_in", 200), ("told_429", 429), ("told_503", 503)] {
            sample.put(key, whole(storm.answers.get(&status).copied().unwrap_or_default()));
        }
        for (status, count) in &storm.answers {
            if ![200, 429, 503].contains(status) {
                sample.errors.insert(format!("status_{status}"), *count);
            }
        }
        self.push(sample);
    }

    fn compare(&mut self, calm: &Latencies, stormy: &Latencies) {
        let found = self.samples.iter_mut().rev().find(|sample| sample.name == STORMY);
        let Some(sample) = found else { return };
        let keys = [
            ["ack_p50_times_calm", "ack_p95_times_calm", "ack_p99_times_calm"],
            ["delivery_p50_times_calm", "delivery_p95_times_calm", "delivery_p99_times_calm"],
        ];
        let all = keys.iter().flatten().zip(calm.iter().flatten()).zip(stormy.iter().flatten());
        for ((key, calm), stormy) in all {
            sample.put(key, stormy / calm.max(f64::EPSILON));
        }
    }
}

/// p50, p95 and p99 of acknowledgements and of deliveries, in ms.
type Latencies = [[f64; 3]; 2];

/// What those who signed in were told.
#[derive(Default)]
struct Storm {
    answers: BTreeMap<u16, u64>,
    signed_in: Histogram,
    /// Who were signed in before it was over; the others count in everything but the rate.
    in_time: u64,
}

impl Storm {
    fn note(&mut self, status: u16, took: Duration, is_over: bool) {
        *self.answers.entry(status).or_default() += 1;
        if status == 200 {
            self.signed_in.record(u64::try_from(took.as_nanos()).unwrap_or(u64::MAX));
            self.in_time += u64::from(!is_over);
        }
    }

    fn merge(&mut self, other: Self) {
        self.in_time += other.in_time;
        for (status, count) in other.answers {
            *self.answers.entry(status).or_default() += count;
        }
        self.signed_in.merge(&other.signed_in);
    }
}

/// Makes the accounts that sign in; names of an earlier repetition serve again.
fn register(server: &Server) -> Result<Vec<String>> {
    let mut http = server.http(None)?;
    (0..ACCOUNTS)
        .map(|number| {
            let name = format!("bench-login-{number}");
            let body = serde_json::json!({
                "username": name, "email": format!("{name}@example.org"), "password": PASSWORD,
            });
            let answer = post(&mut http, "/api/v1/auth/register", &body)?;
            if answer.0 != 409 {
                anyhow::ensure!(answer.0 == 201, "status {} for a new account", answer.0);
            }
            Ok(name)
        })
        .collect()
}

/// Signs in again and again until it is over.
fn sign_in(
    server: &Server,
    accounts: &[String],
    number: usize,
    over: &AtomicBool,
) -> Result<Storm> {
    let mut http = server.http(None)?;
    let mut names = accounts.iter().cycle().skip(number);
    let mut storm = Storm::default();
    while !over.load(Ordering::Relaxed) {
        let name = names.next().context("no accounts")?;
        let body = serde_json::json!({"login": name, "password": PASSWORD});
        let begun = Instant::now();
        let (status, _) = post(&mut http, "/api/v1/auth/login", &body)?;
        storm.note(status, begun.elapsed(), over.load(Ordering::Relaxed));
        if status != 200 {
            std::thread::sleep(AGAIN);
        }
    }
    Ok(storm)
}

fn post(http: &mut Http, path: &str, body: &serde_json::Value) -> Result<(u16, Vec<u8>)> {
    let json = [("Content-Type", "application/json")];
    let answer = http.request("POST", path, &json, body.to_string().as_bytes())?;
    Ok((answer.status, answer.body))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_was_signed_in_when_it_was_over_counts_in_all_but_the_rate() {
        let (mut one, mut other) = (Storm::default(), Storm::default());
        one.note(200, AGAIN, false);
        one.note(429, AGAIN, false);
        other.note(200, AGAIN, false);
        other.note(200, AGAIN, true);
        one.merge(other);
        assert_eq!(one.in_time, 2);
        assert_eq!(one.answers, BTreeMap::from([(200, 3), (429, 1)]));
    }
}
