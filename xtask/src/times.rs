//! How long the stages of a run of tests took, and its slowest tests: printed at the end, so that it stays short.

use std::{
    collections::BTreeMap,
    fmt,
    time::{Duration, Instant},
};

use crate::table::Table;

/// How many of the slowest tests are named.
const SLOWEST: usize = 10;

/// The stages that are over, in their order, and the tests.
#[derive(Debug, Default)]
pub(crate) struct Times {
    stages: Vec<(&'static str, Duration)>,
    /// Of each test: where it ran, and for how long.
    tests: BTreeMap<String, Vec<(String, Duration)>>,
}

impl Times {
    /// Does a stage's work.
    pub(crate) fn stage<T>(&mut self, name: &'static str, work: impl FnOnce() -> T) -> T {
        let start = Instant::now();
        let value = work();
        self.stages.push((name, start.elapsed()));
        value
    }

    /// Takes the times from what the live tests printed in a place.
    pub(crate) fn read(&mut self, place: &str, printed: &str) {
        for (test, took) in printed.lines().filter_map(time_of) {
            self.tests.entry(test.to_owned()).or_default().push((place.to_owned(), took));
        }
    }

    fn slowest(&self) -> Vec<Vec<String>> {
        let sum = |runs: &[(String, Duration)]| runs.iter().map(|(_, took)| *took).sum::<Duration>();
        let mut tests: Vec<_> = self.tests.iter().map(|(test, runs)| (sum(runs), test, runs)).collect();
        tests.sort_by_key(|(sum, ..)| std::cmp::Reverse(*sum));
        let row = |(sum, test, runs): &(Duration, &String, &Vec<(String, Duration)>)| {
            let (place, most) = runs.iter().max_by_key(|(_, took)| took)?;
            let cells =
                [test, &seconds(*sum), &runs.len().to_string(), &seconds(*most), place].map(String::clone);
            Some(cells.to_vec())
        };
        tests.iter().take(SLOWEST).filter_map(row).collect()
    }
}

impl fmt::Display for Times {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let stages = self.stages.iter().map(|(name, took)| vec![(*name).to_owned(), seconds(*took)]);
        let stages = Table::of_facts(&["stage", "seconds"]).with(stages);
        let heading = ["slowest tests", "seconds", "runs", "longest", "where"];
        let slowest = Table::of_facts(&heading).with(self.slowest());
        for table in [stages, slowest].iter().filter(|table| !table.is_empty()) {
            write!(f, "\n{}", table.plain())?;
        }
        Ok(())
    }
}

fn seconds(time: Duration) -> String {
    format!("{:.0}", time.as_secs_f64())
}

/// Parses `ok     14.74 s  NAME` and `FAIL    1.00 s  NAME: WHY`.
fn time_of(line: &str) -> Option<(&str, Duration)> {
    let rest = line.strip_prefix("ok ").or_else(|| line.strip_prefix("FAIL "))?;
    let (seconds, test) = rest.split_once(" s  ")?;
    let took = Duration::try_from_secs_f64(seconds.trim().parse().ok()?).ok()?;
    Some((test.split_once(": ").map_or(test, |(name, _)| name), took))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_slowest_come_first_with_where_they_took_longest() {
        let mut times = Times::default();
        times.read(
            "this host",
            "ok      1.20 s  a::quick\nskip   99.00 s  b::skipped: no-swap\nreport: x=1\nok     30.00 s  c::slow\n",
        );
        times.read(
            "kernel 6.12",
            "ok      1.00 s  a::quick\nFAIL   40.40 s  c::slow: exit 101\n    | ok 9 s  z\n",
        );
        assert_eq!(
            times.to_string(),
            "\nslowest tests  seconds  runs  longest  where\n\
             c::slow             70     2       40  kernel 6.12\n\
             a::quick             2     2        1  this host\n"
        );
    }

    #[test]
    fn stages_are_told_in_their_order_and_no_more_tests_than_ten() {
        let mut times = Times::default();
        assert_eq!(times.stage("unit tests", || 5), 5);
        times.stage("guests", || ());
        let printed: Vec<_> = (0..30).map(|test| format!("ok {test:10}.00 s  t{test}\n")).collect();
        times.read("this host", &printed.concat());
        let text = times.to_string();
        assert!(
            text.starts_with("\nstage       seconds\nunit tests        0\nguests            0\n\n"),
            "{text}"
        );
        assert!(text.contains("\nt20 ") && !text.contains("\nt19 "), "{text}");
        assert_eq!(Times::default().to_string(), "");
    }
}
