//! `vm run`: one command in a guest, as if it ran here.

use std::{
    path::{Path, PathBuf},
    process::ExitCode,
    time::Duration,
};

use anyhow::{Context, Result, bail};

use super::{
    fetch,
    guest::{self, Job},
    kernels::Kernel,
    qemu::{self, End, Machine},
    test,
};

/// What makes up a guest, the same for `run` and `shell`.
#[derive(Debug, clap::Args)]
pub(crate) struct Hardware {
    /// The kernel: 5.10, 6.1, 6.12, 7.x, 7.x-rt, one of `vm test --wide`, or a file of this host (./bzImage)
    #[arg(long, value_name = "K")]
    pub(crate) kernel: Kernel,
    /// Number of CPUs
    #[arg(long, value_name = "N", default_value_t = 2, value_parser = clap::value_parser!(u32).range(1..=255))]
    pub(crate) cpus: u32,
    /// Memory in MiB
    #[arg(long, value_name = "MIB", default_value_t = 2048)]
    pub(crate) memory: u32,
    /// More words for the kernel's command line
    #[arg(long, value_name = "WORDS", allow_hyphen_values = true)]
    pub(crate) append: Vec<String>,
    /// Let the guest's clock count instructions, one a nanosecond (emulated, slower)
    #[arg(long)]
    pub(crate) icount: bool,
    /// A file to put into the guest's /vm, its working directory (may be given several times)
    #[arg(long, value_name = "FILE")]
    pub(crate) file: Vec<PathBuf>,
}

impl Hardware {
    /// The machine, its kernel fetched.
    pub(crate) fn machine(&self) -> Result<Machine> {
        Ok(Machine {
            kernel: fetch::ensure(self.kernel)?,
            cpus: self.cpus,
            memory: self.memory,
            append: self.append.clone(),
            icount: self.icount,
            disk: None,
        })
    }
}

/// Arguments of `vm run`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example: cargo xtask vm run --kernel 6.12 --cpus 8 -- target/static/probe --count 3")]
pub(crate) struct Args {
    #[command(flatten)]
    hardware: Hardware,
    /// Seconds after which the guest is killed
    #[arg(long, value_name = "SECONDS", default_value_t = 120)]
    timeout: u64,
    /// The command: with a `/` a static program or a script of this host, else a program of the guest's busybox
    #[arg(required = true, trailing_var_arg = true, allow_hyphen_values = true)]
    command: Vec<String>,
}

impl Args {
    /// The live tests' binary with these words, in a guest prepared as for the tests; it may take `seconds` longer than a
    /// guest's set-up does.
    pub(crate) fn of_live_tests(
        kernel: Kernel,
        cpus: u32,
        program: &Path,
        words: &[String],
        seconds: u64,
    ) -> Self {
        let command = ["sh", "-c", test::SCRIPT, "test.sh"].map(str::to_owned);
        let hardware = Hardware {
            kernel,
            cpus,
            memory: test::MEMORY,
            append: Vec::new(),
            file: vec![program.to_owned()],
            icount: false,
        };
        let command = command.into_iter().chain(words.iter().cloned()).collect();
        Self { hardware, timeout: seconds + test::SLACK, command }
    }
}

/// Runs the command; its status is ours.
pub(crate) fn run(args: &Args) -> Result<ExitCode> {
    let machine = args.hardware.machine()?;
    let stop = qemu::stop_flag()?;
    let job = Job {
        command: &args.command,
        files: &args.hardware.file,
        timeout: Duration::from_secs(args.timeout),
    };
    let (end, console) = job.run(&machine, &stop, &mut std::io::stdout(), &mut std::io::stderr())?;
    match end {
        End::Exited(status) => Ok(ExitCode::from(u8::try_from(status).context("no exit status")?)),
        End::Interrupted => Ok(ExitCode::from(130)),
        End::TimedOut(limit) => {
            eprint!("{}", guest::tail(&console));
            bail!("the guest did not end within {} s: --timeout gives it longer", limit.as_secs())
        }
        End::Died(how) => {
            eprint!("{}", guest::tail(&console));
            bail!("{how}: the console's last lines are above")
        }
    }
}
