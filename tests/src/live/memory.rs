//! Each kind of memory in known numbers of pages.

use std::fs;

use rss_drift_common::{Member, Pages};

use crate::{
    harness::{Outcome, Reason},
    helper::{Helper, Kind, Region},
    measure::{IdleProcess, Meter},
    scratch::Scratch,
    thp,
    truth::{Mapping, page_size},
};

/// More than the batch of any kernel with up to 64 CPUs, and no multiple of it.
const PAGES: u64 = 333;

/// How much each member of an idle process grew from one reading to another.
pub(super) fn growth(before: &IdleProcess, after: &IdleProcess) -> Pages {
    assert_eq!(before.mm.mm, after.mm.mm, "it is the same memory");
    let (before, after) = (before.mm.exact(), after.mm.exact());
    std::array::from_fn(|member| after[member] - before[member])
}

/// So many pages of one member and nothing of the others.
pub(super) fn only(member: Member, pages: i64) -> Pages {
    let mut only = [0; 4];
    only[member.index()] = pages;
    only
}

/// So many anonymous pages that went to swap.
pub(super) fn to_swap(pages: i64) -> Pages {
    let mut moved = only(Member::Anon, -pages);
    moved[Member::Swap.index()] = pages;
    moved
}

pub(super) fn signed(pages: u64) -> i64 {
    pages.cast_signed()
}

/// Resident pages of a region by the page tables.
fn resident(idle: &IdleProcess, region: &Region) -> i64 {
    idle.walk.within(&region.addresses(), |mapping: &Mapping| mapping.rss)
}

/// Pages that are written one after the other are there one by one.
pub fn anonymous_pages() -> Outcome {
    let mut meter = Meter::open();
    let mut helper = Helper::start();
    let region = helper.map(Kind::Anon, PAGES);
    let mut last = meter.idle(helper.pid());
    // Less than a batch, then across several batches.
    for pages in [0..1, 1..7, 7..40, 40..PAGES] {
        let count = signed(pages.end - pages.start);
        helper.write(&region, pages);
        let now = meter.idle(helper.pid());
        assert_eq!(growth(&last, &now), only(Member::Anon, count));
        last = now;
    }
    assert_eq!(resident(&last, &region), signed(PAGES));
    Outcome::Passed
}

/// A file of so many pages, written out to its disk.
fn file_of(scratch: &Scratch, pages: u64) -> std::path::PathBuf {
    let path = scratch.file("pages");
    let bytes = vec![7; usize::try_from(pages * page_size().unsigned_abs()).expect("a small file")];
    fs::write(&path, bytes).and_then(|()| fs::File::open(&path)?.sync_all()).expect("write a file");
    path
}

/// Reads and writes to a shared mapping of a file.
pub fn pages_of_a_file() -> Outcome {
    let scratch = Scratch::for_files();
    let path = file_of(&scratch, PAGES);
    let mut meter = Meter::open();
    let mut helper = Helper::start();
    let region = helper.map_file(Kind::SharedFile, PAGES, &path);
    let before = meter.idle(helper.pid());
    // One fault brings in the pages around it that are in the page cache: how many is the kernel's affair.
    helper.read(&region, 0..1);
    let first = meter.idle(helper.pid());
    let around = resident(&first, &region);
    assert!((1..=signed(PAGES)).contains(&around), "{around} pages came with the first");
    assert_eq!(growth(&before, &first), only(Member::File, around));
    helper.read(&region, 0..PAGES);
    let read = meter.idle(helper.pid());
    assert_eq!(growth(&before, &read), only(Member::File, signed(PAGES)));
    helper.write(&region, 0..PAGES);
    assert_eq!(growth(&read, &meter.idle(helper.pid())), [0; 4]);
    Outcome::Passed
}

/// Pages of a private mapping become anonymous when they are written, read before or not.
pub fn private_copies_of_a_files_pages() -> Outcome {
    let scratch = Scratch::for_files();
    let path = file_of(&scratch, PAGES);
    let mut meter = Meter::open();
    let mut helper = Helper::start();
    for (region, backing) in [
        (helper.map_file(Kind::PrivateFile, PAGES, &path), Member::File),
        (helper.map(Kind::PrivateMemfd, PAGES), Member::Shmem),
    ] {
        let before = meter.idle(helper.pid());
        helper.read(&region, 0..PAGES);
        let read = meter.idle(helper.pid());
        assert_eq!(growth(&before, &read), only(backing, signed(PAGES)));
        helper.write(&region, 100..PAGES);
        let mut expected = only(backing, 100);
        expected[Member::Anon.index()] = signed(PAGES) - 100;
        assert_eq!(growth(&before, &meter.idle(helper.pid())), expected);
    }
    Outcome::Passed
}

/// Shared memory without a name and a file without a name.
pub fn shared_memory() -> Outcome {
    let mut meter = Meter::open();
    let mut helper = Helper::start();
    for kind in [Kind::Shmem, Kind::Memfd] {
        let region = helper.map(kind, PAGES);
        let before = meter.idle(helper.pid());
        helper.write(&region, 0..PAGES);
        let after = meter.idle(helper.pid());
        assert_eq!(growth(&before, &after), only(Member::Shmem, signed(PAGES)), "{kind:?}");
        assert_eq!(resident(&after, &region), signed(PAGES));
    }
    Outcome::Passed
}

/// `MADV_DONTNEED` of a part, of each kind.
pub fn pages_given_up() -> Outcome {
    let mut meter = Meter::open();
    let mut helper = Helper::start();
    for (kind, member) in [(Kind::Anon, Member::Anon), (Kind::Shmem, Member::Shmem)] {
        let region = helper.map(kind, PAGES);
        helper.write(&region, 0..PAGES);
        let full = meter.idle(helper.pid());
        helper.give_up(&region, 10..210);
        let partly = meter.idle(helper.pid());
        assert_eq!(growth(&full, &partly), only(member, -200));
        // What was given up already is not counted again.
        helper.give_up(&region, 0..211);
        assert_eq!(growth(&partly, &meter.idle(helper.pid())), only(member, -11));
    }
    Outcome::Passed
}

/// munmap(2) takes all pages of a region.
pub fn a_region_unmapped() -> Outcome {
    let mut meter = Meter::open();
    let mut helper = Helper::start();
    let before = meter.idle(helper.pid());
    let anon = helper.map(Kind::Anon, PAGES);
    let shmem = helper.map(Kind::Shmem, PAGES);
    helper.write(&anon, 0..PAGES);
    helper.write(&shmem, 0..PAGES);
    let mut both = only(Member::Anon, signed(PAGES));
    both[Member::Shmem.index()] = signed(PAGES);
    let full = meter.idle(helper.pid());
    assert_eq!(growth(&before, &full), both);
    helper.unmap(&anon);
    let half = meter.idle(helper.pid());
    assert_eq!(growth(&full, &half), only(Member::Anon, -signed(PAGES)));
    helper.unmap(&shmem);
    assert_eq!(growth(&before, &meter.idle(helper.pid())), [0; 4]);
    Outcome::Passed
}

/// Pages that come and go by 512 at a time.
pub fn huge_pages() -> Outcome {
    if !thp::can_be_had() {
        return Outcome::Skipped(Reason::NoThp);
    }
    let in_one = (2 << 20) / page_size();
    let mut meter = Meter::open();
    let _allowed = thp::allow().expect("a setting that can be written");
    let mut helper = Helper::start();
    let region = helper.map(Kind::Huge, 4 * in_one.unsigned_abs());
    let before = meter.idle(helper.pid());
    helper.write(&region, 0..1);
    let one = meter.idle(helper.pid());
    assert_eq!(one.walk.within(&region.addresses(), |mapping| mapping.huge), in_one, "it is a huge page");
    assert_eq!(growth(&before, &one), only(Member::Anon, in_one));
    helper.write(&region, 0..region.pages);
    let all = meter.idle(helper.pid());
    assert_eq!(growth(&before, &all), only(Member::Anon, 4 * in_one));
    // Giving up a part splits a huge page.
    helper.give_up(&region, 1..4);
    assert_eq!(growth(&all, &meter.idle(helper.pid())), only(Member::Anon, -3));
    helper.unmap(&region);
    assert_eq!(growth(&before, &meter.idle(helper.pid())), [0; 4]);
    Outcome::Passed
}

/// mlock(2) brings pages in without a page fault.
pub fn locked_pages() -> Outcome {
    let mut meter = Meter::open();
    let mut helper = Helper::start();
    let region = helper.map(Kind::Anon, PAGES);
    let before = meter.idle(helper.pid());
    helper.lock(&region);
    assert_eq!(growth(&before, &meter.idle(helper.pid())), only(Member::Anon, signed(PAGES)));
    Outcome::Passed
}

/// Anonymous pages that were only read are all one page of zeroes, in no figure.
pub fn the_zero_page_is_no_memory() -> Outcome {
    let mut meter = Meter::open();
    let mut helper = Helper::start();
    let region = helper.map(Kind::Anon, PAGES);
    let before = meter.idle(helper.pid());
    helper.read(&region, 0..PAGES);
    assert_eq!(growth(&before, &meter.idle(helper.pid())), [0; 4]);
    helper.write(&region, 0..PAGES);
    assert_eq!(growth(&before, &meter.idle(helper.pid())), only(Member::Anon, signed(PAGES)));
    Outcome::Passed
}

/// Pages that are swapped out are in no RSS, but in the member of their own.
pub fn swapped_pages() -> Outcome {
    if Reason::NoSwap.holds() {
        return Outcome::Skipped(Reason::NoSwap);
    }
    let mut meter = Meter::open_fullest();
    let mut helper = Helper::start();
    let region = helper.map(Kind::Anon, PAGES);
    helper.write(&region, 0..PAGES);
    let before = meter.idle(helper.pid());
    helper.page_out(&region, 0..PAGES);
    let after = meter.idle(helper.pid());
    let swapped = after.walk.within(&region.addresses(), |mapping| mapping.swap);
    assert!(swapped > 0, "nothing was swapped out");
    assert_eq!(growth(&before, &after), to_swap(swapped));
    Outcome::Passed
}
