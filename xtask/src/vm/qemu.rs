//! QEMU: one guest from its start to the status of its command.

use std::{
    fs::File,
    io::{Read, Write},
    os::unix::process::CommandExt,
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Stdio},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicI32, Ordering},
    },
    time::{Duration, Instant},
};

use anyhow::{Context, Result};

use super::{cached::Cached, marker::Splitter, tools};

/// A guest that has told its status has this long to switch itself off.
const SWITCH_OFF: Duration = Duration::from_secs(5);

const POLL: Duration = Duration::from_millis(20);

/// No status yet: outside of what a process can return.
const NONE: i32 = i32::MIN;

/// What a guest is made of.
#[derive(Clone, Debug)]
pub(crate) struct Machine {
    /// The kernel to boot.
    pub(crate) kernel: Cached,
    /// CPUs, all of them online.
    pub(crate) cpus: u32,
    /// Memory in MiB.
    pub(crate) memory: u32,
    /// More words for the kernel's command line.
    pub(crate) append: Vec<String>,
    /// The guest's clock counts instructions, of all its CPUs together: one is a nanosecond. Emulation alone can do that.
    pub(crate) icount: bool,
    /// The image of a disk. What the guest writes to it is forgotten.
    pub(crate) disk: Option<PathBuf>,
}

/// The emulated CPU. cx16: emulating it crashes 6.12 now and then. The others make guests a quarter slower: string instructions
/// go byte by byte (the kernel's own loops take eight at once), a fifth level of page tables makes walks longer, and each
/// change of SMAP's flag begins a TLB of its own.
const CPU: &str = "max,-cx16,-erms,-fsrm,-la57,-smap";

/// How a guest ended.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum End {
    /// Its command returned this.
    Exited(i32),
    /// It was killed after this time.
    TimedOut(Duration),
    /// It ended without a word: its kernel or QEMU crashed.
    Died(String),
    /// We were told to stop.
    Interrupted,
}

impl Machine {
    /// Runs the guest, whose command is the file `command` of its initrd, and hands on what it prints.
    pub(crate) fn run(
        &self,
        files: &Files,
        command: &str,
        timeout: Duration,
        stop: &AtomicBool,
        out: &mut (impl Write + Send),
        err: &mut (impl Write + Send),
    ) -> Result<End> {
        let token = token();
        let mut qemu = self.qemu(&files.initrd, &format!("vmrun={command} vmtoken={token}"))?;
        // ttyS0, ttyS1 and ttyS2, see init.sh. QEMU's own errors join those of the command.
        qemu.arg("-serial").arg(format!("file:{}", files.console.display()));
        qemu.args(["-chardev", "stdio,id=out,signal=off", "-serial", "chardev:out"]);
        qemu.args(["-serial", "file:/dev/stderr"]);
        qemu.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = Running(qemu.spawn().context("cannot start QEMU")?);
        let stdout = child.0.stdout.take().context("QEMU has no stdout")?;
        let stderr = child.0.stderr.take().context("QEMU has no stderr")?;

        let status = AtomicI32::new(NONE);
        std::thread::scope(|scope| {
            let out = scope.spawn(|| split(stdout, out, &token, &status));
            let err = scope.spawn(|| copy(stderr, err));
            let end = wait(&mut child.0, timeout, stop, &status);
            // A guest that did not end by itself: its pipes close with it.
            drop(child);
            for thread in [out, err] {
                thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))?;
            }
            let end = end?;
            // The status may have come with the very last bytes.
            Ok(match status.load(Ordering::Acquire) {
                NONE => end,
                status => End::Exited(status),
            })
        })
    }

    /// A guest with its console on this terminal, until it is switched off.
    pub(crate) fn interactive(&self, initrd: &Path) -> Result<ExitStatus> {
        let mut qemu = self.qemu(initrd, "")?;
        qemu.args(["-serial", "mon:stdio"]);
        qemu.status().context("cannot start QEMU")
    }

    fn qemu(&self, initrd: &Path, append: &str) -> Result<Command> {
        let mut qemu = Command::new(tools::qemu()?);
        let mut words: Vec<_> = ["console=ttyS0", "panic=-1", "loglevel=5", "transparent_hugepage=never"]
            .map(str::to_owned)
            .into();
        if has_kvm() && !self.icount {
            qemu.args(["-accel", "kvm", "-cpu", "host"]);
        } else {
            let mut tsc_khz = tsc_khz();
            if self.icount {
                // A nanosecond each, which is what the time stamp counter counts then. Idle CPUs do not wait in real time.
                qemu.args(["-icount", "shift=0,sleep=off"]);
                tsc_khz = 1_000_000;
            }
            // One thread per guest: with more, text patching broke.
            qemu.args(["-accel", "tcg,thread=single", "-cpu", CPU]);
            // A guest that gets too little of a busy host measures its clocks wrongly, up to a clock that runs five times
            // too fast: it is told. Calibrating delays would cost a second per CPU.
            words.push(format!("tsc=reliable tsc_early_khz={tsc_khz} no_timer_check lpj=5000000"));
        }
        words.extend(self.append.iter().cloned());
        words.push(append.to_owned());
        qemu.args(["-machine", "q35", "-nodefaults", "-no-reboot"])
            // Not -nographic: with it the BIOS writes on the console too, and leaves a terminal without line wrap.
            .args(["-display", "none"])
            .args(["-smp", &self.cpus.to_string(), "-m", &self.memory.to_string()])
            .arg("-kernel")
            .arg(self.kernel.vmlinuz())
            .arg("-initrd")
            .arg(initrd)
            .args(["-append", &words.join(" ")]);
        if let Some(disk) = &self.disk {
            // A comma in a value is written twice.
            let file = disk.to_string_lossy().replace(',', ",,");
            qemu.args(["-drive", &format!("file={file},format=raw,if=none,id=disk,snapshot=on")])
                .args(["-device", "nvme,drive=disk,serial=disk"]);
        }
        // SAFETY: prctl is async-signal-safe and touches no memory of ours.
        unsafe {
            qemu.pre_exec(|| {
                // A guest must not outlive us, however we end.
                match libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL) {
                    0 => Ok(()),
                    _ => Err(std::io::Error::last_os_error()),
                }
            });
        }
        Ok(qemu)
    }
}

/// The files that QEMU reads and writes.
pub(crate) struct Files {
    /// The guest's initrd.
    pub(crate) initrd: PathBuf,
    /// Where the console goes.
    pub(crate) console: PathBuf,
}

/// A flag that Ctrl-C and SIGTERM raise; the second Ctrl-C ends us at once.
pub(crate) fn stop_flag() -> Result<Arc<AtomicBool>> {
    let flag = Arc::new(AtomicBool::new(false));
    for signal in [signal_hook::consts::SIGINT, signal_hook::consts::SIGTERM] {
        signal_hook::flag::register_conditional_default(signal, Arc::clone(&flag))
            .and_then(|_| signal_hook::flag::register(signal, Arc::clone(&flag)))
            .context("cannot handle signals")?;
    }
    Ok(flag)
}

/// A child that does not survive this value.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        // Both fail only for a child that has ended.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn wait(child: &mut Child, timeout: Duration, stop: &AtomicBool, status: &AtomicI32) -> Result<End> {
    let start = Instant::now();
    let mut told = None;
    loop {
        if stop.load(Ordering::Relaxed) {
            return Ok(End::Interrupted);
        }
        if let Some(exit) = child.try_wait().context("cannot wait for QEMU")? {
            return Ok(End::Died(format!("QEMU ended ({exit}) and the command had not")));
        }
        if start.elapsed() > timeout {
            return Ok(End::TimedOut(timeout));
        }
        let status = status.load(Ordering::Acquire);
        if status != NONE && told.get_or_insert_with(Instant::now).elapsed() > SWITCH_OFF {
            return Ok(End::Exited(status));
        }
        std::thread::sleep(POLL);
    }
}

fn split(mut from: impl Read, to: &mut impl Write, token: &str, status: &AtomicI32) -> Result<()> {
    let mut splitter = Splitter::new(token);
    let mut buffer = vec![0; 1 << 16];
    loop {
        let len = from.read(&mut buffer).context("cannot read the guest's output")?;
        if len == 0 {
            break;
        }
        forward(&splitter.feed(&buffer[..len]), to)?;
        if let Some(code) = splitter.status() {
            status.store(code, Ordering::Release);
        }
    }
    forward(&splitter.finish().0, to)
}

fn copy(mut from: impl Read, to: &mut impl Write) -> Result<()> {
    let mut buffer = vec![0; 1 << 16];
    loop {
        let len = from.read(&mut buffer).context("cannot read the guest's errors")?;
        if len == 0 {
            return Ok(());
        }
        forward(&buffer[..len], to)?;
    }
}

fn forward(bytes: &[u8], to: &mut impl Write) -> Result<()> {
    to.write_all(bytes).and_then(|()| to.flush()).context("cannot write the guest's output")
}

/// Whether guests can run on this machine's CPUs: the device alone does not say so.
fn has_kvm() -> bool {
    let cpus = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let virtualizes = cpus.split_whitespace().any(|flag| flag == "vmx" || flag == "svm");
    virtualizes && File::options().read(true).write(true).open("/dev/kvm").is_ok()
}

/// How fast the time stamp counter counts: an emulated one counts as the host's.
fn tsc_khz() -> u64 {
    const WINDOW: Duration = Duration::from_millis(50);
    // SAFETY: reading the counter has no effect.
    let count = || unsafe { std::arch::x86_64::_rdtsc() };
    let (begin, before) = (Instant::now(), count());
    std::thread::sleep(WINDOW);
    let (took, ticks) = (begin.elapsed(), count() - before);
    // 50 ms are far from overflowing; microseconds are precise enough.
    ticks * 1000 / u64::try_from(took.as_micros()).unwrap_or(u64::MAX)
}

/// A word that no command prints by chance.
fn token() -> String {
    use std::hash::{BuildHasher, RandomState};
    format!("{:016x}", RandomState::new().hash_one(std::process::id()))
}
