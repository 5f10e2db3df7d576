//! What scenarios have in common, and how they are searched.

use crate::{
    engine::{Bound, Model, Statistics},
    host::{self, APART, COUNTED, Config, Host, OWNERS, PEAKS, Quiet, address},
    steps::Steps,
};

/// A host on the engine's words.
pub(crate) type World = Host<Steps>;
/// A scenario on it.
pub(crate) type Scenario = host::Scenario<Steps>;

/// The mms of scenarios.
pub(crate) const A: u64 = address(0);
pub(crate) const B: u64 = address(1);
pub(crate) const C: u64 = address(2);

/// Figures that no step of a life depends on.
pub(crate) const FIGURES: Quiet = PEAKS.with(COUNTED).with(APART).with(OWNERS).and(&[
    "flushes",
    "publications",
    "repaired",
    "visited",
    "pass",
    "zero",
    "lock",
]);

/// For scenarios of lives and preemption.
pub(crate) fn config(cpus: usize, mms: usize, states: usize) -> Config {
    Config { cpus, states, mms, ..Config::anon(FIGURES) }
}

impl Scenario {
    /// The model of it: each thread on a CPU of its own, where nothing preempts it.
    pub(crate) fn model(self) -> Model<World> {
        let (name, end) = (self.name, self.end.clone());
        let threads: Vec<_> = self
            .threads
            .iter()
            .map(|thread| (thread.name.clone(), thread.cpu, thread.work.clone()))
            .collect();
        threads
            .into_iter()
            .fold(Model::new(name, move || self.host()), |model, (name, cpu, work)| {
                model.thread(name, (cpu, 0), move |host: &World| work(host))
            })
            .check_end(move |host| end(host))
    }

    /// As [`Model::daily`].
    pub(crate) fn daily(self, switches: u32) -> Statistics {
        self.model().daily(Bound::Switches(switches)).explore()
    }

    /// Searches every order.
    pub(crate) fn explore(self) -> Statistics {
        let statistics = self.model().explore();
        assert!(statistics.complete);
        statistics
    }
}
