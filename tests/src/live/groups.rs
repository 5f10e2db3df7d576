//! The control group in a row: what /proc/PID/cgroup says, also when processes move and groups are renamed while rss-drift runs.

use std::{
    fs,
    path::Path,
    time::{Duration, Instant},
};

use crate::{
    cgroup::{self, Group},
    command::Running,
    harness::{Outcome, Reason},
    helper::Helper,
    records::parse,
};

/// Reports after a move in which either group is right, beside those that stand in the pipe: one may be in the making.
const UNDECIDED: usize = 2;
/// Reports come ten times a second. One that was not waited for so long stood in the pipe.
const AT_ONCE: Duration = Duration::from_millis(20);
/// Reports that are looked at between two moves: a path is taken from the file at first, from then on by the group's id.
const LOOKED_AT: usize = 4;

/// Rows of two modes, which have records of their own, name the group of each process: when two share one, when one is alone in its
/// own, after a move, in a group that has the path of one that is gone, and under a new name.
pub fn a_row_names_the_group_of_its_process() -> Outcome {
    if Reason::NoCgroups.holds() {
        return Outcome::Skipped(Reason::NoCgroups);
    }
    for mode in [&[][..], &["--passive"][..]] {
        let [alone, first, second] = [(); 3].map(|()| Helper::start());
        let group = |name: &str| Group::named(name).expect("make a control group");
        let (shared, lonely) = (group("live-shared"), group("live-lonely"));
        let take = |group: &Group, helper: &Helper| group.take(helper.pid()).expect("move a process");
        take(&shared, &first);
        take(&shared, &second);
        take(&lonely, &alone);
        let mut watch = Watch::start(&[&alone, &first, &second], mode);
        watch.must_agree_with_proc(&["/live-lonely", "/live-shared", "/live-shared"]);
        take(&lonely, &second);
        watch.must_agree_with_proc(&["/live-lonely", "/live-shared", "/live-lonely"]);

        take(&shared, &second);
        take(&shared, &alone);
        watch.must_agree_with_proc(&["/live-shared"; 3]);
        drop(lonely);
        let lonely = group("live-lonely");
        take(&lonely, &first);
        watch.must_agree_with_proc(&["/live-shared", "/live-lonely", "/live-shared"]);

        let (from, to) = (shared.path(), lonely.path().with_file_name("live-renamed"));
        match fs::rename(from, &to) {
            Ok(()) => {
                watch.must_agree_with_proc(&["/live-renamed", "/live-lonely", "/live-renamed"]);
                fs::rename(&to, from).expect("give a group its name back");
            }
            // That is what the paths that are kept for long stand on.
            Err(error) => {
                assert!(cgroup::hierarchy().is_some_and(|(_, version)| version == 2), "rename: {error}");
            }
        }
        watch.must_agree_with_proc(&["/live-shared", "/live-lonely", "/live-shared"]);
        watch.running.kill();
        drop([alone, first, second]);
    }
    Outcome::Passed
}

/// rss-drift that reports some processes.
struct Watch {
    running: Running,
    header: String,
    /// In the order in which they are asked for.
    pids: Vec<u32>,
}

impl Watch {
    fn start(helpers: &[&Helper], mode: &[&str]) -> Self {
        let pids: Vec<u32> = helpers.iter().map(|helper| helper.pid()).collect();
        let list = pids.iter().map(u32::to_string).collect::<Vec<_>>().join(",");
        let arguments = ["-p", &list, "--sort", "pid", "-i", "0.1", "--format", "csv"];
        let mut running = Running::start(&[&arguments[..], mode].concat());
        let header = running.line().expect("a header");
        Self { running, header, pids }
    }

    /// The groups in the next report, in the order of the pids.
    fn report(&mut self) -> Vec<String> {
        let mut text = self.header.clone();
        for _ in &self.pids {
            text += &self.running.line().expect("a row");
        }
        let rows = parse(&text);
        assert!(rows.iter().all(|row| row.text("interval") == rows[0].text("interval")), "{text}");
        let of = |&pid: &u32| {
            let row = rows.iter().find(|row| row.pid() == i64::from(pid)).expect("a row of each");
            row.text("cgroup").to_owned()
        };
        self.pids.iter().map(of).collect()
    }

    /// The next reports have what the files of the processes say, which end as told.
    #[track_caller]
    fn must_agree_with_proc(&mut self, ends: &[&str]) {
        let expected: Vec<String> = self.pids.iter().map(|&pid| group_of(pid)).collect();
        assert!(expected.iter().zip(ends).all(|(path, end)| path.ends_with(end)), "{expected:?}: {ends:?}");
        let mut awaited = 0;
        while awaited < UNDECIDED {
            let began = Instant::now();
            self.report();
            // One that came at once stood in the pipe.
            awaited += usize::from(began.elapsed() > AT_ONCE);
        }
        for _ in 0..LOOKED_AT {
            assert_eq!(self.report(), expected);
        }
    }
}

/// The group of the memory controller's own hierarchy, else that of version 2.
pub(super) fn group_of(pid: u32) -> String {
    let text =
        fs::read_to_string(Path::new("/proc").join(pid.to_string()).join("cgroup")).expect("read /proc");
    let fields = || text.lines().filter_map(|line| line.split_once(':')?.1.split_once(':'));
    let memory = fields().find(|(controllers, _)| controllers.split(',').any(|it| it == "memory"));
    let path = memory.or_else(|| fields().find(|(controllers, _)| controllers.is_empty()));
    path.expect("a group").1.to_owned()
}
