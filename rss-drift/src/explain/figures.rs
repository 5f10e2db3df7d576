//! The one table of what `explain` adds to a row's columns: the JSON keys and docs/explain.md are made from it.

use serde_json::json;

use super::{reading::Explanation, text};
use crate::{
    probe::Holder,
    table::{CONTRACT, Column, Units, clean_json, columns, json_object},
};

/// All of them, in their order; new ones go to the end.
pub(super) static FIGURES: &[Column<Explanation>] = columns! { Explanation;
    conclusion Text "The conclusion in a sentence" |it, _| text::conclusion(it, Units::Human);
    pss_bytes Bytes "Pss of smaps_rollup: each resident page divided by how often it is mapped" |it, _| it.rollup.and_then(|of| of.pss);
    private_bytes Bytes "Resident pages that no other process maps (Private_Clean and Private_Dirty)" |it, _| it.rollup.and_then(|of| of.private);
    shared_bytes Bytes "Resident pages that others map too (Shared_Clean and Shared_Dirty)" |it, _| it.rollup.and_then(|of| of.shared);
    lazy_free_bytes Bytes "Given up by MADV_FREE and not yet taken back: part of RSS" |it, _| it.rollup.and_then(|of| of.lazy_free);
    huge_bytes Bytes "In transparent huge pages: anonymous, of shared memory and of files" |it, _| it.rollup.and_then(|of| of.huge);
    ksm_bytes Bytes "Merged by KSM; empty before 6.6" |it, _| it.rollup.and_then(|of| of.ksm);
    locked_bytes Bytes "VmLck: mappings that mlock(2) locked" |it, _| it.memory.locked;
    pinned_bytes Bytes "VmPin: pages that devices may write to" |it, _| it.memory.pinned;
    swap_bytes Bytes "VmSwap: swapped out, no part of RSS" |it, _| it.memory.swap;
    page_tables_bytes Bytes "VmPTE: its page tables, no part of RSS" |it, _| it.memory.page_tables;
    hugetlb_bytes Bytes "HugetlbPages: in hugetlbfs, no part of RSS" |it, _| it.memory.hugetlb;
    oom_badness_bytes Bytes "What the OOM killer counts before oom_score_adj: RSS as stat has it, swap and page tables" |it, _| it.badness();
    oom_score Number "/proc/PID/oom_score" |it, _| it.memory.oom_score;
    group_file Text "The file that says what the control group holds" |it, _| it.group.as_ref().map(|of| of.file.to_string_lossy().into_owned());
    group_bytes Bytes "What it says: page cache and kernel memory too" |it, _| it.group.as_ref().map(|of| of.usage);
    group_peak_bytes Bytes "The most that the group ever held; empty on version 2 before 5.19" |it, _| it.group.as_ref().and_then(|of| of.peak);
    group_limit_bytes Bytes "What the group may hold; empty without a limit of its own" |it, _| it.group.as_ref().and_then(|of| of.limit);
    peak_since Time "Since when peaks were followed (--duration)" |it, _| it.since;
    mark_was_reset Flag "Whether VmHWM is below the true peak by more than drift can be: the mark was reset; empty without --duration" |it, _| it.mark_was_reset();
};

/// One object in one line: the columns of a row (docs/csv.md), those above, and two lists.
pub(super) fn json(it: &Explanation) -> String {
    let mut object = json_object(CONTRACT, &it.row, &it.host);
    object.extend(json_object(FIGURES, it, &it.host));
    object.insert("oom_score_adj".to_owned(), it.memory.oom_score_adj.into());
    let readers = it.readers.iter().map(|reader| {
        let tools: Vec<_> = reader.origin.tools().map(|tool| tool.name).collect();
        json!({
            "reads": reader.origin.reads(),
            "tools": tools,
            "figure_bytes": reader.figure,
            "precision": reader.precision.map(crate::proc::Precision::name),
            "difference_bytes": reader.difference,
        })
    });
    object.insert("readers".to_owned(), readers.collect());
    let holders = it.holders.iter().flat_map(|of| &of.named).map(|named| {
        let size = |pages: i64| crate::table::bytes(pages, it.host.page_size);
        let (kind, id) = match named.holder {
            Holder::Cpu(cpu) => ("cpu", cpu),
            Holder::Task { tid, .. } => ("thread", tid),
        };
        json!({
            kind: id,
            "comm": named.comm,
            "rss_bytes": size(rss_drift_common::member::rss(&named.pages)),
        })
    });
    object.insert("holders".to_owned(), holders.collect());
    clean_json(&serde_json::Value::Object(object).to_string()) + "\n"
}
