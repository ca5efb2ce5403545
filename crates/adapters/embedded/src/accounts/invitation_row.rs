//! Bytes of an invitation's row.

use klatch_domain::{InvitationId, RoomId, Timestamp, UserId};
use klatch_ports::PortResult;
use klatch_ports::invitations::Invitation;

use super::row::bytes_of;
use crate::engine::codec::{
    Id, bits, decode as decode_row, id, read_server_role, unreadable, wanted, write_server_role,
};

#[derive(Clone, PartialEq, ::prost::Message)]
struct InvitationRow {
    #[prost(bytes = "vec", tag = "1")]
    hash: Vec<u8>,
    #[prost(message, optional, tag = "2")]
    room: Option<Id>,
    #[prost(uint32, tag = "3")]
    role: u32,
    #[prost(uint32, tag = "4")]
    uses_max: u32,
    #[prost(uint32, tag = "5")]
    uses: u32,
    #[prost(uint64, tag = "6")]
    expires_at: u64,
    #[prost(bool, tag = "7")]
    revoked: bool,
    #[prost(message, optional, tag = "8")]
    created_by: Option<Id>,
}

pub(super) fn encode(invitation: &Invitation) -> Vec<u8> {
    bytes_of(&InvitationRow {
        hash: invitation.hash.to_vec(),
        room: invitation.room.and_then(|room| id(room.bits())),
        role: write_server_role(invitation.role),
        uses_max: invitation.uses_max,
        uses: invitation.uses,
        expires_at: invitation.expires_at.0,
        revoked: invitation.revoked,
        created_by: id(invitation.created_by.bits()),
    })
}

pub(super) fn decode(id: InvitationId, bytes: &[u8]) -> PortResult<Invitation> {
    let row: InvitationRow = decode_row("invitation", bytes)?;
    Ok(Invitation {
        id,
        hash: row.hash.try_into().map_err(|_| unreadable("an invitation's hash"))?,
        room: bits(row.room).map(RoomId::from_bits),
        role: read_server_role(row.role)?,
        uses_max: row.uses_max,
        uses: row.uses,
        expires_at: Timestamp(row.expires_at),
        revoked: row.revoked,
        created_by: UserId::from_bits(wanted("created_by", row.created_by)?),
    })
}
