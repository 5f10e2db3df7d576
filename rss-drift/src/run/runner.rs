//! One run: the command started, followed to its end, and what it came to.

use std::{
    ffi::OsString,
    io, mem,
    time::{Duration, Instant},
};

use anyhow::Context as _;
use nix::sys::signal::Signal;

use super::{
    Options, Until,
    child::Child,
    course::Course,
    end::End,
    opened::Opened,
    progress::{Now, Progress},
    report::{Costs, Peak, Report},
    sites::{self, Sites},
    user::Identity,
};
use crate::{
    drift::{collect::Rules, sample::Host},
    kernel::{symbols::Symbols, tunables::Cpus},
    output::ShadowCheck,
    probe::{Chains, Mm, Probe, RunTotals, Scope},
    proc::{self, Source, Wanted, faults_of_threads, own_peak_rss, thread_name},
    session::{CpuClock, Event, Inherited, Mode, Session, Signals, Startup, give_memory_back},
    table::bytes,
};

/// How often `--wait` asks whether anybody is left.
const ASK: Duration = Duration::from_millis(50);

/// How long the mms of processes that have ended are waited for.
const ENDS: Duration = Duration::from_secs(2);
/// How often it is asked whether they have ended.
const ASK_ENDS: Duration = Duration::from_millis(10);

/// What is told to the command.
const PASSED_ON: [Signal; 6] =
    [Signal::SIGINT, Signal::SIGTERM, Signal::SIGHUP, Signal::SIGQUIT, Signal::SIGUSR1, Signal::SIGUSR2];

/// Of these, what does not ask for the end of the run.
const FOR_THE_COMMAND: [Signal; 2] = [Signal::SIGUSR1, Signal::SIGUSR2];

/// Measures the command, once or several times.
pub(super) struct Runner<'a> {
    options: &'a Options,
    inherited: &'a Inherited,
    user: Option<Identity>,
    session: Session,
    host: Host,
    rules: Rules,
    /// From the start of the first command on; before that a signal ends us, and nothing is running.
    signals: Option<Signals>,
    clock: CpuClock,
}

/// What came of one run.
pub(super) enum Measured {
    /// Its report, the exit status, and the signal that ended it.
    Course(Box<Report>, u8, Option<Signal>),
    /// This signal came before the command was executed.
    Nothing(Signal),
}

impl<'a> Runner<'a> {
    /// Attaches everything.
    pub(super) fn new(options: &'a Options, inherited: &'a Inherited) -> anyhow::Result<Self> {
        let user = options.user.as_ref().map(Identity::find).transpose()?;
        // The forks of the start-up checks come before anything that may start a thread.
        let session = Startup::check(Mode::Full(options.full)).full_session()?;
        let mut rules = session.rules(Source::Stat, Wanted::default());
        rules.pending_limit = rules.unpublished(options.full.publish);
        let clock = CpuClock::begin();
        Ok(Self { options, inherited, user, host: session.host(), session, rules, signals: None, clock })
    }

    /// Nothing is measured any more: what is left are the signals, if a run has begun.
    pub(super) fn into_signals(self) -> Option<Signals> {
        self.signals
    }

    /// One run.
    pub(super) fn measure_once(&mut self) -> anyhow::Result<Measured> {
        // The command is forked from us, and the kernel takes our size for one of its own (`ru_maxrss`).
        give_memory_back();
        let mut child = Child::start(&self.options.command, self.inherited, self.user.as_ref())
            .context("cannot start the command")?;
        // Mms that live by now get their states, so that none of them is taken for one of the command's.
        self.session.probe.snapshot()?;
        let symbols = Symbols::read().map_err(|error| error.to_string());
        let wanted = self.options.misses > 0 || self.options.folded.is_some();
        let chains = if wanted { Chains::Counted } else { Chains::Ignored };
        self.session.probe.prepare_sites(symbols.as_ref().ok(), chains)?;
        self.session.probe.begin_run(child.pid())?;
        if self.options.scope == Scope::System {
            // Whose the mms are that live by now.
            self.session.probe.snapshot()?;
        }
        if self.signals.is_none() {
            self.signals = Some(Signals::block(&PASSED_ON).context("cannot receive signals")?);
        }
        if let Some(signal) = self.signal(Duration::ZERO)? {
            return Ok(Measured::Nothing(signal));
        }
        let mut course = self.follow(&mut child, symbols)?;
        if course.ended.is_some() && course.stopped.is_none() {
            self.wait_for_mms(&mut course)?;
        }
        let (code, signal) = (course.code(), course.signal);
        Ok(Measured::Course(self.end(&child, course)?, code, signal))
    }

    /// The report of a run that is over.
    fn end(&mut self, child: &Child, mut course: Course) -> anyhow::Result<Box<Report>> {
        if let Some(mut report) = course.stopped {
            report.ended = course.ended;
            report.duration = course.duration;
            // Of those that ran when measuring ended.
            report.outlived.retain(|(pid, _)| thread_name(*pid).is_some());
            return Ok(report);
        }
        self.report(child, &mut course)
    }

    /// The next event, before this time is over.
    fn event(&mut self, longest: Duration) -> anyhow::Result<Option<Event>> {
        let Some(signals) = &mut self.signals else { return Ok(None) };
        signals.wait(longest).context("cannot receive signals")
    }

    /// The next signal, before this time is over: not that a child has ended.
    fn signal(&mut self, longest: Duration) -> anyhow::Result<Option<Signal>> {
        let end = Instant::now() + longest;
        loop {
            match self.event(end.saturating_duration_since(Instant::now()))? {
                Some(Event::Signal { signal, .. }) => return Ok(Some(signal)),
                Some(Event::Child | Event::Output) => {}
                None => return Ok(None),
            }
        }
    }

    /// From the start of the command to its end, or to a signal that ends the run.
    fn follow(&mut self, child: &mut Child, symbols: Result<Symbols, String>) -> anyhow::Result<Course> {
        let faults_before =
            (self.options.scope == Scope::System).then(|| self.faults_of_living()).transpose()?;
        let mut course = Course::begin(symbols, self.opened()?, self.options.max_overhead);
        course.faults_before = faults_before;
        child.go().context("cannot start the command")??;
        let mut next_sample = course.clock;
        let mut end = End::default();
        let mut progress = Progress::new(self.options);
        loop {
            if course.ended.is_none() {
                course.ended = child.try_wait().context("cannot wait for the command")?;
                course.duration = course.clock.elapsed();
            }
            let ended = course.ended.is_some();
            if end.left || (ended && (course.signal.is_some() || !self.waits_on(&course)?)) {
                break;
            }
            let now = Instant::now();
            if now >= next_sample && course.stopped.is_none() {
                self.sample(child, &mut course, &mut progress)?;
                next_sample = Instant::now() + self.options.interval;
            }
            end.time_is_over(child);
            // Who has no more samples to take waits for the command alone: SIGCHLD ends that.
            let sample = if course.stopped.is_none() { next_sample } else { now + self.options.interval };
            let ask = course.ended.is_some().then_some(now + ASK);
            let until = [ask, end.next()].into_iter().flatten().fold(sample, Instant::min);
            let event = self.event(until.saturating_duration_since(Instant::now()))?;
            if let Some(Event::Signal { signal, by_terminal }) = event {
                if !by_terminal && course.ended.is_none() {
                    child.signal(signal);
                }
                if !FOR_THE_COMMAND.contains(&signal) {
                    end.asked(self.options.kill_after);
                    course.signal = Some(signal);
                }
            }
        }
        if self.options.until == Until::LastDescendant || course.ended.is_none() {
            course.duration = course.clock.elapsed();
        }
        Ok(course)
    }

    /// Reads what runs, shows it, and asks what measuring costs.
    fn sample(&mut self, child: &Child, course: &mut Course, progress: &mut Progress) -> anyhow::Result<()> {
        self.follow_cpus()?;
        let threshold = self.options.threshold.div_ceil(self.rules.page_size);
        let rss = course.samples.take(&mut self.session.probe, &self.rules, child.pid(), threshold)?;
        if progress.is_wanted() {
            progress.show(self.now(course, course.clock.elapsed(), rss)?);
        }
        let Some(guard) = &mut course.guard else { return Ok(()) };
        if guard.interval_over(&self.session.probe, self.rules.cpus.online.len()) {
            progress.take_away();
            self.stop(child, course)?;
        }
        Ok(())
    }

    /// Ends measuring, with its report; the command goes on. Nothing of ours stays on its way.
    fn stop(&mut self, child: &Child, course: &mut Course) -> anyhow::Result<()> {
        log::warn!(
            "the BPF programs took {:.2} % of the host's CPU time, more than --max-overhead {}: the command goes on, and the report is of \
             the time before",
            course.overhead().unwrap_or(0.0),
            self.options.max_overhead.unwrap_or(0.0)
        );
        let measured = course.clock.elapsed();
        let mut report = self.report(child, course)?;
        report.stopped = Some(measured);
        course.stopped = Some(report);
        // In its place passive mode, which is not asked: so the maps go too. The report is made, and outlives a refusal.
        match Probe::open(&self.session.kernel) {
            Ok(passive) => self.session.probe = passive,
            Err(error) => {
                log::info!("the maps stay until the end: {error}");
                self.session.probe.unload();
            }
        }
        give_memory_back();
        Ok(())
    }

    /// CPUs come and go, and the bound with them.
    fn follow_cpus(&mut self) -> anyhow::Result<()> {
        Ok(self.rules.follow(Cpus::read()?, &mut self.session.probe, self.options.full.publish)?)
    }

    /// Counts openings of files of /proc from here on, where that can be had.
    fn opened(&self) -> anyhow::Result<io::Result<Opened>> {
        Ok(match self.options.scope {
            Scope::System => Opened::begin(|_| true),
            Scope::Command => Opened::begin(self.session.probe.run_follows()?),
        })
    }

    /// What the BPF programs counted.
    fn totals(&self, course: &Course) -> anyhow::Result<RunTotals> {
        let mut totals = self.session.probe.run_totals()?;
        if let Some(before) = course.faults_before {
            // Those of the command before it executed its program are among them.
            totals.faults_before = before;
        }
        Ok(totals)
    }

    /// The processes that are measured and live.
    fn alive(&self) -> anyhow::Result<Vec<u32>> {
        match self.options.scope {
            Scope::System => proc::processes().context("cannot read /proc"),
            Scope::Command => Ok(self.session.probe.run_alive()?),
        }
    }

    /// Page faults of their threads.
    fn faults_of_living(&self) -> anyhow::Result<u64> {
        Ok(self.alive()?.into_iter().map(faults_of_threads).sum())
    }

    /// What the line on a terminal says; `rss` is in pages.
    fn now(&self, course: &Course, elapsed: Duration, rss: u64) -> anyhow::Result<Now> {
        let totals = self.totals(course)?;
        let of_living = self.faults_of_living()?;
        let peak = totals.largest.map_or(0, |of| of.peak.max(0).unsigned_abs());
        let size = |pages: u64| bytes(pages, self.rules.page_size).unsigned_abs();
        Ok(Now {
            elapsed,
            faults: (totals.faults + of_living).saturating_sub(totals.faults_before),
            rss: size(rss),
            peak: size(peak),
        })
    }

    /// Whether `--wait` has somebody to wait for.
    fn waits_on(&self, course: &Course) -> anyhow::Result<bool> {
        let wanted = self.options.until == Until::LastDescendant && course.stopped.is_none();
        Ok(wanted && !self.session.probe.run_alive()?.is_empty())
    }

    /// Nobody lives: waits until their mms are gone as well. An mm outlives its process while somebody else holds it: who reads its
    /// files in /proc, or since 6.17 the kernel itself, when a process of several threads ends soon after its hash of
    /// futexes grew with them (`kernel/futex/core.c:futex_ref_drop`; a worker ends it after an RCU grace period).
    /// A signal ends the wait and the run.
    fn wait_for_mms(&mut self, course: &mut Course) -> anyhow::Result<()> {
        let deadline = Instant::now() + ENDS;
        while self.alive()?.is_empty() && self.session.probe.run_pages_left()? && Instant::now() < deadline {
            // Who would have been told by SIGUSR1 or SIGUSR2 has ended.
            if let Some(signal) = self.signal(ASK_ENDS)?.filter(|signal| !FOR_THE_COMMAND.contains(signal)) {
                course.signal = Some(signal);
                break;
            }
        }
        Ok(())
    }

    /// What was measured up to now.
    fn report(&mut self, child: &Child, course: &mut Course) -> anyhow::Result<Box<Report>> {
        let openings = course.openings();
        let symbols = course.symbols.take().unwrap_or_else(|| Err("not read".to_owned()));
        self.follow_cpus()?;
        let threshold = self.options.threshold.div_ceil(self.rules.page_size);
        course.samples.take(&mut self.session.probe, &self.rules, child.pid(), threshold)?;
        let probe = &self.session.probe;
        let alive = probe.run_alive()?;
        let totals = self.totals(course)?;
        let peaks = [totals.command, totals.largest]
            .map(|of| of.map(|of| Peak::new(&of, course.samples.names.by_peak(&of), &self.rules)));
        let [mut command, largest] = peaks;
        if let (Some(command), Some(ended)) = (&mut command, course.ended) {
            // What whoever waits for the command is told.
            command.maxrss = i64::try_from(ended.maxrss).ok();
        }
        let counts = probe.counts().transpose()?.unwrap_or_default();
        let sites = Sites {
            callers: symbols.as_ref().map_or(Ok(Vec::new()), |symbols| {
                probe.run_sites().map(|sites| sites::callers(&sites, symbols))
            })?,
            chains: probe.run_chains()?,
            printed: self.options.misses,
            symbols: Some(symbols),
        };
        let check = ShadowCheck::new(&counts, probe.missed_events().unwrap_or(0), &course.samples.idle);
        Ok(Box::new(Report {
            sites,
            host: self.host.clone(),
            command: command_line(&self.options.command),
            began: course.began,
            duration: course.duration,
            ended: course.ended,
            faults_of_living: self.faults_of_living()?,
            scope: self.options.scope,
            openings,
            outlived: outlived(&alive, course.ended.map(|_| child.pid())),
            peaks: [command, largest],
            check: ShadowCheck { programs_percent: course.overhead(), ..check },
            drift_comm: totals.drift.map(|of| course.samples.names.by_drift(&of)).unwrap_or_default(),
            totals,
            samples: mem::take(&mut course.samples),
            stopped: None,
            threshold: self.options.threshold,
            rules: self.rules.clone(),
            costs: self.costs(),
        }))
    }

    fn costs(&mut self) -> Costs {
        let own = self.session.probe.snapshot().ok();
        let own = own.and_then(|snapshot| snapshot.process(std::process::id()).map(Mm::exact_rss));
        Costs {
            cpu_time: self.clock.total().0,
            rss: own.map(|pages| bytes(pages.max(0), self.rules.page_size).unsigned_abs()),
            peak_rss: own_peak_rss(),
            maps: self.session.probe.footprint().bytes,
        }
    }
}

/// The words as they were given.
fn command_line(command: &[OsString]) -> String {
    command.iter().map(|word| word.to_string_lossy()).collect::<Vec<_>>().join(" ")
}

/// Who still runs. A command that has ended is not among them, though the kernel may not have told the BPF programs yet.
fn outlived(alive: &[u32], ended: Option<u32>) -> Vec<(u32, String)> {
    let others = alive.iter().filter(|&&pid| Some(pid) != ended);
    others.filter_map(|&pid| Some((pid, thread_name(pid)?))).collect()
}
