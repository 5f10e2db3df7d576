//! The self-check in words: one while nothing in it is wrong.

use super::super::{Detail, SelfCheck, counted};
use crate::table::{Units, bytes};

/// The self-check of one report.
pub(super) fn of_report(check: &SelfCheck, units: Units, detail: Detail) -> String {
    match detail {
        Detail::All => whole(check, units),
        Detail::Happened => brief(check),
    }
}

/// The self-check of all reports together, which also tells what they cost.
pub(super) fn of_run(check: &SelfCheck, units: Units, detail: Detail) -> String {
    match detail {
        Detail::All => whole(check, units),
        Detail::Happened => format!("{}; {}", brief(check), cost(check, units)),
    }
}

/// What is wrong. Readings that were retried are no errors, nor is what is rare: `-v` has them.
fn brief(check: &SelfCheck) -> String {
    let shadow = check.shadow.unwrap_or_default();
    let wrong: Vec<_> = [
        (check.uncertain, "row uncertain", "rows uncertain"),
        (check.disagreements, "disagreement with /proc", "disagreements with /proc"),
        (check.unreadable, "file unreadable", "files unreadable"),
        (shadow.missed, "event missed", "events missed"),
        (shadow.refused, "update refused", "updates refused"),
        (shadow.idle_error, "page of error while idle", "pages of error while idle"),
        (shadow.repaired, "page corrected", "pages corrected"),
        (shadow.residues, "exited address space left a residue", "exited address spaces left a residue"),
    ]
    .into_iter()
    .filter(|(count, ..)| *count > 0)
    .map(|(count, one, many)| counted(count, one, many))
    .collect();
    if wrong.is_empty() { "ok".to_owned() } else { wrong.join(", ") + " (-v: all)" }
}

fn cost(check: &SelfCheck, units: Units) -> String {
    let size =
        |size: Option<u64>| size.map_or_else(|| "unknown".to_owned(), |size| units.text(bytes(size, 1)));
    format!(
        "CPU {}, RSS {} (peak {}), maps {}",
        check.cpu_percent.map_or_else(|| "unknown".to_owned(), |percent| format!("{percent:.2} %")),
        size(check.rss_bytes),
        size(check.peak_rss_bytes),
        size(check.map_bytes),
    )
}

/// Every figure by its name, also those that are 0, so that a reader sees what was checked.
fn whole(check: &SelfCheck, units: Units) -> String {
    let text = format!(
        "{} retried, {} uncertain, {} with /proc, {} unreadable, {}",
        counted(check.retried, "reading", "readings"),
        counted(check.uncertain, "row", "rows"),
        counted(check.disagreements, "disagreement", "disagreements"),
        counted(check.unreadable, "file", "files"),
        cost(check, units),
    );
    let Some(shadow) = &check.shadow else { return text };
    format!(
        "{text}; shadow: {} missed, {} refused, max error while idle {}, {} corrected, {} of {} exited address spaces left a \
         residue{}, BPF programs {}",
        counted(shadow.missed, "event", "events"),
        counted(shadow.refused, "update", "updates"),
        counted(shadow.idle_error, "page", "pages"),
        counted(shadow.repaired, "page", "pages"),
        shadow.residues,
        shadow.deaths,
        shadow.rare(Detail::All),
        shadow
            .programs_percent
            .map_or_else(|| "unknown".to_owned(), |percent| format!("{percent:.2} % of the host")),
    )
}

#[cfg(test)]
mod tests {
    use super::{super::super::ShadowCheck, *};

    #[test]
    fn what_is_right_is_one_word() {
        let usual = ShadowCheck { caught: 3, deaths: 12, ..ShadowCheck::default() };
        let mut check = SelfCheck { retried: 9, shadow: Some(usual), ..SelfCheck::default() };
        assert_eq!(of_report(&check, Units::Human, Detail::Happened), "ok");
        (check.disagreements, check.unreadable) = (1, 2);
        check.shadow = Some(ShadowCheck { missed: 4, residues: 1, ..usual });
        assert_eq!(
            of_report(&check, Units::Human, Detail::Happened),
            "1 disagreement with /proc, 2 files unreadable, 4 events missed, 1 exited address space left a residue (-v: all)"
        );
    }

    #[test]
    fn a_run_tells_what_it_cost() {
        let check = SelfCheck {
            cpu_percent: Some(0.123),
            rss_bytes: Some(6 << 20),
            map_bytes: Some(2046 << 10),
            ..SelfCheck::default()
        };
        assert_eq!(
            of_run(&check, Units::Human, Detail::Happened),
            "ok; CPU 0.12 %, RSS 6.0 MiB (peak unknown), maps 2.0 MiB"
        );
    }

    #[test]
    fn one_is_not_many() {
        assert_eq!(counted(1, "row", "rows"), "1 row");
        assert_eq!(counted(0, "row", "rows"), "0 rows");
    }

    #[test]
    fn what_is_rare_is_told_where_it_happened_or_is_asked_for() {
        let shadow = ShadowCheck { caught: 1, late: 3, ..ShadowCheck::default() };
        assert_eq!(
            shadow.rare(Detail::Happened),
            ", 3 pages found at the end of their mm, 1 slot corrected by an update"
        );
        assert_eq!(ShadowCheck::default().rare(Detail::Happened), "");
        assert_eq!(ShadowCheck::default().rare(Detail::All).matches(", 0 ").count(), 7);
    }

    #[test]
    fn what_is_not_known_is_not_0() {
        let text = of_report(&SelfCheck { retried: 1, ..SelfCheck::default() }, Units::Kib, Detail::All);
        assert_eq!(
            text,
            "1 reading retried, 0 rows uncertain, 0 disagreements with /proc, 0 files unreadable, CPU unknown, RSS \
             unknown (peak unknown), maps unknown"
        );
    }
}
