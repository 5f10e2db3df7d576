//! Memory that changes by another hand than its process's: the kernel's threads and other processes.

use rss_drift_common::Member;

use super::memory::{growth, only, signed, to_swap};
use crate::{
    guard::Setting,
    harness::{KSM_RUN, Outcome, Reason},
    helper::{Helper, Kind, Region},
    measure::{Meter, wait_until},
    remote::{advise, write_into},
    thp,
    truth::{Walk, page_size},
};

const PAGES: u64 = 333;

/// Lets khugepaged work at once, and fill any gaps, until the settings are dropped.
pub(super) fn khugepaged_at_once() -> Vec<Setting> {
    let mut settings = thp::allow().expect("a setting that can be written");
    for (name, value) in [("max_ptes_none", "511"), ("pages_to_scan", "8192"), ("scan_sleep_millisecs", "10")]
    {
        let path = format!("/sys/kernel/mm/transparent_hugepage/khugepaged/{name}");
        settings.push(Setting::change(&path, value).expect("a setting that can be written"));
    }
    settings
}

/// khugepaged makes huge pages of an idle process's small ones, and fills the gaps between them.
pub fn khugepaged_fills_the_gaps() -> Outcome {
    const WRITTEN: u64 = 300;
    if !thp::can_be_had() {
        return Outcome::Skipped(Reason::NoThp);
    }
    let in_one = (2 << 20) / page_size().unsigned_abs();
    let mut meter = Meter::open_fullest();
    let _settings = khugepaged_at_once();
    let mut helper = Helper::start();
    let pid = helper.pid();
    let region = helper.map(Kind::Huge, 4 * in_one);
    helper.advise(&region, 0..region.pages, libc::MADV_NOHUGEPAGE);
    for huge in 0..4 {
        helper.write(&region, huge * in_one..huge * in_one + WRITTEN);
    }
    let huge = |walk: &Walk| walk.within(&region.addresses(), |mapping| mapping.huge);
    let small = meter.idle(pid);
    assert_eq!(huge(&small.walk), 0, "it begins with small pages");
    helper.advise(&region, 0..region.pages, libc::MADV_HUGEPAGE);
    let all = signed(region.pages);
    wait_until("khugepaged makes four huge pages", || huge(&Walk::of(pid).expect("read smaps")) == all);
    assert_eq!(growth(&small, &meter.idle(pid)), only(Member::Anon, signed(4 * (in_one - WRITTEN))));
    Outcome::Passed
}

/// KSM makes one page of many equal ones: each process that maps it goes on counting it, as its page tables do.
pub fn ksm_makes_equal_pages_one() -> Outcome {
    if Reason::NoKsm.holds() {
        return Outcome::Skipped(Reason::NoKsm);
    }
    let ksm = |name: &str| format!("/sys/kernel/mm/ksm/{name}");
    let mut meter = Meter::open_fullest();
    let mut helper = Helper::start();
    let pid = helper.pid();
    // Every page of it is equal.
    let region = helper.map(Kind::Anon, PAGES);
    helper.write(&region, 0..PAGES);
    let before = meter.idle(pid);
    let _fast = [("sleep_millisecs", "10"), ("pages_to_scan", "2000")]
        .map(|(name, value)| Setting::change(&ksm(name), value).expect("a setting that can be written"));
    let _on = Setting::change(KSM_RUN, "1").expect("a setting that can be written");
    helper.advise(&region, 0..PAGES, libc::MADV_MERGEABLE);
    // By this process's own share: KSM's counts still hold what ended before it was switched off. A merged page is mapped
    // 256 times at most (`max_page_sharing`), so that a few are left.
    let pss = || Walk::of(pid).expect("read smaps").within(&region.addresses(), |mapping| mapping.pss);
    wait_until("KSM merges most of the pages", || pss() < 10);
    assert_eq!(growth(&before, &meter.idle(pid)), [0; 4]);
    // A write takes a page out again.
    helper.write(&region, 0..100);
    assert_eq!(growth(&before, &meter.idle(pid)), [0; 4]);
    helper.unmap(&region);
    assert_eq!(growth(&before, &meter.idle(pid)), only(Member::Anon, -signed(PAGES)));
    Outcome::Passed
}

/// A child fills its parent's memory through userfaultfd: it counts in the parent, who touched nothing.
pub fn userfaultfd_fills_another() -> Outcome {
    if Reason::NoUserfaultfd.holds() {
        return Outcome::Skipped(Reason::NoUserfaultfd);
    }
    let mut meter = Meter::open_fullest();
    let mut helper = Helper::start();
    let pid = helper.pid();
    for kind in [Kind::Anon, Kind::Shmem] {
        let region = helper.map(kind, PAGES);
        assert_eq!(resident(&Walk::of(pid).expect("read smaps"), &region), 0);
        helper.fill_by_userfaultfd(&region, 200);
        assert_eq!(resident(&meter.idle(pid).walk, &region), 200, "{kind:?}");
    }
    Outcome::Passed
}

/// `process_madvise(2)` of an idle process: nothing changes by `MADV_COLD`; `MADV_PAGEOUT` swaps out where there is swap.
pub fn process_madvise_of_another() -> Outcome {
    let mut meter = Meter::open_fullest();
    let mut helper = Helper::start();
    let region = helper.map(Kind::Anon, PAGES);
    helper.write(&region, 0..PAGES);
    let before = meter.idle(helper.pid());
    advise(helper.pid(), &region, libc::MADV_COLD).expect("process_madvise");
    assert_eq!(growth(&before, &meter.idle(helper.pid())), [0; 4]);
    advise(helper.pid(), &region, libc::MADV_PAGEOUT).expect("process_madvise");
    let after = meter.idle(helper.pid());
    let swapped = after.walk.within(&region.addresses(), |mapping| mapping.swap);
    assert_eq!(swapped > 0, !Reason::NoSwap.holds(), "{swapped} pages were swapped out");
    assert_eq!(growth(&before, &after), to_swap(swapped));
    Outcome::Passed
}

/// `process_vm_writev(2)` into pages that their process never touched.
pub fn process_vm_writev_into_another() -> Outcome {
    let mut meter = Meter::open_fullest();
    let mut helper = Helper::start();
    let pid = helper.pid();
    for (kind, member) in [(Kind::Anon, Member::Anon), (Kind::Memfd, Member::Shmem)] {
        let region = helper.map(kind, PAGES);
        let before = meter.idle(pid);
        write_into(pid, &region, 200).expect("process_vm_writev");
        assert_eq!(growth(&before, &meter.idle(pid)), only(member, 200), "{kind:?}");
    }
    Outcome::Passed
}

fn resident(walk: &Walk, region: &Region) -> i64 {
    walk.within(&region.addresses(), |mapping| mapping.rss)
}
