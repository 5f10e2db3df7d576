//! What scenarios of per-cpu accounting are made of: a kernel's act and the events that tell of it.

use super::{ANON, Check as _, Host, Kind, address, at};
use rss_drift_common::{
    protocol::percpu::{events, life},
    shadow::ShadowRecord,
};

impl<K: Kind> Host<K> {
    /// The event of a switch to a task with this mm; 0 is none.
    pub(crate) fn switch(&self, cpu: u32, mm: u64) {
        events::switched(&self.program(cpu), mm);
    }

    /// This CPU goes on with a task that has this mm (0: none), and the event of that is seen.
    pub(crate) fn go_on_with(&self, cpu: u32, mm: u64) {
        self.current[at(cpu)].poke(mm);
        self.switch(cpu, mm);
    }

    /// The task of this CPU has a new mm, and the event of that is seen.
    pub(crate) fn executes(&self, cpu: u32, mm: u64) {
        events::executed(&self.program(cpu), mm);
    }

    /// Updates of anonymous pages, and their events.
    pub(crate) fn updates(&self, cpu: u32, mm: u64, deltas: &[i32]) {
        for &delta in deltas {
            self.update(cpu, mm, ANON, delta);
        }
    }

    /// As before of one CPU's task, on which its slot is from then on.
    pub(crate) fn runs(&self, cpu: u32, mm: u64, deltas: &[i32]) {
        self.switch(cpu, mm);
        self.updates(cpu, mm, deltas);
    }

    /// A life begins at this address, and this CPU runs it and changes its counter, with an event.
    pub(crate) fn begin(&self, cpu: u32, mm: u64, pages: i32) {
        self.go_on_with(cpu, mm);
        self.update(cpu, mm, ANON, pages);
    }

    /// The mm ends on this CPU.
    pub(crate) fn end(&self, cpu: u32, mm: u64) {
        life::end(&self.program(cpu), mm);
    }

    /// The last pages go, with an event, then the mm.
    pub(crate) fn exit(&self, cpu: u32, mm: u64, pages: i32) {
        self.update(cpu, mm, ANON, -pages);
        self.end(cpu, mm);
    }

    /// The reader visits a task that has this mm, on CPU 0, while nothing else runs.
    pub(crate) fn visit(&self, mm: u64) -> ShadowRecord {
        self.visited.poke(mm);
        let record = self.read(0, mm);
        self.visited.poke(address(0));
        record
    }
}
