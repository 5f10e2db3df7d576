//! rss-drift as a program: started from this very binary, its words and its end looked at.

use std::{
    io::{BufRead as _, BufReader, Read as _},
    os::unix::process::{CommandExt as _, ExitStatusExt as _},
    process::{Child, ChildStdout, Command, Output, Stdio},
    time::{Duration, Instant},
};

use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};

/// First argument of a process that is rss-drift.
pub const AS_RSS_DRIFT: &str = "--as-rss-drift";

/// How rss-drift ended.
#[derive(Debug)]
pub struct Done {
    /// Exit status; `None` when a signal killed it.
    pub code: Option<i32>,
    /// All that it wrote to standard output that was not read before.
    pub stdout: String,
    /// All that it wrote to standard error.
    pub stderr: String,
    /// Wall time.
    pub took: Duration,
}

impl Done {
    fn of(output: &Output, began: Instant) -> Self {
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        assert_eq!(output.status.signal(), None, "killed by a signal: {}", text(&output.stderr));
        Self {
            code: output.status.code(),
            stdout: text(&output.stdout),
            stderr: text(&output.stderr),
            took: began.elapsed(),
        }
    }

    /// Asserts the exit status, and that standard error holds each of `words`.
    #[track_caller]
    pub fn must_say(&self, code: i32, words: &[&str]) {
        assert_eq!(self.code, Some(code), "{self:#?}");
        for word in words {
            assert!(self.stderr.contains(word), "{word:?} is not said: {self:#?}");
        }
    }

    /// Asserts an end without a complaint.
    #[track_caller]
    pub fn must_be_fine(&self) {
        assert_eq!(self.code, Some(0), "{self:#?}");
        assert_eq!(self.stderr, "", "a run without a complaint: {self:#?}");
    }
}

/// Lets full mode cost what it costs. On a small or emulated machine it may take more of the CPU time than `--max-overhead`
/// allows by default; it would then step down, and a test would look at passive mode.
const ANY_OVERHEAD: [&str; 2] = ["--max-overhead", "100"];

/// Whether `arguments` are those of `watch` in full mode, and say nothing of its overhead themselves.
fn needs_any_overhead(arguments: &[&str]) -> bool {
    let is_watch = arguments.first().is_none_or(|first| first.starts_with('-') || *first == "watch");
    is_watch && !arguments.iter().any(|argument| ["--passive", "--max-overhead"].contains(argument))
}

/// rss-drift with these arguments and pipes for its words; nothing of the user's settings reaches it.
pub fn rss_drift(arguments: &[&str]) -> Command {
    let mut command = Command::new("/proc/self/exe");
    command.arg(AS_RSS_DRIFT).args(arguments).env_clear();
    if needs_any_overhead(arguments) {
        command.args(ANY_OVERHEAD);
    }
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    // SAFETY: between fork and exec only prctl is called.
    unsafe {
        command.pre_exec(|| {
            libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL);
            Ok(())
        });
    }
    command
}

/// Runs rss-drift to its end.
pub fn run(arguments: &[&str]) -> Done {
    finish(&mut rss_drift(arguments))
}

/// Runs a command to its end.
pub fn finish(command: &mut Command) -> Done {
    let began = Instant::now();
    let output = command.output().expect("start this very program");
    Done::of(&output, began)
}

/// rss-drift while it runs. Killed when dropped.
#[derive(Debug)]
pub struct Running {
    child: Child,
    lines: BufReader<ChildStdout>,
    began: Instant,
}

impl Running {
    /// Starts it.
    pub fn start(arguments: &[&str]) -> Self {
        Self::of(&mut rss_drift(arguments))
    }

    /// Starts it by a command of [`rss_drift()`].
    pub fn of(command: &mut Command) -> Self {
        let began = Instant::now();
        let mut child = command.spawn().expect("start this very program");
        let lines = BufReader::new(child.stdout.take().expect("it has a pipe"));
        Self { child, lines, began }
    }

    /// Its pid.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// The next line of its output; `None` at the end.
    pub fn line(&mut self) -> Option<String> {
        let mut line = String::new();
        let read = self.lines.read_line(&mut line).expect("read rss-drift's output");
        (read > 0).then_some(line)
    }

    /// Reads on to a line that holds `text`.
    pub fn read_until(&mut self, text: &str) -> String {
        let mut seen = String::new();
        while let Some(line) = self.line() {
            if line.contains(text) {
                return line;
            }
            seen += &line;
        }
        panic!("{text:?} did not come; it wrote:\n{seen}");
    }

    /// Sends a signal.
    pub fn signal(&self, signal: Signal) {
        kill(Pid::from_raw(self.child.id().cast_signed()), signal).expect("signal a child of ours");
    }

    /// Closes our end of its output.
    pub fn close_output(self) -> Done {
        let Self { child, lines, began } = self;
        drop(lines);
        Done::of(&child.wait_with_output().expect("wait for a child"), began)
    }

    /// Waits for its end.
    pub fn finish(self) -> Done {
        let Self { child, mut lines, began } = self;
        let mut rest = Vec::new();
        lines.read_to_end(&mut rest).expect("read rss-drift's output");
        let mut output = child.wait_with_output().expect("wait for a child");
        output.stdout = rest;
        Done::of(&output, began)
    }

    /// Kills it, and waits until it is gone.
    pub fn kill(mut self) {
        self.child.kill().and_then(|()| self.child.wait()).expect("kill a child of ours");
    }
}
