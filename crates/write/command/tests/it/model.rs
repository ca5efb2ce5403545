//! Anything in any order by anyone, at two instances, against the rules written down once more and
//! as simply as possible: rooms, members, roles.

use std::collections::BTreeMap;
use std::sync::Arc;

use klatch_command::CommandService;
use klatch_domain::member::MemberRole::{self, Admin, Member, Owner};
use klatch_domain::permission::Actor;
use klatch_domain::room::Visibility;
use klatch_domain::user::ServerRole;
use klatch_domain::{Rejection, RoomId};
use klatch_ports::api::ServiceError;
use klatch_ports::api::commands::CommandApi;
use klatch_ports::metadata::MemberReader;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

use crate::world::{World, channel, text};

const SEEDS: u64 = 24;
const STEPS: usize = 150;
const PEOPLE: usize = 5;
/// This one only goes where others bring them.
const GUEST: usize = 4;
const ROLES: [MemberRole; 3] = [Member, Admin, Owner];

/// What someone tries in a room.
#[derive(Clone, Copy, Debug)]
enum Try {
    Send,
    Join,
    Leave,
    Add(usize, MemberRole),
    Remove(usize),
    Change(usize, MemberRole),
    Archive(bool),
    Open(bool),
    Delete,
}

/// A channel as the rules see it.
#[derive(Clone, Debug)]
struct Room {
    id: RoomId,
    public: bool,
    archived: bool,
    deleted: bool,
    members: BTreeMap<usize, MemberRole>,
}

type Verdict = Result<(), Rejection>;

impl Room {
    fn is_last_owner(&self, who: usize) -> bool {
        let owners = self.members.values().filter(|role| **role == Owner).count();
        self.members.get(&who) == Some(&Owner) && owners == 1
    }

    /// What must come of it; the room is then as it must be.
    fn judge(&mut self, who: usize, tries: Try) -> Verdict {
        let role = self.members.get(&who).copied();
        let sees = role.is_some() || (self.public && who != GUEST);
        if self.deleted || !sees {
            return Err(Rejection::RoomNotFound);
        }
        // To take somebody out or change them one must know them first.
        if let Try::Remove(whom) | Try::Change(whom, _) = tries
            && !self.members.contains_key(&whom)
        {
            return Err(Rejection::MemberNotFound);
        }
        let stays_possible = matches!(tries, Try::Leave | Try::Archive(_) | Try::Delete)
            || matches!(tries, Try::Remove(whom) if whom == who);
        if self.archived && !stays_possible {
            return Err(Rejection::RoomArchived);
        }
        self.act(who, role, tries)
    }

    fn act(&mut self, who: usize, role: Option<MemberRole>, tries: Try) -> Verdict {
        let runs = role >= Some(Admin);
        let allow = |yes: bool| if yes { Ok(()) } else { Err(Rejection::Forbidden) };
        match tries {
            Try::Send => allow(role.is_some()),
            Try::Join if role.is_some() => Err(Rejection::AlreadyMember),
            Try::Join => {
                self.members.insert(who, Member);
                Ok(())
            }
            Try::Leave => allow(role.is_some()).and_then(|()| self.go(who)),
            Try::Remove(whom) if whom == who => self.go(who),
            Try::Remove(whom) => {
                let theirs = self.members[&whom];
                allow(role == Some(Owner) || runs && role > Some(theirs))?;
                self.go(whom)
            }
            Try::Add(whom, as_role) => {
                allow(role.is_some())?;
                let below = runs && role > Some(as_role);
                allow(as_role == Member || role == Some(Owner) || below)?;
                if self.members.contains_key(&whom) {
                    return Err(Rejection::AlreadyMember);
                }
                self.members.insert(whom, as_role);
                Ok(())
            }
            Try::Change(whom, to) => {
                let theirs = self.members[&whom];
                let below = runs && role > Some(theirs) && role > Some(to);
                allow(role == Some(Owner) || below)?;
                if to != Owner && self.is_last_owner(whom) {
                    return Err(Rejection::LastOwner);
                }
                self.members.insert(whom, to);
                Ok(())
            }
            Try::Archive(closed) => allow(runs).map(|()| self.archived = closed),
            Try::Open(public) => allow(runs).map(|()| self.public = public),
            Try::Delete => allow(role == Some(Owner)).map(|()| self.deleted = true),
        }
    }

    fn go(&mut self, whom: usize) -> Verdict {
        if self.is_last_owner(whom) && self.members.len() > 1 {
            return Err(Rejection::LastOwner);
        }
        self.members.remove(&whom);
        Ok(())
    }
}

struct Run {
    dice: StdRng,
    instances: Vec<Arc<CommandService>>,
    people: Vec<Actor>,
    rooms: Vec<Room>,
}

impl Run {
    fn below(&mut self, end: usize) -> usize {
        self.dice.random_range(0..end)
    }

    fn tries(&mut self) -> Try {
        let (whom, role) = (self.below(PEOPLE), ROLES[self.below(3)]);
        match self.below(100) {
            0..20 => Try::Send,
            20..34 => Try::Join,
            34..44 => Try::Leave,
            44..62 => Try::Add(whom, role),
            62..74 => Try::Remove(whom),
            74..90 => Try::Change(whom, role),
            90..95 => Try::Archive(whom % 2 == 0),
            95..99 => Try::Open(whom % 2 == 0),
            _ => Try::Delete,
        }
    }

    async fn ask(&mut self, actor: Actor, room: RoomId, tries: Try) -> Verdict {
        let at = self.below(self.instances.len());
        let commands = &self.instances[at];
        let user = |who: usize| self.people[who].user;
        let answer = match tries {
            Try::Send => commands.send_message(actor, room, text("x")).await.map(|_| ()),
            Try::Join => commands.join(actor, room).await.map(|_| ()),
            Try::Leave => commands.leave(actor, room).await.map(|_| ()),
            Try::Add(who, role) => {
                commands.add_member(actor, room, user(who), role).await.map(|_| ())
            }
            Try::Remove(who) => commands.remove_member(actor, room, user(who)).await.map(|_| ()),
            Try::Change(who, role) => {
                commands.change_role(actor, room, user(who), role).await.map(|_| ())
            }
            Try::Archive(closed) => commands.archive_room(actor, room, closed).await.map(|_| ()),
            Try::Open(public) => {
                let visibility = if public { Visibility::Public } else { Visibility::Private };
                let same = klatch_domain::room::RoomTextsPatch::default();
                let answer = commands.update_room(actor, room, same, Some(visibility)).await;
                answer.map(|_| ())
            }
            Try::Delete => commands.delete_room(actor, room).await.map(|_| ()),
        };
        answer.map_err(|error| match error {
            ServiceError::Rejected(rejection) => rejection,
            other => panic!("{other:?}"),
        })
    }
}

async fn run(seed: u64) -> (usize, usize) {
    let world = World::new(seed);
    let mut people = Vec::new();
    for name in ["ann", "bob", "cleo", "dan", "eve"] {
        people.push(world.person(name).await);
    }
    people[GUEST].role = ServerRole::Guest;
    let instances = vec![world.instance().await, world.instance().await];
    let mut rooms = Vec::new();
    for (owner, visibility) in [(0, Visibility::Public), (1, Visibility::Private)] {
        let name = format!("room-{owner}");
        let id = channel(&instances[0], people[owner], &name, visibility, &[people[3]]).await;
        let members = BTreeMap::from([(owner, Owner), (3, Member)]);
        let public = visibility == Visibility::Public;
        rooms.push(Room { id, public, archived: false, deleted: false, members });
    }
    let mut run = Run { dice: StdRng::seed_from_u64(seed), instances, people, rooms };
    let (mut done, mut refused) = (0, 0);
    for step in 0..STEPS {
        let (who, place, tries) = (run.below(PEOPLE), run.below(2), run.tries());
        let (actor, before) = (run.people[who], run.rooms[place].clone());
        let expected = run.rooms[place].judge(who, tries);
        let found = run.ask(actor, before.id, tries).await;
        assert_eq!(
            found, expected,
            "seed {seed}, step {step}: {who} tries {tries:?} in {before:?}"
        );
        *if found.is_ok() { &mut done } else { &mut refused } += 1;
    }
    world.settle().await;
    for room in run.rooms.iter().filter(|room| !room.deleted) {
        let stays = world.metadata.members(room.id, None, 100).await.unwrap();
        let stays = stays.into_iter().filter(klatch_domain::member::Membership::is_current);
        let found: BTreeMap<_, _> = stays.map(|stay| (stay.user, stay.role)).collect();
        let expected = room.members.iter().map(|(who, role)| (run.people[*who].user, *role));
        assert_eq!(found, expected.collect(), "seed {seed}");
    }
    (done, refused)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_rules_of_rooms_are_those_of_the_model_whatever_is_tried() {
    let (mut done, mut refused) = (0, 0);
    for seed in 0..SEEDS {
        let counts = run(seed).await;
        done += counts.0;
        refused += counts.1;
    }
    assert!(done > 300 && refused > 300, "{done} done, {refused} refused");
}
