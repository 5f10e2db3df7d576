//! States that are given up although their mm may live, and addresses that are used again without an end that was seen.

use crate::{
    common::{A, B, World, config},
    engine::{Bound, Model, Word, wait_until},
    host::{ANON, Check as _},
    life::model,
};
use rss_drift_common::{
    protocol::{
        limbo,
        percpu::{events, life},
    },
    shadow::OWNED,
};

/// A host, and how many programs run that began before now.
struct Running {
    host: World,
    programs: Word<u32>,
}

impl Running {
    /// An update, and its event's program, which is counted as long as it runs.
    fn update(&self, cpu: u32, mm: u64, pages: i32) {
        self.host.kernel_update(cpu, mm, ANON, pages);
        self.programs.quiet().add(1);
        self.host.event(cpu, mm, ANON);
        self.programs.quiet().add(1_u32.wrapping_neg());
    }

    /// The reader's sweep lets go of A, and frees it when a second has passed, in which all programs end that run now.
    fn sweep(&self, cpu: u32) {
        life::let_go(&self.host.program(cpu), A);
        wait_until("the programs that ran have ended", || self.programs.quiet().load() == 0);
        self.host.pass(2 * limbo::WAIT);
        limbo::release(&self.host.program(cpu));
    }
}

/// The sweep lets go of the state of an mm that lives and changes (no task of this PID namespace has it): that makes another state, and
/// the first one goes to another mm.
#[test]
fn a_state_that_is_let_go_of_is_freed_when_nobody_is_at_it() {
    for holds in [true, false] {
        Model::new("let go", move || {
            let host = World::new(&config(2, 2, 2));
            host.begin(0, A, 1);
            if !holds {
                host.go_on_with(0, 0);
                host.go_on_with(0, B);
            }
            Running { host, programs: Word::new("programs", 0) }
        })
        .thread("cpu 0", (0, 0), |world: &Running| {
            world.update(0, A, 1);
            world.update(0, A, 1);
        })
        .thread("sweep", (1, 0), |world: &Running| {
            world.sweep(1);
            world.host.begin(1, B, 2);
        })
        .check_end(|Running { host, .. }| {
            host.check_no_residue();
            host.check_shadow(A);
            host.check_shadow(B);
            host.check_indexes();
        })
        .explore();
    }
}

/// The sweep lets go of an mm that ends at that moment: one of the two frees its state.
#[test]
fn a_state_is_let_go_of_or_ended_once() {
    Model::new("let go and end", move || {
        let host = World::new(&config(2, 1, 1));
        host.begin(0, A, 1);
        Running { host, programs: Word::new("programs", 0) }
    })
    .thread("cpu 0", (0, 0), |world: &Running| {
        world.update(0, A, -1);
        world.programs.quiet().add(1);
        life::end(&world.host.program(0), A);
        world.programs.quiet().add(1_u32.wrapping_neg());
    })
    .thread("sweep", (1, 0), |world: &Running| world.sweep(1))
    .check_end(|Running { host, .. }| {
        host.check_no_residue();
        host.check_indexes();
    })
    .explore();
}

/// Without fentry: the first mm at the address ended unseen; the slot of CPU 1 names its state still. The next mm at that address is
/// made by a fork on CPU 0, which changes it before its event.
fn used_again(host: &World) {
    host.begin(1, A, 2);
    host.update(1, A, ANON, -2);
    host.states[0].owned.poke(OWNED);
    host.kernel_new_mm(A);
    host.go_on_with(0, B);
}

/// The fork, and the child's first update, on the same CPU.
fn fork(host: &World) {
    host.update(0, A, ANON, 1);
    life::born(&host.program(0), A);
    host.go_on_with(0, A);
    host.update(0, A, ANON, 1);
}

/// The address is used again while the CPU whose slot names the first mm's state goes on to another mm.
#[test]
fn an_address_is_used_again_while_another_cpu_flushes() {
    model("used again, flush", config(2, 2, 3), used_again)
        .thread("cpu 0", (0, 0), fork)
        .thread("cpu 1", (1, 0), |host: &World| host.begin(1, B, 1))
        .check_end(|host| {
            host.check_no_residue();
            host.check_shadow(A);
            host.check_shadow(B);
            host.check_indexes();
        })
        .explore();
}

/// The address is used again while the reader visits it.
#[test]
fn an_address_is_used_again_while_the_reader_visits_it() {
    model("used again, reader", config(2, 2, 3), |host| {
        used_again(host);
        events::switched(&host.program(1), B);
    })
    .thread("cpu 0", (0, 0), fork)
    .thread("reader", (1, 0), |host: &World| {
        host.read(1, A);
    })
    .daily(Bound::Switches(2))
    .check_end(|host| {
        host.check_no_residue();
        host.check_shadow(A);
        host.check_indexes();
    })
    .explore();
}
