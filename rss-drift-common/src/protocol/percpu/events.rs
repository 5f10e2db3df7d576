//! What the BPF programs of the tracepoints do.

use super::{PerCpu, alone, life, words};
use crate::{
    MEMBERS,
    memory::{Memory, Word},
    protocol::{flush, handle::Handle, lifecycle, observer::Update},
    shadow::Cpu,
    slot::busy_with,
};

/// `kmem:rss_stat`: a member of an mm was changed, by this CPU as a rule. `event` reads both from the event, as often as they are asked
/// for: to keep them over what is called meanwhile takes more.
#[inline(always)]
pub fn updated<M: PerCpu>(memory: &M, event: impl Fn() -> (M::Mm, u32)) {
    let Some(cpu) = memory.cpu(memory.here()) else { return };
    if cpu.slot.busy.get() != 0 {
        cpu.counts.nested.add(1);
        return;
    }
    if memory.listens() {
        let (mm, member) = event();
        observed_update(memory, cpu, mm, member);
    } else {
        common_hit(memory, cpu, event);
    }
}

/// The hit that nearly all updates are: this CPU is alone with the mm, the update did not fold, and neither a peak nor a threshold is
/// near. It touches the slot and the kernel's word. Nothing is called but as the last step: what a function in between would need
/// saved is most of what this takes.
#[inline(always)]
fn common_hit<M: PerCpu>(memory: &M, cpu: &Cpu<M::Words>, event: impl Fn() -> (M::Mm, u32)) {
    let slot = &cpu.slot;
    // A switch that preempts us (from 7.x on) defers itself from the mark on; one that came before it is seen behind it.
    slot.begin_own();
    let (mm, member) = event();
    let place = member as usize & (MEMBERS - 1);
    if slot.alone.get() == memory.address(mm)
        && let Some(now) = memory.own_slot(slot.words[place].get())
        && let Some(seen) = memory.seen_at(slot.place.get())
    {
        let own = words::refresh_own_word(now, &seen[place]);
        // Most updates are of one page. (Of none: a reading took it.)
        let one_page = own.delta.wrapping_add(1) & !2 == 0;
        if slot.allows(place, own.now) && (one_page || own.delta != 0) {
            slot.add(place, own.delta);
            slot.count(if one_page { 1 } else { u64::from(own.delta.unsigned_abs()) });
            return flush::done(memory, cpu);
        }
        let (mm, member) = event();
        if own.folded {
            return folded_hit(memory, cpu, mm, member, own.delta);
        }
        return rare_hit(memory, cpu, member, own.delta);
    }
    let (mm, member) = event();
    looking_hit(memory, cpu, mm, member);
}

/// The hit of a CPU that is not alone with the mm, or whose mm grows beyond its peak. The slot is at work on the mm.
#[inline(never)]
fn looking_hit<M: PerCpu>(memory: &M, cpu: &Cpu<M::Words>, mm: M::Mm, member: u32) {
    let slot = &cpu.slot;
    slot.begin();
    if slot.holds(memory.address(mm))
        && slot.active.get() != 0
        && let Some(handle) = Handle::known(memory, slot.index.get(), slot.id.get())
        && handle.lives()
        && let Some(seen) = memory.seen(memory.here(), handle.index)
        && let Some(own) = words::refresh_own_slot(memory, cpu, mm, member, seen)
    {
        if own.folded {
            return folded_hit(memory, cpu, mm, member, own.delta);
        }
        slot.update(member as usize, own.delta);
        if own.delta == 0
            || slot.is_full(member as usize, memory.threshold())
            || handle.is_undisturbed()
            || handle.is_beyond_peaks(handle.rss() + slot.pending_rss())
        {
            memory.settle(cpu, member, own.delta == 0);
        }
        return flush::done(memory, cpu);
    }
    // The mark was set for the common hit, but the update is another one.
    flush::done(memory, cpu);
    if memory.any_update(cpu, mm, member, Attempt::First) == Outcome::NoState {
        memory.create(mm);
        memory.any_update(cpu, mm, member, Attempt::Last);
    }
}

/// The end of a hit that folded. The kernel's slot is 0 now, so what the member has pending goes to the totals as well: as long as nothing
/// else is published the two are equal from here on, and the next fold is the next publication too.
#[inline(never)]
fn folded_hit<M: PerCpu>(memory: &M, cpu: &Cpu<M::Words>, mm: M::Mm, member: u32, delta: i32) {
    let slot = &cpu.slot;
    let delta = delta.wrapping_add(memory.refresh_count(cpu, mm, member, slot.index.get()));
    slot.update(member as usize, delta);
    if let Some(handle) = Handle::known(memory, slot.index.get(), slot.id.get()) {
        flush::publish_member(handle, slot, member);
        if !alone::renew(memory, cpu, handle, member) {
            memory.settle(cpu, member, true);
        }
    }
    flush::done(memory, cpu);
}

/// The end of a hit that has to look at the state.
#[inline(never)]
fn rare_hit<M: PerCpu>(memory: &M, cpu: &Cpu<M::Words>, member: u32, delta: i32) {
    cpu.slot.update(member as usize, delta);
    memory.settle(cpu, member, delta == 0);
    flush::done(memory, cpu);
}

/// An update that an observer is told of, with the context of its event.
#[inline(never)]
fn observed_update<M: PerCpu>(memory: &M, cpu: &Cpu<M::Words>, mm: M::Mm, member: u32) {
    if update_of_any_kind(memory, cpu, mm, member, Attempt::First) == Outcome::NoState {
        memory.create(mm);
        update_of_any_kind(memory, cpu, mm, member, Attempt::Last);
    }
}

/// For [`observed_update`], twice.
#[inline(never)]
fn update_of_any_kind<M: PerCpu>(
    memory: &M,
    cpu: &Cpu<M::Words>,
    mm: M::Mm,
    member: u32,
    attempt: Attempt,
) -> Outcome {
    any_update(memory, cpu, mm, member, attempt)
}

/// What became of an update.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It was counted.
    Counted,
    /// Nothing was counted: the mm has no state yet. (The state is not made in here, because the verifier adds up the stacks of all
    /// functions that are at work, and those that make a state have none of the 512 bytes left.)
    NoState,
}

/// Whether a state can still be made for an update.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Attempt {
    /// It can: an mm without a state is [`Outcome::NoState`].
    First,
    /// It was tried. Without a state, because there is no room, the update counts as a hit or a miss all the same.
    Last,
}

/// An update of any kind, by a slot that was not busy.
#[inline(always)]
pub fn any_update<M: PerCpu>(
    memory: &M,
    cpu: &Cpu<M::Words>,
    mm: M::Mm,
    member: u32,
    attempt: Attempt,
) -> Outcome {
    let slot = &cpu.slot;
    let address = memory.address(mm);
    if !slot.holds(address) && memory.current_mm() == address {
        catch(memory, cpu, address);
    }
    if slot.holds(address) {
        slot.begin();
        let holds = slot.holds(address);
        let mut outcome = Outcome::Counted;
        if holds {
            outcome = hit(memory, cpu, mm, member, attempt);
        }
        flush::done(memory, cpu);
        if holds {
            return outcome;
        }
    }
    miss(memory, cpu, mm, member, attempt)
}

/// The running task's own mm is not the one that the slot holds: no switch has
/// shown it, or not yet. This is rare and long, so it is a function of its own.
#[inline(never)]
fn catch<M: PerCpu>(memory: &M, cpu: &Cpu<M::Words>, mm: u64) {
    cpu.counts.caught.add(1);
    flush::catch_up(memory, cpu, mm);
}

/// An update of the mm that this CPU's slot holds. The slot is marked as busy.
#[inline(never)]
fn hit<M: PerCpu>(memory: &M, cpu: &Cpu<M::Words>, mm: M::Mm, member: u32, attempt: Attempt) -> Outcome {
    let slot = &cpu.slot;
    let Some(mut handle) = Handle::known(memory, slot.index.get(), slot.id.get()) else {
        return Outcome::Counted;
    };
    if slot.active.get() == 0 || !handle.lives() {
        if !memory.begin_to_change(cpu, mm) {
            if attempt == Attempt::First {
                return Outcome::NoState;
            }
            cpu.counts.hits.add(1);
            return Outcome::Counted;
        }
        let Some(known) = Handle::known(memory, slot.index.get(), slot.id.get()) else {
            return Outcome::Counted;
        };
        handle = known;
    }
    let Some(seen) = memory.seen(memory.here(), handle.index) else { return Outcome::Counted };
    if memory.listens() && memory.is_unused(mm) {
        let exact = handle.totals_rss() + slot.pending_rss();
        memory.last_user_gone(handle.index, memory.address(mm), handle.approximate(), exact);
    }
    let Some(own) = words::refresh_own(memory, cpu, mm, member, seen, handle) else {
        cpu.counts.unsettled.add(1);
        slot.update(member as usize, 0);
        return Outcome::Counted;
    };
    slot.update(member as usize, own.delta);
    memory.updated(handle.index, member, i64::from(own.delta), Update::Hit);
    memory.settle(cpu, member, own.delta == 0 || own.folded);
    Outcome::Counted
}

/// What a hit may ask for when the slot has it: a publication, and a look at the peaks, also where a reading took the update, or may
/// have taken half of its fold (`doubtful`). Where it asks for none, the next ones may do without these questions. Called by
/// [`PerCpu::settle`].
#[inline(always)]
pub fn settle<M: PerCpu>(memory: &M, cpu: &Cpu<M::Words>, member: u32, doubtful: bool) {
    let Some(handle) = Handle::at(memory, cpu.slot.index.get()) else { return };
    cpu.slot.forbid();
    if cpu.slot.is_full(member as usize, memory.threshold()) {
        flush::publish_now(memory, cpu);
    }
    if doubtful || handle.is_beyond_peaks(handle.rss() + cpu.slot.pending_rss()) {
        raise_from_inside(memory, cpu, handle.index, member);
    } else {
        allow(memory, cpu, handle, member);
    }
}

/// The next updates may do without a look at the state, where one CPU alone changes the mm. (What observers are told of takes that look,
/// and where every update is published there is nothing to allow.)
#[inline(always)]
fn allow<M: PerCpu>(memory: &M, cpu: &Cpu<M::Words>, handle: Handle<'_, M::Words>, member: u32) {
    if !memory.listens() && memory.threshold() > 1 && handle.is_undisturbed() {
        alone::allow(memory, cpu, member);
    }
}

/// Raises the peaks of an mm that this CPU's slot holds. While a reading has taken deltas and not added them yet, the totals
/// are not the sum of any instant, so the peaks get an error instead. (The flag is read before the totals: if it is 0, what
/// was taken before is in them.) So an update that a reading took, or half of whose fold it took, has to come here too.
#[inline(never)]
fn raise_from_inside<M: PerCpu>(memory: &M, cpu: &Cpu<M::Words>, index: u32, member: u32) {
    let Some(handle) = Handle::at(memory, index) else { return };
    if !handle.is_whole() {
        return;
    }
    let exact = handle.rss() + cpu.slot.pending_rss();
    // An mm that grows is beyond its peak at the next update too.
    if handle.is_beyond_peaks(exact) {
        handle.raise_peaks(exact, memory.bound());
    } else {
        allow(memory, cpu, handle, member);
    }
}

/// The first update of the slot's mm after a switch or a publication for idling: the slot learns the state, and this CPU is
/// active. False where the mm has no state.
#[inline(always)]
pub fn begin_to_change<M: PerCpu>(memory: &M, cpu: &Cpu<M::Words>, mm: M::Mm) -> bool {
    let number = memory.here();
    let slot = &cpu.slot;
    let id = slot.id.get();
    let mut known = None;
    if id != 0 {
        known = Handle::known(memory, slot.index.get(), id).filter(Handle::lives);
        if known.is_none() {
            // The slot's mm ended while the slot held it (execve), and a new mm has the address:
            // begin again with the new one. Of the old one only the hits are still to be counted.
            cpu.counts.hits.add(slot.take(memory.address(mm)).hits);
        }
    }
    let found = match known {
        Some(handle) => Some(handle),
        None => lifecycle::find(memory, memory.address(mm)),
    };
    let Some(handle) = found else { return false };
    slot.id.set(handle.id);
    slot.index.set(handle.index);
    words::learn(memory, cpu, number, mm);
    slot.active.set(1);
    slot.begin();
    if handle.enter(number) {
        alone::disturb(memory, handle);
    }
    true
}

/// An update of an mm that this CPU's slot does not hold goes straight to the totals. The
/// mark is for a reader, which could otherwise find the word refreshed and its delta nowhere.
#[inline(never)]
fn miss<M: PerCpu>(memory: &M, cpu: &Cpu<M::Words>, mm: M::Mm, member: u32, attempt: Attempt) -> Outcome {
    let found = lifecycle::find(memory, memory.address(mm));
    if found.is_none() && attempt == Attempt::First {
        return Outcome::NoState;
    }
    cpu.counts.misses.add(1);
    let Some(handle) = found else { return Outcome::Counted };
    let Some(seen) = memory.seen(memory.here(), handle.index) else { return Outcome::Counted };
    if memory.listens() && memory.is_unused(mm) {
        let address = memory.address(mm);
        memory.last_user_gone(handle.index, address, handle.approximate(), handle.totals_rss());
    }
    cpu.slot.busy.set(busy_with(handle.index));
    let shared = handle.reach_in();
    if shared {
        alone::disturb(memory, handle);
    }
    let delta = words::refresh_own(memory, cpu, mm, member, seen, handle);
    if delta.is_none() {
        cpu.counts.unsettled.add(1);
    }
    let delta = delta.map_or(0, |own| own.delta);
    if delta != 0 {
        handle.add_total(member, delta);
        handle.add_churn(u64::from(delta.unsigned_abs()));
        raise_from_outside(memory, handle, shared);
    } else if handle.is_settling() {
        handle.doubt_peaks();
    }
    handle.reach_out();
    handle.add_miss();
    memory.updated(handle.index, member, i64::from(delta), Update::Miss);
    flush::done(memory, cpu);
    Outcome::Counted
}

/// Raises the peaks of an mm that this CPU changes without holding it (reclaim, ptrace, userfaultfd, khugepaged,
/// fork, execve). If another CPU changes it meanwhile (`shared`), that CPU's pending deltas count too. For one
/// such CPU they are read from its slot; for more the error of the peaks covers them.
#[inline(always)]
fn raise_from_outside<M: PerCpu>(memory: &M, handle: Handle<'_, M::Words>, shared: bool) {
    if !handle.is_whole() {
        return;
    }
    let given_up = handle.given_up();
    let mut exact = handle.rss();
    if shared {
        exact += pending_elsewhere(memory, handle, given_up);
    }
    handle.raise_peaks(exact, memory.bound());
}

/// RSS that is pending in the slot of the CPU that took the mm last. The totals were read after `given_up`. Where the slot has published
/// since, or is about to, what is pending does not belong to them: it counts for nothing, and the peaks get an error as if one more CPU
/// changed the mm.
#[inline(always)]
fn pending_elsewhere<M: PerCpu>(memory: &M, handle: Handle<'_, M::Words>, given_up: u64) -> i64 {
    let Some(cpu) = handle.last_entered().and_then(|other| memory.cpu(other)) else { return 0 };
    let slot = &cpu.slot;
    let busy = slot.busy.get();
    if slot.id.get() != handle.id {
        return 0;
    }
    let pending = slot.pending_rss();
    if busy | slot.busy.get() != 0 || handle.given_up() != given_up {
        handle.doubt_peaks();
        return 0;
    }
    pending
}

/// A task has a new mm, and runs on it here without a switch (`exec_mmap`).
#[inline(always)]
pub fn executed<M: PerCpu>(memory: &M, mm: M::Mm) {
    life::born(memory, mm);
    if let Some(cpu) = memory.cpu(memory.here()) {
        flush::catch_up(memory, cpu, memory.address(mm));
    }
}

/// This CPU switches to a task with the mm at `next`; 0 is none.
#[inline(always)]
pub fn switched<M: PerCpu>(memory: &M, next: u64) {
    if let Some(cpu) = memory.cpu(memory.here()) {
        flush::switch(memory, cpu, next);
    }
}

/// A page fault of the current task, which has the mm at this address.
#[inline(always)]
pub fn page_fault<M: Memory>(memory: &M, mm: u64) {
    let Some(cpu) = memory.cpu(memory.here()) else { return };
    cpu.counts.faults.add(1);
    if !cpu.slot.fault(mm)
        && let Some(handle) = lifecycle::find(memory, mm)
    {
        handle.add_faults(1);
    }
}
