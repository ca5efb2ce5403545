//! Anything in any order: clients come and go, users join and leave, frames get lost, the store
//! lags. Each connection must see exactly what the model says, in its order.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use futures::StreamExt;
use klatch_domain::{RoomId, UserId};
use klatch_ports::{Offset, Position};
use klatch_realtime::RealtimeConfig;
use klatch_testkit::BusFaults;
use parking_lot::Mutex;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use serde_json::{Value, json};
use tokio::sync::oneshot;
use tokio_tungstenite::tungstenite::protocol::Message;

use crate::client::{Client, Seen};
use crate::fan_out::FanOut;
use crate::world::{Server, World};

/// What one connection saw so far.
#[derive(Default)]
struct Diary {
    seen: Vec<Seen>,
    /// The answer to a resume was a snapshot: the store was too late for a replay.
    snapshot: bool,
    broken: Option<String>,
}

struct Open {
    user: UserId,
    /// Everything after this is due.
    after: Offset,
    /// The position of `hello`.
    live_from: Offset,
    diary: Arc<Mutex<Diary>>,
    close: oneshot::Sender<()>,
}

impl Open {
    /// Starts reading for a connected client.
    fn start(mut client: Client, after: Offset, speaks: bool) -> Self {
        let diary = Arc::new(Mutex::new(Diary::default()));
        let (close, mut closed) = oneshot::channel();
        let (user, pages) = (client.user, Arc::clone(&diary));
        let live_from = client.live_from().offset;
        tokio::spawn(async move {
            if speaks {
                client.send(&json!({"type": "ping"})).await;
            }
            loop {
                let message = tokio::select! {
                    message = client.socket.next() => message,
                    _ = &mut closed => return,
                };
                match message {
                    Some(Ok(Message::Text(text))) => {
                        let frame: Value = serde_json::from_str(&text).unwrap();
                        let mut diary = pages.lock();
                        diary.seen.extend(Seen::of(&frame));
                        diary.snapshot |= frame["payload"]["tier"] == "snapshot";
                    }
                    Some(Ok(Message::Ping(_) | Message::Pong(_))) => {}
                    other => {
                        pages.lock().broken = Some(format!("{other:?}"));
                        return;
                    }
                }
            }
        });
        Self { user, after, live_from, diary, close }
    }

    /// Compares with the model: all of what is due if `whole`, else a beginning of it.
    fn judge(&self, world: &World, whole: bool) -> Result<(), String> {
        let diary = self.diary.lock();
        let after = if diary.snapshot { self.live_from } else { self.after };
        let due = world.model.lock().due(self.user, after);
        if let Some(broken) = &diary.broken {
            return Err(format!("the connection ended: {broken}"));
        }
        let seen: Vec<_> = diary.seen.iter().map(|seen| (seen.room, seen.seq)).collect();
        let fits = if whole { seen == due } else { due.starts_with(&seen) };
        if fits { Ok(()) } else { Err(format!("due {due:?}\nseen {seen:?}")) }
    }
}

struct Run {
    random: StdRng,
    server: Server,
    world: Arc<World>,
    fan_out: Arc<FanOut>,
    owner: u64,
    users: Vec<UserId>,
    rooms: Vec<RoomId>,
    open: Vec<Open>,
    /// The newest position each user has seen on a connection that is closed.
    left_at: HashMap<UserId, Offset>,
}

impl Run {
    async fn new(seed: u64) -> Self {
        let config = RealtimeConfig {
            inbox_silence_max: Duration::from_millis(300),
            presence_wait: Duration::from_millis(150),
            hold: Duration::from_millis(0),
            rooms_max: 2,
            ..RealtimeConfig::default()
        };
        let world = World::new(seed);
        let server = Server::start(&world, config).await;
        let fan_out = FanOut::start(&server, 1);
        let mut users = Vec::new();
        for name in ["ann", "ben", "cat", "dan"] {
            users.push(world.user(name).await);
        }
        let rooms = vec![world.room(&users[..2]), world.room(&users[1..]), world.room(&[])];
        let random = StdRng::seed_from_u64(seed);
        let (open, left_at) = (Vec::new(), HashMap::new());
        Self { random, server, world, fan_out, owner: 1, users, rooms, open, left_at }
    }

    fn one<T: Copy>(&mut self, of: fn(&Self) -> &[T]) -> T {
        let count = of(self).len();
        let index = self.random.random_range(0..count);
        of(self)[index]
    }

    async fn step(&mut self) {
        let (user, room) = (self.one(|run| &run.users), self.one(|run| &run.rooms));
        match self.random.random_range(0..100) {
            0..35 => {
                self.world.say(room, user, "words");
            }
            35..50 => self.change_membership(room, user),
            50..62 => self.connect(user).await,
            62..70 => self.disconnect(),
            70..74 => {
                let some: Vec<_> = self.users.iter().copied().take(2).collect();
                let room = self.world.room(&some);
                self.rooms.push(room);
            }
            74..80 => {
                let drop = [0, 0, 30, 100][self.random.random_range(0..4)];
                self.world.faults(BusFaults { drop, repeat: 20 });
            }
            80..83 => {
                let lag = [0, 0, 20, 60, 200][self.random.random_range(0..5)];
                self.world.lag_ms.store(lag, Ordering::Relaxed);
            }
            83..86 => {
                let lag = [0, 0, 100, 600][self.random.random_range(0..4)];
                self.fan_out.presence_lag_ms.store(lag, Ordering::Relaxed);
            }
            86..88 => {
                let down = self.random.random_range(0..3) == 0;
                self.world.kv_is_down.store(down, Ordering::Relaxed);
            }
            88..90 => {
                self.fan_out.stop.store(true, Ordering::Relaxed);
                self.owner += 1;
                self.fan_out = FanOut::start(&self.server, self.owner);
            }
            _ => {
                let pause = self.random.random_range(0..12);
                tokio::time::sleep(Duration::from_millis(pause)).await;
            }
        }
    }

    fn change_membership(&mut self, room: RoomId, user: UserId) {
        let inside = self.world.model.lock().is_member(room, user);
        if inside {
            self.world.leave(room, user);
        } else {
            self.world.join(room, user);
        }
    }

    async fn connect(&mut self, user: UserId) {
        if self.open.len() >= 8 {
            return;
        }
        let resumes = self.random.random_range(0..2) == 0;
        let speaks = self.random.random_range(0..2) == 0;
        let client = Client::connect(&self.server, user).await;
        let left_at = self.left_at.get(&user).copied().filter(|_| resumes);
        let (client, after) = if let Some(offset) = left_at {
            let from = Position { offset, ..client.live_from() };
            (Client::resume(&self.server, user, from).await, offset)
        } else {
            let after = client.live_from().offset;
            (client, after)
        };
        self.open.push(Open::start(client, after, speaks));
    }

    fn disconnect(&mut self) {
        if self.open.is_empty() {
            return;
        }
        let index = self.random.random_range(0..self.open.len());
        let open = self.open.swap_remove(index);
        let verdict = open.judge(&self.world, false);
        assert!(verdict.is_ok(), "{}", verdict.unwrap_err());
        // The newest event it has seen, or where it began.
        let diary = open.diary.lock();
        let began = if diary.snapshot { open.live_from } else { open.after };
        let last = diary.seen.last().map_or(began, |seen| seen.offset);
        drop(diary);
        self.left_at.insert(open.user, last);
        let _ = open.close.send(());
    }

    async fn finish(&mut self) {
        self.world.faults(BusFaults::default());
        self.world.kv_is_down.store(false, Ordering::Relaxed);
        let deadline = tokio::time::Instant::now() + Duration::from_secs(10);
        loop {
            let verdicts = self.open.iter().map(|open| open.judge(&self.world, true));
            let wrong: Vec<_> = verdicts.filter_map(Result::err).collect();
            if wrong.is_empty() {
                return;
            }
            assert!(tokio::time::Instant::now() < deadline, "{}", wrong.join("\n\n"));
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }
}

async fn run(seed: u64, steps: usize) {
    let mut run = Run::new(seed).await;
    for _ in 0..steps {
        run.step().await;
    }
    run.finish().await;
    // Nothing more may come.
    tokio::time::sleep(Duration::from_millis(100)).await;
    for open in &run.open {
        assert_eq!(open.judge(&run.world, true), Ok(()));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_connection_sees_exactly_what_is_due_whatever_happens() {
    let seeds = std::env::var("KLATCH_TEST_SEEDS").ok().and_then(|n| n.parse().ok()).unwrap_or(24);
    let first = std::env::var("KLATCH_TEST_SEED").ok().and_then(|n| n.parse().ok()).unwrap_or(0);
    let runs: Vec<_> =
        (first..first + seeds).map(|seed| (seed, tokio::spawn(run(seed, 150)))).collect();
    let mut failed = Vec::new();
    for (seed, run) in runs {
        if run.await.is_err() {
            failed.push(seed);
        }
    }
    assert!(failed.is_empty(), "seeds {failed:?} failed; see above");
}
