//! Refresh: the kernel's words of one mm turned into deltas.
//!
//! For each word (the slot of a member on a CPU, the global count of a member) the value last seen is kept. A refresh
//! reads the word and exchanges it with the value last seen; the difference is the delta. Anybody may refresh any
//! word: each delta is counted once, whoever gets it, and their sum is what the kernel's words add up to.

use super::{PerCpu, alone};
use crate::{
    MEMBERS,
    memory::{Exchange, Next, Step, Word, Words},
    protocol::handle::Handle,
    shadow::Cpu,
};

/// How often a word that changes while it is refreshed is read again.
const TRIES: u32 = 4;

/// Bytes of one CPU's slot of one counter (`s32`).
pub const SLOT_BYTES: u64 = 4;

/// The delta of `member` after an update that this CPU saw: its own slot, and the global count where the update folded.
///
/// No other CPU writes this CPU's slot, so it is read once. A fold leaves 0 there. So if the slot is not 0, the count
/// is left alone: then a fold of another CPU changed it, and that CPU's event takes the count and the slot together.
/// Taken one by one, the pages of that fold would count twice for a moment, and a peak would keep the error.
#[inline(always)]
pub fn refresh_own<M: PerCpu>(
    memory: &M,
    cpu: &Cpu<M::Words>,
    mm: M::Mm,
    member: u32,
    seen: &[<M::Words as Words>::I32; MEMBERS],
    handle: Handle<'_, M::Words>,
) -> Option<Own> {
    let own = refresh_own_slot(memory, cpu, mm, member, seen)?;
    if !own.folded {
        return Some(own);
    }
    let count = memory.refresh_count(cpu, mm, member, handle.index);
    Some(Own { delta: own.delta.wrapping_add(count), ..own })
}

/// The first half of [`refresh_own`]: the delta of the slot. If the update folded, [`refresh_count`] finds the rest.
#[inline(always)]
pub fn refresh_own_slot<M: PerCpu>(
    memory: &M,
    cpu: &Cpu<M::Words>,
    mm: M::Mm,
    member: u32,
    seen: &[<M::Words as Words>::I32; MEMBERS],
) -> Option<Own> {
    // A branch per member: the verifier wants constant offsets into the mm.
    let slots = match member {
        0 => memory.slots::<0>(mm),
        1 => memory.slots::<1>(mm),
        2 => memory.slots::<2>(mm),
        _ => memory.slots::<3>(mm),
    };
    let now = memory.own_slot(slots.wrapping_add(cpu.offset.get()))?;
    Some(refresh_own_word(now, &seen[member as usize & (MEMBERS - 1)]))
}

/// The delta of this CPU's slot, which reads `now`, and was last seen as `seen` says.
#[inline(always)]
pub fn refresh_own_word(now: i32, seen: &impl Exchange<i32>) -> Own {
    Own { delta: now.wrapping_sub(seen.swap(now)), now, folded: now == 0 }
}

/// This CPU's slot learns where the words of its mm are.
#[inline(always)]
pub fn learn<M: PerCpu>(memory: &M, cpu: &Cpu<M::Words>, number: u32, mm: M::Mm) {
    let (slot, offset) = (&cpu.slot, cpu.offset.get());
    slot.place.set(memory.place(number, slot.index.get()));
    slot.words[0].set(memory.slots::<0>(mm).wrapping_add(offset));
    slot.words[1].set(memory.slots::<1>(mm).wrapping_add(offset));
    slot.words[2].set(memory.slots::<2>(mm).wrapping_add(offset));
    slot.words[3].set(memory.slots::<3>(mm).wrapping_add(offset));
}

/// What an event found of its update.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Own {
    /// Pages. 0 if a reading took them first.
    pub delta: i32,
    /// What the kernel's slot came to.
    pub now: i32,
    /// The slot reads 0: the update may have folded.
    pub folded: bool,
}

/// The delta of the global count of `member` after an update that folded, which is
/// one in a batch. Called by [`PerCpu::refresh_count`].
#[inline(always)]
pub fn refresh_count<M: PerCpu>(memory: &M, cpu: &Cpu<M::Words>, mm: M::Mm, member: u32, index: u32) -> i32 {
    let Some(handle) = Handle::at(memory, index) else { return 0 };
    let global = match member {
        0 => refresh_global::<M, 0>(memory, mm, handle),
        1 => refresh_global::<M, 1>(memory, mm, handle),
        2 => refresh_global::<M, 2>(memory, mm, handle),
        _ => refresh_global::<M, 3>(memory, mm, handle),
    };
    if global.unsettled != 0 {
        cpu.counts.unsettled.add(u64::from(global.unsettled));
    }
    #[expect(clippy::cast_possible_truncation, reason = "a fold is a batch or a huge page, never 2^31 pages")]
    let delta = global.delta as i32;
    delta
}

/// The result of a refresh of all words.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(C)]
pub struct Refreshed {
    /// Sum over the members of what the totals lacked, without signs, in pages. (A CPU that goes offline moves its slots into the
    /// counts without an event, `lib/percpu_counter.c:percpu_counter_cpu_dead`: that changes words and corrects nothing.)
    pub corrected: u64,
    /// Sum of what each word changed by since it was last seen, without signs, in pages: at least what the counters moved by.
    pub moved: u64,
    /// Words that kept changing or could not be read.
    pub unsettled: u64,
}

/// A walk over all CPUs that refreshes all words. Numbers alone: a step of it is a function of its own ([`PerCpu::refresh_cpu`]).
#[repr(C)]
pub struct Walk {
    /// Where the slots of each member lie, as per-CPU pointers.
    slots: [u64; MEMBERS],
    /// 1 where the four lie side by side (`percpu_counter_init_many`, since 6.6).
    together: u32,
    index: u32,
    deltas: [i64; MEMBERS],
    /// Those of `deltas` that are not in the totals yet: of slots that read 0, because a fold may have moved them to the count.
    folded: [i32; MEMBERS],
    refreshed: Refreshed,
}

/// [`crate::memory::Memory::zero`] in 32 bits.
#[inline(always)]
#[expect(clippy::cast_possible_truncation, reason = "it is 0")]
const fn narrow(zero: i64) -> i32 {
    zero as i32
}

/// Refreshes every word of `mm`, of all CPUs, and adds the deltas to the totals.
///
/// Between the exchange of a word and the addition of its delta the totals lack that delta, and its own event no longer finds
/// it. A peak could be missed, so the state says so meanwhile ([`Handle::is_settling`]), and a delta is added at once. Only
/// that of a slot that reads 0 waits for the count that it may have been folded into: one without the other is a wrong figure.
#[inline(always)]
pub fn refresh_all<M: PerCpu>(memory: &M, mm: M::Mm, handle: Handle<'_, M::Words>) -> Refreshed {
    let mut refreshed = Refreshed { corrected: 0, moved: 0, unsettled: 0 };
    memory.refresh_words(mm, handle.index, &mut refreshed);
    refreshed
}

/// As [`refresh_all`]. Called by [`PerCpu::refresh_words`]. `refreshed`: zeros, which are no constants to the verifier there (see
/// [`crate::memory::Memory::zero`]).
#[inline(always)]
pub fn refresh_words<M: PerCpu>(memory: &M, mm: M::Mm, index: u32, refreshed: &mut Refreshed) {
    let zero = refreshed.corrected.cast_signed();
    let slots = [memory.slots::<0>(mm), memory.slots::<1>(mm), memory.slots::<2>(mm), memory.slots::<3>(mm)];
    let together = slots[1] == slots[0] + SLOT_BYTES
        && slots[2] == slots[0] + 2 * SLOT_BYTES
        && slots[3] == slots[0] + 3 * SLOT_BYTES;
    let mut walk = Walk {
        slots,
        together: u32::from(together),
        index,
        deltas: [zero; MEMBERS],
        folded: [narrow(zero); MEMBERS],
        refreshed: *refreshed,
    };
    memory.for_each_cpu(&mut walk);
    let Some(handle) = Handle::at(memory, index) else { return };
    begin_settling(memory, handle);
    take_count::<M, 0>(memory, mm, index, &mut walk);
    take_count::<M, 1>(memory, mm, index, &mut walk);
    take_count::<M, 2>(memory, mm, index, &mut walk);
    take_count::<M, 3>(memory, mm, index, &mut walk);
    handle.end_settling();
    let deltas = walk.deltas;
    memory.found(index, &deltas);
    refreshed.moved = walk.refreshed.moved;
    refreshed.unsettled = walk.refreshed.unsettled;
    refreshed.corrected = deltas[0].unsigned_abs()
        + deltas[1].unsigned_abs()
        + deltas[2].unsigned_abs()
        + deltas[3].unsigned_abs();
}

/// From here on deltas are taken that the totals lack.
#[inline(always)]
fn begin_settling<M: PerCpu>(memory: &M, handle: Handle<'_, M::Words>) {
    handle.begin_settling();
    alone::disturb(memory, handle);
}

/// The global count of a member, with the slots that were folded into it. A function of its own, as the walk's stack is full.
#[inline(never)]
fn take_count<M: PerCpu, const MEMBER: usize>(memory: &M, mm: M::Mm, index: u32, walk: &mut Walk) {
    let Some(handle) = Handle::at(memory, index) else { return };
    let global = refresh_global::<M, MEMBER>(memory, mm, handle);
    walk.deltas[MEMBER] += global.delta;
    walk.refreshed.moved += global.delta.unsigned_abs();
    walk.refreshed.unsettled += u64::from(global.unsettled);
    handle.add_total_of::<MEMBER>(i64::from(walk.folded[MEMBER]) + global.delta);
}

impl<M: PerCpu> Step<M> for Walk {
    #[inline(always)]
    fn step(&mut self, memory: &M, cpu: u32) -> Next {
        memory.refresh_cpu(cpu, self);
        Next::GoOn
    }
}

impl Walk {
    /// The words of one CPU.
    #[inline(always)]
    pub fn refresh_cpu<M: PerCpu>(&mut self, memory: &M, cpu: u32) {
        let index = self.index;
        let (Some(owner), Some(seen)) = (memory.cpu(cpu), memory.seen(cpu, index)) else { return };
        let offset = owner.offset.get();
        if offset == 0 {
            // There is no CPU with this number.
            return;
        }
        // As a rule nothing changed, and one read shows that.
        if self.together != 0
            && let Some(now) = memory.four_slots(self.slots[0], offset)
            && seen[0].get() == now[0]
            && seen[1].get() == now[1]
            && seen[2].get() == now[2]
            && seen[3].get() == now[3]
        {
            return;
        }
        let Some(handle) = Handle::at(memory, index) else { return };
        begin_settling(memory, handle);
        refresh_word::<M, 0>(memory, handle, offset, &seen[0], self);
        refresh_word::<M, 1>(memory, handle, offset, &seen[1], self);
        refresh_word::<M, 2>(memory, handle, offset, &seen[2], self);
        refresh_word::<M, 3>(memory, handle, offset, &seen[3], self);
        if self.folded[0] | self.folded[1] | self.folded[2] | self.folded[3] == 0 {
            handle.end_settling();
        }
    }
}

/// One word of another CPU, or of this one.
#[inline(always)]
fn refresh_word<M: PerCpu, const MEMBER: usize>(
    memory: &M,
    handle: Handle<'_, M::Words>,
    offset: u64,
    word: &<M::Words as Words>::I32,
    walk: &mut Walk,
) {
    let slots = walk.slots[MEMBER];
    let Some(mut value) = memory.slot(slots, offset) else {
        walk.refreshed.unsettled += 1;
        return;
    };
    if word.get() == value {
        return;
    }
    let mut tries = 0;
    while tries < TRIES {
        let delta = value.wrapping_sub(word.swap(value));
        walk.deltas[MEMBER] += i64::from(delta);
        if value == 0 {
            walk.folded[MEMBER] = walk.folded[MEMBER].wrapping_add(delta);
        } else {
            handle.add_total_of::<MEMBER>(i64::from(delta));
        }
        walk.refreshed.moved += u64::from(delta.unsigned_abs());
        match memory.slot(slots, offset) {
            Some(again) if again == value => return,
            Some(again) => value = again,
            None => break,
        }
        tries += 1;
    }
    walk.refreshed.unsettled += 1;
}

/// The result of a refresh of a global count.
#[derive(Clone, Copy)]
struct Global {
    /// By how much the count changed since it was last seen, in pages.
    delta: i64,
    /// 1 if it kept changing.
    unsettled: u32,
}

/// The delta of the global count of a member.
///
/// Load and exchange are two steps: two CPUs that fold together could leave the older
/// count behind. So the count is read again until the stored value is the current one.
#[inline(always)]
fn refresh_global<M: PerCpu, const MEMBER: usize>(
    memory: &M,
    mm: M::Mm,
    handle: Handle<'_, M::Words>,
) -> Global {
    let word = &handle.state.global[MEMBER];
    let mut count = memory.count::<MEMBER>(mm);
    if word.get() == count {
        return Global { delta: 0, unsettled: 0 };
    }
    let mut delta = 0;
    let mut tries = 0;
    while tries < TRIES {
        delta += handle.exchange_global::<MEMBER>(count);
        let again = memory.count::<MEMBER>(mm);
        if again == count {
            return Global { delta, unsettled: 0 };
        }
        count = again;
        tries += 1;
    }
    Global { delta, unsettled: 1 }
}
