//! The structs of words, made for a host, and copied to plain integers for its checks. Their fields are listed here once.

use super::{Check, Config, Kind, Name, Quiet};
use rss_drift_common::{
    MEMBERS,
    running::{Peak, Running, Seed},
    shadow::{Counts, Cpu, Shared, State},
    slot::Slot,
};

/// Where words are made.
#[derive(Clone, Copy)]
pub(super) struct Place<'c> {
    pub(super) config: &'c Config,
    pub(super) array: &'static str,
    pub(super) index: usize,
}

impl Place<'_> {
    pub(super) const fn name(self, member: &'static str) -> Name {
        Name::new(self.array, self.index, member)
    }

    pub(super) const fn uses(self, field: Quiet) -> bool {
        !self.config.quiet.has(field)
    }

    pub(super) const fn uses_member(self, field: Quiet, member: usize) -> bool {
        self.config.members[member] && self.uses(field)
    }
}

/// A field, for [`Place::uses`].
macro_rules! named {
    ($field:ident) => {
        const { $crate::host::Quiet::of(&[stringify!($field)]) }
    };
}
pub(super) use named;

/// Makes the words of a field. `[i64]` is a word per member, `[own]` too, of 64 bits that only one CPU uses, so that their use is no step, `own` one of 32 bits; `{u64}` the bits of CPUs, of which tests use the first word only.
macro_rules! made {
    ($K:ident $place:ident $field:ident [own]) => {
        std::array::from_fn(|_| $K::u64($place.name(stringify!($field)), 0, false))
    };
    ($K:ident $place:ident $field:ident own) => {
        $K::u32($place.name(stringify!($field)), 0, false)
    };
    ($K:ident $place:ident $field:ident [$kind:ident]) => {{
        const NAMES: [&str; MEMBERS] = [
            concat!(stringify!($field), "[file]"),
            concat!(stringify!($field), "[anon]"),
            concat!(stringify!($field), "[swap]"),
            concat!(stringify!($field), "[shmem]"),
        ];
        std::array::from_fn(|member| {
            $K::$kind($place.name(NAMES[member]), 0, $place.uses_member(named!($field), member))
        })
    }};
    ($K:ident $place:ident $field:ident {$kind:ident}) => {
        std::array::from_fn(|word| {
            $K::$kind($place.name(stringify!($field)), 0, word == 0 && $place.uses(named!($field)))
        })
    };
    ($K:ident $place:ident $field:ident count) => {
        $K::count($place.name(stringify!($field)))
    };
    ($K:ident $place:ident $field:ident $kind:ident) => {
        $K::$kind($place.name(stringify!($field)), 0, $place.uses(named!($field)))
    };
}
pub(super) use made;

/// Reads the words of a field.
macro_rules! peeked {
    ($words:ident $field:ident [$kind:ident]) => {
        std::array::from_fn(|member| $words.$field[member].peek())
    };
    ($words:ident $field:ident {$kind:ident}) => {
        std::array::from_fn(|word| $words.$field[word].peek())
    };
    ($words:ident $field:ident $kind:ident) => {
        $words.$field.peek()
    };
}

macro_rules! words {
    ($make:ident, $now:ident, $fields:ident: $of:ident { $($field:ident: $kind:tt),* $(,)? } $($extra:ident = $value:expr)?) => {
        pub(super) const $fields: &[&str] = &[$(stringify!($field)),*];

        pub(super) fn $make<K: Kind>(place: Place<'_>) -> $of<K> {
            $of { $($field: made!(K place $field $kind),)* $($extra: $value)? }
        }

        pub(super) fn $now<K: Kind>(words: &$of<K>) -> $of {
            $of { $($field: peeked!(words $field $kind),)* $($extra: $value)? }
        }
    };
}

words!(slot, slot_now, SLOT: Slot {
    mm: u64, id: u64, pending: [i32], hits: u64, excess: u64, index: u32, busy: u32, active: u32,
    place: own, deferred: u64, faults: u64, alone: u64, low: [i32], width: [u32], words: [own],
    folded: u64, ahead: i64,
});

words!(counts, counts_now, COUNTS: Counts {
    hits: count, misses: count, flushes: count, faults: count, births: count, deaths: count,
    deaths_with_residue: count, residue: count, refused: count, unsettled: count, nested: count,
    swept: count, inherited: count, late: count, unjudged: count, caught: count,
});

words!(state, state_now, STATE: State {
    id: u64, mm: u64, global: [i64], totals: [i64], rss: i64, approximate: i64, synced: i64, direct: i64,
    hits: u64, misses: u64, flushes: u64, publications: u64, faults: u64, churn: u64, repaired: u64,
    peak_exact: i64, peak_drift: i64, reader: u64, active_cpus: i64, active_max: i64,
    entered: u64, settling: u64, seeded: u64, lost: u64, cpus: {u64}, visited: u64, events_seen: u64,
    events_seen_at: u64, tgid: u64, owned: u64, alone: u64,
});

words!(shared, shared_now, SHARED: Shared {
    last_id: u64, zero: i64, pass: u64, visited: u64,
});

words!(running, running_now, RUNNING: Running {
    task: u64, mm: u64, seen: [i32], busy: u64, births: u64,
    doubtful: u32, doubtful_cached: i32, doubtful_delta: i64,
});

words!(peak, peak_now, PEAK: Peak { exact: i64, drift: u32, active_max: u32, hidden: u32, twice: u32 });

words!(seed, seed_now, SEED: Seed {
    pages: [i64], peak_exact: i64, peak_drift: i64, repaired: u64, lost: u64, id: u64,
});

/// The offset of a CPU's memory: its number plus 1, above all addresses of mms.
pub(super) const fn offset_of(cpu: usize) -> u64 {
    (cpu as u64 + 1) << 32
}

/// What belongs to a CPU. Its offset stays for ever, and no mm's address is as large.
pub(super) fn cpu<K: Kind>(place: Place<'_>) -> Cpu<K> {
    Cpu {
        slot: slot(Place { array: "slot", ..place }),
        offset: K::u64(place.name("offset"), offset_of(place.index), false),
        counts: counts(place),
        reserved: [0; 2],
    }
}

/// A CPU's slots of an mm's counters as last seen.
pub(super) fn seen<K: Kind>(place: Place<'_>) -> [K::I32; MEMBERS] {
    made!(K place seen [i32])
}
