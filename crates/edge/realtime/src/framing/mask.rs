//! Taking the mask off a client's payload.

/// XORs `bytes` with the repeated key, eight bytes at a time (the compiler makes it wider).
pub(super) fn unmask(bytes: &mut [u8], key: [u8; 4]) {
    let [a, b, c, d] = key;
    let wide = u64::from_ne_bytes([a, b, c, d, a, b, c, d]);
    let (words, tail) = bytes.as_chunks_mut::<8>();
    for word in words {
        *word = (u64::from_ne_bytes(*word) ^ wide).to_ne_bytes();
    }
    for (byte, key) in tail.iter_mut().zip(key.iter().cycle()) {
        *byte ^= key;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    proptest::proptest! {
        #[test]
        fn unmasking_is_the_bytewise_xor_of_rfc_6455(
            mut bytes in proptest::collection::vec(proptest::prelude::any::<u8>(), 0..200),
            key: [u8; 4],
        ) {
            let by_the_book: Vec<u8> =
                bytes.iter().enumerate().map(|(at, byte)| byte ^ key[at % 4]).collect();
            unmask(&mut bytes, key);
            proptest::prop_assert_eq!(bytes, by_the_book);
        }
    }
}
