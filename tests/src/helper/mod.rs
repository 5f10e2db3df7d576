//! A helper process: it does with its memory what a test orders, by lines through pipes, and waits in between.

mod fill;
mod flood;
mod grow;
mod hog;
mod interrupt;
pub mod io_worker;
mod regions;
mod serve;
mod storm;
mod tasks;
pub mod userfaultfd;

use std::{
    ffi::OsString,
    io::{BufRead as _, BufReader, Write as _},
    ops::Range,
    os::{fd::AsRawFd as _, unix::process::ExitStatusExt as _},
    path::Path,
    process::{Child, ChildStdin, ChildStdout, Command, ExitCode, Stdio},
};

pub use flood::{LONG, Life};
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
pub use regions::Kind;

use crate::truth::page_size;

/// First argument of a helper.
pub const AS_HELPER: &str = "--helper";
/// Second argument of a helper that takes orders.
const SERVE: &str = "serve";
/// What a helper calls itself.
const NAME: &str = "live-helper";
/// Second argument of a program that fills memory.
pub const FILL: &str = "fill";
/// Second argument of a program that ends at once.
const NOTHING: &str = "nothing";

/// What a process does that was started as a helper.
pub fn main(arguments: &[OsString]) -> ExitCode {
    match arguments.first().and_then(|word| word.to_str()) {
        Some(SERVE) => serve::main(arguments.get(1)),
        Some(NOTHING) => ExitCode::SUCCESS,
        Some(FILL) => fill::main(&arguments[1..]),
        Some("grow") => grow::main(&arguments[1..]),
        Some("daemon") => grow::daemon(&arguments[1..]),
        _ => ExitCode::from(2),
    }
}

/// A helper that waits until it is given an order. Killed when dropped, and by the kernel when the test dies.
#[derive(Debug)]
pub struct Helper {
    child: Child,
    orders: ChildStdin,
    answers: BufReader<ChildStdout>,
}

/// A region of a helper's memory.
#[derive(Clone, Copy, Debug)]
pub struct Region {
    index: u64,
    /// Address of its first page.
    pub start: u64,
    /// Its pages.
    pub pages: u64,
}

impl Region {
    /// Its addresses.
    pub fn addresses(&self) -> Range<u64> {
        self.start..self.start + self.pages * page_size().unsigned_abs()
    }
}

impl Helper {
    /// Starts a helper and waits until it is ready. Everything that a later order needs once has been done once by then, so
    /// that an order changes what it names and nothing else.
    pub fn start() -> Self {
        Self::start_as(NAME)
    }

    /// As [`Self::start`], by another name.
    pub fn start_as(name: &str) -> Self {
        let mut command = Command::new("/proc/self/exe");
        command.args([AS_HELPER, SERVE, name]).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn().expect("start this very program");
        let orders = child.stdin.take().expect("it has a pipe");
        let answers = BufReader::new(child.stdout.take().expect("it has a pipe"));
        let mut helper = Self { child, orders, answers };
        helper.expect_ready();
        helper.warm_up();
        helper
    }

    /// Its pid.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Whether it was killed by SIGKILL.
    pub fn was_killed(&mut self) -> bool {
        let ended = self.child.try_wait().expect("ask for a child's end");
        ended.is_some_and(|status| status.signal() == Some(libc::SIGKILL))
    }

    /// Makes a region of anonymous or shared memory; nothing of it is touched.
    pub fn map(&mut self, kind: Kind, pages: u64) -> Region {
        self.map_file(kind, pages, Path::new("-"))
    }

    /// Makes a region of the first pages of a file.
    pub fn map_file(&mut self, kind: Kind, pages: u64, path: &Path) -> Region {
        let answer = self.numbers(&format!("map {} {pages} {}", kind.name(), path.display()));
        let [index, start] = answer[..] else { panic!("two numbers expected: {answer:?}") };
        Region { index, start, pages }
    }

    /// Writes to each of `pages` of a region.
    pub fn write(&mut self, region: &Region, pages: Range<u64>) {
        self.on("write", region, pages);
    }

    /// Reads from each of `pages` of a region.
    pub fn read(&mut self, region: &Region, pages: Range<u64>) {
        self.on("read", region, pages);
    }

    /// `MADV_DONTNEED`.
    pub fn give_up(&mut self, region: &Region, pages: Range<u64>) {
        self.advise(region, pages, libc::MADV_DONTNEED);
    }

    /// `MADV_PAGEOUT`.
    pub fn page_out(&mut self, region: &Region, pages: Range<u64>) {
        self.advise(region, pages, libc::MADV_PAGEOUT);
    }

    /// madvise(2).
    pub fn advise(&mut self, region: &Region, pages: Range<u64>, advice: libc::c_int) {
        self.on(&format!("advise {advice}"), region, pages);
    }

    /// A child of its fills the first `pages` of `region` through userfaultfd(2), and ends.
    pub fn fill_by_userfaultfd(&mut self, region: &Region, pages: u64) {
        self.numbers(&format!("userfaultfd {} {pages}", region.index));
    }

    /// mlock(2), which brings in every page by itself.
    pub fn lock(&mut self, region: &Region) {
        self.on("mlock", region, 0..region.pages);
    }

    /// munmap(2) of the whole region.
    pub fn unmap(&mut self, region: &Region) {
        self.unmap_part(region, 0..region.pages);
    }

    /// munmap(2) of `pages` of a region; the others stay.
    pub fn unmap_part(&mut self, region: &Region, pages: Range<u64>) {
        self.on("munmap", region, pages);
    }

    /// mprotect(2) of `pages` of a region: they can only be read.
    pub fn protect(&mut self, region: &Region, pages: Range<u64>) {
        self.on("protect", region, pages);
    }

    /// A worker of `io_uring(7)` reads zeroes into the first `pages` of a region. The faults that the process itself had
    /// meanwhile, and how many workers it has.
    pub fn fill_by_a_worker(&mut self, region: &Region, pages: u64) -> (u64, u64) {
        self.by_a_worker("fill", region, pages)
    }

    /// A worker of `io_uring(7)` gives up the first `pages` of a region. As [`Self::fill_by_a_worker`].
    pub fn give_up_by_a_worker(&mut self, region: &Region, pages: u64) -> (u64, u64) {
        self.by_a_worker("give-up", region, pages)
    }

    fn by_a_worker(&mut self, verb: &str, region: &Region, pages: u64) -> (u64, u64) {
        let answer = self.numbers(&format!("io-worker {verb} {} {pages}", region.index));
        let [faults, workers] = answer[..] else { panic!("two numbers expected: {answer:?}") };
        (faults, workers)
    }

    /// Forks; the child writes to the first `pages` of `region` and waits. Its pid.
    pub fn fork(&mut self, region: &Region, pages: u64) -> u32 {
        self.pid_of(&format!("fork {} {pages}", region.index))
    }

    /// execve(2) of itself; the regions are gone.
    pub fn exec(&mut self) {
        self.exec_with(0, 0);
    }

    /// As [`Self::exec`], with `count` more arguments of `bytes` each.
    pub fn exec_with(&mut self, count: u64, bytes: u64) {
        writeln!(self.orders, "exec {count} {bytes}").expect("order the helper");
        self.expect_ready();
        self.warm_up();
    }

    /// Starts `threads` that each write to `pages` of their own of `region`, and wait.
    pub fn threads(&mut self, threads: u64, region: &Region, pages: u64) {
        self.numbers(&format!("threads {threads} {} {pages}", region.index));
    }

    /// Starts `threads` that go over all CPUs and write on each to `pages` of their own of `region`, and wait. How many
    /// CPUs they went over.
    pub fn hop(&mut self, threads: u64, region: &Region, pages: u64) -> u64 {
        self.numbers(&format!("hop {threads} {} {pages}", region.index))[0]
    }

    /// Goes to one CPU and stays there.
    pub fn pin(&mut self, cpu: usize) {
        self.numbers(&format!("pin {cpu}"));
    }

    /// The leader exits; a thread takes its place. The thread's id.
    pub fn lose_leader(&mut self) -> u32 {
        self.pid_of("lose-leader")
    }

    /// Starts a process that shares this memory (`CLONE_VM`), writes to `pages` of `region` from its end on, and waits.
    pub fn share_memory(&mut self, region: &Region, pages: u64) -> u32 {
        self.pid_of(&format!("clone-vm {} {pages}", region.index))
    }

    /// vfork(2): the child lives in this memory, writes to the first `pages` of `region` and waits, while the helper is
    /// held until [`Self::end_vfork`]. The child's pid.
    pub fn vfork(&mut self, region: &Region, pages: u64) -> u32 {
        self.pid_of(&format!("vfork {} {pages}", region.index))
    }

    /// Ends the child of a vfork: the helper goes on.
    pub fn end_vfork(&mut self, child: u32) {
        kill(Pid::from_raw(child.cast_signed()), Signal::SIGKILL).expect("kill a process of ours");
        self.answer("the end of a vfork");
    }

    /// Forks a child into a new PID namespace, of which it is the first; it writes to the first `pages` of `region` and
    /// waits. Its pid outside.
    pub fn fork_into_pid_namespace(&mut self, region: &Region, pages: u64) -> u32 {
        self.pid_of(&format!("pid-namespace {} {pages}", region.index))
    }

    /// execve(2) of `path` with `count` arguments of `bytes` each, which fails. Its error.
    pub fn fail_to_exec(&mut self, path: &Path, count: u64, bytes: u64) -> i32 {
        let errno = self.numbers(&format!("exec-of {} {count} {bytes}", path.display()))[0];
        i32::try_from(errno).expect("an error number")
    }

    /// Forks a child that writes to `pages` of `region`, enters seccomp's strict mode and waits.
    pub fn sandbox(&mut self, region: &Region, pages: u64) -> u32 {
        self.pid_of(&format!("seccomp {} {pages}", region.index))
    }

    /// Makes a zombie.
    pub fn zombie(&mut self) -> u32 {
        self.pid_of("zombie")
    }

    /// Starts `rate` processes a second, each of which ends at once, every tenth after an execve: until [`Self::end_storm`].
    pub fn begin_storm(&mut self, rate: u64) {
        writeln!(self.orders, "storm {rate}").expect("order the helper");
    }

    /// Starts one short life after the other, as fast as they go, until there were `limit` or [`Self::end_storm`]. Those that
    /// fork write to the first `pages` of `region`.
    pub fn begin_flood(&mut self, life: Life, limit: u64, region: &Region, pages: u64) {
        let order = format!("flood {} {limit} {} {pages}", life.name(), region.index);
        writeln!(self.orders, "{order}").expect("order the helper");
    }

    /// Takes its CPU from whoever runs there, again and again, as a task before all others (`SCHED_FIFO`): until
    /// [`Self::end_storm`].
    pub fn begin_interrupting(&mut self) {
        writeln!(self.orders, "interrupt").expect("order the helper");
    }

    /// Writes to the first `pages` of `region` and gives them up, again and again, as a task before all others: until
    /// [`Self::end_storm`].
    pub fn begin_churning(&mut self, region: &Region, pages: u64) {
        writeln!(self.orders, "churn {} {pages}", region.index).expect("order the helper");
    }

    /// Writes to the first `written` pages of `region`, gives up the first `given_up` of them, and keeps its CPU from then on, as a
    /// task before all others: until [`Self::end_storm`].
    pub fn begin_spinning(&mut self, region: &Region, written: u64, given_up: u64) {
        self.numbers(&format!("spin {} {written} {given_up}", region.index));
    }

    /// Whether a flood has come to its limit.
    pub fn has_answered(&self) -> bool {
        let mut answer =
            libc::pollfd { fd: self.answers.get_ref().as_raw_fd(), events: libc::POLLIN, revents: 0 };
        // SAFETY: one pollfd, as the count says.
        unsafe { libc::poll(&raw mut answer, 1, 0) > 0 }
    }

    /// Ends the storm or flood, how many processes it were; or the interrupting, the churning or the spinning, how often.
    pub fn end_storm(&mut self) -> u64 {
        writeln!(self.orders, "enough").expect("order the helper");
        let started = self.answer("storm")[0];
        self.answer("enough");
        started
    }

    fn on(&mut self, verb: &str, region: &Region, pages: Range<u64>) {
        assert!(pages.end <= region.pages, "{verb} {pages:?} of {region:?}");
        let count = pages.end - pages.start;
        self.numbers(&format!("{verb} {} {} {count}", region.index, pages.start));
    }

    fn pid_of(&mut self, order: &str) -> u32 {
        u32::try_from(self.numbers(order)[0]).expect("a pid")
    }

    fn numbers(&mut self, order: &str) -> Vec<u64> {
        writeln!(self.orders, "{order}").expect("order the helper");
        self.answer(order)
    }

    fn answer(&mut self, order: &str) -> Vec<u64> {
        let line = self.line();
        let Some(numbers) = line.strip_prefix("ok") else { panic!("{order:?} was answered: {line:?}") };
        numbers.split_whitespace().map(|word| word.parse().expect("numbers in an answer")).collect()
    }

    fn expect_ready(&mut self) {
        let line = self.line();
        assert_eq!(line, "ready\n", "what a helper says at first");
    }

    fn line(&mut self) -> String {
        let mut line = String::new();
        self.answers.read_line(&mut line).expect("read the helper's answer");
        line
    }

    /// Gives each order of a single process once: code and buffers that an order needs are resident afterwards.
    fn warm_up(&mut self) {
        let region = self.map(Kind::Anon, 4);
        self.write(&region, 0..4);
        self.read(&region, 0..1);
        self.give_up(&region, 0..1);
        self.lock(&region);
        self.unmap(&region);
    }
}

impl Drop for Helper {
    fn drop(&mut self) {
        // It may have died already; then the wait only reaps it.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
