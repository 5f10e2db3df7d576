//! Short rounds in which everything that is compared runs once: what disturbs the host disturbs all of it.

use std::fmt::Display;

use anyhow::{Context as _, Result};

use crate::{clock::Took, figures};

/// One of the things that are compared.
pub struct Contender<'a> {
    /// Its name in the figures.
    pub name: &'static str,
    /// Does it once.
    pub work: Box<dyn FnMut() -> Result<Took> + 'a>,
}

impl<'a> Contender<'a> {
    /// Puts a name to a piece of work.
    pub fn new(name: &'static str, work: impl FnMut() -> Result<Took> + 'a) -> Self {
        Self { name, work: Box::new(work) }
    }
}

/// Runs `rounds` rounds and prints what each contender took, its name after `prefix`. A round before the first warms up
/// caches and does not count.
pub fn run(prefix: impl Display, rounds: usize, contenders: &mut [Contender<'_>]) -> Result<()> {
    for round in 0..=rounds {
        let count = contenders.len();
        for place in 0..count {
            // Each round begins with another one, so that nobody always runs after the same.
            let contender = &mut contenders[(round + place) % count];
            let took = (contender.work)().with_context(|| format!("measuring {}", contender.name))?;
            if let Some(round) = round.checked_sub(1) {
                figures::print_took(format_args!("{prefix}/{}", contender.name), round, took)?;
            }
        }
    }
    Ok(())
}
