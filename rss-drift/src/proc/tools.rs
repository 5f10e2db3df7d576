//! Where tools take RSS from: the one table of tools, for the head of reports, `explain` and README.md.

use super::{Precision, Source};

/// What a tool's figure is made from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin {
    /// A file of /proc that prints the kernel's counters.
    File(Source),
    /// The counters as the OOM killer adds them up (`mm/oom_kill.c:oom_badness`).
    OomKiller,
    /// The kernel's own peak (`hiwater_rss`), which follows from approximate figures.
    Peak,
    /// A walk of the page tables (`fs/proc/task_mmu.c:smap_gather_stats`).
    PageTables,
    /// The counters of the control group, which also hold what is no RSS.
    ControlGroup,
}

impl Origin {
    /// All of them, in the order in which they are printed.
    pub const ALL: [Self; 7] = [
        Self::File(Source::Status),
        Self::File(Source::Statm),
        Self::File(Source::Stat),
        Self::OomKiller,
        Self::Peak,
        Self::PageTables,
        Self::ControlGroup,
    ];

    /// What is read, in words.
    #[must_use]
    pub const fn reads(self) -> &'static str {
        match self {
            Self::File(source) => source.figure(),
            Self::OomKiller => "the counters",
            Self::Peak => "the kernel's own peak",
            Self::PageTables => "the page tables",
            Self::ControlGroup => "counters of the control group",
        }
    }

    /// On which kernels it is as approximate as `stat`, where that is neither found nor the same on all; empty: on all.
    #[must_use]
    pub const fn until(self) -> &'static str {
        match self {
            Self::OomKiller => "up to Linux 6.18",
            _ => "",
        }
    }

    /// The tools that take their figure from there.
    pub fn tools(self) -> impl Iterator<Item = &'static Tool> {
        TOOLS.iter().filter(move |tool| tool.origin == self)
    }

    /// How precise it is, by what was found of the files of /proc: the OOM killer is as `stat` is, on the kernels of [`Self::until`].
    /// `None`: no file tells.
    #[must_use]
    pub fn precision(self, of: impl Fn(Source) -> Precision) -> Option<Precision> {
        match self {
            Self::File(source) => Some(of(source)),
            Self::OomKiller => Some(of(Source::Stat)),
            Self::PageTables => Some(Precision::Exact),
            Self::Peak | Self::ControlGroup => None,
        }
    }
}

/// A program that people read RSS from, or that acts by it.
#[derive(Debug)]
pub struct Tool {
    pub name: &'static str,
    /// Its name for the figure; empty where it has none of its own.
    pub figure: &'static str,
    pub origin: Origin,
    /// Whether the head of a report names it: what most people have.
    pub common: bool,
}

/// By their source, or by their system calls on Linux 6.18.
pub static TOOLS: &[Tool] = &[
    common("ps", "RSS, %MEM", Origin::File(Source::Status)),
    rare("pmap", "total", Origin::File(Source::Status)),
    rare("Prometheus client for Java", "process_resident_memory_bytes", Origin::File(Source::Status)),
    common("top", "RES", Origin::File(Source::Statm)),
    common("htop", "RES", Origin::File(Source::Statm)),
    rare("psutil", "rss", Origin::File(Source::Statm)),
    rare("glances", "RES", Origin::File(Source::Statm)),
    common("pidstat", "RSS", Origin::File(Source::Stat)),
    rare("atop", "RSIZE", Origin::File(Source::Stat)),
    rare("btop", "Mem", Origin::File(Source::Stat)),
    rare("below", "RSS", Origin::File(Source::Stat)),
    common(
        "Prometheus clients for Go and Python",
        "process_resident_memory_bytes",
        Origin::File(Source::Stat),
    ),
    rare("process-exporter", "namedprocess_namegroup_memory_bytes", Origin::File(Source::Stat)),
    rare("Node", "process.memoryUsage", Origin::File(Source::Stat)),
    common("the OOM killer", "", Origin::OomKiller),
    rare("GNU time", "Maximum resident set size", Origin::Peak),
    rare("getrusage(2)", "ru_maxrss", Origin::Peak),
    rare("status", "VmHWM", Origin::Peak),
    common("smaps", "Rss", Origin::PageTables),
    rare("smaps_rollup", "Rss", Origin::PageTables),
    rare("smem", "RSS", Origin::PageTables),
    rare("cAdvisor", "container_memory_rss, _working_set_bytes", Origin::ControlGroup),
];

const fn common(name: &'static str, figure: &'static str, origin: Origin) -> Tool {
    Tool { name, figure, origin, common: true }
}

const fn rare(name: &'static str, figure: &'static str, origin: Origin) -> Tool {
    Tool { name, figure, origin, common: false }
}

#[cfg(test)]
mod tests {
    use std::fmt::Write as _;

    use super::*;

    /// What an origin is on the kernels of README.md's table, which docs/compatibility.md has from measurements.
    fn on_kernels(origin: Origin) -> [&'static str; 3] {
        match origin {
            Origin::File(Source::Stat) | Origin::Peak => ["off"; 3],
            Origin::File(Source::Statm | Source::Status) => ["off", "exact", "exact"],
            Origin::OomKiller => ["off", "off", "off up to 6.18, exact in 7.2"],
            Origin::PageTables => ["no drift"; 3],
            Origin::ControlGroup => ["other counters"; 3],
        }
    }

    fn markdown() -> String {
        let mut text = String::new();
        for origin in Origin::ALL {
            let tools: Vec<_> = origin
                .tools()
                .map(|Tool { name, figure, .. }| match *figure {
                    "" => (*name).to_owned(),
                    figure => format!("{name} (`{}`)", figure.replace(", ", "`, `")),
                })
                .collect();
            let [pertask, fixed, percpu] = on_kernels(origin);
            let reads = origin.reads();
            // Writing to a String cannot fail.
            let _ = writeln!(text, "| {} | {reads} | {pertask} | {fixed} | {percpu} |", tools.join(", "));
        }
        text
    }

    #[test]
    fn the_readme_has_this_table() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../README.md");
        let readme = std::fs::read_to_string(path).unwrap();
        let head = "| tools | read | 5.10, 6.1 (per-task) | 6.12 (per-cpu) | 6.16 and later (per-cpu) |\n|---|---|---|---|---|\n";
        let (before, rest) = readme.split_once(head).expect("README.md has the table of tools");
        let (table, after) = rest.split_once("\n\n").expect("something follows the table");
        let right = markdown();
        if std::env::var_os("UPDATE_DOCS").is_some() {
            std::fs::write(path, format!("{before}{head}{right}\n{after}")).unwrap();
            return;
        }
        assert_eq!(
            format!("{table}\n"),
            right,
            "refresh it with\n    UPDATE_DOCS=1 cargo test --locked -p rss-drift --lib tools"
        );
    }

    #[test]
    fn every_tool_and_every_source_is_in_a_group() {
        assert_eq!(Origin::ALL.iter().map(|origin| origin.tools().count()).sum::<usize>(), TOOLS.len());
        for source in Source::ALL {
            assert!(Origin::File(source).tools().any(|tool| tool.common), "{}", source.name());
        }
    }
}
