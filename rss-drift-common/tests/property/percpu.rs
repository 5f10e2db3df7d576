//! per-cpu accounting on random hosts: long lists of whole steps, on up to 64 CPUs. (What comes within a step is for `tests/model`.)

use proptest::prelude::*;

use crate::{
    cells::Cells,
    host::{Check as _, Config, Host, Table as _, address, at, narrow},
};
use rss_drift_common::{
    MEMBERS,
    memory::Word as _,
    protocol::{
        limbo,
        percpu::{events, life},
    },
    shadow::{SHADOW_VALID, State},
};

#[derive(Clone, Debug)]
enum Step {
    /// An update with its event.
    Update {
        cpu: u32,
        mm: usize,
        member: u32,
        delta: i32,
    },
    /// An update whose event never comes (the recursion guard), or comes on another CPU (7.2).
    Lost {
        cpu: u32,
        seen_on: Option<u32>,
        mm: usize,
        member: u32,
        delta: i32,
    },
    /// A switch to a task of this mm, or of none.
    Switch {
        cpu: u32,
        next: Option<usize>,
    },
    /// An execve: the task of this CPU has another mm.
    Execute {
        cpu: u32,
        mm: usize,
    },
    Fault {
        cpu: u32,
        mm: usize,
    },
    Read {
        cpu: u32,
        mm: usize,
    },
    /// All pages go, with events but for the last where `missed`, then the mm, and its address is used again.
    End {
        cpu: u32,
        mm: usize,
        missed: bool,
    },
    /// The sweep gives up the state of an mm that lives.
    LetGo {
        mm: usize,
    },
}

fn step(cpus: u32, mms: usize) -> impl Strategy<Value = Step> {
    let delta = prop_oneof![8 => -3..=3_i32, 1 => Just(512), 1 => Just(-512), 1 => -40..=40_i32];
    let member = 0..narrow(MEMBERS as u64);
    prop_oneof![
        8 => (0..cpus, 0..mms, member.clone(), delta.clone())
            .prop_map(|(cpu, mm, member, delta)| Step::Update { cpu, mm, member, delta }),
        1 => (0..cpus, prop::option::of(0..cpus), 0..mms, member, delta)
            .prop_map(|(cpu, seen_on, mm, member, delta)| Step::Lost { cpu, seen_on, mm, member, delta }),
        6 => (0..cpus, prop::option::of(0..mms)).prop_map(|(cpu, next)| Step::Switch { cpu, next }),
        1 => (0..cpus, 0..mms).prop_map(|(cpu, mm)| Step::Execute { cpu, mm }),
        1 => (0..cpus, 0..mms).prop_map(|(cpu, mm)| Step::Fault { cpu, mm }),
        2 => (0..cpus, 0..mms).prop_map(|(cpu, mm)| Step::Read { cpu, mm }),
        1 => (0..cpus, 0..mms, any::<bool>()).prop_map(|(cpu, mm, missed)| Step::End { cpu, mm, missed }),
        1 => (0..mms).prop_map(|mm| Step::LetGo { mm }),
    ]
}

fn host_and_steps() -> impl Strategy<Value = (Config, Vec<Step>)> {
    let cpus = prop_oneof![1..=4_usize, Just(64)];
    let threshold = prop_oneof![Just(1_u32), Just(32), Just(128)];
    (cpus, 1..=4_usize, threshold, any::<bool>()).prop_flat_map(|(cpus, mms, threshold, together)| {
        let config =
            Config { cpus, mms, states: mms + 1, threshold, together, batch: 32, ..Config::default() };
        (Just(config), prop::collection::vec(step(narrow(cpus as u64), mms), 0..200))
    })
}

impl Host<Cells> {
    /// What became of `events` since the mm's state was made.
    fn check(&self, events: &[u64]) {
        for (mm, &events) in events.iter().enumerate() {
            let Some(index) = self.table.find(address(mm)) else {
                assert_eq!(events, 0, "an mm that had an event has a state");
                continue;
            };
            let index = at(index);
            let state: State = self.state_now(index);
            let (held, hits) = self.held(state.id);
            let shadow: [i64; MEMBERS] = std::array::from_fn(|member| state.totals[member] + held[member]);
            let mut handed_out = state.global;
            for seen in &self.seen {
                handed_out
                    .iter_mut()
                    .zip(&seen[index])
                    .for_each(|(sum, word)| *sum += i64::from(word.peek()));
            }
            assert_eq!(shadow, handed_out, "every delta is in one place");
            assert_eq!(state.hits + hits + state.misses, events, "hits + misses = updates");
        }
        for cpu in 0..self.cpus.len() {
            let slot = self.slot_now(cpu);
            assert_eq!((slot.busy, slot.deferred), (0, 0));
            assert!(
                slot.pending.iter().all(|pages| pages.unsigned_abs() < self.config.threshold),
                "{slot:?}"
            );
        }
        let counts = self.all_counts_now();
        assert_eq!((counts.residue, counts.refused, counts.unsettled, counts.nested), (0, 0, 0, 0));
    }

    fn read_exactly(&self, cpu: u32, mm: usize) {
        self.visited.set(address(mm));
        let record = self.read(cpu, address(mm));
        assert_eq!((record.shadow, record.flags), (self.mm(address(mm)).sum(), SHADOW_VALID));
        assert_eq!(record.shadow, self.mm(address(mm)).truth());
    }

    fn exits(&self, cpu: u32, mm: usize, missed: bool) {
        let address = address(mm);
        for (member, pages) in (0..).zip(self.mm(address).truth()) {
            if pages != 0 {
                self.kernel_update(cpu, address, member, -i32::try_from(pages).expect("few pages"));
                if !missed {
                    self.event(cpu, address, member);
                }
            }
        }
        self.end(cpu, address);
        assert_eq!(self.table.find(address), None);
        self.kernel_new_mm(address);
    }
}

proptest! {
    #[test]
    #[cfg_attr(miri, ignore = "takes minutes for a single list of steps")]
    fn every_delta_is_counted_once((config, steps) in host_and_steps()) {
        let host = Host::<Cells>::new(&config);
        let mut events = vec![0_u64; config.mms];
        for step in steps {
            match step {
                Step::Update { cpu, mm, member, delta } => {
                    host.update(cpu, address(mm), member, delta);
                    events[mm] += 1;
                }
                Step::Lost { cpu, seen_on, mm, member, delta } => {
                    host.kernel_update(cpu, address(mm), member, delta);
                    if let Some(other) = seen_on {
                        host.event(other, address(mm), member);
                        events[mm] += 1;
                    }
                }
                Step::Switch { cpu, next } => {
                    let mm = next.map_or(0, address);
                    host.go_on_with(cpu, mm);
                    assert!(mm == 0 || host.slot_now(at(cpu)).mm == mm);
                }
                Step::Execute { cpu, mm } => {
                    host.current[at(cpu)].set(address(mm));
                    host.executes(cpu, address(mm));
                    // The state of an mm that a task had already is taken for that of one that ended unseen.
                    events[mm] = host.table.find(address(mm)).map_or(0, |index| {
                        let state = host.state_now(at(index));
                        state.hits + state.misses + host.held(state.id).1
                    });
                }
                Step::Fault { cpu, mm } => events::page_fault(&host.program(cpu), address(mm)),
                Step::Read { cpu, mm } => host.read_exactly(cpu, mm),
                Step::End { cpu, mm, missed } => {
                    host.exits(cpu, mm, missed);
                    events[mm] = 0;
                }
                Step::LetGo { mm } => {
                    life::let_go(&host.program(0), address(mm));
                    events[mm] = 0;
                }
            }
            host.check(&events);
            // No BPF program runs between steps.
            host.pass(2 * limbo::WAIT);
            limbo::release(&host.program(0));
        }
        (0..config.mms).for_each(|mm| host.read_exactly(0, mm));
    }
}
