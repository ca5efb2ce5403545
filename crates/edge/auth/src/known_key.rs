//! Signatures by keys that are known beforehand.
//!
//! Nearly all of a check is the sum of a multiple of the curve's base point and one of the key. Any
//! key's multiple takes 253 doublings; of a key that checks many signatures the multiples of each
//! power of two can be kept, and then no doubling is left: a check takes half of the time. Keys and
//! signatures are public, so the time may depend on them.

use std::sync::{LazyLock, OnceLock};

use curve25519_dalek::constants::ED25519_BASEPOINT_POINT;
use curve25519_dalek::edwards::EdwardsPoint;
use curve25519_dalek::scalar::Scalar;
use ed25519_dalek::VerifyingKey;
use sha2::{Digest as _, Sha512};

/// Bits of a scalar that one addition stands for. One more saves a microsecond of fifteen and
/// doubles the tables.
const BITS: usize = 6;
/// Windows of so many bits in a scalar, which is below 2^253.
const WINDOWS: usize = 253_usize.div_ceil(BITS);
/// Digits go from minus this to this, so that a table needs the positive half only.
const HALF: u16 = 1 << (BITS - 1);

/// Made when the first signature is checked, in less than a millisecond.
static BASE: LazyLock<Multiples> = LazyLock::new(|| Multiples::new(ED25519_BASEPOINT_POINT));

/// A key that checks signatures. Takes 220 KB once it does, and as much for the first of all keys.
pub(crate) struct KnownKey {
    key: VerifyingKey,
    /// Of the key's negative.
    multiples: OnceLock<Multiples>,
}

impl KnownKey {
    pub(crate) fn new(key: VerifyingKey) -> Self {
        Self { key, multiples: OnceLock::new() }
    }

    /// Whether `signature` over `text` is by the key: exactly if `VerifyingKey::verify_strict` says
    /// so, which leaves no second spelling of a signature.
    pub(crate) fn verifies(&self, text: &[u8], signature: &[u8]) -> bool {
        let Some((r, s)) = signature.split_first_chunk::<32>() else { return false };
        let Ok(s) = <[u8; 32]>::try_from(s) else { return false };
        let Some(s) = Option::<Scalar>::from(Scalar::from_canonical_bytes(s)) else { return false };
        let hash = Sha512::new().chain_update(r).chain_update(self.key.as_bytes());
        let k = Scalar::from_bytes_mod_order_wide(&hash.chain_update(text).finalize().into());
        let negative = || Multiples::new(-self.key.to_edwards());
        let multiples = self.multiples.get_or_init(negative);
        let expected = multiples.add_product(BASE.add_product(EdwardsPoint::default(), &s), &k);
        // What is equal to a point's one canonical form can be read as that point.
        expected.compress().as_bytes() == r && !expected.is_small_order() && !self.key.is_weak()
    }
}

/// A point's multiples by 1 to [`HALF`] times each power of `2^BITS`.
struct Multiples(Box<[[EdwardsPoint; HALF as usize]]>);

impl Multiples {
    fn new(mut point: EdwardsPoint) -> Self {
        let window = |_| {
            let mut next = EdwardsPoint::default();
            let multiples = std::array::from_fn(|_| {
                next += point;
                next
            });
            point = next + next;
            multiples
        };
        Self((0..WINDOWS).map(window).collect())
    }

    /// `sum` and `scalar` times the point.
    fn add_product(&self, mut sum: EdwardsPoint, scalar: &Scalar) -> EdwardsPoint {
        let byte = |at: usize| scalar.as_bytes().get(at).copied().unwrap_or_default();
        let mut carry = 0;
        for (window, multiples) in self.0.iter().enumerate() {
            let bit = window * BITS;
            let two = u16::from_le_bytes([byte(bit / 8), byte(bit / 8 + 1)]);
            let digit = ((two >> (bit % 8)) & (2 * HALF - 1)) + carry;
            // What is more than half counts down from the next window's one.
            carry = u16::from(digit > HALF);
            let distance = if carry == 1 { 2 * HALF - digit } else { digit };
            match multiples.get(usize::from(distance).wrapping_sub(1)) {
                None => {}
                Some(multiple) if carry == 1 => sum -= multiple,
                Some(multiple) => sum += multiple,
            }
        }
        sum
    }
}

#[cfg(test)]
mod tests {
    use ed25519_dalek::{Signature, Signer as _, SigningKey};
    use klatch_domain::Entropy as _;
    use klatch_testkit::SeededEntropy;

    use super::*;

    fn agreed(key: &KnownKey, text: &[u8], signature: &[u8; 64]) -> bool {
        let known = key.verifies(text, signature);
        let strict = key.key.verify_strict(text, &Signature::from_bytes(signature)).is_ok();
        assert_eq!(known, strict, "{text:?} {signature:?}");
        known
    }

    #[test]
    fn products_are_those_of_the_library_for_any_scalar() {
        let entropy = SeededEntropy::new(7);
        let one_less = -Scalar::ONE;
        let powers = (0..253).map(|bit| (0..bit).fold(Scalar::ONE, |power, _| power + power));
        let random = (0..200).map(|_| {
            let mut bytes = [0; 32];
            entropy.fill(&mut bytes);
            Scalar::from_bytes_mod_order(bytes)
        });
        // All ones and all halves, where every window carries or just does not.
        let filled = [0x11, 0x20, 0x55, 0x82, 0xaa, 0xdf, 0xff].map(|byte| [byte; 32]);
        let filled = filled.map(Scalar::from_bytes_mod_order);
        let scalars = [Scalar::ZERO, Scalar::ONE, one_less, one_less - Scalar::ONE];
        let mut count = 0;
        for scalar in powers.flat_map(|it| [it, it - Scalar::ONE, -it]).chain(random) {
            count += 1;
            assert_eq!(product(scalar), EdwardsPoint::mul_base(&scalar), "{scalar:?}");
        }
        for scalar in scalars.into_iter().chain(filled) {
            assert_eq!(product(scalar), EdwardsPoint::mul_base(&scalar), "{scalar:?}");
        }
        assert_eq!(count, 3 * 253 + 200);
    }

    fn product(scalar: Scalar) -> EdwardsPoint {
        BASE.add_product(EdwardsPoint::default(), &scalar)
    }

    #[test]
    fn a_signature_is_taken_exactly_if_the_strict_check_of_the_library_takes_it() {
        let signing = SigningKey::from_bytes(&[3; 32]);
        let key = KnownKey::new(signing.verifying_key());
        for text in (0..300).map(|length| vec![b'x'; length]) {
            assert!(agreed(&key, &text, &signing.sign(&text).to_bytes()));
        }
        let good = signing.sign(b"text").to_bytes();
        assert!(!agreed(&key, b"texts", &good));
        for bit in 0..512 {
            let mut bent = good;
            bent[bit / 8] ^= 1 << (bit % 8);
            assert!(!agreed(&key, b"text", &bent), "{bit}");
        }
        for length in [0, 31, 32, 63, 65] {
            assert!(!key.verifies(b"text", &[good, good].concat()[..length]), "{length}");
        }
    }

    #[test]
    fn a_signature_has_no_second_spelling_and_no_weak_point_lets_anyone_in() {
        let signing = SigningKey::from_bytes(&[3; 32]);
        let key = KnownKey::new(signing.verifying_key());
        // The order of the group, added to the second half: the same number, written otherwise.
        let order = (-Scalar::ONE).to_bytes();
        let mut twice = signing.sign(b"text").to_bytes();
        let mut carry = 1; // The order is one more than the greatest scalar.
        for (byte, add) in twice[32..].iter_mut().zip(order) {
            let sum = u16::from(*byte) + u16::from(add) + carry;
            (*byte, carry) = (sum.to_le_bytes()[0], sum >> 8);
        }
        assert!(!agreed(&key, b"text", &twice));
        let identity = EdwardsPoint::default().compress().to_bytes();
        let weak = KnownKey::new(VerifyingKey::from_bytes(&identity).unwrap());
        for first in [identity, [0; 32], [0xff; 32]] {
            let mut signature = [0; 64];
            signature[..32].copy_from_slice(&first);
            // Under a weak key the equation holds for nothing at all.
            assert!(!agreed(&weak, b"text", &signature));
            assert!(!agreed(&key, b"text", &signature));
        }
    }
}
