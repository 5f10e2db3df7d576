//! The names of the kernel's functions, by address: `/proc/kallsyms`.

use std::{fs, io, ops::Range};

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

/// Functions by rising address.
#[derive(Clone, Debug, Default)]
pub struct Symbols {
    /// Address, and where its name begins in `names`; a name ends where the next begins.
    functions: Vec<(u64, u32)>,
    names: String,
}

impl Symbols {
    /// Reads them: some hundred thousand.
    pub fn read() -> Result<Self, NoSymbols> {
        // Names of modules' functions are what their authors made of them.
        let symbols = Self::parse(&String::from_utf8_lossy(&fs::read(KALLSYMS)?));
        if symbols.functions.is_empty() { Err(NoSymbols::Hidden) } else { Ok(symbols) }
    }

    /// Lines of an address, a type and a name. Functions are what has the type of text; an address of 0 is hidden.
    pub(crate) fn parse(text: &str) -> Self {
        let mut found: Vec<(u64, &str)> = text
            .lines()
            .filter_map(|line| {
                let mut words = line.split_ascii_whitespace();
                let (address, kind, name) = (words.next()?, words.next()?, words.next()?);
                let address = u64::from_str_radix(address, 16).ok()?;
                (address != 0 && matches!(kind, "t" | "T" | "w" | "W")).then_some((address, name))
            })
            .collect();
        // Of several names of one address the first stays.
        found.sort_by_key(|&(address, _)| address);
        found.dedup_by_key(|&mut (address, _)| address);
        let mut symbols = Self::default();
        for (address, name) in found {
            symbols.functions.push((address, u32::try_from(symbols.names.len()).unwrap_or(u32::MAX)));
            symbols.names.push_str(name);
        }
        symbols
    }

    /// Every function: its name as it stands in the source, and where its code is.
    pub fn functions(&self) -> impl Iterator<Item = (&str, Range<u64>)> {
        self.functions.iter().enumerate().map(|(at, &(start, _))| {
            let end = self.functions.get(at + 1).map_or(u64::MAX, |&(next, _)| next);
            (source_name(self.name(at)), start..end)
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
        let at = self.functions.partition_point(|&(start, _)| start <= address).checked_sub(1)?;
        Some((self.name(at), return_address - self.functions[at].0))
    }

    /// The name of the function at this place.
    fn name(&self, at: usize) -> &str {
        let begin = self.functions.get(at).map_or(self.names.len(), |&(_, begin)| begin as usize);
        let end = self.functions.get(at + 1).map_or(self.names.len(), |&(_, begin)| begin as usize);
        self.names.get(begin..end).unwrap_or_default()
    }
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
