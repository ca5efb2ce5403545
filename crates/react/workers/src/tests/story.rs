//! Random but valid histories: what the command role could have appended.

use bytes::Bytes;
use klatch_domain::event::{
    Change, MessageSent, RoomCreated, TimelineEvent, UserChange, UserEvent,
};
use klatch_domain::member::MemberRole;
use klatch_domain::room::{RoomTexts, RoomType, Visibility};
use klatch_domain::user::ServerRole;
use klatch_domain::{
    ContentType, Event, MessageId, Ordinal, RoomId, Sealed, Seq, Timestamp, UserId,
};
use proptest::prelude::*;

/// One choice of the script: what, where, who. Any numbers make a valid step.
pub(super) type Step = (u8, u8, u8);

/// A script of up to `most` steps.
pub(super) fn script(most: usize) -> impl Strategy<Value = Vec<Step>> {
    proptest::collection::vec(any::<Step>(), 1..most)
}

#[derive(Default)]
struct Story {
    users: Vec<UserId>,
    rooms: Vec<RoomSoFar>,
    events: Vec<Event>,
    now: u64,
}

struct RoomSoFar {
    id: RoomId,
    seq: u64,
    ordinal: u64,
    members: Vec<UserId>,
    messages: Vec<MessageId>,
}

/// The history that a script tells. Two users and a room are always there first.
pub(super) fn tell(script: &[Step]) -> Vec<Event> {
    let mut story = Story { now: 1_700_000_000_000, ..Story::default() };
    story.register();
    story.register();
    story.begin_room(0);
    for step in script {
        story.step(*step);
    }
    story.events
}

impl Story {
    fn step(&mut self, (what, place, who): Step) {
        self.now += u64::from(who % 3);
        let room = usize::from(place) % self.rooms.len();
        let user = self.users[usize::from(who) % self.users.len()];
        match what % 20 {
            0 if self.users.len() < 8 => self.register(),
            1 if self.rooms.len() < 4 => self.begin_room(who),
            2 => self.profile(user),
            3 => self.server_role(user, who),
            4 | 5 => self.come_or_go(room, user),
            6 => self.member_role(room, who),
            7 => self.update(room, who),
            8 => self.push(room, user, Change::RoomArchived { archived: who % 2 == 0 }),
            9 if place % 16 == 0 => self.push(room, user, Change::RoomDeleted),
            9 if place % 16 == 1 => self.tell_user(user, UserChange::Erased),
            10..=12 => self.edit_or_delete(room, what % 20, who),
            _ => self.send(room, user, who),
        }
    }

    fn register(&mut self) {
        let user = UserId::from_bits(0x100 + self.users.len() as u128);
        self.users.push(user);
        let (profile, bot) = (self.sealed(user), self.users.len().is_multiple_of(3));
        let external = bot.then_some(user.bits());
        let role = ServerRole::Member;
        self.tell_user(user, UserChange::Registered { profile, bot, role, external });
    }

    fn profile(&mut self, user: UserId) {
        let profile = self.sealed(user);
        self.tell_user(user, UserChange::ProfileChanged { profile });
    }

    fn server_role(&mut self, user: UserId, who: u8) {
        let role = if who.is_multiple_of(2) { ServerRole::Admin } else { ServerRole::Guest };
        self.tell_user(user, UserChange::RoleChanged { role });
    }

    fn tell_user(&mut self, user: UserId, change: UserChange) {
        self.events.push(Event::User(UserEvent { user, at: Timestamp(self.now), change }));
    }

    fn begin_room(&mut self, who: u8) {
        let id = RoomId::from_bits(0x200 + self.rooms.len() as u128);
        let members = vec![self.users[0], self.users[1]];
        let created = RoomCreated {
            kind: RoomType::Channel,
            visibility: Visibility::Public,
            texts: RoomTexts::default(),
            members: vec![(members[0], MemberRole::Owner), (members[1], MemberRole::Member)],
            external: (who % 2 == 1).then_some(id.bits()),
        };
        self.rooms.push(RoomSoFar { id, seq: 0, ordinal: 0, members, messages: Vec::new() });
        self.push(self.rooms.len() - 1, self.users[0], Change::RoomCreated(created));
    }

    fn come_or_go(&mut self, room: usize, user: UserId) {
        let members = &mut self.rooms[room].members;
        if let Some(index) = members.iter().position(|member| *member == user) {
            members.remove(index);
            self.push(room, user, Change::MemberLeft { user });
        } else {
            members.push(user);
            let read_floor = Ordinal(self.rooms[room].ordinal);
            let role = MemberRole::Member;
            self.push(room, user, Change::MemberJoined { user, role, read_floor });
        }
    }

    fn member_role(&mut self, room: usize, who: u8) {
        let members = &self.rooms[room].members;
        let Some(user) = members.get(usize::from(who) % members.len().max(1)).copied() else {
            return;
        };
        let role = if who.is_multiple_of(2) { MemberRole::Admin } else { MemberRole::Owner };
        self.push(room, user, Change::MemberRoleChanged { user, role });
    }

    fn update(&mut self, room: usize, who: u8) {
        let texts = RoomTexts { name: Some(format!("room {who}")), ..RoomTexts::default() };
        let visibility =
            if who.is_multiple_of(2) { Visibility::Public } else { Visibility::Private };
        self.push(room, self.users[0], Change::RoomUpdated { texts, visibility });
    }

    fn send(&mut self, room: usize, user: UserId, who: u8) {
        let body = self.sealed(user);
        let at = Timestamp(self.now);
        let told = &mut self.rooms[room];
        let main = !who.is_multiple_of(5);
        told.ordinal += u64::from(main);
        let id = MessageId::new(told.id, Seq(told.seq + 1), at);
        told.messages.push(id);
        let sent = MessageSent {
            id,
            ordinal: main.then_some(Ordinal(told.ordinal)),
            content_type: ContentType::Text,
            body,
            key: None,
            external: who.is_multiple_of(7).then_some(id.bits()),
            reply_to: told.messages.first().copied().filter(|_| who.is_multiple_of(4)),
            thread: told.messages.first().copied().filter(|_| !main),
        };
        self.push(room, user, Change::MessageSent(sent));
    }

    fn edit_or_delete(&mut self, room: usize, what: u8, who: u8) {
        let messages = &self.rooms[room].messages;
        let Some(message) = messages.get(usize::from(who) % messages.len().max(1)).copied() else {
            return;
        };
        let user = self.users[0];
        let body = self.sealed(user);
        if what == 12 {
            self.push(room, user, Change::MessageDeleted { message });
        } else {
            self.push(room, user, Change::MessageEdited { message, body });
        }
    }

    fn push(&mut self, room: usize, actor: UserId, change: Change) {
        let told = &mut self.rooms[room];
        told.seq += 1;
        let (room, seq, at) = (told.id, Seq(told.seq), Timestamp(self.now));
        self.events.push(Event::Timeline(TimelineEvent { room, seq, at, actor, change }));
    }

    /// Bytes that differ each time, so that an older body is never taken for a newer one.
    fn sealed(&self, person: UserId) -> Sealed {
        let words = format!("words {}", self.events.len());
        Sealed { person, bytes: Bytes::from(words) }
    }
}
