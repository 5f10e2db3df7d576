//! One reading of the host, starts, and the daemon, each beside what else there is.

use std::{hint::black_box, path::Path};

use anyhow::Result;
use rss_drift::session::{Mode, Startup};

use crate::{
    clock::own_work,
    daemons, figures,
    idle::IdleProcesses,
    proc_files::ProcFiles,
    rounds::{self, Contender},
    starts::{self, first_report, whole_life},
};

/// A period of the daemons is as long as many rounds.
const ROUNDS_PER_PERIOD: usize = 4;

/// Measures all with each of `processes` idle processes, the daemons with the most.
pub fn run(command: &Path, rounds: usize, processes: &[usize]) -> Result<()> {
    starts::run(command, rounds)?;
    let mut session = Startup::check(Mode::Passive).session()?;
    let mut idle = IdleProcesses::default();
    for &count in processes {
        idle.grow_to(count)?;
        eprintln!("{count} processes: {rounds} rounds of readings and starts");
        let seen = session.probe.snapshot()?;
        let pids: Vec<u32> = seen.processes().map(|mm| mm.tgid).collect();
        figures::print(format_args!("{count}/processes"), 0, pids.len() as u64)?;
        let mut known = ProcFiles::open()?;
        let mut listed = ProcFiles::open()?;
        let mut contenders = [
            Contender::new("snapshot", || {
                own_work(|| {
                    black_box(session.probe.snapshot()?);
                    Ok(())
                })
            }),
            Contender::new("files", || own_work(|| known.read(&pids))),
            Contender::new("monitor", || {
                own_work(|| {
                    black_box(listed.list_and_parse()?);
                    Ok(())
                })
            }),
            Contender::new("ps", || whole_life(Path::new("ps"), &["-eo", "pid,rss"])),
            Contender::new("watch", || first_report(command, &["watch", "--passive", "--count", "1"])),
            Contender::new("true", || whole_life(Path::new("true"), &[])),
        ];
        rounds::run(count, rounds, &mut contenders)?;
    }
    let periods = rounds.div_ceil(ROUNDS_PER_PERIOD);
    eprintln!("{periods} periods of watch beside top");
    daemons::run(command, periods, &mut session.probe, session.kernel.page_size)
}
