//! The search through the schedules of a model.

use std::{
    collections::HashSet,
    fmt::Write,
    panic::{AssertUnwindSafe, catch_unwind},
    time::{Duration, Instant},
};

use super::{
    execution::Execution,
    hash::{BuildIdentity, Hash},
    model::{Bound, Failure, Model, Statistics},
    panics, runtime,
};

/// How long a schedule with fewer context switches is looked for.
const SHORTEN: Duration = Duration::from_secs(20);

/// Why a search with a bound is not exhaustive.
const BOUNDED: &str = "a bound on context switches";

/// A choice on the way to the schedule that runs.
#[derive(Clone, Copy)]
struct Choice {
    /// The state before.
    state: u128,
    /// Threads that are to be tried yet, as bits.
    rest: u32,
    /// The thread that makes the step.
    chosen: u8,
    /// Which of the step's results it has, and how many there are.
    result: u8,
    results: u8,
    /// Context switches up to this step.
    switches: u32,
}

/// A failure, and how to get there.
struct Failed {
    message: String,
    schedule: Vec<(u8, u8)>,
    switches: u32,
}

struct Search<'m, W> {
    model: &'m Model<W>,
    execution: Execution<'m, W>,
    path: Vec<Choice>,
    visited: HashSet<u128, BuildIdentity>,
    bound: Bound,
    statistics: Statistics,
    until: Instant,
    random: u64,
}

/// Searches as the model asks; a failure is then looked for with as few context switches as possible.
pub(super) fn search<W: 'static>(model: &Model<W>) -> Result<Statistics, Failure> {
    let start = Instant::now();
    let _quiet = panics::Quiet::new();
    let mut search = Search::new(model, model.bound, start + model.limits.time);
    let result = search.run();
    search.statistics.time = start.elapsed();
    let Err(mut failed) = result else { return Ok(search.statistics) };
    drop(search);
    let until = Instant::now() + SHORTEN;
    let mut fewest = true;
    for switches in 0..failed.switches {
        let mut search = Search::new(model, Bound::Switches(switches), until);
        if let Err(shorter) = search.run() {
            failed = shorter;
            break;
        }
        // Whether all was searched that so many switches reach.
        fewest &= search.statistics.complete || search.statistics.incomplete == BOUNDED;
    }
    let trace = trace(model, &failed.schedule);
    let Failed { message, schedule, switches } = failed;
    Err(Failure { message, schedule, switches, fewest, trace })
}

impl<'m, W: 'static> Search<'m, W> {
    fn new(model: &'m Model<W>, bound: Bound, until: Instant) -> Self {
        Self {
            model,
            execution: Execution::new(model, false),
            path: Vec::new(),
            visited: HashSet::default(),
            bound,
            statistics: Statistics { complete: true, ..Statistics::default() },
            until,
            random: 0,
        }
    }

    fn incomplete(&mut self, why: &'static str) {
        self.statistics.complete = false;
        self.statistics.incomplete = why;
    }

    /// One schedule after the other.
    fn run(&mut self) -> Result<(), Failed> {
        loop {
            if let Bound::Random(_, seed) = self.bound {
                self.path.clear();
                self.random = Hash::EMPTY.mix(seed).mix(self.statistics.executions).seed();
            }
            let schedule = catch_unwind(AssertUnwindSafe(|| self.schedule()));
            let result = schedule.unwrap_or_else(|panic| Err(panics::message(&*panic)));
            self.statistics.executions += 1;
            self.statistics.longest = self.statistics.longest.max(self.path.len());
            self.statistics.states = self.visited.len() as u64;
            if let Err(message) = result {
                let schedule = self.path.iter().map(|choice| (choice.chosen, choice.result)).collect();
                let switches = self.path.last().map_or(0, |choice| choice.switches);
                return Err(Failed { message, schedule, switches });
            }
            if self.is_over() {
                return Ok(());
            }
            self.execution.restart();
        }
    }

    /// Goes back to the last choice that has something left; whether nothing is left, or a limit is reached.
    fn is_over(&mut self) -> bool {
        let executions = self.statistics.executions;
        if let Bound::Random(runs, _) = self.bound {
            self.incomplete("random schedules");
            if executions >= runs {
                return true;
            }
        } else {
            while self
                .path
                .last()
                .is_some_and(|choice| choice.rest == 0 && choice.result + 1 >= choice.results)
            {
                self.path.pop();
            }
            if self.path.is_empty() {
                return true;
            }
            self.choose_next();
        }
        if executions >= self.model.limits.executions {
            self.incomplete("the limit of schedules");
            return true;
        }
        if self.visited.len() >= self.model.limits.states {
            self.incomplete("the limit of states");
            return true;
        }
        if executions.is_multiple_of(256) && Instant::now() >= self.until {
            self.incomplete("the time was over");
            return true;
        }
        false
    }

    /// Makes of the path's last choice the next one: another result of the same step, or another thread's step.
    fn choose_next(&mut self) {
        let Some((choice, before)) = self.path.split_last_mut() else { return };
        if choice.result + 1 < choice.results {
            choice.result += 1;
            return;
        }
        let (start, last) = before.last().map_or((0, None), |before| (before.switches, Some(before.chosen)));
        // Where the last thread can go on, it was chosen first: each other choice is a switch.
        let switch = last.is_some_and(|last| last == choice.chosen || choice.switches > start);
        choice.chosen = first(choice.rest);
        choice.rest &= choice.rest - 1;
        choice.switches = start + u32::from(switch);
        (choice.result, choice.results) = (0, 1);
    }

    /// One schedule: the path again, and on from there, up to its end or a state seen before.
    fn schedule(&mut self) -> Result<(), String> {
        if let Some((last, before)) = self.path.split_last() {
            for choice in before {
                self.execution.step(choice.chosen, choice.result)?;
            }
            self.statistics.steps += before.len() as u64;
            if last.state != self.execution.state().key() {
                return Err("the model is not deterministic: the same steps led to another state".to_owned());
            }
            if self.step()? {
                return Ok(());
            }
        }
        while self.choose()? {
            if self.step()? {
                return Ok(());
            }
        }
        self.statistics.ends += 1;
        if let Some(check) = &self.model.check_end {
            check(self.execution.world());
        }
        Ok(())
    }

    /// Adds a choice to the path; false when all threads have ended.
    fn choose(&mut self) -> Result<bool, String> {
        let enabled = self.execution.enabled();
        if enabled == 0 {
            if self.execution.ended() {
                return Ok(false);
            }
            return Err(format!("deadlock:{}", self.execution.waiting()));
        }
        if self.path.len() >= self.model.limits.depth {
            return Err(format!("a thread does not end: {} steps", self.path.len()));
        }
        let state = self.execution.state().key();
        let (last, switches) = self.path.last().map_or((0, 0), |choice| (choice.chosen, choice.switches));
        let can_go_on = enabled & (1 << last) != 0 && !self.path.is_empty();
        let mut candidates = enabled;
        match self.bound {
            Bound::Switches(most) if can_go_on && switches >= most && enabled != 1 << last => {
                candidates = 1 << last;
                self.incomplete(BOUNDED);
            }
            Bound::Random(..) => candidates = self.draw(enabled, can_go_on.then_some(last)),
            _ => {}
        }
        let chosen = if can_go_on && candidates & (1 << last) != 0 { last } else { first(candidates) };
        let switches = switches + u32::from(can_go_on && chosen != last);
        let result = if matches!(self.bound, Bound::Random(..)) { self.random.to_le_bytes()[3] } else { 0 };
        self.path.push(Choice {
            state,
            rest: candidates & !(1 << chosen),
            chosen,
            result,
            results: 1,
            switches,
        });
        Ok(true)
    }

    /// One of the threads at random. Some schedules switch at every step, others seldom.
    fn draw(&mut self, enabled: u32, last: Option<u8>) -> u32 {
        let mut next = || {
            self.random ^= self.random << 13;
            self.random ^= self.random >> 7;
            self.random ^= self.random << 17;
            self.random >> 32
        };
        let stay = 256 - (256 >> (self.statistics.executions % 4 * 2));
        if let Some(last) = last.filter(|_| next() & 255 < stay) {
            return 1 << last;
        }
        let mut left = enabled;
        for _ in 0..next() % u64::from(enabled.count_ones()) {
            left &= left - 1;
        }
        left & left.wrapping_neg()
    }

    /// The step of the path's last choice; true when it leads to a state seen before.
    fn step(&mut self) -> Result<bool, String> {
        self.statistics.steps += 1;
        let choice = self.path.last_mut().expect("a choice was made");
        choice.results = self.execution.step(choice.chosen, choice.result)?;
        choice.result %= choice.results;
        let choice = *choice;
        if let Some(check) = &self.model.check_step {
            check(self.execution.world());
        }
        let state = match self.bound {
            Bound::None => self.execution.state(),
            // What is left of the bound belongs to the state.
            Bound::Switches(_) => {
                let rest = u64::from(choice.switches) << 8 | u64::from(choice.chosen);
                self.execution.state().mix(rest)
            }
            Bound::Random(..) => return Ok(false),
        };
        Ok(self.model.pruning && !self.visited.insert(state.key()))
    }
}

/// The lowest thread.
#[expect(clippy::cast_possible_truncation, reason = "there are at most 32 threads")]
const fn first(threads: u32) -> u8 {
    threads.trailing_zeros() as u8
}

/// Runs a schedule again and writes each step down.
fn trace<W: 'static>(model: &Model<W>, schedule: &[(u8, u8)]) -> String {
    let mut text = String::new();
    let mut execution = Execution::new(model, true);
    let names = model.threads.iter().map(|thread| thread.name.len()).max().unwrap_or(0);
    for (at, &(number, result)) in schedule.iter().enumerate() {
        let thread = &model.threads[usize::from(number)];
        let result = execution.step(number, result);
        let mut lines = runtime::take_lines();
        if lines.is_empty() {
            lines.push("-".to_owned());
        }
        for (part, line) in lines.iter().enumerate() {
            let step = if part == 0 { format!("{:4}", at + 1) } else { "    ".to_owned() };
            let _ = writeln!(text, "{step}  cpu {}  {:names$}  {line}", thread.cpu, thread.name);
        }
        if let Err(message) = result {
            let _ = writeln!(text, "      cpu {}  {:names$}  panics: {message}", thread.cpu, thread.name);
        }
    }
    text
}
