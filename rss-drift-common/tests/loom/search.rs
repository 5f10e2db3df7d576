//! How a scenario is searched, and for how long.

use std::{
    env,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Instant,
};

use crate::{
    host::{self, APART, COUNTED, Host, PEAKS, Part, Quiet, address},
    loom_words::Loom,
};
use loom::thread;

/// A host on loom's words.
pub(crate) type World = Host<Loom>;
/// A scenario on it.
pub(crate) type Scenario = host::Scenario<Loom>;

/// The mms of scenarios.
pub(crate) const MM: u64 = address(0);
pub(crate) const OTHER: u64 = address(1);

/// Figures that no check of events is about, and no step depends on.
pub(crate) const FIGURES: Quiet = PEAKS.with(COUNTED).with(APART).and(&["flushes", "deferred"]);

/// As [`FIGURES`], and the slots: each CPU has its own.
pub(crate) const SLOTS: Quiet = FIGURES.and(&[
    "mm",
    "id",
    "index",
    "busy",
    "pending",
    "active",
    "seen",
    "slot",
    "publications",
    "totals",
    "seeded",
]);

/// How often a CPU is interrupted by another one at most; `None` is without a bound. Which of the values of a word a load finds is
/// searched without a bound.
///
/// Within a bound loom leaves out more than it says: it drops orders that it takes for the same as others, also where those lie
/// beyond the bound. So what ends in a few seconds is searched whole.
#[derive(Clone, Copy)]
pub(crate) struct Bounds {
    /// In the daily set.
    pub(crate) daily: Option<usize>,
    /// With `RSS_DRIFT_MODEL=all`, which `cargo xtask model` sets.
    pub(crate) all: Option<usize>,
}

/// Small enough to be searched whole each time.
pub(crate) const WHOLE: Bounds = Bounds { daily: None, all: None };

/// Accesses of one execution: far more than any scenario has.
const BRANCHES: usize = 100_000;

impl Scenario {
    /// Runs it in every execution within the bounds. What was searched is printed (`--show-output`).
    pub(crate) fn search(self, bounds: Bounds) {
        let all = env::var_os("RSS_DRIFT_MODEL").is_some_and(|value| value == "all");
        let bound = if all { bounds.all } else { bounds.daily };
        let executions = Arc::new(AtomicU64::new(0));
        let counted = Arc::clone(&executions);
        let name = self.name;
        let mut model = loom::model::Builder::new();
        model.max_branches = BRANCHES;
        model.preemption_bound = bound;
        let start = Instant::now();
        model.check(move || {
            counted.fetch_add(1, Ordering::Relaxed);
            self.run();
        });
        let preemptions = bound.map_or_else(|| "whole".to_owned(), |bound| format!("{bound} interruptions"));
        let executions = executions.load(Ordering::Relaxed);
        println!("{name}: {executions} executions ({preemptions}) in {:.1} s", start.elapsed().as_secs_f64());
    }

    /// One execution. loom has a thread already, which is the one that was added last.
    fn run(&self) {
        let host = loom::sync::Arc::new(self.host());
        let works: Vec<Part<Loom>> = self.threads.iter().map(|thread| Arc::clone(&thread.work)).collect();
        let Some((last, others)) = works.split_last() else { return };
        let others: Vec<_> = others
            .iter()
            .map(|work| {
                let (host, work) = (loom::sync::Arc::clone(&host), Arc::clone(work));
                thread::spawn(move || work(&host))
            })
            .collect();
        last(&host);
        for other in others {
            other.join().expect("the other thread ends");
        }
        (self.end)(&host);
    }
}
