//! Peaks, and which slot is alone with an mm, in long lists of whole steps.

use proptest::prelude::*;
use rss_drift_common::{MEMBERS, memory::Word as _};

use crate::{
    cells::Cells,
    host::{Check as _, Config, Host, address, narrow},
};

#[derive(Clone, Copy, Debug)]
enum Step {
    Update {
        cpu: u32,
        member: u32,
        pages: i32,
    },
    /// The CPU goes on with the mm.
    Runs(u32),
    /// It idles.
    Idles(u32),
    /// It goes on with another mm.
    Leaves(u32),
    Read(u32),
}

fn step(cpus: u32) -> impl Strategy<Value = Step> {
    let pages = prop_oneof![
        12 => prop_oneof![Just(1), Just(-1)],
        4 => -3..=3,
        1 => Just(512),
        1 => Just(-512),
        1 => -40..=40,
    ];
    let update = (0..cpus, 0..narrow(MEMBERS as u64), pages);
    prop_oneof![
        40 => update.prop_map(|(cpu, member, pages)| Step::Update { cpu, member, pages }),
        1 => (0..cpus).prop_map(Step::Runs),
        1 => (0..cpus).prop_map(Step::Idles),
        1 => (0..cpus).prop_map(Step::Leaves),
        1 => (0..cpus).prop_map(Step::Read),
    ]
}

fn run(cpus: usize, batch: u8, steps: &[Step]) {
    let (batch, threshold) = (i32::from(batch), u32::from(batch));
    let config = Config { cpus, mms: 2, states: 2, threshold, batch, peaks: true, ..Config::default() };
    let host = Host::<Cells>::new(&config);
    let mm = address(0);
    host.visited.set(mm);
    host.read(0, mm);
    host.mm(mm).peak_exact.poke(0);
    host.mm(mm).peak_drift.poke(0);
    for step in steps {
        match *step {
            Step::Update { cpu, member, pages } => host.update(cpu, mm, member, pages),
            Step::Runs(cpu) => host.go_on_with(cpu, mm),
            Step::Idles(cpu) => host.go_on_with(cpu, 0),
            Step::Leaves(cpu) => host.go_on_with(cpu, address(1)),
            Step::Read(cpu) => _ = host.read(cpu, mm),
        }
        let (state, truth) = (host.state_now(0), host.mm(mm));
        let error = (state.active_max - 1).max(0) * 3 * i64::from(batch - 1);
        let of = |peak: i64, truth: i64| (peak - truth).abs() <= error;
        assert!(of(state.peak_exact, truth.peak_exact.peek()), "RSS, error {error}: {state:?}");
        assert!(of(state.peak_drift, truth.peak_drift.peek()), "drift, error {error}: {state:?}");
        let (held, _) = host.held(state.id);
        let shadow: [i64; MEMBERS] = std::array::from_fn(|member| state.totals[member] + held[member]);
        assert_eq!(shadow, truth.truth(), "every update was seen by its event: {state:?}");
        let slots: Vec<_> = (0..cpus).map(|cpu| host.slot_now(cpu)).collect();
        assert!(slots.iter().filter(|slot| slot.alone != 0).count() <= 1, "two are alone: {slots:?}");
        for slot in slots {
            assert!(slot.pending.iter().all(|pages| pages.unsigned_abs() < threshold), "{slot:?}");
            assert!(slot.alone == 0 || (slot.active == 1 && slot.mm == slot.alone), "{slot:?}");
        }
    }
}

fn lists(cpus: usize) -> impl Strategy<Value = (usize, u8, Vec<Step>)> {
    let batch = prop_oneof![Just(4), Just(32), Just(128)];
    (Just(cpus), batch, prop::collection::vec(step(narrow(cpus as u64)), 0..400))
}

/// A look for an update of swap leaves room for three members of an RSS, and all of them may use it.
#[test]
fn three_members_rise_after_a_look_for_swap() {
    let [file, anon, swap, shmem] = [0, 1, 2, 3];
    let updates = [
        (anon, 1),
        (anon, 1),
        (anon, -1),
        (anon, -1),
        (swap, 1),
        (swap, -1),
        (file, 1),
        (anon, 1),
        (shmem, 1),
    ];
    let updates = updates.map(|(member, pages)| Step::Update { cpu: 0, member, pages });
    run(1, 4, &[&[Step::Runs(0)], &updates[..]].concat());
}

proptest! {
    #[test]
    #[cfg_attr(miri, ignore = "takes minutes for a single list of steps")]
    fn one_cpu_is_exact((cpus, batch, steps) in lists(1)) {
        run(cpus, batch, &steps);
    }

    #[test]
    #[cfg_attr(miri, ignore = "takes minutes for a single list of steps")]
    fn several_are_within_the_error((cpus, batch, steps) in (2..=4_usize).prop_flat_map(lists)) {
        run(cpus, batch, &steps);
    }
}
