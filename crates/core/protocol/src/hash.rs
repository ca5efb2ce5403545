//! Hashes that become part of stored data: their definition may never change.

use klatch_domain::{RoomId, UserId};
use klatch_ports::api::commands::SendMessage;
use sha2::{Digest, Sha256};

/// The hash under which a sender's own key is remembered: SHA-256 over room, sender and key, the
/// first 128 bits.
pub fn client_key(room: RoomId, sender: UserId, key: &str) -> u128 {
    first_128(
        Sha256::new()
            .chain_update(b"klatch/client-key/1")
            .chain_update(room.to_bytes())
            .chain_update(sender.to_bytes())
            .chain_update(key),
    )
}

/// The hash under which an external id of an import is remembered.
pub fn external_id(kind: &str, id: &str) -> u128 {
    let length = (kind.len() as u64).to_be_bytes();
    first_128(
        Sha256::new()
            .chain_update(b"klatch/external/1")
            .chain_update(length)
            .chain_update(kind)
            .chain_update(id),
    )
}

/// Tells a repeat of a request from another request with the same key.
pub fn request(message: &SendMessage) -> [u8; 16] {
    let mut hash = Sha256::new().chain_update(b"klatch/send/1");
    let mut part = |bytes: &[u8]| {
        hash.update((bytes.len() as u64).to_be_bytes());
        hash.update(bytes);
    };
    part(message.content.as_bytes());
    part(message.content_type.as_str().as_bytes());
    part(&message.reply_to.map_or([0; 16], klatch_domain::MessageId::to_bytes));
    part(&message.thread.map_or([0; 16], klatch_domain::MessageId::to_bytes));
    part(message.metadata.as_bytes());
    for attachment in &message.attachments {
        part(attachment.as_bytes());
    }
    first_128(hash).to_be_bytes()
}

fn first_128(hash: Sha256) -> u128 {
    let digest: [u8; 32] = hash.finalize().into();
    digest.iter().take(16).fold(0, |bits, byte| bits << 8 | u128::from(*byte))
}
