//! The server's own key, under which all data keys are wrapped. `server.key` has two sectors: one
//! holds the key in use, the other is empty but while the key is being replaced.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;

use aes_gcm::aead::{Aead, KeyInit, Payload};
use aes_gcm::{Aes256Gcm, Key, Nonce};
use klatch_domain::{Entropy, UserId};
use klatch_ports::keys::DataKey;

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
        Wrapping(Aes256Gcm::new(&Key::<Aes256Gcm>::from(self.secret)))
    }
}

/// Wraps and unwraps data keys.
pub(super) struct Wrapping(Aes256Gcm);

impl Wrapping {
    /// The wrapped key belongs to `person`: for another it does not open.
    pub(super) fn wrap(
        &self,
        person: UserId,
        nonce: [u8; NONCE],
        key: &DataKey,
    ) -> Option<[u8; WRAPPED]> {
        let person = person.to_bytes();
        let payload = Payload { msg: &key.0, aad: &person };
        let wrapped = self.0.encrypt(&Nonce::from(nonce), payload).ok()?;
        wrapped.try_into().ok()
    }

    pub(super) fn unwrap(
        &self,
        person: UserId,
        nonce: [u8; NONCE],
        wrapped: &[u8; WRAPPED],
    ) -> Option<DataKey> {
        let person = person.to_bytes();
        let payload = Payload { msg: wrapped, aad: &person };
        let key = self.0.decrypt(&Nonce::from(nonce), payload).ok()?;
        key.try_into().ok().map(DataKey)
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
