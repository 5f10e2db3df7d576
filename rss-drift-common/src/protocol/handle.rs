//! Access to the state of one mm. A [`State`] is reached through its handle only. Its peaks are in peaks.rs.

use super::peaks::raise;
use crate::{
    MEMBERS,
    member::{self, Member, Pages},
    memory::{Exchange, Live, Memory, Word},
    shadow::{CPU_BITS, CPU_WORDS, State},
    slot::{Batch, Deltas},
};

/// A state at its index, with the id that it had when it was looked up.
pub struct Handle<'m, W: Live> {
    /// Index of the state.
    pub index: u32,
    /// Id of the state: another id is another mm.
    pub id: u64,
    pub(super) state: &'m State<W>,
}

impl<W: Live> Clone for Handle<'_, W> {
    fn clone(&self) -> Self {
        *self
    }
}
impl<W: Live> Copy for Handle<'_, W> {}

/// How a slot gave up its deltas.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Given {
    /// The slot took another mm.
    Flushed,
    /// The slot keeps its mm.
    Published,
}

impl<'m, W: Live> Handle<'m, W> {
    /// The state at `index`, whatever mm has it.
    #[inline(always)]
    pub fn at<M: Memory<Words = W>>(memory: &'m M, index: u32) -> Option<Self> {
        let state = memory.state(index)?;
        Some(Self { index, id: state.id.get(), state })
    }

    /// The state at `index`, which had this `id` when it was looked up before; ask [`Handle::lives`] whether it still has.
    #[inline(always)]
    pub fn known<M: Memory<Words = W>>(memory: &'m M, index: u32, id: u64) -> Option<Self> {
        Some(Self { index, id, state: memory.state(index)? })
    }

    /// The same state, whatever mm has it now.
    #[inline(always)]
    #[must_use]
    pub fn again(self) -> Self {
        Self { id: self.state.id.get(), ..self }
    }

    /// Whether the state is still that of the same mm.
    #[inline(always)]
    #[must_use]
    pub fn lives(&self) -> bool {
        self.state.id.get() == self.id
    }

    /// Whether the state was that of the mm at this address when it was looked up.
    #[inline(always)]
    #[must_use]
    pub fn lives_at(&self, mm: u64) -> bool {
        self.id != 0 && self.state.mm.get() == mm
    }

    /// Whether the state is that of the mm at this address, and all words of the mm have been read once.
    #[inline(always)]
    #[must_use]
    pub fn is_of(&self, mm: u64) -> bool {
        self.lives_at(mm) && self.state.seeded.get() != 0
    }

    /// Adds what a slot gave up.
    #[inline(always)]
    pub fn add(&self, batch: &Batch, given: Given) {
        self.add_deltas(&batch.pending);
        if batch.hits != 0 {
            self.state.hits.add(batch.hits);
            self.state.churn.add(batch.churn);
        }
        if batch.faults != 0 {
            self.add_faults(batch.faults);
        }
        if batch.active != 0 {
            self.state.active_cpus.add(-1);
        }
        // Last: a reader that read the totals before and the slots after sees that one of these changed.
        if given == Given::Flushed && batch.hits != 0 {
            self.state.flushes.add(1);
        } else {
            self.state.publications.add(1);
        }
    }

    /// Adds what a slot published of one member.
    #[inline(always)]
    pub fn publish(&self, member: u32, pages: i32) {
        self.add_total(member, pages);
        // Last, as in `add`.
        self.state.publications.add(1);
    }

    /// Four members, unrolled: an index would have to be proven within the array each time.
    #[inline(always)]
    fn add_deltas(&self, deltas: &Deltas) {
        let [file, anon, swap, shmem] = *deltas;
        self.add_pages(&[i64::from(file), i64::from(anon), i64::from(swap), i64::from(shmem)]);
    }

    /// Adds pages that no slot holds to the totals.
    #[inline(always)]
    pub fn add_pages(&self, pages: &Pages) {
        add_to(&self.state.totals[0], pages[0]);
        add_to(&self.state.totals[1], pages[1]);
        add_to(&self.state.totals[2], pages[2]);
        add_to(&self.state.totals[3], pages[3]);
        add_to(&self.state.rss, member::rss(pages));
    }

    /// Adds one delta to the totals.
    #[inline(always)]
    pub fn add_total(&self, member: u32, delta: i32) {
        add_to(&self.state.totals[member as usize & (MEMBERS - 1)], i64::from(delta));
        if member != Member::Swap as u32 {
            add_to(&self.state.rss, i64::from(delta));
        }
    }

    /// As [`Handle::add_total`], for a member that is known at compile time.
    #[inline(always)]
    pub fn add_total_of<const MEMBER: usize>(&self, delta: i64) {
        add_to(&self.state.totals[MEMBER], delta);
        if MEMBER != Member::Swap.index() {
            add_to(&self.state.rss, delta);
        }
    }

    /// A reading takes deltas and will add them to the totals later. The flag is set in one step with a full
    /// barrier, before the reading takes any of them: an event that comes to a word after that sees the flag.
    #[inline(always)]
    pub fn begin_settling(&self) {
        self.state.settling.swap(1);
    }

    /// All deltas that the reading took are in the totals.
    #[inline(always)]
    pub fn end_settling(&self) {
        self.state.settling.set(0);
    }

    /// Whether a reading has taken deltas that are not in the totals yet.
    #[inline(always)]
    #[must_use]
    pub fn is_settling(&self) -> bool {
        self.state.settling.get() != 0
    }

    /// A reading took an update and has not added it yet, so a peak may be missed.
    /// From here on the peaks have an error, as if another CPU changed the mm.
    #[inline(always)]
    pub fn doubt_peaks(&self) {
        self.raise_active_max(1 + self.state.active_cpus.get().max(1));
    }

    /// So many CPUs are active at once.
    #[inline(always)]
    fn raise_active_max(&self, cpus: i64) {
        if cpus > self.state.active_max.get() {
            raise(&self.state.active_max, cpus);
        }
    }

    /// Stores the kernel's global count of a member as last seen, and returns by how much it changed. Each value is exchanged
    /// for the one before it, so that the additions to [`State::approximate`] have the right sum in whatever order they come.
    #[inline(always)]
    #[must_use]
    pub fn exchange_global<const MEMBER: usize>(&self, count: i64) -> i64 {
        let old = self.state.global[MEMBER].swap(count);
        if MEMBER != Member::Swap.index() {
            add_to(&self.state.approximate, positive(count) - positive(old));
        }
        count - old
    }

    /// A sync moved pages, which a look found in a task's cache, to the mm's count. That is no update: see [`State::synced`].
    #[inline(always)]
    pub fn transfer(&self, member: u32, pages: i32) {
        add_to(&self.state.totals[member as usize & (MEMBERS - 1)], -i64::from(pages));
        if member != Member::Swap as u32 {
            add_to(&self.state.synced, i64::from(pages));
        }
    }

    /// Counts page faults.
    #[inline(always)]
    pub fn add_faults(&self, faults: u64) {
        self.state.faults.add(faults);
    }

    /// Counts a miss.
    #[inline(always)]
    pub fn add_miss(&self) {
        self.state.misses.add(1);
    }

    /// Adds to the churn.
    #[inline(always)]
    pub fn add_churn(&self, pages: u64) {
        self.state.churn.add(pages);
    }

    /// Counts pages that a reading had to correct.
    #[inline(always)]
    pub fn add_repaired(&self, pages: u64) {
        self.state.repaired.add(pages);
    }

    /// The totals.
    #[inline(always)]
    #[must_use]
    pub fn totals(&self) -> Pages {
        let [file, anon, swap, shmem] = &self.state.totals;
        [file.get(), anon.get(), swap.get(), shmem.get()]
    }

    /// The kernel's global counts as last seen.
    #[inline(always)]
    #[must_use]
    pub fn global(&self) -> Pages {
        let [file, anon, swap, shmem] = &self.state.global;
        [file.get(), anon.get(), swap.get(), shmem.get()]
    }

    /// RSS of the totals, in pages, from one word.
    #[inline(always)]
    #[must_use]
    pub fn rss(&self) -> i64 {
        self.state.rss.get()
    }

    /// RSS of the totals, in pages.
    #[inline(always)]
    #[must_use]
    pub fn totals_rss(&self) -> i64 {
        member::rss(&self.totals())
    }

    /// Sum of the totals without signs, in pages.
    #[inline(always)]
    #[must_use]
    pub fn residue(&self) -> u64 {
        let totals = self.totals();
        totals[0].unsigned_abs()
            + totals[1].unsigned_abs()
            + totals[2].unsigned_abs()
            + totals[3].unsigned_abs()
    }

    /// Flushes and publications so far.
    #[inline(always)]
    #[must_use]
    pub fn given_up(&self) -> u64 {
        self.state.flushes.get().wrapping_add(self.state.publications.get())
    }

    /// This CPU begins to change the mm without holding it, and is active until
    /// [`Handle::reach_out`]. True if another CPU is active meanwhile.
    #[inline(always)]
    #[must_use]
    pub fn reach_in(&self) -> bool {
        let cpus = self.state.active_cpus.fetch_add(1) + 1;
        self.raise_active_max(cpus);
        cpus > 1
    }

    /// The change of [`Handle::reach_in`] is done.
    #[inline(always)]
    pub fn reach_out(&self) {
        self.state.active_cpus.add(-1);
    }

    /// Number of the CPU that took the mm into its slot last.
    #[inline(always)]
    #[must_use]
    pub fn last_entered(&self) -> Option<u32> {
        u32::try_from(self.state.entered.get()).ok()?.checked_sub(1)
    }

    /// Whether the totals are complete: all words of the mm have been read once, and no reading
    /// has taken deltas that it has not added yet. If a reading has, the peaks get an error.
    #[inline(always)]
    #[must_use]
    pub fn is_whole(&self) -> bool {
        if self.is_settling() {
            self.doubt_peaks();
            return false;
        }
        self.state.seeded.get() != 0
    }

    /// Whether a CPU is active: its slot may have pending deltas.
    #[inline(always)]
    #[must_use]
    pub fn has_active_cpus(&self) -> bool {
        self.state.active_cpus.get() != 0
    }

    /// Another CPU becomes active. Whether one is already.
    #[inline(always)]
    #[must_use]
    pub fn enter(&self, cpu: u32) -> bool {
        self.state.entered.set(u64::from(cpu) + 1);
        let cpus = self.state.active_cpus.fetch_add(1) + 1;
        self.raise_active_max(cpus);
        let bit = if cpu < CPU_BITS { cpu } else { CPU_BITS - 1 };
        let word = &self.state.cpus[(bit / 64) as usize & (CPU_WORDS - 1)];
        let bit = 1_u64 << (bit % 64);
        if word.get() & bit == 0 {
            word.set_bits(bit);
        }
        cpus > 1
    }
}

/// As the kernel's approximate reader takes a count: below 0 is 0.
#[inline(always)]
const fn positive(count: i64) -> i64 {
    if count < 0 { 0 } else { count }
}

/// Adds unless there is nothing to add: most updates change one member, and a locked instruction costs more than the comparison.
#[inline(always)]
fn add_to<T: Word<i64>>(word: &T, pages: i64) {
    if pages != 0 {
        word.add(pages);
    }
}
