//! The protocol on plain words, one step after the other.

#[path = "../host/cells.rs"]
mod cells;
#[path = "../host/mod.rs"]
mod host;
mod percpu;
mod pertask;
mod slot;

use cells::Cells;
use host::smoke;

#[test]
fn one_cpu_is_exact() {
    for together in [false, true] {
        smoke::one_cpu_is_exact::<Cells>(&smoke::one_cpu(together));
    }
}

#[test]
fn one_task_is_exact() {
    smoke::one_task_is_exact::<Cells>(&smoke::one_task());
}
