//! From where updates came, by the functions' names, and the call chains of misses.

use std::fmt::Write as _;

use rss_drift_common::run::{MemberCounts, Site, SiteCounts};

use crate::{
    kernel::{
        rfc,
        symbols::{Symbols, source_name},
    },
    probe::Chain,
};

/// What sites and chains came to.
#[derive(Debug, Default)]
pub(super) struct Sites {
    /// The functions that updated, those with the most updates first.
    pub callers: Vec<Caller>,
    /// Misses by their stacks, the most frequent first.
    pub chains: Vec<Chain>,
    /// How many of them are to be printed.
    pub printed: usize,
    /// The kernel's symbols, or why there are none.
    pub symbols: Option<Result<Symbols, String>>,
}

/// A function that updates, and its updates.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Caller {
    /// Its name; empty where there is none.
    pub name: String,
    /// One of [`rss_drift_common::run::kind`].
    pub kind: u64,
    /// Its updates.
    pub counts: MemberCounts,
}

/// The name of the function that a site stands for: the first that is no helper.
fn name_of<'s>(site: &Site, symbols: &'s Symbols) -> &'s str {
    site.iter()
        .map_while(|&frame| symbols.caller(frame).map(source_name))
        .find(|name| !rfc::is_helper(name))
        .unwrap_or_default()
}

/// The functions that updated, those with the most updates first.
pub(super) fn callers(sites: &[(Site, SiteCounts)], symbols: &Symbols) -> Vec<Caller> {
    let mut callers: Vec<Caller> = Vec::new();
    for (site, SiteCounts { kind, counts }) in sites {
        let name = name_of(site, symbols);
        if let Some(known) = callers.iter_mut().find(|caller| caller.name == name && caller.kind == *kind) {
            known.counts.add(counts);
        } else {
            callers.push(Caller { name: name.to_owned(), kind: *kind, counts: *counts });
        }
    }
    callers.sort_by(|one, other| {
        other.counts.updates().cmp(&one.counts.updates()).then_with(|| one.name.cmp(&other.name))
    });
    callers
}

impl Sites {
    fn symbols(&self) -> Option<&Symbols> {
        self.symbols.as_ref()?.as_ref().ok()
    }

    /// Why frames have no names.
    pub(super) fn nameless(&self) -> Option<&str> {
        self.symbols.as_ref()?.as_ref().err().map(String::as_str)
    }

    /// Misses whose stacks were counted.
    pub(super) fn misses(&self) -> u64 {
        self.chains.iter().map(|chain| chain.misses).sum()
    }

    /// A frame's function with the offset in it, or the address.
    pub(super) fn frame(&self, frame: u64) -> String {
        let named = self.symbols().and_then(|symbols| symbols.caller_and_offset(frame));
        named.map_or_else(|| format!("{frame:#x}"), |(name, offset)| format!("{name}+{offset:#x}"))
    }

    /// Each chain in one line, the outermost function first, then its misses: what flame-graph tools read.
    pub(super) fn folded(&self) -> String {
        let mut text = String::new();
        for chain in &self.chains {
            let frames: Vec<String> = chain
                .frames
                .iter()
                .rev()
                .map(|&frame| {
                    let name = self.symbols().and_then(|symbols| symbols.caller(frame));
                    name.map_or_else(|| format!("{frame:#x}"), str::to_owned)
                })
                .collect();
            // Writing to a String cannot fail.
            let _ = writeln!(text, "{} {}", frames.join(";"), chain.misses);
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use rss_drift_common::run::kind;

    use super::*;

    fn symbols() -> Symbols {
        Symbols::parse(
            "0000000000001000 t add_mm_counter.part.0\n0000000000002000 T do_anonymous_page\n\
             0000000000003000 t zap_pte_range\n0000000000004000 t handle_mm_fault\n",
        )
    }

    #[test]
    fn helpers_are_looked_through() {
        let symbols = symbols();
        assert_eq!(name_of(&[0x2010, 0x4010, 0], &symbols), "do_anonymous_page");
        assert_eq!(name_of(&[0x1010, 0x2010, 0x4010], &symbols), "do_anonymous_page");
        assert_eq!(name_of(&[0x1010, 0x3010, 0x2010], &symbols), "zap_pte_range");
        assert_eq!(name_of(&[0x10, 0, 0], &symbols), "");
        assert_eq!(name_of(&[0, 0, 0], &symbols), "");
    }

    #[test]
    fn one_function_is_one_row() {
        let counts = |kind, hits, misses| SiteCounts {
            kind,
            counts: MemberCounts { hits, misses, ..MemberCounts::default() },
        };
        let sites = [
            ([0x2010, 1, 2], counts(kind::RFC, 5, 1)),
            ([0x3010, 1, 2], counts(kind::OTHER, 7, 0)),
            ([0x1010, 0x2020, 0], counts(kind::RFC, 3, 1)),
        ];
        let callers = callers(&sites, &symbols());
        let rows: Vec<_> =
            callers.iter().map(|it| (it.name.as_str(), it.kind, it.counts.updates())).collect();
        assert_eq!(rows, [("do_anonymous_page", kind::RFC, 10), ("zap_pte_range", kind::OTHER, 7)]);
    }

    #[test]
    fn chains_are_folded_from_the_root() {
        let chains = vec![Chain { frames: vec![0x2010, 0x4020], misses: 3 }];
        let named = Sites { chains: chains.clone(), symbols: Some(Ok(symbols())), ..Sites::default() };
        assert_eq!(named.folded(), "handle_mm_fault;do_anonymous_page 3\n");
        assert_eq!(named.frame(0x2010), "do_anonymous_page+0x10");
        let hidden = Sites { chains, symbols: Some(Err("hidden".to_owned())), ..Sites::default() };
        assert_eq!(hidden.folded(), "0x4020;0x2010 3\n");
        assert_eq!((hidden.nameless(), hidden.misses()), (Some("hidden"), 3));
    }
}
