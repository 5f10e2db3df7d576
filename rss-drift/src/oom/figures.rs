//! The tables of what `oom` says: the JSON keys and docs/oom.md are made from them.

use serde_json::{Value, json};

use super::{
    ranking::{Candidate, exact_victim},
    reading::Reading,
};
use crate::{
    drift::sample::Host,
    table::{Column, clean_json, columns, json_object},
};

/// A candidate, with what its badness follows from.
pub(super) struct Ranked {
    pub it: Candidate,
    /// Pages that adjustments are thousandths of.
    pub total: i64,
}

/// Of the OOM; new ones go to the end.
pub(super) static OOM: &[Column<Reading>] = columns! { Reading;
    reading_time Time "When the counters were read" |it, _| it.time;
    kernel Text "Release of the running kernel" |_, host| host.kernel.clone();
    cgroup Text "The control group that is out of memory; empty: the host is" |it, _| it.domain.group.as_ref().map(|it| it.group.path.clone());
    cgroup_limit_bytes Bytes "What that group may hold, with the swap that it may use; empty without a limit of its own" |it, _| it.domain.group.as_ref().and_then(|it| it.limit);
    total_bytes Bytes "What oom_score_adj is thousandths of: the group's limit, else memory and swap of the host" |it, _| it.domain.total;
    killer_reads Text "How the OOM killer reads RSS on this kernel: exact, approximate (as stat has it), unknown (taken as approximate)" |it, _| it.reads.name();
    bound_bytes Bytes "The largest difference to exact RSS that it can read, of a process, or of each thread on per-task accounting" |it, host| crate::table::bytes(it.bound, host.page_size);
    victim_pid Id "Whom the OOM killer would take; empty: nobody can be taken" |it, _| it.candidates.first().filter(|it| it.rank.is_some()).map(|it| u64::from(it.pid));
    victim_by_exact_pid Id "Whom it would take by exact RSS" |it, _| exact_victim(&it.candidates).map(|it| u64::from(it.pid));
    dies_whole Text "The control group all of whose processes die with the victim (memory.oom.group)" |it, _| it.dies_whole.clone();
    candidates_count Number "How many processes it can take" |it, _| it.candidates.len() as u64;
    killer_is_off Flag "Whether it takes nobody in that group (oom_kill_disable of version 1): then this is whom it would take" |it, _| it.domain.group.as_ref().is_some_and(|it| it.is_spared);
};

/// Of each candidate; new ones go to the end.
pub(super) static CANDIDATE: &[Column<Ranked>] = columns! { Ranked;
    rank Number "Place in the OOM killer's order, from 1; empty where its badness is not known" |of, _| of.it.rank;
    rank_by_exact Number "Place in the order by exact RSS" |of, _| of.it.exact_rank;
    pid Id "Thread group id" |of, _| u64::from(of.it.pid);
    comm Text "Name of the process" |of, _| of.it.comm.clone();
    badness_bytes Bytes "What the OOM killer ranks by: RSS as it reads it, swap, page tables and the share of the total that oom_score_adj stands for" |of, host| size(of.it.badness(of.total), host);
    badness_by_exact_bytes Bytes "The same with exact RSS and swap" |of, host| size(of.it.exact_badness(of.total), host);
    score Number "The badness as a score by the total above: on the host what /proc/PID/oom_score prints" |of, _| of.it.score(of.total).and_then(|it| u64::try_from(it).ok());
    oom_score Number "What /proc/PID/oom_score said: always by the memory and swap of the host" |of, _| of.it.oom_score;
    rss_bytes Bytes "RSS as the OOM killer reads it" |of, host| size(Some(of.it.read.rss), host);
    exact_bytes Bytes "Exact RSS" |of, host| size(Some(of.it.exact.rss), host);
    swap_bytes Bytes "Swap as the OOM killer reads it" |of, host| size(Some(of.it.read.swap), host);
    exact_swap_bytes Bytes "Exact swap" |of, host| size(Some(of.it.exact.swap), host);
    page_tables_bytes Bytes "VmPTE: its page tables" |of, host| size(of.it.page_tables, host);
    uncertain Flag "Whether its counters changed in each reading of them" |of, _| !of.it.certain;
    sharing_memory Number "Processes that have the same memory, and die with it" |of, _| of.it.sharing;
};

fn size(pages: Option<i64>, host: &Host) -> Option<i64> {
    pages.map(|pages| crate::table::bytes(pages, host.page_size))
}

/// One object in one line, with at most so many candidates.
pub(super) fn json(it: &Reading, limit: Option<usize>) -> String {
    let total = it.total();
    let mut object = json_object(OOM, it, &it.host);
    let shown = it.candidates.iter().take(limit.unwrap_or(usize::MAX));
    let candidates = shown.map(|candidate| {
        let mut object = json_object(CANDIDATE, &Ranked { it: candidate.clone(), total }, &it.host);
        // The engine of tables has no numbers below 0 but sizes.
        object.insert("oom_score_adj".to_owned(), candidate.adj.into());
        Value::Object(object)
    });
    object.insert("candidates".to_owned(), candidates.collect());
    let spared = it.spared.iter().map(|it| json!({ "pid": it.pid, "comm": it.comm, "why": it.why.name() }));
    object.insert("never_taken".to_owned(), spared.collect());
    clean_json(&Value::Object(object).to_string()) + "\n"
}
