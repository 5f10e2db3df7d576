//! The figures that a measuring program printed: lines of a name, a round and a value.

use std::collections::BTreeMap;

use anyhow::{Context as _, Result};

use super::stats::Spread;

/// Values by name, in the order of their rounds.
#[derive(Debug, Default, PartialEq)]
pub(crate) struct Figures {
    values: BTreeMap<String, Vec<f64>>,
}

impl Figures {
    /// Reads what was printed.
    pub(crate) fn parse(text: &str) -> Result<Self> {
        let mut rounds = BTreeMap::<String, BTreeMap<u32, f64>>::new();
        for line in text.lines() {
            let (name, round, value) = parse_line(line).with_context(|| {
                format!("the measuring program printed {line:?}, not a name, a round and a value")
            })?;
            rounds.entry(name.to_owned()).or_default().insert(round, value);
        }
        let values =
            rounds.into_iter().map(|(name, values)| (name, values.into_values().collect())).collect();
        Ok(Self { values })
    }

    /// All values of one name.
    pub(crate) fn of(&self, name: &str) -> Result<&[f64]> {
        let values = self.values.get(name).map(Vec::as_slice);
        values.with_context(|| format!("the measuring program printed no {name}"))
    }

    /// The only value of a name, or its first.
    pub(crate) fn single(&self, name: &str) -> Result<f64> {
        self.of(name)?.first().copied().with_context(|| format!("the measuring program printed no {name}"))
    }

    /// What the values of a name come to.
    pub(crate) fn spread(&self, name: &str) -> Result<Spread> {
        Spread::of(self.of(name)?).with_context(|| format!("there was no round of {name}"))
    }

    /// How much more the values of a name are than those of another, round by round.
    pub(crate) fn added(&self, name: &str, base: &str) -> Result<Vec<f64>> {
        Ok(self.of(name)?.iter().zip(self.of(base)?).map(|(value, base)| value - base).collect())
    }

    /// The names that begin with `prefix`, without it.
    pub(crate) fn names<'a>(&'a self, prefix: &'a str) -> impl Iterator<Item = &'a str> {
        self.values.keys().filter_map(move |name| name.strip_prefix(prefix))
    }

    /// What one name's values are in relation to those of another, round by round.
    pub(crate) fn ratio(&self, name: &str, base: &str) -> Result<Spread> {
        Spread::of_ratios(self.of(name)?, self.of(base)?)
            .with_context(|| format!("there was no round of both {name} and {base}"))
    }
}

fn parse_line(line: &str) -> Option<(&str, u32, f64)> {
    let mut words = line.split_ascii_whitespace();
    let line = (words.next()?, words.next()?.parse().ok()?, words.next()?.parse().ok()?);
    words.next().is_none().then_some(line)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_come_by_name_and_round() {
        let figures = Figures::parse("a/x 1 20\nb 0 2\na/x 0 10\nb 1 4\n").unwrap();
        assert_eq!(figures.of("a/x").unwrap(), [10.0, 20.0]);
        assert_eq!(figures.single("b").unwrap().to_bits(), 2.0_f64.to_bits());
        assert_eq!(figures.ratio("a/x", "b").unwrap(), Spread { p25: 5.0, median: 5.0, p75: 5.0 });
        assert!(figures.spread("c").is_err());
    }

    #[test]
    fn what_is_added_is_of_the_same_round() {
        let figures = Figures::parse("a/x 0 30\na/x 1 21\na/y 1 20\na/y 0 10\n").unwrap();
        assert_eq!(figures.added("a/x", "a/y").unwrap(), [20.0, 1.0]);
        assert_eq!(figures.names("a/").collect::<Vec<_>>(), ["x", "y"]);
    }

    #[test]
    fn other_lines_are_refused() {
        for line in ["a", "a 1", "a x 1", "a 1 1 1", "a 1 x", ""] {
            assert!(Figures::parse(&format!("b 0 1\n{line}\n")).is_err(), "{line:?}");
        }
    }
}
