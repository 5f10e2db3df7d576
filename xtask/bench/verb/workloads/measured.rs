//! What `rss-drift run` measures of a workload: its report, figure by figure.

use std::{ffi::OsString, fs, path::Path, process::Command};

use anyhow::{Context as _, Result, bail};
use serde_json::{Map, Value};

use super::group::{self, Stop};

/// One report.
#[derive(Clone, Debug, Default)]
pub(crate) struct Measured(Map<String, Value>);

impl Measured {
    /// Runs a command under `rss-drift run`.
    pub(crate) fn run(program: &Path, words: &[OsString], what: &str, stop: &Stop) -> Result<Self> {
        let dir = tempfile::tempdir().context("cannot make a temporary folder")?;
        let report = dir.path().join("report.json");
        let mut command = Command::new(program);
        command.args(["run", "--format", "json", "--output"]).arg(&report).arg("--").args(words);
        group::run(&mut command, &format!("rss-drift run of {what}"), stop)?;
        let text =
            fs::read_to_string(&report).with_context(|| format!("rss-drift run of {what} left no report"))?;
        Self::parse(&text)
    }

    /// Reads one object of JSON.
    pub(crate) fn parse(text: &str) -> Result<Self> {
        let report: Value = serde_json::from_str(text.trim())
            .with_context(|| format!("the report of rss-drift run is no JSON: {text:?}"))?;
        let Value::Object(figures) = report else {
            bail!("the report of rss-drift run is no object of JSON: {text:?}")
        };
        Ok(Self(figures))
    }

    /// A number; `None` where it is not known, or this rss-drift does not have the figure.
    pub(crate) fn number(&self, name: &str) -> Option<f64> {
        self.0.get(name)?.as_f64()
    }

    /// A text, as [`Self::number`].
    pub(crate) fn text(&self, name: &str) -> Option<&str> {
        self.0.get(name)?.as_str()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_are_looked_up_by_name() {
        let measured = Measured::parse("{\"hits\":12,\"host\":\"a\",\"drift_p50_bytes\":null}\n").unwrap();
        assert_eq!(measured.number("hits").map(f64::to_bits), Some(12_f64.to_bits()));
        assert_eq!(measured.text("host"), Some("a"));
        assert_eq!(measured.number("drift_p50_bytes"), None);
        assert_eq!(measured.number("rfc_hits"), None);
        assert!(Measured::parse("[1]").is_err() && Measured::parse("").is_err());
    }
}
