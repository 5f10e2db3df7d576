//! The names of the kernel's functions, by address: `/proc/kallsyms`.

use std::{
    fs::File,
    io::{self, BufRead, BufReader},
    ops::Range,
};

/// Where the kernel lists them.
const KALLSYMS: &str = "/proc/kallsyms";

/// Why addresses have no names.
#[derive(Debug, thiserror::Error)]
pub enum NoSymbols {
    /// The file cannot be read.
    #[error("cannot read {KALLSYMS}: {0}")]
    Unreadable(#[from] io::Error),
    /// Every address is 0 (`kernel/kallsyms.c:kallsyms_show_value`).
    #[error("{KALLSYMS} hides addresses (kernel.kptr_restrict, or CAP_SYSLOG missing): frames have no names")]
    Hidden,
}

/// A function: where its code begins, and its name.
#[derive(Clone, Copy, Debug)]
struct Function {
    address: u64,
    /// Where the name begins in all names.
    name: u32,
    /// Bytes of it. The kernel's longest name has 511 (`include/linux/kallsyms.h:KSYM_NAME_LEN`).
    length: u16,
}

/// Functions by rising address.
#[derive(Clone, Debug, Default)]
pub struct Symbols {
    functions: Vec<Function>,
    names: String,
}

impl Symbols {
    /// Reads them: some hundred thousand.
    pub fn read() -> Result<Self, NoSymbols> {
        let symbols = Self::of_lines(BufReader::new(File::open(KALLSYMS)?))?;
        if symbols.functions.is_empty() { Err(NoSymbols::Hidden) } else { Ok(symbols) }
    }

    /// As the file has them, for tests.
    #[cfg(test)]
    pub(crate) fn parse(text: &str) -> Self {
        Self::of_lines(text.as_bytes()).expect("memory can be read")
    }

    /// Lines of an address, a type and a name. Functions are what has the type of text; an address of 0 is hidden. One line at a time: the
    /// file has as many megabytes as a start may take in all.
    fn of_lines(mut lines: impl BufRead) -> io::Result<Self> {
        let mut symbols = Self::default();
        let mut line = Vec::new();
        while lines.read_until(b'\n', &mut line)? > 0 {
            // Names of modules' functions are what their authors made of them.
            symbols.functions.extend(function(&String::from_utf8_lossy(&line), &mut symbols.names));
            line.clear();
        }
        // Of several names of one address the first stays.
        symbols.functions.sort_by_key(|function| function.address);
        symbols.functions.dedup_by_key(|function| function.address);
        Ok(symbols)
    }

    /// Every function: its name as it stands in the source, and where its code is.
    pub fn functions(&self) -> impl Iterator<Item = (&str, Range<u64>)> {
        self.functions.iter().enumerate().map(|(at, function)| {
            let end = self.functions.get(at + 1).map_or(u64::MAX, |next| next.address);
            (source_name(self.name(function)), function.address..end)
        })
    }

    /// The function in which an address lies; of a return address, which may stand behind a function's last instruction, the one
    /// that called.
    #[must_use]
    pub fn caller(&self, return_address: u64) -> Option<&str> {
        self.caller_and_offset(return_address).map(|(name, _)| name)
    }

    /// The same, and how far behind the function's start the return address is.
    #[must_use]
    pub fn caller_and_offset(&self, return_address: u64) -> Option<(&str, u64)> {
        let address = return_address.checked_sub(1)?;
        let behind = self.functions.partition_point(|function| function.address <= address);
        let function = self.functions.get(behind.checked_sub(1)?)?;
        Some((self.name(function), return_address - function.address))
    }

    fn name(&self, function: &Function) -> &str {
        let begin = function.name as usize;
        self.names.get(begin..begin + usize::from(function.length)).unwrap_or_default()
    }
}

/// The function of a line, where it has one; its name goes to the end of `names`.
fn function(line: &str, names: &mut String) -> Option<Function> {
    let mut words = line.split_ascii_whitespace();
    let (address, kind, name) = (words.next()?, words.next()?, words.next()?);
    let address = u64::from_str_radix(address, 16).ok()?;
    if address == 0 || !matches!(kind, "t" | "T" | "w" | "W") {
        return None;
    }
    let function =
        Function { address, name: u32::try_from(names.len()).ok()?, length: u16::try_from(name.len()).ok()? };
    names.push_str(name);
    Some(function)
}

/// A function's name as it stands in the source: without what the compiler made of it (`.part.0`, `.isra.0`, `.cold`).
#[must_use]
pub fn source_name(name: &str) -> &str {
    name.split_once('.').map_or(name, |(source, _)| source)
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "ffffffff81000100 T second\nffffffff81000000 t first\nffffffff81000100 t alias\n\
        ffffffff81000200 D data\nffffffff81000300 t third.isra.0\t[module]\n0000000000000000 t hidden\n";

    #[test]
    fn a_return_address_names_its_caller() {
        let symbols = Symbols::parse(TEXT);
        assert_eq!(symbols.caller(0xffff_ffff_8100_0001), Some("first"));
        // The call was the last instruction of the first.
        assert_eq!(symbols.caller(0xffff_ffff_8100_0100), Some("first"));
        assert_eq!(symbols.caller(0xffff_ffff_8100_0101), Some("second"));
        assert_eq!(symbols.caller(0xffff_ffff_8100_0400).map(source_name), Some("third"));
        assert_eq!(symbols.caller(0xffff_ffff_8100_0000), None);
        assert_eq!(symbols.caller(0), None);
    }

    #[test]
    fn hidden_addresses_are_no_functions() {
        assert!(Symbols::parse("0000000000000000 T do_anonymous_page\n").functions.is_empty());
    }
}
