//! Making rooms: the name or pair is claimed, then the room's first event appended.

use klatch_domain::event::{Change, Event, RoomCreated, TimelineEvent};
use klatch_domain::member::MemberRole;
use klatch_domain::permission::{self, Actor, ServerAction};
use klatch_domain::room::{Room, RoomTexts, RoomType, Visibility};
use klatch_domain::{Rejection, RoomId, Seq, Timestamp, UserId, limits};
use klatch_ports::accounts::{Claim, ClaimKind, Claimed};
use klatch_ports::api::commands::{CreateRoom, RoomMade};
use klatch_ports::api::{ServiceError, ServiceResult};
use klatch_ports::log::{Append, AppendError, Appended, Expected, Key};
use klatch_ports::{Position, StreamId};
use klatch_protocol::event::encode;
use smallvec::smallvec;

use crate::service::CommandService;

/// A room about to begin.
pub(crate) struct Beginning {
    pub(crate) actor: Actor,
    pub(crate) at: Timestamp,
    pub(crate) created: RoomCreated,
}

impl CommandService {
    pub(crate) async fn make_room(
        &self,
        actor: Actor,
        wish: CreateRoom,
    ) -> ServiceResult<RoomMade> {
        permission::check_server(actor, ServerAction::CreateRoom)?;
        let at = self.deps.clock.now();
        let created = self.check_wish(actor, wish).await?;
        let beginning = Beginning { actor, at, created };
        let id = RoomId::at(at, &*self.deps.entropy);
        match beginning.created.kind {
            RoomType::Group => self.begin(id, beginning).await,
            RoomType::Channel => {
                let name = beginning.created.texts.name.clone().unwrap_or_default();
                self.claim_name(id, &name).await?;
                match self.begin(id, beginning).await {
                    Err(error) if !matches!(error, ServiceError::OutcomeUnknown(_)) => {
                        self.release_name(id, Some(&name)).await?;
                        Err(error)
                    }
                    answer => answer,
                }
            }
            RoomType::Direct => self.make_direct(id, beginning).await,
        }
    }

    async fn check_wish(&self, actor: Actor, wish: CreateRoom) -> ServiceResult<RoomCreated> {
        let CreateRoom { kind, visibility, texts, members } = wish;
        let texts = texts.checked(kind)?;
        let mut others: Vec<UserId> = members;
        others.sort_unstable();
        others.dedup();
        others.retain(|user| *user != actor.user);
        if others.len() > limits::INITIAL_MEMBERS_MAX
            || (kind == RoomType::Direct && others.len() > 1)
        {
            return Err(Rejection::InvalidField("memberIds").into());
        }
        for user in &others {
            if !self.deps.user_exists(*user).await? {
                return Err(Rejection::UserNotFound.into());
            }
        }
        let (visibility, texts, first, rest) = match kind {
            RoomType::Channel => (visibility, texts, MemberRole::Owner, MemberRole::Member),
            RoomType::Group => (Visibility::Private, texts, MemberRole::Owner, MemberRole::Member),
            RoomType::Direct => {
                (Visibility::Private, RoomTexts::default(), MemberRole::Owner, MemberRole::Owner)
            }
        };
        let rest = others.into_iter().map(|user| (user, rest));
        let members = std::iter::once((actor.user, first)).chain(rest).collect();
        Ok(RoomCreated { kind, visibility, texts, members, external: None })
    }

    /// A direct room is one per pair: whoever comes second gets the room of the first.
    async fn make_direct(&self, id: RoomId, beginning: Beginning) -> ServiceResult<RoomMade> {
        let mut pair: Vec<UserId> =
            beginning.created.members.iter().map(|(user, _)| *user).collect();
        pair.sort_unstable();
        let name = pair.iter().map(UserId::to_string).collect::<Vec<_>>().join(":");
        let mut claim = Claim { kind: ClaimKind::DirectPair, name, holder: id.bits() };
        let now = self.deps.clock.now();
        let held = self.deps.claims.claim(std::slice::from_ref(&claim), now).await?;
        let id = match held {
            Err((_, Claimed::Taken { holder, .. })) => {
                let id = RoomId::from_bits(holder);
                // The log may have forgotten a quiet one, and then would take it for a new one.
                if let Some(state) = self.deps.load_room(id).await? {
                    return Ok(RoomMade { room: state.room, position: None });
                }
                id
            }
            Ok(()) | Err((_, Claimed::Held)) => id,
        };
        claim.holder = id.bits();
        // If the first one crashed between claim and append, this append makes the room it meant;
        // if not, it conflicts, and the room is there.
        match self.begin(id, beginning).await {
            Ok(made) => {
                self.deps.claims.confirm(&[claim]).await?;
                Ok(made)
            }
            Err(ServiceError::Rejected(Rejection::Taken(_))) => {
                let state = self.deps.load_room(id).await?.ok_or(Rejection::RoomNotFound)?;
                Ok(RoomMade { room: state.room, position: None })
            }
            Err(error) => Err(error),
        }
    }

    /// Appends a room's first event.
    pub(crate) async fn begin(&self, id: RoomId, beginning: Beginning) -> ServiceResult<RoomMade> {
        let Beginning { actor, at, created } = beginning;
        let room = first_row(id, actor, at, &created);
        let name = created.texts.name.clone();
        let kind = created.kind;
        let change = Change::RoomCreated(created);
        let event =
            Event::Timeline(TimelineEvent { room: id, seq: Seq(1), at, actor: actor.user, change });
        let append = Append {
            stream: StreamId::Messages,
            key: Key(id.bits()),
            expected: Expected::Head(None),
            records: smallvec![encode(&event)],
        };
        let appended = self.deps.log.append(append).await.map_err(append_error)?;
        if let (RoomType::Channel, Some(name)) = (kind, name) {
            self.deps.claims.confirm(&[channel_claim(id, &name)]).await?;
        }
        Ok(RoomMade { room, position: Some(position(appended)) })
    }

    pub(crate) async fn claim_name(&self, room: RoomId, name: &str) -> ServiceResult<()> {
        let claim = channel_claim(room, name);
        for _ in 0..2 {
            let now = self.deps.clock.now();
            match self.deps.claims.claim(std::slice::from_ref(&claim), now).await? {
                Ok(()) | Err((_, Claimed::Held)) => return Ok(()),
                Err((_, Claimed::Taken { confirmed: true, .. })) => break,
                Err((_, Claimed::Taken { holder, confirmed: false })) => {
                    if !self.is_left_over(holder).await? {
                        break;
                    }
                    let left = Claim { holder, ..claim.clone() };
                    self.deps.claims.release(&[left]).await?;
                }
            }
        }
        Err(Rejection::Taken("name").into())
    }

    /// Whether a claim was left by a crash before its room's first event: the event is not on the
    /// log, and the id is old enough that no append of it can still be on its way.
    async fn is_left_over(&self, holder: u128) -> ServiceResult<bool> {
        const APPEND_MOST_MS: u64 = 60_000;
        let age = self.deps.clock.now().ms_since(RoomId::from_bits(holder).time());
        let head = self.deps.reader.head(StreamId::Messages, Key(holder)).await?;
        self.deps.wait_forgotten(Key(holder)).await?;
        let stored = self.deps.metadata.room(RoomId::from_bits(holder)).await?;
        Ok(age > APPEND_MOST_MS && head.is_none() && stored.is_none())
    }

    pub(crate) async fn release_name(&self, room: RoomId, name: Option<&str>) -> ServiceResult<()> {
        if let Some(name) = name {
            self.deps.claims.release(&[channel_claim(room, name)]).await?;
        }
        Ok(())
    }
}

/// Channel names are one whatever their case.
fn channel_claim(room: RoomId, name: &str) -> Claim {
    let name = name.trim().to_lowercase();
    Claim { kind: ClaimKind::ChannelName, name, holder: room.bits() }
}

fn first_row(id: RoomId, actor: Actor, at: Timestamp, created: &RoomCreated) -> Room {
    Room {
        id,
        kind: created.kind,
        visibility: created.visibility,
        texts: created.texts.clone(),
        created_by: actor.user,
        created_at: at,
        archived: false,
        deleted: false,
        member_count: created.members.len() as u64,
        changed_seq: Seq(1),
    }
}

fn position(appended: Appended) -> Position {
    appended.last
}

fn append_error(error: AppendError) -> ServiceError {
    match error {
        AppendError::Conflict { .. } => Rejection::Taken("room").into(),
        AppendError::Port(error) => {
            let error = AppendError::Port(error);
            let unknown = error.outcome_unknown();
            let AppendError::Port(error) = error else { return ServiceError::Busy };
            if unknown { ServiceError::OutcomeUnknown(error) } else { ServiceError::Port(error) }
        }
    }
}
