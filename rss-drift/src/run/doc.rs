//! `docs/run.md`, made from the table of figures.

use super::figures::FIGURES;
use crate::table::{check_doc, markdown};

const INTRODUCTION: &str = "\
# The report of `rss-drift run`

<!-- Made from rss-drift/src/run/: UPDATE_DOCS=1 cargo test --locked -p rss-drift --lib run::doc -->

`rss-drift run [OPTIONS] -- COMMAND [ARGS]` measures a command and all its descendants, also those that it leaves behind as
daemons. The report goes to standard error, or is appended to a file (`-o`; `-` is standard output), as text, CSV or JSON.
A report that its file does not take is on standard error, and the exit status is 125. Files are as in [csv.md](csv.md#files).

- **Begin and end.** rss-drift forks first, attaches its BPF programs (about a second), and then lets the child execute the command.
  A signal before that ends rss-drift with status 128 + n: the command does not run, and there is no report. The report is made when the command has ended, with `--wait` when its last
  descendant has. It lists the processes that still run. What rss-drift itself does between fork and execve is not counted.
- **Exit status.** The command's own, 128 + n when signal n killed it, 126 when it cannot be executed, 127 when it is not
  found; 125 when rss-drift itself failed, also for an unknown option. SIGINT, SIGTERM, SIGHUP, SIGQUIT, SIGUSR1 and SIGUSR2
  are passed on, unless the terminal sent them to the command as well. All but the last two end the run: Ctrl-C gives 130 and the report of
  what was seen so far. rss-drift waits until the command has ended; after two seconds it says so. A second signal ends rss-drift at once,
  and the command goes on. `--kill-after TIME` kills a command that has not ended by then.
- **What the command inherits.** Its limits, ignored and blocked signals are those that rss-drift was started with. A signal that was
  ignored then (`nohup`, `&` in a script) ends neither of the two.
- **Several runs.** `-r N` runs the command N times, each counted anew, until a signal ends one: the text then shows the mean of each figure and its
  standard error in percent, as `perf stat -r` does; CSV and JSON have a row for each run. The exit status is the last one's.
- **A reader that stalls** (standard error is a full pipe, or a terminal stopped by Ctrl-S) does not hold up measuring. At the end rss-drift
  waits until the report is read; a signal ends the wait at once, and the report is lost.
- **`--max-overhead PERCENT`** ends measuring when the BPF programs take more of the host's CPU time. The kernel measures their run time in
  one of ten intervals (`--interval`). The BPF programs are then unloaded, the command goes on, and the report is of the time before:
  `measured_seconds` says how long that was. `-r` runs the command no more then. Without the option there is no limit, because a command
  with many page faults would pass any low one.
- **On a terminal** a line shows time, page faults, RSS of all that live (what they share counts for each) and the largest peak so far. There is
  none with `-o`, `--no-progress`, `--quiet` or TERM=dumb, and none while a program reads the terminal's keys itself (an editor, a
  prompt for a password) or another process group is in the foreground. `--quiet` leaves out warnings too.
- **Another user.** `--user NAME`, `--user UID` or, under sudo, `--user sudo` (SUDO_UID and SUDO_GID) runs the command as that user with the user's
  groups and without rss-drift's privileges; HOME, SHELL, USER and LOGNAME are the user's, the rest of the environment stays. A number that no
  user has is a group too, and changes no variable. A static build of rss-drift knows the users of /etc/passwd and /etc/group only. It takes CAP_SETUID and CAP_SETGID, and CAP_KILL to pass signals on.
- **Updates and pages.** An update is one event of a counter of an mm that is measured. On newer kernels one update may be many
  pages (large folios, fault-around). On per-task accounting all changes of a member that a look at a task's cache finds are one update.
  When all processes have ended, the pages added equal the pages removed (on per-task accounting: if no two CPUs changed one mm at once).
  Memory can outlive its process: another process reads its files in /proc, or the kernel holds it for an RCU grace period because its hash of
  futexes grew (since 6.17, programs of several threads). When the last process has ended, the report waits up to two seconds for that.
- **The RFC's cache.** The shadow (docs/how-it-works.md) works as the cache that Kairui Song proposed. Its hits, misses and flushes are
  what that cache would have counted. They are printed twice: for all updates, and for the RFC's own sites alone, because the RFC changed
  only those and left the others at atomic operations. For these sites the report also has the pages of hits and misses. Compare the
  pages with the RFC: one of its events was one page, while one update of a newer kernel is up to 16 pages of a file (fault-around).
- **Sites.** The site of an update is the kernel's function that made it. rss-drift finds it in the kernel's stack, and leaves out helpers of
  the counters. The names of the RFC's sites from 5.10 to 7.2 are in rss-drift/src/kernel/rfc.rs. On per-task accounting all that a task
  had cached came by those sites. If `/proc/kallsyms` hides addresses (kernel.kptr_restrict), the other updates are unclassified, what is
  said of sites is empty, and the
  report says so.
- **Names of processes** (`largest_comm`) are those of the last reading (`--interval`) that saw this very peak. A peak that came after the last
  reading has the name that the process had when it was forked or executed its program.
- **Call chains** are the kernel stacks of misses, counted in the kernel; the most frequent is printed, more with `--misses N`. `--folded FILE`
  writes all of them, a line each, the outermost function first, for flame-graph tools.
  The file stays as it was until there is a chain to write.
- **CPUs that a reader visits** for one mm: all that are possible, as the RFC's reader does; those that ran the mm in the shadow; those in the kernel's
  own mm_cpumask, which its later patches read. Of all readings of measured processes.
- **Readings of RSS.** The RFC makes updates cheaper and readings dearer, so the report counts both. The kernel reads RSS for getrusage(2) whenever
  a process ends or executes a program. (It also does when memory is unmapped, for the high-water mark; that is not counted.) Others read RSS by opening
  `stat`, `statm`, `status`, `smaps` or `smaps_rollup` of a measured process. fanotify(7) reports these openings; it needs CAP_SYS_ADMIN. Openings by
  rss-drift itself do not count. The kernel's queue of openings is bounded (16,384 unless `fs.fanotify.max_queued_events` says otherwise): while
  rss-drift is stopped it can be full, and the report says so. Two kinds of openings are not counted: a second opening of the same file by the same process within milliseconds, and
  openings of a process that ends within milliseconds.
- **`--system`** measures every process of the host from start to end of the command, rss-drift included. The peak of a process that
  already ran is the largest since rss-drift began, also in a later run of `-r`.
- **Page faults** are the kernel's own count, as getrusage(2) has it.
- **True peak RSS** comes from the events: the largest sum of file, anon and shmem at any update of the mm. It is exact to the page
  when one CPU changes the mm at a time. Else it may differ by the error beside it (`--precise-peaks` reduces the error to a third on per-cpu accounting). **VmHWM** is what `/proc/PID/status` would have printed at
  the last moment, read when the last user of the mm is gone and before anything is unmapped. **ru_maxrss** is, for the
  command, what wait4(2) says: of itself, of the children that it waited for, and of the mm before execve (of rss-drift, then). For the largest
  process it is the process's own. It is empty if another task held the mm last.
- **The self-check** shows what went wrong in rss-drift itself. It always has the missed events, the refused updates and processes, the largest
  error while a process was idle, the pages that had to be corrected for idle processes, the exited address spaces that left a residue, and the
  costs. Rare counts are printed when they are not 0, or with `-v`: events missed because the CPU's slot was busy; words of the kernel that
  changed while they were read; pages that were found only when their mm ended; exits that could not be checked for a residue; states whose
  mm's end was not seen (swept, or taken over by a new mm at the same address); slots that an update corrected, because no switch to its task
  was seen (the task ran already when rss-drift attached, or its execve came before the event). CSV and JSON always have all of them. All but
  the refused processes are of the whole host since rss-drift attached.
- **Drift** is read every `--interval` while the command runs; the largest by events is from every update.

## Figures of CSV and JSON

One row, or one object in one line, per run. Sizes are bytes; what is not known is empty (`null` in JSON), never 0. New figures
are only ever added at the end. A CSV file with another header is refused.

";

#[test]
fn the_documentation_of_run_is_made_from_the_table() {
    check_doc("run.md", &(INTRODUCTION.to_owned() + &markdown("figure", FIGURES)));
}

#[test]
fn names_are_given_once() {
    let mut names: Vec<_> = FIGURES.iter().map(|figure| figure.name).collect();
    names.sort_unstable();
    names.dedup();
    assert_eq!(names.len(), FIGURES.len());
}
