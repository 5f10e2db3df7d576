//! Layouts of kernels that are made up: right ones, and each way to be wrong.

use super::{
    super::btf::{
        Kind,
        builder::{Builder, Field},
    },
    *,
};

/// A kernel of the test's own making: the right one but for what a test changes.
struct Model {
    builder: Builder,
    int: u32,
    long: u32,
    task: Vec<Field<'static>>,
    mm: Vec<Field<'static>>,
    /// Of `percpu_counter`.
    counter: Vec<Field<'static>>,
    /// Of `raw_spinlock`.
    lock: Vec<Field<'static>>,
}

impl Model {
    /// Per-cpu accounting. [`Model::resolve`] gives `mm.rss_stat` and `counter.lock` their types, where they are
    /// still 0.
    fn new() -> Self {
        let mut builder = Builder::new();
        let (int, long) = (builder.int(4, true), builder.int(8, true));
        let [mm, task, signal] = ["mm_struct", "task_struct", "signal_struct"].map(|name| {
            let forward = builder.plain(name, Kind::Forward, 0);
            builder.plain("", Kind::Pointer, forward)
        });
        let character = builder.int(1, true);
        let comm = builder.array(character, 16);
        let slots = builder.plain("", Kind::Pointer, int);
        let atomic = builder.structure("", 4, &[("counter", int, 0)]);
        let qspinlock = builder.structure("qspinlock", 4, &[("val", atomic, 0)]);
        let task = bytes(&[
            ("flags", int, 0),
            ("mm", mm, 8),
            ("pid", int, 16),
            ("tgid", int, 20),
            ("group_leader", task, 24),
            ("start_boottime", long, 32),
            ("comm", comm, 40),
            ("signal", signal, 56),
            ("self_exec_id", long, 64),
        ]);
        let counter = bytes(&[("lock", 0, 0), ("count", long, 32), ("counters", slots, 40)]);
        let (mm, lock) = (bytes(&[("rss_stat", 0, 16)]), bytes(&[("raw_lock", qspinlock, 0)]));
        Self { builder, int, long, task, mm, counter, lock }
    }

    /// The structs as they are up to 6.1.
    fn per_task() -> Self {
        let mut model = Self::new();
        let atomic = model.builder.structure("", 8, &[("counter", model.long, 0)]);
        let counts = model.builder.array(atomic, 4);
        model.mm[0].1 = model.builder.structure("mm_rss_stat", 32, &[("count", counts, 0)]);
        let cached = model.builder.array(model.int, 4);
        let fields = bytes(&[("events", model.int, 0), ("count", cached, 4)]);
        let cache = model.builder.structure("task_rss_stat", 20, &fields);
        model.task.extend(bytes(&[("rss_stat", cache, 72)]));
        model
    }

    /// Gives a member of `task_struct` another type.
    fn set_task(&mut self, member: &str, of: u32) {
        self.task.iter_mut().find(|field| field.0 == member).unwrap().1 = of;
    }

    /// What is found; errors as text.
    fn resolve(mut self) -> Result<(Accounting, Layout), String> {
        let builder = &mut self.builder;
        let lock = builder.structure("raw_spinlock", 24, &self.lock);
        for field in self.counter.iter_mut().filter(|field| field.1 == 0) {
            field.1 = lock;
        }
        let counter = builder.structure("percpu_counter", 48, &self.counter);
        if self.mm[0].1 == 0 {
            self.mm[0].1 = builder.array(counter, 4);
        }
        let void = builder.plain("", Kind::Pointer, 0);
        let pptrs = builder.array(void, 0);
        builder.structure("bpf_array", 72, &bytes(&[("pptrs", pptrs, 72)]));
        builder.structure("task_struct", 96, &self.task);
        builder.structure("mm_struct", 256, &self.mm);
        builder.structure("signal_struct", 16, &bytes(&[("nr_threads", self.int, 4)]));
        let blob = builder.blob();
        let btf = Btf::parse(&blob).unwrap();
        resolve(&btf).map_err(|error| error.to_string())
    }
}

/// Members whose offsets are given in bytes.
fn bytes(fields: &[Field<'static>]) -> Vec<Field<'static>> {
    fields.iter().map(|&(name, of, offset)| (name, of, 8 * offset)).collect()
}

#[test]
fn models_resolve() {
    let task = Layout {
        task_flags: 0,
        task_mm: 8,
        task_pid: 16,
        task_tgid: 20,
        task_group_leader: 24,
        task_start_boottime: 32,
        task_comm: 40,
        task_signal: 56,
        task_self_exec_id: 64,
        task_self_exec_id_size: 8,
        signal_nr_threads: 4,
        mm_rss_stat: 16,
        ..Layout::default()
    };
    let per_cpu = Layout {
        mm_rss_stride: 48,
        counter_count: 32,
        counter_counters: 40,
        counter_has_slots: 1,
        array_pptrs: 72,
        ..task
    };
    assert_eq!(Model::new().resolve(), Ok((Accounting::PerCpu, per_cpu)));
    let per_task = Layout { mm_rss_stride: 8, task_rss_count: 76, ..task };
    assert_eq!(Model::per_task().resolve(), Ok((Accounting::PerTask, per_task)));
}

#[test]
fn a_counter_of_an_unknown_type_is_refused_by_name() {
    let mut model = Model::new();
    let tree = model.builder.structure("percpu_counter_tree", 32, &[]);
    model.mm[0].1 = model.builder.array(tree, 4);
    assert_eq!(
        model.resolve().unwrap_err(),
        "mm_struct.rss_stat is an array of 4 x struct percpu_counter_tree on this kernel, expected an array of 4 x \
         struct percpu_counter (mainline since 6.2) or struct mm_rss_stat (before); use a newer rss-drift"
    );
}

#[test]
fn another_number_of_counters_is_refused() {
    let mut model = Model::new();
    let counter = model.builder.plain("percpu_counter", Kind::Forward, 0);
    model.mm[0].1 = model.builder.array(counter, 5);
    assert!(model.resolve().unwrap_err().contains("an array of 5 x struct percpu_counter on"));

    let mut model = Model::per_task();
    let atomic = model.builder.structure("", 8, &[("counter", model.long, 0)]);
    let counts = model.builder.array(atomic, 5);
    model.mm[0].1 = model.builder.structure("mm_rss_stat", 40, &[("count", counts, 0)]);
    assert!(model.resolve().unwrap_err().starts_with("mm_struct.rss_stat.count is an array of 5 x"));
}

#[test]
fn counters_in_another_order_are_refused() {
    let order = |names: [&'static str; 5]| {
        let mut model = Model::new();
        let values: Vec<_> = names.into_iter().zip(0..).collect();
        model.builder.enumeration("", &values);
        model.resolve().map(|_| ())
    };
    let ours = ["MM_FILEPAGES", "MM_ANONPAGES", "MM_SWAPENTS", "MM_SHMEMPAGES", "NR_MM_COUNTERS"];
    assert_eq!(order(ours), Ok(()));
    let swapped = ["MM_FILEPAGES", "MM_ANONPAGES", "MM_SHMEMPAGES", "MM_SWAPENTS", "NR_MM_COUNTERS"];
    assert!(order(swapped).unwrap_err().starts_with("MM_SWAPENTS is 3 on this kernel, expected 2"));
    let renamed = ["MM_FILEPAGES", "MM_ANON", "MM_SWAPENTS", "MM_SHMEMPAGES", "NR_MM_COUNTERS"];
    assert!(order(renamed).unwrap_err().starts_with("MM_ANONPAGES is absent on this kernel, expected 1"));
}

#[test]
fn without_smp_the_count_is_all() {
    let mut model = Model::new();
    model.counter.retain(|field| field.0 == "count");
    let (accounting, layout) = model.resolve().unwrap();
    assert_eq!(accounting, Accounting::PerCpu);
    assert_eq!((layout.counter_has_slots, layout.counter_count, layout.mm_rss_stride), (0, 32, 48));
}

#[test]
fn without_a_cache_there_is_nothing_to_measure() {
    let mut model = Model::per_task();
    model.task.retain(|field| field.0 != "rss_stat");
    assert!(model.resolve().unwrap_err().contains("SPLIT_RSS_COUNTING is off"));
}

#[test]
fn the_lock_word_is_where_the_descent_ends() {
    let mut model = Model::new();
    model.lock[0].2 = 8 * 8;
    assert_eq!(model.resolve().unwrap().1.counter_lock, 8);

    let mut model = Model::new();
    let ticket = model.builder.structure("ticket", 4, &bytes(&[("slock", model.int, 0)]));
    model.lock[0].1 = ticket;
    assert_eq!(model.resolve().unwrap_err(), "BTF has no member percpu_counter.lock.raw_lock.val");
}

#[test]
fn an_exec_id_of_either_size_but_no_other() {
    let with_size = |size| {
        let mut model = Model::new();
        let of = model.builder.int(size, false);
        model.set_task("self_exec_id", of);
        model.resolve().map(|(_, layout)| layout.task_self_exec_id_size)
    };
    assert_eq!(with_size(4), Ok(4));
    assert_eq!(with_size(8), Ok(8));
    assert!(
        with_size(2).unwrap_err().starts_with("task_struct.self_exec_id is an unsigned integer of 2 bytes")
    );
}

#[test]
fn every_member_is_checked() {
    let names: Vec<&str> = Model::per_task().task.iter().map(|field| field.0).collect();
    for name in names {
        let mut model = Model::per_task();
        let float = model.builder.plain("double", Kind::Float, 8);
        model.set_task(name, float);
        let error = model.resolve().unwrap_err();
        let found = "is a floating-point number of 8 bytes on this kernel";
        assert!(error.starts_with(&format!("task_struct.{name} {found}")), "{error}");

        let mut model = Model::per_task();
        model.task.retain(|field| field.0 != name);
        let error = model.resolve().unwrap_err();
        assert!(error.contains(&format!("no member task_struct.{name}")) || name == "rss_stat", "{error}");
    }
    for name in ["count", "counters", "lock"] {
        let mut model = Model::new();
        let double = model.builder.plain("double", Kind::Float, 8);
        let at = model.counter.iter().position(|field| field.0 == name).unwrap();
        model.counter[at].1 = double;
        let error = model.resolve().unwrap_err();
        assert!(error.contains(&format!("percpu_counter.{name}")), "{error}");
    }
}

/// The structs on the way from a task to its control groups, of so many controllers; `node_id` is the type of a group's id.
fn with_cgroups(model: &mut Model, node_id: u32, controllers: u32) {
    let builder = &mut model.builder;
    let pointer_to = |builder: &mut Builder, name: &str| {
        let forward = builder.plain(name, Kind::Forward, 0);
        builder.plain("", Kind::Pointer, forward)
    };
    let [set, state, group, node] =
        ["css_set", "cgroup_subsys_state", "cgroup", "kernfs_node"].map(|name| pointer_to(builder, name));
    let states = builder.array(state, controllers);
    builder.structure("css_set", 64, &bytes(&[("subsys", states, 8), ("dfl_cgrp", group, 40)]));
    builder.structure("cgroup_subsys_state", 16, &bytes(&[("cgroup", group, 8)]));
    builder.structure("cgroup", 16, &bytes(&[("kn", node, 8)]));
    builder.structure("kernfs_node", 24, &bytes(&[("id", node_id, 16)]));
    model.task.extend(bytes(&[("cgroups", set, 80)]));
}

/// The figures of control groups: of the way to version 2, and of that to the memory controller's own hierarchy.
fn cgroup_figures(model: Model) -> ([u32; 4], [u32; 2]) {
    let (_, layout) = model.resolve().unwrap();
    (
        [layout.task_cgroups, layout.css_set_dfl_cgrp, layout.cgroup_kn, layout.kernfs_node_id],
        [layout.css_set_memory, layout.css_cgroup],
    )
}

#[test]
fn the_way_to_control_groups_is_followed_as_far_as_it_is_known() {
    let made = |node_id_bytes, controllers, enumerators: &[(&'static str, i32)]| {
        let mut model = Model::new();
        let id = model.builder.int(node_id_bytes, false);
        with_cgroups(&mut model, id, controllers);
        model.builder.enumeration("cgroup_subsys_id", enumerators);
        cgroup_figures(model)
    };
    let all = [("cpu_cgrp_id", 0), ("memory_cgrp_id", 2), ("CGROUP_SUBSYS_COUNT", 3)];
    assert_eq!(made(8, 3, &all), ([80, 40, 8, 16], [8 + 2 * 8, 8]));
    // Without a memory controller, or with a table of another size, version 2 is left.
    assert_eq!(made(8, 3, &[all[0], all[2]]), ([80, 40, 8, 16], [0, 0]));
    assert_eq!(made(8, 4, &all), ([80, 40, 8, 16], [0, 0]));
    assert_eq!(made(8, 3, &[]), ([80, 40, 8, 16], [0, 0]));
    // Another id than one of 64 bits may not be that of one group alone.
    assert_eq!(made(4, 3, &all), ([0; 4], [0; 2]));
    assert_eq!(cgroup_figures(Model::new()), ([0; 4], [0; 2]));
}
