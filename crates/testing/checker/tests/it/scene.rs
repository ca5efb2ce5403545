//! A small writer of histories: one room, times that count up, ids that follow the seq.

use klatch_checker::{
    Call, Entry, History, Invariant, Item, Name, Purpose, Reply, Report, Walk, What, check,
};

pub(crate) struct Scene {
    pub(crate) history: History,
    next_op: u64,
}

pub(crate) fn item(seq: u64, client: &str) -> Item {
    Item {
        seq,
        message: id(seq),
        sender: "ada".into(),
        ordinal: Some(seq),
        client: None,
        body: Some(klatch_checker::digest(client.as_bytes())),
        deleted: false,
    }
}

pub(crate) fn id(seq: u64) -> Name {
    format!("m{seq:06}").into()
}

pub(crate) fn send(client: &str) -> Call {
    Call::Send {
        room: "r".into(),
        sender: "ada".into(),
        client: client.into(),
        body: klatch_checker::digest(client.as_bytes()),
    }
}

pub(crate) fn sent(seq: u64) -> Reply {
    Reply::Sent { message: id(seq), seq, ordinal: Some(seq) }
}

impl Scene {
    pub(crate) fn new() -> Self {
        Self { history: History::default(), next_op: 0 }
    }

    pub(crate) fn note(&mut self, what: What) {
        let at = self.history.entries.len() as u64;
        self.history.entries.push(Entry { at, what });
    }

    pub(crate) fn invoke(&mut self, call: Call) -> u64 {
        let op = self.next_op;
        self.next_op += 1;
        self.note(What::Invoke { process: 0, op, call });
        op
    }

    pub(crate) fn ok(&mut self, op: u64, reply: Reply) {
        self.note(What::Ok { process: 0, op, reply });
    }

    pub(crate) fn fail(&mut self, op: u64) {
        self.note(What::Fail { process: 0, op, code: "forbidden".to_owned() });
    }

    pub(crate) fn send_ok(&mut self, client: &str, seq: u64) {
        let op = self.invoke(send(client));
        self.ok(op, sent(seq));
    }

    pub(crate) fn walk(&mut self, walk: Walk, items: Vec<Item>, complete: bool) {
        let op = self.invoke(Call::Read(walk));
        self.ok(op, Reply::Page { items, complete });
    }

    /// The final read, with these (seq, client) pairs.
    pub(crate) fn finally(&mut self, items: &[(u64, &str)]) {
        let items = items.iter().rev().map(|(seq, client)| item(*seq, client)).collect();
        self.walk(Walk::latest("r", "ada", 50, Purpose::Final), items, true);
    }

    pub(crate) fn open(&mut self, connection: u64, resumes: bool) {
        self.note(What::Open { session: 1, connection, resumes });
    }

    pub(crate) fn watch(&mut self, after: u64) {
        self.note(What::Watch { session: 1, room: "r".into(), after });
    }

    pub(crate) fn receive(&mut self, connection: u64, seq: u64, client: &str) {
        let item = Item { client: Some(client.into()), ..item(seq, client) };
        self.note(What::Receive { connection, room: "r".into(), item });
    }

    pub(crate) fn other(&mut self, connection: u64, seq: u64) {
        self.note(What::Other { connection, room: "r".into(), seq });
    }

    pub(crate) fn check(&self) -> Report {
        check(&self.history)
    }

    /// The invariants broken, each once.
    pub(crate) fn broken(&self) -> Vec<Invariant> {
        let mut found: Vec<Invariant> =
            self.check().violations.iter().map(|violation| violation.invariant).collect();
        found.dedup();
        found
    }
}
