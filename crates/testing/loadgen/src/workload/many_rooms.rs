//! Someone in very many rooms beside someone in few: connecting, sending, receiving, resuming.

use std::time::{Duration, Instant};

use anyhow::{Result, ensure};

use super::{Bench, wrong};
use crate::chat::message;
use crate::engine::Engine;
use crate::ledger::{Figures, Ledger};
use crate::report::{ACK, DELIVERY, Sample};
use crate::scan::Said;
use crate::server::Server;
use crate::stats::{Histogram, Spread};
use crate::world::{Cast, World, user};
use crate::ws;

/// Connects, messages each way and resumes of one person in a round.
const TIMES: u32 = 40;
/// Messages missed before each resume.
const MISSED: u32 = 20;
/// How long any single step may take.
const STEP_LIMIT: Duration = Duration::from_secs(20);
/// The connection of the person whom both talk with.
const PARTNER: usize = 0;

const HELLO: &str = "hello_ms";
const CPU_EACH: &str = "cpu_us_per_connect";
const RESUME: &str = "resume_ms";
/// What is compared, and under which name.
const RATIOS: [(&str, &str); 5] = [
    (HELLO, "hello_times_few"),
    (CPU_EACH, "cpu_times_few"),
    (ACK[0], "ack_times_few"),
    (DELIVERY[0], "delivery_times_few"),
    (RESUME, "resume_times_few"),
];

impl Bench<'_> {
    pub(super) fn many_rooms(&mut self) -> Result<()> {
        let sizes = self.args.sizes.clone();
        let (few, many) = (sizes.few_rooms, sizes.many_rooms.max(sizes.few_rooms));
        let mut server = self.server("manyrooms")?;
        let begun = Instant::now();
        // Users 1 and 2 each share as many rooms with user 0; user 2 has the rest alone.
        let rooms = (0..2 * few).map(|room| vec![0, 1 + room / few]).collect();
        let alone = Some((2, many - few));
        let world = World::bring_in(&server, &Cast { rooms, alone, ..Cast::default() })?;
        self.say(&format!("  imported {many} rooms in {:.1} s", begun.elapsed().as_secs_f64()));
        server.restart()?;
        let mut round = Round::open(&server, &world, few, sizes.text_bytes)?;
        // What is made at the first time is not part of any round.
        round.person(1)?;
        round.person(2)?;
        let names = [format!("in {few} rooms"), format!("in {many} rooms")];
        let mut ratios: Vec<Vec<f64>> = vec![Vec::new(); RATIOS.len()];
        for number in 0..sizes.many_rounds.max(1) {
            // Whatever grows or wears off over time meets both alike.
            let both = if number % 2 == 0 {
                [round.person(1)?, round.person(2)?]
            } else {
                let many = round.person(2)?;
                [round.person(1)?, many]
            };
            for ((key, _), ratios) in RATIOS.iter().zip(&mut ratios) {
                let of = |sample: &Sample| sample.figures.get(key).copied();
                if let Some((few, many)) = of(&both[0]).zip(of(&both[1])) {
                    ratios.push(many / few.max(f64::EPSILON));
                }
            }
            for (mut sample, name) in both.into_iter().zip(&names) {
                sample.name.clone_from(name);
                self.push(sample);
            }
        }
        let last = self.samples.iter_mut().rev().find(|sample| sample.name == names[1]);
        if let Some(last) = last {
            for ((_, name), ratios) in RATIOS.iter().zip(&ratios) {
                if let Some(spread) = Spread::of(ratios) {
                    last.put(name, spread.median);
                }
            }
        }
        Ok(())
    }
}

/// Two people and whom they talk with. Connections: the partner, then the two.
struct Round<'a> {
    server: &'a Server,
    engine: Engine,
    ledger: Ledger,
    tokens: Vec<String>,
    few: u32,
    text_bytes: usize,
    sent: u32,
}

impl<'a> Round<'a> {
    fn open(server: &'a Server, world: &World, few: u32, text_bytes: usize) -> Result<Self> {
        let ids = world.rooms.iter().map(|room| room.id.clone()).collect();
        let mut ledger = Ledger::new(ids, &[0..2 * few, 0..few, few..2 * few]);
        ledger.keep_places();
        ledger.set_window(MISSED);
        let tokens: Vec<String> =
            (0..3).map(|person| server.issuer.token(&user(person))).collect::<Result<_>>()?;
        let mut engine = Engine::new()?;
        engine.connect(server.door(), &tokens, STEP_LIMIT, |number, text| {
            ledger.heard(number, text);
        })?;
        Ok(Self { server, engine, ledger, tokens, few, text_bytes, sent: 0 })
    }

    /// All that is measured of one person.
    fn person(&mut self, person: usize) -> Result<Sample> {
        let mut sample = Sample { unit: "connects", ..Sample::default() };
        let mut all = Figures::default();
        let (mut hello, mut resume) = (Histogram::default(), Histogram::default());

        self.server.settle(Duration::from_secs(2))?;
        let before = self.server.cpu()?;
        let begun = Instant::now();
        for _ in 0..TIMES {
            let (to_hello, _) = self.come_back(person)?;
            hello.record(nanos(to_hello));
        }
        sample.put(crate::report::RATE, f64::from(TIMES) / begun.elapsed().as_secs_f64());
        if let Some((before, after)) = before.zip(self.server.cpu()?) {
            sample.put(CPU_EACH, after.since(&before).seconds * 1e6 / f64::from(TIMES));
        }
        sample.put(HELLO, hello.quantile_ms(0.5));

        for (sender, keys) in [(person, ACK), (PARTNER, DELIVERY)] {
            for _ in 0..TIMES {
                self.send(sender, person)?;
                self.until("a message is delivered", |ledger| ledger.under_way() == 0)?;
            }
            let figures = std::mem::take(&mut self.ledger.figures);
            let latency = if sender == person { &figures.ack } else { &figures.delivery };
            sample.put_latency(keys, latency);
            add(&mut all, &figures);
        }

        for _ in 0..TIMES / 4 {
            self.engine.cut(person);
            let sent = u64::from(MISSED);
            for _ in 0..MISSED {
                self.send(PARTNER, person)?;
            }
            self.until("what is missed is acknowledged", |ledger| ledger.figures.accepted == sent)?;
            let (_, to_resumed) = self.come_back(person)?;
            resume.record(nanos(to_resumed));
            self.until("what was missed has come", |ledger| ledger.under_way() == 0)?;
            add(&mut all, &std::mem::take(&mut self.ledger.figures));
        }
        sample.put(RESUME, resume.quantile_ms(0.5));
        self.ledger.close_books();
        add(&mut all, &std::mem::take(&mut self.ledger.figures));
        wrong(&mut sample, &all);
        Ok(sample)
    }

    /// Connects anew, resuming; the times until `hello` and until all that was missed has come.
    fn come_back(&mut self, person: usize) -> Result<(Duration, Duration)> {
        self.engine.cut(person);
        let server = self.server.address;
        let place = self.ledger.place(person).unwrap_or_default();
        let path = format!("/ws?position={place}");
        let token = self.tokens.get(person).map(String::as_str);
        let begun = Instant::now();
        self.engine.redial(server, person, &ws::upgrade(&server.to_string(), &path, token))?;
        let (mut hello, mut resumed) = (None, None);
        while resumed.is_none() {
            ensure!(begun.elapsed() < STEP_LIMIT, "not back after {STEP_LIMIT:?}");
            let ledger = &mut self.ledger;
            self.engine.poll(Duration::from_millis(50), |number, text| {
                let said = ledger.heard(number, text);
                match said {
                    Said::Hello if number == person => hello = Some(begun.elapsed()),
                    Said::Resumed(tier) if number == person => {
                        resumed = Some((begun.elapsed(), tier == b"replay"));
                    }
                    _ => {}
                }
            })?;
            ensure!(self.engine.totals.closed.is_empty(), "{:?}", self.engine.totals.closed);
        }
        let (resumed, by_replay) = resumed.unwrap_or_default();
        ensure!(by_replay, "a resume from a moment ago was not answered by a replay");
        Ok((hello.unwrap_or_default(), resumed))
    }

    /// Sends into the next of the person's shared rooms.
    fn send(&mut self, sender: usize, person: usize) -> Result<()> {
        self.sent = self.sent.wrapping_add(1);
        let first = if person == 1 { 0 } else { self.few };
        let room = first + self.sent % self.few;
        let Some(slot) = self.ledger.take() else { return Ok(()) };
        let due = self.ledger.now();
        let mark = self.ledger.send(slot, room, sender, due);
        let key = format!("many-{}", self.sent);
        let text = message(&mark, self.ledger.room_id(room), self.text_bytes, &key);
        self.engine.send(sender, text.as_bytes())
    }

    fn until(&mut self, what: &str, mut is_so: impl FnMut(&Ledger) -> bool) -> Result<()> {
        let deadline = Instant::now() + STEP_LIMIT;
        while !is_so(&self.ledger) {
            ensure!(Instant::now() < deadline, "it does not come about that {what}");
            let ledger = &mut self.ledger;
            self.engine.poll(Duration::from_millis(50), |number, text| {
                ledger.heard(number, text);
            })?;
        }
        Ok(())
    }
}

/// Adds up what must be nothing.
fn add(all: &mut Figures, figures: &Figures) {
    all.lost += figures.lost;
    all.doubled += figures.doubled;
    all.disordered += figures.disordered;
    all.foreign += figures.foreign;
    for (code, count) in &figures.errors {
        *all.errors.entry(code.clone()).or_default() += count;
    }
}

fn nanos(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}
