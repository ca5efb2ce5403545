//! The rooms and the people of a run.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use futures::future::{join_all, try_join_all};
use klatch_checker::Name;
use serde_json::{Value, json};
use tokio::sync::watch;
use tokio::time::Instant;

use super::act::{Actor, Places, Tally};
use super::faults::{Faults, Kills};
use crate::client::{Back, Person, Stage, TierCounts};
use crate::dice::Dice;
use crate::server::Server;
use crate::verdict::{Clean, RoomEnd, judge};

/// How large a run is.
#[derive(Clone, Copy, Debug)]
pub struct Plan {
    /// People, each with a connection; at least four.
    pub people: u32,
    /// Rooms in which everybody stays.
    pub steady_rooms: u32,
    /// Public channels that people join and leave.
    pub lobbies: u32,
    /// How long they act when no faults set the length.
    pub time: Duration,
    /// Longest pause between two acts of one person, in milliseconds.
    pub pause_ms: u64,
    /// Seed of all choices.
    pub seed: u64,
    /// Tells the names of this town from those of others on the same server.
    pub chapter: u32,
}

/// What came out.
#[derive(Debug)]
pub struct Ran {
    /// What was judged, and found good.
    pub clean: Clean,
    /// What people did.
    pub tally: Tally,
    /// How resumes were answered.
    pub tiers: TierCounts,
    /// What was done to the server.
    pub kills: Kills,
    /// Somebody who can read every room but those of two.
    pub reader: Person,
    /// The rooms that they can read.
    pub rooms: Vec<Name>,
}

/// The rooms and the people of a run.
#[derive(Debug)]
pub struct Town {
    plan: Plan,
    stage: Arc<Stage>,
    people: Vec<Person>,
    places: Arc<Places>,
}

impl Town {
    /// Makes people and rooms and connects everybody. All is quiet meanwhile, so that it is known
    /// what each connection is owed.
    ///
    /// # Errors
    /// The server refused something.
    pub async fn found(server: &Server, plan: Plan) -> Result<Self> {
        Self::found_keeping(server, plan, std::env::temp_dir()).await
    }

    /// As [`Town::found`], with a place for the history of a run that breaks a promise.
    ///
    /// # Errors
    /// The server refused something.
    pub async fn found_keeping(server: &Server, plan: Plan, keep_in: PathBuf) -> Result<Self> {
        let mut stage = Stage::new(server.address());
        stage.keep_in = keep_in;
        Self::found_on(Arc::new(stage), plan).await
    }

    /// As [`Town::found`], on a stage that is set already.
    ///
    /// # Errors
    /// The server refused something.
    pub async fn found_on(stage: Arc<Stage>, plan: Plan) -> Result<Self> {
        let mut people = Vec::new();
        for process in 0..plan.people {
            let name = format!("person-{}-{process}", plan.chapter);
            people.push(Person::arrive(&stage, process, &name).await.context(name)?);
        }
        let everyone: Vec<&Name> = people.iter().map(Person::user).collect();
        let first = people.first().context("nobody")?;
        let (mut steady, mut lobbies) = (Vec::new(), Vec::new());
        for number in 0..plan.steady_rooms {
            // One of them holds everybody from its making, the others fill up in steps.
            let named = if number == 0 { everyone.as_slice() } else { &[] };
            let kind = if number % 2 == 0 { "group" } else { "channel" };
            let name = format!("steady-{}-{number}", plan.chapter);
            let room = make_room(&stage, first, kind, &name, named).await?;
            for user in everyone.iter().skip(1).filter(|_| number > 0) {
                let brought = first.bring_or_remove(&room, user, true).await;
                ensure!(matches!(brought, crate::client::Outcome::Done { .. }), "{brought:?}");
            }
            steady.push(room);
        }
        for number in 0..plan.lobbies {
            let name = format!("lobby-{}-{number}", plan.chapter);
            lobbies.push(make_room(&stage, first, "lobby", &name, &[]).await?);
        }
        let name = format!("guarded-{}", plan.chapter);
        let guarded = make_room(&stage, first, "channel", &name, &[]).await?;
        let direct = make_pairs(&stage, &people).await?;
        let places = Arc::new(Places { steady, lobbies, guarded, direct });
        let mut town = Self { plan, stage, people, places };
        town.connect().await?;
        Ok(town)
    }

    /// What its people share.
    pub fn stage(&self) -> &Arc<Stage> {
        &self.stage
    }

    async fn connect(&mut self) -> Result<()> {
        let first = self.people.first().context("nobody")?;
        let direct = |room: &Name| self.places.direct.iter().find(|(own, _)| own == room);
        let mut heads = Vec::new();
        for room in self.places.all() {
            let path = format!("/api/v1/rooms/{room}");
            let own = direct(room).and_then(|(_, pair)| self.people.get(pair[0] as usize));
            let answer =
                own.unwrap_or(first).rest().get_at(&path, first.wrote().as_deref()).await?;
            heads.push((room.clone(), answer.success()?.number("headSeq")?));
        }
        try_join_all(self.people.iter_mut().map(|person| person.connect(Back::Fresh))).await?;
        for (number, person) in self.people.iter().enumerate() {
            let places = &self.places;
            let is_in = |room: &Name| match places.direct.iter().find(|(own, _)| own == room) {
                Some((_, pair)) => pair.contains(&person.process()),
                None => number == 0 || places.steady.contains(room),
            };
            for (room, head) in heads.iter().filter(|(room, _)| is_in(room)) {
                person.watch(room, *head);
            }
        }
        Ok(())
    }

    /// Lets everybody act while the faults happen (or for the planned time), then brings all to
    /// rest and judges.
    ///
    /// # Errors
    /// A promise was broken, or the server did not come back.
    pub async fn live(self, server: &mut Server, faults: Faults) -> Result<Ran> {
        let (time, dice) = (self.plan.time, Dice::new(self.plan.seed).part(0));
        self.live_while(async {
            match faults {
                Faults::None => {
                    tokio::time::sleep(time).await;
                    Ok(Kills::default())
                }
                Faults::Kills(count) => Kills::happen(server, count, dice).await,
                Faults::Soak { time, kill_every } => {
                    Kills::soak(server, (time, kill_every), dice).await
                }
            }
        })
        .await
    }

    /// Lets everybody act until `trouble` is over, then brings all to rest and judges.
    ///
    /// # Errors
    /// A promise was broken, or the trouble failed.
    pub async fn live_while(self, trouble: impl Future<Output = Result<Kills>>) -> Result<Ran> {
        let Self { plan, stage, people, places } = self;
        let dice = Dice::new(plan.seed);
        let (stop, stopped) = watch::channel(false);
        let users: Arc<Vec<Name>> = Arc::new(people.iter().map(|p| p.user().clone()).collect());
        let actors = people.into_iter().zip(1..).map(|(person, number)| {
            let (places, users) = (Arc::clone(&places), Arc::clone(&users));
            let dice = dice.part(number);
            let actor = Actor::new(person, places, users, dice, plan.pause_ms);
            tokio::spawn(actor.run(stopped.clone()))
        });
        let actors: Vec<_> = actors.collect();
        let kills = trouble.await?;
        stop.send_replace(true);
        let (mut people, mut tally) = (Vec::new(), Tally::default());
        for actor in join_all(actors).await {
            let (person, own) = actor.context("an actor panicked")?;
            tally.add(&own);
            people.push(person);
        }
        let begun = Instant::now();
        let ends = ends(&places, people.len());
        let clean = judge(&stage, &people, &ends).await?;
        tally.judged_in = begun.elapsed();
        let rooms = places.steady.iter().chain(&places.lobbies).chain([&places.guarded]);
        let rooms = rooms.cloned().collect();
        people.truncate(1);
        let reader = people.pop().context("nobody")?;
        Ok(Ran { clean, tally, tiers: stage.tiers.counts(), kills, reader, rooms })
    }
}

/// Who reads which room at the end: the first person can read all, others what all can.
fn ends(places: &Places, people: usize) -> Vec<RoomEnd> {
    let open = places.steady.iter().chain(&places.lobbies);
    let open = open.enumerate().map(|(number, room)| {
        let readers = vec![0, 1 + number % (people - 1)];
        RoomEnd { room: room.clone(), readers }
    });
    let direct = places.direct.iter().map(|(room, pair)| {
        let readers = pair.iter().map(|process| *process as usize).collect();
        RoomEnd { room: room.clone(), readers }
    });
    let guarded = RoomEnd { room: places.guarded.clone(), readers: vec![0] };
    open.chain(direct).chain([guarded]).collect()
}

/// A room of two for every second person and the one after them.
async fn make_pairs(stage: &Stage, people: &[Person]) -> Result<Vec<(Name, [u32; 2])>> {
    let mut direct = Vec::new();
    for pair in people.chunks_exact(2) {
        let [one, other] = pair else { continue };
        let room = make_room(stage, one, "direct", "", &[other.user()]).await?;
        direct.push((room, [one.process(), other.process()]));
    }
    Ok(direct)
}

async fn make_room(
    stage: &Stage,
    owner: &Person,
    kind: &str,
    name: &str,
    members: &[&Name],
) -> Result<Name> {
    let others = members.iter().filter(|user| **user != owner.user());
    let ids: Vec<&str> = others.map(|user| user.as_str()).collect();
    let mut body = json!({"type": kind, "name": name, "memberIds": ids});
    if let Some(fields) = body.as_object_mut() {
        match kind {
            "direct" => fields.remove("name"),
            "lobby" => fields.insert("type".to_owned(), "channel".into()),
            "channel" => fields.insert("visibility".to_owned(), "private".into()),
            _ => None::<Value>,
        };
    }
    let answer = owner.rest().post("/api/v1/rooms", &body).await?;
    ensure!(answer.status == 202, "making a room: {} {:?}", answer.status, answer.body);
    let made = answer.success()?;
    let room = Name::from(made.text("roomId")?);
    stage.stays.came(&room, owner.user(), 1);
    for user in members {
        stage.stays.came(&room, user, 1);
    }
    // What follows may ask the read model for the room.
    let path = format!("/api/v1/rooms/{room}");
    owner.rest().get_at(&path, Some(&made.text("position")?)).await?.success()?;
    Ok(room)
}
