//! States that are given up although their mm may live, and addresses that are used again without an end that was seen.

use crate::{
    common::{A, B, Scenario, World, config},
    engine::{Bound, Model, Word, wait_until},
    host::{ANON, Check as _, Config, Host},
};
use rss_drift_common::{
    protocol::{limbo, percpu::life},
    shadow::OWNED,
};

/// A host, and how many BPF programs run that began before now.
struct Running {
    host: World,
    programs: Word<u32>,
}

impl Running {
    /// A BPF program that is counted as long as it runs.
    fn counted(&self, program: impl FnOnce(&World)) {
        self.programs.quiet().add(1);
        program(&self.host);
        self.programs.quiet().add(1_u32.wrapping_neg());
    }

    /// An update, and its event's BPF program.
    fn update(&self, cpu: u32, mm: u64, pages: i32) {
        self.host.kernel_update(cpu, mm, ANON, pages);
        self.counted(|host| host.event(cpu, mm, ANON));
    }

    /// The reader's sweep lets go of A, and frees it when a second has passed, in which all BPF programs end that run now.
    fn sweep(&self, cpu: u32) {
        life::let_go(&self.host.program(cpu), A);
        wait_until("the BPF programs that ran have ended", || self.programs.quiet().load() == 0);
        self.host.pass(2 * limbo::WAIT);
        limbo::release(&self.host.program(cpu));
    }
}

/// CPU 0 has begun with A, and does this while CPU 1 sweeps and goes on.
fn sweeping(
    name: &'static str,
    (config, holds): (Config, bool),
    work: fn(&Running),
    sweep: fn(&Running),
) -> Model<Running> {
    Model::new(name, move || {
        let host = Host::new(&config);
        host.begin(0, A, 1);
        if !holds {
            host.go_on_with(0, 0);
            host.go_on_with(0, B);
        }
        Running { host, programs: Word::new("programs", 0) }
    })
    .thread("cpu 0", (0, 0), work)
    .thread("sweep", (1, 0), sweep)
}

/// As before. Then these mms live.
fn swept(
    name: &'static str,
    (mms, holds): (usize, bool),
    work: fn(&Running),
    sweep: fn(&Running),
    living: &'static [u64],
) {
    sweeping(name, (config(2, mms, mms), holds), work, sweep)
        .check_end(|world| world.host.check_living(living))
        .explore();
}

/// The sweep lets go of the state of an mm that lives and changes (no task of this PID namespace has it): that makes another state, and
/// the first one goes to another mm.
#[test]
fn a_state_that_is_let_go_of_is_freed_when_nobody_is_at_it() {
    for holds in [true, false] {
        let work = |world: &Running| (0..2).for_each(|_| world.update(0, A, 1));
        let sweep = |world: &Running| {
            world.sweep(1);
            world.host.begin(1, B, 2);
        };
        swept("let go", (2, holds), work, sweep, &[A, B]);
    }
}

/// As before of a CPU that is alone with the mm, or becomes so.
#[test]
fn a_state_is_let_go_of_beside_a_cpu_alone() {
    for alone in [true, false] {
        let prepare = move || {
            let host = Host::new(&config(2, 2, 2));
            host.begin(0, A, 3);
            host.update(0, A, ANON, -1);
            if !alone {
                host.go_on_with(0, 0);
                host.go_on_with(0, A);
            }
            assert_eq!(host.slot_now(0).alone, if alone { A } else { 0 });
            Running { host, programs: Word::new("programs", 0) }
        };
        Model::new("let go of an mm alone", prepare)
            .thread("cpu 0", (0, 0), move |world: &Running| {
                world.update(0, A, 1);
                world.update(0, A, -1);
                world.counted(|host| host.go_on_with(0, 0));
            })
            .thread("sweep", (1, 0), |world: &Running| {
                world.sweep(1);
                world.host.begin(1, B, 2);
            })
            .check_end(|world| world.host.check_living(&[A, B]))
            .explore();
    }
}

/// The sweep lets go of an mm that ends at that moment: one of the two frees its state.
#[test]
fn a_state_is_let_go_of_or_ended_once() {
    let work = |world: &Running| {
        world.update(0, A, -1);
        world.counted(|host| host.end(0, A));
    };
    swept("let go and end", (1, true), work, |world| world.sweep(1), &[]);
}

/// The same where the address is another mm's at once: its entry may go, and with that its index until rss-drift ends; but no index is
/// given to two.
#[test]
fn a_state_is_freed_once_beside_an_address_used_again() {
    let work = |world: &Running| {
        world.update(0, A, -1);
        world.counted(|host| host.end(0, A));
        // Another one gets the index.
        world.update(0, B, 1);
        world.host.kernel_new_mm(A);
        world.update(0, A, 2);
    };
    sweeping("let go, end and again", (config(2, 2, 3), true), work, |world| world.sweep(1))
        .daily(Bound::Switches(3))
        .check_end(|Running { host, .. }| {
            host.check_no_residue();
            let places = host.places();
            assert!(places.iter().all(|places| places.len() < 2), "no index is in two places: {places:?}");
            let nowhere = places.iter().filter(|places| places.is_empty()).count();
            assert!(nowhere < 2, "one index is lost at most: {places:?}");
        })
        .explore();
}

/// Without fentry: the first mm at the address ended unseen; the slot of CPU 1 names its state still. The next mm at that address is
/// made by a fork on CPU 0, which changes it before its event. Then the child's first update comes, on the same CPU.
fn used_again(name: &'static str, prepare: fn(&World)) -> Scenario {
    Scenario::new(name, config(2, 2, 3), move |host| {
        host.begin(1, A, 2);
        host.update(1, A, ANON, -2);
        host.states[0].owned.poke(OWNED);
        host.kernel_new_mm(A);
        host.go_on_with(0, B);
        prepare(host);
    })
    .cpu(0, |host| {
        host.update(0, A, ANON, 1);
        life::born(&host.program(0), A);
        host.go_on_with(0, A);
        host.update(0, A, ANON, 1);
    })
}

/// The address is used again while the CPU whose slot names the first mm's state goes on to another mm.
#[test]
fn an_address_is_used_again_while_another_cpu_flushes() {
    used_again("used again, flush", |_| {})
        .cpu(1, |host| host.begin(1, B, 1))
        .end(|host| host.check_living(&[A, B]))
        .daily(3);
}

/// The address is used again while the reader visits it.
#[test]
fn an_address_is_used_again_while_the_reader_visits_it() {
    used_again("used again, reader", |host| host.switch(1, B))
        .reads(1, A)
        .end(|host| host.check_living(&[A]))
        .daily(2);
}
