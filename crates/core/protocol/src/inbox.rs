//! What fan-out sends to an instance's inbox: a chain of frames, so that a lost one is noticed.
//!
//! The bus may drop. Each frame therefore names the partition, the life of the fan-out owner, the
//! offset up to which the frame before it went, and the one up to which this one goes. A receiver
//! whose last offset is not `prev` reads the gap from the log before it shows anything later.

use bytes::{Buf, BufMut, Bytes, BytesMut};
use klatch_domain::event::{Change, TimelineEvent};
use klatch_domain::{InstanceId, RoomId, Seq, UserId};
use klatch_ports::kv::Revision;
use klatch_ports::{Epoch, Offset, Partition};

const VERSION: u8 = 1;
const HEADER_BYTES: usize = 1 + 2 + 4 + 8 + 8 + 8 + 8 + 4;

/// The bus subject of an instance's inbox.
pub fn subject(instance: InstanceId) -> String {
    format!("instance.events.{instance}")
}

/// The KV key that says that `user` is connected to `instance`.
pub fn presence_key(user: UserId, instance: InstanceId) -> String {
    format!("user.{user}.{instance}")
}

/// A link of the chain.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InboxFrame {
    /// Which partition of the rooms.
    pub partition: Partition,
    /// Life of the log.
    pub epoch: Epoch,
    /// Which life of the partition's fan-out owner; higher is newer.
    pub owner: u64,
    /// Up to where the frame before this one to the same instance went.
    pub prev: Offset,
    /// Up to where this one goes: everything for this instance in (prev, through] is in it.
    pub through: Offset,
    /// Presence changes up to here are taken into account.
    pub presence: Revision,
    /// The events, in log order. None: a heartbeat.
    pub events: Vec<InboxEvent>,
}

/// An event on its way to connections.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InboxEvent {
    /// Where on the log.
    pub offset: Offset,
    /// Which room.
    pub room: RoomId,
    /// Its number there.
    pub seq: Seq,
    /// Who came in or went out by it.
    pub effect: Effect,
    /// A whole WebSocket text frame: the same bytes for every recipient.
    pub frame: Bytes,
}

/// What an event does to the set of those who get the room's events.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Effect {
    /// Nothing.
    None,
    /// The user gets this event and later ones.
    In(UserId),
    /// The user gets this event and no later ones.
    Out(UserId),
    /// The room began with these members.
    Began(Vec<UserId>),
    /// The room is gone: nobody gets later ones.
    Gone,
}

impl Effect {
    /// What `event` does to the set of its room.
    pub fn of(event: &TimelineEvent) -> Self {
        match &event.change {
            Change::MemberJoined { user, .. } => Self::In(*user),
            Change::MemberLeft { user } => Self::Out(*user),
            Change::RoomCreated(created) => {
                Self::Began(created.members.iter().map(|(user, _)| *user).collect())
            }
            Change::RoomDeleted => Self::Gone,
            Change::MessageSent(_)
            | Change::MessageEdited { .. }
            | Change::MessageDeleted { .. }
            | Change::RoomUpdated { .. }
            | Change::RoomArchived { .. }
            | Change::MemberRoleChanged { .. } => Self::None,
        }
    }
}

/// Why bytes are not an inbox frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not an inbox frame")]
pub struct InboxError;

impl InboxFrame {
    /// The frame as bytes. Cost: one allocation, one copy of the events.
    pub fn encode(&self) -> Bytes {
        let size: usize = self.events.iter().map(|event| 64 + event.frame.len()).sum();
        let mut out = BytesMut::with_capacity(HEADER_BYTES + size);
        out.put_u8(VERSION);
        out.put_u16(self.partition.0);
        out.put_u32(self.epoch.0);
        out.put_u64(self.owner);
        out.put_u64(self.prev.0);
        out.put_u64(self.through.0);
        out.put_u64(self.presence.0);
        out.put_u32(u32::try_from(self.events.len()).unwrap_or(u32::MAX));
        for event in &self.events {
            event.encode(&mut out);
        }
        out.freeze()
    }

    /// The frame in `bytes`; event frames share them.
    ///
    /// # Errors
    /// [`InboxError`] when the bytes are not exactly one frame.
    pub fn decode(mut bytes: Bytes) -> Result<Self, InboxError> {
        if bytes.remaining() < HEADER_BYTES || bytes.get_u8() != VERSION {
            return Err(InboxError);
        }
        let mut frame = Self {
            partition: Partition(bytes.get_u16()),
            epoch: Epoch(bytes.get_u32()),
            owner: bytes.get_u64(),
            prev: Offset(bytes.get_u64()),
            through: Offset(bytes.get_u64()),
            presence: Revision(bytes.get_u64()),
            events: Vec::new(),
        };
        let count = bytes.get_u32();
        for _ in 0..count {
            frame.events.push(InboxEvent::decode(&mut bytes)?);
        }
        if bytes.is_empty() { Ok(frame) } else { Err(InboxError) }
    }
}

impl InboxEvent {
    fn encode(&self, out: &mut BytesMut) {
        out.put_u64(self.offset.0);
        out.put_u128(self.room.bits());
        out.put_u64(self.seq.0);
        match &self.effect {
            Effect::None => out.put_u8(0),
            Effect::In(user) => {
                out.put_u8(1);
                out.put_u128(user.bits());
            }
            Effect::Out(user) => {
                out.put_u8(2);
                out.put_u128(user.bits());
            }
            Effect::Began(users) => {
                out.put_u8(3);
                out.put_u32(u32::try_from(users.len()).unwrap_or(u32::MAX));
                for user in users {
                    out.put_u128(user.bits());
                }
            }
            Effect::Gone => out.put_u8(4),
        }
        out.put_u32(u32::try_from(self.frame.len()).unwrap_or(u32::MAX));
        out.put_slice(&self.frame);
    }

    fn decode(bytes: &mut Bytes) -> Result<Self, InboxError> {
        if bytes.remaining() < 8 + 16 + 8 + 1 {
            return Err(InboxError);
        }
        let offset = Offset(bytes.get_u64());
        let room = RoomId::from_bits(bytes.get_u128());
        let seq = Seq(bytes.get_u64());
        let effect = match bytes.get_u8() {
            0 => Effect::None,
            1 => Effect::In(user(bytes)?),
            2 => Effect::Out(user(bytes)?),
            3 => {
                let count = length(bytes)?;
                Effect::Began((0..count).map(|_| user(bytes)).collect::<Result<_, _>>()?)
            }
            4 => Effect::Gone,
            _ => return Err(InboxError),
        };
        let size = length(bytes)?;
        if bytes.remaining() < size {
            return Err(InboxError);
        }
        Ok(Self { offset, room, seq, effect, frame: bytes.split_to(size) })
    }
}

fn user(bytes: &mut Bytes) -> Result<UserId, InboxError> {
    bytes.try_get_u128().map(UserId::from_bits).map_err(|_| InboxError)
}

fn length(bytes: &mut Bytes) -> Result<usize, InboxError> {
    bytes.try_get_u32().map(|length| length as usize).map_err(|_| InboxError)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn effects() -> impl Strategy<Value = Effect> {
        let user = any::<u128>().prop_map(UserId::from_bits);
        prop_oneof![
            Just(Effect::None),
            Just(Effect::Gone),
            user.clone().prop_map(Effect::In),
            user.clone().prop_map(Effect::Out),
            proptest::collection::vec(user, 0..4).prop_map(Effect::Began),
        ]
    }

    fn frames() -> impl Strategy<Value = InboxFrame> {
        let bytes = proptest::collection::vec(any::<u8>(), 0..40);
        let event = (any::<u64>(), any::<u128>(), any::<u64>(), effects(), bytes).prop_map(
            |(offset, room, seq, effect, frame)| InboxEvent {
                offset: Offset(offset),
                room: RoomId::from_bits(room),
                seq: Seq(seq),
                effect,
                frame: frame.into(),
            },
        );
        let events = proptest::collection::vec(event, 0..4);
        (any::<(u16, u32, u64, u64, u64, u64)>(), events).prop_map(|(head, events)| InboxFrame {
            partition: Partition(head.0),
            epoch: Epoch(head.1),
            owner: head.2,
            prev: Offset(head.3),
            through: Offset(head.4),
            presence: Revision(head.5),
            events,
        })
    }

    proptest! {
        #[test]
        fn a_frame_survives_the_bus(frame in frames()) {
            prop_assert_eq!(InboxFrame::decode(frame.encode()), Ok(frame));
        }

        #[test]
        fn cut_frames_are_refused(frame in frames(), cut in any::<prop::sample::Index>()) {
            let bytes = frame.encode();
            let cut = cut.index(bytes.len());
            prop_assert_eq!(InboxFrame::decode(bytes.slice(..cut)), Err(InboxError));
        }

        #[test]
        fn any_bytes_are_survived(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = InboxFrame::decode(bytes.into());
        }
    }
}
