//! The lines below a table that say who holds each row's missing pages (`--where`).

use std::fmt::Write as _;

use rss_drift_common::{Member, Pages, member};

use super::super::{counted, text};
use crate::{
    drift::holders::{NamedHolder, RowHolders},
    probe::Holder,
    table::{Units, bytes, shown},
};

/// The longest bar, in columns of the terminal.
const BAR: usize = 20;
/// A bar shorter than this shows nothing.
const SHORTEST_BAR: usize = 5;

/// The lines of one row. None is wider than `width`.
pub(crate) fn lines(holders: &RowHolders, units: Units, page_size: u64, width: Option<usize>) -> Vec<String> {
    let size = |pages: &Pages| units.cell(bytes(member::rss(pages), page_size));
    let mut lines = text::flow(&head(holders, units, page_size), width);
    let mut table: Vec<[String; 2]> =
        holders.named.iter().map(|named| [label(named, holders.pid), size(&named.pages)]).collect();
    if holders.others > 0 {
        table.push([format!("{} more", holders.others), size(&holders.of_others)]);
    }
    let widest = |column: usize| table.iter().map(|cells| text::width(&cells[column])).max().unwrap_or(0);
    let (labels, figures) = (widest(0), widest(1));
    let left = width.map_or(BAR, |width| width.saturating_sub(labels + figures + 4));
    let longest_bar = if left < SHORTEST_BAR { 0 } else { left.min(BAR) };
    let largest = holders.named.first().map_or(0, |named| member::rss(&named.pages).unsigned_abs());
    let all = holders.named.iter().map(|named| Some(&named.pages)).chain([None]);
    for ([label, figure], named) in table.iter().zip(all) {
        let bar = named.map_or(0, |pages| scaled(member::rss(pages).unsigned_abs(), largest, longest_bar));
        let pages = named.unwrap_or(&holders.of_others);
        let line = format!(
            "  {label}{} {}{figure} {:<longest_bar$} {}",
            " ".repeat(labels - text::width(label)),
            " ".repeat(figures - text::width(figure)),
            "#".repeat(bar),
            members(pages, units, page_size),
        );
        let line = line.trim_end();
        lines.push(width.map_or_else(|| line.to_owned(), |width| text::cut(line, width)));
    }
    lines
}

fn head(holders: &RowHolders, units: Units, page_size: u64) -> String {
    let size = |pages: &Pages| units.text(bytes(member::rss(pages), page_size));
    let who = format!("pid {} ({})", holders.pid, shown(&holders.comm));
    let mut line = match holders.count() {
        0 => format!("{who}: nothing is held back from the global count"),
        count => {
            let by = match holders.named.first() {
                Some(NamedHolder { holder: Holder::Cpu(_), .. }) => counted(count, "CPU", "CPUs"),
                _ => counted(count, "thread", "threads"),
            };
            format!("{who}: {} held back from the global count by {by}", size(&holders.sum()))
        }
    };
    if !holders.certain {
        // Writing to a String cannot fail.
        let _ = write!(line, ", uncertain: it moved, the row lacks {}", size(&holders.missing));
    }
    line
}

/// A holder's name in the list of the process `pid`.
fn label(named: &NamedHolder, pid: u32) -> String {
    match named.holder {
        Holder::Cpu(number) => format!("CPU {number}"),
        Holder::Task { tid, tgid, kernel_thread } => {
            let name = shown(named.comm.as_deref().unwrap_or_default());
            if kernel_thread {
                format!("{tid} {name} (kernel)")
            } else if tgid == pid {
                format!("{tid} {name}")
            } else {
                format!("{tid} {name} of pid {tgid}")
            }
        }
    }
}

/// What is held of each member; members of which nothing is held are left out.
fn members(pages: &Pages, units: Units, page_size: u64) -> String {
    let held: Vec<_> = Member::ALL
        .into_iter()
        .filter(|member| pages[member.index()] != 0)
        .map(|member| format!("{} {}", member.name(), units.cell(bytes(pages[member.index()], page_size))))
        .collect();
    held.join(", ")
}

/// A length as the share of `largest` that `pages` is; what is not 0 is seen.
fn scaled(pages: u64, largest: u64, longest: usize) -> usize {
    if pages == 0 || largest == 0 || longest == 0 {
        return 0;
    }
    let columns = u128::from(pages) * longest as u128 / u128::from(largest);
    usize::try_from(columns).unwrap_or(longest).clamp(1, longest)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn cpus(figures: &[(u32, Pages)], certain: bool) -> RowHolders {
        let named: Vec<_> = figures
            .iter()
            .map(|&(cpu, pages)| NamedHolder { holder: Holder::Cpu(cpu), comm: None, pages })
            .collect();
        let missing = figures
            .iter()
            .fold([0; 4], |sum: Pages, (_, pages)| std::array::from_fn(|at| sum[at] + pages[at]));
        RowHolders { pid: 42, comm: "sh".to_owned(), named, others: 0, of_others: [0; 4], missing, certain }
    }

    /// What a thread of this process holds of anonymous memory.
    fn thread(tid: u32, process: u32, comm: Option<&str>, kernel_thread: bool, anon: i64) -> NamedHolder {
        let holder = Holder::Task { tid, tgid: process, kernel_thread };
        NamedHolder { holder, comm: comm.map(str::to_owned), pages: [0, anon, 0, 0] }
    }

    #[test]
    fn cpus_are_listed_with_bars_by_their_share() {
        let holders = cpus(&[(3, [0, 40, 0, 0]), (11, [1, -21, 0, 0]), (0, [0, 0, 5, 0])], true);
        assert_eq!(
            lines(&holders, Units::Kib, 4096, Some(80)),
            [
                "pid 42 (sh): 80 KiB held back from the global count by 3 CPUs",
                "  CPU 3  160 #################### anon 160",
                "  CPU 11 -80 ##########           file 4, anon -84",
                "  CPU 0    0                      swap 20",
            ]
        );
    }

    #[test]
    fn threads_are_named_and_the_rest_is_summed_up() {
        let holders = RowHolders {
            pid: 42,
            comm: "a\x1bb".to_owned(),
            named: vec![
                thread(43, 42, Some("w\n1"), false, 32),
                thread(50, 50, None, false, 2),
                thread(60, 60, Some("kthread"), true, 1),
            ],
            others: 9990,
            of_others: [0, 1000, 0, 0],
            missing: [0, 1000, 0, 0],
            certain: false,
        };
        assert_eq!(
            lines(&holders, Units::Kib, 4096, None),
            [
                "pid 42 (a\\u{1b}b): 4140 KiB held back from the global count by 9993 threads, uncertain: it moved, the \
                 row lacks 4000 KiB",
                "  43 w\\n1              128 #################### anon 128",
                "  50 - of pid 50         8 #                    anon 8",
                "  60 kthread (kernel)    4 #                    anon 4",
                "  9990 more           4000                      anon 4000",
            ]
        );
    }

    #[test]
    fn nothing_held_is_one_line() {
        assert_eq!(
            lines(&cpus(&[], true), Units::Kib, 4096, None),
            ["pid 42 (sh): nothing is held back from the global count"]
        );
    }

    proptest! {
        #[test]
        fn lines_fit(
            comm in any::<String>(),
            held in prop::collection::vec((any::<u32>(), any::<String>(), -1_000_000_000..1_000_000_000i64), 0..10),
            width in 24..200usize,
        ) {
            let named = held
                .into_iter()
                .map(|(tid, comm, anon)| {
                    let kernel_thread = anon % 2 == 0;
                    NamedHolder {
                        pages: [anon, anon, -anon, 0],
                        ..thread(tid, tid, Some(&comm), kernel_thread, anon)
                    }
                })
                .collect();
            let holders =
                RowHolders { pid: 1, comm, named, others: 7, of_others: [1; 4], missing: [0; 4], certain: false };
            for line in lines(&holders, Units::Kib, 4096, Some(width)) {
                prop_assert!(text::width(&line) <= width, "{:?}", line);
            }
        }
    }
}
