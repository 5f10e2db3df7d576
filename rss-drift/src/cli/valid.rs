//! What would have been valid: clap names the nearest word at most.

use std::ffi::OsString;

use clap::Subcommand as _;

use super::Verb;
use crate::table::nearest;

/// A line with all options of the verb that stands in `args`.
pub(super) fn options(mut command: clap::Command, args: &[OsString]) -> String {
    command.build();
    let verb = args.iter().skip(1).find_map(|word| command.find_subcommand(word)).unwrap_or(&command);
    let options: Vec<_> =
        verb.get_arguments().filter_map(|argument| Some(format!("--{}", argument.get_long()?))).collect();
    format!("valid options: {}", options.join(", "))
}

/// What a word in the place of a verb or an interval may be.
pub(super) fn verbs(word: &str) -> String {
    let command = Verb::augment_subcommands(clap::Command::new(""));
    let verbs: Vec<_> = command.get_subcommands().map(clap::Command::get_name).collect();
    let meant = nearest(word, verbs.iter().copied());
    let meant = meant.map_or_else(String::new, |verb| format!(" (did you mean '{verb}'?)"));
    format!("neither a verb nor an interval{meant}; verbs: {}; intervals: 2, 0.5, 500ms", verbs.join(", "))
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    #[test]
    fn each_verb_has_its_own() {
        let of = |words: &[&str]| {
            let args: Vec<_> = words.iter().map(OsString::from).collect();
            options(super::super::Cli::command(), &args)
        };
        assert_eq!(of(&["rss-drift", "doctor", "--yaml"]), "valid options: --json, --verbose, --btf, --help");
        let watch = of(&["rss-drift", "--frob"]);
        for option in ["--pid", "--interval", "--csv", "--resident"] {
            assert!(watch.contains(option), "{watch}");
        }
    }
}
