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

/// The first word that is neither an option nor a value of one: where there is a verb, it is that.
pub(super) fn first_word<'a>(command: &clap::Command, args: &'a [OsString]) -> Option<&'a OsString> {
    let mut words = args.iter().skip(1).peekable();
    while let Some(word) = words.next() {
        let text = word.to_string_lossy();
        let option = match (text.strip_prefix("--"), text.strip_prefix('-')) {
            (Some(""), _) => return None,
            // Behind a `=` stands its value.
            (Some(long), _) if long.contains('=') => continue,
            (Some(long), _) => command.get_arguments().find(|it| {
                it.get_long() == Some(long) || it.get_all_aliases().is_some_and(|all| all.contains(&long))
            }),
            (None, Some(shorts)) => takes_next(command, shorts),
            (None, None) => return Some(word),
        };
        let values = option.filter(|it| it.get_action().takes_values());
        let most = values.map_or(0, |it| it.get_num_args().map_or(1, |range| range.max_values()));
        for _ in 0..most {
            if words.next_if(|value| !value.to_string_lossy().starts_with('-')).is_none() {
                break;
            }
        }
    }
    None
}

/// The option among several of one letter that takes the next word: what stands behind it would be its value.
fn takes_next<'a>(command: &'a clap::Command, shorts: &str) -> Option<&'a clap::Arg> {
    let of = |short: char| command.get_arguments().find(|it| it.get_short() == Some(short));
    let (at, option) = shorts.char_indices().find_map(|(at, short)| {
        of(short).filter(|it| it.get_action().takes_values()).map(|option| (at, option))
    })?;
    (at + 1 == shorts.len()).then_some(option)
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
