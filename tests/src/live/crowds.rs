//! Full mode where many processes come and go: forks by the ten thousand, programs with long arguments, attaching and
//! detaching beside them, and maps that are too small for all.

use std::{
    collections::HashMap,
    fs, thread,
    time::{Duration, Instant},
};

use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use rss_drift::{
    kernel::Kernel,
    probe::{FullOptions, Probe},
};
use rss_drift_common::{Member, shadow::SHADOW_VALID};

use super::{
    memory::signed,
    runs::Objects,
    shadow::{open, shadow},
};
use crate::{
    command::run,
    harness::{Outcome, Reason},
    helper::{Helper, Kind, LONG, Life, Region},
    invariants::{Invariants, counts},
    measure::{Meter, wait_until},
    records::{Record, parse},
    scratch::Scratch,
    truth::page_size,
};

/// Pages that each short life writes to.
const TOUCHED: u64 = 8;

/// Time between two readings.
const PAUSE: Duration = Duration::from_millis(50);

/// How long a flood may take: here as long as it needs, in an emulated guest for so long.
fn time(guest: u64) -> Duration {
    Duration::from_secs(if Reason::NotAGuest.holds() { 120 } else { guest })
}

/// A helper with memory of its own that starts short lives.
struct Flood {
    helper: Helper,
    region: Region,
}

impl Flood {
    fn new() -> Self {
        let mut helper = Helper::start_as("live-flood");
        let region = helper.map(Kind::Anon, 2 * TOUCHED);
        helper.write(&region, 0..2 * TOUCHED);
        let mut flood = Self { helper, region };
        // What the first time needs is there afterwards.
        for life in [Life::Fork, Life::Vfork, Life::Exec] {
            flood.begin(life, 2);
            flood.end();
        }
        flood
    }

    fn begin(&mut self, life: Life, limit: u64) {
        self.helper.begin_flood(life, limit, &self.region, TOUCHED);
    }

    fn end(&mut self) -> u64 {
        self.helper.end_storm()
    }
}

/// Reads the host until all floods have come to their limits or the time is over; how many lives each of them started.
fn watch(
    meter: &mut Meter,
    invariants: &mut Invariants,
    floods: &mut [Flood],
    longest: Duration,
) -> Vec<u64> {
    let end = Instant::now() + longest;
    while Instant::now() < end && !floods.iter().all(|flood| flood.helper.has_answered()) {
        invariants.check(&mut meter.session.probe);
        thread::sleep(PAUSE);
    }
    floods.iter_mut().map(Flood::end).collect()
}

/// Mms of processes that ended which idle CPUs still run on, lazily: one each at most.
fn lazy(meter: &Meter) -> u64 {
    meter.session.kernel.cpus.online.len() as u64
}

/// One process forks 10,000 times (in a guest: for a while). It stays what it was, and each child ends with 0.
pub fn a_process_that_forks_ten_thousand_times() -> Outcome {
    let mut meter = open(FullOptions::default());
    let mut invariants = Invariants::default();
    let mut floods = [Flood::new()];
    let pid = floods[0].helper.pid();
    let before = meter.idle(pid);
    let state = shadow(&mut meter, pid);
    let first = counts(&meter.session.probe);
    floods[0].begin(Life::Fork, 10_000);
    let forks = watch(&mut meter, &mut invariants, &mut floods, time(6))[0];
    println!("report: forks={forks}");
    let last = counts(&meter.session.probe);
    assert!(last.births - first.births >= forks, "{forks} forks: {last:?}");
    assert!(last.deaths - first.deaths + lazy(&meter) >= forks, "{forks} forks: {last:?}");
    let after = meter.idle(pid);
    assert_eq!(after.mm.exact(), before.mm.exact(), "a copy of its pages changes nothing of it");
    assert_eq!(shadow(&mut meter, pid).id, state.id, "its state is the one that it had");
    invariants.end(&mut meter.session, "forks");
    Outcome::Passed
}

/// 100,000 short lives (in a guest: for a while), of which a quarter lives in its parent's memory: vfork.
pub fn a_hundred_thousand_short_lives() -> Outcome {
    const LIVES: u64 = 100_000;
    let mut meter = open(FullOptions::default());
    let mut invariants = Invariants::default();
    let mut floods: Vec<_> = (0..4).map(|_| Flood::new()).collect();
    let before: Vec<_> = floods.iter().map(|flood| meter.idle(flood.helper.pid()).mm.exact()).collect();
    let first = counts(&meter.session.probe);
    let kinds = [Life::Fork, Life::Fork, Life::Fork, Life::Vfork];
    for (flood, life) in floods.iter_mut().zip(kinds) {
        flood.begin(life, LIVES / 4);
    }
    let lives = watch(&mut meter, &mut invariants, &mut floods, time(7));
    println!("report: short_lives={}", lives.iter().sum::<u64>());
    let mms: u64 = lives[..3].iter().sum();
    let last = counts(&meter.session.probe);
    assert!(last.births - first.births >= mms, "{mms} new mms: {last:?}");
    assert!(last.deaths - first.deaths + lazy(&meter) >= mms, "{mms} new mms: {last:?}");
    for (flood, before) in floods.iter().zip(before) {
        assert_eq!(meter.idle(flood.helper.pid()).mm.exact(), before, "what its children did is theirs");
    }
    invariants.end(&mut meter.session, "short_lives");
    Outcome::Passed
}

/// Many processes at once start programs with arguments and environment of half a megabyte, which the kernel copies page by
/// page into memory that no CPU runs yet: misses, as the RFC found.
pub fn programs_with_long_arguments() -> Outcome {
    let mut meter = open(FullOptions::default());
    let mut invariants = Invariants::default();
    let mut floods: Vec<_> = (0..6).map(|_| Flood::new()).collect();
    let mut sleeper = Helper::start();
    let first = counts(&meter.session.probe);
    for flood in &mut floods {
        flood.begin(Life::Exec, 1000);
    }
    let programs: u64 = watch(&mut meter, &mut invariants, &mut floods, time(6)).iter().sum();
    println!("report: long_programs={programs}");
    let last = counts(&meter.session.probe);
    assert!(last.deaths - first.deaths + lazy(&meter) >= programs, "{programs} programs: {last:?}");
    let (pages, misses) = (programs * LONG / page_size().unsigned_abs(), last.misses - first.misses);
    let unseen = meter.session.probe.missed_events().expect("full mode");
    println!("report: long_programs_misses_per_page={:.2}", misses as f64 / pages as f64);
    assert!(misses + unseen >= pages, "{misses} misses, {unseen} missed, for {pages} pages of arguments");
    for flood in &floods {
        // Counters, page tables and shadow agree, whatever its heap kept of the arguments.
        assert!(meter.idle(flood.helper.pid()).shadow.is_some(), "it has a shadow");
    }

    // One that stays: its arguments are in its stack. Below a quarter of the stack's limit, 2 MiB.
    let short = meter.idle(sleeper.pid());
    sleeper.exec_with(15, 100_000);
    let long = meter.idle(sleeper.pid());
    let anon = |idle: &crate::measure::IdleProcess| idle.mm.exact()[Member::Anon.index()];
    let arguments = 15 * 100_000 / page_size();
    assert!(anon(&long) >= anon(&short) + arguments - 20, "{} and {} pages", anon(&short), anon(&long));
    invariants.end(&mut meter.session, "long_programs");
    Outcome::Passed
}

/// Attached and detached 50 times (in a guest: for a while) beside short lives: right each time, and nothing stays loaded.
pub fn attached_again_and_again() -> Outcome {
    const TIMES: u64 = 50;
    let kernel = Kernel::detect().expect("this kernel has what is needed");
    let mut flood = Flood::new();
    let mut storm = Helper::start_as("live-storm");
    let mut sleeper = Helper::start();
    let region = sleeper.map(Kind::Anon, 100);
    sleeper.write(&region, 0..77);
    let exact = Meter::open().idle(sleeper.pid()).mm.exact();
    flood.begin(Life::Fork, u64::MAX >> 1);
    storm.begin_storm(200);
    let mut left = Objects::default();
    let end = Instant::now() + time(8);
    let (mut times, mut deaths) = (0, 0);
    while times < TIMES && Instant::now() < end {
        let mut probe =
            Probe::open_full(&kernel, &FullOptions::default(), 100, u64::MAX).expect("it is loaded");
        left.add(Objects::of_process(std::process::id()));
        let mut invariants = Invariants::default();
        invariants.may_be_late();
        wait_until("a reading that nothing disturbed", || {
            let (snapshot, _) = invariants.check(&mut probe);
            let shadow = snapshot.shadow(sleeper.pid()).filter(|shadow| shadow.flags == SHADOW_VALID);
            shadow.inspect(|shadow| assert_eq!(shadow.shadow, exact, "round {times}")).is_some()
        });
        invariants.check(&mut probe);
        deaths += counts(&probe).deaths;
        times += 1;
    }
    let lives = flood.end() + storm.end_storm();
    println!("report: attached={times}");
    println!("report: attached_beside={lives}");
    println!("report: attached_deaths={deaths}");
    assert!(deaths > 0, "short lives ended while it was attached");
    wait_until("the kernel frees all BPF programs and maps", || !left.are_left());
    Outcome::Passed
}

/// Idle processes, more than [`ROOM`] has a place for.
const IDLE: u64 = 110;
/// Places.
const ROOM: u32 = 64;

/// Children of one helper, each with another number of pages of its own.
struct Crowd {
    _parent: Helper,
    region: Region,
    /// With the pages of the region that each wrote to.
    children: Vec<(u32, u64)>,
}

impl Crowd {
    fn new() -> Self {
        let mut parent = Helper::start();
        let region = parent.map(Kind::Anon, 200);
        let children = (20..20 + IDLE).map(|pages| (parent.fork(&region, pages), pages)).collect();
        Self { _parent: parent, region, children }
    }

    /// Kills all but so many.
    fn end_but(&mut self, left: usize) {
        for (pid, _) in self.children.drain(left..) {
            kill(Pid::from_raw(pid.cast_signed()), Signal::SIGKILL).expect("kill a process of ours");
        }
    }
}

/// More mms than the map holds, beside short lives: nothing is allocated when one is born, so that a full map is all that can
/// refuse it. Who has a place is right, who has none is counted, and places that become free are taken.
pub fn no_room_for_all() -> Outcome {
    let mut crowd = Crowd::new();
    let mut meter = open(FullOptions { max_mms: Some(ROOM), ..FullOptions::default() });
    let mut invariants = Invariants::default();
    let mut floods = [Flood::new(), Flood::new()];
    floods[0].begin(Life::Fork, 2000);
    floods[1].begin(Life::Exec, 300);
    let end = Instant::now() + time(6);
    let mut most = 0;
    while Instant::now() < end && !floods.iter().all(|flood| flood.helper.has_answered()) {
        let (snapshot, found) = invariants.check(&mut meter.session.probe);
        assert!(found.without_state >= IDLE - u64::from(ROOM), "{found:?}");
        most = most.max(snapshot.mms().filter(|mm| snapshot.shadow(mm.tgid).is_some()).count());
        thread::sleep(PAUSE);
    }
    let lives: u64 = floods.iter_mut().map(Flood::end).sum();
    let now = counts(&meter.session.probe);
    println!("report: no_room_lives={lives}");
    println!("report: no_room_refused={}", now.refused);
    assert!(now.refused > 0, "{now:?}");
    assert!(most <= ROOM as usize, "{most} have a place");
    assert!(most > ROOM as usize / 2, "most places are taken: {most}");
    let mut with_a_place = 0;
    for &(pid, pages) in &crowd.children {
        let idle = meter.idle(pid);
        assert_eq!(idle.walk.within(&crowd.region.addresses(), |mapping| mapping.anonymous), signed(pages));
        with_a_place += usize::from(idle.shadow.is_some());
    }
    assert!((1..=ROOM as usize).contains(&with_a_place), "{with_a_place} of the idle processes have a place");

    crowd.end_but(20);
    wait_until("those that were refused have a place", || {
        let (snapshot, _) = invariants.check(&mut meter.session.probe);
        crowd.children.iter().all(|&(pid, _)| snapshot.shadow(pid).is_some())
    });
    for &(pid, _) in &crowd.children {
        assert!(meter.idle(pid).shadow.is_some(), "and it is right");
    }
    invariants.end(&mut meter.session, "no_room");
    Outcome::Passed
}

/// The same by the command: rows without a shadow are right and say nothing of it, those with one are right, and what was
/// refused is told.
pub fn no_room_for_all_in_the_command() -> Outcome {
    const REPORTS: usize = 4;
    // Its directory is gone with it.
    let scratch = Scratch::new();
    let file = scratch.file("rows.csv");
    let mut crowd = Crowd::new();
    let mut floods = [Flood::new(), Flood::new()];
    floods[0].begin(Life::Fork, u64::MAX >> 1);
    floods[1].begin(Life::Exec, u64::MAX >> 1);
    let (room, reports) = (ROOM.to_string(), REPORTS.to_string());
    let path = file.to_str().expect("a path of ours");
    let all = ["--all", "--resident", "-i", "0.3", "-n", &reports, "--max-mms", &room, "--csv", path];
    let done = run(&all);
    let lives: u64 = floods.iter_mut().map(Flood::end).sum();
    done.must_be_fine();
    let refused = done.stdout.lines().rev().find_map(|line| {
        let (before, _) = line.strip_prefix("self-check: ")?.split_once(" updates refused")?;
        before.rsplit(' ').next()?.parse::<u64>().ok()
    });
    println!("report: no_room_command_lives={lives}");
    assert!(refused.is_some_and(|refused| refused > 0), "it is told: {}", done.stdout);

    let rows = parse(&fs::read_to_string(&file).expect("read what it wrote"));
    let mut of_each: HashMap<i64, Vec<&Record>> = HashMap::new();
    for row in &rows {
        of_each.entry(row.pid()).or_default().push(row);
    }
    let (mut with, mut without) = (0_u64, 0_u64);
    for (pid, pages) in &crowd.children {
        let rows = &of_each[&i64::from(*pid)];
        assert_eq!(rows.len(), REPORTS, "a row in each report");
        for row in rows {
            assert_eq!(
                (row.must("moved_bytes"), row.has_note("uncertain")),
                (0, false),
                "it is idle: {row:?}"
            );
            assert_eq!(row.must("exact_bytes"), row.must("resident_bytes"), "{row:?}");
            assert!(row.must("exact_anon_bytes") >= signed(*pages) * page_size(), "{row:?}");
            let of_the_shadow =
                ["uncertainty_bytes", "peak_exact_bytes", "peak_drift_bytes", "hits", "misses", "flushes"];
            if let Some(shadow) = row.number("shadow_bytes") {
                with += 1;
                assert_eq!(shadow, row.must("exact_bytes"), "{row:?}");
            } else {
                without += 1;
                for column in of_the_shadow {
                    assert_eq!(row.number(column), None, "{column} without a shadow: {row:?}");
                }
            }
        }
    }
    println!("report: no_room_rows_with={with}");
    println!("report: no_room_rows_without={without}");
    assert!(
        with > 0 && without >= REPORTS as u64 * (IDLE - u64::from(ROOM)),
        "{with} with a shadow, {without} without"
    );
    // Of those that move: what a row of one instant may not be.
    for row in rows.iter().filter(|row| !row.has_note("uncertain")) {
        assert!(row.exact_members().iter().all(|bytes| *bytes >= 0), "{row:?}");
        if let (0, Some(drift)) = (row.must("moved_bytes"), row.number("drift_bytes")) {
            assert!(drift.abs() <= row.must("bound_bytes"), "{row:?}");
        }
    }
    crowd.end_but(0);
    Outcome::Passed
}
