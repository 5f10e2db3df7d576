//! BPF programs loaded side by side. The kernel verifies a BPF program on the CPU of who loads it, which for the larger of ours takes most of
//! a start, and it verifies those of several threads at once (`kernel/bpf/verifier.c:bpf_check` takes a lock only for who has no
//! privileges).

use std::{
    collections::{HashMap, VecDeque},
    sync::{Mutex, MutexGuard, PoisonError},
    thread,
};

use aya::{Btf, Ebpf, programs::Program};

use super::{error::ProbeError, programs::load};

/// A BPF program to be loaded.
#[derive(Debug)]
pub(super) struct Job {
    /// Its name.
    pub(super) name: &'static str,
    /// What it attaches to, as [`load`] takes it.
    pub(super) target: &'static str,
    /// What follows where the kernel refuses it.
    pub(super) refused: Refused,
}

/// What follows where the kernel refuses a BPF program.
#[derive(Debug)]
pub(super) enum Refused {
    /// Nothing can be done without it: the others need not be loaded.
    Fails,
    /// These are loaded in its stead, if any.
    Instead(Vec<Job>),
}

/// BPF programs that can be done without and that the kernel refused.
pub(super) type Refusals = HashMap<&'static str, ProbeError>;

/// Loads all of `jobs` with at most so many `threads`, this one among them. What comes first is begun first: the largest are to.
///
/// # Errors
/// A refusal of what nothing can be done without.
pub(super) fn load_all(
    ebpf: &mut Ebpf,
    btf: &Btf,
    kernel: &str,
    jobs: Vec<Job>,
    threads: usize,
) -> Result<Refusals, ProbeError> {
    let queue = Queue::new(jobs, ebpf.programs_mut());
    queue.work_off(threads, |job, program: Option<&mut Program>| {
        let program = program.ok_or(ProbeError::Missing(job.name))?;
        load(program, job.name, job.target, btf, kernel)
    })
}

/// What nobody has begun with, and what was refused. `P` is what is loaded.
struct Queue<'a, P>(Mutex<State<'a, P>>);

struct State<'a, P> {
    jobs: VecDeque<Job>,
    programs: HashMap<&'a str, P>,
    failed: Option<ProbeError>,
    refusals: Refusals,
}

impl<'a, P: Send> Queue<'a, P> {
    fn new(jobs: Vec<Job>, programs: impl Iterator<Item = (&'a str, P)>) -> Self {
        Self(Mutex::new(State {
            jobs: jobs.into(),
            programs: programs.collect(),
            failed: None,
            refusals: Refusals::new(),
        }))
    }

    /// Loads all; the error is the first refusal after which nothing is left to do.
    fn work_off(
        self,
        threads: usize,
        load: impl Fn(&Job, Option<P>) -> Result<(), ProbeError> + Sync,
    ) -> Result<Refusals, ProbeError> {
        let helpers = threads.min(self.lock().jobs.len()).saturating_sub(1);
        thread::scope(|scope| {
            for _ in 0..helpers {
                let helper = thread::Builder::new().name("load".to_owned());
                if let Err(error) = helper.spawn_scoped(scope, || self.work(&load)) {
                    // A limit of processes, for example. Those that there are do its work.
                    log::debug!("BPF programs are loaded by fewer threads: {error}");
                    break;
                }
            }
            self.work(&load);
        });
        let State { failed, refusals, .. } = self.0.into_inner().unwrap_or_else(PoisonError::into_inner);
        failed.map_or(Ok(refusals), Err)
    }

    /// Loads one after the other until there is none left, or one failed.
    fn work(&self, load: impl Fn(&Job, Option<P>) -> Result<(), ProbeError>) {
        while let Some((job, program)) = self.next() {
            let Err(error) = load(&job, program) else { continue };
            let mut state = self.lock();
            match job.refused {
                Refused::Fails => state.failed = state.failed.take().or(Some(error)),
                Refused::Instead(others) => {
                    state.jobs.extend(others);
                    state.refusals.insert(job.name, error);
                }
            }
        }
    }

    fn next(&self) -> Option<(Job, Option<P>)> {
        let mut state = self.lock();
        if state.failed.is_some() {
            return None;
        }
        let job = state.jobs.pop_front()?;
        let program = state.programs.remove(job.name);
        Some((job, program))
    }

    /// A thread that panicked left the state whole: nobody holds it while something is loaded.
    fn lock(&self) -> MutexGuard<'_, State<'a, P>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::{
        collections::HashSet,
        sync::{Condvar, Mutex},
        time::Duration,
    };

    use super::*;

    const NAMES: [&str; 4] = ["reader", "fentry", "exit", "event"];

    fn needed(name: &'static str) -> Job {
        Job { name, target: name, refused: Refused::Fails }
    }

    /// Loads the jobs with a kernel that refuses what is in `refused`; what it loaded, in that order.
    fn loaded(
        jobs: Vec<Job>,
        threads: usize,
        refused: &[&str],
    ) -> (Vec<&'static str>, Result<Refusals, ProbeError>) {
        let order = Mutex::new(Vec::new());
        let result =
            Queue::new(jobs, NAMES.into_iter().map(|name| (name, name))).work_off(threads, |job, program| {
                assert_eq!(program, Some(job.name), "each has its own, once");
                if refused.contains(&job.name) {
                    return Err(ProbeError::Missing(job.name));
                }
                order.lock().unwrap().push(job.name);
                Ok(())
            });
        (order.into_inner().unwrap(), result)
    }

    fn with_fentry() -> Vec<Job> {
        let fentry = Job { name: "fentry", target: "", refused: Refused::Instead(vec![needed("exit")]) };
        vec![fentry, needed("reader"), needed("event")]
    }

    #[test]
    fn what_is_in_the_stead_of_another_is_loaded_only_where_that_is_refused() {
        let (order, refusals) = loaded(with_fentry(), 1, &[]);
        assert_eq!((order, refusals.unwrap().len()), (vec!["fentry", "reader", "event"], 0));
        let (order, refusals) = loaded(with_fentry(), 1, &["fentry"]);
        assert_eq!(order, ["reader", "event", "exit"]);
        assert_eq!(refusals.unwrap().into_keys().collect::<Vec<_>>(), ["fentry"]);
    }

    #[test]
    fn nothing_is_begun_after_a_failure() {
        let (order, result) = loaded(with_fentry(), 1, &["fentry", "reader"]);
        assert!(order.is_empty(), "{order:?}");
        assert!(matches!(result, Err(ProbeError::Missing("reader"))), "{result:?}");
        let (_, result) = loaded(with_fentry(), 1, &["fentry", "exit"]);
        assert!(matches!(result, Err(ProbeError::Missing("exit"))), "{result:?}");
    }

    #[test]
    fn threads_share_the_work() {
        let begun = (Mutex::new(HashSet::new()), Condvar::new());
        let jobs = vec![needed("reader"), needed("event")];
        let result = Queue::new(jobs, NAMES.into_iter().map(|name| (name, ()))).work_off(8, |job, _| {
            let (threads, more) = &begun;
            let mut threads = threads.lock().unwrap();
            threads.insert(thread::current().id());
            more.notify_all();
            // Each is done only when the other has begun.
            let alone = |threads: &mut HashSet<_>| threads.len() < 2;
            let waited = more.wait_timeout_while(threads, Duration::from_secs(10), alone).unwrap();
            if waited.1.timed_out() { Err(ProbeError::Missing(job.name)) } else { Ok(()) }
        });
        assert!(result.is_ok(), "{result:?}");
    }
}
