//! Refresh: the kernel's words of one mm turned into deltas, per-cpu accounting.
//!
//! For each word (the slot of a member on a CPU, the global count of a member) the value last seen is kept. A refresh reads
//! the word, exchanges it with the one last seen, and the difference is the delta. Anybody may refresh any word: each
//! delta is counted once, whoever gets it, and their sum is what the kernel's words add up to.

use rss_drift_common::{MEMBERS, shadow::State};

use super::maps;
use crate::{
    atomic,
    kernel::{layout, load, probe, rdonly_cast},
    percpu::SLOT_BYTES,
    repeat::{GO_ON, STOP, repeat},
    run,
};

/// How often a word that changes while it is refreshed is read again.
const TRIES: u32 = 4;

/// The delta of `member` after an update that this CPU saw: its own slot and the global count.
///
/// Nobody else writes this CPU's slot, so it is read once. The count is compared first: it changes at a fold only.
///
/// # Safety
/// `mm` must be known to the verifier, `seen` and `state` must lie in map values.
#[inline(always)]
pub unsafe fn refresh_own(
    mm: *const u8,
    member: u32,
    offset: u64,
    seen: *mut [i32; MEMBERS],
    state: *mut State,
) -> Option<i32> {
    // SAFETY: by the caller. A branch per member: the verifier wants constant offsets into the mm.
    unsafe {
        match member {
            0 => refresh_own_member::<0>(mm, offset, seen, state),
            1 => refresh_own_member::<1>(mm, offset, seen, state),
            2 => refresh_own_member::<2>(mm, offset, seen, state),
            _ => refresh_own_member::<3>(mm, offset, seen, state),
        }
    }
}

#[inline(always)]
unsafe fn refresh_own_member<const MEMBER: usize>(
    mm: *const u8,
    offset: u64,
    seen: *mut [i32; MEMBERS],
    state: *mut State,
) -> Option<i32> {
    // SAFETY: by refresh_own's caller.
    unsafe {
        let slot = word(slots::<MEMBER>(mm) + offset)?;
        let old = atomic::swap(&raw mut (*seen)[MEMBER], slot);
        let global = refresh_global::<MEMBER>(mm, state);
        #[expect(
            clippy::cast_possible_truncation,
            reason = "a fold is a batch or a huge page, never 2^31 pages"
        )]
        Some(slot.wrapping_sub(old).wrapping_add(global as i32))
    }
}

/// The word at `address`, on the hot path. `None` when it cannot be read, which the cast does not tell: the slot of a living
/// mm can be.
///
/// # Safety
/// `address` must be that of a slot of a living mm.
#[inline(always)]
unsafe fn word(address: u64) -> Option<i32> {
    let of = maps::config!(word_type);
    if of == 0 {
        return probe(address);
    }
    // SAFETY: by the caller; the type is a word of 32 bits.
    Some(unsafe { load(rdonly_cast(address, of), 0) })
}

/// What a refresh of all words came to.
pub struct Refreshed {
    /// Sum over the members of what the totals lacked, without signs, in pages. (A CPU that goes offline moves its slots into the
    /// counts without an event, `lib/percpu_counter.c:percpu_counter_cpu_dead`: that changes words and corrects nothing.)
    pub corrected: u64,
    /// Words that did not hold still or could not be read.
    pub unsettled: u64,
}

/// A refresh of all words on its way from CPU to CPU.
struct Walk {
    /// Where the slots of each member lie, as per-CPU pointers.
    slots: [u64; MEMBERS],
    /// 1 where the four lie side by side (`percpu_counter_init_many`, since 6.6).
    together: u64,
    index: u64,
    deltas: [i64; MEMBERS],
    unsettled: u64,
}

/// Refreshes every word of `mm`, of all CPUs, and adds the deltas to the totals.
///
/// # Safety
/// `mm` must be known to the verifier, `state` must lie in a map value and be that of `mm` at `index`.
#[inline(always)]
pub unsafe fn refresh_all(mm: *const u8, index: u32, state: *mut State) -> Refreshed {
    // SAFETY: by the caller.
    unsafe {
        let slots = [slots::<0>(mm), slots::<1>(mm), slots::<2>(mm), slots::<3>(mm)];
        let together = slots[1] == slots[0] + SLOT_BYTES
            && slots[2] == slots[0] + 2 * SLOT_BYTES
            && slots[3] == slots[0] + 3 * SLOT_BYTES;
        let zero = maps::zero();
        let mut walk = Walk {
            slots,
            together: u64::from(together),
            index: u64::from(index),
            deltas: [zero; MEMBERS],
            unsettled: zero.cast_unsigned(),
        };
        repeat(layout!(cpu_ids), &mut walk, refresh_cpu);
        let Walk { mut deltas, unsettled, .. } = walk;
        deltas[0] += refresh_global::<0>(mm, state);
        deltas[1] += refresh_global::<1>(mm, state);
        deltas[2] += refresh_global::<2>(mm, state);
        deltas[3] += refresh_global::<3>(mm, state);
        add_total::<0>(state, &deltas);
        add_total::<1>(state, &deltas);
        add_total::<2>(state, &deltas);
        add_total::<3>(state, &deltas);
        run::count::pages(index, &deltas);
        let corrected = deltas[0].unsigned_abs()
            + deltas[1].unsigned_abs()
            + deltas[2].unsigned_abs()
            + deltas[3].unsigned_abs();
        Refreshed { corrected, unsettled }
    }
}

/// One CPU of [`refresh_all`].
#[inline(never)]
extern "C" fn refresh_cpu(cpu: u32, walk: &mut Walk) -> i64 {
    let (Some(owner), Some(seen)) = (maps::cpu(cpu), maps::seen(cpu, walk.index as u32)) else { return STOP };
    // SAFETY: map values.
    unsafe {
        let offset = (*owner).offset;
        if offset == 0 {
            // A number without a CPU.
            return GO_ON;
        }
        // As a rule nothing changed, and one read tells it.
        if walk.together != 0
            && let Some(now) = probe::<[i32; MEMBERS]>(walk.slots[0] + offset)
            && is_seen::<0>(seen, &now)
            && is_seen::<1>(seen, &now)
            && is_seen::<2>(seen, &now)
            && is_seen::<3>(seen, &now)
        {
            return GO_ON;
        }
        refresh_word::<0>(offset, seen, walk);
        refresh_word::<1>(offset, seen, walk);
        refresh_word::<2>(offset, seen, walk);
        refresh_word::<3>(offset, seen, walk);
    }
    GO_ON
}

/// Whether a slot is as it was last seen.
#[inline(always)]
unsafe fn is_seen<const MEMBER: usize>(seen: *const [i32; MEMBERS], now: &[i32; MEMBERS]) -> bool {
    // SAFETY: by the caller.
    unsafe { core::ptr::read_volatile(&raw const (*seen)[MEMBER]) == now[MEMBER] }
}

/// Where the slots of a member lie, as a per-CPU pointer.
#[inline(always)]
unsafe fn slots<const MEMBER: usize>(mm: *const u8) -> u64 {
    let member = MEMBER as u32;
    // SAFETY: by the caller; the offset is that of percpu_counter.counters of this member.
    unsafe { load(mm, layout!(mm_rss_stat) + layout!(mm_rss_stride) * member + layout!(counter_counters)) }
}

#[inline(always)]
unsafe fn refresh_word<const MEMBER: usize>(offset: u64, seen: *mut [i32; MEMBERS], walk: &mut Walk) {
    let address = walk.slots[MEMBER] + offset;
    let Some(mut value) = probe::<i32>(address) else {
        walk.unsettled += 1;
        return;
    };
    // SAFETY: by the caller.
    unsafe {
        let word = &raw mut (*seen)[MEMBER];
        if core::ptr::read_volatile(word) == value {
            return;
        }
        let mut tries = 0;
        while tries < TRIES {
            let delta = value.wrapping_sub(atomic::swap(word, value));
            walk.deltas[MEMBER] += i64::from(delta);
            match probe::<i32>(address) {
                Some(again) if again == value => return,
                Some(again) => value = again,
                None => break,
            }
            tries += 1;
        }
        walk.unsettled += 1;
    }
}

/// The delta of the global count of a member.
///
/// Load and exchange are two steps: two CPUs that fold together could leave the older count behind. So it is read again
/// until what is stored is what stands.
#[inline(always)]
unsafe fn refresh_global<const MEMBER: usize>(mm: *const u8, state: *mut State) -> i64 {
    let member = MEMBER as u32;
    let at = layout!(mm_rss_stat) + layout!(mm_rss_stride) * member + layout!(counter_count);
    // SAFETY: by the caller.
    unsafe {
        let word = &raw mut (*state).global[MEMBER];
        let mut count: i64 = load(mm, at);
        if core::ptr::read_volatile(word) == count {
            return 0;
        }
        let mut delta = 0;
        let mut tries = 0;
        while tries < TRIES {
            delta += count - atomic::swap(word, count);
            let again: i64 = load(mm, at);
            if again == count {
                break;
            }
            count = again;
            tries += 1;
        }
        delta
    }
}

#[inline(always)]
unsafe fn add_total<const MEMBER: usize>(state: *mut State, deltas: &[i64; MEMBERS]) {
    if deltas[MEMBER] != 0 {
        // SAFETY: by the caller.
        unsafe { atomic::add_signed(&raw mut (*state).totals[MEMBER], deltas[MEMBER]) };
    }
}
