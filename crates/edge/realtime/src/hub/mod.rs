//! The hub: takes what fan-out sends, in order, and gives it to the connections it concerns.
//!
//! One task owns who is here, the rooms that speak and the ends of the chains, so that a
//! connection becomes live exactly between two events. It waits for nobody but the log and the
//! metadata store; sockets that do not take what they are given are their own tasks' business.

/// Repeats an attempt until it works, or until the role stops.
macro_rules! insist {
    ($hub:expr, $what:literal, $attempt:expr) => {{
        let mut pause = std::time::Duration::ZERO;
        loop {
            let error = match $attempt.await {
                Ok(value) => break Ok(value),
                Err(error) => error,
            };
            if let Err(stopped) = $hub.wait_out($what, &error, &mut pause).await {
                break Err(stopped);
            }
        }
    }};
}

mod arrive;
mod audience;
mod chain;
mod deliver;
mod lookup;
mod outgoing;
mod repair;
mod rooms;
mod users;

use std::cmp::Reverse;
use std::collections::{BinaryHeap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use klatch_domain::{RoomId, Seq, UserId};
use klatch_ports::bus::Subscription;
use klatch_ports::kv::Revision;
use klatch_ports::{Epoch, Offset, Partition, PortError, PortResult, StreamId};
use klatch_protocol::inbox::{Effect, InboxFrame, subject};
use tokio::sync::{mpsc, oneshot};
use tokio::time::Instant;

use crate::connection::Connection;
use crate::presence::Board;
use crate::state::Shared;
use audience::Audiences;
use chain::{Chain, Verdict};
use deliver::Source;
use outgoing::Outgoing;
use rooms::Rooms;
pub(crate) use users::Newcomer;
use users::{UserRef, Users};

/// How often what depends on time alone is looked at.
const LOOK: Duration = Duration::from_millis(250);
/// How often the size of what is in memory is looked at: that visits every room.
const SIZE_EVERY: Duration = Duration::from_secs(5);
/// How soon a user who waits for the metadata store is looked at again.
const SETTLE: Duration = Duration::from_millis(2);
/// Payloads taken from the inbox before anything is written.
const INBOX_AT_ONCE: usize = 64;
/// Messages taken from the mailbox before the inbox has its turn again.
const MAIL_AT_ONCE: usize = 256;

/// What the hub is told.
#[derive(Debug)]
pub(crate) enum Message {
    /// A connection wants to go live.
    Connect(Box<Newcomer>),
    /// A connection is over.
    Gone(Arc<Connection>),
    /// A connection of this user says something else of its person.
    Restate(UserId),
    /// The wish `number` for a user's presence was carried out.
    Placed { user: UserId, number: u64, revision: Revision },
    /// Wants to be told when everything before was taken in.
    Settle(oneshot::Sender<()>),
    /// All presence keys were renewed by a round that began then.
    Renewed { began: Instant, newest: Revision },
}

/// An event on its way to connections.
#[derive(Debug)]
struct Item {
    offset: Offset,
    room: RoomId,
    seq: Seq,
    effect: Effect,
    source: Source,
}

/// The role stops: leave everything as it is.
#[derive(Debug)]
struct Stopped;

/// One partition of the rooms.
#[derive(Debug)]
struct Place {
    chain: Chain,
    /// The metadata store must have come up to here before it may be asked about users here.
    settled: Offset,
}

pub(crate) struct Hub {
    shared: Arc<Shared>,
    board: Arc<Board>,
    epoch: Epoch,
    users: Users,
    rooms: Rooms,
    places: Vec<Place>,
    /// Users whose presence change fan-out does not know yet, by that change.
    waiting: BinaryHeap<Reverse<(Revision, UserRef)>>,
    /// Users for whom the metadata store has to come up to what fan-out knows, oldest first.
    settling: VecDeque<(Vec<Offset>, UserRef)>,
    /// Wishes for presence so far.
    wishes: u64,
    /// The newest presence change of a live user: a frame that does not know it is not complete.
    required: Revision,
    /// Live users whose presence is not written yet.
    unplaced: usize,
    /// When the last whole renewal of presence began.
    renewed_at: Instant,
    outgoing: Outgoing,
    audiences: Audiences,
    looked_at: Instant,
    sized_at: Instant,
}

impl Hub {
    /// A hub that begins at the log's end.
    ///
    /// # Errors
    /// As the log reports.
    pub(crate) async fn new(shared: Arc<Shared>, board: Arc<Board>) -> PortResult<Self> {
        let epoch = shared.deps.log.epoch();
        let mut places = Vec::new();
        for index in 0..shared.deps.log.partitions(StreamId::Messages) {
            let end = shared.deps.log.end(StreamId::Messages, Partition(index)).await?;
            places.push(Place { chain: Chain::new(epoch, end), settled: Offset::ZERO });
            shared.set_delivered(Partition(index), end);
        }
        let outgoing = Outgoing::new(shared.config.parallel_flush);
        Ok(Self {
            shared,
            board,
            epoch,
            users: Users::default(),
            rooms: Rooms::default(),
            places,
            waiting: BinaryHeap::new(),
            settling: VecDeque::new(),
            wishes: 0,
            required: Revision::default(),
            unplaced: 0,
            renewed_at: Instant::now(),
            outgoing,
            audiences: Audiences::default(),
            looked_at: Instant::now(),
            sized_at: Instant::now(),
        })
    }

    /// Runs until the role stops. `inbox` listens to this instance's subject already.
    pub(crate) async fn run(
        mut self,
        mut inbox: Box<dyn Subscription>,
        mut mail: mpsc::Receiver<Message>,
    ) {
        let stop = self.shared.stop.clone();
        while !stop.is_cancelled() {
            let until = self.next_look();
            let payload = tokio::select! {
                biased;
                () = stop.cancelled() => return,
                payload = inbox.next() => {
                    if payload.is_none() {
                        let Ok(again) = self.subscribe_again().await else { return };
                        inbox = again;
                    }
                    payload.map(|(_, payload)| payload)
                }
                message = mail.recv() => {
                    let Some(message) = message else { return };
                    self.take_message(message);
                    None
                }
                () = tokio::time::sleep_until(until) => None,
            };
            if self.turn(payload, inbox.as_mut(), &mut mail).await.is_err() {
                return;
            }
        }
    }

    /// When there is something to do without being told.
    fn next_look(&self) -> Instant {
        let pause = if self.settling.is_empty() { LOOK } else { SETTLE };
        let look = Instant::now() + pause;
        self.outgoing.due().map_or(look, |due| due.min(look))
    }

    /// Everything that is there now, then one write per connection.
    async fn turn(
        &mut self,
        payload: Option<Bytes>,
        inbox: &mut dyn Subscription,
        mail: &mut mpsc::Receiver<Message>,
    ) -> Result<(), Stopped> {
        let mut payload = payload;
        for _ in 0..INBOX_AT_ONCE {
            let Some(bytes) = payload.take() else { break };
            self.take_payload(bytes).await?;
            payload = inbox.try_next().map(|(_, payload)| payload);
        }
        if let Some(bytes) = payload {
            self.take_payload(bytes).await?;
        }
        for _ in 0..MAIL_AT_ONCE {
            let Ok(message) = mail.try_recv() else { break };
            self.take_message(message);
        }
        self.look().await?;
        self.advance_arrivals().await;
        self.outgoing.flush().await;
        if self.outgoing.is_settled() {
            for (index, place) in (0u16..).zip(&self.places) {
                self.shared.set_delivered(Partition(index), place.chain.last);
            }
        }
        Ok(())
    }

    async fn take_payload(&mut self, payload: Bytes) -> Result<(), Stopped> {
        let Ok(frame) = InboxFrame::decode(payload) else {
            tracing::warn!("the inbox got what is not a frame");
            self.shared.stats.frame_dropped();
            return Ok(());
        };
        if usize::from(frame.partition.0) >= self.places.len() {
            self.shared.stats.frame_dropped();
            return Ok(());
        }
        self.take_frame(frame).await
    }

    async fn take_frame(&mut self, frame: InboxFrame) -> Result<(), Stopped> {
        let now = Instant::now();
        let known = self.unplaced == 0 && !self.is_lapsed(now);
        let required = known.then_some(self.required);
        let (partition, through) = (frame.partition, frame.through);
        let verdict = self.partition_mut(partition).chain.judge(&frame, required, now);
        if self.users.is_empty() && verdict != Verdict::Drop {
            self.partition_mut(partition).chain.advance(through);
            return Ok(());
        }
        match verdict {
            Verdict::Drop => {
                self.shared.stats.frame_dropped();
                return Ok(());
            }
            Verdict::ReadInstead(to) => return self.read_up_to(partition, to).await,
            Verdict::ReadFirst(to) => self.read_up_to(partition, to).await?,
            Verdict::Take => {}
        }
        let last = self.partition(partition).chain.last;
        let new = frame.events.into_iter().filter(|event| event.offset > last);
        let items: Vec<Item> = new
            .map(|event| Item {
                offset: event.offset,
                room: event.room,
                seq: event.seq,
                effect: event.effect,
                source: Source::Frame(event.frame),
            })
            .collect();
        if !items.is_empty() {
            self.deliver(partition, items).await?;
        }
        self.partition_mut(partition).chain.advance(through);
        Ok(())
    }

    /// What depends on time alone.
    async fn look(&mut self) -> Result<(), Stopped> {
        let now = Instant::now();
        if now - self.looked_at < LOOK {
            return Ok(());
        }
        self.looked_at = now;
        self.mend_silence().await?;
        self.hurry_late_arrivals(now);
        self.rooms.trim(self.shared.config.rooms_max);
        self.shared.stats.hub(self.users.len(), self.rooms.len());
        if now - self.sized_at >= SIZE_EVERY {
            self.sized_at = now;
            self.shared.stats.hub_bytes(self.users.bytes(), self.rooms.bytes());
        }
        Ok(())
    }

    /// Whether fan-out may have forgotten users because their keys were not renewed in time.
    fn is_lapsed(&self, now: Instant) -> bool {
        now.saturating_duration_since(self.renewed_at) > self.shared.config.presence_ttl / 2
    }

    /// The bus was closed; what is lost meanwhile is read from the log.
    async fn subscribe_again(&mut self) -> Result<Box<dyn Subscription>, Stopped> {
        tracing::warn!("the inbox was closed: subscribing again");
        tokio::time::sleep(Duration::from_millis(50)).await;
        let subject = subject(self.shared.instance);
        insist!(self, "subscribing to the inbox", self.shared.deps.bus.subscribe(&subject))
    }

    /// Waits before an attempt that failed is repeated.
    async fn wait_out(
        &self,
        what: &'static str,
        error: &PortError,
        pause: &mut Duration,
    ) -> Result<(), Stopped> {
        tracing::warn!(%error, "delivery waits: {what}");
        *pause = (*pause * 2).clamp(Duration::from_millis(20), Duration::from_secs(2));
        tokio::select! {
            () = self.shared.stop.cancelled() => Err(Stopped),
            () = tokio::time::sleep(*pause) => Ok(()),
        }
    }

    #[expect(
        clippy::indexing_slicing,
        reason = "frames of other partitions are dropped on arrival"
    )]
    fn partition(&self, partition: Partition) -> &Place {
        &self.places[usize::from(partition.0)]
    }

    #[expect(
        clippy::indexing_slicing,
        reason = "frames of other partitions are dropped on arrival"
    )]
    fn partition_mut(&mut self, partition: Partition) -> &mut Place {
        &mut self.places[usize::from(partition.0)]
    }
}
