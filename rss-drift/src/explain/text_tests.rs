use std::path::PathBuf;

use super::*;
use crate::{
    drift::{
        fixture,
        holders::{NamedHolder, RowHolders},
        sample::ShadowFigures,
    },
    kernel::room::GroupMemory,
    proc::{
        Memory, Rollup,
        Source::{Stat, Statm, Status},
    },
};

/// A process of 100 pages, of which `stat` lacks 10, held by CPU 3.
fn explanation() -> Explanation {
    let mut row = fixture::row(42, "sh", 100, 90);
    (row.files.statm, row.files.status, row.files.resident) = (Some(100), Some(100), Some(100));
    row.files.vm_hwm = Some(300);
    let held = [0, 10, 0, 0];
    let named = vec![NamedHolder { holder: Holder::Cpu(3), comm: None, pages: held }];
    let holders = RowHolders {
        pid: 42,
        comm: "sh".to_owned(),
        named,
        others: 0,
        of_others: [0; 4],
        missing: held,
        certain: true,
    };
    let kib = |kib: u64| Some(kib << 10);
    let reader = |origin, figure: i64, precision, difference: Option<i64>| Reader {
        origin,
        figure: Some(figure << 10),
        precision,
        difference: difference.map(|kib| kib << 10),
    };
    Explanation {
        host: fixture::host(),
        row,
        readers: vec![
            reader(Origin::File(Status), 400, Some(Precision::Exact), Some(0)),
            reader(Origin::File(Statm), 400, Some(Precision::Exact), Some(0)),
            reader(Origin::File(Stat), 360, Some(Precision::Approximate), Some(40)),
            reader(Origin::OomKiller, 392, Some(Precision::Approximate), None),
            reader(Origin::Peak, 1200, None, None),
            reader(Origin::PageTables, 400, Some(Precision::Exact), Some(0)),
            reader(Origin::ControlGroup, 8192, None, None),
        ],
        holders: Some(holders),
        rollup: Some(Rollup { pss: kib(200), private: kib(100), shared: kib(300), ..Rollup::default() }),
        memory: Memory {
            swap: kib(0),
            page_tables: kib(32),
            oom_score: Some(666),
            oom_score_adj: Some(-5),
            ..Memory::default()
        },
        group: Some(GroupMemory {
            usage: 8 << 20,
            peak: None,
            limit: Some(16 << 20),
            file: PathBuf::from("/sys/fs/cgroup/a/memory.current"),
        }),
        since: None,
        moved_later: false,
    }
}

#[test]
fn one_screen_tells_all() {
    assert_eq!(
        text(&explanation(), Units::Human, None),
        "\
pid 42 (sh), 3 threads; kernel 6.12.0, per-cpu accounting; exact RSS 400 KiB: file 0, anon 400 KiB, shmem 0
pidstat, Prometheus clients for Go and Python show 40 KiB (10.00 %) too little, which the slots of 1 CPU hold; ps, top, htop show the exact figure

 FIGURE DIFFERENCE HERE                 READ                          BY
400 KiB          0 exact                status, VmRSS                 ps, pmap, Prometheus client for Java
400 KiB          0 exact                statm, field 2                top, htop, psutil, glances
360 KiB    +40 KiB off                  stat, field 24                pidstat, atop, btop, below, Prometheus clients for Go and Python, process-exporter, Node
392 KiB          - off up to Linux 6.18 the counters                  the OOM killer
1.2 MiB          - a peak               the kernel's own peak         GNU time, getrusage(2), status
400 KiB          0 no drift             the page tables               smaps, smaps_rollup, smem
8.0 MiB          - other counters       counters of the control group cAdvisor
DIFFERENCE: exact - figure; above 0 the reader shows too little

pid 42 (sh): 40 KiB held back from the global count by 1 CPU
  CPU 3 40 KiB #################### anon 40 KiB
in RSS, by the page tables: private 100 KiB, shared with others 300 KiB, Pss 200 KiB
not in RSS: swapped out 0, page tables 32 KiB
control group: /sys/fs/cgroup/a/memory.current says 8.0 MiB, limit 16.0 MiB; it counts page cache and kernel memory too, and every process in it
OOM killer: oom_score 666, oom_score_adj -5; it counts RSS, swap and page tables
peak: VmHWM 1.2 MiB, the kernel's own mark; --duration TIME follows the true peak
"
    );
}

#[test]
fn lines_fit_and_bare_numbers_stay_bare() {
    for width in [40, 80, 100] {
        for line in text(&explanation(), Units::Human, Some(width)).lines() {
            assert!(line.chars().count() <= width, "{line}");
        }
    }
    let text = text(&explanation(), Units::Kib, None);
    let line = text.lines().find(|line| line.contains("field 24")).unwrap();
    assert_eq!(line.split_whitespace().take(3).collect::<Vec<_>>(), ["360", "40", "off"]);
    assert!(text.contains("\nin KiB; DIFFERENCE: "), "{text}");
}

#[test]
fn the_conclusion_blames_nobody_without_reason() {
    let of = |change: fn(&mut Explanation)| {
        let mut it = explanation();
        change(&mut it);
        conclusion(&it, Units::Human)
    };
    assert!(of(|it| it.row.moved = Some(10)).starts_with("its memory changed while it was read: "));
    assert!(of(|it| it.moved_later = true).starts_with("its memory changed while it was read: "));
    assert!(
        of(|it| it.readers[2].difference = Some(0))
            .starts_with("every reader of the counters shows the exact figure")
    );
    let unknown = of(|it| it.readers[..3].iter_mut().for_each(|reader| reader.difference = None));
    assert!(unknown.starts_with("whether the files of /proc are exact here is not known"), "{unknown}");
    let much = of(|it| it.readers[2].difference = Some(-40960));
    assert!(much.contains(" show 40 KiB (10.00 %) too much, which "), "{much}");
    let walk = of(|it| it.readers[5].difference = Some(4096));
    assert!(walk.ends_with("; the page tables have 4 KiB less than the counters"), "{walk}");
}

#[test]
fn a_mark_below_the_true_peak_was_reset() {
    let of = |vm_hwm: i64, error: u64| {
        let mut it = explanation();
        it.since = Some(fixture::time());
        it.row.files.vm_hwm = Some(vm_hwm);
        it.row.shadow = Some(ShadowFigures {
            peak_exact: 1000,
            peak_error: error,
            uncertainty: Some(0),
            ..ShadowFigures::default()
        });
        (it.mark_was_reset(), text(&it, Units::Human, None).contains(": the mark was reset"))
    };
    // The bound is 192 pages.
    assert_eq!(of(1000, 0), (Some(false), false));
    assert_eq!(of(1500, 0), (Some(false), false), "from before the time that is followed");
    assert_eq!(of(808, 0), (Some(false), false), "drift can be as much");
    assert_eq!(of(807, 0), (Some(true), true));
    assert_eq!(of(807, 1), (Some(false), false), "several CPUs may have made the peak");
    assert_eq!(explanation().mark_was_reset(), None);
}
