//! What is asked for and not there.

use std::{
    fmt::Write as _,
    mem,
    time::{Duration, Instant},
};

use super::container::is_beginning;
use crate::proc::accounts;

/// What nothing on this host is selected by.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Missing {
    #[error("there is no control group '{path}'{}", suggestion(.nearest.as_deref()))]
    Group {
        path: String,
        /// The path that may be meant.
        nearest: Option<String>,
    },
    #[error("no control group fits '{0}'")]
    Groups(String),
    #[error(
        "'{0}' is a control group of a hierarchy that does not limit memory: give a path of the one that does, as the column cgroup \
         shows it"
    )]
    OtherHierarchy(String),
    #[error(
        "'{0}' has no control group in the hierarchy that limits memory, so that it is never out of memory by itself: without a group, \
         rss-drift oom ranks all processes of the host"
    )]
    NoMemoryGroup(String),
    #[error(
        "several control groups fit '{name}', and an OOM is of one: name it by --cgroup: {}",
        some(paths)
    )]
    SeveralGroups {
        name: String,
        /// Their paths.
        paths: Vec<String>,
    },
    #[error(
        "there is no unit '{name}' with a control group: it does not run, or has another name{}",
        suggestion(.nearest.as_deref())
    )]
    Unit {
        name: String,
        /// The name that may be meant.
        nearest: Option<String>,
    },
    #[error("'{name}' is {} {kind}, which has no processes{}", article(kind), to_start(.starts.as_deref()))]
    UnitWithoutGroup {
        name: String,
        /// What units of its kind are called.
        kind: &'static str,
        /// The unit that it starts, as a rule.
        starts: Option<String>,
    },
    #[error("there is no container '{name}'{}{}", suggestion(.nearest.as_deref()), why_not(name, *.unnamed))]
    Container {
        name: String,
        /// The name that may be meant.
        nearest: Option<String>,
        /// Containers that run and have no name in a file.
        unnamed: usize,
    },
    #[error("there is no user '{name}'{}{}", accounts::asked(), suggestion(.nearest.as_deref()))]
    User {
        name: String,
        /// The name that may be meant.
        nearest: Option<String>,
    },
    #[error("there is no user with the number {0}, and no process of one")]
    Uid(u32),
    /// The list of users cannot be read.
    #[error("cannot look up the user '{name}': {why}")]
    Accounts { name: String, why: String },
}

/// How often it is said that the same thing is gone: a service that fails to start comes and goes many times a second.
#[derive(Debug)]
pub(super) struct Rate {
    /// How often it may be said at once.
    left: u32,
    /// When one of these came back last; `None`: nothing was said yet.
    since: Option<Instant>,
    /// How often it was not said.
    unsaid: u64,
}

impl Rate {
    /// So often at once.
    const MOST: u32 = 3;
    /// After that once in so long.
    const AGAIN: Duration = Duration::from_secs(60);

    pub(super) const fn new() -> Self {
        Self { left: Self::MOST, since: None, unsaid: 0 }
    }

    /// Whether to say it now: then how often it was not said since the last time.
    pub(super) fn take(&mut self, now: Instant) -> Option<u64> {
        let since = self.since.get_or_insert(now);
        while self.left < Self::MOST && now.saturating_duration_since(*since) >= Self::AGAIN {
            self.left += 1;
            *since += Self::AGAIN;
        }
        if self.left == Self::MOST {
            *since = now;
        }
        if self.left == 0 {
            self.unsaid += 1;
            return None;
        }
        self.left -= 1;
        Some(mem::take(&mut self.unsaid))
    }
}

/// The first of them.
fn some(paths: &[String]) -> String {
    const MOST: usize = 5;
    let more = if paths.len() > MOST { ", ..." } else { "" };
    paths[..paths.len().min(MOST)].join(", ") + more
}

fn suggestion(nearest: Option<&str>) -> String {
    nearest.map_or_else(String::new, |name| format!(" (did you mean '{name}'?)"))
}

const fn article(noun: &str) -> &'static str {
    if matches!(noun.as_bytes(), [b'a', ..]) { "an" } else { "a" }
}

fn to_start(unit: Option<&str>) -> String {
    unit.map_or_else(String::new, |unit| format!(": name the unit that it starts (as a rule '{unit}')"))
}

fn why_not(name: &str, unnamed: usize) -> String {
    let mut why = ": no control group of docker, podman, containerd or CRI-O has its id, and no file of theirs has its name".to_owned();
    if !is_beginning(name) && name.bytes().all(|digit| digit.is_ascii_hexdigit()) {
        why += "; of an id give at least 4 digits";
    }
    if unnamed > 0 {
        // Writing to a String cannot fail.
        let _ = write!(
            why,
            "; no file has the names of {unnamed} that run: give the id, as the column cgroup shows it"
        );
    }
    why
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_is_said_three_times_and_then_once_a_minute() {
        let (mut rate, began) = (Rate::new(), Instant::now());
        let mut at = |ms| rate.take(began + Duration::from_millis(ms));
        assert_eq!([at(0), at(50), at(100)], [Some(0); 3]);
        assert_eq!([at(150), at(59_999)], [None; 2]);
        assert_eq!(at(60_000), Some(2), "and how often it was not");
        assert_eq!(at(60_050), None);
        assert_eq!([at(180_000), at(180_000), at(180_000)], [Some(1), Some(0), None]);
        // After a long time it may be said as often as at first.
        assert_eq!([at(9_000_000), at(9_000_000), at(9_000_001)], [Some(1), Some(0), Some(0)]);
        assert_eq!([at(9_000_002), at(9_059_999)], [None; 2]);
    }
}
