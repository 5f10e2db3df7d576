//! `rss-drift doctor`: what start-up checks, printed.

use std::{fmt::Write as _, process::ExitCode};

use anyhow::Context as _;

use crate::{
    kernel::checks::Check,
    output::{ReportFormat, print},
    probe::FullOptions,
    session::{Mode, Startup},
    table::{clean, clean_json},
};

/// Runs the checks and prints them.
pub(crate) fn run(format: ReportFormat) -> anyhow::Result<ExitCode> {
    let startup = Startup::check(Mode::Full(FullOptions::default()));
    let text = match format {
        ReportFormat::Text => lines(&startup),
        ReportFormat::Json => json(&startup)?,
    };
    print(&text)?;
    Ok(ExitCode::from(u8::from(!startup.works())))
}

fn lines(startup: &Startup) -> String {
    let width = startup.checks.iter().map(|check| check.name.len()).max().unwrap_or(0);
    let mut text = String::new();
    for Check { name, state, found, remedy } in &startup.checks {
        // Writing to a String cannot fail.
        let _ = writeln!(text, "{:<8} {name:<width$}  {}", state.name(), clean(found));
        if let Some(remedy) = remedy {
            let _ = writeln!(text, "{:<8} {:<width$}  remedy: {}", "", "", clean(remedy));
        }
    }
    text + if startup.works() { "measuring works\n" } else { "measuring does not work\n" }
}

fn json(startup: &Startup) -> anyhow::Result<String> {
    let checks: Vec<_> = startup
        .checks
        .iter()
        .map(|check| {
            serde_json::json!({
                "name": check.name,
                "state": check.state.name(),
                "found": check.found,
                "remedy": check.remedy,
            })
        })
        .collect();
    let report = serde_json::json!({ "works": startup.works(), "checks": checks });
    let text = serde_json::to_string_pretty(&report).context("cannot write the checks as JSON")?;
    Ok(clean_json(&text) + "\n")
}
