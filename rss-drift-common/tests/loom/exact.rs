//! The exact reader's rule, which reads the kernel's counters alone.

use std::collections::BTreeSet;

use crate::{
    host::{ANON, Check as _, Config, Host, address, at},
    loom_words::Loom,
    search::{Bounds, WHOLE, search},
};
use loom::{sync::Arc, thread};
use rss_drift_common::{
    MEMBERS,
    member::Pages,
    memory::Word as _,
    protocol::percpu::exact::{self, Counters},
};

/// The counters of the only mm.
struct Kernel<'h>(&'h Host<Loom>);

impl Counters for Kernel<'_> {
    fn counts(&self) -> Pages {
        let [file, anon, swap, shmem] = &self.0.mm(address(0)).count;
        [file.get(), anon.get(), swap.get(), shmem.get()]
    }
    fn locks(&self) -> u32 {
        let [file, anon, swap, shmem] = &self.0.mm(address(0)).lock;
        file.get() | anon.get() | swap.get() | shmem.get()
    }
    fn add_slots(&mut self, cached: &mut Pages) -> bool {
        for slots in &self.0.mm(address(0)).slots {
            for member in 0..MEMBERS {
                cached[member] += i64::from(slots[member].get());
            }
        }
        true
    }
}

/// A reading beside updates of other CPUs by these deltas, each by a list of its own. `slots`: what lies in the slots before.
fn beside(slots: &[i32], deltas: &'static [&'static [i32]]) {
    let mm = address(0);
    let members = [false, true, false, false];
    let host = Host::<Loom>::new(&Config { cpus: slots.len(), members, batch: 2, ..Config::default() });
    for (slot, &pages) in host.mm(mm).slots.iter().zip(slots) {
        slot[at(ANON)].poke(pages);
    }
    let before: i64 = slots.iter().copied().map(i64::from).sum();
    let host = Arc::new(host);
    let others: Vec<_> = (0_u32..)
        .zip(deltas)
        .map(|(cpu, deltas)| {
            let host = Arc::clone(&host);
            thread::spawn(move || deltas.iter().for_each(|&delta| host.kernel_update(cpu, mm, ANON, delta)))
        })
        .collect();
    let (mut count, mut cached) = ([0; MEMBERS], [0; MEMBERS]);
    let valid = exact::read(&mut Kernel(&host), &mut count, &mut cached);
    for other in others {
        other.join().expect("the other CPU's updates end");
    }
    if valid {
        let sum = count[1] + cached[1];
        let true_sums = sums(before, deltas);
        assert!(true_sums.contains(&sum), "{sum} is none of {true_sums:?}");
    }
}

/// What the counter can come to, when each CPU has done some of its updates.
fn sums(before: i64, deltas: &[&[i32]]) -> BTreeSet<i64> {
    deltas.iter().fold(BTreeSet::from([before]), |sums, deltas| {
        let done = (0..=deltas.len()).map(|done| deltas[..done].iter().copied().map(i64::from).sum::<i64>());
        done.flat_map(|done| sums.iter().map(move |sum| sum + done)).collect()
    })
}

/// The fold can come between any two of the reader's steps.
#[test]
fn a_valid_exact_reading_beside_a_fold_is_true() {
    search("exact reading and fold", WHOLE, || beside(&[1], &[&[1]]));
}

#[test]
fn a_valid_exact_reading_beside_two_folds_is_true() {
    search("exact reading and two folds", WHOLE, || beside(&[1], &[&[1, 2]]));
}

#[test]
fn a_valid_exact_reading_beside_two_cpus_is_true() {
    search("exact reading and two CPUs", Bounds { daily: Some(3), all: None }, || {
        beside(&[1, 1], &[&[1], &[1]]);
    });
}
