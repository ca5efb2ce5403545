//! Measures what checking a token costs: `verify_bench [tokens]`. Two instances share their keys
//! and their accounts. One signs; each token is checked once by either when it is new, and many
//! times after. Times are of an otherwise idle machine, in a release build, or not worth writing
//! down.
#![expect(clippy::expect_used, clippy::print_stdout, reason = "a tool for the terminal")]

use std::sync::Arc;
use std::time::{Duration, Instant};

use klatch_auth::{AuditLog, Auth, Config, HashCost, Parts, SigningKeys, Stores};
use klatch_domain::Entropy;
use klatch_memory::accounts::Accounts;
use klatch_memory::keys::Keys;
use klatch_memory::log::MemoryLog;
use klatch_ports::api::auth::{AuthApi as _, Register, TokenVerifier as _};
use klatch_ports::position::Epoch;
use klatch_protocol::sealed::KeyRing;
use klatch_testkit::{ManualClock, SeededEntropy};

const PASSWORD: &str = "correct horse battery staple";
/// Sessions of each person.
const EACH: usize = 50;
/// How often each token is checked again.
const TIMES: usize = 100;

/// Two instances over the same engines, in memory.
fn instances() -> [Auth; 2] {
    let clock = ManualClock::default();
    let entropy: Arc<dyn Entropy> = Arc::new(SeededEntropy::new(7));
    let keys = Arc::new(Keys::new(Arc::clone(&entropy)));
    let log = Arc::new(MemoryLog::new(Epoch(1), 1, Arc::new(clock.clone())));
    let parts = Parts {
        stores: Stores::of(&Arc::new(Accounts::default())),
        keys: keys.clone(),
        ring: Arc::new(KeyRing::new(keys, 100)),
        log: log.clone(),
        audit: Arc::new(AuditLog::new(log.clone(), log)),
        keep_keys: Arc::new(|_| Ok(())),
        mailer: None,
        clock: Arc::new(clock),
        entropy,
    };
    let hash = HashCost { memory_kib: 8, passes: 1, at_once: 1, waiting_max: 1 };
    let config = Config { hash, ..Config::default() };
    [(); 2].map(|()| {
        let keys = SigningKeys::new(&[1; 32], &[]);
        Auth::new(parts.clone(), config.clone(), keys).expect("a role")
    })
}

#[tokio::main(flavor = "current_thread")]
async fn main() {
    let count = std::env::args().nth(1).map_or(1_000, |n| n.parse().expect("a number of tokens"));
    let [signer, other] = instances();
    let mut tokens = Vec::with_capacity(count);
    for number in 0..count {
        // A person has a hundred sessions at most.
        let name = format!("ann{}", number / EACH);
        let signed_in = if number % EACH == 0 {
            signer.register(wish(&name)).await.expect("an account")
        } else {
            signer.login(&name, PASSWORD, "", "here").await.expect("a session")
        };
        tokens.push(signed_in.access_token);
    }
    // The very first makes the keys' tables.
    other.verify(tokens.first().expect("a token")).await.expect("a good token");
    tell("signed elsewhere, new", &check(&other, tokens.get(1..).unwrap_or_default(), 1).await);
    tell("signed here, new", &check(&signer, &tokens, 1).await);
    tell("seen before", &check(&other, &tokens, TIMES).await);
}

fn wish(name: &str) -> Register {
    Register {
        username: name.to_owned(),
        email: format!("{name}@example.org"),
        password: PASSWORD.to_owned(),
        display_name: None,
        setup_token: None,
        invitation: None,
        device: String::new(),
    }
}

/// Time of each check, sorted.
async fn check(auth: &Auth, tokens: &[String], times: usize) -> Vec<Duration> {
    let mut all = Vec::with_capacity(tokens.len() * times);
    for _ in 0..times {
        for token in tokens {
            let begun = Instant::now();
            auth.verify(token).await.expect("a good token");
            all.push(begun.elapsed());
        }
    }
    all.sort_unstable();
    all
}

fn tell(when: &str, sorted: &[Duration]) {
    let at = |share: usize| sorted.get(sorted.len() * share / 100).copied().unwrap_or_default();
    let micros = |share| at(share).as_secs_f64() * 1e6;
    println!(
        "a token {when}: p50 {:.1} us, p95 {:.1} us, p99 {:.1} us ({} checks)",
        micros(50),
        micros(95),
        micros(99),
        sorted.len()
    );
}
