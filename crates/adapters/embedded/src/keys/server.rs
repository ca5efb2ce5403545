//! The server's own key, under which all data keys are wrapped. `server.key` has two sectors: one
//! holds the key in use, the other is empty but while the key is being replaced.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;

use klatch_domain::{Entropy, UserId};
use klatch_ports::keys::DataKey;
use ring::aead::{AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey};

use super::sector::{self, SECTOR};

/// Bytes of a data key wrapped: itself and the cipher's tag.
pub(super) const WRAPPED: usize = 48;
/// Bytes of a nonce.
pub(super) const NONCE: usize = 12;

const MAGIC: &[u8; 8] = b"KLSRVK\x00\x01";

/// A server key, and the name by which slots say that they are wrapped under it.
#[derive(Clone)]
pub(super) struct ServerKey {
    pub(super) name: [u8; 16],
    secret: [u8; 32],
}

impl ServerKey {
    pub(super) fn fresh(entropy: &dyn Entropy) -> Self {
        let mut secret = [0; 32];
        entropy.fill(&mut secret);
        Self { name: entropy.bytes16(), secret }
    }

    pub(super) fn wrapping(&self) -> Wrapping {
        let key = UnboundKey::new(&AES_256_GCM, &self.secret);
        let key = key.unwrap_or_else(|_| unreachable!("the secret is as long as the cipher's"));
        Wrapping(LessSafeKey::new(key))
    }
}

/// Wraps and unwraps data keys.
pub(super) struct Wrapping(LessSafeKey);

impl Wrapping {
    /// The wrapped key belongs to `person`: for another it does not open.
    pub(super) fn wrap(
        &self,
        person: UserId,
        nonce: [u8; NONCE],
        key: &DataKey,
    ) -> Option<[u8; WRAPPED]> {
        let (nonce, person) = (Nonce::assume_unique_for_key(nonce), Aad::from(person.to_bytes()));
        let mut secret = key.0;
        let tag = self.0.seal_in_place_separate_tag(nonce, person, &mut secret).ok()?;
        [secret.as_slice(), tag.as_ref()].concat().try_into().ok()
    }

    pub(super) fn unwrap(
        &self,
        person: UserId,
        nonce: [u8; NONCE],
        wrapped: &[u8; WRAPPED],
    ) -> Option<DataKey> {
        let (nonce, person) = (Nonce::assume_unique_for_key(nonce), Aad::from(person.to_bytes()));
        let mut wrapped = *wrapped;
        let key = self.0.open_in_place(nonce, person, &mut wrapped).ok()?;
        <[u8; 32]>::try_from(key).ok().map(DataKey)
    }
}

/// What is in one of the two sectors.
pub(super) enum Found {
    Empty,
    Key(ServerKey),
    Damaged,
}

/// The opened file.
pub(super) struct KeyFile(File);

impl KeyFile {
    /// Creates the file with `key` in its first sector. The directory must be synced afterwards.
    pub(super) fn create(path: &Path, key: &ServerKey) -> io::Result<Self> {
        let new_path = path.with_extension("key.new");
        let new = Self(sector::create(&new_path)?);
        new.write(0, Some(key))?;
        new.write(1, None)?;
        sector::replace(&new.0, &new_path, path)?;
        Ok(new)
    }

    pub(super) fn open(path: &Path) -> io::Result<Self> {
        sector::open(path).map(Self)
    }

    pub(super) fn read(&self) -> io::Result<[Found; 2]> {
        Ok([found(&sector::read(&self.0, 0)?), found(&sector::read(&self.0, 1)?)])
    }

    /// Overwrites sector 0 or 1 and syncs.
    pub(super) fn write(&self, place: u64, key: Option<&ServerKey>) -> io::Result<()> {
        let mut bytes = [0; SECTOR];
        if let Some(key) = key {
            sector::seal(&[MAGIC, &key.name, &key.secret], &mut bytes);
        }
        self.0.write_all_at(&bytes, place * SECTOR as u64)?;
        self.0.sync_all()
    }
}

fn found(bytes: &[u8; SECTOR]) -> Found {
    if bytes.iter().all(|byte| *byte == 0) {
        return Found::Empty;
    }
    let key = sector::unseal::<56>(bytes).and_then(|fields| {
        let (magic, rest) = fields.split_first_chunk::<8>()?;
        let (name, secret) = rest.split_first_chunk::<16>()?;
        let secret = *secret.first_chunk::<32>()?;
        (magic == MAGIC).then_some(ServerKey { name: *name, secret })
    });
    key.map_or(Found::Damaged, Found::Key)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wrapped_key_has_the_bytes_of_earlier_builds_and_opens_for_its_person_only() {
        let key = ServerKey { name: [0; 16], secret: [1; 32] };
        let (person, other) = (UserId::from_bits(9), UserId::from_bits(8));
        let (nonce, data) = ([2; NONCE], DataKey([5; 32]));
        let wrapped = key.wrapping().wrap(person, nonce, &data).unwrap();
        // Made with another implementation of the cipher.
        let before = concat!(
            "02d3cc4c4f52c4f8d6c9b9cd59a2c7b7a7b0d4eaeeb48874",
            "d882e5fe7dfe717a2af382cf0614e8ee72d69c3c09c20b3c"
        );
        let hex = |pair: &[u8]| u8::from_str_radix(str::from_utf8(pair).unwrap(), 16).unwrap();
        let before: Vec<u8> = before.as_bytes().chunks(2).map(hex).collect();
        assert_eq!(wrapped.as_slice(), before);
        let opened = |person| key.wrapping().unwrap(person, nonce, &wrapped);
        assert_eq!(opened(person).map(|key| key.0), Some(data.0));
        assert!(opened(other).is_none());
    }
}
