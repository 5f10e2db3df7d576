//! Layouts of real kernels: Debian's 5.10.262, 6.1.192, 6.12.118 and 7.2.13 (cloud flavour), and a 6.18.44.
//!
//! The fixtures are these kernels' own BTF, reduced by `cargo run --locked -p rss-drift --example reduce-btf`. The expected
//! offsets are not ours: pahole (dwarves 1.24) printed them from the whole files.

use super::*;

fn fixture(data: &[u8]) -> (Accounting, Layout) {
    resolve(&Btf::parse(data).unwrap()).unwrap()
}

/// What the per-cpu kernels have in common.
fn percpu_counter() -> Layout {
    Layout {
        mm_rss_stride: 40,
        counter_lock: 0,
        counter_count: 8,
        counter_counters: 32,
        counter_has_slots: 1,
        ..Layout::default()
    }
}

#[test]
fn kernel_5_10() {
    let expected = Layout {
        task_flags: 36,
        task_mm: 2056,
        task_rss_count: 2112 + 4,
        task_pid: 2232,
        task_tgid: 2236,
        task_group_leader: 2296,
        task_start_boottime: 2544,
        task_comm: 2736,
        task_signal: 2832,
        task_self_exec_id: 2968,
        task_self_exec_id_size: 8,
        signal_nr_threads: 8,
        task_cgroups: 3328,
        css_set_dfl_cgrp: 120,
        css_set_memory: 4 * 8,
        css_cgroup: 0,
        cgroup_kn: 248,
        kernfs_node_id: 104,
        mm_rss_stat: 712,
        mm_rss_stride: 8,
        ..Layout::default()
    };
    assert_eq!(fixture(include_bytes!("fixtures/5.10.btf")), (Accounting::PerTask, expected));
}

#[test]
fn kernel_6_1() {
    let expected = Layout {
        task_flags: 44,
        task_mm: 2272,
        task_rss_count: 2288 + 4,
        task_pid: 2416,
        task_tgid: 2420,
        task_group_leader: 2480,
        task_start_boottime: 2784,
        task_comm: 2976,
        task_signal: 3072,
        task_self_exec_id: 3240,
        task_self_exec_id_size: 8,
        signal_nr_threads: 8,
        task_cgroups: 3600,
        css_set_dfl_cgrp: 128,
        css_set_memory: 4 * 8,
        css_cgroup: 0,
        cgroup_kn: 248,
        kernfs_node_id: 104,
        mm_rss_stat: 728,
        mm_rss_stride: 8,
        ..Layout::default()
    };
    assert_eq!(fixture(include_bytes!("fixtures/6.1.btf")), (Accounting::PerTask, expected));
}

#[test]
fn kernel_6_12() {
    let expected = Layout {
        task_flags: 44,
        task_mm: 2304,
        task_pid: 2432,
        task_tgid: 2436,
        task_group_leader: 2496,
        task_start_boottime: 2784,
        task_comm: 2976,
        task_signal: 3072,
        task_self_exec_id: 3240,
        task_self_exec_id_size: 8,
        signal_nr_threads: 8,
        task_cgroups: 3584,
        css_set_dfl_cgrp: 128,
        css_set_memory: 4 * 8,
        css_cgroup: 0,
        cgroup_kn: 256,
        kernfs_node_id: 96,
        mm_rss_stat: 824,
        array_pptrs: 264,
        ..percpu_counter()
    };
    assert_eq!(fixture(include_bytes!("fixtures/6.12.btf")), (Accounting::PerCpu, expected));
}

#[test]
fn kernel_6_18() {
    let expected = Layout {
        task_flags: 44,
        task_mm: 1136,
        task_pid: 1264,
        task_tgid: 1268,
        task_group_leader: 1328,
        task_start_boottime: 1560,
        task_comm: 1752,
        task_signal: 1848,
        task_self_exec_id: 2016,
        task_self_exec_id_size: 8,
        signal_nr_threads: 8,
        task_cgroups: 2376,
        css_set_dfl_cgrp: 112,
        css_set_memory: 4 * 8,
        css_cgroup: 0,
        cgroup_kn: 256,
        kernfs_node_id: 96,
        mm_rss_stat: 960,
        array_pptrs: 312,
        ..percpu_counter()
    };
    assert_eq!(fixture(include_bytes!("fixtures/6.18.btf")), (Accounting::PerCpu, expected));
}

#[test]
fn kernel_7_2() {
    let expected = Layout {
        task_flags: 44,
        task_mm: 2680,
        task_pid: 2808,
        task_tgid: 2812,
        task_group_leader: 2872,
        task_start_boottime: 3160,
        task_comm: 3344,
        task_signal: 3448,
        task_self_exec_id: 3616,
        task_self_exec_id_size: 8,
        signal_nr_threads: 8,
        task_cgroups: 4000,
        css_set_dfl_cgrp: 128,
        css_set_memory: 4 * 8,
        css_cgroup: 0,
        cgroup_kn: 296,
        kernfs_node_id: 96,
        mm_rss_stat: 1208,
        array_pptrs: 304,
        ..percpu_counter()
    };
    assert_eq!(fixture(include_bytes!("fixtures/7.2.btf")), (Accounting::PerCpu, expected));
}

#[test]
fn tracepoints_and_functions_of_the_fixtures() {
    let kernels: [(&str, &[u8], u32, bool); 5] = [
        ("5.10", include_bytes!("fixtures/5.10.btf"), 3, false),
        ("6.1", include_bytes!("fixtures/6.1.btf"), 3, true),
        ("6.12", include_bytes!("fixtures/6.12.btf"), 2, true),
        ("6.18", include_bytes!("fixtures/6.18.btf"), 2, true),
        ("7.2", include_bytes!("fixtures/7.2.btf"), 2, true),
    ];
    for (kernel, data, rss_stat, has_exit_mmap) in kernels {
        let btf = Btf::parse(data).unwrap();
        let arguments = |name: &str| btf.tracepoint_args(name).unwrap();
        assert_eq!(arguments("rss_stat"), Some(rss_stat), "{kernel}");
        assert_eq!(arguments("page_fault_user"), Some(3), "{kernel}");
        assert_eq!(arguments("exit_mmap"), has_exit_mmap.then_some(1), "{kernel}");
        assert_eq!(arguments("no_such_event"), None, "{kernel}");
        for function in ["exit_mmap", "__mmdrop", "mm_trace_rss_stat"] {
            assert!(btf.has_function(function), "{function} on {kernel}");
        }
        assert!(!btf.has_function("no_such_function"), "{kernel}");
    }
}
