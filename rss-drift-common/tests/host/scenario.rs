//! A scenario: a host, what its CPUs and a reader do at once, and what has to hold when all of them are done. How their steps come one
//! after the other is each target's own: every order in the model and under loom, one thread after the other on plain words.

use std::sync::Arc;

use super::{Config, Host, Kind};

/// A part of a scenario. (loom wants parts that threads can share.)
pub(crate) type Part<K> = Arc<dyn Fn(&Host<K>) + Send + Sync>;

/// What one CPU does, or the reader.
pub(crate) struct Thread<K: Kind> {
    pub(crate) name: String,
    /// Where it runs. The reader has a number of its own, which is no CPU of the host.
    pub(crate) cpu: usize,
    pub(crate) work: Part<K>,
}

/// See the module.
pub(crate) struct Scenario<K: Kind> {
    pub(crate) name: &'static str,
    pub(crate) config: Config,
    pub(crate) begin: Part<K>,
    pub(crate) threads: Vec<Thread<K>>,
    pub(crate) end: Part<K>,
}

impl<K: Kind> Scenario<K> {
    /// On a host that `begin` brings to where the threads start. Nothing has to hold yet.
    pub(crate) fn new(
        name: &'static str,
        config: Config,
        begin: impl Fn(&Host<K>) + Send + Sync + 'static,
    ) -> Self {
        Self { name, config, begin: Arc::new(begin), threads: Vec::new(), end: Arc::new(|_| {}) }
    }

    fn thread(mut self, name: String, cpu: usize, work: Part<K>) -> Self {
        self.threads.push(Thread { name, cpu, work });
        self
    }

    /// What a CPU does.
    pub(crate) fn cpu(self, cpu: usize, work: impl Fn(&Host<K>) + Send + Sync + 'static) -> Self {
        self.thread(format!("cpu {cpu}"), cpu, Arc::new(work))
    }

    /// A CPU updates anonymous pages of an mm by these deltas.
    pub(crate) fn updates(self, cpu: u32, mm: u64, deltas: &'static [i32]) -> Self {
        self.cpu(cpu as usize, move |host| host.updates(cpu, mm, deltas))
    }

    /// What the reader does.
    pub(crate) fn reader(self, work: impl Fn(&Host<K>) + Send + Sync + 'static) -> Self {
        let cpu = self.config.cpus;
        self.thread("reader".to_owned(), cpu, Arc::new(work))
    }

    /// The reader visits an mm, on this CPU.
    pub(crate) fn reads(self, cpu: u32, mm: u64) -> Self {
        self.reader(move |host| {
            host.read(cpu, mm);
        })
    }

    /// What has to hold when all is done.
    pub(crate) fn end(mut self, check: impl Fn(&Host<K>) + Send + Sync + 'static) -> Self {
        self.end = Arc::new(check);
        self
    }

    /// A host that the threads can start on.
    pub(crate) fn host(&self) -> Host<K> {
        let host = Host::new(&self.config);
        (self.begin)(&host);
        host
    }
}
