//! What the shadow keeps of one mm, and what the iterator says of it.

use crate::{
    member::{MEMBERS, Pages},
    slot::Slot,
};

/// CPUs that a [`State`] can name by bit. Higher ones share the last bit of the last word.
pub const CPU_BITS: usize = 256;
/// Words of 64 bits for [`CPU_BITS`].
pub const CPU_WORDS: usize = CPU_BITS / 64;

/// The state of one mm: what all CPUs share. It stands in an array; a hash leads from the mm to its index.
///
/// `totals` and the slots that hold the mm add up to the shadow. By construction that is also `global` plus the kernel
/// slots last seen, because every delta is the difference of two readings of one word, exchanged in one step.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "user", derive(bytemuck::Pod, bytemuck::Zeroable))]
#[repr(C)]
pub struct State {
    /// Unique for ever; 0: this state is free, or its mm is being taken down.
    pub id: u64,
    /// Address of the mm.
    pub mm: u64,
    /// The kernel's global count per member as last seen, in pages.
    pub global: Pages,
    /// Shared totals per member, in pages.
    pub totals: Pages,
    /// Updates that a slot held, as far as flushed.
    pub hits: u64,
    /// Updates on a CPU whose slot held another mm.
    pub misses: u64,
    /// Slots that gave their deltas up for another mm.
    pub flushes: u64,
    /// Publications: pending deltas that moved to the totals while the slot kept the mm.
    pub publications: u64,
    /// Page faults of its tasks, as far as flushed.
    pub faults: u64,
    /// Sum of |delta| of all updates, in pages, as far as flushed.
    pub churn: u64,
    /// Sum of |correction| per member by the reader's refreshes, in pages.
    pub repaired: u64,
    /// Largest RSS since the state was seeded, in pages.
    pub peak_exact: i64,
    /// Largest |exact - approximate| since the state was seeded, in pages.
    pub peak_drift: i64,
    /// Drifts beyond the bound that were not kept: a fold of another CPU was half seen.
    pub transients: u64,
    /// CPUs that change the mm now.
    pub active: i64,
    /// The largest `active` so far: with more than 1 the peaks have an error.
    pub active_max: i64,
    /// per-cpu: 1 when all words of the mm have been read once: figures before that are no figures. per-task: how often a
    /// change was lost, so that what it was seeded with does not count any more ([`crate::running::Seed`]).
    pub seeded: u64,
    /// CPUs whose slot held the mm at an update, by bit.
    pub cpus: [u64; CPU_WORDS],
    /// Number of the reading that visited the mm last, or in which the state was created.
    pub visited: u64,
    /// One more than [`State::moves`] was when a reading that did not visit the mm looked last; 0 before.
    pub looked: u64,
    /// When that changed last, in nanoseconds by `bpf_ktime_get_ns`.
    pub looked_at: u64,
    /// Thread group of the task by which the mm was visited last; 0 before a visit.
    pub tgid: u64,
    /// Whether a task has the mm: [`OWNED`] from `task_newtask` or `sched_process_exec` on; else when a reading first found one,
    /// in nanoseconds by `bpf_ktime_get_ns`; 0 before.
    pub owned: u64,
}

/// A task got the mm while we looked.
pub const OWNED: u64 = 1;

/// How long a task can have a new mm before `sched_process_exec` tells of it, in nanoseconds: loading a program takes less.
const EXEC: u64 = 1_000_000_000;

impl State {
    /// Whether [`State::owned`] says that a task has had the mm for long: who gets it as a new one has the address of an mm
    /// that ended unseen.
    #[inline(always)]
    #[must_use]
    pub const fn was_owned(owned: u64, now: u64) -> bool {
        owned == OWNED || (owned != 0 && now.wrapping_sub(owned) > EXEC)
    }

    /// Grows with every event of the mm, as far as its slots gave them up.
    #[inline(always)]
    #[must_use]
    pub const fn moves(&self) -> u64 {
        self.hits + self.misses + self.flushes + self.publications + self.churn + self.faults
    }
}

/// What the reader saw of one mm's shadow; follows the `MmRecord` of full mode.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "user", derive(bytemuck::Pod, bytemuck::Zeroable))]
#[repr(C)]
pub struct ShadowRecord {
    /// Id of the state: another one is another mm. 0: the mm has no state (the map is full, or it is not seeded).
    pub id: u64,
    /// The shadow per member, in pages: totals and all slots that hold the mm.
    pub shadow: Pages,
    /// As in [`State`], with what the slots hold added.
    pub hits: u64,
    /// As in [`State`].
    pub misses: u64,
    /// As in [`State`].
    pub flushes: u64,
    /// As in [`State`], with what the slots hold added.
    pub faults: u64,
    /// As in [`State`], with what the slots hold added.
    pub churn: u64,
    /// Pages that this visit had to correct.
    pub repaired: u64,
    /// As in [`State`].
    pub peak_exact: i64,
    /// As in [`State`].
    pub peak_drift: i64,
    /// As in [`State`].
    pub active_max: i64,
    /// Slots that hold the mm at this moment.
    pub holders: u32,
    /// `SHADOW_*`.
    pub flags: u32,
}

impl ShadowRecord {
    /// Updates of the mm's counters that were seen.
    #[must_use]
    pub const fn updates(&self) -> u64 {
        self.hits + self.misses
    }
}

/// The totals and the slots were read without a flush in between.
pub const SHADOW_VALID: u32 = 1;
/// A word kept changing while it was refreshed.
pub const SHADOW_UNSETTLED: u32 = 1 << 1;
/// The mm has no state: the map is full.
pub const SHADOW_REFUSED: u32 = 1 << 2;
/// The mm belongs to what `rss-drift run` measures.
pub const SHADOW_MEASURED: u32 = 1 << 3;

/// Our own counts on one CPU, never reset.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "user", derive(bytemuck::Pod, bytemuck::Zeroable))]
#[repr(C)]
pub struct Counts {
    /// Updates that the CPU's slot held, as far as flushed.
    pub hits: u64,
    /// Updates that it did not hold.
    pub misses: u64,
    /// Slots that gave something up for another mm.
    pub flushes: u64,
    /// Context switches after which the CPU runs another mm than its slot held.
    pub switches: u64,
    /// Page faults of user mode and of the kernel on user addresses.
    pub faults: u64,
    /// States that were created.
    pub births: u64,
    /// States that ended.
    pub deaths: u64,
    /// Deaths at which a member of the shadow was not 0.
    pub deaths_with_rest: u64,
    /// Sum of those members without signs, in pages.
    pub rest: u64,
    /// Updates of an mm that got no state: no index left, or the hash refused it.
    pub refused: u64,
    /// Switches that came in the middle of an update (7.2).
    pub deferred: u64,
    /// Words that did not hold still for a refresh.
    pub unsettled: u64,
    /// Slots that held an mm which had ended: nothing is left of it to be flushed.
    pub ended: u64,
    /// Updates that came while the slot was busy: left to the next refresh.
    pub nested: u64,
    /// States that no task had in two readings, without an event between: their mm ended unseen.
    pub swept: u64,
    /// States that a new mm at their address took over: their own mm ended unseen.
    pub inherited: u64,
    /// Pages that the refresh at the end of an mm found: an event was missed, and none came after it (7.2).
    pub late: u64,
    /// Mms whose totals nobody asked for a rest: they ended while the reader was at them (what it read of them last may have
    /// been memory of another mm), or while another CPU had yet to flush them.
    pub unjudged: u64,
}

impl Counts {
    /// Adds another CPU's.
    pub const fn add(&mut self, other: &Self) {
        self.hits += other.hits;
        self.misses += other.misses;
        self.flushes += other.flushes;
        self.switches += other.switches;
        self.faults += other.faults;
        self.births += other.births;
        self.deaths += other.deaths;
        self.deaths_with_rest += other.deaths_with_rest;
        self.rest += other.rest;
        self.refused += other.refused;
        self.deferred += other.deferred;
        self.unsettled += other.unsettled;
        self.ended += other.ended;
        self.nested += other.nested;
        self.swept += other.swept;
        self.inherited += other.inherited;
        self.late += other.late;
        self.unjudged += other.unjudged;
    }
}

/// What belongs to one CPU: 256 bytes, four cache lines, of which the first is the slot's.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "user", derive(bytemuck::Pod, bytemuck::Zeroable))]
#[repr(C)]
pub struct Cpu {
    /// Its slot.
    pub slot: Slot,
    /// The kernel's `__per_cpu_offset` of this CPU.
    pub offset: u64,
    /// Our counts on it.
    pub counts: Counts,
    /// Fills the cache line: another CPU's slot begins behind it.
    pub reserved: [u64; 5],
}

const _: () = assert!(size_of::<Cpu>().is_multiple_of(64));

/// What the shadow's programs are told before loading.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "user", derive(bytemuck::Pod, bytemuck::Zeroable))]
#[repr(C)]
pub struct ShadowConfig {
    /// The largest |drift| of the approximate reader, in pages.
    pub bound: u64,
    /// States: mms that can be followed at once.
    pub max_mms: u32,
    /// Pending pages per member at which a slot publishes: the kernel's batch, or 1 for precise peaks.
    pub threshold: u32,
    /// Number in BTF of a struct that is one signed word of 32 bits, for `bpf_rdonly_cast`; 0 where that is not called.
    pub word_type: u32,
    /// No padding.
    pub unused: u32,
}

const _: () = assert!(MEMBERS.is_power_of_two());

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_mm_is_owned_from_its_birth_or_after_a_while() {
        let now = 10 * EXEC;
        assert!(!State::was_owned(0, now));
        assert!(State::was_owned(OWNED, now));
        assert!(!State::was_owned(now - EXEC / 2, now));
        assert!(State::was_owned(now - 2 * EXEC, now));
    }
}
