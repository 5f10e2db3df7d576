//! Rows that are sums (`--by`): beside the host's own sums, walks of the page tables, and what control groups say of themselves.

use std::{collections::BTreeMap, fs, path::Path, thread};

use nix::mount::{MntFlags, umount2};

use super::groups::group_of;
use crate::{
    cgroup::{Group, hierarchy},
    command::run,
    harness::{Outcome, Reason},
    helper::{Helper, Kind},
    records::{Record, parse},
    scratch::{Scratch, cover},
    truth::{Printed, page_size},
};

/// What `--by` takes, beside processes.
const KINDS: [&str; 6] = ["comm", "cgroup", "unit", "container", "user", "host"];
/// What each of several processes writes to.
const TOUCHED: u64 = 50 << 20;
/// Pages that a CPU may have charged to a group and not handed out yet, or the other way round (`mm/memcontrol.c:MEMCG_CHARGE_BATCH`, and
/// what `memory.stat` lags behind by).
const BATCH: i64 = 64;

/// While processes come and go, groups of all kinds add up to the sums that the head of the same report has, and each process is in one of
/// them.
pub fn groups_add_up_to_the_host() -> Outcome {
    const REPORTS: usize = 20;
    let mut busy = Helper::start();
    let region = busy.map(Kind::Anon, 2000);
    busy.share_memory(&region, 500);
    let mut storm = Helper::start();
    storm.begin_storm(200);
    for by in KINDS {
        let scratch = Scratch::new();
        let csv = scratch.file("groups.csv");
        let reports = REPORTS.to_string();
        let done = run(&[
            "--passive",
            "--by",
            by,
            "--all",
            "--units",
            "bytes",
            "-i",
            "0.02",
            "-n",
            &reports,
            "--csv",
            csv.to_str().expect("UTF-8"),
        ]);
        done.must_be_fine();
        let rows = parse(&fs::read_to_string(&csv).expect("read what was written"));
        let reports = by_report(&rows);
        let heads: Vec<_> =
            done.stdout.lines().filter(|line| line.starts_with(&format!("by {by}: "))).collect();
        assert_eq!((reports.len(), heads.len()), (REPORTS, REPORTS), "{}", done.stdout);
        for (head, rows) in heads.iter().zip(reports.values()) {
            let sum = |column: &str| rows.iter().map(|row| row.must(column)).sum::<i64>();
            assert_eq!(sum("reported_bytes"), number_behind(head, "sum of stat "), "{head}\n{rows:#?}");
            assert_eq!(sum("exact_bytes"), number_behind(head, "exact "), "{head}\n{rows:#?}");
            let processes =
                head.split("; ").find_map(|part| part.split_once(" process")?.0.parse::<i64>().ok());
            assert_eq!(Some(sum("processes")), processes, "{head}");
            for row in rows {
                let members: i64 =
                    ["file", "anon", "shmem"].map(|it| row.must(&format!("exact_{it}_bytes"))).iter().sum();
                assert_eq!(members, row.must("exact_bytes"), "{row:#?}");
                assert_eq!(row.must("drift_bytes"), row.must("exact_bytes") - row.must("reported_bytes"));
                assert!(row.must("drift_bytes").abs() <= row.must("bound_bytes"), "{row:#?}");
                assert!(row.must("mms") <= row.must("processes") && row.text("by") == by, "{row:#?}");
            }
        }
        assert!(sum_of(&rows, "mms") < sum_of(&rows, "processes"), "two processes share one memory");
    }
    storm.end_storm();
    Outcome::Passed
}

/// Four processes that wrote to 50 MiB each, one of them in a group below: exact and resident figures are those of the page tables, the charge
/// is what the group's files say, and it stands beside the exact RSS of all that it is of.
pub fn a_service_of_known_size() -> Outcome {
    const NAME: &str = "live-four.service";
    if Reason::NoCgroups.holds() {
        return Outcome::Skipped(Reason::NoCgroups);
    }
    let service = Group::named(NAME).expect("make a control group");
    let below = Group::named(&format!("{NAME}/worker")).expect("make a control group");
    let helpers: Vec<_> = (0..4).map(|number| large(if number == 3 { &below } else { &service })).collect();
    let rollup = |of: &[Helper]| of.iter().map(|helper| resident(helper.pid())).sum::<i64>();
    let (all, own) = (rollup(&helpers), rollup(&helpers[..3]));
    assert!(all >= 4 * TOUCHED.cast_signed(), "each wrote to its pages");

    let unit = only("unit", &["--unit", NAME, "--resident"]);
    assert_eq!((unit.text("group"), unit.must("processes"), unit.must("mms")), (NAME, 4, 4));
    assert_eq!(
        (unit.must("exact_bytes"), unit.must("resident_bytes"), unit.must("walked_mms")),
        (all, all, 4)
    );
    let pss = unit.must("pss_bytes");
    assert!(
        4 * TOUCHED.cast_signed() <= pss && pss <= all,
        "files are shared, what was written is not: {unit:#?}"
    );
    assert!(helpers.iter().any(|helper| i64::from(helper.pid()) == unit.must("worst_pid")), "{unit:#?}");

    let groups = rows("cgroup", &["--unit", NAME]);
    let (path, path_below) = (group_of(helpers[0].pid()), group_of(helpers[3].pid()));
    let row = |path: &str| groups.iter().find(|row| row.text("group") == path).expect("a row of each");
    assert_eq!((groups.len(), row(&path).must("processes"), row(&path_below).must("processes")), (2, 3, 1));
    assert_eq!((row(&path).must("exact_bytes"), row(&path_below).must("exact_bytes")), (own, all - own));
    for row in [&unit, row(&path)] {
        assert_eq!(row.text("cgroup"), path);
        must_be_charged(row, service.path(), all, own);
    }
    // What is charged is not of the selected alone.
    let pid = helpers[0].pid().to_string();
    let selected = only("unit", &["-p", &pid]);
    assert_eq!((selected.must("processes"), selected.must("exact_bytes")), (1, resident(helpers[0].pid())));
    must_be_charged(&selected, service.path(), all, own);
    drop(helpers);
    drop(below);
    Outcome::Passed
}

/// A process that writes to what it has in a group.
fn large(group: &Group) -> Helper {
    let pages = TOUCHED / page_size().unsigned_abs();
    let mut helper = Helper::start_as("live-large");
    group.take(helper.pid()).expect("move a process");
    let region = helper.map(Kind::Anon, pages);
    helper.write(&region, 0..pages);
    helper
}

/// A row says of its charge what the files of the group do. `all`, `own`: exact RSS with and without groups below, in bytes.
fn must_be_charged(row: &Record, folder: &Path, all: i64, own: i64) {
    let read = |name: &str| fs::read_to_string(folder.join(name)).ok();
    let number = |name: &str| read(name).and_then(|text| text.trim().parse::<i64>().ok());
    let is_version_1 = read("memory.usage_in_bytes").is_some();
    let (usage, peak, limit) = if is_version_1 {
        ("memory.usage_in_bytes", "memory.max_usage_in_bytes", "memory.limit_in_bytes")
    } else {
        ("memory.current", "memory.peak", "memory.max")
    };
    let charge = number(usage);
    assert_eq!(row.number("charge_bytes").is_some(), charge.is_some(), "{row:#?}");
    let Some(charge) = charge else {
        println!("report: controller=none");
        for column in [
            "charge_peak_bytes",
            "limit_bytes",
            "charged_exact_bytes",
            "beyond_rss_bytes",
            "page_cache_bytes",
        ] {
            assert_eq!(row.text(column), "", "{column} without a controller");
        }
        return;
    };
    println!("report: controller={}", if is_version_1 { 1 } else { 2 });
    let cpus =
        thread::available_parallelism().map_or(1, |cpus| i64::try_from(cpus.get()).unwrap_or(i64::MAX));
    let slack = BATCH * page_size() * cpus.max(8);
    let found = row.must("charge_bytes");
    assert!((found - charge).abs() <= slack, "{found} and {charge}");
    assert_eq!(row.number("charge_peak_bytes"), number(peak), "{row:#?}");
    assert_eq!(row.text("limit_bytes"), "", "there is none: {}", read(limit).unwrap_or_default());
    assert_eq!((row.text("charge_percent"), row.text("charged_exact_percent")), ("", ""));
    let with_below = number("memory.use_hierarchy") != Some(0);
    let exact = if with_below { all } else { own };
    assert_eq!(row.must("charged_exact_bytes"), exact);
    assert_eq!(row.must("beyond_rss_bytes"), found - exact);
    // What it says of parts of the charge.
    let stat = read("memory.stat").expect("it has this file");
    let part = |name: &str| stat.lines().find_map(|line| line.strip_prefix(name)?.trim().parse::<i64>().ok());
    let cache = part(if is_version_1 { "total_cache " } else { "file " }).expect("every kernel has it");
    assert!((row.must("page_cache_bytes") - cache).abs() <= slack, "{row:#?}\n{stat}");
    let (kernel, tables) = (part("kernel "), part("pagetables "));
    if !is_version_1 {
        assert_eq!(row.number("kernel_bytes").is_some(), kernel.is_some(), "{row:#?}\n{stat}");
        assert_eq!(row.number("page_tables_bytes").is_some(), tables.is_some(), "{row:#?}\n{stat}");
    }

    fs::write(folder.join(limit), (1_i64 << 30).to_string()).expect("limit the group");
    let path = row.text("cgroup");
    let limited = rows("cgroup", &["--cgroup", path]);
    let limited = limited.iter().find(|row| row.text("group") == path).expect("a row of the group");
    let percent = |column: &str| limited.text(column).parse::<f64>().expect("a share");
    let share = |column: &str| limited.must(column) as f64 * 100.0 / f64::from(1 << 30);
    assert_eq!(limited.must("limit_bytes"), 1 << 30);
    assert!((percent("charge_percent") - share("charge_bytes")).abs() < 1e-9, "{limited:#?}");
    assert!((percent("charged_exact_percent") - share("charged_exact_bytes")).abs() < 1e-9, "{limited:#?}");
    let unlimited = if is_version_1 { "-1" } else { "max" };
    fs::write(folder.join(limit), unlimited).expect("lift the limit");
}

/// Processes that share one memory count once: one of `CLONE_VM` and a child of vfork(2). Where only one of them is selected it counts there.
pub fn a_shared_memory_counts_once() -> Outcome {
    const PAGES: u64 = 4000;
    let mut helper = Helper::start_as("live-shared");
    let region = helper.map(Kind::Anon, 2 * PAGES);
    helper.write(&region, PAGES..2 * PAGES);
    let sharer = helper.share_memory(&region, PAGES);
    let once = resident(helper.pid());
    assert!(once >= (2 * PAGES).cast_signed() * page_size(), "both wrote to it");
    let pids = [helper.pid(), sharer].map(|pid| pid.to_string());
    let both = pids.join(",");
    for by in ["comm", "user", "host", "cgroup"] {
        let row = only(by, &["-p", &both, "--resident"]);
        assert_eq!((row.must("processes"), row.must("mms"), row.must("walked_mms")), (2, 1, 1), "{by}");
        assert_eq!((row.must("exact_bytes"), row.must("resident_bytes")), (once, once), "{by}");
    }
    let alone = only("comm", &["-p", &pids[1]]);
    assert_eq!((alone.must("processes"), alone.must("mms"), alone.must("exact_bytes")), (1, 1, once));

    let mut parent = Helper::start_as("live-parent");
    let region = parent.map(Kind::Anon, PAGES);
    let child = parent.vfork(&region, PAGES);
    let (pids, once) = (format!("{},{child}", parent.pid()), resident(child));
    let row = only("comm", &["-p", &pids]);
    assert_eq!((row.must("processes"), row.must("mms"), row.must("exact_bytes")), (2, 1, once), "{row:#?}");
    parent.end_vfork(child);
    Outcome::Passed
}

/// `--min-rss` and `--min-drift` are of groups then, `--near` judges groups, and `--top` and `--sort` are those of groups.
pub fn sizes_and_levels_are_of_groups() -> Outcome {
    let helpers: Vec<_> = (0..3)
        .map(|_| {
            let mut helper = Helper::start_as("live-many");
            let region = helper.map(Kind::Anon, 5000);
            helper.write(&region, 0..5000);
            helper
        })
        .collect();
    let _small = Helper::start_as("live-one");
    let all: i64 = helpers.iter().map(|helper| resident(helper.pid())).sum();
    let size = (all - 4096).to_string();
    let names = ["--comm", "live-many,live-one"];
    let of = |by: &str, more: &[&str]| rows(by, &[&names[..], more].concat());
    assert!(of("process", &["--min-rss", &size]).is_empty(), "each of them is smaller");
    let large = of("comm", &["--min-rss", &size]);
    assert_eq!(large.iter().map(|row| row.text("group")).collect::<Vec<_>>(), ["live-many"]);
    assert!(of("comm", &["--min-rss", &(all + 1).to_string()]).is_empty(), "an answer, and no failure");
    let drift = large[0].must("drift_bytes").abs();
    assert!(
        of("comm", &["--threshold", &(drift + 1).to_string()])
            .iter()
            .all(|row| row.text("group") != "live-many")
    );
    let sorted = |sort: &str| of("comm", &["--sort", sort, "--top", "1"])[0].text("group").to_owned();
    assert_eq!(
        ["exact", "-exact", "-group", "processes"].map(sorted),
        ["live-many", "live-one", "live-one", "live-many"]
    );

    // A level between the two figures, where there is one.
    let (exact, reported) = (large[0].must("exact_bytes"), large[0].must("reported_bytes"));
    if exact != reported {
        let level = exact.max(reported).to_string();
        let done = run(&[&["--passive", "-n", "1", "--by", "comm", "--near", &level], &names[..]].concat());
        done.must_be_fine();
        let way = if exact > reported {
            "by the exact figure but not by stat"
        } else {
            "by stat but not by the exact figure"
        };
        assert!(
            done.stdout.contains("; 1 name crosses ")
                && done.stdout.contains(&format!(" {way}: live-many stat ")),
            "{done:?}"
        );
    }
    Outcome::Passed
}

/// Words of the command line: kinds, fields of groups, and what does not go together. No name of a control group moves the cursor.
pub fn words_and_names() -> Outcome {
    let done = run(&["--by", "service"]);
    done.must_say(2, &["service", "process", "comm", "cgroup", "unit", "container", "user", "host"]);
    run(&["--by", "unit", "--fields", "pid"]).must_say(2, &["unknown field 'pid'", "worst_pid"]);
    run(&["--by", "unit", "--sort", "hits"]).must_say(2, &["unknown field 'hits'", "drift"]);
    run(&["--by", "unit", "--where"]).must_say(2, &["--where", "--by"]);
    let help = run(&["--by", "unit", "--fields", "help"]);
    help.must_be_fine();
    assert!(help.stdout.contains("\nbeyond_rss_bytes "), "{help:?}");
    let plain = run(&["--passive", "--by", "process", "-n", "1", "--format", "csv"]);
    assert!(plain.stdout.starts_with(super::output::HEADER), "{plain:?}");
    if Reason::NoCgroups.holds() {
        return Outcome::Skipped(Reason::NoCgroups);
    }
    let group = Group::named("live-\x1b[2J\u{9b}.service").expect("make a control group");
    let helper = Helper::start_as("live-\x1b[31m");
    group.take(helper.pid()).expect("move a process");
    let pid = helper.pid().to_string();
    let table =
        run(&["--passive", "--by", "unit", "-p", &pid, "-n", "1", "--fields", "group,cgroup,worst_comm"]);
    table.must_be_fine();
    assert!(table.stdout.contains("live-\\u{1b}[2J\\u{9b}.service"), "{table:?}");
    assert!(!table.stdout.chars().any(|it| it.is_control() && it != '\n'), "{table:?}");
    assert_eq!(
        only("unit", &["-p", &pid]).text("group"),
        "live-\x1b[2J\u{9b}.service",
        "machines get it as it is"
    );
    drop(helper);
    Outcome::Passed
}

/// Names that differ in their last character alone are two groups, whatever that is.
pub fn a_name_may_end_in_a_carriage_return() -> Outcome {
    if Reason::NoCgroups.holds() {
        return Outcome::Skipped(Reason::NoCgroups);
    }
    let groups = ["live-end", "live-end\r"].map(|name| Group::named(name).expect("make a control group"));
    let helpers = [Helper::start(), Helper::start()];
    for (group, helper) in groups.iter().zip(&helpers) {
        group.take(helper.pid()).expect("move a process");
    }
    let [one, other] = helpers.each_ref().map(|helper| helper.pid().to_string());
    let rows = rows("cgroup", &["-p", &one, &other, "--sort", "group"]);
    let names: Vec<_> = rows.iter().map(|row| row.text("group")).collect();
    assert_eq!(names, ["/live-end", "/live-end\r"], "{rows:#?}");
    drop(helpers);
    Outcome::Passed
}

/// Another mount covers the hierarchy: the folder of that name there is another group's.
pub fn what_another_mount_covers_has_no_charge() -> Outcome {
    if Reason::NoCgroups.holds() {
        return Outcome::Skipped(Reason::NoCgroups);
    }
    let outer = Group::named("live-outer").expect("make a control group");
    let inner = Group::named("live-outer/live-group").expect("make a control group");
    let group = Group::named("live-group").expect("make a control group");
    let helper = Helper::start();
    group.take(helper.pid()).expect("move a process");
    let pid = helper.pid().to_string();
    let charge = || only("cgroup", &["-p", &pid]).number("charge_bytes");
    let (root, _) = hierarchy().expect("a hierarchy");
    assert!(charge().is_some() || !group.path().join("memory.current").exists(), "it is to be seen");
    cover(&root, outer.path()).expect("mount over the hierarchy");
    assert_eq!(charge(), None, "the other's");
    umount2(&root, MntFlags::MNT_DETACH).expect("remove the mount");
    drop((helper, group, inner, outer));
    Outcome::Passed
}

/// The rows of one report in CSV.
fn rows(by: &str, words: &[&str]) -> Vec<Record> {
    let done = run(&[&["--passive", "-n", "1", "--format", "csv", "--by", by], words].concat());
    done.must_be_fine();
    parse(&done.stdout)
}

/// The only row of a report.
fn only(by: &str, words: &[&str]) -> Record {
    let mut rows = rows(by, words);
    assert_eq!(rows.len(), 1, "{rows:#?}");
    rows.remove(0)
}

/// Bytes that the page tables of a process hold.
fn resident(pid: u32) -> i64 {
    Printed::of(pid).expect("read /proc").rollup * page_size()
}

fn by_report(rows: &[Record]) -> BTreeMap<i64, Vec<&Record>> {
    let mut reports: BTreeMap<i64, Vec<&Record>> = BTreeMap::new();
    for row in rows {
        reports.entry(row.must("interval")).or_default().push(row);
    }
    reports
}

fn sum_of(rows: &[Record], column: &str) -> i64 {
    rows.iter().map(|row| row.must(column)).sum()
}

/// The number that follows these words.
fn number_behind(line: &str, words: &str) -> i64 {
    let (_, rest) = line.split_once(words).unwrap_or_else(|| panic!("no {words:?} in {line}"));
    let digits: String = rest.chars().take_while(|it| it.is_ascii_digit() || *it == '-').collect();
    digits.parse().unwrap_or_else(|error| panic!("{digits:?} in {line}: {error}"))
}
