//! Columns: a name, a unit, documentation, and the figure of a record.

use super::Value;
use crate::drift::sample::Host;

/// What a column's figures are counted in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unit {
    /// Bytes; people see them in [`super::Units`].
    Bytes,
    /// A number without a unit.
    Number,
    /// A number that names something: never grouped.
    Id,
    /// Percent.
    Percent,
    /// Seconds.
    Seconds,
    /// RFC 3339, UTC, with milliseconds.
    Time,
    /// The local time of day on the terminal; elsewhere as [`Unit::Time`].
    Clock,
    /// Text.
    Text,
    /// True or false.
    Flag,
}

impl Unit {
    /// The word in `--fields help`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Bytes => "bytes",
            Self::Number | Self::Id => "number",
            Self::Percent => "percent",
            Self::Seconds => "seconds",
            Self::Time | Self::Clock => "time",
            Self::Text => "text",
            Self::Flag => "flag",
        }
    }
}

/// Reads one column of a record; what is the same in all records is the host's.
pub type Getter<R> = for<'a> fn(&'a R, &'a Host) -> Value<'a>;

/// One column of a table of records `R`, made by `columns!`.
#[derive(Debug)]
pub struct Column<R> {
    /// The name in the CSV header and of the JSON key: never changed.
    pub name: &'static str,
    /// Shorter names for `--fields` and `--sort`.
    pub aliases: &'static [&'static str],
    /// The column's head on the terminal.
    pub header: &'static str,
    /// What the figures are counted in.
    pub unit: Unit,
    /// One line of documentation, without a full stop.
    pub doc: &'static str,
    /// Where a terminal is too narrow, columns with the lowest figure go first.
    pub priority: u8,
    /// The sets that `--fields` takes by one name.
    pub sets: &'static [Set],
    /// Whether it is a path, whose end tells more than its beginning.
    pub path: bool,
    /// Whether the figure is a difference, whose sign people see also where it is above 0.
    pub signed: bool,
    /// Whether a table that was not asked for this column by name drops it while it is empty.
    pub optional: bool,
    get: Getter<R>,
}

/// Columns that `--fields` takes by one name. Which columns are in it, each column says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Set {
    /// What the memory is: of files, anonymous, shared, swapped.
    Memory,
    /// What the RFC's cache would do: the shadow.
    Rfc,
    /// What the kernel itself says, file by file and count by count.
    Kernel,
}

impl Set {
    /// All sets.
    pub const ALL: [Self; 3] = [Self::Memory, Self::Rfc, Self::Kernel];

    /// The name on the command line.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Memory => "memory",
            Self::Rfc => "rfc",
            Self::Kernel => "kernel",
        }
    }
}

impl<R> Column<R> {
    pub(crate) const fn new(name: &'static str, unit: Unit, doc: &'static str, get: Getter<R>) -> Self {
        Self {
            name,
            aliases: &[],
            header: name,
            unit,
            doc,
            priority: 30,
            sets: &[],
            path: false,
            signed: false,
            optional: false,
            get,
        }
    }

    /// Sets its head on the terminal.
    pub(super) const fn head(mut self, header: &'static str) -> Self {
        self.header = header;
        self
    }

    /// Adds shorter names.
    pub(super) const fn also(mut self, aliases: &'static [&'static str]) -> Self {
        self.aliases = aliases;
        self
    }

    /// Sets how long a narrow terminal keeps the column.
    pub(super) const fn keep(mut self, priority: u8) -> Self {
        self.priority = priority;
        self
    }

    /// Puts it into these sets of `--fields`.
    pub(super) const fn within(mut self, sets: &'static [Set]) -> Self {
        self.sets = sets;
        self
    }

    /// Says that it is a path.
    pub(super) const fn path(mut self) -> Self {
        self.path = true;
        self
    }

    /// Says that it is a difference.
    pub(super) const fn signed(mut self) -> Self {
        self.signed = true;
        self
    }

    /// Says that most reports leave it empty.
    pub(super) const fn optional(mut self) -> Self {
        self.optional = true;
        self
    }

    /// The column of one record.
    #[must_use]
    pub fn get<'a>(&self, record: &'a R, host: &'a Host) -> Value<'a> {
        (self.get)(record, host)
    }
}
