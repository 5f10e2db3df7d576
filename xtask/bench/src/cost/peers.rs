//! The eBPF programs that full mode is held against: loaded once, attached for a while.

use std::{any::Any, io};

use anyhow::{Context as _, Result, bail};
use aya::{Btf, Ebpf, EbpfLoader, maps::HashMap, programs::Program};
use rss_drift::{
    kernel::symbols::Symbols,
    probe::{
        EndOfMm, ProgramStatistics,
        code::{Code, code_of},
        of_programs,
    },
};

/// The object that build.rs makes from ../../ebpf/.
static OBJECT: &[u8] = aya::include_bytes_aligned!(env!("PEERS_EBPF"));

/// The BPF program on the classic tracepoint.
const CLASSIC: &str = "classic_rss_stat";

/// How the names of the empty BPF programs begin; what follows is the hook.
const EMPTY: &str = "empty_";

/// What is attached as long as it lives.
pub type Attached = Box<dyn Any>;

/// The BPF programs, loaded.
pub struct Peers {
    ebpf: Ebpf,
    empty: Vec<String>,
}

impl Peers {
    /// Loads them: an empty BPF program for each hook of full mode, of which there are `hooks`, the end of an mm by `end`.
    pub fn load(end: EndOfMm, hooks: usize) -> Result<Self> {
        let btf = Btf::from_sys_fs().context("cannot read the kernel's BTF")?;
        let mut ebpf = EbpfLoader::new().btf(None).load(OBJECT).context("cannot load the bench's object")?;
        let unused: &[&str] = match end {
            EndOfMm::Mmdrop => &["empty_exit_mmap", "empty_task_newtask"],
            EndOfMm::ExitMmap => &["empty_mmdrop"],
            EndOfMm::Unseen => &["empty_mmdrop", "empty_exit_mmap"],
        };
        let names: Vec<_> = ebpf.programs().map(|(name, _)| name.to_owned()).collect();
        let names: Vec<_> = names
            .into_iter()
            .filter(|name| name.starts_with(EMPTY) && !unused.contains(&name.as_str()))
            .collect();
        if names.len() != hooks {
            bail!(
                "full mode has {hooks} hooks here, the bench's object {}: see xtask/bench/ebpf/",
                names.len()
            );
        }
        let mut empty = Vec::new();
        for name in names {
            let target = match name.trim_start_matches(EMPTY) {
                "mmdrop" => "__mmdrop",
                tracepoint => tracepoint,
            };
            match program(&mut ebpf, &name)? {
                Program::BtfTracePoint(program) => program.load(target, &btf),
                Program::FEntry(program) => program.load(target, &btf),
                _ => bail!("{name} is a BPF program of another type"),
            }
            .with_context(|| format!("the kernel refuses {name}"))?;
            empty.push(name);
        }
        let Program::TracePoint(classic) = program(&mut ebpf, CLASSIC)? else {
            bail!("{CLASSIC} is of another type")
        };
        classic.load().with_context(|| format!("the kernel refuses {CLASSIC}"))?;
        Ok(Self { ebpf, empty })
    }

    /// Attaches the BPF programs that do nothing; those on page faults only with `faults`.
    pub fn attach_empty(&mut self, faults: bool) -> Result<Attached> {
        let mut links = Vec::<Attached>::new();
        let wanted = |name: &&String| faults || !name.contains("page_fault");
        for name in self.empty.iter().filter(wanted) {
            let link: Result<Attached, _> = match program(&mut self.ebpf, name)? {
                Program::BtfTracePoint(program) => {
                    program.attach().and_then(|id| program.take_link(id)).map(|link| Box::new(link) as _)
                }
                Program::FEntry(program) => {
                    program.attach().and_then(|id| program.take_link(id)).map(|link| Box::new(link) as _)
                }
                _ => bail!("{name} is a BPF program of another type"),
            };
            links.push(link.with_context(|| format!("cannot attach {name}"))?);
        }
        Ok(Box::new(links))
    }

    /// Attaches the counter of the classic tracepoint.
    pub fn attach_classic(&mut self) -> Result<Attached> {
        let Program::TracePoint(classic) = program(&mut self.ebpf, CLASSIC)? else {
            bail!("{CLASSIC} is of another type")
        };
        let link = classic.attach("kmem", "rss_stat").and_then(|id| classic.take_link(id));
        Ok(Box::new(link.with_context(|| format!("cannot attach {CLASSIC}"))?))
    }

    /// Updates that the classic tracepoint's BPF program has counted.
    pub fn updates(&self) -> Result<u64> {
        let map = self.ebpf.map("UPDATES").context("the bench's object has no map UPDATES")?;
        let map = HashMap::<_, u32, u64>::try_from(map).context("UPDATES is of another type")?;
        let mut sum = 0;
        for entry in &map {
            sum += entry.context("cannot read UPDATES")?.1;
        }
        Ok(sum)
    }

    /// What the kernel's JIT made of them.
    pub fn code(&self, symbols: &Symbols) -> io::Result<Vec<Code>> {
        code_of(&self.ebpf, symbols)
    }

    /// What the kernel counted of each BPF program.
    pub fn program_statistics(&self) -> Vec<(String, ProgramStatistics)> {
        of_programs(&self.ebpf)
    }
}

fn program<'a>(ebpf: &'a mut Ebpf, name: &str) -> Result<&'a mut Program> {
    ebpf.program_mut(name).with_context(|| format!("the bench's object has no BPF program {name}"))
}
