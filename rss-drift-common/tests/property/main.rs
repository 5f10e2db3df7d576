//! The protocol on plain words, one step after the other.

mod alone;
#[path = "../host/cells.rs"]
mod cells;
#[path = "../host/mod.rs"]
mod host;
mod percpu;
mod pertask;
mod slot;

use cells::Cells;
use host::{Scenario, smoke};

impl Scenario<Cells> {
    /// One thread after the other.
    fn run(&self) {
        let host = self.host();
        self.threads.iter().for_each(|thread| (thread.work)(&host));
        (self.end)(&host);
    }
}

#[test]
fn one_cpu_is_exact() {
    for together in [false, true] {
        smoke::one_cpu(together).run();
    }
}

#[test]
fn one_task_is_exact() {
    smoke::one_task().run();
}

/// In a list of quiet fields, which is a constant as a rule: then it does not compile.
#[test]
#[should_panic(expected = "no struct has a field of this name")]
fn a_field_that_does_not_exist_is_refused() {
    host::Quiet::of(&["hits", "transients"]);
}
