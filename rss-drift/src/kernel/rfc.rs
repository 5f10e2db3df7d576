//! The RFC's own sites, and what stands between an update and whoever made it, by the names of the kernel's functions.
//!
//! The RFC changed the callers of `add_mm_counter_fast`, `inc_mm_counter_fast` and `dec_mm_counter_fast` of its time (5.19,
//! `mm/memory.c`), and `do_set_pmd`; all others it left at atomic operations.

use rss_drift_common::run::{CODES, Code, kind};

use super::symbols::Symbols;

/// The RFC's own sites, by the names that they have had from 5.10 to 7.2 (all in `mm/memory.c` unless told otherwise).
const RFC: &[&str] = &[
    // Up to 6.1: whoever comes this way.
    "add_mm_counter_fast",
    // A page that a driver maps, and several at once.
    "insert_page_into_pte_locked",
    "insert_page",
    "insert_pages",
    "vm_insert_pages",
    // Copy on write.
    "wp_page_copy",
    "do_wp_page",
    // A page comes back from swap.
    "do_swap_page",
    // A new anonymous page.
    "do_anonymous_page",
    // A page of a file: up to 5.10, to 6.4, and since 6.5 with the update in the callers.
    "alloc_set_pte",
    "do_set_pte",
    "set_pte_range",
    "finish_fault",
    // `mm/filemap.c`: its neighbours.
    "filemap_map_pages",
    "next_uptodate_folio",
    // A huge page of a file.
    "do_set_pmd",
    // Where compilers put those of the above that have one caller: these change no counter themselves.
    "handle_mm_fault",
    "__handle_mm_fault",
    "handle_pte_fault",
    "do_pte_missing",
    "do_fault",
];

/// What stands between an update and the function that made it.
const HELPERS: &[&str] = &[
    "add_mm_counter",
    "inc_mm_counter",
    "dec_mm_counter",
    "add_mm_rss_vec",
    "map_anon_folio_pte_pf",
    "map_anon_folio_pte_nopf",
    "mm_trace_rss_stat",
    "trace_rss_stat",
    "__traceiter_rss_stat",
];

/// Whether a function makes updates for others, whose name says more.
#[must_use]
pub fn is_helper(name: &str) -> bool {
    HELPERS.contains(&name) || name == "add_mm_counter_fast"
}

/// What a function says of the site in whose frames it stands: one of [`kind`].
#[must_use]
pub fn kind_of(name: &str) -> u64 {
    if HELPERS.contains(&name) {
        kind::HELPER
    } else if RFC.contains(&name) {
        kind::RFC
    } else {
        kind::OTHER
    }
}

/// The code of all functions that say more than [`kind::OTHER`]; parts that the compiler made of one are each of its own.
#[must_use]
pub fn codes(symbols: &Symbols) -> Vec<Code> {
    let mut codes: Vec<Code> = symbols
        .functions()
        .filter_map(|(name, code)| {
            let kind = kind_of(name);
            (kind != kind::OTHER).then_some(Code { start: code.start, end: code.end, kind })
        })
        .collect();
    if codes.len() > CODES {
        log::warn!(
            "{} functions contain the RFC's sites, but the BPF programs have room for {CODES}: the others are unclassified",
            codes.len()
        );
        codes.truncate(CODES);
    }
    codes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_count_as_the_whole() {
        let symbols = Symbols::parse(
            "0000000000001000 t add_mm_counter.part.0\n0000000000002000 T do_anonymous_page\n\
             0000000000003000 t zap_pte_range\n0000000000004000 t do_wp_page.isra.0\n0000000000005000 t last\n",
        );
        assert_eq!(
            codes(&symbols),
            [
                Code { start: 0x1000, end: 0x2000, kind: kind::HELPER },
                Code { start: 0x2000, end: 0x3000, kind: kind::RFC },
                Code { start: 0x4000, end: 0x5000, kind: kind::RFC },
            ]
        );
        assert_eq!(kind_of("zap_pte_range"), kind::OTHER);
    }
}
