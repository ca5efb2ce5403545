//! Connections that are all cut at once and come back as good clients do: at once, then after the
//! time the server asks for, or after growing random waits; each resumes where it was.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};

use crate::chat::Chat;
use crate::engine::{Engine, Lost};
use crate::ledger::Ledger;
use crate::scan::Said;
use crate::stats::Histogram;
use crate::ws;

/// Connections begun between two looks at what came.
const AT_ONCE: usize = 64;
/// How long all may take.
const LIMIT: Duration = Duration::from_mins(2);
/// The first wait after a connection that came to nothing, doubled up to 32 times.
const BACKOFF: Duration = Duration::from_millis(100);

/// How it went.
#[derive(Clone, Default)]
pub(crate) struct Storm {
    /// From the cut until everyone had said hello and caught up.
    pub(crate) seconds: f64,
    /// From the cut until each was greeted.
    pub(crate) hello: Histogram,
    /// From the cut until each had caught up.
    pub(crate) back: Histogram,
    /// Upgrades that were refused, by status.
    pub(crate) refused: BTreeMap<u16, u64>,
    /// Connections that ended before they were back.
    pub(crate) broken: u64,
    /// Answers to resumes, by tier.
    pub(crate) tiers: BTreeMap<String, u64>,
}

/// Messages that go on being sent meanwhile.
pub(crate) struct Load {
    pub(crate) due: Instant,
    pub(crate) gap: Duration,
}

/// Everyone who is on the way back.
pub(crate) struct Return {
    server: SocketAddr,
    due: BinaryHeap<Reverse<(Instant, usize)>>,
    tries: Vec<u32>,
    is_back: Vec<bool>,
    left: usize,
    dice: u64,
    begun: Instant,
    pub(crate) storm: Storm,
}

impl Return {
    /// Cuts the first `count` connections; all may come back at once.
    pub(crate) fn of(engine: &mut Engine, server: SocketAddr, count: usize) -> Self {
        engine.is_patient = true;
        let begun = Instant::now();
        (0..count).for_each(|number| engine.cut(number));
        Self {
            server,
            due: (0..count).map(|number| Reverse((begun, number))).collect(),
            tries: vec![0; count],
            is_back: vec![false; count],
            left: count,
            dice: 0x9e37_79b9_7f4a_7c15,
            begun,
            storm: Storm::default(),
        }
    }

    /// Whether everyone is back.
    pub(crate) fn is_over(&self) -> bool {
        self.left == 0
    }

    /// Begins the next few connections that are due; `request` makes their upgrades.
    pub(crate) fn begin(
        &mut self,
        engine: &mut Engine,
        request: impl Fn(usize) -> Vec<u8>,
    ) -> Result<()> {
        ensure!(
            self.begun.elapsed() < LIMIT,
            "{} connections are not back after {LIMIT:?}; refused {:?}, broken {}",
            self.left,
            self.storm.refused,
            self.storm.broken
        );
        for _ in 0..AT_ONCE {
            let Some(Reverse((due, number))) = self.due.peek().copied() else { break };
            if due > Instant::now() {
                break;
            }
            self.due.pop();
            engine.redial(self.server, number, &request(number))?;
        }
        Ok(())
    }

    /// How long to listen before the next connections are due.
    pub(crate) fn pause(&self) -> Duration {
        let next = self.due.peek().map(|Reverse((due, _))| *due);
        let most = Duration::from_millis(5);
        next.map_or(most, |due| due.saturating_duration_since(Instant::now()).min(most))
    }

    /// A connection was greeted.
    pub(crate) fn hello(&mut self) {
        self.storm.hello.record(nanos(self.begun.elapsed()));
    }

    /// A connection is where it was.
    pub(crate) fn back(&mut self, number: usize) {
        if let Some(is_back) = self.is_back.get_mut(number)
            && !*is_back
        {
            *is_back = true;
            self.left -= 1;
            self.storm.back.record(nanos(self.begun.elapsed()));
            if self.left == 0 {
                self.storm.seconds = self.begun.elapsed().as_secs_f64();
            }
        }
    }

    /// Those that were refused or broken try again later.
    pub(crate) fn again(&mut self, engine: &mut Engine) {
        for (number, how) in std::mem::take(&mut engine.lost) {
            let (Some(tries), Some(is_back)) =
                (self.tries.get_mut(number), self.is_back.get_mut(number))
            else {
                continue;
            };
            self.left += usize::from(std::mem::take(is_back));
            let wait = match how {
                Lost::Refused { status, retry_after: Some(wait) } => {
                    *self.storm.refused.entry(status).or_default() += 1;
                    wait
                }
                Lost::Refused { status, retry_after: None } => {
                    *self.storm.refused.entry(status).or_default() += 1;
                    BACKOFF * (1 << *tries)
                }
                Lost::Ended(_) => {
                    self.storm.broken += 1;
                    BACKOFF * (1 << *tries)
                }
            };
            *tries = (*tries + 1).min(5);
            let random = self.random();
            self.due.push(Reverse((Instant::now() + wait + wait.mul_f64(random), number)));
        }
    }

    /// 0 to 1.
    fn random(&mut self) -> f64 {
        self.dice ^= self.dice << 13;
        self.dice ^= self.dice >> 7;
        self.dice ^= self.dice << 17;
        f64::from(u32::try_from(self.dice >> 32).unwrap_or(0)) / f64::from(u32::MAX)
    }
}

fn nanos(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}

/// Connects, cuts and connects again so many at a server that only greets.
pub(crate) fn bare(server: SocketAddr, tokens: &[String], limit: Duration) -> Result<Storm> {
    let mut engine = Engine::new()?;
    engine.connect(crate::engine::Door::of(server), tokens, limit, |_, _| {})?;
    let mut coming = Return::of(&mut engine, server, tokens.len());
    let host = server.to_string();
    while !coming.is_over() {
        let token = |number: usize| tokens.get(number).map(String::as_str);
        coming.begin(&mut engine, |number| ws::upgrade(&host, "/ws", token(number)))?;
        engine.poll(coming.pause(), |number, text| {
            if crate::scan::frame(text) == Said::Hello {
                coming.back(number);
            }
        })?;
        coming.again(&mut engine);
    }
    Ok(coming.storm)
}

impl Chat<'_> {
    /// Cuts everyone but the speaker, who goes on, and waits until all are back and caught up.
    pub(crate) fn storm(&mut self, load: &mut Load) -> Result<Storm> {
        let server = self.server.address;
        let host = server.to_string();
        let count = self.tokens.len() - 1;
        let mut coming = Return::of(&mut self.engine, server, count);
        while !coming.is_over() {
            let (ledger, tokens) = (&self.ledger, &self.tokens);
            let request = |number: usize| {
                let place = ledger.place(number).unwrap_or_default();
                let path = format!("/ws?position={place}");
                ws::upgrade(&host, &path, tokens.get(number).map(String::as_str))
            };
            coming.begin(&mut self.engine, request)?;
            self.keep_talking(load)?;
            let ledger: &mut Ledger = &mut self.ledger;
            self.engine.poll(coming.pause(), |number, text| match ledger.heard(number, text) {
                Said::Resumed(tier) => {
                    let tier = String::from_utf8_lossy(tier).into_owned();
                    *coming.storm.tiers.entry(tier).or_default() += 1;
                    coming.back(number);
                }
                Said::Hello => coming.hello(),
                Said::Invalid => {
                    *coming.storm.tiers.entry("invalid".to_owned()).or_default() += 1;
                    coming.back(number);
                }
                _ => {}
            })?;
            coming.again(&mut self.engine);
        }
        self.engine.is_patient = false;
        Ok(coming.storm)
    }

    /// Sends what is due.
    pub(crate) fn keep_talking(&mut self, load: &mut Load) -> Result<()> {
        while load.due <= Instant::now() && self.send_one(load.due)? {
            load.due += load.gap;
        }
        Ok(())
    }

    /// Listens for so long while messages go on being sent.
    pub(crate) fn talk_on(&mut self, load: &mut Load, time: Duration) -> Result<()> {
        let end = Instant::now() + time;
        while Instant::now() < end {
            self.keep_talking(load)?;
            self.engine.wake_at(load.due)?;
            self.hear(Duration::from_millis(20))?;
        }
        Ok(())
    }
}
