//! What the shadow keeps of one mm, and what the iterator says of it.

use crate::{
    layout::{Figures, MOST_FIGURES},
    member::{MEMBERS, Pages, rss},
    memory::{Live, Plain, Word, Words},
    slot::Slot,
};

/// CPUs that have a bit of their own in a [`State`]. Higher ones share the last bit of the last word.
pub const CPU_BITS: u32 = 256;
/// Words of 64 bits for [`CPU_BITS`].
pub const CPU_WORDS: usize = CPU_BITS as usize / 64;

/// The state of one mm, shared by all CPUs. It is an element of an array; a hash leads from the address of the mm to the index.
///
/// `totals` and the slots that hold the mm add up to the shadow. By construction that is also `global` plus the kernel
/// slots last seen, because every delta is the difference of two readings of one word, exchanged in one step.
///
/// A hit looks at the first cache line. A fold and a publication also change
/// the second. CPUs that work on one mm take these lines from each other.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub struct State<W: Words = Plain> {
    /// Unique for ever. 0: the state is free, or its mm is ending.
    pub id: W::U64,
    /// per-cpu: RSS of `totals`, in pages, in one word for the peaks. per-task: RSS of what the looks found. When a
    /// sync moves pages from a task's cache to the mm's count, they stay in this word, so that no peak sees the move.
    pub rss: W::I64,
    /// per-cpu: RSS as the approximate reader prints it, computed from `global`, in pages, in one word for the peaks.
    pub approximate: W::I64,
    /// Largest RSS since the state was seeded, in pages.
    pub peak_exact: W::I64,
    /// Largest |exact - approximate| since the state was seeded, in pages.
    pub peak_drift: W::I64,
    /// Not 0 while a reading has taken a delta and not added it to the totals yet.
    pub settling: W::U64,
    /// per-cpu: 1 when all words of the mm have been read once; before that the figures mean nothing.
    pub seeded: W::U64,
    /// Publications: pending deltas that moved to the totals while the slot kept the mm.
    pub publications: W::U64,
    /// The kernel's global count per member as last seen, in pages.
    pub global: [W::I64; MEMBERS],
    /// Shared totals per member, in pages.
    pub totals: [W::I64; MEMBERS],
    /// Active CPUs: those that change the mm now, because their slot does ([`Slot::active`]) or
    /// (per-cpu) while they change it without holding it.
    pub active_cpus: W::I64,
    /// The most CPUs so far that were active at once, including those that
    /// do not hold the mm. If it is more than 1, the peaks have an error.
    pub active_max: W::I64,
    /// Number of the CPU that became active last, plus 1. If no two CPUs were ever active at once, this is the one that is active.
    pub entered: W::U64,
    /// Flushes: slots that gave their deltas to the totals and took another mm.
    pub flushes: W::U64,
    /// Address of the mm.
    pub mm: W::U64,
    /// per-task: RSS that syncs moved from tasks' caches to the mm's counts, as far as their events came, in pages.
    pub synced: W::I64,
    /// per-task: RSS of the mm's counts less `synced`, in pages: the sum of the direct updates.
    pub direct: W::I64,
    /// per-task: how many changes were lost. With each of them the seed is no longer valid ([`crate::running::Seed`]).
    pub lost: W::U64,
    /// Updates that a slot held, as far as flushed.
    pub hits: W::U64,
    /// Updates on a CPU whose slot held another mm.
    pub misses: W::U64,
    /// Page faults of its tasks, as far as flushed.
    pub faults: W::U64,
    /// Sum of |delta| of all updates, in pages, as far as flushed.
    pub churn: W::U64,
    /// Sum of |correction| per member by the reader's refreshes, in pages.
    pub repaired: W::U64,
    /// The reader mark: [`READING`] while the reader works on the state at this index, [`ORPHANED`] if its
    /// mm ended meanwhile. It belongs to the index: it stays when the state goes from one mm to another.
    pub reader: W::U64,
    /// CPUs whose slot held the mm at an update, by bit.
    pub cpus: [W::U64; CPU_WORDS],
    /// Number of the reading that visited the mm last, or in which the state was created.
    pub visited: W::U64,
    /// [`State::events`] plus 1, as the last reading saw it that did not visit the mm; 0 before.
    pub events_seen: W::U64,
    /// When `events_seen` changed last, in nanoseconds by `bpf_ktime_get_ns`.
    pub events_seen_at: W::U64,
    /// Thread group of the task through which a reading visited the mm last; 0 before a visit.
    pub tgid: W::U64,
    /// Whether a task has the mm: [`OWNED`] from `task_newtask` or `sched_process_exec` on; else
    /// the time at which a reading first found one, in nanoseconds by `bpf_ktime_get_ns`; 0 before.
    pub owned: W::U64,
    /// per-cpu: number of the CPU whose slot may have the mm in [`Slot::alone`], plus 1. No other slot has.
    pub alone: W::U64,
}

/// An event showed that a task got the mm.
pub const OWNED: u64 = 1;

/// The reader works on this state: it is not given to another mm.
pub const READING: u64 = 1;
/// The mm ended while the reader worked on its state. What the reader took may not be in the totals yet, and what it
/// reads may be of another mm. So the reader frees the state when it is done, and the state is not checked for a residue.
pub const ORPHANED: u64 = 2;

/// How long a task can have a new mm before `sched_process_exec` comes, in nanoseconds: loading a program takes less.
const EXEC: u64 = 1_000_000_000;

impl State {
    /// Whether a task has had the mm for longer than an execve takes, by [`State::owned`].
    /// If a new mm finds such a state, it has the address of an mm that ended unseen.
    #[inline(always)]
    #[must_use]
    pub const fn was_owned(owned: u64, now: u64) -> bool {
        owned == OWNED || (owned != 0 && now.wrapping_sub(owned) > EXEC)
    }

    /// Grows with every event of the mm, as soon as the slots have given their counts to the state.
    #[inline(always)]
    #[must_use]
    pub const fn events(&self) -> u64 {
        sum(&[self.hits, self.misses, self.flushes, self.publications, self.churn, self.faults])
    }
}

/// The sum of what grows with every event of an mm.
const fn sum(counts: &[u64; 6]) -> u64 {
    counts[0]
        .wrapping_add(counts[1])
        .wrapping_add(counts[2])
        .wrapping_add(counts[3])
        .wrapping_add(counts[4])
        .wrapping_add(counts[5])
}

impl<W: Live> State<W> {
    /// [`State::events`] of a state that BPF programs work on.
    #[inline(always)]
    #[must_use]
    pub fn events_now(&self) -> u64 {
        sum(&[
            self.hits.get(),
            self.misses.get(),
            self.flushes.get(),
            self.publications.get(),
            self.churn.get(),
            self.faults.get(),
        ])
    }
}

/// What the reader saw of one mm's shadow: the second half of a [`crate::record::FullRecord`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "user", derive(bytemuck::Pod, bytemuck::Zeroable))]
#[repr(C)]
pub struct ShadowRecord {
    /// Id of the state; another id is another mm. 0: the mm has no state (the map is full, or it is not seeded).
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
    /// Pages that readings had to correct.
    pub repaired: u64,
    /// As in [`State`].
    pub peak_exact: i64,
    /// As in [`State`].
    pub peak_drift: i64,
    /// As in [`State`].
    pub active_max: i64,
    /// Error of the peaks in addition to what follows from `active_max`, in pages; per-task accounting.
    pub peak_error: u64,
    /// Slots that hold the mm at this moment.
    pub slots: u32,
    /// `SHADOW_*`.
    pub flags: u32,
}

impl ShadowRecord {
    /// Updates of the mm's counters that were seen.
    #[must_use]
    pub const fn updates(&self) -> u64 {
        self.hits + self.misses
    }

    /// By how much RSS moved at most, in pages, from the moment of the figure `exact` until this reading. `exact` was read right before the
    /// reading `first`. The bound is what RSS moved by until `first` added up, and the churn since then. Both readings have to be valid.
    #[must_use]
    pub fn moved_since(&self, exact: i64, first: &Self) -> u64 {
        rss(&first.shadow).abs_diff(exact) + self.churn.saturating_sub(first.churn)
    }
}

/// The totals and the slots were read without a flush in between.
pub const SHADOW_VALID: u32 = 1;
/// A word kept changing while it was refreshed.
pub const SHADOW_UNSETTLED: u32 = 1 << 1;
/// The mm belongs to what `rss-drift run` measures.
pub const SHADOW_MEASURED: u32 = 1 << 2;

/// Our own counts on one CPU, never reset.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub struct Counts<W: Words = Plain> {
    /// Updates that the CPU's slot held, as far as flushed.
    pub hits: W::Count,
    /// Updates that it did not hold.
    pub misses: W::Count,
    /// Slots that gave something up for another mm.
    pub flushes: W::Count,
    /// Page faults of user mode and of the kernel on user addresses.
    pub faults: W::Count,
    /// States that were created.
    pub births: W::Count,
    /// States that ended.
    pub deaths: W::Count,
    /// Deaths with a residue: a member of the shadow was not 0.
    pub deaths_with_residue: W::Count,
    /// Sum of all residues, without signs, in pages.
    pub residue: W::Count,
    /// Updates of an mm that got no state: no index left, or the hash refused it.
    pub refused: W::Count,
    /// Words that kept changing while they were refreshed.
    pub unsettled: W::Count,
    /// Updates that came while the slot was busy. The next refresh finds them.
    pub nested: W::Count,
    /// States that two readings found without a task and without an event between them: their mm ended unseen.
    pub swept: W::Count,
    /// States that a new mm at their address took over: their own mm ended unseen.
    pub inherited: W::Count,
    /// Pages that the refresh at the end of an mm found: an event was missed, and no later one corrected that (7.2).
    pub late: W::Count,
    /// Mms that were not checked for a residue: they ended while the reader worked on them
    /// (what it read last may be memory of another mm), or before another CPU had flushed them.
    pub unjudged: W::Count,
    /// Catches: updates of the running task's mm while the slot held another one, which then took it.
    /// The task ran already when we attached, or an execve had no event yet, or a switch was not seen.
    pub caught: W::Count,
}

impl Counts {
    /// Adds another CPU's.
    pub const fn add(&mut self, other: &Self) {
        self.hits += other.hits;
        self.misses += other.misses;
        self.flushes += other.flushes;
        self.faults += other.faults;
        self.births += other.births;
        self.deaths += other.deaths;
        self.deaths_with_residue += other.deaths_with_residue;
        self.residue += other.residue;
        self.refused += other.refused;
        self.unsettled += other.unsettled;
        self.nested += other.nested;
        self.swept += other.swept;
        self.inherited += other.inherited;
        self.late += other.late;
        self.unjudged += other.unjudged;
        self.caught += other.caught;
    }
}

/// What belongs to one CPU: 320 bytes, of which the first 168 are the slot.
#[repr(C)]
pub struct Cpu<W: Words = Plain> {
    /// Its slot.
    pub slot: Slot<W>,
    /// The kernel's `__per_cpu_offset` of this CPU.
    pub offset: W::U64,
    /// Our counts on it.
    pub counts: Counts<W>,
    /// Keeps what updates use of the next CPU's slot out of this one's cache lines: the table itself begins at none.
    pub reserved: [u64; 2],
}

const _: () = assert!(size_of::<Cpu>().is_multiple_of(64));

// By hand: derive would ask for traits of the words in the fields.
#[expect(clippy::expl_impl_clone_on_copy, reason = "derive cannot, see above")]
impl Clone for Cpu {
    fn clone(&self) -> Self {
        *self
    }
}
impl Copy for Cpu {}
impl Default for Cpu {
    fn default() -> Self {
        Self { slot: Slot::default(), offset: 0, counts: Counts::default(), reserved: [0; 2] }
    }
}

/// Words of the whole shadow.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub struct Shared<W: Words = Plain> {
    /// The id that the last state got.
    pub last_id: W::U64,
    /// Always 0, see [`crate::memory::Memory::zero`].
    pub zero: W::I64,
    /// Number of this reading.
    pub pass: W::U64,
    /// Mms that this reading visited.
    pub visited: W::U64,
}

/// Implements bytemuck's traits of plain old data for structs that are generic, because its derive
/// does not support those: of plain words unless told otherwise. The number is the size of all fields in bytes.
#[cfg(feature = "user")]
macro_rules! plain_old_data {
    ($($name:ident $(<$of:ty>)? of $bytes:expr),* $(,)?) => {$(
        // No padding: it is as large as its fields.
        const _: () = assert!(size_of::<$name $(<$of>)?>() == $bytes);
        // SAFETY: repr(C), all fields are integers, arrays of them or such structs, any bytes are a value of each, and there is no
        // padding (above).
        unsafe impl bytemuck::Zeroable for $name $(<$of>)? {}
        // SAFETY: as above.
        unsafe impl bytemuck::Pod for $name $(<$of>)? {}
    )*};
}
#[cfg(feature = "user")]
pub(crate) use plain_old_data;

#[cfg(feature = "user")]
plain_old_data!(Slot of 168, State of 320, Counts of 128, Cpu of 320, Shared of 32);

/// Settings of the shadow's BPF programs, put in before loading.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "user", derive(bytemuck::Pod, bytemuck::Zeroable))]
#[repr(C)]
pub struct ShadowConfig {
    /// States: mms that can be followed at once.
    pub max_mms: u32,
    /// Pending pages per member at which a slot publishes: the kernel's batch, or 1 for precise peaks.
    pub threshold: u32,
    /// Number in BTF of a struct that is one signed word of 32 bits, for `bpf_rdonly_cast`; 0 where that is not called.
    pub word_type: u32,
    /// Number in BTF of `struct mm_struct`, likewise.
    pub mm_type: u32,
    /// CPU numbers: what belongs to a CPU stands in a table of so many.
    pub cpus: u32,
    /// CPU numbers times `max_mms`: so long is the table of the kernel's slots as last seen; per-cpu accounting.
    pub seen: u32,
}

impl Figures for ShadowConfig {
    const FIRST: u16 = MOST_FIGURES;
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
