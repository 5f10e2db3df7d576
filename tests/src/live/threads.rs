//! Many threads, and threads that are everywhere.

use crate::{
    harness::{Outcome, Reason, allowed_cpus},
    helper::{Helper, Kind},
    measure::Meter,
};

/// Every thread of a large process counts, and the process is one row.
pub fn two_thousand_threads() -> Outcome {
    const THREADS: u64 = 2000;
    const PAGES: u64 = 32;
    let mut meter = Meter::open();
    let mut helper = Helper::start();
    let region = helper.map(Kind::Anon, THREADS * PAGES);
    helper.threads(THREADS, &region, PAGES);
    let idle = meter.idle(helper.pid());
    assert_eq!(idle.walk.within(&region.addresses(), |mapping| mapping.anonymous), 64_000);
    assert!(idle.exact() > 64_000);
    assert_eq!(idle.row.process.threads, 2001);
    Outcome::Passed
}

/// Threads leave something in the cache of every CPU.
pub fn threads_that_go_over_all_cpus() -> Outcome {
    const THREADS: u64 = 8;
    if allowed_cpus().len() < 2 {
        return Outcome::Skipped(Reason::OneCpu);
    }
    let mut meter = Meter::open();
    for kind in [Kind::Anon, Kind::Shmem] {
        let mut helper = Helper::start();
        // Fewer than a batch a visit, so that most of them stay in the caches.
        let pages = 3;
        let cpus = allowed_cpus().len() as u64;
        let region = helper.map(kind, THREADS * cpus * pages);
        assert_eq!(helper.hop(THREADS, &region, pages), cpus);
        let idle = meter.idle(helper.pid());
        let resident = idle.walk.within(&region.addresses(), |mapping| mapping.rss);
        assert_eq!(resident, (THREADS * cpus * pages).cast_signed());
    }
    Outcome::Passed
}
