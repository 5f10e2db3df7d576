//! A run of a BPF program on a CPU of the host: the protocol's memory.

use std::marker::PhantomData;

use super::{Check as _, Fifo as _, Host, Kind, List as _, Table as _, address, at, narrow, pack, unpack};
use rss_drift_common::{
    MEMBERS,
    member::Pages,
    memory::{Exchange, Memory, Next, StateStep, Step, Word},
    protocol::{
        handle::Handle,
        lifecycle::Claimant,
        limbo::Waiting,
        observer::Observer,
        percpu::{self, PerCpu, life::WipeSeen, words::SLOT_BYTES},
        pertask::{
            self, PerTask,
            life::{WipePeaks, wipe_seed},
        },
    },
    running::{Peak, Running, Seed},
    shadow::{Cpu, Shared, State},
};

/// A run of a BPF program.
pub(crate) struct Program<'h, K: Kind, S> {
    pub(crate) host: &'h Host<K>,
    pub(crate) cpu: u32,
    scheme: PhantomData<S>,
}

/// per-cpu accounting.
pub(crate) struct ByCpu;
/// per-task accounting.
pub(crate) struct ByTask;

/// What differs between the schemes beside what their traits ask for, as in `Kind` of `rss-drift-ebpf/src/shadow/memory.rs`.
pub(crate) trait Scheme: Sized {
    const READER_MARKS: bool;
    fn wipe<K: Kind>(program: &Program<'_, K, Self>, index: u32);
    fn unseed<K: Kind>(state: &State<K>);
    fn new_id<K: Kind>(program: &Program<'_, K, Self>, by: Claimant) -> u64;
}

impl Scheme for ByCpu {
    const READER_MARKS: bool = true;

    fn wipe<K: Kind>(program: &Program<'_, K, Self>, index: u32) {
        program.for_each_cpu(&mut WipeSeen { index: u64::from(index) });
    }

    fn unseed<K: Kind>(state: &State<K>) {
        state.seeded.set(0);
    }

    fn new_id<K: Kind>(program: &Program<'_, K, Self>, _: Claimant) -> u64 {
        program.host.shared.last_id.fetch_add(1) + 1
    }
}

impl Scheme for ByTask {
    const READER_MARKS: bool = false;

    fn wipe<K: Kind>(program: &Program<'_, K, Self>, index: u32) {
        program.for_each_cpu(&mut WipePeaks { index });
        wipe_seed(program, index);
    }

    fn unseed<K: Kind>(state: &State<K>) {
        state.lost.set(0);
    }

    fn new_id<K: Kind>(program: &Program<'_, K, Self>, by: Claimant) -> u64 {
        let (count, maker) = match by {
            Claimant::Event => (&program.host.running[at(program.cpu)].births, u64::from(program.cpu)),
            Claimant::Reader => (&program.host.shared.last_id, 255),
        };
        let made = count.get() + 1;
        count.set(made);
        made << 8 | maker
    }
}

impl<'h, K: Kind, S> Program<'h, K, S> {
    pub(super) const fn new(host: &'h Host<K>, cpu: u32) -> Self {
        Self { host, cpu, scheme: PhantomData }
    }
}

impl<K: Kind, S: Scheme> Observer for Program<'_, K, S> {}

impl<K: Kind, S: Scheme> Memory for Program<'_, K, S> {
    type Words = K;
    type Mm = u64;
    const READER_MARKS: bool = S::READER_MARKS;

    fn address(&self, mm: u64) -> u64 {
        mm
    }
    fn here(&self) -> u32 {
        self.cpu
    }
    fn now(&self) -> u64 {
        self.host.now.get()
    }
    fn cpu(&self, number: u32) -> Option<&Cpu<K>> {
        self.host.cpus.get(at(number))
    }
    fn shared(&self) -> Option<&Shared<K>> {
        Some(&self.host.shared)
    }
    fn state(&self, index: u32) -> Option<&State<K>> {
        self.host.states.get(at(index))
    }
    fn find(&self, mm: u64) -> Option<u32> {
        self.host.table.find(mm)
    }
    fn insert(&self, mm: u64, index: u32) -> bool {
        self.host.table.insert(mm, index)
    }
    fn remove(&self, mm: u64) -> bool {
        self.host.table.remove(mm)
    }
    fn pop_free(&self) -> Option<u32> {
        self.host.free.pop()
    }
    fn push_free(&self, index: u32) {
        assert!(self.host.free.push(index), "more indexes are given back than there are");
    }
    fn full(&self) -> Option<&K::U64> {
        Some(&self.host.full)
    }
    fn new_id(&self, by: Claimant) -> Option<u64> {
        Some(S::new_id(self, by))
    }
    fn for_each_cpu<T: Step<Self>>(&self, step: &mut T) {
        let mut cpus = 0..narrow(self.host.cpus.len() as u64);
        let _ = cpus.find(|&cpu| step.step(self, cpu) == Next::Stop);
    }
    fn wait(&self, waiting: Waiting) {
        assert!(self.host.limbo.push(pack(waiting)), "more states wait than there are");
    }
    fn wipe(&self, index: u32) {
        S::wipe(self, index);
    }
    fn unseed(state: &State<K>) {
        S::unseed(state);
    }
    fn threshold(&self) -> u32 {
        self.host.config.threshold
    }
    fn is_unused(&self, mm: u64) -> bool {
        self.host.mm(mm).users.get() == 0
    }
}

/// Bytes between the counters of two members where the slots do not lie side by side.
const APART: u64 = 0x40;

/// Above all addresses of mms: so far apart are the slots of two mms that had one address.
const LIFE: u64 = 1 << 20;

impl<K: Kind> Program<'_, K, ByCpu> {
    fn stride(&self) -> u64 {
        if self.host.config.together { SLOT_BYTES } else { APART }
    }
}

impl<K: Kind> PerCpu for Program<'_, K, ByCpu> {
    fn place(&self, cpu: u32, index: u32) -> u32 {
        cpu * narrow(self.host.seen[0].len() as u64) + index
    }
    fn seen_at(&self, place: u32) -> Option<&[K::I32; MEMBERS]> {
        let states = self.host.seen[0].len();
        self.host.seen.get(at(place) / states)?.get(at(place) % states)
    }
    fn slots<const MEMBER: usize>(&self, mm: u64) -> u64 {
        mm + self.host.mm(mm).lives.peek() * LIFE + MEMBER as u64 * self.stride()
    }
    /// Of an mm that has ended a reader may still read slots: what is there is another mm's.
    fn slot(&self, slots: u64, offset: u64) -> Option<i32> {
        let member = at(narrow(slots % 0x1000 / self.stride()));
        let cpu = at(narrow(offset >> 32)) - 1;
        Some(self.host.mm(slots % LIFE).slots.get(cpu)?[member].get())
    }
    fn own_slot(&self, address: u64) -> Option<i32> {
        let offset = self.host.cpus[at(self.cpu)].offset.peek();
        assert_eq!(address >> 32, offset >> 32, "not this CPU's slot");
        let slots = address - offset;
        assert_eq!(slots / LIFE, self.host.mm(slots % LIFE).lives.peek(), "not a slot of the mm that lives");
        self.slot(slots, offset)
    }
    /// Four steps: nothing makes a copy of 16 bytes one access.
    fn four_slots(&self, slots: u64, offset: u64) -> Option<[i32; MEMBERS]> {
        let slot = |member| self.slot(slots + member * SLOT_BYTES, offset);
        Some([slot(0)?, slot(1)?, slot(2)?, slot(3)?])
    }
    fn count<const MEMBER: usize>(&self, mm: u64) -> i64 {
        self.host.mm(mm).count[MEMBER].get()
    }
    fn locks(&self, mm: u64) -> u32 {
        let [file, anon, swap, shmem] = &self.host.mm(mm).lock;
        file.get() | anon.get() | swap.get() | shmem.get()
    }
    fn current_mm(&self) -> u64 {
        self.host.current[at(self.cpu)].get()
    }
    fn bound(&self) -> u64 {
        self.host.config.bound
    }
    fn oldest(&self) -> Option<Waiting> {
        self.host.limbo.peek().map(unpack)
    }
    fn take_oldest(&self) -> Option<Waiting> {
        self.host.limbo.pop().map(unpack)
    }
    fn repeat<T: Step<Self>>(&self, times: u32, step: &mut T) {
        let _ = (0..times).find(|&number| step.step(self, number) == Next::Stop);
    }
    fn for_each_state<T: StateStep<Self>>(&self, step: &mut T) {
        for mm in (0..self.host.mms.len()).map(address) {
            if let Some(index) = self.find(mm)
                && step.step(self, mm, index) == Next::Stop
            {
                return;
            }
        }
    }
}

impl<K: Kind> PerTask for Program<'_, K, ByTask> {
    fn running(&self, cpu: u32) -> Option<&Running<K>> {
        self.host.running.get(at(cpu))
    }
    fn peak(&self, cpu: u32, index: u32) -> Option<&Peak<K>> {
        self.host.peaks.get(at(cpu))?.get(at(index))
    }
    fn seed(&self, index: u32) -> Option<&Seed<K>> {
        self.host.seeds.get(at(index))
    }
    fn count(&self, mm: u64, member: u32) -> Option<i64> {
        Some(self.host.mm(mm).count[at(member)].get())
    }
    fn counts(&self, mm: u64) -> Option<Pages> {
        let [file, anon, swap, shmem] = &self.host.mm(mm).count;
        Some([file.get(), anon.get(), swap.get(), shmem.get()])
    }
}

/// The reader's visit of a task whose mm is [`Host::visited`].
pub(crate) struct Visitor {
    pub(crate) tgid: u32,
}

impl<K: Kind> percpu::reader::Visit<Program<'_, K, ByCpu>> for Visitor {
    fn mm_now(&self, memory: &Program<'_, K, ByCpu>) -> Option<u64> {
        Some(memory.host.visited.get())
    }
    fn tgid(&self, _: &Program<'_, K, ByCpu>) -> u32 {
        self.tgid
    }
    fn visited(&self, _: &Program<'_, K, ByCpu>, _: Handle<'_, K>, _: u64) {}
}

impl<K: Kind> pertask::reader::Visit<Program<'_, K, ByTask>> for Visitor {
    fn mm_now(&self, memory: &Program<'_, K, ByTask>) -> u64 {
        memory.host.visited.get()
    }
    fn visited(&self, _: &Program<'_, K, ByTask>, _: Handle<'_, K>, _: u64, _: u64) {}
}
