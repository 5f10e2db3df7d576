//! `cargo xtask bench workloads`: the RFC's workloads on real software, measured by `rss-drift run`, and what rss-drift
//! slows them down.

mod attach;
mod boot;
mod group;
mod hackbench;
mod kernel;
mod measured;
mod pgbench;
mod profile;
mod root;
mod rounds;
mod software;
mod tables;
mod thp;
mod workload;

use std::{
    env,
    fmt::Write as _,
    fs,
    path::Path,
    process::{ExitCode, Stdio},
    time::Duration,
};

use anyhow::{Context as _, Result, bail};
use clap::{Args, ValueEnum};

use self::{
    attach::Mode,
    boot::Boot,
    group::Stop,
    hackbench::Hackbench,
    kernel::KernelBuild,
    measured::Measured,
    pgbench::Pgbench,
    profile::Profile,
    rounds::Rounds,
    tables::{Finding, Timed, report},
    thp::Thp,
    workload::Workload,
};
use super::{host, stats::Spread, units::bytes};
use crate::{
    build,
    privilege::{as_root, is_root},
    setup::{self, debian},
    vm::Kernel,
    workspace,
};

/// The page that `--write` writes, all of it.
const PAGE: &str = "docs/results.md";
/// What it begins with.
const INTRODUCTION: &str = include_str!("introduction.md");
/// Fewer rounds tell too little to be kept.
const ROUNDS_TO_WRITE: u32 = 10;

/// The RFC's workloads on real software: hits and misses, peaks, drift, and what rss-drift slows them down.
#[derive(Args, Debug)]
#[command(
    after_help = "Transparent huge pages of the whole host are switched to never and to always meanwhile, and put back. \
    A whole run takes some hours: wait for a quiet host."
)]
pub(crate) struct Arguments {
    /// Rounds with nothing, passive and full mode beside each workload
    #[arg(long, value_name = "N", default_value_t = ROUNDS_TO_WRITE, value_parser = clap::value_parser!(u32).range(1..=1000))]
    rounds: u32,
    /// More rounds until so many minutes are over, for each workload and each setting
    #[arg(long, value_name = "N", default_value_t = 0, value_parser = clap::value_parser!(u32).range(..=600))]
    minutes: u32,
    /// Only this workload (may be given several times)
    #[arg(long, value_name = "NAME", conflicts_with = "write")]
    only: Vec<Name>,
    /// Seconds of one round of pgbench
    #[arg(long, value_name = "N", default_value_t = 30, value_parser = clap::value_parser!(u32).range(1..=3600))]
    seconds: u32,
    /// Timed rounds build this folder of the kernel alone, of a tree with all that it needs (default: all of the kernel, which takes
    /// minutes where there are few CPUs)
    #[arg(long, value_name = "FOLDER")]
    part: Option<String>,
    /// The kernel of the virtual machine that boots
    #[arg(long, value_name = "K", default_value = "6.12")]
    kernel: Kernel,
    /// Its CPUs
    #[arg(long, value_name = "N", default_value_t = 2, value_parser = clap::value_parser!(u32).range(1..=255))]
    cpus: u32,
    /// Write the figures to docs/results.md
    #[arg(long)]
    write: bool,
    /// Install missing Debian packages without asking
    #[arg(short, long)]
    yes: bool,
    /// Everything that needs no root has been done
    #[arg(long, hide = true)]
    prepared: bool,
}

/// The workloads, in the order of the tables.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Name {
    /// 100 clients at a Postgres server of its own
    Pgbench,
    /// 32 processes that send to each other
    Hackbench,
    /// A tinyconfig kernel build with -j16
    Kernel,
    /// A virtual machine from its kernel's start to a login
    Boot,
}

impl Arguments {
    fn wants(&self, name: Name) -> bool {
        self.only.is_empty() || self.only.contains(&name)
    }
}

/// The verb: what needs no root is done as who we are, the rest as root.
pub(crate) fn main(arguments: &Arguments) -> Result<ExitCode> {
    if arguments.write && arguments.rounds < ROUNDS_TO_WRITE {
        bail!("--write needs a whole run: {ROUNDS_TO_WRITE} rounds or more");
    }
    let stop = Stop::on_signals()?;
    let root = workspace::root();
    let dir = root.join("target/workloads");
    if !arguments.prepared {
        prepare(arguments, &root, &dir, &stop)?;
    }
    let text = if is_root() { measure(arguments, &root, &dir, &stop) } else { measure_as_root() };
    if stop.asked() {
        eprintln!("interrupted");
        return Ok(ExitCode::from(130));
    }
    let text = text?;
    print!("{text}");
    if arguments.write && !arguments.prepared {
        let page = format!("{INTRODUCTION}\n{text}");
        fs::write(root.join(PAGE), page).with_context(|| format!("cannot write {PAGE}"))?;
        eprintln!("wrote {PAGE}");
    }
    Ok(ExitCode::SUCCESS)
}

/// Installs, builds and unpacks what is missing.
fn prepare(arguments: &Arguments, root: &Path, dir: &Path, stop: &Stop) -> Result<()> {
    setup::ensure(root, arguments.yes)?;
    for (name, group) in [
        (Name::Pgbench, &debian::PGBENCH),
        (Name::Hackbench, &debian::HACKBENCH),
        (Name::Kernel, &debian::KERNEL_BUILD),
        (Name::Boot, &debian::DEBIAN_ROOT),
    ] {
        if arguments.wants(name) {
            debian::install(group, arguments.yes)?;
        }
    }
    fs::create_dir_all(dir).with_context(|| format!("cannot create {}", dir.display()))?;
    build::command(root, build::Profile::Release)?;
    if arguments.wants(Name::Kernel) {
        KernelBuild::prepare(dir, None, stop)?;
    }
    if arguments.wants(Name::Boot) {
        boot::prepare(root, arguments.kernel, arguments.yes)?;
    }
    stop.check()
}

/// Runs this very program as root and takes its tables.
fn measure_as_root() -> Result<String> {
    let program = env::current_exe().context("cannot find the path of this program")?;
    let mut command =
        as_root(program.as_os_str(), &[], "the bench loads eBPF programs and changes a setting, which")?;
    let output = command
        .args(env::args_os().skip(1))
        .arg("--prepared")
        .stdin(Stdio::inherit())
        .stderr(Stdio::inherit())
        .output()
        .with_context(|| format!("cannot run {} as root", program.display()))?;
    if !output.status.success() {
        bail!("measuring failed ({}); its message is above", output.status);
    }
    String::from_utf8(output.stdout).context("the tables are no text")
}

/// Measures everything; what is returned is the page below its introduction.
fn measure(arguments: &Arguments, root: &Path, dir: &Path, stop: &Stop) -> Result<String> {
    let program = root.join("target/release/rss-drift");
    let host = host::describe()?;
    // It takes minutes where the others take hours: what fails is to fail early.
    let boot = if arguments.wants(Name::Boot) { Some(on_guest(arguments, root, dir, stop)?) } else { None };
    let mut described = Vec::new();
    let mut findings = Vec::new();
    for name in [Name::Pgbench, Name::Hackbench, Name::Kernel].into_iter().filter(|&it| arguments.wants(it)) {
        let mut workload: Box<dyn Workload> = match name {
            Name::Pgbench => Box::new(Pgbench::prepare(arguments.seconds, stop)?),
            Name::Hackbench => Box::new(Hackbench),
            _ => Box::new(KernelBuild::prepare(dir, arguments.part.clone(), stop)?),
        };
        described.push(format!("- **{}**: {}.", workload.name(), workload.describe()?));
        for thp in Thp::ALL {
            findings.push(on_host(workload.as_mut(), thp, arguments, &program, stop)?);
        }
    }
    if let Some((description, booted)) = boot {
        described.push(description);
        findings.extend(booted);
    }
    let mut text = format!("{host} {} of memory.\n\n", bytes(host::memory()?));
    writeln!(text, "{}\n", described.join("\n"))?;
    text += &report(&findings)?;
    Ok(text)
}

/// The boot with both settings, and a line about it.
fn on_guest(arguments: &Arguments, root: &Path, dir: &Path, stop: &Stop) -> Result<(String, Vec<Finding>)> {
    let boot = Boot::new(root, dir, arguments.kernel, arguments.cpus, stop)?;
    let measure = |thp| {
        eprintln!("{}: THP {thp}", boot::NAME);
        Ok(Finding { name: boot::NAME, thp, measured: boot.measure(thp, stop)?, timed: None })
    };
    let findings = Thp::ALL.into_iter().map(measure).collect::<Result<_>>()?;
    Ok((format!("- **{}**: {}.", boot::NAME, boot.describe()?), findings))
}

/// One workload with one setting: measured once, which also warms it up, then timed, then profiled.
fn on_host(
    workload: &mut dyn Workload,
    thp: Thp,
    arguments: &Arguments,
    program: &Path,
    stop: &Stop,
) -> Result<Finding> {
    let name = workload.name();
    eprintln!("{name}: THP {thp}, measured by rss-drift run");
    let _settings = thp.set()?;
    let mut measured = None;
    workload.once(stop, &mut |words| {
        measured = Some(Measured::run(program, words, name, stop)?);
        Ok(())
    })?;
    workload.begin(stop)?;
    let time = Duration::from_secs(u64::from(arguments.minutes) * 60);
    let rounds = Rounds::run(workload, arguments.rounds, time, program, stop)?;
    let profiles = Profile::of_both(workload, program, stop)?;
    workload.end()?;
    let alone = Spread::of(&rounds.seconds(Mode::Nothing)).context("there was no round")?;
    let alone = format!(
        "{} ({} to {})",
        workload.show(alone.median),
        workload.show(alone.p25),
        workload.show(alone.p75)
    );
    let measured = measured.with_context(|| format!("{name} was not measured"))?;
    Ok(Finding { name, thp, measured, timed: Some(Timed { rounds, alone, profiles }) })
}
