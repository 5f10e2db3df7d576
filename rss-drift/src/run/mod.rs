//! `rss-drift run`: a command and all that descends from it, measured from its first instruction to its end.

mod child;
mod course;
#[cfg(test)]
mod doc;
mod end;
mod figures;
#[cfg(test)]
mod golden;
mod names;
mod opened;
mod options;
mod progress;
mod repeat;
mod report;
mod runner;
mod samples;
mod sites;
mod text;
mod user;

use std::{process::ExitCode, slice};

use anyhow::Context as _;
use nix::sys::signal::Signal;
pub(crate) use options::{Format, Options, Until};

use crate::{
    output::{OnceFile, ReportOutput, Target, ignore_file_size_signal, patience, stderr, with_causes},
    session::Inherited,
    table::{Names, clean_json, clean_lines, csv_header, csv_rows, json_object},
};
use child::NotExecuted;
use figures::FIGURES;
use report::Report;
use runner::{Measured, Runner};
pub(crate) use user::User;

/// Exit status when rss-drift itself fails: none that a command is likely to have.
pub(crate) const FAILURE: u8 = 125;

/// Runs `run`. Whatever fails on our side is told here.
pub(crate) fn run(options: &Options, inherited: &Inherited) -> ExitCode {
    match measure(options, inherited) {
        Ok(code) => ExitCode::from(code),
        Err(error) => {
            stderr::say(&format!("rss-drift: {}\n", clean_lines(&with_causes(&error))));
            ExitCode::from(error.downcast_ref().map_or(FAILURE, NotExecuted::code))
        }
    }
}

fn measure(options: &Options, inherited: &Inherited) -> anyhow::Result<u8> {
    ignore_file_size_signal();
    let header = if options.format == Format::Csv { csv_header(FIGURES) } else { Vec::new() };
    let target = options.output.clone().unwrap_or(Target::Stderr);
    let mut output = ReportOutput::open(&target, header, options.lock_timeout)?;
    // Looked at before the command begins, so that it does not run in vain.
    let mut folded = options.folded.as_ref().map(|path| OnceFile::check(path, &target)).transpose()?;
    let mut runner = Runner::new(options, inherited)?;
    let mut reports = Vec::new();
    let (mut code, mut signal) = (0, None);
    let names = Names::of(output.is_terminal());
    for run in 1..=options.repeat {
        let (report, course_code, course_signal) = match runner.measure_once()? {
            Measured::Course(report, code, signal) => (*report, code, signal),
            Measured::Nothing(came) => {
                (code, signal) = (code_of(came), Some(came));
                break;
            }
        };
        (code, signal) = (course_code, course_signal);
        if signal.is_some() {
            // Before the report: it may be written here and now.
            patience::hurry();
        }
        match options.format {
            Format::Text if options.repeat > 1 => {}
            Format::Text => output.append_text(&text::text(&report)),
            Format::Json => output.append(json(&report).into_bytes()),
            Format::Csv => output.append(csv(&report, names)),
        }
        let stopped = report.stopped.is_some();
        reports.push(report);
        if let Some(signal) = signal {
            // A command that had ended well just before is no success when others were to follow.
            code = if code == 0 && run < options.repeat { code_of(signal) } else { code };
            break;
        }
        if stopped {
            // It would cost as much again.
            break;
        }
    }
    if options.repeat > 1 && options.format == Format::Text && !reports.is_empty() {
        output.append_text(&repeat::text(&reports));
    }
    if let (Some(folded), Some(last)) = (&mut folded, reports.last()) {
        folded.write(last.sites.folded().into_bytes());
    }
    let drained =
        || output.is_drained() && folded.as_ref().is_none_or(OnceFile::is_drained) && stderr::is_drained();
    let came = match &mut runner.into_signals() {
        Some(signals) => {
            signals.wait_for_outputs(signal.is_some(), drained).context("cannot receive signals")?
        }
        None => None,
    };
    output.check().context("the report is on standard error instead")?;
    folded.as_ref().map_or(Ok(()), OnceFile::end)?;
    if output.has_unwritten() || folded.as_ref().is_some_and(|folded| !folded.is_drained()) {
        log::warn!("nobody took the report before a signal ended the wait: it is lost");
    }
    // Ctrl-C is the status also where only the report was left to be written.
    Ok(if came == Some(Signal::SIGINT) { code_of(Signal::SIGINT) } else { code })
}

/// The exit status after a signal, as shells give it.
fn code_of(signal: Signal) -> u8 {
    u8::try_from(128 + signal as i32).unwrap_or(FAILURE)
}

/// The row of CSV.
fn csv(report: &Report, names: Names) -> Vec<u8> {
    csv_rows(FIGURES, slice::from_ref(report), &report.host, names)
}

/// One JSON object in one line.
fn json(report: &Report) -> String {
    clean_json(&serde_json::Value::Object(json_object(FIGURES, report, &report.host)).to_string()) + "\n"
}
