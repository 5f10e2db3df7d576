//! `--soak SECONDS`: a random mixture of what moves memory, by a seeded generator, with every invariant checked again and
//! again. The same seed gives the same orders; how the kernel runs them differs.

mod actors;
mod host;
mod random;

use std::{
    ffi::OsString,
    fmt::Write as _,
    process::ExitCode,
    thread,
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use rss_drift::{
    drift::idle::IdleTracker,
    probe::{FaultPrograms, FullOptions, Hidden, Publish, Snapshot},
    session::Mode,
};

use self::actors::Actors;
pub use self::random::Random;
use crate::{
    invariants::{no_state_too_many, nothing_is_late, states_too_many},
    measure::{Meter, wait_until},
};

/// First argument of this mode.
pub const SOAK: &str = "--soak";

/// Time between two checks of everything.
const CHECK: Duration = Duration::from_secs(1);

/// How often what newborn and dying processes may disturb is looked at again.
const LOOKS: u32 = 50;

/// One check in so many is followed by a second session beside ours.
const SECOND_ONE_IN: u64 = 8;

/// Orders that are shown when a check fails.
const SHOWN: usize = 30;

const USAGE: &str = "Usage: live-tests --soak SECONDS [--seed N]";

/// Runs for as long as `arguments` say. A failed check is a panic, with the seed and the last orders.
pub fn main(arguments: &[OsString]) -> ExitCode {
    let Some((length, seed)) = parse(arguments) else {
        eprintln!("live-tests: {USAGE}");
        return ExitCode::from(2);
    };
    // SAFETY: reads an id.
    if unsafe { libc::geteuid() } != 0 {
        eprintln!("live-tests: needs root");
        return ExitCode::from(2);
    }
    run(length, seed);
    ExitCode::SUCCESS
}

fn parse(arguments: &[OsString]) -> Option<(Duration, u64)> {
    let mut words = arguments.iter().map(|word| word.to_str());
    let seconds = words.next()??.parse().ok().filter(|&seconds: &u64| seconds > 0)?;
    let seed = match words.next() {
        None => any_seed(),
        Some(Some("--seed")) => words.next()??.parse().ok()?,
        Some(_) => return None,
    };
    words.next().is_none().then_some((Duration::from_secs(seconds), seed))
}

/// A seed that nobody chose.
pub fn any_seed() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(1, |now| now.subsec_nanos().into())
}

/// Soaks for `length` and prints what was found.
pub fn run(length: Duration, seed: u64) {
    println!("soak: seed {seed}");
    let mut random = Random::new(seed);
    // Before the first helper: it forks.
    let options = any_options(&mut random);
    println!("soak: {options:?}");
    let mut meter = Meter::open_as(Mode::Full(options));
    let mut log = Log { seed, orders: Vec::new(), count: 0 };
    let mut actors = Actors::start();
    let mut checks = Checks::default();
    let end = Instant::now() + length;
    let mut next_check = Instant::now() + CHECK;
    while Instant::now() < end {
        log.note(actors.act(&mut random));
        if Instant::now() >= next_check {
            checks.all(&mut meter, &mut actors);
            if random.below(SECOND_ONE_IN) == 0 {
                log.note(a_second(&mut random, &actors));
            }
            next_check = Instant::now() + CHECK;
        }
    }
    let storms = actors.end();
    checks.all(&mut meter, &mut actors);
    wait_until("states of mms that ended are gone", || states_too_many(&mut meter.session) <= 0);
    println!("report: soak_orders={}", log.count);
    println!("report: soak_short_lives={storms}");
    checks.report(&meter);
}

/// Full mode as most have it, or with a part of what the kernel has hidden from it.
fn any_options(random: &mut Random) -> FullOptions {
    let default = FullOptions::default();
    random.of(&[
        default,
        default,
        FullOptions { hidden: Hidden { fentry: true, ..default.hidden }, ..default },
        FullOptions { hidden: Hidden { fentry: true, exit_mmap: true, cast: false }, ..default },
        FullOptions {
            hidden: Hidden { cast: true, ..default.hidden },
            faults: FaultPrograms::Always,
            ..default
        },
        FullOptions { publish: Publish::EveryUpdate, ..default },
    ])
}

/// Another session attaches in the middle of it all, is right, and goes.
fn a_second(random: &mut Random, actors: &Actors) -> String {
    let options = any_options(random);
    let mut second = Meter::open_as(Mode::Full(options));
    for pid in actors.pids() {
        let idle = second.idle(pid);
        if second.session.probe.full_mode().is_some() {
            shadow_is_exact(&mut second, pid, &idle.mm.exact());
        }
    }
    format!("a second session: {options:?}")
}

/// The orders so far; shown when a check panics.
struct Log {
    seed: u64,
    orders: Vec<String>,
    count: usize,
}

impl Log {
    fn note(&mut self, order: String) {
        self.count += 1;
        self.orders.push(order);
        if self.orders.len() > 2 * SHOWN {
            self.orders.drain(..SHOWN);
        }
    }
}

impl Drop for Log {
    fn drop(&mut self) {
        if thread::panicking() {
            let shown = &self.orders[self.orders.len().saturating_sub(SHOWN)..];
            let mut text =
                format!("soak: failed with --seed {} at order {}; the last orders:\n", self.seed, self.count);
            for order in shown {
                // Writing to a String cannot fail.
                let _ = writeln!(text, "  {order}");
            }
            eprint!("{text}");
        }
    }
}

/// What was found by all checks so far.
#[derive(Default)]
struct Checks {
    tracker: IdleTracker,
    idle: u64,
    error: u64,
    repaired: u64,
    passes: u64,
}

impl Checks {
    /// Everything that holds while our helpers wait for orders, whatever else the host does.
    fn all(&mut self, meter: &mut Meter, actors: &mut Actors) {
        self.passes += 1;
        let snapshot = meter.snapshot();
        let full = meter.session.probe.full_mode().is_some();
        if full {
            self.check_idle_shadows(meter, &snapshot, actors);
        }
        for pid in actors.pids() {
            // exact = resident, member by member; drift within its bound; the files of /proc say what they should.
            let idle = meter.idle(pid);
            if full {
                shadow_is_exact(meter, pid, &idle.mm.exact());
            }
        }
        if full {
            no_state_too_many(&mut meter.session);
        }
    }

    fn check_idle_shadows(&mut self, meter: &Meter, snapshot: &Snapshot, actors: &Actors) {
        let found = self.tracker.judge(snapshot);
        self.idle += found.mms;
        self.error = self.error.max(found.largest_error);
        self.repaired += found.repaired;
        assert_eq!(found.largest_error, 0, "shadow = exact while idle: {found:?}");
        let missed = meter.session.probe.missed_events().unwrap_or(0);
        assert!(
            found.repaired == 0 || missed > 0,
            "only a missed event leaves something to repair: {found:?}"
        );
        let counts = meter.session.probe.counts().expect("full mode").expect("read the counts");
        assert_eq!(counts.deaths_with_residue, 0, "every mm ends with 0: {counts:?}");
        // A CPU that goes offline leaves something to the end as well.
        if !actors.cpus_went() {
            nothing_is_late(&meter.session.probe);
        }
    }

    fn report(&self, meter: &Meter) {
        println!("report: soak_checks={}", self.passes);
        if let Some(counts) = meter.session.probe.counts() {
            let counts = counts.expect("read the counts");
            println!("report: soak_idle={}", self.idle);
            println!("report: soak_error={}", self.error);
            println!("report: soak_repaired={}", self.repaired);
            println!("report: soak_missed={}", meter.session.probe.missed_events().unwrap_or(0));
            println!("report: soak_deaths={}", counts.deaths);
            println!("report: soak_residues={}", counts.deaths_with_residue);
            println!("report: soak_late={}", counts.late);
            println!("report: soak_swept={}", counts.swept);
            println!("report: soak_inherited={}", counts.inherited);
        }
    }
}

/// The shadow of an idle process, as soon as a reading of it was not disturbed.
fn shadow_is_exact(meter: &mut Meter, pid: u32, exact: &[i64; 4]) {
    use rss_drift_common::shadow::SHADOW_VALID;
    for _ in 0..LOOKS {
        let snapshot = meter.snapshot();
        let shadow = snapshot.shadow(pid).copied();
        let Some(shadow) = shadow.filter(|shadow| shadow.flags == SHADOW_VALID) else { continue };
        if snapshot.process(pid).is_none_or(|mm| mm.exact() != *exact) {
            // Reclaim may take pages of anybody at any time.
            return;
        }
        assert_eq!(shadow.shadow, *exact, "the shadow of process {pid}: {shadow:?}");
        return;
    }
    panic!("the shadow of process {pid} was disturbed {LOOKS} times in a row");
}
