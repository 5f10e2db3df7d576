//! Options that select processes: the same in every verb that has them.

use super::{number, size};
use crate::select::{Criteria, Pattern, split};

#[derive(Clone, Debug, clap::Args)]
#[command(next_help_heading = "Selection")]
pub(super) struct Select {
    /// Only these processes
    ///
    /// Several: -p 1,2 or -p 1 2 or -p 1 -p 2. watch ends when the last of them does.
    ///
    /// Different options that select are all required: -p 1,2 --comm sh is those of the two that are named sh. Several values of one option
    /// are alternatives, as pgrep(1) has it. Processes that begin later are selected too, but by -p.
    #[arg(short, long = "pid", value_name = "PID", value_delimiter = ',', num_args = 1.., allow_negative_numbers = true, value_parser = number::within(1..=u32::MAX))]
    pub(super) pids: Vec<u32>,
    /// Only processes of this name: a, a* or /regex/
    ///
    /// The name as `ps -C` takes it, of which the kernel keeps 15 bytes. * is any text and ? any character; a /regex/ may match anywhere in
    /// the name. Several: --comm a,b
    #[arg(long = "comm", value_name = "NAME", value_parser = patterns)]
    comms: Vec<Patterns>,
    /// Only processes with this command line: a pattern or /regex/
    ///
    /// The arguments with a blank between two, as `ps -o args` shows them. * is any text and ? any character; a /regex/ may match anywhere in it.
    /// rss-drift itself, which has the pattern as an argument, is left out. Several: --cmd '*/a' --cmd '*/b *'
    #[arg(long = "cmd", value_name = "PATTERN", hide_short_help = true, value_parser = Pattern::parse)]
    cmds: Vec<Pattern>,
    #[command(flatten)]
    groups: Groups,
    /// Only processes of this user: name or number
    ///
    /// The effective user, as `ps -u` takes it. Several: -u a,b
    #[arg(short, long = "user", value_name = "USER", value_delimiter = ',', value_parser = text)]
    users: Vec<String>,
    /// Only processes of this exact RSS or more, such as 1.5M
    #[arg(long, value_name = "SIZE", hide_short_help = true, allow_negative_numbers = true, value_parser = size::parse)]
    min_rss: Option<u64>,
    /// Only processes that are off by this size or more
    ///
    /// Too much or too little: 64K, 1.5M, 1GiB. Where no process is, the reports are empty, and the exit status is 0.
    #[arg(long, value_name = "SIZE", visible_alias = "threshold", hide_short_help = true, allow_negative_numbers = true, value_parser = size::parse)]
    min_drift: Option<u64>,
}

/// Options that select control groups: all that an OOM can be asked for.
#[derive(Clone, Debug, clap::Args)]
#[command(next_help_heading = "Selection")]
pub(super) struct Groups {
    /// Only processes in this control group or below it
    ///
    /// Its path as the column cgroup shows it, or its folder: /system.slice or /sys/fs/cgroup/system.slice. With * and ? a pattern, where * may
    /// be several folders. Several, but not in oom: --cgroup /a --cgroup /b
    #[arg(long = "cgroup", value_name = "PATH", value_parser = text)]
    cgroups: Vec<String>,
    /// Only processes of this unit of systemd
    ///
    /// By its name in the path of the control group: nginx.service, or nginx; a .slice or .scope too; 'web@*' is all instances. Several, but not in oom:
    /// --unit a,b
    #[arg(id = "unit", long, value_name = "NAME", value_delimiter = ',', value_parser = text)]
    units: Vec<String>,
    /// Only processes of this container: ID or name
    ///
    /// Of docker, podman, containerd or CRI-O, by its id in the path of the control group; of the id four digits are enough, where no container has that name. Names are taken
    /// from files: docker's, those of podman and CRI-O (containers/storage), and what Kubernetes and nerdctl write for containerd. Several, but not in oom:
    /// --container a,b
    #[arg(long = "container", value_name = "ID", value_delimiter = ',', value_parser = text)]
    containers: Vec<String>,
}

impl Groups {
    /// How many are named.
    pub(super) fn count(&self) -> usize {
        self.cgroups.len() + self.units.len() + self.containers.len()
    }

    /// What selects.
    pub(super) fn criteria(&self) -> Criteria {
        Criteria {
            cgroups: self.cgroups.clone(),
            units: self.units.clone(),
            containers: self.containers.clone(),
            ..Criteria::default()
        }
    }
}

/// The values of one `--comm`.
#[derive(Clone, Debug)]
struct Patterns(Vec<Pattern>);

impl Select {
    /// The names that clap knows the options by.
    pub(super) const IDS: [&str; 9] =
        ["pids", "comms", "cmds", "cgroups", "unit", "containers", "users", "min_rss", "min_drift"];

    /// What selects, beside pids.
    pub(super) fn criteria(&self) -> Criteria {
        Criteria {
            comms: self.comms.iter().flat_map(|list| list.0.clone()).collect(),
            cmds: self.cmds.clone(),
            users: self.users.clone(),
            min_rss: self.min_rss,
            min_drift: self.min_drift,
            ..self.groups.criteria()
        }
    }
}

fn patterns(list: &str) -> Result<Patterns, String> {
    split(list).into_iter().map(Pattern::parse).collect::<Result<_, _>>().map(Patterns)
}

/// Anything but nothing.
fn text(text: &str) -> Result<String, String> {
    if text.trim().is_empty() { Err("give a name".to_owned()) } else { Ok(text.to_owned()) }
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;

    use super::*;

    #[derive(Debug, clap::Parser)]
    struct Cli {
        #[command(flatten)]
        select: Select,
    }

    fn parse(words: &[&str]) -> Result<Select, String> {
        let words = ["x"].iter().chain(words);
        Cli::try_parse_from(words).map(|cli| cli.select).map_err(|error| error.to_string())
    }

    #[test]
    fn several_values_of_one_option() {
        for words in
            [&["-p", "1,2"][..], &["-p", "1", "2"], &["-p", "1", "-p", "2"], &["--pid=1", "-u", "a", "-p2"]]
        {
            assert_eq!(parse(words).unwrap().pids, [1, 2], "{words:?}");
        }
        let criteria = parse(&["--comm", "a,/b{1,2}/", "--comm", "c*", "--cmd", "a, b"]).unwrap().criteria();
        let written = |patterns: &[Pattern]| patterns.iter().map(Pattern::written).collect::<Vec<_>>();
        assert_eq!(written(&criteria.comms), ["a", "/b{1,2}/", "c*"]);
        assert_eq!(written(&criteria.cmds), ["a, b"]);
        let criteria = parse(&["--unit", "a,b", "--cgroup", "/a,b", "-u", "0,1", "--container", "x"])
            .unwrap()
            .criteria();
        assert_eq!((criteria.units.len(), criteria.cgroups.len(), criteria.users.len()), (2, 1, 2));
        assert!(!criteria.is_empty() && parse(&["-p", "1"]).unwrap().criteria().is_empty());
    }

    #[test]
    fn every_option_is_known_by_its_name() {
        let command = <Cli as clap::CommandFactory>::command();
        let ids: Vec<_> = command.get_arguments().map(|argument| argument.get_id().as_str()).collect();
        assert_eq!(ids, Select::IDS);
    }

    #[test]
    fn sizes_of_both_kinds() {
        let criteria = parse(&["--min-rss", "1.5M", "--threshold", "64k"]).unwrap().criteria();
        assert_eq!((criteria.min_rss, criteria.min_drift), (Some(3 << 19), Some(64 << 10)));
    }

    #[test]
    fn what_selects_nothing_is_refused() {
        for (words, why) in [
            (&["--comm", "a,"][..], "give a name"),
            (&["--comm", "/(/"], "no regular expression"),
            (&["--cmd", "/[/"], "no regular expression"),
            (&["--unit", ""], "give a name"),
            (&["-u", "a,,b"], "give a name"),
            (&["--min-rss", "0"], "give a size above 0"),
            (&["--min-drift", "-1"], "give a size above 0"),
            (&["-p", "1", "x"], "whole number"),
        ] {
            let error = parse(words).unwrap_err();
            assert!(error.contains(why), "{words:?}: {error}");
        }
    }
}
