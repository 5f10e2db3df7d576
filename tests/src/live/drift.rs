//! Drift itself: how large it gets, which files have it, and that figures add up.

use rss_drift::{
    kernel::Accounting,
    proc::{Precision, Source},
};
use rss_drift_common::Member;

use crate::{
    command::run,
    harness::{Outcome, allowed_cpus},
    helper::{Helper, Kind},
    measure::Meter,
    records::parse,
    truth::{Printed, page_size},
};

/// Page by page on one CPU: drift never exceeds its bound, and what one CPU can hold of one member is reached to the page,
/// so that the bound is not a page too small or too large.
pub fn stays_within_its_bound_and_gets_there() -> Outcome {
    let mut meter = Meter::open();
    let online = meter.session.kernel.cpus.online.len() as u64;
    // Pages of one member that are cached before they are added to the count: `max(32, 2 x online)` less one for a CPU,
    // one per fault of a task up to its limit of faults (`docs/limitations.md`).
    let most = match meter.session.kernel.accounting {
        Accounting::PerCpu => (2 * online).max(32) - 1,
        Accounting::PerTask => 66,
    };
    let mut helper = Helper::start();
    helper.pin(allowed_cpus()[0]);
    // Up to the first fold, which may take two batches where what is cached begins below 0, and a whole batch from there on.
    let steps = 4 * most + 4;
    let region = helper.map(Kind::Anon, steps);
    let mut drifts = Vec::new();
    for step in 0..steps {
        helper.write(&region, step..step + 1);
        // resident - stat, by /proc alone.
        let printed = Printed::of(helper.pid()).expect("read /proc");
        drifts.push(printed.rollup - printed.stat);
    }
    // A fold leaves nothing cached. The other members and CPUs hold what they held: only this CPU's anonymous pages moved.
    let fold = drifts.windows(2).position(|two| two[1] < two[0]).expect("a fold");
    let after = &drifts[fold + 1..];
    let spread = after.iter().max().expect("steps") - after.iter().min().expect("steps");
    let most = most.cast_signed();
    let range = match meter.session.kernel.accounting {
        Accounting::PerCpu => most..=most,
        // A fault that finds nothing to do counts too: the page table's lock was contended, or it was a retry.
        Accounting::PerTask => most - 3..=most,
    };
    assert!(range.contains(&spread), "drift moved by {spread} pages, {range:?} expected: {drifts:?}");
    let idle = meter.idle(helper.pid());
    assert_eq!(Some(drifts[drifts.len() - 1]), idle.row.drift());
    let cached = idle.mm.cached[Member::Anon.index()];
    assert!(cached.abs() <= idle.row.bound.expect("stat has a bound").cast_signed());
    Outcome::Passed
}

/// The sources that the session takes for exact are those that stand beside the page tables while stat does not.
pub fn is_what_the_files_lack() -> Outcome {
    let mut meter = Meter::open();
    let mut helper = Helper::start();
    let region = helper.map(Kind::Anon, 200);
    let mut told_apart = false;
    for step in 0..200 {
        helper.write(&region, step..step + 1);
        let printed = Printed::of(helper.pid()).expect("read /proc");
        if printed.stat == printed.rollup {
            continue;
        }
        told_apart = true;
        let precision =
            |figure| if figure == printed.rollup { Precision::Exact } else { Precision::Approximate };
        for (source, figure) in
            [(Source::Stat, printed.stat), (Source::Statm, printed.statm), (Source::Status, printed.status)]
        {
            assert_eq!(meter.session.precisions.of(source), precision(figure), "{source:?}: {printed:?}");
        }
        break;
    }
    assert!(told_apart, "no drift came to be");
    meter.idle(helper.pid());
    Outcome::Passed
}

/// In the CSV, whatever the source: reported + drift = exact, and reported is the column of its source.
pub fn adds_up_in_every_row() -> Outcome {
    let mut helper = Helper::start();
    let region = helper.map(Kind::Anon, 7);
    helper.write(&region, 0..7);
    let printed = Printed::of(helper.pid()).expect("read /proc");
    for source in ["stat", "statm", "status"] {
        let pid = helper.pid().to_string();
        let done = run(&[
            "watch",
            "-n",
            "2",
            "-i",
            "0.05",
            "-p",
            &pid,
            "--resident",
            "--source",
            source,
            "--format",
            "csv",
        ]);
        done.must_be_fine();
        let rows = parse(&done.stdout);
        assert_eq!(rows.len(), 2);
        for row in rows {
            assert_eq!(row.text("source"), source);
            assert_eq!(row.must("reported_bytes") + row.must("drift_bytes"), row.must("exact_bytes"));
            assert_eq!(row.must("reported_bytes"), row.must(&format!("{source}_bytes")));
            assert_eq!(row.must("exact_bytes"), row.must("resident_bytes"));
            assert_eq!(row.must("stat_bytes"), printed.stat * page_size());
            assert!(row.must("drift_bytes").abs() <= row.must("bound_bytes"));
        }
    }
    Outcome::Passed
}

/// `--where` names the process whose pages are held back.
pub fn lists_the_holders() -> Outcome {
    let mut helper = Helper::start();
    let region = helper.map(Kind::Anon, 25);
    helper.write(&region, 0..25);
    let pid = helper.pid().to_string();
    let done = run(&["-p", &pid, "-n", "1", "--where", "--passive"]);
    done.must_be_fine();
    let words = format!("pid {pid} (live-helper)");
    assert!(done.stdout.contains(&words), "no holders in {}", done.stdout);
    Outcome::Passed
}
