//! `--soak SECONDS`: a random mixture of what moves memory, by a seeded generator, with every invariant checked again and
//! again. The same seed gives the same orders; how the kernel runs them differs.

mod actors;
mod random;

use std::{
    ffi::OsString,
    fmt::Write as _,
    process::ExitCode,
    thread,
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use rss_drift::{
    drift::rest::RestTracker,
    probe::{FullOptions, Snapshot},
    session::Mode,
};

use self::{actors::Actors, random::Random};
use crate::{invariants::no_state_too_many, measure::Meter};

/// First argument of this mode.
pub const SOAK: &str = "--soak";

/// Time between two checks of everything.
const CHECK: Duration = Duration::from_secs(1);

/// How often what newborn and dying processes may disturb is looked at again.
const LOOKS: u32 = 50;

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
    // Before the first helper: it forks.
    let mut meter = Meter::open_as(Mode::Full(FullOptions::default()));
    let mut log = Log { seed, orders: Vec::new(), count: 0 };
    let mut actors = Actors::start();
    let mut random = Random::new(seed);
    let mut checks = Checks::default();
    let end = Instant::now() + length;
    let mut next_check = Instant::now() + CHECK;
    while Instant::now() < end {
        log.note(actors.act(&mut random));
        if Instant::now() >= next_check {
            checks.all(&mut meter, &mut actors);
            next_check = Instant::now() + CHECK;
        }
    }
    let storms = actors.end();
    checks.all(&mut meter, &mut actors);
    println!("report: soak_orders={}", log.count);
    println!("report: soak_short_lives={storms}");
    checks.report(&meter);
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
    rest: RestTracker,
    at_rest: u64,
    repaired: u64,
    passes: u64,
}

impl Checks {
    /// Everything that holds while our helpers rest, whatever else the host does.
    fn all(&mut self, meter: &mut Meter, actors: &mut Actors) {
        self.passes += 1;
        let snapshot = meter.snapshot();
        let full = meter.session.probe.full_mode().is_some();
        if full {
            self.shadow_at_rest(meter, &snapshot);
        }
        for pid in actors.pids() {
            // exact = resident, member by member; drift within its bound; the files of /proc say what they should.
            let rest = meter.rest(pid);
            if full {
                shadow_is_exact(meter, pid, &rest.mm.exact());
            }
        }
        if full {
            no_state_too_many(&mut meter.session);
        }
    }

    fn shadow_at_rest(&mut self, meter: &Meter, snapshot: &Snapshot) {
        let found = self.rest.look(snapshot);
        self.at_rest += found.at_rest;
        self.repaired += found.repaired;
        assert_eq!(found.largest_error, 0, "shadow = exact at rest: {found:?}");
        let missed = meter.session.probe.missed_events().unwrap_or(0);
        assert!(
            found.repaired == 0 || missed > 0,
            "only a missed event leaves something to repair: {found:?}"
        );
        let counts = meter.session.probe.counts().expect("full mode").expect("read the counts");
        assert!(counts.deaths_with_rest == 0 || missed > 0, "every mm ends with 0: {counts:?}");
    }

    fn report(&self, meter: &Meter) {
        println!("report: soak_checks={}", self.passes);
        if let Some(counts) = meter.session.probe.counts() {
            let counts = counts.expect("read the counts");
            println!("report: soak_at_rest={}", self.at_rest);
            println!("report: soak_repaired={}", self.repaired);
            println!("report: soak_missed={}", meter.session.probe.missed_events().unwrap_or(0));
            println!("report: soak_deaths={}", counts.deaths);
            println!("report: soak_deaths_with_rest={}", counts.deaths_with_rest);
            println!("report: soak_swept={}", counts.swept);
        }
    }
}

/// The shadow of a process at rest, as soon as a reading of it was not disturbed.
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
