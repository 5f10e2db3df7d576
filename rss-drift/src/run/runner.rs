//! One run: the command started, followed to its end, and what it came to.

use std::{
    ffi::OsString,
    io,
    time::{Duration, Instant, SystemTime},
};

use anyhow::{Context as _, bail};
use nix::sys::signal::Signal;

use super::{
    FAILURE, Options, Until,
    child::{Child, Ended},
    code_of,
    opened::{Opened, Openings},
    progress::{Now, Progress},
    report::{Costs, Peak, Report},
    samples::Samples,
    sites::{self, Sites},
    user::Identity,
};
use crate::{
    drift::{collect::Rules, sample::Host},
    kernel::{symbols::Symbols, tunables::Cpus},
    output::ShadowCheck,
    probe::{Chains, Mm, RunTotals, Scope},
    proc::{self, Source, Wanted, faults_of_threads, own_peak_rss, thread_name},
    session::{CpuClock, Event, Inherited, Mode, Session, Signals, Startup, give_memory_back},
    table::bytes,
};

/// How long the command may take to end after a signal until the user is told that it is waited for.
const PATIENCE: Duration = Duration::from_secs(2);
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

/// How a run went.
struct Course {
    began: SystemTime,
    duration: Duration,
    ended: Option<Ended>,
    /// The signal that ended the run.
    signal: Option<Signal>,
    samples: Samples,
    /// Page faults that all who lived had before, with `--system`.
    faults_before: Option<u64>,
    openings: Result<Openings, String>,
}

impl Course {
    /// The exit status: the command's own; after Ctrl-C, or where the command did not heed a signal, that of the signal.
    fn code(&self) -> u8 {
        match (self.signal, self.ended) {
            (Some(signal @ Signal::SIGINT), _) | (Some(signal), None) => code_of(signal),
            (_, Some(ended)) => ended.code(),
            (None, None) => FAILURE,
        }
    }
}

impl<'a> Runner<'a> {
    /// Attaches everything.
    pub(super) fn new(options: &'a Options, inherited: &'a Inherited) -> anyhow::Result<Self> {
        let user = options.user.as_ref().map(Identity::find).transpose()?;
        // The forks of the start-up checks come before anything that may start a thread.
        let startup = Startup::check(Mode::Full(options.full));
        let why =
            startup.checks.iter().find(|check| check.name == "full-mode").map(|check| check.found.clone());
        let session = startup.session()?;
        if session.probe.full_mode().is_none() {
            bail!("run needs full mode, which does not work here: {}", why.unwrap_or_default());
        }
        let mut rules = session.rules(Source::Stat, Wanted::default());
        rules.pending_limit = rules.unpublished(options.full.publish);
        let clock = CpuClock::begin();
        Ok(Self { options, inherited, user, host: session.host(), session, rules, signals: None, clock })
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
        let mut course = self.follow(&mut child)?;
        if course.ended.is_some() {
            self.wait_for_mms(&mut course)?;
        }
        let (code, signal) = (course.code(), course.signal);
        Ok(Measured::Course(Box::new(self.report(&child, course, symbols)?), code, signal))
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
                Some(Event::Child) => {}
                None => return Ok(None),
            }
        }
    }

    /// From the start of the command to its end, or to a signal that ends the run.
    fn follow(&mut self, child: &mut Child) -> anyhow::Result<Course> {
        let faults_before =
            (self.options.scope == Scope::System).then(|| self.faults_of_living()).transpose()?;
        let opened = self.opened()?;
        let began = SystemTime::now();
        let clock = Instant::now();
        child.go().context("cannot start the command")??;
        let mut course = Course {
            began,
            duration: Duration::ZERO,
            ended: None,
            signal: None,
            samples: Samples::default(),
            faults_before,
            openings: Err(String::new()),
        };
        let threshold = self.options.threshold.div_ceil(self.rules.page_size);
        let mut next_sample = clock;
        let mut end = End::default();
        let mut progress = Progress::new(self.options);
        loop {
            if course.ended.is_none() {
                course.ended = child.try_wait().context("cannot wait for the command")?;
                course.duration = clock.elapsed();
            }
            if end.left || (course.ended.is_some() && (course.signal.is_some() || !self.waits_on()?)) {
                break;
            }
            let now = Instant::now();
            if now >= next_sample {
                self.follow_cpus()?;
                let rss = course.samples.take(&mut self.session.probe, &self.rules, threshold)?;
                if progress.is_wanted() {
                    progress.show(self.now(&course, clock.elapsed(), rss)?);
                }
                next_sample = Instant::now() + self.options.interval;
            }
            end.time_is_over(child);
            let mut until = next_sample;
            if course.ended.is_some() {
                until = until.min(now + ASK);
            }
            if let Some(next) = end.next() {
                until = until.min(next);
            }
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
            course.duration = clock.elapsed();
        }
        course.openings = opened.map(Opened::end).map_err(|error| error.to_string());
        Ok(course)
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
    fn waits_on(&self) -> anyhow::Result<bool> {
        Ok(self.options.until == Until::LastDescendant && !self.session.probe.run_alive()?.is_empty())
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

    fn report(
        &mut self,
        child: &Child,
        mut course: Course,
        symbols: Result<Symbols, String>,
    ) -> anyhow::Result<Report> {
        self.follow_cpus()?;
        let threshold = self.options.threshold.div_ceil(self.rules.page_size);
        course.samples.take(&mut self.session.probe, &self.rules, threshold)?;
        let probe = &self.session.probe;
        let alive = probe.run_alive()?;
        let totals = self.totals(&course)?;
        let peaks = [totals.command, totals.largest].map(|of| of.map(|of| Peak::new(&of, &self.rules)));
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
        Ok(Report {
            sites,
            host: self.host.clone(),
            command: command_line(&self.options.command),
            began: course.began,
            duration: course.duration,
            ended: course.ended,
            faults_of_living: self.faults_of_living()?,
            scope: self.options.scope,
            openings: course.openings,
            outlived: outlived(&alive, course.ended.map(|_| child.pid())),
            peaks: [command, largest],
            check: ShadowCheck::new(&counts, probe.missed_events().unwrap_or(0), &course.samples.idle),
            totals,
            samples: course.samples,
            threshold: self.options.threshold,
            rules: self.rules.clone(),
            costs: self.costs(),
        })
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

/// The end of a run that a signal asks for.
#[derive(Debug, Default)]
struct End {
    /// A signal has come.
    asked: bool,
    /// When the user is told that the command is waited for.
    notice: Option<Instant>,
    /// When the command is killed.
    kill: Option<Instant>,
    /// Nobody waits for the command any more.
    left: bool,
}

impl End {
    /// A signal asks the command to end. It may take its time, as with `perf stat`; the second signal is not for it, but for us.
    fn asked(&mut self, kill_after: Option<Duration>) {
        if self.asked {
            self.left = true;
            return;
        }
        self.asked = true;
        let now = Instant::now();
        self.notice = Some(now + PATIENCE);
        self.kill = kill_after.map(|time| now + time);
    }

    /// Does what is due.
    fn time_is_over(&mut self, child: &Child) {
        let now = Instant::now();
        if take_due(&mut self.kill, now) {
            child.signal(Signal::SIGKILL);
        }
        if take_due(&mut self.notice, now) {
            log::warn!("waiting for the command to end; another signal ends rss-drift without it");
        }
    }

    /// When there is something to do next.
    fn next(&self) -> Option<Instant> {
        [self.notice, self.kill].into_iter().flatten().min()
    }
}

/// Whether it is time; only once.
fn take_due(at: &mut Option<Instant>, now: Instant) -> bool {
    at.take_if(|at| *at <= now).is_some()
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
