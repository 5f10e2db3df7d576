//! The kernel's counters of an mm, and how it changes them: mainline since 6.2, one step for each access of memory.

use super::{
    Check, Config, Host, Kind, at, number,
    words::{Place, made, named},
};
use rss_drift_common::{
    MEMBERS,
    member::{Pages, rss, rss_clamped},
    memory::{Word, Words},
};

/// Since when the sums of an mm are noted.
pub(crate) struct Watch {
    begin: i64,
}

impl Watch {
    /// Whether some of the updates since come to this RSS: that of a reading which saw words at different instants.
    pub(crate) fn reaches<K: Kind>(&self, mm: &Mm<K>, rss: i64) -> bool {
        (self.begin + mm.falls.peek()..=self.begin + mm.rises.peek()).contains(&rss)
    }
}

/// The bit of an RSS. Those of tests are small.
fn instant(rss: i64) -> u64 {
    let bit = u32::try_from(rss + 16).expect("a small sum");
    1_u64.checked_shl(bit).expect("a small sum")
}

/// The kernel's words at the address of an mm, and the truth about them.
pub(crate) struct Mm<K: Kind> {
    /// `percpu_counter.lock`
    pub(crate) lock: [<K as Words>::U32; MEMBERS],
    /// `percpu_counter.count`; under per-task accounting `mm_rss_stat.count`.
    pub(crate) count: [<K as Words>::I64; MEMBERS],
    /// `percpu_counter.counters`, by CPU.
    pub(crate) slots: Vec<[<K as Words>::I32; MEMBERS]>,
    /// How many mms at this address have ended: each has slots of its own.
    pub(crate) lives: <K as Words>::U64,
    /// `mm_users`
    pub(crate) users: <K as Words>::I32,
    /// What all updates that have happened come to. They change it in the very step in which they happen.
    pub(crate) truth: [<K as Words>::I64; MEMBERS],
    /// The largest RSS of [`Mm::truth`], where [`Config::peaks`] asks for it.
    pub(crate) peak_exact: <K as Words>::I64,
    /// The largest |RSS - approximate RSS|, likewise.
    pub(crate) peak_drift: <K as Words>::I64,
    /// The values that the RSS of [`Mm::truth`] had since [`Host::watch`], where [`Config::instants`] asks for it: a bit for each.
    pub(crate) instants: <K as Words>::U64,
    /// What the updates since then come to that raised RSS, likewise.
    pub(crate) rises: <K as Words>::I64,
    /// Those that lowered it.
    pub(crate) falls: <K as Words>::I64,
    /// Updates that have happened.
    pub(crate) updates: <K as Words>::Count,
    /// Events that told of one.
    pub(crate) events: <K as Words>::Count,
}

const SLOTS: [&str; 4] = ["cpu0.rss_stat", "cpu1.rss_stat", "cpu2.rss_stat", "cpu3.rss_stat"];

impl<K: Kind> Mm<K> {
    pub(super) fn new(config: &Config, number: usize) -> Self {
        let place = Place { config, array: "mm", index: number };
        let cpus = if config.tasks == 0 { config.cpus } else { 0 };
        let slots = (0..cpus).map(|cpu| {
            let place = Place { array: super::name(&SLOTS, cpu, "rss_stat"), ..place };
            made!(K place slot [i32])
        });
        Self {
            lock: made!(K place lock [u32]),
            count: made!(K place count [i64]),
            slots: slots.collect(),
            lives: K::u64(place.name("lives"), 0, false),
            users: K::i32(place.name("mm_users"), 1, place.uses(named!(users))),
            truth: std::array::from_fn(|_| K::i64(place.name("truth"), 0, false)),
            peak_exact: K::i64(place.name("true peak_exact"), 0, false),
            peak_drift: K::i64(place.name("true peak_drift"), 0, false),
            instants: K::u64(place.name("instants"), 0, false),
            rises: K::i64(place.name("rises"), 0, false),
            falls: K::i64(place.name("falls"), 0, false),
            updates: K::count(place.name("updates")),
            events: K::count(place.name("events")),
        }
    }

    /// What all updates that have happened come to, without a step.
    pub(crate) fn truth(&self) -> Pages {
        std::array::from_fn(|member| self.truth[member].peek())
    }

    /// The counts as they stand, without a step.
    pub(crate) fn counts(&self) -> Pages {
        std::array::from_fn(|member| self.count[member].peek())
    }

    /// Counts and slots as they stand, without a step. In the middle of a fold a slot is in it twice.
    pub(crate) fn sum(&self) -> Pages {
        std::array::from_fn(|member| {
            self.count[member].peek()
                + self.slots.iter().map(|slot| i64::from(slot[member].peek())).sum::<i64>()
        })
    }

    /// Whether the mm had this RSS at some instant since [`Host::watch`], without a step.
    pub(crate) fn had(&self, rss: i64) -> bool {
        self.instants.peek() & instant(rss) != 0
    }

    /// The least and the largest RSS of the mm since then, without a step.
    pub(crate) fn range(&self) -> (i64, i64) {
        let instants = self.instants.peek();
        (i64::from(instants.trailing_zeros()) - 16, 47 - i64::from(instants.leading_zeros()))
    }
}

impl<K: Kind> Host<K> {
    /// The words of the mm at this address.
    pub(crate) fn mm(&self, address: u64) -> &Mm<K> {
        &self.mms[number(address)]
    }

    /// `lib/percpu_counter.c:percpu_counter_add_batch` as it is since 6.10, on this CPU. The caller says the event next. (Before,
    /// interrupts are off from the first look at the slot on: fewer orders, no other ones.)
    ///
    /// The update happens when it is added to the slot, or at a fold when the count is stored. From there until the slot is emptied
    /// count and slots come to more than the truth, by what the slot held before: the half-seen fold.
    pub(crate) fn kernel_update(&self, cpu: u32, mm: u64, member: u32, delta: i32) {
        let words = self.mm(mm);
        let slot = &words.slots[at(cpu)][at(member)];
        loop {
            let old = slot.get();
            if (old + delta).abs() >= self.config.batch {
                break;
            }
            if slot.replace_here(old, old + delta) {
                self.happened(mm, member, delta);
                return;
            }
        }
        K::preempt_disable();
        K::lock(&words.lock[at(member)]);
        let old = slot.get();
        let count = &words.count[at(member)];
        count.set(count.peek() + i64::from(old + delta));
        self.happened(mm, member, delta);
        // `__this_cpu_sub`: interrupts are off, and nobody else writes it.
        slot.set(0);
        words.lock[at(member)].set(0);
        K::preempt_enable();
    }

    /// `lib/percpu_counter.c:percpu_counter_cpu_dead`, on another CPU, for all counters. It changes no sum, and there is no event.
    pub(crate) fn percpu_counter_cpu_dead(&self, dead: u32) {
        for mm in &self.mms {
            for member in (0..MEMBERS).filter(|&member| self.config.members[member]) {
                let (count, slot) = (&mm.count[member], &mm.slots[at(dead)][member]);
                K::preempt_disable();
                K::lock(&mm.lock[member]);
                let pages = slot.get();
                count.set(count.peek() + i64::from(pages));
                slot.set(0);
                mm.lock[member].set(0);
                K::preempt_enable();
            }
        }
    }

    /// `mm_init` makes an mm at this address: nobody but this CPU knows it yet.
    pub(crate) fn kernel_new_mm(&self, mm: u64) {
        let words = self.mm(mm);
        words.lives.add_quietly(1);
        for member in (0..MEMBERS).filter(|&member| self.config.members[member]) {
            words.count[member].set(0);
            words.slots.iter().for_each(|slots| slots[member].set(0));
            words.truth[member].poke(0);
        }
        words.peak_exact.poke(0);
        words.peak_drift.poke(0);
    }

    /// The step that runs is the one in which an update happens.
    pub(super) fn happened(&self, mm: u64, member: u32, delta: i32) {
        let words = self.mm(mm);
        words.truth[at(member)].add_quietly(i64::from(delta));
        words.updates.add_quietly(1);
        let exact = rss(&words.truth());
        if self.config.instants {
            words.instants.poke(words.instants.peek() | instant(exact));
            let moved = if delta > 0 { &words.rises } else { &words.falls };
            moved.add_quietly(i64::from(delta));
        }
        if self.config.peaks {
            let drift = (exact - rss_clamped(&words.counts())).abs();
            if exact > words.peak_exact.peek() {
                words.peak_exact.poke(exact);
            }
            if drift > words.peak_drift.peek() {
                words.peak_drift.poke(drift);
            }
        }
    }

    /// From this step on the sums are noted that an mm has: what a reading may come to. [`Config::instants`] has to be set.
    pub(crate) fn watch(&self, mm: u64) -> Watch {
        assert!(self.config.instants, "nothing is noted");
        let words = self.mm(mm);
        let begin = rss(&words.truth());
        words.instants.poke(instant(begin));
        words.rises.poke(0);
        words.falls.poke(0);
        Watch { begin }
    }

    /// The event of an update of this mm, under per-cpu accounting, on this CPU.
    pub(crate) fn event(&self, cpu: u32, mm: u64, member: u32) {
        self.mm(mm).events.add_quietly(1);
        rss_drift_common::protocol::percpu::events::updated(&self.program(cpu), || (mm, member));
    }

    /// An update and its event.
    pub(crate) fn update(&self, cpu: u32, mm: u64, member: u32, delta: i32) {
        self.kernel_update(cpu, mm, member, delta);
        self.event(cpu, mm, member);
    }
}
