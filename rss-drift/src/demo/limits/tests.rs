use super::*;

const NEED: Need = Need { threads: 10_000, pages: 32, page_size: 4096 };
const GIB: u64 = 1 << 30;

const fn usage(limit: u64, used: u64) -> Usage {
    Usage { limit, used }
}

/// The text of the refusal, line by line.
fn refusal(figures: &Figures, need: &Need) -> Vec<String> {
    check(figures, need).unwrap_err().to_string().lines().map(str::to_owned).collect()
}

/// How many threads the one limit of `figures` lets through.
fn fits(figures: &Figures) -> u64 {
    let found = limits(figures, &NEED);
    assert_eq!(found.len(), 1);
    found[0].fits
}

#[test]
fn without_a_limit_all_fits() {
    assert_eq!(check(&Figures::default(), &NEED), Ok(()));
    let roomy = Figures {
        user_tasks: Some(usage(100_000, 20)),
        threads_max: Some(usage(190_000, 500)),
        pid_max: Some(usage(32_768, 500)),
        mappings: Some(usage(65_530, 40)),
        memory: Some(usage(4 * GIB, GIB)),
        commit: Some(usage(8 * GIB, GIB)),
        address_space: Some(usage(4 * GIB, 0)),
        data: Some(usage(4 * GIB, 0)),
        cgroups: vec![],
    };
    assert_eq!(check(&roomy, &NEED), Ok(()));
    assert_eq!(limits(&roomy, &NEED).len(), 8);
}

#[test]
fn a_refusal_names_the_limit_its_value_the_remedy_and_what_fits() {
    let figures = Figures { user_tasks: Some(usage(4096, 95)), ..Figures::default() };
    assert_eq!(
        refusal(&figures, &NEED),
        [
            "cannot run 10000 threads x 32 pages:",
            "  RLIMIT_NPROC (ulimit -u) is 4096, of which 95 are in use: 4000 threads fit",
            "    remedy: ulimit -u unlimited, or run as root",
            "  what fits: rss-drift demo --threads 4000 --pages 32",
        ]
    );
}

#[test]
fn the_tightest_limit_comes_first_and_says_what_fits() {
    let figures = Figures {
        threads_max: Some(usage(5_000, 999)),
        pid_max: Some(usage(4_000, 199)),
        cgroups: vec![CgroupLimit {
            controller: Controller::Pids,
            file: "/sys/fs/cgroup/a.slice/pids.max".to_owned(),
            usage: usage(512, 11),
        }],
        ..Figures::default()
    };
    let lines = refusal(&figures, &NEED);
    assert_eq!(lines[1], "  /sys/fs/cgroup/a.slice/pids.max is 512, of which 11 are in use: 500 threads fit");
    assert!(lines[3].starts_with("  kernel.pid_max is 4000, ") && lines[3].ends_with(" 3500 threads fit"));
    assert!(
        lines[5].starts_with("  kernel.threads-max is 5000, ") && lines[5].ends_with(" 4000 threads fit")
    );
    assert_eq!(
        lines.last().map(String::as_str),
        Some("  what fits: rss-drift demo --threads 500 --pages 32")
    );
}

#[test]
fn what_fits_is_what_is_let_through() {
    for figures in [
        Figures { user_tasks: Some(usage(4096, 95)), ..Figures::default() },
        Figures { memory: Some(usage(GIB, 100 << 20)), ..Figures::default() },
        Figures { commit: Some(usage(GIB, 100 << 20)), ..Figures::default() },
        Figures { address_space: Some(usage(GIB, 100 << 20)), ..Figures::default() },
        Figures { pid_max: Some(usage(4_000, 199)), ..Figures::default() },
    ] {
        let fits = fits(&figures);
        assert_eq!(check(&figures, &Need { threads: fits, ..NEED }), Ok(()));
        assert!(check(&figures, &Need { threads: fits + 1, ..NEED }).is_err());
    }
}

#[test]
fn memory_counts_what_the_kernel_takes_too() {
    // 34 pages and 32 KiB of the kernel's: 168 KiB each.
    let figures = Figures { memory: Some(usage(RESERVE + 100 * 168 * 1024 + 5000, 0)), ..Figures::default() };
    assert_eq!(fits(&figures), 100);
    let cgroup = CgroupLimit {
        controller: Controller::Memory,
        file: "/sys/fs/cgroup/x/memory.max".to_owned(),
        usage: usage(11 * 168 * 1024, 168 * 1024),
    };
    let figures = Figures { cgroups: vec![cgroup], ..Figures::default() };
    assert_eq!(fits(&figures), 10);
    assert_eq!(
        refusal(&figures, &NEED)[1],
        "  /sys/fs/cgroup/x/memory.max is 1848 KiB, of which 168 KiB are in use: 10 threads fit"
    );
}

#[test]
fn mappings_do_not_depend_on_the_number_of_threads() {
    assert_eq!(fits(&Figures { mappings: Some(usage(40, 32)), ..Figures::default() }), u64::MAX);
    let figures = Figures { mappings: Some(usage(40, 33)), ..Figures::default() };
    let lines = refusal(&figures, &NEED);
    assert!(lines[1].starts_with("  vm.max_map_count is 40, "));
    assert_eq!(lines[3], "  not one thread of this size fits; --pages makes them smaller");
}

#[test]
fn a_limit_that_is_exceeded_already_lets_nothing_through() {
    assert_eq!(fits(&Figures { threads_max: Some(usage(10, 50)), ..Figures::default() }), 0);
    assert_eq!(fits(&Figures { memory: Some(usage(GIB, 2 * GIB)), ..Figures::default() }), 0);
}

#[test]
fn absurd_sizes_do_not_overflow() {
    let need = Need { threads: u64::from(u32::MAX), pages: u64::from(u32::MAX), page_size: 4096 };
    assert!(check(&Figures { memory: Some(usage(GIB, 0)), ..Figures::default() }, &need).is_err());
    assert_eq!(need.touched_bytes(), u64::MAX);
}
