//! What an import knows already: of this run, and of those before from the stores.

use std::sync::Arc;

use klatch_domain::event::RoomCreated;
use klatch_domain::member::MemberRole;
use klatch_domain::permission::Actor;
use klatch_domain::room::RoomType;
use klatch_domain::{MessageId, RoomId, Timestamp, UserId};
use klatch_ports::Position;
use klatch_ports::api::import::ImportError;
use klatch_ports::api::{ServiceError, ServiceResult};
use klatch_protocol::hash;

use super::{ImportedRoom, Session, WaitingRoom, unknown};
use crate::create_room::Beginning;
use crate::sequencer::Sequencer;

impl Session {
    /// The room's id; if it waited for a time to begin at, it begins at `at`.
    pub(super) async fn begun(
        &mut self,
        external: u128,
        at: Timestamp,
    ) -> ServiceResult<Result<RoomId, ImportError>> {
        let waiting = match self.room(external).await? {
            Some(ImportedRoom::Begun(id)) => return Ok(Ok(id)),
            Some(ImportedRoom::Waiting(waiting)) => waiting,
            None => return Ok(Err(unknown("room", ""))),
        };
        let WaitingRoom { kind, visibility, texts, owner, external, members } = *waiting;
        let name = texts.name.clone();
        let members = std::iter::once((owner, MemberRole::Owner)).chain(members).collect();
        let external_id = Some(external);
        let created = RoomCreated { kind, visibility, texts, members, external: external_id };
        let actor = Actor { user: owner, ..self.actor };
        let id = RoomId::at(at, &*self.service.deps.entropy);
        if let (RoomType::Channel, Some(name)) = (kind, &name) {
            match self.service.claim_name(id, name).await {
                Ok(()) => {}
                Err(ServiceError::Rejected(rejection)) => return Ok(Err(rejection.into())),
                Err(error) => return Err(error),
            }
        }
        let made = self.service.begin(id, Beginning { actor, at, created }).await?;
        if let Some(position) = made.position {
            self.note(position);
        }
        self.rooms.insert(external, ImportedRoom::Begun(id));
        Ok(Ok(id))
    }

    pub(super) async fn known_user(
        &mut self,
        id: &str,
    ) -> ServiceResult<Result<UserId, ImportError>> {
        let user = self.user(hash::external_id("user", id)).await?;
        Ok(user.ok_or_else(|| unknown("user", id)))
    }

    pub(super) async fn user(&mut self, external: u128) -> ServiceResult<Option<UserId>> {
        if let Some(user) = self.users.get(&external) {
            return Ok(Some(*user));
        }
        let user = self.service.deps.metadata.user_by_external(external).await?;
        if let Some(user) = user {
            self.users.insert(external, user);
        }
        Ok(user)
    }

    pub(super) async fn room(&mut self, external: u128) -> ServiceResult<Option<ImportedRoom>> {
        if let Some(room) = self.rooms.get(&external) {
            return Ok(Some(room.clone()));
        }
        let room = self.service.deps.metadata.room_by_external(external).await?;
        let room = room.map(ImportedRoom::Begun);
        if let Some(room) = &room {
            self.rooms.insert(external, room.clone());
        }
        Ok(room)
    }

    pub(super) async fn message(&mut self, external: u128) -> ServiceResult<Option<MessageId>> {
        if let Some(message) = self.messages.get(&external) {
            return Ok(Some(*message));
        }
        let deps = &self.service.deps;
        let Some((room, seq)) = deps.messages.by_external(external).await? else {
            return Ok(None);
        };
        Ok(deps.messages.message(room, seq).await?.map(|message| message.id))
    }

    pub(super) fn sequencer(&self) -> &Arc<Sequencer> {
        &self.service.sequencer
    }

    pub(super) fn note(&mut self, position: Position) {
        if self.newest.is_none_or(|newest| position.offset > newest.offset) {
            self.newest = Some(position);
        }
    }
}
