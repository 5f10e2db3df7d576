//! `cargo xtask test`: every test, or those of one kind.

use std::{
    ffi::OsString,
    io::{BufRead as _, BufReader},
    path::Path,
    process::{ExitCode, Stdio},
};

use anyhow::{Context, Result, bail};
use clap::Args;

use crate::{
    build,
    cargo::{cargo, succeed},
    privilege::as_root,
    setup,
    times::Times,
    vm, workspace,
};

/// The package of the live tests: one static binary.
const LIVE: &str = "live-tests";

/// Run the tests: unit tests, then the live tests as root, here and on other kernels in virtual machines.
#[derive(Args, Debug)]
#[expect(clippy::struct_excessive_bools, reason = "each is an option of the command line")]
pub(crate) struct Arguments {
    /// Only the unit tests: without root, without the kernel's help
    #[arg(long, conflicts_with = "live")]
    unit: bool,
    /// Only the live tests: eBPF programs in the running kernel
    #[arg(long)]
    live: bool,
    /// Leave the virtual machines out: the live tests run on this kernel only
    #[arg(long)]
    no_vm: bool,
    /// Count a kernel that cannot be fetched as skipped
    #[arg(long)]
    allow_missing_kernel: bool,
    /// Install missing Debian packages without asking
    #[arg(short, long)]
    yes: bool,
    /// What the tests are given: a filter or other arguments (leaves the virtual machines out)
    #[arg(last = true, value_name = "ARGS")]
    passed_on: Vec<OsString>,
}

/// The verb.
pub(crate) fn main(arguments: &Arguments) -> Result<ExitCode> {
    let mut times = Times::default();
    let status = test(arguments, &mut times);
    eprint!("{times}");
    status
}

/// Where unit tests fail the live tests are not run: what they would say is not worth their time.
fn test(arguments: &Arguments, times: &mut Times) -> Result<ExitCode> {
    let root = workspace::root();
    times.stage("set-up", || setup::ensure(&root, arguments.yes))?;
    if !arguments.live {
        times.stage("unit tests", || unit(&root, &arguments.passed_on))?;
    }
    if arguments.unit {
        return Ok(ExitCode::SUCCESS);
    }
    let here = live(&root, &arguments.passed_on, times)?;
    let why = if here != ExitCode::SUCCESS {
        "tests failed on this kernel"
    } else if arguments.no_vm {
        "--no-vm"
    } else if arguments.live {
        "--live is for this kernel"
    } else if !arguments.passed_on.is_empty() {
        "arguments were given"
    } else {
        let everything = vm::test::Args::everything(arguments.allow_missing_kernel, arguments.yes);
        return vm::test::run(&everything, times);
    };
    eprintln!("no tests in virtual machines: {why} (`cargo xtask vm test` runs them)");
    Ok(here)
}

/// The unit tests of every crate that runs in user space.
fn unit(root: &Path, arguments: &[OsString]) -> Result<()> {
    let mut command = cargo(root, "test");
    command.args(["--locked", "--workspace", "--exclude", LIVE]);
    command.args(["--exclude", "rss-drift-ebpf", "--exclude", "bench-ebpf"]);
    succeed(command.arg("--").args(arguments), "running the unit tests")
}

/// The live tests. Their exit status becomes ours.
fn live(root: &Path, arguments: &[OsString], times: &mut Times) -> Result<ExitCode> {
    let binary = times.stage("build of the live tests", || build::static_binary(root, LIVE))?;
    let mut command = as_root(binary.as_os_str(), &[], "the live tests load eBPF programs, which")?;
    command.args(arguments).stdout(Stdio::piped());
    let mut printed = String::new();
    let status = times.stage("live tests on this host", || {
        let mut child = command.spawn().with_context(|| format!("cannot run {}", binary.display()))?;
        // In bytes: what a test prints of a process need not be UTF-8, and the tests are not to be left alone for that.
        for line in BufReader::new(child.stdout.take().context("the live tests have no stdout")?).split(b'\n')
        {
            let line = line.context("cannot read what the live tests print")?;
            let line = String::from_utf8_lossy(&line);
            println!("{line}");
            printed += &line;
            printed.push('\n');
        }
        child.wait().context("cannot wait for the live tests")
    })?;
    times.read("this host", &printed);
    match status.code() {
        Some(code) => Ok(ExitCode::from(u8::try_from(code).unwrap_or(u8::MAX))),
        None => bail!("the live tests were ended: {status}"),
    }
}
