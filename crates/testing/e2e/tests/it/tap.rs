//! A tap on every socket: people come, go, are put out and sign out while everyone talks, and each
//! frame that anyone gets is held against who was in which room at its seq.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::Method;
use klatch_checker::Stays;
use klatch_e2e::dice::Dice;
use klatch_e2e::rest::Rest;
use klatch_e2e::server::{Server, Settings, quiet};
use klatch_e2e::socket::{self, Incoming, Receiver};
use klatch_e2e::token;
use serde_json::{Value, json};
use tokio::task::JoinHandle;

const PEOPLE: usize = 6;
const ROOMS: usize = 5;
const STEPS: usize = 500;
/// After an acknowledgement that ends a right, nothing more may come.
const LATE: Duration = Duration::from_secs(1);
const SOON: Duration = Duration::from_secs(10);

/// What someone's socket said, and when.
type Heard = Arc<Mutex<Vec<(Instant, Value)>>>;

struct Person {
    name: String,
    id: String,
    rest: Rest,
    heard: Heard,
    tap: JoinHandle<()>,
}

struct Room {
    id: String,
    canary: String,
    is_private: bool,
    owner: usize,
}

fn tap(mut receiver: Receiver) -> (Heard, JoinHandle<()>) {
    let heard = Heard::default();
    let said = Arc::clone(&heard);
    let task = tokio::spawn(async move {
        while let Incoming::Frame(_, frame) = receiver.next().await {
            said.lock().unwrap().push((Instant::now(), frame));
        }
    });
    (heard, task)
}

async fn gather(server: &Server) -> Vec<Person> {
    let mut people = Vec::new();
    for number in 0..PEOPLE {
        let name = format!("person-{number}");
        let rest = server.rest_as(&name);
        let me = rest.get("/api/v1/users/me").await.unwrap().success().unwrap();
        let id = me.text("userId").unwrap();
        let (mut sender, mut receiver) =
            socket::connect(server.address(), &token::of(&name), "").await.unwrap();
        receiver.next_of("hello", SOON).await.unwrap();
        sender.send("subscribe", json!({"rooms": "all", "typing": true}), "s").await.unwrap();
        let (heard, task) = tap(receiver);
        // The half that sends keeps the connection open.
        let tap = tokio::spawn(async move {
            task.await.unwrap();
            drop(sender);
        });
        people.push(Person { name, id, rest, heard, tap });
    }
    people
}

/// Everything that happens, and what is right of it.
struct World {
    people: Vec<Person>,
    rooms: Vec<Room>,
    stays: Stays,
    /// Who is in which room: number of room and person.
    inside: BTreeMap<(usize, usize), bool>,
    /// When someone's going was acknowledged last.
    gone: BTreeMap<(usize, usize), Instant>,
    sent: usize,
}

impl World {
    async fn new(server: &Server) -> Self {
        let people = gather(server).await;
        let mut world = Self {
            people,
            rooms: Vec::new(),
            stays: Stays::default(),
            inside: BTreeMap::new(),
            gone: BTreeMap::new(),
            sent: 0,
        };
        for number in 0..ROOMS {
            let (owner, is_private) = (number % PEOPLE, number % 2 == 0);
            let visibility = if is_private { "private" } else { "public" };
            let canary = format!("canary-{number}-in-its-room");
            let body = json!({
                "type": "channel", "visibility": visibility, "name": format!("room-{number}"),
                "topic": canary,
            });
            let made = world.people[owner].rest.post("/api/v1/rooms", &body).await.unwrap();
            let id = made.success().unwrap().text("roomId").unwrap();
            world.came(&id, owner, 1);
            world.inside.insert((number, owner), true);
            world.rooms.push(Room { id, canary, is_private, owner });
        }
        world
    }

    fn came(&self, room: &str, who: usize, seq: u64) {
        self.stays.came(&room.into(), &self.people[who].id.as_str().into(), seq);
    }

    fn is_inside(&self, room: usize, who: usize) -> bool {
        self.inside.get(&(room, who)).copied().unwrap_or_default()
    }

    /// One of them does something in one of the rooms.
    async fn step(&mut self, dice: &mut Dice) {
        let pick = |dice: &mut Dice, end: usize| {
            usize::try_from(dice.below(end as u64)).unwrap_or_default()
        };
        let (room, who, other) = (pick(dice, ROOMS), pick(dice, PEOPLE), pick(dice, PEOPLE));
        match dice.below(10) {
            0..=4 => self.say(room, who).await,
            5 => self.read(room, who).await,
            6 if self.is_inside(room, who) => self.leave(room, who).await,
            6 | 7 => self.join(room, who).await,
            8 => self.bring(room, other).await,
            _ => self.put_out(room, other).await,
        }
    }

    async fn say(&mut self, room: usize, who: usize) {
        let Room { id, canary, .. } = &self.rooms[room];
        let path = format!("/api/v1/rooms/{id}/messages");
        self.sent += 1;
        let body = json!({"content": format!("{canary} {}", self.sent)});
        let answer = self.people[who].rest.post(&path, &body).await.unwrap();
        let expected = match (self.is_inside(room, who), self.rooms[room].is_private) {
            (true, _) => 202,
            (false, true) => 404,
            (false, false) => 403,
        };
        assert_eq!(answer.status, expected, "{} in room {room}", self.people[who].name);
    }

    /// All that a stranger may ask: nothing that is answered holds the words of a private room.
    async fn read(&self, room: usize, who: usize) {
        let Room { id, canary, is_private, .. } = &self.rooms[room];
        let rest = &self.people[who].rest;
        for path in [
            format!("/api/v1/rooms/{id}"),
            format!("/api/v1/rooms/{id}/messages"),
            format!("/api/v1/rooms/{id}/members"),
            "/api/v1/rooms?scope=public".to_owned(),
            "/api/v1/rooms".to_owned(),
            "/api/v1/sync".to_owned(),
        ] {
            // Who is in may read, and who just went may be in a list until the read model knows.
            let went = self.gone.get(&(room, who)).is_some_and(|at| at.elapsed() < LATE);
            if !is_private || self.is_inside(room, who) || went {
                continue;
            }
            let answer = rest.get(&path).await.unwrap();
            let text = String::from_utf8_lossy(&answer.body).into_owned();
            let leaks = text.contains(canary.as_str()) || text.contains(id.as_str());
            assert!(!leaks, "{} reads {path}: {text}", self.people[who].name);
        }
    }

    async fn join(&mut self, room: usize, who: usize) {
        let path = format!("/api/v1/rooms/{}/join", self.rooms[room].id);
        let answer = self.people[who].rest.post(&path, &json!({})).await.unwrap();
        if answer.status == 202 {
            let seq = answer.success().unwrap().number("seq").unwrap();
            self.came(&self.rooms[room].id.clone(), who, seq);
            self.inside.insert((room, who), true);
        }
    }

    async fn bring(&mut self, room: usize, who: usize) {
        let Room { id, owner, .. } = &self.rooms[room];
        let path = format!("/api/v1/rooms/{id}/members");
        let body = json!({ "userId": self.people[who].id });
        let answer = self.people[*owner].rest.post(&path, &body).await.unwrap();
        if answer.status == 202 {
            let seq = answer.success().unwrap().number("seq").unwrap();
            self.came(&id.clone(), who, seq);
            self.inside.insert((room, who), true);
        }
    }

    async fn leave(&mut self, room: usize, who: usize) {
        if self.rooms[room].owner == who {
            return;
        }
        let path = format!("/api/v1/rooms/{}/leave", self.rooms[room].id);
        let answer = self.people[who].rest.post(&path, &json!({})).await.unwrap();
        self.went(room, who, answer.success().unwrap().number("seq").unwrap());
    }

    async fn put_out(&mut self, room: usize, who: usize) {
        let Room { id, owner, .. } = &self.rooms[room];
        if *owner == who || !self.is_inside(room, who) {
            return;
        }
        let path = format!("/api/v1/rooms/{id}/members/{}", self.people[who].id);
        let rest = &self.people[*owner].rest;
        let answer = rest.ask(Method::DELETE, &path, &[], Bytes::new()).await.unwrap();
        self.went(room, who, answer.success().unwrap().number("seq").unwrap());
    }

    fn went(&mut self, room: usize, who: usize, seq: u64) {
        let (id, user) = (self.rooms[room].id.as_str(), self.people[who].id.as_str());
        self.stays.went(&id.into(), &user.into(), seq);
        self.inside.insert((room, who), false);
        self.gone.insert((room, who), Instant::now());
    }

    /// Holds every frame against every stay. How many frames of rooms there were.
    fn judge(&self) -> u64 {
        for person in &self.people {
            for (_, frame) in person.heard.lock().unwrap().iter() {
                let payload = &frame["payload"];
                let room = payload["roomId"].as_str();
                let text = frame.to_string();
                // Words of a room come in frames of that room only.
                for Room { id, canary, .. } in &self.rooms {
                    let foreign = text.contains(canary.as_str()) && room != Some(id.as_str());
                    assert!(!foreign, "{}: {frame}", person.name);
                }
                if let (Some(room), Some(seq)) = (room, payload["seq"].as_u64()) {
                    self.stays.got(&room.into(), &person.id.as_str().into(), seq);
                }
            }
        }
        let report = self.stays.check();
        assert!(report.violations.is_empty(), "{:#?}", report.violations);
        assert_eq!(report.unclear, 0);
        report.frames
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whatever_people_do_no_socket_tells_of_a_room_its_person_is_not_in() {
    let _turn = quiet::beside_others().await.unwrap();
    let seed = Dice::seed_of_run();
    let server = Server::start(Settings::default()).await.unwrap();
    let mut world = World::new(&server).await;
    let mut dice = Dice::new(seed);
    for _ in 0..STEPS {
        world.step(&mut dice).await;
    }
    // What is on its way has come when the last word has come to its own sender.
    let last = json!({"content": "the last word"});
    let path = format!("/api/v1/rooms/{}/messages", world.rooms[0].id);
    world.people[0].rest.post(&path, &last).await.unwrap().success().unwrap();
    let begun = Instant::now();
    let is_last = |heard: &Heard| {
        let heard = heard.lock().unwrap();
        heard.iter().any(|(_, frame)| frame["payload"]["content"] == "the last word")
    };
    while !is_last(&world.people[0].heard) {
        assert!(begun.elapsed() < SOON, "the last word does not come");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    let frames = world.judge();
    assert!(frames > 300, "only {frames} frames with KLATCH_SEED={seed}");
    for person in world.people {
        person.tap.abort();
    }
}

/// Someone signed in with a session of their own, tapped.
async fn signed_in(server: &Server, name: &str) -> (Rest, String, Heard, JoinHandle<()>) {
    let body = json!({
        "username": name, "email": format!("{name}@example.org"), "password": "a long password",
    });
    let made = server.rest().post("/api/v1/auth/register", &body).await.unwrap();
    let made = made.success().unwrap();
    let token = made.text("accessToken").unwrap();
    let (sender, mut receiver) = socket::connect(server.address(), &token, "").await.unwrap();
    receiver.next_of("hello", SOON).await.unwrap();
    let (heard, tapped) = tap(receiver);
    // The half that sends keeps the connection open.
    let task = tokio::spawn(async move {
        tapped.await.unwrap();
        drop(sender);
    });
    let id = made.0["user"]["userId"].as_str().unwrap().to_owned();
    (Rest::new(server.address(), Some(token)), id, heard, task)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_last_frame_under_load_comes_within_a_second_of_a_removal_and_of_a_sign_out() {
    let _turn = quiet::alone().await.unwrap();
    let server = Server::start(Settings::default()).await.unwrap();
    let owner = server.rest_as("owner");
    let body = json!({"type": "group", "name": "busy"});
    let room = owner.post("/api/v1/rooms", &body).await.unwrap().success().unwrap();
    let room = room.text("roomId").unwrap();
    let busy = Arc::new(std::sync::atomic::AtomicBool::new(true));
    let mut load = Vec::new();
    for _ in 0..8 {
        let (rest, busy) = (server.rest_as("owner"), Arc::clone(&busy));
        let path = format!("/api/v1/rooms/{room}/messages");
        load.push(tokio::spawn(async move {
            while busy.load(std::sync::atomic::Ordering::Relaxed) {
                rest.post(&path, &json!({"content": "busy"})).await.unwrap().success().unwrap();
                // A room that is too loud would be told of by notices, one a second.
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        }));
    }
    let mut late = [Duration::ZERO; 2];
    for number in 0..6 {
        let (rest, id, heard, task) = signed_in(&server, &format!("guest-{number}")).await;
        let path = format!("/api/v1/rooms/{room}/members");
        owner.post(&path, &json!({ "userId": id })).await.unwrap().success().unwrap();
        let begun = Instant::now();
        while heard.lock().unwrap().len() < 20 {
            assert!(begun.elapsed() < SOON, "nothing comes");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        if number % 2 == 0 {
            let path = format!("{path}/{id}");
            owner.ask(Method::DELETE, &path, &[], Bytes::new()).await.unwrap().success().unwrap();
        } else {
            let answer = rest.post("/api/v1/auth/logout", &json!({})).await.unwrap();
            assert_eq!(answer.status, 204);
        }
        let over = Instant::now();
        tokio::time::sleep(LATE * 2).await;
        let heard = heard.lock().unwrap();
        let of_room = heard.iter().filter(|(_, frame)| frame["payload"]["roomId"] == *room);
        let last = of_room.map(|(at, _)| *at).max().unwrap();
        let late = &mut late[number % 2];
        *late = (*late).max(last.saturating_duration_since(over));
        task.abort();
    }
    busy.store(false, std::sync::atomic::Ordering::Relaxed);
    for task in load {
        task.await.unwrap();
    }
    let [removed, signed_out] = late;
    {
        eprintln!(
            "the last frame came {removed:?} after a removal, {signed_out:?} after a sign-out"
        );
    }
    assert!(removed <= LATE, "a frame came {removed:?} after the removal");
    assert!(signed_out <= LATE, "a frame came {signed_out:?} after the sign-out");
}

fn quantile(times: &mut [Duration], part: usize) -> Duration {
    times.sort_unstable();
    times.get(times.len() * part / 100).copied().unwrap_or_default()
}

/// Sends one after the other for a while; how long each took.
async fn sends(rest: &Rest, path: &str, span: Duration) -> Vec<Duration> {
    let (begun, mut took) = (Instant::now(), Vec::new());
    while begun.elapsed() < span {
        let sent = Instant::now();
        rest.post(path, &json!({"content": "hello"})).await.unwrap().success().unwrap();
        took.push(sent.elapsed());
    }
    took
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_storm_of_sign_ins_leaves_sends_alone_and_is_answered_clearly() {
    let _turn = quiet::alone().await.unwrap();
    let proxies = r#"["127.0.0.0/8"]"#;
    let settings = Settings::default().with("KLATCH_SERVER__TRUSTED_PROXIES", proxies);
    let server = Server::start(settings).await.unwrap();
    let ada = server.rest_as("ada");
    let body = json!({"type": "group", "name": "calm"});
    let room = ada.post("/api/v1/rooms", &body).await.unwrap().success().unwrap();
    let path = format!("/api/v1/rooms/{}/messages", room.text("roomId").unwrap());
    let span = Duration::from_secs(3);
    sends(&ada, &path, span / 3).await;
    let mut calm = sends(&ada, &path, span).await;
    let busy = Arc::new(std::sync::atomic::AtomicBool::new(true));
    let mut storm = Vec::new();
    for number in 0..64 {
        let (rest, busy) = (server.rest(), Arc::clone(&busy));
        storm.push(tokio::spawn(async move {
            let mut told = BTreeMap::<u16, usize>::new();
            let mut attempt = 0;
            while busy.load(std::sync::atomic::Ordering::Relaxed) {
                attempt += 1;
                // Always another name from another place: no lockout ends the storm.
                let login = format!("nobody-{number}-{attempt}");
                let body = json!({"login": login, "password": "not the password"}).to_string();
                let from = format!("10.{number}.{}.{}", attempt / 250, attempt % 250);
                let headers = [("content-type", "application/json"), ("x-forwarded-for", &*from)];
                let answer = rest.ask(Method::POST, "/api/v1/auth/login", &headers, body.into());
                let answer = answer.await.unwrap();
                *told.entry(answer.status).or_default() += 1;
                if answer.status != 401 {
                    tokio::time::sleep(Duration::from_millis(50)).await;
                }
            }
            told
        }));
    }
    let mut stormy = sends(&ada, &path, span).await;
    busy.store(false, std::sync::atomic::Ordering::Relaxed);
    let mut told = BTreeMap::<u16, usize>::new();
    for task in storm {
        for (status, count) in task.await.unwrap() {
            *told.entry(status).or_default() += count;
        }
    }
    let (before, during) = (quantile(&mut calm, 50), quantile(&mut stormy, 50));
    {
        eprintln!(
            "sends took {before:?} (p50), {:?} (p95); in the storm {during:?}, {:?}; told {told:?}",
            quantile(&mut calm, 95),
            quantile(&mut stormy, 95)
        );
    }
    // Every answer is clear, and sends go on; how fast is for a machine with cores to spare.
    assert!(told.keys().all(|status| [401, 429, 503].contains(status)), "{told:?}");
    assert!(stormy.len() > 20 && during < Duration::from_millis(250), "{during:?}");
}
