//! The exact reader: what passes as valid is a sum that the mm had.

use crate::{
    engine::Model,
    host::{ANON, Config, Host, address},
    steps::Steps,
};
use rss_drift_common::memory::Word as _;

const MM: u64 = address(0);

/// A host whose CPUs' slots hold so many pages, with a batch of 3.
fn host(slots: &[i32]) -> Host<Steps> {
    let members = [false, true, false, false];
    let host =
        Host::new(&Config { cpus: slots.len(), members, batch: 3, instants: true, ..Config::default() });
    for (cpu, &pages) in (0..).zip(slots) {
        host.kernel_update(cpu, MM, ANON, pages);
    }
    host
}

/// One reading, while each CPU makes its updates. `instant`: whether it has to be the sum of an instant; else of updates since its begin.
pub(crate) fn model(
    name: &'static str,
    slots: &'static [i32],
    updates: &'static [&[i32]],
    instant: bool,
) -> Model<Host<Steps>> {
    let model =
        updates.iter().enumerate().fold(Model::new(name, move || host(slots)), |model, (cpu, deltas)| {
            let number = u32::try_from(cpu).expect("a small number");
            model.thread(format!("cpu {cpu}"), (cpu, 0), move |host: &Host<Steps>| {
                for &delta in *deltas {
                    host.kernel_update(number, MM, ANON, delta);
                }
            })
        });
    model.thread("reader", (slots.len(), 0), move |host: &Host<Steps>| {
        let watch = host.watch(MM);
        let reading = host.read_exact(MM);
        let mm = host.mm(MM);
        let right = if instant { mm.had(reading.rss()) } else { watch.reaches(mm, reading.rss()) };
        assert!(!reading.valid || right, "valid, and wrong: {reading:?}");
    })
}

/// A fold adds to the count, then empties its slot: no reading is valid that saw one of both.
#[test]
fn no_half_of_a_fold_is_valid() {
    assert!(model("one fold", &[2], &[&[1]], true).explore().complete);
    assert!(model("one fold of two slots", &[2, 1], &[&[1]], true).explore().complete);
}

/// Two folds, one after the other or at once.
#[test]
fn no_half_of_two_folds_is_valid() {
    assert!(model("two folds", &[2, 2], &[&[1], &[1]], false).explore().complete);
    assert!(model("a fold after a fold", &[2], &[&[1, 1, 2]], true).explore().complete);
}

/// Where nobody changes anything a reading is valid.
#[test]
fn what_is_idle_is_valid() {
    let host = host(&[1, -2]);
    host.mm(MM).count[1].set(7);
    let reading = host.read_exact(MM);
    assert!(reading.valid);
    assert_eq!(reading.rss(), 6);
}
