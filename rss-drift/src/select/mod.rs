//! Which processes are selected: by name, command line, control group, unit, container, user and size.
//!
//! Kinds of selection are all required, values of one kind are alternatives, as pgrep(1) has it. What a selection needs of /proc is read
//! only for the processes that fit what costs less: names and sizes are in the iterator's record. It is read anew in each reading: a
//! process may change its user, its group and its command line.

mod by;
mod container;
mod groups;
mod memory_group;
mod missing;
mod pattern;
mod term;

use nix::unistd::Uid;

use crate::{
    drift::{
        collect::{Rules, comm, folder, reading},
        sample::Row,
    },
    kernel::hierarchies::Hierarchy,
    probe::{Mm, Snapshot},
    proc::{CgroupVersion, LONGEST_NAME, TaskFolder, accounts, processes, task_name},
    table::{bytes, nearest},
};
pub(crate) use by::{Grouper, Placed, charge};
use container::Names;
use groups::GroupPaths;
pub(crate) use memory_group::MemoryGroup;
pub(crate) use missing::Missing;
pub(crate) use pattern::{Pattern, split};
use term::{Kind, Term};

/// What the command line selects by, beside pids. Empty: all.
#[derive(Clone, Debug, Default)]
pub(crate) struct Criteria {
    pub comms: Vec<Pattern>,
    pub cmds: Vec<Pattern>,
    /// Paths of control groups, and patterns of them.
    pub cgroups: Vec<String>,
    pub units: Vec<String>,
    pub containers: Vec<String>,
    /// Names or numbers.
    pub users: Vec<String>,
    /// The least exact RSS, in bytes.
    pub min_rss: Option<u64>,
    /// The least |drift|, in bytes.
    pub min_drift: Option<u64>,
}

impl Criteria {
    /// Whether only some of the host's processes are asked for.
    pub(crate) fn is_empty(&self) -> bool {
        let Self { comms, cmds, cgroups, units, containers, users, min_rss, min_drift } = self;
        comms.is_empty()
            && cmds.is_empty()
            && [cgroups, units, containers, users].iter().all(|texts| texts.is_empty())
            && min_rss.is_none()
            && min_drift.is_none()
    }
}

/// A pattern, and whether a process fitted it.
#[derive(Debug)]
struct Sought {
    pattern: Pattern,
    seen: bool,
}

impl Sought {
    fn all(patterns: Vec<Pattern>) -> Vec<Self> {
        patterns.into_iter().map(|pattern| Self { pattern, seen: false }).collect()
    }

    /// Whether a text fits any of them, or none is sought.
    fn any(all: &mut [Self], text: &str) -> bool {
        let mut fits = all.is_empty();
        for sought in all {
            if sought.pattern.matches(text) {
                sought.seen = true;
                fits = true;
            }
        }
        fits
    }
}

/// Picks the selected processes of each reading.
#[derive(Debug)]
pub(crate) struct Filter {
    comms: Vec<Sought>,
    cmds: Vec<Sought>,
    terms: Vec<Term>,
    /// Effective users.
    users: Vec<u32>,
    min_rss: Option<u64>,
    min_drift: Option<u64>,
    paths: GroupPaths,
    names: Names,
    /// Whether a process was selected so far, of any size.
    found: bool,
    selective: bool,
}

impl Filter {
    /// Looks up what is asked for. Of the values of one kind one must be there; the others are told.
    ///
    /// # Errors
    /// The first group or user that is not there, where none of its kind is.
    pub(crate) fn new(criteria: &Criteria) -> Result<Self, Missing> {
        let has_groups =
            [&criteria.cgroups, &criteria.units, &criteria.containers].iter().any(|it| !it.is_empty());
        let mounted = if has_groups { Hierarchy::mounted() } else { Vec::new() };
        let mut names = Names::new("/");
        let mut terms = Vec::new();
        let paths = criteria.cgroups.iter().map(|text| Term::path(text, &mounted));
        terms.extend(there(paths, &mounted, &mut names)?);
        let units = criteria.units.iter().map(|text| Term::unit(text));
        terms.extend(there(units, &mounted, &mut names)?);
        let containers = criteria.containers.iter().map(|text| Ok(Term::container(text)));
        terms.extend(there(containers, &mounted, &mut names)?);
        Ok(Self {
            comms: Sought::all(criteria.comms.iter().map(cut).collect()),
            cmds: Sought::all(criteria.cmds.clone()),
            terms,
            users: users(&criteria.users)?,
            min_rss: criteria.min_rss,
            min_drift: criteria.min_drift,
            paths: GroupPaths::default(),
            names,
            found: false,
            selective: !criteria.is_empty(),
        })
    }

    /// Whether it leaves any process out.
    pub(crate) const fn is_selective(&self) -> bool {
        self.selective
    }

    /// Whether a process was selected so far, whatever its size: that nothing is as large is an answer.
    pub(crate) const fn found_any(&self) -> bool {
        self.found
    }

    /// The pids of the selected processes `among` those of a reading, rising. `None` where that is given up between two of them.
    pub(crate) fn choose(
        &mut self,
        snapshot: &Snapshot,
        version: Option<CgroupVersion>,
        rules: &Rules,
        among: &dyn Fn(&Mm) -> bool,
        give_up: &dyn Fn() -> bool,
    ) -> Option<Vec<u32>> {
        if !self.terms.is_empty() {
            self.paths.begin(version, snapshot);
            self.names.begin();
        }
        self.terms.iter_mut().for_each(|term| term.seen = false);
        self.learn_names(snapshot);
        let mut chosen = Vec::new();
        for mm in snapshot.processes() {
            // Of all processes, so that a name that none has is told.
            if !self.is_named(mm) || !among(mm) {
                continue;
            }
            let large = self.is_large(mm, rules);
            // Once there was one, small processes need not be looked at.
            if !large && self.found {
                continue;
            }
            if give_up() {
                return None;
            }
            if self.is_in_groups(mm) && self.is_of_users(mm) && self.has_command_line(mm) {
                self.found = true;
                if large {
                    chosen.push(mm.tgid);
                }
            }
        }
        self.tell_of_groups();
        Some(chosen)
    }

    /// Leaves out the rows whose figures, read behind those of the reading, are too small.
    pub(crate) fn keep_large(&self, rows: &mut Vec<Row>, page_size: u64) {
        let at_least =
            |pages: i64, least: u64| bytes(pages.unsigned_abs(), page_size).unsigned_abs() >= least;
        if let Some(least) = self.min_rss {
            rows.retain(|row| at_least(row.exact_rss().max(0), least));
        }
        if let Some(least) = self.min_drift {
            rows.retain(|row| row.drift().is_some_and(|drift| at_least(drift, least)));
        }
    }

    /// Says which patterns no process has fitted so far.
    pub(crate) fn tell_unseen(&self) {
        for Sought { pattern, .. } in self.comms.iter().filter(|sought| !sought.seen) {
            log::warn!("no process is named '{}' now", pattern.written());
        }
        for Sought { pattern, .. } in self.cmds.iter().filter(|sought| !sought.seen) {
            let written = pattern.written();
            match pattern.exact() {
                Some(_) => log::warn!(
                    "none of the processes looked at has the command line '{written}' now; try --cmd '*{written}*' for a part of it"
                ),
                None => log::warn!("none of the processes looked at has a command line like '{written}' now"),
            }
        }
    }

    fn is_named(&mut self, mm: &Mm) -> bool {
        self.comms.is_empty() || Sought::any(&mut self.comms, &comm(mm))
    }

    fn is_large(&self, mm: &Mm, rules: &Rules) -> bool {
        let size = |pages: i64| bytes(pages, rules.page_size).unsigned_abs();
        let is_drift = |least: u64| {
            let reading = reading(mm, rules.precisions.of(rules.source));
            reading.is_some_and(|reading| size(reading.drift()) >= least)
        };
        self.min_rss.is_none_or(|least| size(mm.exact_rss().max(0)) >= least)
            && self.min_drift.is_none_or(is_drift)
    }

    fn is_in_groups(&mut self, mm: &Mm) -> bool {
        if self.terms.is_empty() {
            return true;
        }
        let Some(groups) = self.paths.of(mm) else { return false };
        let (mut asked, mut fits) = ([false; Kind::COUNT], [false; Kind::COUNT]);
        for term in &mut self.terms {
            asked[term.kind as usize] = true;
            if term.matches(&groups, &mut self.names) {
                term.seen = true;
                fits[term.kind as usize] = true;
            }
        }
        asked == fits
    }

    /// Looks which words that may begin an id are names of containers.
    fn learn_names(&mut self, snapshot: &Snapshot) {
        if !self.terms.iter().any(Term::is_name_or_id) {
            return;
        }
        for mm in snapshot.processes() {
            let Some(groups) = self.paths.of(mm) else { continue };
            for term in self.terms.iter_mut().filter(|term| term.is_name_or_id()) {
                term.learn_names(&groups, &mut self.names);
            }
        }
    }

    fn is_of_users(&self, mm: &Mm) -> bool {
        self.users.is_empty() || folder(mm).user().is_some_and(|user| self.users.contains(&user))
    }

    /// Our own has every pattern that was given: it never fits, as that of pgrep(1) does not.
    fn has_command_line(&mut self, mm: &Mm) -> bool {
        if self.cmds.is_empty() {
            return true;
        }
        let line = if mm.tgid == std::process::id() { None } else { folder(mm).command_line() };
        line.is_some_and(|line| Sought::any(&mut self.cmds, &line))
    }

    /// Says of each group without a process whether it is gone, once.
    fn tell_of_groups(&mut self) {
        let mut mounted = None;
        for term in &mut self.terms {
            if term.seen {
                term.told = false;
            } else if !term.told {
                let mounted = mounted.get_or_insert_with(Hierarchy::mounted);
                if !term.is_there(mounted, &mut self.names) {
                    term.tell_gone();
                }
            }
        }
    }
}

/// The terms of one kind, of which one must be there. What is not there now may come.
fn there(
    terms: impl Iterator<Item = Result<Term, Missing>>,
    mounted: &[Hierarchy],
    names: &mut Names,
) -> Result<Vec<Term>, Missing> {
    let (mut all, mut missing) = (Vec::new(), Vec::new());
    let mut found = 0;
    for term in terms {
        let mut term = match term {
            Ok(term) => term,
            Err(error) => {
                missing.push(error);
                continue;
            }
        };
        if term.is_there(mounted, names) {
            found += 1;
        } else {
            missing.push(term.missing(mounted, names));
            term.told = true;
        }
        all.push(term);
    }
    tell(&missing, found == 0)?;
    Ok(all)
}

/// The users, of which one must be there.
fn users(names: &[String]) -> Result<Vec<u32>, Missing> {
    let (mut known, mut missing) = (Vec::new(), Vec::new());
    for name in names {
        match user(name) {
            Ok(user) => known.push(user),
            Err(error) => missing.push(error),
        }
    }
    tell(&missing, known.is_empty())?;
    Ok(known)
}

/// Tells what is missing of a kind; where that is `all` of it, the first is the error.
fn tell(missing: &[Missing], all: bool) -> Result<(), Missing> {
    match missing.first() {
        Some(error) if all => return Err(error.clone()),
        _ => missing.iter().for_each(|error| log::warn!("{error}; the others are watched")),
    }
    Ok(())
}

/// The number of a user. A number that no account has is a user if a process is of it.
fn user(text: &str) -> Result<u32, Missing> {
    let failed = |error: std::io::Error| Missing::Accounts { name: text.to_owned(), why: error.to_string() };
    if let Some(account) = accounts::by_name(text).map_err(failed)? {
        return Ok(account.uid.as_raw());
    }
    let Ok(uid) = text.parse::<u32>() else {
        let nearest = nearest(text, accounts::names());
        return Err(Missing::User { name: text.to_owned(), nearest });
    };
    let has_account = accounts::by_uid(Uid::from_raw(uid)).map_err(failed)?.is_some();
    let mut pids = processes().unwrap_or_default().into_iter();
    if has_account || pids.any(|pid| TaskFolder::process(pid).user() == Some(uid)) {
        return Ok(uid);
    }
    Err(Missing::Uid(uid))
}

/// A name as the kernel keeps it, and as we show that: longer ones on the command line are cut likewise, as `ps -C` does. Patterns are
/// compared with what is kept.
fn cut(pattern: &Pattern) -> Pattern {
    let Pattern::Exact(name) = pattern else { return pattern.clone() };
    Pattern::Exact(task_name(&name.as_bytes()[..name.len().min(LONGEST_NAME)]))
}

#[cfg(test)]
mod tests;
