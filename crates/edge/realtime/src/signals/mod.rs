//! Presence and typing on their way to the connections that asked for them.
//!
//! One task, beside the hub: nothing here has an order with events, and all of it may wait or be
//! lost before an event is. The bus says that something changed; what it is now is read from the
//! KV. So a change that the bus lost, and the silent end of an instance that was killed, are found
//! by looking again: at people who are watched, and at nobody else.

mod audience;
mod people;

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use klatch_domain::{ConnectionId, UserId};
use klatch_ports::PortResult;
use klatch_ports::bus::Subscription as BusSubscription;
use klatch_protocol::presence::{
    PRESENCE_SUBJECTS, TYPING_SUBJECTS, TypingNote, room_of_subject, user_of_subject,
};
use klatch_protocol::ws::presence::typing;
use klatch_protocol::ws::subscribe::Subscription;
use smallvec::SmallVec;
use tokio::sync::mpsc;
use tokio::time::Instant;

use crate::connection::{Connection, Passing};
use crate::state::Shared;
use audience::Audiences;
use people::People;

/// What may wait for the task; whoever has more waits.
pub(crate) const MAILBOX: usize = 256;
/// Taken from each source before the others have their turn.
const AT_ONCE: usize = 128;

/// What the task is told.
#[derive(Debug)]
pub(crate) enum Ask {
    /// A connection wants these from now on, instead of what it wanted before.
    Subscribe(Arc<Connection>, Arc<Subscription>),
    /// A connection that wanted something is over.
    Gone(ConnectionId),
}

/// What comes over the bus.
pub(crate) struct Ears {
    presence: Box<dyn BusSubscription>,
    typing: Box<dyn BusSubscription>,
}

impl Ears {
    /// Listens to all of it: two subscriptions, however many rooms and people there are.
    pub(crate) async fn open(shared: &Shared) -> PortResult<Self> {
        let bus = &shared.deps.bus;
        let (presence, typing) =
            (bus.subscribe(PRESENCE_SUBJECTS).await?, bus.subscribe(TYPING_SUBJECTS).await?);
        Ok(Self { presence, typing })
    }
}

/// A connection that wants something.
#[derive(Debug)]
struct Asking {
    connection: Arc<Connection>,
    wants: Arc<Subscription>,
}

pub(crate) struct Signals {
    shared: Arc<Shared>,
    asking: HashMap<ConnectionId, Asking>,
    /// Connections that want typing, by their user.
    typing_to: HashMap<UserId, SmallVec<[ConnectionId; 2]>>,
    people: People,
    audiences: Audiences,
}

impl Signals {
    pub(crate) fn new(shared: Arc<Shared>) -> Self {
        let people = People::new(Arc::clone(&shared));
        let audiences = Audiences::new(shared.config.typing_members_max);
        Self { shared, asking: HashMap::new(), typing_to: HashMap::new(), people, audiences }
    }

    /// Runs until the role stops.
    pub(crate) async fn run(mut self, mut ears: Ears, mut asks: mpsc::Receiver<Ask>) {
        let stop = self.shared.stop.clone();
        loop {
            let due = self.people.due();
            tokio::select! {
                biased;
                () = stop.cancelled() => return,
                ask = asks.recv() => match ask {
                    Some(ask) => self.take(ask),
                    None => return,
                },
                change = ears.presence.next() => match change {
                    Some((subject, _)) => self.change(&subject),
                    None => ears = self.listen_again().await,
                },
                note = ears.typing.next() => match note {
                    Some((subject, note)) => self.type_on(&subject, note).await,
                    None => ears = self.listen_again().await,
                },
                () = sleep_until(due) => {}
            }
            for _ in 0..AT_ONCE {
                let Ok(ask) = asks.try_recv() else { break };
                self.take(ask);
            }
            for _ in 0..AT_ONCE {
                let Some((subject, _)) = ears.presence.try_next() else { break };
                self.change(&subject);
            }
            self.people.look(&self.asking).await;
        }
    }

    fn take(&mut self, ask: Ask) {
        match ask {
            Ask::Subscribe(connection, wants) => self.subscribe(connection, wants),
            Ask::Gone(id) => self.forget(id),
        }
    }

    fn subscribe(&mut self, connection: Arc<Connection>, wants: Arc<Subscription>) {
        let id = connection.id;
        let before = self.asking.remove(&id);
        let (had, typed) =
            before.map_or((None, false), |it| (Some(it.wants.clone()), it.wants.typing));
        let none = HashSet::new();
        self.people.replace(id, had.as_ref().map_or(&none, |had| &had.presence), &wants.presence);
        match (typed, wants.typing) {
            (false, true) => self.typing_to.entry(connection.user).or_default().push(id),
            (true, false) => self.tell_no_typing(connection.user, id),
            (true, true) | (false, false) => {}
        }
        if wants.typing || !wants.presence.is_empty() {
            self.asking.insert(id, Asking { connection, wants });
        }
    }

    fn forget(&mut self, id: ConnectionId) {
        let Some(Asking { connection, wants }) = self.asking.remove(&id) else { return };
        self.people.replace(id, &wants.presence, &HashSet::new());
        if wants.typing {
            self.tell_no_typing(connection.user, id);
        }
    }

    fn tell_no_typing(&mut self, user: UserId, id: ConnectionId) {
        let Some(connections) = self.typing_to.get_mut(&user) else { return };
        connections.retain(|other| *other != id);
        if connections.is_empty() {
            self.typing_to.remove(&user);
        }
    }

    fn change(&mut self, subject: &str) {
        if let Some(user) = user_of_subject(subject) {
            self.people.changed(user);
        }
    }

    /// Tells members here who asked for it that someone types.
    async fn type_on(&mut self, subject: &str, note: Bytes) {
        if self.typing_to.is_empty() {
            return;
        }
        let (Some(room), Some(note)) = (room_of_subject(subject), TypingNote::decode(note)) else {
            return;
        };
        let metadata = &*self.shared.deps.metadata;
        let members = match self.audiences.members(metadata, room, note.changed_seq).await {
            Ok(Some(members)) => members,
            Ok(None) => return self.shared.stats.typing_dropped(),
            Err(error) => {
                tracing::debug!(%error, "typing is not told");
                return self.shared.stats.typing_dropped();
            }
        };
        let frame = typing(room, note.user, note.is_typing);
        let others = members.iter().filter(|member| **member != note.user);
        for id in others.filter_map(|member| self.typing_to.get(member)).flatten() {
            let Some(Asking { connection, wants }) = self.asking.get(id) else { continue };
            if wants.rooms.has(room) {
                connection.pass(Passing::Typing(room, note.user), frame.clone());
                self.shared.stats.typing_told();
            }
        }
    }

    /// The bus was closed. What was missed meanwhile is found by looking again.
    async fn listen_again(&mut self) -> Ears {
        loop {
            tokio::time::sleep(Duration::from_millis(50)).await;
            match Ears::open(&self.shared).await {
                Ok(ears) => {
                    self.people.all_may_have_changed();
                    return ears;
                }
                Err(error) => tracing::warn!(%error, "listening for presence and typing"),
            }
            if self.shared.stop.is_cancelled() {
                // Nothing comes over these; the task ends at once.
                std::future::pending::<()>().await;
            }
        }
    }
}

async fn sleep_until(due: Option<Instant>) {
    match due {
        Some(due) => tokio::time::sleep_until(due).await,
        None => std::future::pending().await,
    }
}
