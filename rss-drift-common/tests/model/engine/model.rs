//! A model: a world, threads and checks, and how it is searched.

use std::{
    env,
    fmt::{Display, Formatter},
    time::Duration,
};

use super::search;

/// What part of the schedules is searched.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Bound {
    /// Every schedule.
    None,
    /// Those with at most so many context switches. A switch away from a thread that ended or has to wait is free.
    Switches(u32),
    /// So many schedules, chosen at random from a seed.
    Random(u64, u64),
}

type Check<W> = Box<dyn Fn(&W)>;
type Guard<W> = Box<dyn Fn(&W) -> bool>;

pub(super) struct Thread<W> {
    pub(super) name: String,
    pub(super) cpu: usize,
    pub(super) level: u8,
    pub(super) body: Check<W>,
    pub(super) guard: Option<Guard<W>>,
}

/// Threads over a world, and what has to hold. See the module's rules for what a thread may do.
pub(crate) struct Model<W> {
    pub(super) name: &'static str,
    pub(super) make: Box<dyn Fn() -> W>,
    pub(super) threads: Vec<Thread<W>>,
    pub(super) check_step: Option<Check<W>>,
    pub(super) check_end: Option<Check<W>>,
    pub(super) bound: Bound,
    pub(super) pruning: bool,
    pub(super) program_order: bool,
    pub(super) limits: Limits,
}

/// Where a search gives up.
#[derive(Clone, Copy)]
pub(super) struct Limits {
    pub(super) executions: u64,
    pub(super) states: usize,
    pub(super) time: Duration,
    /// Steps of one schedule; more are a thread that does not end, which is a failure.
    pub(super) depth: usize,
}

/// What a search did.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Statistics {
    /// Schedules begun, also those given up in a state seen before.
    pub(crate) executions: u64,
    /// Schedules that went to their end.
    pub(crate) ends: u64,
    /// Different states seen.
    pub(crate) states: u64,
    /// Steps made, also those made again to return to a choice.
    pub(crate) steps: u64,
    /// Steps of the longest schedule.
    pub(crate) longest: usize,
    /// Whether every schedule was searched. Where not, `incomplete` says why.
    pub(crate) complete: bool,
    /// Why the search was not exhaustive; empty when it was.
    pub(crate) incomplete: &'static str,
    /// How long it took.
    pub(crate) time: Duration,
}

/// What went wrong, and how.
#[derive(Clone, Debug)]
pub(crate) struct Failure {
    /// The message of the check or panic.
    pub(crate) message: String,
    /// For each step the thread, by number in order of their creation, and the result that it chose.
    pub(crate) schedule: Vec<(u8, u8)>,
    /// Context switches of the schedule.
    pub(crate) switches: u32,
    /// Whether no schedule with fewer fails; else there was no time to know.
    pub(crate) fewest: bool,
    /// The schedule for a reader, a line for each step.
    pub(crate) trace: String,
}

/// Whether all of a model is to be searched (`cargo xtask model`), not only what a daily run has time for.
pub(crate) fn whole() -> bool {
    env::var_os("RSS_DRIFT_MODEL").is_some_and(|value| value == "all")
}

impl<W: 'static> Model<W> {
    /// A model without threads. `make` makes the world of each execution, always in the same way.
    pub(crate) fn new(name: &'static str, make: impl Fn() -> W + 'static) -> Self {
        let limits = Limits {
            executions: u64::MAX,
            states: 100_000_000,
            time: Duration::from_secs(3600),
            depth: 100_000,
        };
        Self {
            name,
            make: Box::new(make),
            threads: Vec::new(),
            check_step: None,
            check_end: None,
            bound: Bound::None,
            pruning: true,
            program_order: false,
            limits,
        }
    }

    /// Adds a thread of a CPU. One of a higher level interrupts those of lower levels on its CPU and runs to its end;
    /// those of one level run one after the other.
    pub(crate) fn thread(
        mut self,
        name: impl Into<String>,
        (cpu, level): (usize, u8),
        body: impl Fn(&W) + 'static,
    ) -> Self {
        assert!(self.threads.len() < 32, "at most 32 threads");
        self.threads.push(Thread { name: name.into(), cpu, level, body: Box::new(body), guard: None });
        self
    }

    /// The thread added last starts only while `guard` holds.
    pub(crate) fn guard(mut self, guard: impl Fn(&W) -> bool + 'static) -> Self {
        self.threads.last_mut().expect("a guard belongs to a thread").guard = Some(Box::new(guard));
        self
    }

    /// Threads of one CPU and level run in the order in which they were added; else in any order.
    pub(crate) fn program_order(mut self) -> Self {
        self.program_order = true;
        self
    }

    /// Has to hold after each step.
    pub(crate) fn check_step(mut self, check: impl Fn(&W) + 'static) -> Self {
        self.check_step = Some(Box::new(check));
        self
    }

    /// Has to hold when all threads have ended.
    pub(crate) fn check_end(mut self, check: impl Fn(&W) + 'static) -> Self {
        self.check_end = Some(Box::new(check));
        self
    }

    /// Searches only a part.
    pub(crate) fn bound(mut self, bound: Bound) -> Self {
        self.bound = bound;
        self
    }

    /// Searches only a part, except in `cargo xtask model`.
    pub(crate) fn daily(self, bound: Bound) -> Self {
        if whole() { self } else { self.bound(bound) }
    }

    /// Goes on where a state was seen before: for the engine's own tests.
    pub(crate) fn without_pruning(mut self) -> Self {
        self.pruning = false;
        self
    }

    /// Gives up after so many schedules.
    pub(crate) fn limit_executions(mut self, executions: u64) -> Self {
        self.limits.executions = executions;
        self
    }

    /// Gives up after so long.
    pub(crate) fn limit_time(mut self, time: Duration) -> Self {
        self.limits.time = time;
        self
    }

    /// A schedule with more steps has a thread that does not end.
    pub(crate) fn limit_depth(mut self, depth: usize) -> Self {
        self.limits.depth = depth;
        self
    }

    /// Searches; panics with the schedule of a failure.
    pub(crate) fn explore(&self) -> Statistics {
        match self.try_explore() {
            Ok(statistics) => {
                eprintln!("model {}: {statistics}", self.name);
                statistics
            }
            Err(failure) => panic!("model {}: {failure}", self.name),
        }
    }

    /// Searches; returns the first failure, as short as the time allowed to find.
    pub(crate) fn try_explore(&self) -> Result<Statistics, Failure> {
        search::search(self)
    }
}

impl Display for Statistics {
    fn fmt(&self, f: &mut Formatter<'_>) -> std::fmt::Result {
        let Self { executions, ends, states, steps, longest, .. } = self;
        let seconds = self.time.as_secs_f64();
        let speed = *steps as f64 / seconds.max(1e-6) / 1e6;
        write!(
            f,
            "{executions} schedules ({ends} to the end, at most {longest} steps), {states} states, {steps} steps in \
             {seconds:.2} s ({speed:.1} million a second); "
        )?;
        if self.complete {
            f.write_str("exhaustive")
        } else {
            write!(f, "NOT exhaustive: {}", self.incomplete)
        }
    }
}

impl Display for Failure {
    fn fmt(&self, f: &mut Formatter<'_>) -> std::fmt::Result {
        let Self { message, switches, trace, .. } = self;
        let fewest = if self.fewest { "the fewest that fail" } else { "fewer may fail too" };
        write!(f, "{message}\nschedule with {switches} context switches ({fewest}):\n{trace}")
    }
}
