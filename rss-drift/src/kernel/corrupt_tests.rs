//! Whatever the bytes are, there is an answer or an error: no panic, no endless loop.

use proptest::prelude::*;

use super::{
    super::btf::{Btf, Kind, builder::Builder},
    resolve,
};

const FIXTURE: &[u8] = include_bytes!("fixtures/6.18.btf");
const OLD_FIXTURE: &[u8] = include_bytes!("fixtures/5.10.btf");

/// Asks everything there is to ask.
fn exercise(data: &[u8]) {
    let Ok(btf) = Btf::parse(data) else { return };
    let _ = resolve(&btf);
    let _ = (btf.has_function("exit_mmap"), btf.tracepoint_args("rss_stat"));
    for found in btf.types() {
        let _ = (found.name(), found.size(), found.describe());
        let _ = (found.members().count(), found.enumerators().count());
    }
}

/// A small blob with every kind of record that is looked into.
fn small() -> Vec<u8> {
    let mut builder = Builder::new();
    let int = builder.int(4, true);
    let void = builder.plain("", Kind::Pointer, 0);
    let array = builder.array(int, 4);
    let inner = builder.structure("", 8, &[("x", int, 0), ("y", int, 32)]);
    builder.structure("mm_struct", 32, &[("rss_stat", array, 0), ("", inner, 128), ("p", void, 192)]);
    builder.enumeration("", &[("MM_FILEPAGES", 0), ("NR_MM_COUNTERS", 4)]);
    builder.tracepoint("rss_stat", &[void, void, int]);
    builder.blob_with_layout(&[[0, 0]; 20])
}

#[test]
fn cut_off_at_every_byte() {
    for whole in [&small(), FIXTURE] {
        for length in 0..whole.len() {
            assert!(Btf::parse(&whole[..length]).is_err(), "{length} of {} bytes", whole.len());
        }
    }
}

#[test]
fn types_cut_off_at_every_byte() {
    for whole in [&small(), FIXTURE] {
        let types = u32::from_le_bytes(whole[12..16].try_into().unwrap());
        for length in 0..types {
            let mut data = whole.to_owned();
            data[12..16].copy_from_slice(&length.to_le_bytes());
            exercise(&data);
        }
    }
}

/// One damage to a blob: where it is, as a part of 65,536 of its words, and what stands there afterwards.
fn damage() -> impl Strategy<Value = (u16, u32)> {
    let word = prop_oneof![
        any::<u32>(),
        // Numbers of existing types, and info words of every kind with a few elements.
        0..400_u32,
        (0..32_u32, 0..4_u32, any::<bool>())
            .prop_map(|(kind, elements, flag)| kind << 24 | elements | u32::from(flag) << 31),
    ];
    (any::<u16>(), word)
}

proptest! {
    #[test]
    fn any_bytes(data in prop::collection::vec(any::<u8>(), 0..200)) {
        exercise(&data);
        let mut data = data;
        let header = [0x9f, 0xeb, 1, 0, 24, 0, 0, 0];
        data.splice(..data.len().min(header.len()), header);
        exercise(&data);
    }

    #[test]
    fn damaged_fixtures(old: bool, damages in prop::collection::vec(damage(), 1..6)) {
        let mut data = if old { OLD_FIXTURE } else { FIXTURE }.to_owned();
        for (place, word) in damages {
            // Types come first and strings after: most damage hits types.
            let at = data.len() / 4 * usize::from(place) / 65_536 * 4;
            data[at..at + 4].copy_from_slice(&word.to_le_bytes());
        }
        exercise(&data);
    }

    #[test]
    fn damaged_small_blob(damages in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..6)) {
        let mut data = small();
        for (place, byte) in damages {
            let at = place.index(data.len());
            data[at] = byte;
        }
        exercise(&data);
    }
}
