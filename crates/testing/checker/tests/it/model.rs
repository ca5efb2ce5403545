//! A correct server in miniature, driven by random actions, that writes down what its clients do
//! and see.

use klatch_checker::{
    Call, Direction, Entry, History, Item, Name, Purpose, Reply, Walk, What, digest,
};

pub(crate) const ROOMS: usize = 2;
const SESSIONS: u32 = 3;

/// What may happen next. Numbers pick among what is there.
#[derive(Clone, Debug)]
pub(crate) enum Action {
    Send { room: usize, process: u32 },
    Edit { room: usize, pick: usize },
    Delete { room: usize, pick: usize },
    Member { room: usize },
    Commit { pick: usize },
    Answer { pick: usize, how: How },
    Deliver { session: u32, room: usize, count: usize },
    Reconnect { session: u32, gap: bool },
    Read { room: usize, process: u32, page: usize, lag: usize, backward: bool },
}

#[derive(Clone, Copy, Debug)]
pub(crate) enum How {
    Tell,
    /// The answer is lost; the client may try again later.
    Lose,
}

enum Event {
    Message { sender: Name, client: Name, body: u64 },
    Edit { target: u64, body: u64 },
    Delete { target: u64 },
    Member,
}

struct Pending {
    process: u32,
    op: u64,
    room: usize,
    call: Call,
    seq: Option<u64>,
}

struct Session {
    connection: u64,
    seen: [u64; ROOMS],
}

pub(crate) struct Model {
    history: History,
    time: u64,
    next_op: u64,
    next_connection: u64,
    logs: [Vec<Event>; ROOMS],
    pending: Vec<Pending>,
    /// Sends of unknown outcome, to be tried again.
    lost: Vec<Call>,
    sessions: Vec<Session>,
}

fn room(room: usize) -> Name {
    format!("room{room}").into()
}

fn id(seq: u64) -> Name {
    format!("m{seq:06}").into()
}

impl Model {
    pub(crate) fn run(actions: &[Action]) -> History {
        let mut model = Self {
            history: History::default(),
            time: 0,
            next_op: 0,
            next_connection: 0,
            logs: [Vec::new(), Vec::new()],
            pending: Vec::new(),
            lost: Vec::new(),
            sessions: Vec::new(),
        };
        for session in 0..SESSIONS {
            model.sessions.push(Session { connection: 0, seen: [0; ROOMS] });
            model.open(session, false);
            for r in 0..ROOMS {
                model.note(What::Watch { session, room: room(r), after: 0 });
            }
        }
        for action in actions {
            model.act(action);
        }
        model.finish();
        model.history
    }

    fn note(&mut self, what: What) {
        self.time += 1;
        self.history.entries.push(Entry { at: self.time, what });
    }

    fn open(&mut self, session: u32, resumes: bool) {
        self.next_connection += 1;
        let connection = self.next_connection;
        self.sessions[session as usize].connection = connection;
        self.note(What::Open { session, connection, resumes });
    }

    fn invoke(&mut self, process: u32, room: usize, call: Call) {
        let op = self.next_op;
        self.next_op += 1;
        self.note(What::Invoke { process, op, call: call.clone() });
        self.pending.push(Pending { process, op, room, call, seq: None });
    }

    fn act(&mut self, action: &Action) {
        match *action {
            Action::Send { room: r, process } => {
                let call = if self.lost.len() > 2 {
                    self.lost.remove(0)
                } else {
                    let client: Name = format!("c{}", self.next_op).into();
                    let body = digest(client.as_str().as_bytes());
                    Call::Send { room: room(r), sender: sender(process), client, body }
                };
                let Call::Send { room: named, .. } = &call else { unreachable!() };
                let r = usize::from(*named != room(0));
                self.invoke(process, r, call);
            }
            Action::Edit { room: r, pick } => {
                let body = 1_000_000 + self.next_op;
                if let Some(message) = self.pick_message(r, pick) {
                    self.invoke(7, r, Call::Edit { room: room(r), message, body });
                }
            }
            Action::Delete { room: r, pick } => {
                if let Some(message) = self.pick_message(r, pick) {
                    self.invoke(7, r, Call::Delete { room: room(r), message });
                }
            }
            Action::Member { room } => self.logs[room].push(Event::Member),
            Action::Commit { pick } => {
                if !self.pending.is_empty() {
                    let at = pick % self.pending.len();
                    self.commit(at);
                }
            }
            Action::Answer { pick, how } => {
                if !self.pending.is_empty() {
                    let at = pick % self.pending.len();
                    self.answer(at, how);
                }
            }
            Action::Deliver { session, room, count } => {
                self.deliver(session % SESSIONS, room, count);
            }
            Action::Reconnect { session, gap } => self.reconnect(session % SESSIONS, gap),
            Action::Read { room, process, page, lag, backward } => {
                self.read(room, process, page, lag, backward);
            }
        }
    }

    fn pick_message(&self, room: usize, pick: usize) -> Option<Name> {
        let seqs: Vec<u64> = self.messages(room, usize::MAX).iter().map(|item| item.seq).collect();
        (!seqs.is_empty()).then(|| id(seqs[pick % seqs.len()]))
    }

    /// Decides on a pending operation: the log's order is the order of these calls.
    fn commit(&mut self, at: usize) {
        let pending = &self.pending[at];
        if pending.seq.is_some() {
            return;
        }
        let log = &mut self.logs[pending.room];
        let event = match &pending.call {
            Call::Send { sender, client, body, .. } => {
                let known = log.iter().position(|event| match event {
                    Event::Message { client: c, sender: s, .. } => c == client && s == sender,
                    _ => false,
                });
                if let Some(known) = known {
                    self.pending[at].seq = Some(known as u64 + 1);
                    return;
                }
                Event::Message { sender: sender.clone(), client: client.clone(), body: *body }
            }
            Call::Edit { message, body, .. } => {
                Event::Edit { target: seq_of(message), body: *body }
            }
            Call::Delete { message, .. } => Event::Delete { target: seq_of(message) },
            Call::Read(_) => unreachable!("reads are answered at once"),
        };
        log.push(event);
        self.pending[at].seq = Some(log.len() as u64);
    }

    fn answer(&mut self, at: usize, how: How) {
        let Pending { process, op, room, call, seq } = self.pending.remove(at);
        match (how, seq) {
            (How::Lose, _) => {
                self.note(What::Unknown { process, op });
                if matches!(call, Call::Send { .. }) {
                    self.lost.push(call);
                }
            }
            (How::Tell, None) => {
                self.note(What::Fail { process, op, code: "forbidden".to_owned() });
            }
            (How::Tell, Some(seq)) => {
                let reply = if matches!(call, Call::Send { .. }) {
                    let ordinal = Some(self.ordinal(room, seq));
                    Reply::Sent { message: id(seq), seq, ordinal }
                } else {
                    Reply::Changed { seq }
                };
                self.note(What::Ok { process, op, reply });
            }
        }
    }

    fn ordinal(&self, room: usize, seq: u64) -> u64 {
        let before = self.logs[room].iter().take(usize::try_from(seq).unwrap());
        before.filter(|event| matches!(event, Event::Message { .. })).count() as u64
    }

    fn deliver(&mut self, session: u32, r: usize, count: usize) {
        let Session { connection, seen } = &self.sessions[session as usize];
        let (connection, from) = (*connection, seen[r]);
        let to = (from + count as u64).min(self.logs[r].len() as u64);
        for seq in from + 1..=to {
            let index = usize::try_from(seq).unwrap() - 1;
            let what = if let Event::Message { sender, client, body } = &self.logs[r][index] {
                let item = Item {
                    seq,
                    message: id(seq),
                    sender: sender.clone(),
                    ordinal: Some(self.ordinal(r, seq)),
                    client: Some(client.clone()),
                    body: Some(*body),
                    deleted: false,
                };
                What::Receive { connection, room: room(r), item }
            } else {
                What::Other { connection, room: room(r), seq }
            };
            self.note(what);
        }
        self.sessions[session as usize].seen[r] = to;
    }

    fn reconnect(&mut self, session: u32, gap: bool) {
        let connection = self.sessions[session as usize].connection;
        self.note(What::Close { connection });
        self.open(session, true);
        let connection = self.next_connection;
        if gap {
            for r in 0..ROOMS {
                self.sessions[session as usize].seen[r] = self.logs[r].len() as u64;
            }
            self.note(What::Gap { connection, room: None });
        } else {
            for r in 0..ROOMS {
                self.deliver(session, r, 2);
            }
            self.note(What::Resumed { connection });
        }
    }

    /// The room's messages as folded from a prefix of its log.
    fn messages(&self, room: usize, length: usize) -> Vec<Item> {
        let mut items: Vec<Item> = Vec::new();
        for (index, event) in self.logs[room].iter().take(length).enumerate() {
            let seq = index as u64 + 1;
            let find = |items: &mut Vec<Item>, target| items.iter().position(|i| i.seq == target);
            match event {
                Event::Message { sender, body, .. } => items.push(Item {
                    seq,
                    message: id(seq),
                    sender: sender.clone(),
                    ordinal: Some(self.ordinal(room, seq)),
                    client: None,
                    body: Some(*body),
                    deleted: false,
                }),
                Event::Edit { target, body } => {
                    if let Some(at) = find(&mut items, *target).filter(|at| !items[*at].deleted) {
                        items[at].body = Some(*body);
                    }
                }
                Event::Delete { target } => {
                    if let Some(at) = find(&mut items, *target) {
                        items[at].deleted = true;
                        items[at].body = None;
                    }
                }
                Event::Member => {}
            }
        }
        items
    }

    fn read(&mut self, r: usize, process: u32, page: usize, lag: usize, backward: bool) {
        let length = self.logs[r].len().saturating_sub(lag);
        let purpose = if lag == 0 { Purpose::OwnWrites } else { Purpose::Any };
        let walk = walk(r, process, backward, page, purpose);
        let mut items = self.messages(r, length);
        if backward {
            items.reverse();
        }
        let complete = items.len() <= page;
        items.truncate(page);
        self.answered(process, walk, items, complete);
    }

    fn answered(&mut self, process: u32, walk: Walk, items: Vec<Item>, complete: bool) {
        let op = self.next_op;
        self.next_op += 1;
        self.note(What::Invoke { process, op, call: Call::Read(walk) });
        self.note(What::Ok { process, op, reply: Reply::Page { items, complete } });
    }

    fn finish(&mut self) {
        while !self.pending.is_empty() {
            self.commit(0);
            self.answer(0, How::Tell);
        }
        for session in 0..SESSIONS {
            for r in 0..ROOMS {
                self.deliver(session, r, usize::MAX / 2);
            }
            self.note(What::Settled { session });
        }
        for r in 0..ROOMS {
            for backward in [true, false] {
                let mut items = self.messages(r, usize::MAX);
                if backward {
                    items.reverse();
                }
                self.answered(9, walk(r, 9, backward, 50, Purpose::Final), items, true);
            }
        }
    }
}

fn sender(process: u32) -> Name {
    format!("user{process}").into()
}

fn seq_of(message: &Name) -> u64 {
    message.as_str().trim_start_matches('m').parse().unwrap()
}

fn walk(r: usize, process: u32, backward: bool, page: usize, purpose: Purpose) -> Walk {
    let page = u32::try_from(page).unwrap();
    let walk = if backward {
        Walk::latest(room(r), sender(process), page, purpose)
    } else {
        Walk::oldest(room(r), sender(process), page, purpose)
    };
    assert_eq!(walk.direction == Direction::Backward, backward);
    walk
}
