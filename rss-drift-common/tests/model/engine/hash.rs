//! 128-bit hashes that grow by one value at a time, and sums of them for sets.

use std::hash::{BuildHasherDefault, Hasher};

/// Two lanes that are mixed apart.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Hash(u64, u64);

impl Hash {
    /// The hash of nothing.
    pub(super) const EMPTY: Self = Self(0x243f_6a88_85a3_08d3, 0x1319_8a2e_0370_7344);

    /// This hash followed by `value`.
    #[inline]
    pub(super) fn mix(self, value: u64) -> Self {
        Self(
            fold(self.0 ^ value, 0x9e37_79b9_7f4a_7c15),
            fold(self.1.rotate_left(23) ^ value ^ 0xa409_3822_299f_31d0, 0xd6e8_feb8_6659_fd93),
        )
    }

    /// The set with `other` added.
    #[inline]
    pub(super) fn with(self, other: Self) -> Self {
        Self(self.0.wrapping_add(other.0), self.1.wrapping_add(other.1))
    }

    /// The set with `other` taken out.
    #[inline]
    pub(super) fn without(self, other: Self) -> Self {
        Self(self.0.wrapping_sub(other.0), self.1.wrapping_sub(other.1))
    }

    /// Another hash's lanes, mixed in.
    #[inline]
    pub(super) fn mix_all(self, other: Self) -> Self {
        self.mix(other.0).mix(other.1)
    }

    /// As the seed of random numbers.
    pub(super) fn seed(self) -> u64 {
        self.0 | 1
    }

    /// As a key of the visited states.
    #[inline]
    pub(super) fn key(self) -> u128 {
        u128::from(self.0) << 64 | u128::from(self.1)
    }
}

/// Both halves of the product: each bit of the result depends on each bit of `a`.
#[inline]
#[expect(clippy::cast_possible_truncation, reason = "the halves are what is wanted")]
fn fold(a: u64, b: u64) -> u64 {
    let product = u128::from(a ^ 0x4528_21e6_38d0_1377) * u128::from(b);
    let half = (product as u64) ^ (product >> 64) as u64;
    // A second round: the low bits of a product depend on the low bits of its factors only.
    (half ^ half >> 29).wrapping_mul(0xbf58_476d_1ce4_e5b9)
}

/// For keys that are hashes already.
#[derive(Default)]
pub(super) struct Identity(u64);

impl Hasher for Identity {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, _: &[u8]) {
        unreachable!("keys are u128");
    }

    #[expect(clippy::cast_possible_truncation, reason = "half of a hash is a hash")]
    fn write_u128(&mut self, key: u128) {
        self.0 = key as u64;
    }
}

/// The hasher of the visited states.
pub(super) type BuildIdentity = BuildHasherDefault<Identity>;
