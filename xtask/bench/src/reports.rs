//! What reports of all processes cost, beside other programs that show all: all run side by side, each with a report a second.

use std::{
    fs::File,
    io::Read as _,
    path::{Path, PathBuf},
    process::Stdio,
    thread::{self, JoinHandle},
    time::Duration,
};

use anyhow::{Context as _, Result};
use nix::pty::{OpenptyResult, Winsize, openpty};

use crate::{
    clock, figures,
    idle::IdleProcesses,
    programs::{Running, program, start},
};

/// What is not counted: starts and first reports.
const WARM_UP: Duration = Duration::from_secs(6);
/// One period: so many reports of each.
const PERIOD: Duration = Duration::from_secs(4);

/// Columns that need no file of /proc, as the reported figure is that of `stat`.
const OF_THE_ITERATOR: &str = "pid,comm,threads,reported,exact,drift,file,anon,shmem,swap";

/// Runs them with each of `processes` idle processes for `periods`, and prints what each used in each period.
pub fn run(command: &Path, periods: usize, processes: &[usize]) -> Result<()> {
    for &count in processes {
        let mut idle = IdleProcesses::default();
        idle.grow_to(count)?;
        eprintln!("{count} processes: {periods} periods of reports of all");
        side_by_side(command, periods, count)?;
    }
    Ok(())
}

fn side_by_side(command: &Path, periods: usize, count: usize) -> Result<()> {
    let csv = ["watch", "--passive", "--format", "csv"];
    let table = ["watch", "--passive", "--all"];
    let of_the_iterator = ["watch", "--passive", "--all", "--fields", OF_THE_ITERATOR];
    let programs: [(&'static str, PathBuf, &[&str], Output); 6] = [
        ("csv", command.into(), &csv, Output::Null),
        ("table", command.into(), &table, Output::Null),
        ("iterator", command.into(), &of_the_iterator, Output::Null),
        ("top", "top".into(), &["-b", "-d", "1"], Output::Null),
        ("htop", "htop".into(), &["-d", "10"], Output::Terminal),
        ("pidstat", "pidstat".into(), &["-r", "-h", "1"], Output::Null),
    ];
    let mut reporters = Vec::new();
    for (name, path, arguments, output) in &programs {
        reporters.push(Reporter::start(name, path, arguments, *output)?);
    }
    let used = || {
        let used = |reporter: &Reporter| clock::of_process(reporter.program.0.id());
        reporters.iter().map(used).collect::<Result<Vec<_>>>()
    };
    thread::sleep(WARM_UP);
    let mut before = used()?;
    for period in 0..periods {
        thread::sleep(PERIOD);
        let now = used()?;
        for ((reporter, before), now) in reporters.iter().zip(&before).zip(&now) {
            // Per second: at 1 Hz that is per report.
            let per_second = now.saturating_sub(*before).div_f64(PERIOD.as_secs_f64());
            figures::print_time(format_args!("reports/{count}/{}", reporter.name), period, per_second)?;
        }
        before = now;
    }
    reporters.into_iter().for_each(Reporter::end);
    Ok(())
}

/// Where a program writes.
#[derive(Clone, Copy)]
enum Output {
    Null,
    /// To a terminal, which one without a batch mode asks for.
    Terminal,
}

/// A program that reports.
struct Reporter {
    name: &'static str,
    program: Running,
    /// Reads its terminal: somebody has to.
    reader: Option<JoinHandle<()>>,
}

impl Reporter {
    fn start(name: &'static str, path: &Path, arguments: &[&str], output: Output) -> Result<Self> {
        let mut command = program(path, arguments);
        if matches!(output, Output::Null) {
            return Ok(Self { name, program: Running(start(command.stdout(Stdio::null()))?), reader: None });
        }
        let size = Winsize { ws_row: 50, ws_col: 160, ws_xpixel: 0, ws_ypixel: 0 };
        let OpenptyResult { master, slave } = openpty(&size, None).context("cannot open a terminal")?;
        let input = slave.try_clone().context("cannot open a terminal")?;
        // The settings of no user, and none are written.
        command.env("TERM", "xterm").env("HTOPRC", "/dev/null").stdin(input).stdout(slave);
        let program = Running(start(&mut command)?);
        let mut screen = File::from(master);
        // The end of the program is an error here.
        let read = move || while screen.read(&mut [0; 8192]).is_ok_and(|count| count > 0) {};
        Ok(Self { name, program, reader: Some(thread::spawn(read)) })
    }

    /// Ends it. Then there is no thread of it either: the next idle processes are forked.
    fn end(self) {
        drop(self.program);
        if let Some(Err(panic)) = self.reader.map(JoinHandle::join) {
            std::panic::resume_unwind(panic);
        }
    }
}
