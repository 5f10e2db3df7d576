//! Preemption within a BPF program, as from Linux 7.x on: a context switch, what the next task does, and the switch back come
//! between any two steps of an event. While an event's BPF program is preempted the kernel's recursion guard lets no further
//! run of it begin on that CPU.

use crate::{
    common::{A, B, C, World, config},
    engine::{Model, Word},
    host::{ANON, Check as _, Config, Host, OWNERS, PEAKS, Quiet, at},
};
use rss_drift_common::protocol::percpu::events;

/// A host, and the kernel's recursion guard of the event's program on CPU 0.
struct Guarded {
    host: World,
    runs: Word<u32>,
    missed: Word<u64>,
}

impl Guarded {
    fn new(config: &Config, prepare: impl Fn(&World)) -> Self {
        let host = Host::new(config);
        prepare(&host);
        Self { host, runs: Word::new("runs", 0), missed: Word::new("missed events", 0) }
    }

    /// An update, and its event where the guard lets it in.
    fn update(&self, mm: u64, pages: i32) {
        self.host.kernel_update(0, mm, ANON, pages);
        if self.runs.quiet().load() != 0 {
            self.missed.quiet().add(1);
            self.host.mm(mm).events.add_quietly(1);
            return;
        }
        self.runs.quiet().store(1);
        self.host.event(0, mm, ANON);
        self.runs.quiet().store(0);
    }

    /// Another task runs for a while, then the one before it goes on.
    fn preempt(&self, mm: u64, work: impl FnOnce()) {
        let before = self.host.current[0].peek();
        self.host.go_on_with(0, mm);
        work();
        self.host.go_on_with(0, before);
    }

    fn check(&self, mms: &[u64]) {
        let host = &self.host;
        let missed = self.missed.quiet().load();
        let (slot, current) = (host.slot_now(0), host.current[0].peek());
        assert_eq!(slot.busy, 0);
        assert!(
            missed != 0 || current == 0 || slot.mm == current,
            "the slot is on the running task's mm: {slot:?}"
        );
        host.check_no_residue();
        for &mm in mms {
            host.visited.poke(mm);
            let record = host.read(0, mm);
            assert_eq!(record.shadow, host.mm(mm).truth(), "shadow of {mm:#x}");
            if missed == 0 && host.all_counts_now().nested == 0 {
                assert_eq!(record.repaired, 0, "repaired of {mm:#x}");
            }
        }
        host.check_events(missed);
        host.check_indexes();
    }
}

fn prepared(config: Config, prepare: impl Fn(&World) + Copy + 'static) -> impl Fn() -> Guarded {
    move || Guarded::new(&config, prepare)
}

/// An event that folds or publishes is preempted by a task of another mm with an update of its own, then by a kernel thread.
#[test]
fn an_event_is_preempted() {
    for batch in [2, 8] {
        let config = Config { batch, threshold: 2, ..config(1, 2, 2) };
        Model::new("a preempted event", prepared(config, |host| host.begin(0, A, 1)))
            .thread("task of A", (0, 0), |world: &Guarded| {
                world.update(A, 2);
                world.update(A, -1);
            })
            .thread("task of B", (0, 1), |world: &Guarded| world.preempt(B, || world.update(B, 1)))
            .thread("kernel thread", (0, 1), |world: &Guarded| world.preempt(0, || ()))
            .check_end(|world| world.check(&[A, B]))
            .explore();
    }
}

/// As before of a CPU that is alone with A: its event does not look at the state. In the end the slot is on A again, or was all along.
#[test]
fn an_event_alone_is_preempted() {
    let prepare = |host: &World| {
        host.begin(0, A, 3);
        host.update(0, A, ANON, -1);
        assert_eq!(host.slot_now(0).alone, A);
    };
    for (next, of) in [(B, B), (0, A), (0, 0)] {
        Model::new("a preempted event alone", prepared(config(1, 2, 2), prepare))
            .thread("task of A", (0, 0), |world: &Guarded| {
                world.update(A, 1);
                world.update(A, -1);
                world.update(A, 1);
            })
            .thread("another task", (0, 1), move |world: &Guarded| {
                world.preempt(next, || {
                    if of != 0 {
                        world.update(of, 1);
                    }
                });
            })
            .check_end(move |world| world.check(if of == B { &[A, B] } else { &[A] }))
            .explore();
    }
}

/// An event of an mm that the slot does not hold (reclaim) is preempted by a task that has this mm.
#[test]
fn a_miss_is_preempted() {
    let prepare = |host: &World| {
        host.begin(0, B, 1);
        host.begin(0, A, 1);
    };
    Model::new("a preempted miss", prepared(config(1, 2, 2), prepare))
        .thread("task of A", (0, 0), |world: &Guarded| world.update(B, 1))
        .thread("task of B", (0, 1), |world: &Guarded| world.preempt(B, || world.update(B, 1)))
        .check_end(|world| world.check(&[A, B]))
        .explore();
}

/// CPU 0 has run a task of A, and runs a kernel thread.
fn lazily_on_a(host: &World) {
    host.begin(0, A, 1);
    host.go_on_with(0, 0);
}

/// A kernel thread that runs lazily on A changes it (khugepaged), and is preempted by a task of C. Whatever came of that switch, it is not
/// made up for when CPU 0 has gone on to a task of A: that one's updates are hits.
#[test]
fn an_old_switch_is_not_made_up_for() {
    Model::new("an old switch", prepared(config(1, 3, 3), lazily_on_a))
        .thread("kernel thread, then A", (0, 0), |world: &Guarded| {
            world.update(A, 1);
            world.host.go_on_with(0, A);
            let before = world.host.all_counts_now().misses;
            world.update(A, 1);
            world.update(A, 1);
            assert_eq!(
                world.host.all_counts_now().misses,
                before,
                "every update is of the running task's mm"
            );
        })
        .thread("task of C", (0, 1), |world: &Guarded| world.preempt(C, || ()))
        .check_end(|world| world.check(&[A]))
        .explore();
}

/// A kernel thread that runs lazily on A changes it, and is preempted by a task of C before its event has marked the slot: from then on
/// the slot is C's, and what C's task does later is not A's.
#[test]
fn an_event_that_lost_its_slot_is_a_miss() {
    Model::new("a lost slot", prepared(config(1, 3, 3), lazily_on_a))
        .thread("kernel thread, then C", (0, 0), |world: &Guarded| {
            world.update(A, 1);
            world.host.go_on_with(0, C);
            world.update(C, 1);
        })
        .thread("task of C", (0, 1), |world: &Guarded| world.preempt(C, || ()))
        .check_end(|world| world.check(&[A, C]))
        .explore();
}

/// `__mmdrop` of another mm is preempted, and an event comes within.
#[test]
fn an_end_is_preempted() {
    let prepare = |host: &World| {
        host.begin(0, B, 1);
        host.update(0, B, ANON, 1);
        host.begin(0, A, 1);
        host.update(0, B, ANON, -2);
    };
    for lazy in [false, true] {
        Model::new("a preempted end", prepared(config(1, 3, 3), prepare))
            .thread("task of A", (0, 0), move |world: &Guarded| {
                if lazy {
                    // A kernel thread drops the mm that it runs on.
                    world.host.update(0, A, ANON, -1);
                    world.host.go_on_with(0, 0);
                    world.host.end(0, A);
                    world.host.go_on_with(0, B);
                } else {
                    world.host.end(0, B);
                }
            })
            .thread("task of C", (0, 1), |world: &Guarded| world.preempt(C, || world.update(C, 1)))
            .check_end(move |world| world.check(if lazy { &[C] } else { &[A, C] }))
            .explore();
    }
}

/// As [`config`] of one CPU and two mms, with page faults among what counts.
fn with_faults() -> Config {
    const QUIET: Quiet = PEAKS.with(OWNERS).and(&[
        "hits",
        "misses",
        "flushes",
        "churn",
        "publications",
        "repaired",
        "cpus",
        "visited",
        "pass",
        "zero",
        "lock",
    ]);
    Config { quiet: QUIET, ..config(1, 2, 2) }
}

/// A page fault's BPF program is preempted by a task of another mm, and counts on a slot that was flushed meanwhile.
#[test]
fn a_fault_is_preempted() {
    let prepare = |host: &World| {
        host.begin(0, B, 1);
        host.begin(0, A, 1);
    };
    Model::new("a preempted fault", prepared(with_faults(), prepare))
        .thread("task of A", (0, 0), |world: &Guarded| {
            (0..2).for_each(|_| events::page_fault(&world.host.program(0), A));
        })
        .thread("task of B", (0, 1), |world: &Guarded| world.preempt(B, || world.update(B, 1)))
        .thread("kernel thread", (0, 1), |world: &Guarded| world.preempt(0, || world.update(A, 1)))
        .check_end(|world| {
            world.check(&[A, B]);
            world.host.go_on_with(0, C);
            let state = world.host.table.find(A).expect("A has a state");
            assert_eq!(world.host.state_now(at(state)).faults, 2, "each fault counts once");
        })
        .explore();
}

/// The BPF program of `sched_process_exec` is preempted by a kernel thread that changes the new mm (khugepaged), or by a task of C.
#[test]
fn an_execve_is_preempted() {
    for (kernel_thread, pages) in [(true, 0), (true, 1), (false, 1)] {
        let prepare = move |host: &World| {
            host.begin(0, A, 1);
            host.go_on_with(0, B);
            if pages != 0 {
                host.update(0, B, ANON, pages);
            }
            host.current[0].poke(A);
        };
        Model::new("a preempted execve", prepared(config(1, 3, 3), prepare))
            .thread("task of A", (0, 0), |world: &Guarded| {
                events::executed(&world.host.program(0), A);
                world.update(A, 1);
            })
            .thread("another task", (0, 1), move |world: &Guarded| {
                let (mm, of) = if kernel_thread { (0, A) } else { (C, C) };
                world.preempt(mm, || world.update(of, 1));
            })
            .check_end(|world| {
                let active = i64::from(world.host.slot_now(0).active);
                assert_eq!(
                    world.host.state_now(0).active_cpus,
                    active,
                    "A is changed by the CPU whose slot says so"
                );
                world.check(&[A, C]);
            })
            .explore();
    }
}

/// An update of the running task's mm, whose switch was not seen, is preempted.
#[test]
fn a_catch_is_preempted() {
    for pages in [0, 1] {
        let prepare = move |host: &World| {
            host.begin(0, A, 1);
            host.go_on_with(0, B);
            if pages != 0 {
                host.update(0, B, ANON, pages);
            }
            host.current[0].poke(A);
        };
        Model::new("a preempted catch", prepared(config(1, 3, 3), prepare))
            .thread("task of A", (0, 0), |world: &Guarded| (0..2).for_each(|_| world.update(A, 1)))
            .thread("task of C", (0, 1), |world: &Guarded| world.preempt(C, || world.update(C, 1)))
            .check_end(|world| world.check(&[A]))
            .explore();
    }
}
