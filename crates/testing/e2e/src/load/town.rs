//! The rooms and the people of a run.

use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use futures::future::{join_all, try_join_all};
use klatch_checker::Name;
use serde_json::{Value, json};
use tokio::sync::watch;

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
}

/// What came out.
#[derive(Clone, Debug)]
pub struct Ran {
    /// What was judged, and found good.
    pub clean: Clean,
    /// What people did.
    pub tally: Tally,
    /// How resumes were answered.
    pub tiers: TierCounts,
    /// Kills, if any.
    pub kills: Kills,
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
        let stage = Arc::new(Stage::new(server.address()));
        let mut people = Vec::new();
        for process in 0..plan.people {
            let name = format!("person-{process}");
            people.push(Person::arrive(&stage, process, &name).await.context(name)?);
        }
        let everyone: Vec<&Name> = people.iter().map(Person::user).collect();
        let first = people.first().context("nobody")?;
        let (mut steady, mut lobbies) = (Vec::new(), Vec::new());
        for number in 0..plan.steady_rooms {
            // One of them holds everybody from its making, the others fill up in steps.
            let named = if number == 0 { everyone.as_slice() } else { &[] };
            let kind = if number % 2 == 0 { "group" } else { "channel" };
            let room = make_room(&stage, first, kind, &format!("steady-{number}"), named).await?;
            for user in everyone.iter().skip(1).filter(|_| number > 0) {
                let brought = first.bring_or_remove(&room, user, true).await;
                ensure!(matches!(brought, crate::client::Outcome::Done { .. }), "{brought:?}");
            }
            steady.push(room);
        }
        for number in 0..plan.lobbies {
            lobbies.push(make_room(&stage, first, "lobby", &format!("lobby-{number}"), &[]).await?);
        }
        let guarded = make_room(&stage, first, "channel", "guarded", &[]).await?;
        let places = Arc::new(Places { steady, lobbies, guarded });
        let mut town = Self { plan, stage, people, places };
        town.connect().await?;
        Ok(town)
    }

    async fn connect(&mut self) -> Result<()> {
        let first = self.people.first().context("nobody")?;
        let mut heads = Vec::new();
        for room in self.places.all() {
            let path = format!("/api/v1/rooms/{room}");
            let answer = first.rest().get_at(&path, first.wrote().as_deref()).await?;
            heads.push((room.clone(), answer.success()?.number("headSeq")?));
        }
        try_join_all(self.people.iter_mut().map(|person| person.connect(Back::Fresh))).await?;
        for (number, person) in self.people.iter().enumerate() {
            let is_in = |room: &Name| number == 0 || self.places.steady.contains(room);
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
        let kills = match faults {
            Faults::None => {
                tokio::time::sleep(plan.time).await;
                Kills::default()
            }
            Faults::Kills(count) => Kills::happen(server, count, dice.part(0)).await?,
        };
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
        Ok(Ran { clean, tally, tiers: stage.tiers.counts(), kills })
    }
}

/// Who reads which room at the end: the first person can read all, others what all can.
fn ends(places: &Places, people: usize) -> Vec<RoomEnd> {
    let open = places.steady.iter().chain(&places.lobbies);
    let open = open.enumerate().map(|(number, room)| {
        let readers = vec![0, 1 + number % (people - 1)];
        RoomEnd { room: room.clone(), readers }
    });
    open.chain([RoomEnd { room: places.guarded.clone(), readers: vec![0] }]).collect()
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
