//! Which outputs there are: from the command line's words to formats and targets.

use std::{
    fmt,
    path::{Component, Path, PathBuf},
};

use crate::table::shown;

/// How reports are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Format {
    /// A table for people.
    Table,
    /// RFC 4180, one row per process and interval.
    Csv,
    /// One JSON object per process and interval.
    Jsonl,
}

impl Format {
    /// The word of `--format`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Table => "table",
            Self::Csv => "csv",
            Self::Jsonl => "jsonl",
        }
    }

    /// The format that a file's ending stands for.
    #[must_use]
    pub fn of_ending(path: &Path) -> Option<Self> {
        match path.extension()?.to_str()?.to_ascii_lowercase().as_str() {
            "csv" => Some(Self::Csv),
            "jsonl" | "json" => Some(Self::Jsonl),
            "txt" => Some(Self::Table),
            _ => None,
        }
    }
}

/// Where reports go.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Target {
    /// Standard output.
    Stdout,
    /// Standard error.
    Stderr,
    /// A file, which is appended to.
    File(PathBuf),
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Stdout => f.write_str("standard output"),
            Self::Stderr => f.write_str("standard error"),
            Self::File(path) => f.write_str(&shown_path(path)),
        }
    }
}

/// A path as people see it.
pub(super) fn shown_path(path: &Path) -> String {
    shown(&path.to_string_lossy())
}

impl Target {
    /// The target of a word after `-o`: `-` and the names that the system has for it are standard output.
    pub(crate) fn new(path: &Path) -> Self {
        match path.to_str() {
            Some("-" | "/dev/stdout" | "/dev/fd/1" | "/proc/self/fd/1") => Self::Stdout,
            // A `.` says nothing, so that two spellings of one path are the same one.
            _ => Self::File(path.components().filter(|part| *part != Component::CurDir).collect()),
        }
    }
}

/// One output.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OutputSpec {
    /// How.
    pub format: Format,
    /// Where to.
    pub target: Target,
}

/// Words of the command line that do not go together (exit 2).
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum UsageError {
    /// The ending does not say which format is meant.
    #[error("cannot tell the format of '{}' from its ending: end it in .csv, .jsonl, .json or .txt, or give --format table|csv|jsonl", shown_path(.0))]
    UnknownEnding(PathBuf),
    /// The ending says another format than `--format`, and no other output needs `--format`.
    #[error("--format {} does not go with '{}': leave it out, or end the file otherwise", .format.name(), shown_path(.path))]
    OtherFormat {
        /// What `--format` says.
        format: Format,
        /// The file of another ending.
        path: PathBuf,
    },
    /// Two outputs go to standard output.
    #[error("two outputs go to standard output: name a file for one of them (-o FILE)")]
    TwiceStdout,
    /// Two outputs go to one file.
    #[error("'{}' is given twice: each output needs a file of its own", shown_path(.0))]
    TwiceFile(PathBuf),
    /// A file without a name.
    #[error("an output's file name is empty")]
    EmptyName,
    /// `--fields` without a table.
    #[error(
        "--fields chooses the table's columns, and no output is a table: csv and jsonl always have all columns"
    )]
    FieldsWithoutTable,
    /// `--units` without a table.
    #[error("--units shapes the table, and no output is a table: csv and jsonl are always in bytes")]
    UnitsWithoutTable,
    /// `--near` without a table.
    #[error(
        "--near is told above the table, and no output is a table: csv and jsonl have one row per process"
    )]
    NearWithoutTable,
    /// `--where` without a table.
    #[error(
        "--where is shown below the table, and no output is a table: csv and jsonl have one row per process"
    )]
    WhereWithoutTable,
    /// `--where` with `--by`.
    #[error("--where shows who holds the missing pages of processes: leave out --by")]
    WhereOfGroups,
}

/// The outputs of `--format`, all `-o` and `--csv`.
///
/// Without `-o` the reports go to standard output, as a table unless `--format` says otherwise. A file's ending decides
/// over `--format`, which is for standard output and for endings that say nothing. `--csv` is one more output, beside
/// the others, and CSV whatever its ending.
pub fn plan_outputs(
    format: Option<Format>,
    outputs: &[PathBuf],
    csv: Option<&Path>,
) -> Result<Vec<OutputSpec>, UsageError> {
    let mut specs = Vec::new();
    let mut format_used = false;
    if outputs.is_empty() {
        specs.push(OutputSpec { format: format.unwrap_or(Format::Table), target: Target::Stdout });
        format_used = true;
    }
    for path in outputs {
        let (target, ending) = (Target::new(path), Format::of_ending(path));
        let chosen = match (&target, ending) {
            (Target::File(_), Some(ending)) => ending,
            (Target::File(_), None) if path.as_os_str().is_empty() => return Err(UsageError::EmptyName),
            (Target::File(_), None) => {
                format_used = true;
                format.ok_or_else(|| UsageError::UnknownEnding(path.clone()))?
            }
            (Target::Stdout | Target::Stderr, _) => {
                format_used = true;
                format.unwrap_or(Format::Table)
            }
        };
        specs.push(OutputSpec { format: chosen, target });
    }
    // A --format that no output takes up is let pass only where all of them have it anyway.
    if let (Some(format), false) = (format, format_used)
        && let Some((_, path)) = specs.iter().zip(outputs).find(|(spec, _)| spec.format != format)
    {
        return Err(UsageError::OtherFormat { format, path: path.clone() });
    }
    if let Some(path) = csv {
        if path.as_os_str().is_empty() {
            return Err(UsageError::EmptyName);
        }
        specs.push(OutputSpec { format: Format::Csv, target: Target::new(path) });
    }
    for (index, spec) in specs.iter().enumerate() {
        if specs[..index].iter().any(|earlier| earlier.target == spec.target) {
            return Err(match &spec.target {
                Target::Stdout | Target::Stderr => UsageError::TwiceStdout,
                Target::File(path) => UsageError::TwiceFile(path.clone()),
            });
        }
    }
    Ok(specs)
}

/// Refuses an option that shapes the table (with `otherwise`) where no output is one.
pub fn check_table(specs: &[OutputSpec], otherwise: UsageError) -> Result<(), UsageError> {
    if specs.iter().any(|spec| spec.format == Format::Table) { Ok(()) } else { Err(otherwise) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plan(
        format: Option<Format>,
        outputs: &[&str],
        csv: Option<&str>,
    ) -> Result<Vec<OutputSpec>, UsageError> {
        let outputs: Vec<PathBuf> = outputs.iter().map(PathBuf::from).collect();
        plan_outputs(format, &outputs, csv.map(Path::new))
    }

    fn stdout(format: Format) -> OutputSpec {
        OutputSpec { format, target: Target::Stdout }
    }

    fn file(format: Format, path: &str) -> OutputSpec {
        OutputSpec { format, target: Target::File(path.into()) }
    }

    #[test]
    fn without_a_word_the_table_goes_to_standard_output() {
        assert_eq!(plan(None, &[], None), Ok(vec![stdout(Format::Table)]));
        assert_eq!(plan(Some(Format::Csv), &[], None), Ok(vec![stdout(Format::Csv)]));
        assert_eq!(plan(None, &["-"], None), Ok(vec![stdout(Format::Table)]));
    }

    #[test]
    fn csv_is_beside_the_table_whatever_its_ending() {
        let expected = vec![stdout(Format::Table), file(Format::Csv, "log.data")];
        assert_eq!(plan(None, &[], Some("log.data")), Ok(expected));
        let expected = vec![file(Format::Jsonl, "a.jsonl"), file(Format::Csv, "a.csv")];
        assert_eq!(plan(None, &["a.jsonl"], Some("a.csv")), Ok(expected));
    }

    #[test]
    fn the_ending_says_the_format_and_the_option_says_it_for_the_rest() {
        let outputs = ["a.csv", "b.JSON", "c.jsonl", "d.txt", "e", "-"];
        let expected = Err(UsageError::UnknownEnding("e".into()));
        assert_eq!(plan(None, &outputs, None), expected);
        let expected = vec![
            file(Format::Csv, "a.csv"),
            file(Format::Jsonl, "b.JSON"),
            file(Format::Jsonl, "c.jsonl"),
            file(Format::Table, "d.txt"),
            file(Format::Csv, "e"),
            stdout(Format::Csv),
        ];
        assert_eq!(plan(Some(Format::Csv), &outputs, None), Ok(expected));
    }

    #[test]
    fn a_format_that_would_be_passed_over_is_refused() {
        let expected = Err(UsageError::OtherFormat { format: Format::Csv, path: "b.jsonl".into() });
        assert_eq!(plan(Some(Format::Csv), &["a.csv", "b.jsonl"], None), expected);
        assert_eq!(plan(Some(Format::Csv), &["a.csv"], None), Ok(vec![file(Format::Csv, "a.csv")]));
    }

    #[test]
    fn one_target_takes_one_output() {
        for outputs in [["-", "-"], ["-", "/dev/stdout"]] {
            assert_eq!(plan(None, &outputs, None), Err(UsageError::TwiceStdout));
        }
        assert_eq!(plan(None, &[], Some("-")), Err(UsageError::TwiceStdout));
        for same in ["a.csv", "./a.csv"] {
            assert_eq!(plan(None, &["a.csv"], Some(same)), Err(UsageError::TwiceFile("a.csv".into())));
        }
        assert_eq!(plan(None, &["x/./a.csv", "x/a.csv"], None), Err(UsageError::TwiceFile("x/a.csv".into())));
    }

    #[test]
    fn no_control_byte_of_a_path_is_told() {
        let path = || PathBuf::from("a\x1b[2J\u{9b}\n");
        for told in [
            Target::File(path()).to_string(),
            UsageError::UnknownEnding(path()).to_string(),
            UsageError::OtherFormat { format: Format::Csv, path: path() }.to_string(),
            UsageError::TwiceFile(path()).to_string(),
        ] {
            assert!(
                told.contains("a\\u{1b}[2J\\u{9b}\\n") && !told.chars().any(char::is_control),
                "{told:?}"
            );
        }
    }

    #[test]
    fn a_file_needs_a_name() {
        assert_eq!(plan(None, &[""], None), Err(UsageError::EmptyName));
        assert_eq!(plan(None, &[], Some("")), Err(UsageError::EmptyName));
    }

    #[test]
    fn fields_need_a_table() {
        let check = |specs: &[OutputSpec]| check_table(specs, UsageError::FieldsWithoutTable);
        assert_eq!(check(&[stdout(Format::Csv)]), Err(UsageError::FieldsWithoutTable));
        assert_eq!(check(&[stdout(Format::Table), file(Format::Csv, "a")]), Ok(()));
    }
}
