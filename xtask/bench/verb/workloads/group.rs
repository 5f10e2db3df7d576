//! Programs that a workload starts: each leads a process group of its own, so that nothing of it outlives its round.

use std::{
    fs::File,
    io::{Read as _, Seek as _},
    os::unix::process::CommandExt as _,
    process::{Child, Command, ExitStatus, Stdio},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, bail};

/// How often it is asked whether a program has ended: far below a thousandth of a round.
const POLL: Duration = Duration::from_millis(2);
/// What has not ended by then never will.
const LIMIT: Duration = Duration::from_secs(3600);
/// How long a program has to end after a signal that asks it to.
const GRACE: Duration = Duration::from_secs(10);
/// Lines of a program's output that explain its failure.
const LINES: usize = 20;

/// Whether somebody asked us to end. Everything that was changed or started is then put back by its `Drop`, hence no
/// signal ends this process by itself, not even a second one.
#[derive(Clone, Debug)]
pub(crate) struct Stop(Arc<AtomicBool>);

impl Stop {
    /// From now on SIGINT, SIGTERM, SIGHUP and SIGQUIT are requests.
    pub(crate) fn on_signals() -> Result<Self> {
        use signal_hook::consts::{SIGHUP, SIGINT, SIGQUIT, SIGTERM};
        let flag = Arc::new(AtomicBool::new(false));
        for signal in [SIGINT, SIGTERM, SIGHUP, SIGQUIT] {
            signal_hook::flag::register(signal, Arc::clone(&flag)).context("cannot handle signals")?;
        }
        Ok(Self(flag))
    }

    /// The flag itself.
    pub(crate) fn flag(&self) -> &AtomicBool {
        &self.0
    }

    /// Whether to end.
    pub(crate) fn asked(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }

    /// An error when it is time to end.
    pub(crate) fn check(&self) -> Result<()> {
        if self.asked() {
            bail!("interrupted");
        }
        Ok(())
    }
}

/// A program and all that it starts. Dropping it ends them.
#[derive(Debug)]
pub(crate) struct Group {
    child: Child,
    what: String,
    /// Its status has been taken.
    ended: bool,
}

impl Group {
    /// Starts it; `what` names it in errors.
    pub(crate) fn start(command: &mut Command, what: &str) -> Result<Self> {
        command.process_group(0).stdin(Stdio::null());
        // Not those of the cargo or make that runs us.
        for name in ["MAKEFLAGS", "MFLAGS", "MAKELEVEL", "CARGO_MAKEFLAGS"] {
            command.env_remove(name);
        }
        // SAFETY: prctl is async-signal-safe and touches no memory of ours.
        unsafe {
            command.pre_exec(|| {
                // Should we be killed, it must not stay.
                match libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGTERM) {
                    0 => Ok(()),
                    _ => Err(std::io::Error::last_os_error()),
                }
            });
        }
        let program = command.get_program().to_string_lossy().into_owned();
        let child = command.spawn().with_context(|| format!("{what}: cannot run {program}"))?;
        Ok(Self { child, what: what.to_owned(), ended: false })
    }

    /// Its pipe, once.
    pub(crate) fn stdout(&mut self) -> Result<std::process::ChildStdout> {
        self.child.stdout.take().with_context(|| format!("{} has no pipe", self.what))
    }

    /// Asks it to end.
    pub(crate) fn signal(&self, signal: libc::c_int) {
        if !self.ended {
            // SAFETY: a child that has not been waited for: the number is still its own.
            unsafe { libc::kill(self.pid(), signal) };
        }
    }

    /// Waits for its end.
    pub(crate) fn wait(&mut self, stop: &Stop) -> Result<ExitStatus> {
        let begin = Instant::now();
        while !self.has_ended()? {
            stop.check()?;
            if begin.elapsed() > LIMIT {
                bail!("{} did not end within {} minutes", self.what, LIMIT.as_secs() / 60);
            }
            thread::sleep(POLL);
        }
        self.reap()
    }

    /// Waits for its end after [`Self::signal`], whatever else is asked of us.
    pub(crate) fn wait_for_a_while(&mut self) -> Result<ExitStatus> {
        let begin = Instant::now();
        while !self.has_ended()? {
            if begin.elapsed() > GRACE {
                bail!("{} did not end within {} s of being asked to", self.what, GRACE.as_secs());
            }
            thread::sleep(POLL);
        }
        self.reap()
    }

    /// Whether it has ended. It is not waited for, so that its number stays its own.
    pub(crate) fn has_ended(&self) -> Result<bool> {
        let id = libc::id_t::from(self.child.id());
        // SAFETY: all zeros are a siginfo_t, which waitid fills in.
        let (result, info) = unsafe {
            let mut info: libc::siginfo_t = std::mem::zeroed();
            let flags = libc::WEXITED | libc::WNOHANG | libc::WNOWAIT;
            (libc::waitid(libc::P_PID, id, &raw mut info, flags), info)
        };
        if result != 0 {
            return Err(std::io::Error::last_os_error())
                .with_context(|| format!("cannot wait for {}", self.what));
        }
        // SAFETY: waitid has filled it in, or left the zeros.
        Ok(unsafe { info.si_pid() } != 0)
    }

    /// Ends what is left of the group and takes the status of its leader.
    fn reap(&mut self) -> Result<ExitStatus> {
        if !self.ended {
            // SAFETY: the leader has not been waited for: the group's number is still its own.
            unsafe { libc::kill(-self.pid(), libc::SIGKILL) };
        }
        let status = self.child.wait().with_context(|| format!("cannot wait for {}", self.what))?;
        self.ended = true;
        Ok(status)
    }

    /// The number of the process that leads it.
    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    fn pid(&self) -> libc::pid_t {
        // A pid is positive and fits.
        self.child.id().cast_signed()
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        if !self.ended {
            self.signal(libc::SIGTERM);
            if self.wait_for_a_while().is_err() {
                // It is killed then; that fails only for a child that has ended.
                let _ = self.reap();
            }
        }
    }
}

/// Runs a program to its end and returns what it printed; an error has the last lines of that.
pub(crate) fn run(command: &mut Command, what: &str, stop: &Stop) -> Result<String> {
    let mut output = tempfile::tempfile().context("cannot make a temporary file")?;
    let copy = |file: &File| file.try_clone().context("cannot make a temporary file");
    command.stdout(copy(&output)?).stderr(copy(&output)?);
    let status = Group::start(command, what)?.wait(stop)?;
    let mut bytes = Vec::new();
    output
        .rewind()
        .and_then(|()| output.read_to_end(&mut bytes))
        .with_context(|| format!("cannot read what {what} printed"))?;
    let text = String::from_utf8_lossy(&bytes).into_owned();
    // What ended because of a signal to all of us did not fail.
    stop.check()?;
    if !status.success() {
        let lines: Vec<_> = text.trim_end().lines().collect();
        let last = &lines[lines.len().saturating_sub(LINES)..];
        bail!("{what} failed ({status}):\n{}", last.join("\n"));
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn never() -> Stop {
        Stop(Arc::new(AtomicBool::new(false)))
    }

    fn shell(script: &str) -> Command {
        let mut command = Command::new("sh");
        command.args(["-c", script]);
        command
    }

    #[test]
    fn output_and_failures_are_told() {
        assert_eq!(run(&mut shell("echo a; echo b >&2"), "it", &never()).unwrap(), "a\nb\n");
        let error = run(&mut shell("echo why; exit 3"), "it", &never()).unwrap_err().to_string();
        assert!(error.contains("it failed") && error.contains("why"), "{error}");
        let error = format!("{:#}", run(&mut Command::new("/no/such"), "it", &never()).unwrap_err());
        assert!(error.contains("cannot run /no/such"), "{error}");
    }

    #[test]
    fn what_a_program_leaves_behind_ends_with_it() {
        let pid = run(&mut shell("sleep 600 >/dev/null 2>&1 & echo $!"), "it", &never()).unwrap();
        let stat = format!("/proc/{}/stat", pid.trim());
        let begin = Instant::now();
        // A zombie until whoever inherited it has taken its status.
        while std::fs::read_to_string(&stat).is_ok_and(|text| !text.contains(") Z ")) {
            assert!(begin.elapsed() < Duration::from_secs(10), "{stat} is still there");
            thread::sleep(POLL);
        }
    }

    #[test]
    fn a_request_ends_a_program_at_once() {
        let stop = never();
        stop.0.store(true, Ordering::Relaxed);
        let begin = Instant::now();
        assert_eq!(run(&mut shell("sleep 600"), "it", &stop).unwrap_err().to_string(), "interrupted");
        assert!(begin.elapsed() < Duration::from_secs(60));
    }
}
