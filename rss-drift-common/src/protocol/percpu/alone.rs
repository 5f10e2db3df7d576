//! A CPU that is alone with an mm: its updates touch the slot and the kernel's word, as long as no peak and no threshold is near.
//!
//! What such an update leaves out is a look at the state. So whoever changes there what it would see clears [`Slot::alone`] of the one
//! slot that can have the mm: a CPU that begins to change the mm, a reading that is about to take deltas, the state's end. Each of
//! them says so in the state first, in one step with a full barrier; [`allow`] writes its word likewise, and then looks at the state
//! again. So whoever comes second sees the first.
//!
//! [`Slot::alone`]: crate::slot::Slot::alone

use super::PerCpu;
use crate::{
    memory::{Exchange, Word},
    protocol::handle::Handle,
    shadow::Cpu,
    slot::most_pending,
};

/// Allows the slot of this CPU updates without a look at the state, where they can be. The slot is busy with an update of `member`.
#[inline(never)]
pub fn allow<M: PerCpu>(memory: &M, cpu: &Cpu<M::Words>, member: u32) {
    let slot = &cpu.slot;
    let Some(handle) = Handle::known(memory, slot.index.get(), slot.id.get()) else { return };
    let number = memory.here();
    let Some(seen) = memory.seen(number, handle.index) else { return };
    if !handle.is_undisturbed() {
        return;
    }
    let (rss, approximate) = (handle.rss(), handle.seen_approximate());
    let room = handle.room(rss + slot.pending_rss(), approximate);
    if room.rise < 0 || room.fall < 0 {
        return;
    }
    let noted = [seen[0].get(), seen[1].get(), seen[2].get(), seen[3].get()];
    slot.set_room(noted, member, room, memory.threshold());
    slot.folded.set(0);
    // If another slot had it all the same, that one has it no more.
    let before = handle.state.alone.swap(u64::from(number) + 1);
    if let Some(other) = u32::try_from(before).ok().and_then(|before| before.checked_sub(1))
        && other != number
        && let Some(cpu) = memory.cpu(other)
    {
        cpu.slot.forbid();
    }
    slot.alone.swap(slot.mm.get());
    let again = [seen[0].get(), seen[1].get(), seen[2].get(), seen[3].get()];
    if !handle.is_undisturbed()
        || handle.rss() != rss
        || handle.seen_approximate() != approximate
        || again != noted
        || handle.last_alone() != Some(number)
    {
        slot.forbid();
    }
}

/// After a fold of a CPU that was allowed updates without a look: allows it those of the next batch. False where nothing is allowed, or
/// a peak has to be looked at.
///
/// Nothing is entered in the state, and nothing looked at twice: this slot's [`Slot::alone`] stands in it since [`allow`], and is not
/// written here. If another CPU clears it meanwhile, that ends what is allowed here, too. The flag is read before the totals, as in
/// every look at the peaks.
///
/// [`Slot::alone`]: crate::slot::Slot::alone
#[inline(always)]
pub fn renew<M: PerCpu>(memory: &M, cpu: &Cpu<M::Words>, handle: Handle<'_, M::Words>, member: u32) -> bool {
    let slot = &cpu.slot;
    if slot.alone.get() != slot.mm.get() || !handle.is_undisturbed() {
        return false;
    }
    let (rss, approximate) = (handle.rss(), handle.seen_approximate());
    let ahead = rss - approximate;
    // The last fold was one of this member too, and nothing was looked at since: what other members have pending is within what was
    // allowed them then, and this one begins anew. So what was allowed stays, unless RSS has come near its peak.
    if slot.folded.get() == u64::from(member) + 1
        && slot.ahead.get() == ahead
        && handle.is_below_peak(rss + most_pending(memory.threshold()))
    {
        return true;
    }
    let room = handle.room(rss + slot.pending_rss(), approximate);
    let Some(seen) = memory.seen_at(slot.place.get()) else { return false };
    if room.rise < 0 || room.fall < 0 {
        return false;
    }
    slot.set_room(
        [seen[0].get(), seen[1].get(), seen[2].get(), seen[3].get()],
        member,
        room,
        memory.threshold(),
    );
    slot.folded.set(u64::from(member) + 1);
    slot.ahead.set(ahead);
    true
}

/// Updates of the mm have to look at its state again, on whichever CPU. What they would see of it was said before, in one step with a
/// full barrier.
#[inline(always)]
pub fn disturb<M: PerCpu>(memory: &M, handle: Handle<'_, M::Words>) {
    if let Some(number) = handle.last_alone()
        && let Some(cpu) = memory.cpu(number)
    {
        cpu.slot.forbid();
    }
}
