//! Who moves memory in a soak: a few helpers that take orders, and one that starts short lives all the time.

use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};

use super::{host::Host, random::Random};
use crate::{
    harness::{Reason, allowed_cpus},
    helper::{Helper, Kind, Region},
    remote,
};

/// Helpers that take orders.
const HELPERS: usize = 4;

/// Most regions of one helper at once.
const REGIONS: usize = 8;

/// Pages of a region.
const PAGES: u64 = 600;

/// Most children and threads of one helper, before it is replaced.
const FAMILY: u32 = 12;

/// Short lives a second.
const RATE: u64 = 40;

/// Pages of a mapping that another process fills.
const FOREIGN: u64 = 100;

/// Bytes of each argument of an execve that fails: all but the largest that Linux takes.
const ARGUMENT: u64 = 120_000;

/// A helper and what it has.
struct Actor {
    helper: Helper,
    regions: Vec<Region>,
    children: Vec<u32>,
    /// Threads and processes that were started.
    family: u32,
    leader: u32,
}

impl Actor {
    fn start() -> Self {
        let helper = Helper::start();
        Self { leader: helper.pid(), helper, regions: Vec::new(), children: Vec::new(), family: 0 }
    }

    fn region(&mut self, random: &mut Random) -> Option<(usize, Region)> {
        if self.regions.is_empty() {
            return None;
        }
        let index = usize::try_from(random.below(self.regions.len() as u64)).expect("an index");
        Some((index, self.regions[index]))
    }

    fn map(&mut self, random: &mut Random) -> String {
        if self.regions.len() == REGIONS {
            let region = self.regions.remove(0);
            self.helper.unmap(&region);
        }
        let kind =
            random.of(&[Kind::Anon, Kind::Anon, Kind::Huge, Kind::Shmem, Kind::Memfd, Kind::PrivateMemfd]);
        let region = self.helper.map(kind, PAGES);
        self.regions.push(region);
        format!("map {kind:?}")
    }
}

/// All of them.
pub struct Actors {
    all: Vec<Actor>,
    storm: Option<Helper>,
    host: Host,
    userfaultfd: bool,
}

impl Actors {
    /// Starts them.
    pub fn start() -> Self {
        let all = (0..HELPERS).map(|_| Actor::start()).collect();
        let mut storm = Helper::start_as("live-storm");
        storm.begin_storm(RATE);
        Self { all, storm: Some(storm), host: Host::of_this(), userfaultfd: !Reason::NoUserfaultfd.holds() }
    }

    /// Gives one order; its words.
    pub fn act(&mut self, random: &mut Random) -> String {
        if let Some(words) = self.host.act(random) {
            return words;
        }
        let number = usize::try_from(random.below(HELPERS as u64)).expect("an index");
        let actor = &mut self.all[number];
        let words = match random.below(10) {
            0 => rare_order(actor, self.userfaultfd, random),
            _ => order(actor, random),
        };
        if actor.family > FAMILY {
            *actor = Actor::start();
            return format!("{number}: {words}; a new process");
        }
        format!("{number}: {words}")
    }

    /// Whether a CPU went offline so far.
    pub const fn cpus_went(&self) -> bool {
        self.host.cpus_went
    }

    /// The processes that wait for orders now and have memory of their own.
    pub fn pids(&self) -> Vec<u32> {
        self.all.iter().flat_map(|actor| actor.children.iter().copied().chain([actor.leader])).collect()
    }

    /// Ends the short lives; how many it were.
    pub fn end(&mut self) -> u64 {
        self.storm.take().map_or(0, |mut storm| storm.end_storm())
    }
}

/// What a process does seldom, or what is done to it.
fn rare_order(actor: &mut Actor, userfaultfd: bool, random: &mut Random) -> String {
    let Some((index, region)) = actor.region(random) else { return actor.map(random) };
    match random.below(7) {
        0 => {
            let child = actor.helper.vfork(&region, 1 + random.below(region.pages));
            actor.helper.end_vfork(child);
            "vfork, and its end".to_owned()
        }
        1 => {
            let count = random.of(&[1, 8, 64]);
            actor.helper.fail_to_exec("/proc/self/environ".as_ref(), count, ARGUMENT);
            format!("an execve that fails with {count} long arguments")
        }
        2 => {
            remote::write_into(actor.leader, &region, FOREIGN).expect("process_vm_writev");
            format!("{FOREIGN} pages of region {index} written by another")
        }
        3 => {
            let advice = random.of(&[libc::MADV_COLD, libc::MADV_PAGEOUT]);
            remote::advise(actor.leader, &region, advice).expect("process_madvise");
            format!("advice {advice} on region {index} by another")
        }
        4 if userfaultfd => {
            let fresh = actor.helper.map(Kind::Anon, FOREIGN);
            actor.helper.fill_by_userfaultfd(&fresh, FOREIGN);
            actor.helper.unmap(&fresh);
            "a mapping filled through userfaultfd, and unmapped".to_owned()
        }
        5 => {
            actor.helper.advise(&region, 0..region.pages, libc::MADV_MERGEABLE);
            format!("region {index} may be merged")
        }
        _ => {
            actor.family += 4;
            let shared = actor.helper.map(Kind::Anon, FOREIGN);
            let other = actor.helper.share_memory(&shared, FOREIGN);
            actor.children.push(other);
            format!("process {other} in the same memory")
        }
    }
}

/// A part of a region.
fn part(region: &Region, random: &mut Random) -> std::ops::Range<u64> {
    let start = random.below(region.pages);
    let length = 1 + random.below(region.pages - start);
    start..start + length
}

fn order(actor: &mut Actor, random: &mut Random) -> String {
    let choice = random.below(100);
    let Some((index, region)) = actor.region(random) else { return actor.map(random) };
    let pages = part(&region, random);
    let words = |verb: &str| format!("{verb} {pages:?} of region {index}");
    match choice {
        0..10 => actor.map(random),
        10..40 => {
            actor.helper.write(&region, pages.clone());
            words("write")
        }
        40..48 => {
            actor.helper.read(&region, pages.clone());
            words("read")
        }
        48..62 => {
            actor.helper.give_up(&region, pages.clone());
            words("give up")
        }
        62..68 => {
            actor.helper.page_out(&region, pages.clone());
            words("page out")
        }
        68..74 => {
            actor.regions.remove(index);
            actor.helper.unmap(&region);
            format!("unmap region {index}")
        }
        74..80 => {
            let cpu = random.of(&allowed_cpus());
            actor.helper.pin(cpu);
            format!("pin to {cpu}")
        }
        80..84 => {
            actor.family += 2;
            let child = actor.helper.fork(&region, pages.end);
            actor.children.push(child);
            format!("fork {child}, {} pages", pages.end)
        }
        84..88 => {
            actor.family += 3;
            let threads = 1 + random.below(4);
            actor.helper.threads(threads, &region, PAGES / threads);
            format!("{threads} threads")
        }
        88..91 => {
            actor.family += 3;
            let cpus = allowed_cpus().len() as u64;
            actor.helper.hop(2, &region, PAGES / (2 * cpus));
            "2 threads over all CPUs".to_owned()
        }
        91..94 => {
            stop_for_a_moment(actor.leader);
            "stop for a moment".to_owned()
        }
        94..97 if actor.family == 0 => {
            actor.helper.exec();
            actor.regions.clear();
            "exec".to_owned()
        }
        _ => {
            *actor = Actor::start();
            "die; a new process".to_owned()
        }
    }
}

/// SIGSTOP and SIGCONT: both are seen by the process whenever it runs next.
fn stop_for_a_moment(pid: u32) {
    let pid = Pid::from_raw(pid.cast_signed());
    for signal in [Signal::SIGSTOP, Signal::SIGCONT] {
        kill(pid, signal).expect("signal a child of ours");
    }
}
