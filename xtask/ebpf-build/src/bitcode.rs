//! Which LLVM wrote a bitcode file: bpf-linker tells its own version, not its LLVM's, but what it writes does.
//!
//! Bitcode starts with an identification block that holds the writer's name, `LLVM22.1.8`, one character after the
//! other and at no byte boundary. The few bits before it depend on the writer, so the name is looked for instead of being
//! parsed for: nothing else this close to the start spells `LLVM`.

use crate::version::Version;

/// The 6-bit alphabet of LLVM's bitstreams.
const CHAR6: &[u8; 64] = b"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._";
/// The identification block comes first (after a wrapper of some bytes) and is short.
const LOOK_AT_BITS: usize = 8 * 256;
/// Longer than any version that LLVM has had.
const LONGEST: usize = 24;

/// How the characters of the name are written.
#[derive(Clone, Copy, Debug)]
enum Encoding {
    /// Six bits each: where all of them are in the alphabet.
    Char6,
    /// Twice six bits each, the low five bits of a character first: where one is not, as in
    /// `LLVM22.1.2-rust-1.95.0-stable`.
    Vbr6,
}

/// The version of the LLVM that wrote this bitcode; None where the bytes do not tell.
pub(crate) fn writer(bitcode: &[u8]) -> Option<Version> {
    let last = LOOK_AT_BITS.min(bitcode.len() * 8);
    [Encoding::Char6, Encoding::Vbr6].into_iter().find_map(|encoding| {
        (0..last).find_map(|start| {
            let mut characters = (0..LONGEST).map_while(|i| encoding.character(bitcode, start, i));
            let name = b"LLVM".iter().all(|expected| characters.next() == Some(*expected));
            let version: String = characters.map(char::from).collect();
            if name { Version::parse(&version) } else { None }
        })
    })
}

impl Encoding {
    /// Character `i` of a text that starts at bit `start`.
    fn character(self, bytes: &[u8], start: usize, i: usize) -> Option<u8> {
        match self {
            Self::Char6 => CHAR6.get(usize::from(six_bits(bytes, start + i * 6)?)).copied(),
            Self::Vbr6 => {
                let low = six_bits(bytes, start + i * 12)?;
                let high = six_bits(bytes, start + i * 12 + 6)?;
                // The highest bit says whether more follow: after the first yes, after the second no.
                (low & 0x20 != 0 && high & 0x20 == 0 && high < 4).then_some(low & 0x1f | high << 5)
            }
        }
    }
}

/// The six bits from bit `at`.
fn six_bits(bytes: &[u8], at: usize) -> Option<u8> {
    (at..at + 6)
        .enumerate()
        .try_fold(0, |value, (i, at)| Some(value | (bytes.get(at / 8)? >> (at % 8) & 1) << i))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The start of what a bpf-linker with LLVM 22.1.8 writes.
    const CHAR6_22_1_8: [u8; 28] = [
        0x42, 0x43, 0xc0, 0xde, 0x35, 0x14, 0x00, 0x00, 0x05, 0x00, 0x00, 0x00, 0x62, 0x0c, 0x30, 0x24, 0x4a,
        0x59, 0xbe, 0xa6, 0x6d, 0xfb, 0xb5, 0xcf, 0x0b, 0x51, 0x80, 0x4c,
    ];

    /// The start of what a bpf-linker with Rust 1.95's LLVM writes.
    const VBR6_22_1_2: [u8; 48] = [
        0x42, 0x43, 0xc0, 0xde, 0x35, 0x14, 0x00, 0x00, 0x0e, 0x00, 0x00, 0x00, 0x62, 0x0c, 0x30, 0x1c, 0x41,
        0xc7, 0x0a, 0xac, 0x60, 0x0b, 0xad, 0x20, 0x07, 0x72, 0xe0, 0x06, 0x71, 0xe0, 0x06, 0x72, 0xd0, 0x06,
        0xf2, 0x50, 0x0f, 0xf3, 0x40, 0x0f, 0x6d, 0x10, 0x07, 0x6e, 0x90, 0x07, 0x75, 0xe0,
    ];

    /// `text` after `before` bits.
    fn packed(text: &str, encoding: Encoding, before: usize) -> Vec<u8> {
        let mut bits = vec![false; before];
        let mut push = |six: usize| bits.extend((0..6).map(|i| six >> i & 1 == 1));
        for byte in text.bytes() {
            let value = usize::from(byte);
            match encoding {
                Encoding::Char6 => push(CHAR6.iter().position(|c| *c == byte).unwrap()),
                Encoding::Vbr6 => [value & 0x1f | 0x20, value >> 5].into_iter().for_each(&mut push),
            }
        }
        bits.resize(bits.len().next_multiple_of(32), false);
        bits.chunks(8).map(|byte| byte.iter().rev().fold(0, |all, bit| all << 1 | u8::from(*bit))).collect()
    }

    #[test]
    fn real_starts() {
        assert_eq!(writer(&CHAR6_22_1_8), Some(Version::new(22, 1, 8)));
        assert_eq!(writer(&VBR6_22_1_2), Some(Version::new(22, 1, 2)));
    }

    #[test]
    fn both_encodings_at_every_offset() {
        for before in 0..200 {
            let plain = packed("LLVM22.1.10", Encoding::Char6, before);
            assert_eq!(writer(&plain), Some(Version::new(22, 1, 10)), "{before}");
            let named = packed("LLVM23.0.1-rust-1.99.0-nightly", Encoding::Vbr6, before);
            assert_eq!(writer(&named), Some(Version::new(23, 0, 1)), "{before}");
        }
    }

    #[test]
    fn nothing_to_find() {
        assert_eq!(writer(b""), None);
        assert_eq!(writer(&[0; 4096]), None);
        assert_eq!(writer(&[0xff; 4096]), None);
        assert_eq!(writer(&packed("LLVM", Encoding::Char6, 0)), None);
    }
}
