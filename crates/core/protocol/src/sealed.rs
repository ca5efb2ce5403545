//! Words under a person's key: AES-256-GCM with a random nonce, bound to the place they stand in.
//!
//! Layout: version 1 ‖ nonce (12) ‖ ciphertext ‖ tag (16). The associated data names the purpose,
//! the room and the seq, so that a body copied to another place does not open.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::{BufMut, Bytes, BytesMut};
use klatch_domain::message::MessageBody;
use klatch_domain::user::Profile;
use klatch_domain::{Entropy, Message, RoomId, Sealed, Seq, UserId};
use klatch_ports::PortResult;
use klatch_ports::keys::{DataKey, KeyReader};
use klatch_recent::Recent;
use prost::Message as _;
use ring::aead::{AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey};

const VERSION: u8 = 1;
const NONCE_BYTES: usize = 12;
/// What stands before the ciphertext.
const HEAD_BYTES: usize = 1 + NONCE_BYTES;

/// Why sealed bytes do not open although the key is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("sealed bytes do not open: damaged, or not of this place")]
pub struct OpenError;

/// Where sealed words stand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// In a room's timeline, in the event `seq`.
    Timeline(RoomId, Seq),
    /// In a user's profile.
    Profile(UserId),
}

impl Place {
    /// Where the newest words of a stored message come from.
    pub fn of_message(message: &Message) -> Self {
        Self::Timeline(message.room, message.edited.map_or(message.seq, |(_, seq)| seq))
    }

    fn associated_data(self) -> [u8; 25] {
        let (purpose, id, seq) = match self {
            Self::Timeline(room, seq) => (b'm', room.to_bytes(), seq.0),
            Self::Profile(user) => (b'p', user.to_bytes(), 0),
        };
        let mut out = [0; 25];
        let (head, rest) = out.split_at_mut(1);
        let (middle, tail) = rest.split_at_mut(16);
        head.copy_from_slice(&[purpose]);
        middle.copy_from_slice(&id);
        tail.copy_from_slice(&seq.to_be_bytes());
        out
    }
}

/// A person's key, expanded once for many messages (about half a kilobyte).
pub struct PersonCipher {
    person: UserId,
    cipher: LessSafeKey,
}

impl std::fmt::Debug for PersonCipher {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "PersonCipher({})", self.person)
    }
}

impl PersonCipher {
    /// Expands `key`.
    pub fn new(person: UserId, key: &DataKey) -> Self {
        let key = UnboundKey::new(&AES_256_GCM, &key.0);
        let key = key.unwrap_or_else(|_| unreachable!("a data key is as long as the cipher's"));
        Self { person, cipher: LessSafeKey::new(key) }
    }

    /// Writes `words` where they are then sealed: they lie in memory once.
    fn seal(&self, place: Place, words: &impl prost::Message, entropy: &dyn Entropy) -> Sealed {
        let mut nonce = [0; NONCE_BYTES];
        entropy.fill(&mut nonce);
        let mut out = BytesMut::with_capacity(OVERHEAD_BYTES + words.encoded_len());
        out.put_u8(VERSION);
        out.put_slice(&nonce);
        words.encode_raw(&mut out);
        let (nonce, aad) =
            (Nonce::assume_unique_for_key(nonce), Aad::from(place.associated_data()));
        let (_, text) = out.split_at_mut(HEAD_BYTES);
        match self.cipher.seal_in_place_separate_tag(nonce, aad, text) {
            Ok(tag) => out.put_slice(tag.as_ref()),
            // Refused are only words above 64 GiB; they must not stand there in plain.
            Err(_) => out.truncate(HEAD_BYTES),
        }
        Sealed { person: self.person, bytes: out.freeze() }
    }

    fn open(&self, place: Place, sealed: &Sealed) -> Result<Vec<u8>, OpenError> {
        let (version, rest) = sealed.bytes.split_first().ok_or(OpenError)?;
        let (nonce, text) = rest.split_first_chunk::<NONCE_BYTES>().ok_or(OpenError)?;
        if *version != VERSION || sealed.person != self.person {
            return Err(OpenError);
        }
        let (nonce, aad) =
            (Nonce::assume_unique_for_key(*nonce), Aad::from(place.associated_data()));
        let mut text = text.to_vec();
        let plain = self.cipher.open_in_place(nonce, aad, &mut text).map_err(|_| OpenError)?;
        let length = plain.len();
        text.truncate(length);
        Ok(text)
    }

    /// Seals the words of a message.
    pub fn seal_body(&self, place: Place, body: MessageBody, entropy: &dyn Entropy) -> Sealed {
        self.seal(place, &BodyV1::from(body), entropy)
    }

    /// Opens the words of a message.
    ///
    /// # Errors
    /// [`OpenError`] when the bytes are damaged or of another place.
    pub fn open_body(&self, place: Place, sealed: &Sealed) -> Result<MessageBody, OpenError> {
        let plain = self.open(place, sealed)?;
        BodyV1::decode(plain.as_slice()).map(MessageBody::from).map_err(|_| OpenError)
    }

    /// Seals a profile.
    pub fn seal_profile(&self, profile: &Profile, entropy: &dyn Entropy) -> Sealed {
        let wire = ProfileV1 {
            username: profile.username.clone(),
            display_name: profile.display_name.clone(),
            email: profile.email.clone(),
            avatar: profile.avatar.clone(),
        };
        self.seal(Place::Profile(self.person), &wire, entropy)
    }

    /// Opens a profile.
    ///
    /// # Errors
    /// [`OpenError`] when the bytes are damaged or of another person.
    pub fn open_profile(&self, sealed: &Sealed) -> Result<Profile, OpenError> {
        let plain = self.open(Place::Profile(self.person), sealed)?;
        let wire = ProfileV1::decode(plain.as_slice()).map_err(|_| OpenError)?;
        let ProfileV1 { username, display_name, email, avatar } = wire;
        Ok(Profile { username, display_name, email, avatar })
    }
}

/// Expanded keys of the people who spoke lately.
///
/// A hit costs one short lock; a miss asks the port, and expands the key in about a microsecond.
pub struct KeyRing {
    keys: Arc<dyn KeyReader>,
    ciphers: Recent<UserId, Arc<PersonCipher>>,
    destroyed: AtomicU64,
}

impl std::fmt::Debug for KeyRing {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("KeyRing").field("people", &self.ciphers.len()).finish_non_exhaustive()
    }
}

impl KeyRing {
    /// A ring over `keys` that remembers up to twice `cap` people.
    pub fn new(keys: Arc<dyn KeyReader>, cap: usize) -> Self {
        Self { keys, ciphers: Recent::new(cap), destroyed: AtomicU64::new(0) }
    }

    /// The cipher of `person` if it is remembered; never asks the port.
    pub fn cached(&self, person: UserId) -> Option<Arc<PersonCipher>> {
        self.ciphers.get(&person)
    }

    /// The cipher of `person`; `None` when there is no key.
    ///
    /// # Errors
    /// As the port reports.
    pub async fn cipher(&self, person: UserId) -> PortResult<Option<Arc<PersonCipher>>> {
        if let Some(cipher) = self.cached(person) {
            return Ok(Some(cipher));
        }
        let destroyed = self.destroyed();
        let Some(key) = self.keys.key(person).await? else { return Ok(None) };
        let cipher = Arc::new(PersonCipher::new(person, &key));
        self.ciphers.put(person, Arc::clone(&cipher));
        // A key may have been destroyed, and forgotten here, while it was being read.
        if self.destroyed() != destroyed {
            self.ciphers.remove(&person);
        }
        Ok(Some(cipher))
    }

    /// Opens a profile without remembering its key: for those who look once, as someone who
    /// connects does. Otherwise as [`KeyRing::open_profile`].
    ///
    /// # Errors
    /// As the port reports; damaged bytes are [`klatch_ports::ErrorKind::Corrupt`].
    pub async fn glance_at_profile(&self, sealed: &Sealed) -> PortResult<Option<Profile>> {
        if sealed.bytes.is_empty() {
            return Ok(None);
        }
        if let Some(cipher) = self.cached(sealed.person) {
            return cipher.open_profile(sealed).map(Some).map_err(corrupt);
        }
        let Some(key) = self.keys.key(sealed.person).await? else { return Ok(None) };
        PersonCipher::new(sealed.person, &key).open_profile(sealed).map(Some).map_err(corrupt)
    }

    /// Forgets those who did not speak since the last call.
    pub fn forget_idle(&self) {
        self.ciphers.turn();
    }

    /// Opens the words of a stored message; `None` when deleted or when the key is gone.
    ///
    /// # Errors
    /// As the port reports; damaged bytes are [`klatch_ports::ErrorKind::Corrupt`].
    pub async fn open_message(&self, message: &Message) -> PortResult<Option<MessageBody>> {
        let Some(sealed) = &message.body else { return Ok(None) };
        self.open_body(Place::of_message(message), sealed).await
    }

    /// Opens sealed words; `None` when the key is gone.
    ///
    /// # Errors
    /// As the port reports; damaged bytes are [`klatch_ports::ErrorKind::Corrupt`].
    pub async fn open_body(
        &self,
        place: Place,
        sealed: &Sealed,
    ) -> PortResult<Option<MessageBody>> {
        let Some(cipher) = self.cipher(sealed.person).await? else { return Ok(None) };
        cipher.open_body(place, sealed).map(Some).map_err(corrupt)
    }

    /// Opens a profile; `None` when the key is gone.
    ///
    /// # Errors
    /// As the port reports; damaged bytes are [`klatch_ports::ErrorKind::Corrupt`].
    pub async fn open_profile(&self, sealed: &Sealed) -> PortResult<Option<Profile>> {
        // Nothing stands there any more.
        if sealed.bytes.is_empty() {
            return Ok(None);
        }
        let Some(cipher) = self.cipher(sealed.person).await? else { return Ok(None) };
        cipher.open_profile(sealed).map(Some).map_err(corrupt)
    }

    /// How many keys were destroyed so far. What was opened before is to be forgotten when this
    /// changes.
    pub fn destroyed(&self) -> u64 {
        self.destroyed.load(Ordering::Acquire)
    }

    /// Forgets `person`, whose key was destroyed.
    pub fn forget(&self, person: UserId) {
        self.destroyed.fetch_add(1, Ordering::AcqRel);
        self.ciphers.remove(&person);
    }
}

fn corrupt(error: OpenError) -> klatch_ports::PortError {
    klatch_ports::PortError::new(klatch_ports::ErrorKind::Corrupt, "keys", "open").because(error)
}

/// Frozen: fields may be added, never changed.
#[derive(Clone, PartialEq, prost::Message)]
struct BodyV1 {
    #[prost(string, tag = "1")]
    content: String,
    #[prost(string, tag = "2")]
    metadata: String,
    #[prost(string, repeated, tag = "3")]
    attachments: Vec<String>,
    #[prost(string, optional, tag = "4")]
    client_key: Option<String>,
    #[prost(bytes = "vec", tag = "5")]
    request_hash: Vec<u8>,
}

/// Frozen: fields may be added, never changed.
#[derive(Clone, PartialEq, prost::Message)]
struct ProfileV1 {
    #[prost(string, tag = "1")]
    username: String,
    #[prost(string, tag = "2")]
    display_name: String,
    #[prost(string, optional, tag = "3")]
    email: Option<String>,
    #[prost(string, optional, tag = "4")]
    avatar: Option<String>,
}

impl From<MessageBody> for BodyV1 {
    fn from(body: MessageBody) -> Self {
        let MessageBody { content, metadata, attachments, client_key, request_hash } = body;
        Self { content, metadata, attachments, client_key, request_hash: request_hash.to_vec() }
    }
}

impl From<BodyV1> for MessageBody {
    fn from(wire: BodyV1) -> Self {
        let BodyV1 { content, metadata, attachments, client_key, request_hash } = wire;
        let request_hash = request_hash.try_into().unwrap_or_default();
        Self { content, metadata, attachments, client_key, request_hash }
    }
}

/// Bytes of a sealed body beyond its plain bytes.
pub const OVERHEAD_BYTES: usize = HEAD_BYTES + 16;

/// Whether sealed bytes could be of this version at all; opens nothing.
pub fn looks_sealed(bytes: &Bytes) -> bool {
    bytes.first() == Some(&VERSION) && bytes.len() >= OVERHEAD_BYTES
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug)]
    struct Counting(std::sync::atomic::AtomicU8);

    impl Entropy for Counting {
        fn fill(&self, out: &mut [u8]) {
            out.fill(self.0.fetch_add(1, std::sync::atomic::Ordering::Relaxed));
        }
    }

    fn cipher(n: u128, key: u8) -> PersonCipher {
        PersonCipher::new(UserId::from_bits(n), &DataKey([key; 32]))
    }

    #[test]
    fn words_open_only_in_their_place_and_with_their_key() {
        let entropy = Counting(0.into());
        let room = RoomId::from_bits(7);
        let body = MessageBody { content: "héllo".into(), ..MessageBody::default() };
        let here = Place::Timeline(room, Seq(3));
        let sealed = cipher(1, 1).seal_body(here, body.clone(), &entropy);
        assert_eq!(cipher(1, 1).open_body(here, &sealed), Ok(body));
        assert_eq!(cipher(1, 2).open_body(here, &sealed), Err(OpenError));
        assert_eq!(cipher(2, 1).open_body(here, &sealed), Err(OpenError));
        for elsewhere in [
            Place::Timeline(room, Seq(4)),
            Place::Timeline(RoomId::from_bits(8), Seq(3)),
            Place::Profile(UserId::from_bits(1)),
        ] {
            assert_eq!(cipher(1, 1).open_body(elsewhere, &sealed), Err(OpenError));
        }
    }

    #[test]
    fn the_bytes_are_those_of_earlier_builds() {
        // Made with another implementation of the cipher.
        let bytes = hex(
            "01000000000000000000000000b533f01fdc576fd0b96992457124c141b5c69fb0859f34facc24018ded5edf6b8a924151bc8f3b727bd4",
        );
        let entropy = Counting(0.into());
        let here = Place::Timeline(RoomId::from_bits(7), Seq(3));
        let body = MessageBody { content: "héllo".into(), ..MessageBody::default() };
        assert_eq!(cipher(1, 1).seal_body(here, body, &entropy).bytes, bytes);
    }

    fn hex(text: &str) -> Vec<u8> {
        let byte = |place| u8::from_str_radix(&text[place..place + 2], 16).unwrap();
        (0..text.len()).step_by(2).map(byte).collect()
    }

    #[test]
    fn every_flipped_bit_is_noticed() {
        let entropy = Counting(9.into());
        let here = Place::Timeline(RoomId::from_bits(7), Seq(3));
        let body = MessageBody { content: "x".into(), ..MessageBody::default() };
        let sealed = cipher(1, 1).seal_body(here, body.clone(), &entropy);
        for bit in 0..sealed.bytes.len() * 8 {
            let mut bytes = sealed.bytes.to_vec();
            bytes[bit / 8] ^= 1 << (bit % 8);
            let bent = Sealed { bytes: bytes.into(), ..sealed.clone() };
            assert_eq!(cipher(1, 1).open_body(here, &bent), Err(OpenError), "bit {bit}");
        }
    }

    #[test]
    fn the_same_words_never_seal_to_the_same_bytes() {
        let entropy = Counting(0.into());
        let here = Place::Timeline(RoomId::from_bits(7), Seq(3));
        let body = MessageBody { content: "x".into(), ..MessageBody::default() };
        let person = cipher(1, 1);
        assert_ne!(
            person.seal_body(here, body.clone(), &entropy),
            person.seal_body(here, body.clone(), &entropy)
        );
    }
}
