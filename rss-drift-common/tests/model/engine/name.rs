//! Names of words: made for each execution, formatted only for the trace of a failure.

use std::fmt::{Display, Formatter, Result};

/// What a word is called in a trace.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Name {
    /// `total`
    Plain(&'static str),
    /// `total[1]`
    Indexed(&'static str, usize),
    /// `slot[1].busy`
    Member(&'static str, usize, &'static str),
}

/// `array[index]`
pub(crate) const fn indexed(array: &'static str, index: usize) -> Name {
    Name::Indexed(array, index)
}

/// `array[index].member`
pub(crate) const fn member(array: &'static str, index: usize, member: &'static str) -> Name {
    Name::Member(array, index, member)
}

impl From<&'static str> for Name {
    fn from(name: &'static str) -> Self {
        Self::Plain(name)
    }
}

impl Display for Name {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        match self {
            Self::Plain(name) => f.write_str(name),
            Self::Indexed(array, index) => write!(f, "{array}[{index}]"),
            Self::Member(array, index, member) => write!(f, "{array}[{index}].{member}"),
        }
    }
}
