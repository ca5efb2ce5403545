//! Which keys a bucket certainly does not hold: a blocked Bloom filter (F. Putze, P. Sanders,
//! J. Singler, "Cache-, Hash- and Space-Efficient Bloom Filters", 2007) that grows by layers.
//!
//! Nearly every key that is looked up is new. Without this, each is searched for in the tables of
//! every day, which was a twentieth of a small message's cost.

/// Words of 64 bits in a block: one line of the cache, so that a look costs one miss.
const BLOCK: usize = 8;
/// Bits that a key sets in its block.
const PROBES: u32 = 6;
/// Bits per key when a layer is full: of 100,000 keys that are not there, five layers claim 450.
const BITS_PER_KEY: usize = 16;
/// Keys of the first layer: 32 KiB.
const FIRST_KEYS: usize = 1 << 14;
/// Keys of the largest layer: 8 MiB, 16 MiB with those before. More keys make false hits likelier,
/// and so slower, and nothing else.
const LARGEST_KEYS: usize = 1 << 22;

/// Keys are hashes already, so their bits are used as they are.
#[derive(Debug, Default)]
pub(super) struct Filter {
    layers: Vec<Layer>,
}

#[derive(Debug)]
struct Layer {
    /// A power of two of them.
    blocks: Box<[[u64; BLOCK]]>,
    keys: usize,
    keys_max: usize,
}

impl Filter {
    pub(super) fn add(&mut self, key: u128) {
        let last = self.layers.last();
        let most = last.map_or(0, |layer| layer.keys_max);
        if last.is_none_or(|layer| layer.keys >= most) && most < LARGEST_KEYS {
            self.layers.push(Layer::new((most * 2).max(FIRST_KEYS)));
        }
        if let Some(layer) = self.layers.last_mut() {
            layer.add(key);
        }
    }

    /// False: `key` was never added. True says little.
    pub(super) fn may_hold(&self, key: u128) -> bool {
        // Newest first: it is the largest, and a key that is repeated is mostly a recent one.
        self.layers.iter().rev().any(|layer| layer.may_hold(key))
    }
}

impl Layer {
    fn new(keys_max: usize) -> Self {
        let blocks = (keys_max * BITS_PER_KEY).div_ceil(BLOCK * 64).next_power_of_two();
        Self { blocks: vec![[0; BLOCK]; blocks].into_boxed_slice(), keys: 0, keys_max }
    }

    fn add(&mut self, key: u128) {
        let (block, bits) = self.place(key);
        if let Some(block) = self.blocks.get_mut(block) {
            for (word, bits) in block.iter_mut().zip(bits) {
                *word |= bits;
            }
        }
        self.keys += 1;
    }

    fn may_hold(&self, key: u128) -> bool {
        let (block, bits) = self.place(key);
        self.blocks
            .get(block)
            .is_some_and(|block| block.iter().zip(bits).all(|(word, bits)| word & bits == bits))
    }

    /// The key's block, and its bits there.
    #[expect(clippy::cast_possible_truncation, reason = "some of its bits are meant")]
    fn place(&self, key: u128) -> (usize, [u64; BLOCK]) {
        let block = (key >> 64) as usize & (self.blocks.len() - 1);
        let mut bits = [0; BLOCK];
        let mut rest = key as u64;
        for _ in 0..PROBES {
            let bit = (rest & 511) as usize;
            rest >>= 9;
            if let Some(word) = bits.get_mut(bit / 64) {
                *word |= 1 << (bit % 64);
            }
        }
        (block, bits)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn what_was_added_is_never_denied(keys in prop::collection::vec(any::<u128>(), 0..2_000)) {
            let mut filter = Filter::default();
            for key in &keys {
                filter.add(*key);
            }
            prop_assert!(keys.iter().all(|key| filter.may_hold(*key)));
        }
    }

    /// The n-th of many numbers that look random.
    fn key(n: u64) -> u128 {
        let half =
            |salt: u64| u128::from(xxhash_rust::xxh3::xxh3_64_with_seed(&n.to_le_bytes(), salt));
        half(1) << 64 | half(2)
    }

    #[test]
    fn of_keys_that_were_not_added_few_seem_to_be_there_in_every_layer() {
        let mut filter = Filter::default();
        let mut counts = HashSet::new();
        for n in 0..300_000 {
            filter.add(key(n));
            counts.insert(filter.layers.len());
        }
        assert_eq!(counts.len(), 5, "16, 32, 64, 128 and 256 thousand");
        assert!((0..300_000).all(|n| filter.may_hold(key(n))));
        let wrong = (1_000_000..1_100_000).filter(|n| filter.may_hold(key(*n))).count();
        assert!(wrong < 1_000, "{wrong} of 100,000");
    }

    #[test]
    fn a_filter_that_is_as_large_as_it_gets_takes_more_and_does_not_grow() {
        let mut filter = Filter::default();
        filter.layers.push(Layer { keys: LARGEST_KEYS, ..Layer::new(1 << 10) });
        filter.layers[0].keys_max = LARGEST_KEYS;
        for n in 0..1_000 {
            filter.add(key(n));
        }
        assert_eq!(filter.layers.len(), 1);
        assert!((0..1_000).all(|n| filter.may_hold(key(n))));
    }
}
