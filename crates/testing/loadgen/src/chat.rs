//! Members of rooms, connected and talking: closed loops with a window, open loops with a rate.

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};

use crate::acks::Acks;
use crate::engine::{Dial, Door, Engine};
use crate::ledger::{Figures, Ledger};
use crate::proc::Cpu;
use crate::scan::{Mark, Said};
use crate::server::Server;
use crate::world::{World, user};

/// Nothing that was asked for takes longer than this to come.
const QUIET_MOMENT: Duration = Duration::from_millis(50);
/// How long all connections may take.
const CONNECT_LIMIT: Duration = Duration::from_mins(3);
/// How long deliveries may come after the last send.
const DRAIN_LIMIT: Duration = Duration::from_secs(30);
/// How long read models may take to catch up.
const CATCH_UP_LIMIT: Duration = Duration::from_mins(2);
/// How long the server may take to become quiet.
const SETTLE_LIMIT: Duration = Duration::from_secs(20);
/// Messages under way at most in an open loop; above, sends wait and their latency counts.
const OPEN_WINDOW: u32 = 8192;

/// How messages are sent.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Pace {
    /// So many under way: one is done when acknowledged and delivered to all.
    Window(u32),
    /// So many at once, and the next as many when all of them are done.
    Burst(u32),
    /// So many a second, whatever becomes of them; latency counts from when each was due.
    Rate(f64),
    /// One at a time, so many a second at most; each drained before the next.
    Single(f64),
}

/// A measured stretch.
pub(crate) struct Stretch {
    pub(crate) figures: Figures,
    pub(crate) seconds: f64,
    /// What the server used from the first send until all was stored and it was quiet.
    pub(crate) cpu: Option<Cpu>,
    /// What this process used meanwhile: next to a whole processor, it was the limit.
    pub(crate) load_cpu: Cpu,
    /// Mean bytes of a frame that arrived.
    pub(crate) frame_bytes: f64,
    /// Mean frames that one read of the load gave: about what the server put into one write.
    pub(crate) frames_per_read: f64,
    /// Mean records of the log that shared a sync, if the server tells.
    pub(crate) records_per_sync: Option<f64>,
    /// Frames that fan-out gave to instances, heartbeats not counted, if the server tells.
    pub(crate) publishes: Option<f64>,
    /// Messages that were not done in time.
    pub(crate) unfinished: u64,
}

/// Picks the room and the seat in it of the n-th message in a slot.
pub(crate) type Plan = fn(n: u64, slot: u32, rooms: u32, seats: u32) -> (u32, u32);

pub(crate) struct Chat<'a> {
    pub(crate) server: &'a Server,
    pub(crate) engine: Engine,
    pub(crate) ledger: Ledger,
    /// The token of each connection that is counted.
    pub(crate) tokens: Vec<String>,
    /// The first connection of each room; the others follow it.
    first: Vec<usize>,
    seats: u32,
    /// One who is in all rooms and sends everything.
    speaker: Option<usize>,
    plan: Plan,
    /// Set: who gets something says so.
    pub(crate) acks: Option<Acks>,
    text_bytes: usize,
    sent: u64,
    run: u64,
}

impl<'a> Chat<'a> {
    /// Connects every member of every room. All rooms have the same number of members.
    pub(crate) fn connect(
        server: &'a Server,
        world: &World,
        plan: Plan,
        text_bytes: usize,
    ) -> Result<Self> {
        Self::open(server, world, plan, text_bytes, None)
    }

    /// Connects every member of every room, and `speaker`, who is in all rooms and sends all.
    pub(crate) fn connect_with(
        server: &'a Server,
        world: &World,
        speaker: u32,
        text_bytes: usize,
    ) -> Result<Self> {
        let plan: Plan = |n, _, rooms, _| (u32::try_from(n % u64::from(rooms)).unwrap_or(0), 0);
        Self::open(server, world, plan, text_bytes, Some(speaker))
    }

    fn open(
        server: &'a Server,
        world: &World,
        plan: Plan,
        text_bytes: usize,
        speaker: Option<u32>,
    ) -> Result<Self> {
        let (mut tokens, mut rooms, mut first) = (Vec::new(), Vec::new(), Vec::new());
        for (number, room) in (0_u32..).zip(&world.rooms) {
            first.push(tokens.len());
            for member in &room.members {
                tokens.push(server.issuer.token(&user(*member))?);
                rooms.push(number..number + 1);
            }
        }
        let speaker_at = speaker.map(|_| tokens.len());
        if let Some(speaker) = speaker {
            tokens.push(server.issuer.token(&user(speaker))?);
            rooms.push(0..u32::try_from(world.rooms.len())?);
        }
        let seats = world.rooms.first().map_or(0, |room| room.members.len());
        let ids = world.rooms.iter().map(|room| room.id.clone()).collect();
        let mut ledger = Ledger::new(ids, &rooms);
        if speaker.is_some() {
            ledger.keep_places();
        }
        let mut engine = Engine::new()?;
        engine.connect(server.door(), &tokens, CONNECT_LIMIT, |connection, text| {
            ledger.heard(connection, text);
        })?;
        let (seats, run) = (u32::try_from(seats)?, u64::from(std::process::id()));
        let (speaker, sent) = (speaker_at, 0);
        Ok(Self {
            server,
            engine,
            ledger,
            tokens,
            first,
            seats,
            speaker,
            plan,
            acks: None,
            text_bytes,
            sent,
            run,
        })
    }

    /// Connects others, who are not counted; narrow ones hardly take anything in and never read.
    /// Others from before are forgotten.
    pub(crate) fn connect_others(&mut self, tokens: &[String], narrow: bool) -> Result<()> {
        let counted = self.tokens.len();
        self.engine.forget(counted);
        let dial = if narrow { Dial::Narrow } else { Dial::Wait };
        let door = Door { dial, ..self.server.door() };
        let ledger = &mut self.ledger;
        self.engine.connect(door, tokens, CONNECT_LIMIT, |connection, text| {
            if connection < counted {
                ledger.heard(connection, text);
            }
        })?;
        if narrow { self.engine.mute(counted) } else { Ok(()) }
    }

    /// Sends at a pace for so long, without measuring.
    pub(crate) fn warm_up(&mut self, pace: Pace, time: Duration) -> Result<()> {
        self.talk(pace, time)?;
        self.drain()?;
        Ok(())
    }

    /// Sends at a pace for so long and measures until everything is delivered, stored and quiet.
    /// Heartbeats come before: they are no part of a delivery, and `idle` tells what they cost.
    pub(crate) fn measure(&mut self, pace: Pace, time: Duration) -> Result<Stretch> {
        self.engine.keep_alive_now()?;
        self.hear_pongs()?;
        self.ledger.figures = Figures::default();
        let before_in = self.engine.totals.clone();
        let before = self.server.usage()?;
        let load_before = Cpu::of_this()?;
        let begun = Instant::now();
        self.talk(pace, time)?;
        self.drain()?;
        let seconds = begun.elapsed().as_secs_f64();
        let load_cpu = Cpu::of_this()?.since(&load_before);
        let unfinished = self.ledger.close_books();
        self.catch_up()?;
        self.server.settle(SETTLE_LIMIT)?;
        let cpu = self.server.usage()?.since(&before);
        ensure!(
            self.engine.totals.closed.is_empty(),
            "connections ended: {:?}\n{}",
            self.engine.totals.closed,
            self.server.log_tail()
        );
        let totals = &self.engine.totals;
        #[expect(clippy::cast_precision_loss, reason = "far below 2^52")]
        let [bytes, frames, reads] = [
            totals.bytes - before_in.bytes,
            totals.frames - before_in.frames,
            totals.reads - before_in.reads,
        ]
        .map(|count| count as f64);
        let (frame_bytes, frames_per_read) = (bytes / frames.max(1.0), frames / reads.max(1.0));
        let metrics = self.server.metrics();
        let records_per_sync = metrics.records_per_sync(&before.metrics);
        let publishes = metrics.publishes(&before.metrics);
        let figures = std::mem::take(&mut self.ledger.figures);
        Ok(Stretch {
            figures,
            seconds,
            cpu,
            load_cpu,
            frame_bytes,
            frames_per_read,
            records_per_sync,
            publishes,
            unfinished,
        })
    }

    fn talk(&mut self, pace: Pace, time: Duration) -> Result<()> {
        ensure!(self.ledger.under_way() == 0, "messages of the last stretch never arrived");
        let (window, rate) = match pace {
            Pace::Window(window) | Pace::Burst(window) => (window, None),
            Pace::Rate(rate) => (OPEN_WINDOW, Some(rate)),
            Pace::Single(rate) => (1, Some(rate)),
        };
        self.ledger.set_window(window);
        let begun = Instant::now();
        let mut due = begun;
        let gap = rate.map(|rate| Duration::from_secs_f64(1.0 / rate.max(0.001)));
        while begun.elapsed() < time {
            match gap {
                None if matches!(pace, Pace::Burst(_)) && self.ledger.under_way() > 0 => {}
                None => self.fill(Instant::now())?,
                Some(gap) => {
                    while due <= Instant::now() && self.send_one(due)? {
                        due += gap;
                        if matches!(pace, Pace::Single(_)) {
                            due = due.max(Instant::now() + gap / 2);
                        }
                    }
                    self.engine.wake_at(due)?;
                }
            }
            self.hear(Duration::from_millis(50))?;
        }
        Ok(())
    }

    /// Sends as long as there are free slots.
    fn fill(&mut self, due: Instant) -> Result<()> {
        while self.send_one(due)? {}
        Ok(())
    }

    /// Sends one message unless all slots are taken.
    pub(crate) fn send_one(&mut self, due: Instant) -> Result<bool> {
        let Some(slot) = self.ledger.take() else { return Ok(false) };
        let rooms = u32::try_from(self.first.len())?;
        let (room, seat) = (self.plan)(self.sent, slot, rooms, self.seats);
        let first = self.first.get(room as usize).copied().context("a plan beyond the rooms")?;
        let sender = self.speaker.unwrap_or(first + seat as usize);
        let mark = self.ledger.send(slot, room, sender, self.ledger.at(due));
        let key = format!("{}-{}", self.run, self.sent);
        let text = message(&mark, self.ledger.room_id(room), self.text_bytes, &key);
        self.sent += 1;
        if let Err(error) = self.engine.send(sender, text.as_bytes()) {
            self.ledger.give_back(slot);
            return Err(error.context(self.server.log_tail()));
        }
        Ok(true)
    }

    pub(crate) fn hear(&mut self, limit: Duration) -> Result<()> {
        let (ledger, acks) = (&mut self.ledger, &mut self.acks);
        let counted = self.tokens.len();
        self.engine.poll(limit, |connection, text| {
            if connection >= counted {
                return;
            }
            let said = ledger.heard(connection, text);
            if let (Some(acks), Said::Event { room, seq, .. }) = (acks.as_mut(), said) {
                acks.got(connection, room, seq);
            }
        })?;
        acks.as_mut().map_or(Ok(()), |acks| acks.say(&mut self.engine))
    }

    /// Until nothing has come for a moment.
    fn hear_pongs(&mut self) -> Result<()> {
        let deadline = Instant::now() + DRAIN_LIMIT;
        loop {
            let before = self.engine.totals.frames;
            self.hear(QUIET_MOMENT)?;
            if self.engine.totals.frames == before || Instant::now() > deadline {
                return Ok(());
            }
        }
    }

    pub(crate) fn drain(&mut self) -> Result<()> {
        let deadline = Instant::now() + DRAIN_LIMIT;
        while self.ledger.under_way() > 0 && Instant::now() < deadline {
            self.hear(Duration::from_millis(50))?;
        }
        Ok(())
    }

    /// Waits until reads show everything that was acknowledged: a read that carries the last
    /// position is answered then and not before.
    fn catch_up(&mut self) -> Result<()> {
        let position = self.ledger.position().to_owned();
        if position.is_empty() {
            return Ok(());
        }
        let mut http = self.server.http_as(&user(0))?;
        let headers = [("X-Klatch-Position", position.as_str())];
        let room = self.ledger.room_id(0);
        let deadline = Instant::now() + CATCH_UP_LIMIT;
        for path in
            [format!("/api/v1/rooms/{room}/messages?limit=1"), format!("/api/v1/rooms/{room}")]
        {
            loop {
                let answer = http.request("GET", &path, &headers, b"")?;
                if answer.status != 503 {
                    answer.success().context("reading with a position")?;
                    break;
                }
                ensure!(Instant::now() < deadline, "read models are behind: {CATCH_UP_LIMIT:?}");
                // A read waits up to 3 s itself; connections must be heard meanwhile.
                self.engine.poll(Duration::from_millis(20), |_, _| {})?;
            }
        }
        Ok(())
    }

    /// Reads the newest message of each room and counts the messages that are not stored.
    pub(crate) fn not_stored(&mut self) -> Result<u64> {
        let mut http = self.server.http_as(&user(0))?;
        let mut missing = 0;
        for (room, accepted) in self.ledger.accepted() {
            let page = http.get(&format!("/api/v1/rooms/{room}/messages?limit=1"))?.json()?;
            let newest = page.get("items").and_then(|items| items.get(0));
            let ordinal = newest.and_then(|item| item.get("ordinal")?.as_u64()).unwrap_or(0);
            missing += accepted.saturating_sub(ordinal);
        }
        Ok(missing)
    }
}

/// A `message` frame whose request and text carry its mark.
pub(crate) fn message(mark: &Mark, room: &str, text_bytes: usize, key: &str) -> String {
    format!(
        r#"{{"type":"message","requestId":"{}.{}","payload":{{"roomId":"{room}","content":"{}","clientMessageId":"{key}"}}}}"#,
        mark.slot,
        mark.turn,
        mark.text(text_bytes),
    )
}
