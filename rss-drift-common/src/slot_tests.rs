//! The steps under every interleaving of a small host: CPUs with slots, mms with the kernel's words, and a reader.
//!
//! The model keeps the kernel's own words (a slot per CPU, a global count, folds at a batch) and the shadow beside them. An
//! update changes the kernel's words at once; its event comes with it, late, on another CPU (7.2), or never.

extern crate std;

use std::{vec, vec::Vec};

use proptest::prelude::*;

use super::*;

const BATCH: i32 = 32;

/// What the kernel and the shadow keep of one mm.
#[derive(Clone, Default)]
struct Mm {
    /// Id of the life that the address has now.
    id: u64,
    kernel_slots: Vec<Deltas>,
    kernel_count: [i64; MEMBERS],
    seen: Vec<Deltas>,
    global: [i64; MEMBERS],
    totals: [i64; MEMBERS],
    hits: u64,
    misses: u64,
    flushes: u64,
}

struct Host {
    slots: Vec<Slot>,
    mms: Vec<Mm>,
    threshold: u32,
    lives: u64,
    /// Events that were handled since the mm's life began.
    events: Vec<u64>,
}

/// Addresses are never 0, which is no mm.
fn address(mm: usize) -> u64 {
    (mm as u64 + 1) * 0x1000
}

impl Host {
    fn new(cpus: usize, mms: usize, threshold: u32) -> Self {
        let mut host = Self {
            slots: vec![Slot::default(); cpus],
            mms: Vec::new(),
            threshold,
            lives: 0,
            events: vec![0; mms],
        };
        for _ in 0..mms {
            let mm = host.born();
            host.mms.push(mm);
        }
        host
    }

    fn born(&mut self) -> Mm {
        self.lives += 1;
        let words = vec![[0; MEMBERS]; self.slots.len()];
        Mm { id: self.lives, kernel_slots: words.clone(), seen: words, ..Mm::default() }
    }

    /// The kernel changes a counter on a CPU (`percpu_counter_add_batch`).
    fn kernel_update(&mut self, cpu: usize, mm: usize, member: usize, delta: i32) {
        let mm = &mut self.mms[mm];
        let slot = mm.kernel_slots[cpu][member] + delta;
        if slot.abs() >= BATCH {
            mm.kernel_count[member] += i64::from(slot);
            mm.kernel_slots[cpu][member] = 0;
        } else {
            mm.kernel_slots[cpu][member] = slot;
        }
    }

    fn refresh_word(&mut self, cpu: usize, mm: usize, member: usize) -> i32 {
        let mm = &mut self.mms[mm];
        let value = mm.kernel_slots[cpu][member];
        value - core::mem::replace(&mut mm.seen[cpu][member], value)
    }

    fn refresh_count(&mut self, mm: usize, member: usize) -> i64 {
        let mm = &mut self.mms[mm];
        let count = mm.kernel_count[member];
        count - core::mem::replace(&mut mm.global[member], count)
    }

    /// The event of an update. The first `switches` come between its look at the slot and its mark, the others in the middle of it,
    /// after the words were exchanged.
    fn event(&mut self, cpu: usize, mm: usize, member: usize, switches: [&[Option<usize>]; 2]) {
        let [early, switches] = switches;
        let at = address(mm);
        let id = self.mms[mm].id;
        let slot = &mut self.slots[cpu];
        assert_eq!(slot.busy, 0, "the kernel's recursion guard lets no event of the same program in");
        let marked = slot.holds(at);
        for next in early {
            self.switch(cpu, *next);
        }
        let slot = &mut self.slots[cpu];
        if marked {
            slot.mark();
        }
        let holds = marked && slot.holds(at);
        if holds && slot.id != 0 && slot.id != id {
            // The slot's mm ended behind its back, and a new one has the address.
            let _ = slot.take(at);
        }
        if holds {
            let slot = &mut self.slots[cpu];
            slot.id = id;
            slot.index = u32::try_from(mm).unwrap();
            slot.live = 1;
            slot.begin();
        }
        let delta =
            self.refresh_word(cpu, mm, member) + i32::try_from(self.refresh_count(mm, member)).unwrap();
        for next in switches {
            let next = next.map_or(0, address);
            if marked {
                assert_eq!(self.slots[cpu].switch(next), Switch::Deferred);
            } else {
                self.switch_to(cpu, next);
            }
        }
        self.events[mm] += 1;
        if holds {
            assert_eq!(self.slots[cpu].update(at, member, delta), Update::Hit);
            if self.slots[cpu].is_full(member, self.threshold) {
                let batch = self.slots[cpu].publish(false);
                self.apply(&batch, false);
            }
        } else {
            // As the program decides: before the switches.
            self.mms[mm].totals[member] += i64::from(delta);
            self.mms[mm].misses += 1;
        }
        if marked {
            let held = self.slots[cpu].mm;
            if let Some(batch) = self.slots[cpu].done() {
                self.apply(&batch, true);
                self.slots[cpu].busy = 0;
            }
            let expected = switches.iter().rev().find_map(|next| *next).map_or(held, address);
            assert_eq!(self.slots[cpu].mm, expected, "the last switch holds");
        }
    }

    fn switch(&mut self, cpu: usize, next: Option<usize>) {
        self.switch_to(cpu, next.map_or(0, address));
    }

    fn switch_to(&mut self, cpu: usize, next: u64) {
        let before = self.slots[cpu];
        match self.slots[cpu].switch(next) {
            Switch::Nothing => assert!(next == before.mm || (next == 0 && before.live == 0)),
            Switch::Deferred => panic!("the slot is not busy"),
            Switch::Took => assert_eq!((before.pending, before.hits, before.faults), ([0; MEMBERS], 0, 0)),
            Switch::Publish(batch) => {
                assert_ne!(self.slots[cpu].busy, 0);
                self.apply(&batch, false);
                assert_eq!(self.slots[cpu].done(), None);
                assert_eq!(
                    (self.slots[cpu].mm, self.slots[cpu].hits),
                    (before.mm, before.hits),
                    "it keeps its mm"
                );
            }
            Switch::Flush(batch) => {
                assert_ne!(self.slots[cpu].busy, 0);
                self.apply(&batch, true);
                assert_eq!(self.slots[cpu].done(), None);
            }
        }
        if next != 0 {
            assert_eq!(self.slots[cpu].mm, next);
        }
    }

    fn apply(&mut self, batch: &Batch, flush: bool) {
        let Some(mm) = self.mms.iter_mut().find(|mm| mm.id == batch.id) else { return };
        for (total, pending) in mm.totals.iter_mut().zip(batch.pending) {
            *total += i64::from(pending);
        }
        mm.hits += u64::from(batch.hits);
        mm.flushes += u64::from(flush && batch.hits > 0);
    }

    /// What the reader does for an mm: every word refreshed, deltas into the totals, never into another CPU's slot.
    fn refresh_all(&mut self, mm: usize) {
        for member in 0..MEMBERS {
            for cpu in 0..self.slots.len() {
                let delta = self.refresh_word(cpu, mm, member);
                self.mms[mm].totals[member] += i64::from(delta);
            }
            let delta = self.refresh_count(mm, member);
            self.mms[mm].totals[member] += delta;
        }
    }

    /// The shadow: totals and the slots that hold the mm.
    fn read(&self, mm: usize) -> [i64; MEMBERS] {
        let state = &self.mms[mm];
        let mut sum = state.totals;
        for slot in self.slots.iter().filter(|slot| slot.id == state.id) {
            for (sum, pending) in sum.iter_mut().zip(slot.pending) {
                *sum += i64::from(pending);
            }
        }
        sum
    }

    fn exact(&self, mm: usize) -> [i64; MEMBERS] {
        words(&self.mms[mm].kernel_slots, &self.mms[mm].kernel_count)
    }

    /// What the words last seen add up to: all deltas that were ever handed out.
    fn handed_out(&self, mm: usize) -> [i64; MEMBERS] {
        words(&self.mms[mm].seen, &self.mms[mm].global)
    }

    /// The mm ends and its address is used again at once: all its pages go, with events, and the shadow must be 0.
    fn end(&mut self, cpu: usize, mm: usize) {
        self.refresh_all(mm);
        for member in 0..MEMBERS {
            let rest = self.exact(mm)[member];
            let delta = i32::try_from(-rest).unwrap();
            if delta != 0 {
                self.kernel_update(cpu, mm, member, delta);
                self.event(cpu, mm, member, [&[], &[]]);
            }
        }
        assert_eq!(self.read(mm), [0; MEMBERS], "a death with a rest");
        self.mms[mm] = self.born();
        self.events[mm] = 0;
    }

    fn check(&self) {
        for mm in 0..self.mms.len() {
            let state = &self.mms[mm];
            assert_eq!(self.read(mm), self.handed_out(mm), "every delta is in one place");
            let held: u64 =
                self.slots.iter().filter(|slot| slot.id == state.id).map(|slot| u64::from(slot.hits)).sum();
            assert_eq!(state.hits + held + state.misses, self.events[mm], "hits + misses = updates");
        }
        for slot in &self.slots {
            assert_eq!((slot.busy, slot.deferred), (0, 0));
            assert!(slot.pending.iter().all(|pending| pending.unsigned_abs() < self.threshold), "{slot:?}");
        }
    }
}

fn words(slots: &[Deltas], count: &[i64; MEMBERS]) -> [i64; MEMBERS] {
    let mut sum = *count;
    for slot in slots {
        for (sum, word) in sum.iter_mut().zip(slot) {
            *sum += i64::from(*word);
        }
    }
    sum
}

#[derive(Clone, Debug)]
enum Step {
    /// An update with its event, and what interrupts that.
    Update {
        cpu: usize,
        mm: usize,
        member: usize,
        delta: i32,
        switches: [Vec<Option<usize>>; 2],
    },
    /// An update whose event never comes (the recursion guard), or comes on another CPU.
    Lost {
        cpu: usize,
        seen_on: Option<usize>,
        mm: usize,
        member: usize,
        delta: i32,
    },
    Switch {
        cpu: usize,
        next: Option<usize>,
    },
    Fault {
        cpu: usize,
        mm: usize,
    },
    Read {
        mm: usize,
    },
    End {
        cpu: usize,
        mm: usize,
    },
}

fn step(cpus: usize, mms: usize) -> impl Strategy<Value = Step> {
    let delta = prop_oneof![8 => -3..=3_i32, 1 => Just(512), 1 => Just(-512), 1 => -40..=40_i32];
    let next = move || prop::option::of(0..mms);
    let switches = prop::collection::vec(next(), 0..3);
    prop_oneof![
        8 => (0..cpus, 0..mms, 0..MEMBERS, delta.clone(), [switches.clone(), switches])
            .prop_map(|(cpu, mm, member, delta, switches)| Step::Update { cpu, mm, member, delta, switches }),
        1 => (0..cpus, prop::option::of(0..cpus), 0..mms, 0..MEMBERS, delta)
            .prop_map(|(cpu, seen_on, mm, member, delta)| Step::Lost { cpu, seen_on, mm, member, delta }),
        6 => (0..cpus, next()).prop_map(|(cpu, next)| Step::Switch { cpu, next }),
        1 => (0..cpus, 0..mms).prop_map(|(cpu, mm)| Step::Fault { cpu, mm }),
        2 => (0..mms).prop_map(|mm| Step::Read { mm }),
        1 => (0..cpus, 0..mms).prop_map(|(cpu, mm)| Step::End { cpu, mm }),
    ]
}

fn host_and_steps() -> impl Strategy<Value = (usize, usize, u32, Vec<Step>)> {
    (prop_oneof![1..=4_usize, Just(64)], 1..=4_usize, prop_oneof![Just(1_u32), Just(32), Just(128)])
        .prop_flat_map(|(cpus, mms, threshold)| {
            (Just(cpus), Just(mms), Just(threshold), prop::collection::vec(step(cpus, mms), 0..200))
        })
}

proptest! {
    #[test]
    fn every_delta_is_counted_once((cpus, mms, threshold, steps) in host_and_steps()) {
        let mut host = Host::new(cpus, mms, threshold);
        for step in steps {
            match step {
                Step::Update { cpu, mm, member, delta, switches } => {
                    host.kernel_update(cpu, mm, member, delta);
                    host.event(cpu, mm, member, switches.each_ref().map(Vec::as_slice));
                }
                Step::Lost { cpu, seen_on, mm, member, delta } => {
                    host.kernel_update(cpu, mm, member, delta);
                    if let Some(other) = seen_on {
                        host.event(other, mm, member, [&[], &[]]);
                    }
                }
                Step::Switch { cpu, next } => host.switch(cpu, next),
                Step::Fault { cpu, mm } => {
                    let holds = host.slots[cpu].mm == address(mm);
                    prop_assert_eq!(host.slots[cpu].fault(address(mm)), holds);
                }
                Step::Read { mm } => {
                    host.refresh_all(mm);
                    prop_assert_eq!(host.read(mm), host.exact(mm));
                }
                Step::End { cpu, mm } => host.end(cpu, mm),
            }
            host.check();
        }
        for mm in 0..mms {
            host.refresh_all(mm);
            prop_assert_eq!(host.read(mm), host.exact(mm));
        }
    }
}

#[test]
fn an_idle_cpu_keeps_its_mm_and_shows_its_deltas() {
    let mut host = Host::new(2, 2, 32);
    host.switch(0, Some(0));
    host.kernel_update(0, 0, 1, 5);
    host.event(0, 0, 1, [&[], &[]]);
    assert_eq!(host.mms[0].totals, [0; MEMBERS], "pending");
    host.switch(0, None);
    assert_eq!(host.mms[0].totals, [0, 5, 0, 0], "published");
    assert_eq!(host.mms[0].flushes, 0, "which is no flush");
    host.switch(0, Some(0));
    host.kernel_update(0, 0, 1, 1);
    host.event(0, 0, 1, [&[], &[]]);
    assert_eq!((host.mms[0].misses, host.slots[0].hits), (0, 2));
    host.switch(0, Some(1));
    assert_eq!((host.mms[0].flushes, host.mms[0].hits, host.mms[0].totals[1]), (1, 2, 6));
}

#[test]
fn a_switch_without_an_update_has_nothing_to_do() {
    let mut slot = Slot { mm: 1, ..Slot::default() };
    assert_eq!(slot.switch(2), Switch::Took);
    assert_eq!(slot.switch(2), Switch::Nothing);
    assert_eq!(slot.switch(0), Switch::Nothing);
    assert_eq!(slot, Slot { mm: 2, ..Slot::default() });
}

#[test]
fn faults_alone_are_flushed_but_never_looked_up_before() {
    let mut slot = Slot { mm: 1, ..Slot::default() };
    assert!(slot.fault(1) && !slot.fault(2));
    let Switch::Flush(batch) = slot.switch(2) else { panic!("faults are to be counted") };
    assert_eq!((batch.id, batch.mm, batch.faults, batch.hits), (0, 1, 1, 0));
}

#[test]
fn rss_of_what_is_pending_leaves_swap_out() {
    let slot = Slot { pending: [1, 20, 300, 4000], ..Slot::default() };
    assert_eq!(slot.pending_rss(), 4021);
}
