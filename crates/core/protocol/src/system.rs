//! The envelope of every record of the SYSTEM stream. Forms may be added, never altered.

use bytes::Bytes;
use klatch_ports::log::{Kind, NewRecord};
use prost::Message as _;

use crate::audit::AuditV1;
use crate::dead_letter::DeadLetterV1;
use crate::event::DecodeError;

const VERSION: u32 = 1;

#[derive(Clone, PartialEq, prost::Message)]
struct SystemV1 {
    #[prost(uint32, tag = "1")]
    version: u32,
    #[prost(oneof = "SystemBody", tags = "10, 11")]
    body: Option<SystemBody>,
}

#[derive(Clone, PartialEq, prost::Oneof)]
pub(crate) enum SystemBody {
    #[prost(message, tag = "10")]
    DeadLetter(DeadLetterV1),
    #[prost(message, tag = "11")]
    Audit(AuditV1),
}

/// A record to append to the SYSTEM stream.
pub(crate) fn encode(body: SystemBody) -> NewRecord {
    let system = SystemV1 { version: VERSION, body: Some(body) };
    NewRecord { kind: Kind::System, body: Bytes::from(system.encode_to_vec()) }
}

/// What a record of the SYSTEM stream holds; `None` when this build does not know its form.
pub(crate) fn decode(body: &[u8]) -> Result<Option<SystemBody>, DecodeError> {
    let system =
        SystemV1::decode(body).map_err(|error| DecodeError::Malformed(error.to_string()))?;
    if system.version == VERSION {
        Ok(system.body)
    } else {
        Err(DecodeError::Newer(system.version))
    }
}
