//! `rss-drift run`: a command and all that descends from it, measured from its first instruction to its end.

mod child;
mod course;
#[cfg(test)]
mod doc;
mod end;
mod figures;
#[cfg(test)]
mod golden;
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

use std::{
    fs::File,
    io::{self, IsTerminal as _, Write as _},
    path::{Path, PathBuf},
    process::ExitCode,
    slice,
};

use anyhow::Context as _;
use nix::sys::signal::Signal;
pub(crate) use options::{Format, Options, Until};

use crate::{
    output::{ReportFile, ignore_file_size_signal, with_causes},
    session::Inherited,
    table::{Names, clean_json, clean_lines, csv_header, csv_rows, json_object, shown},
};
use child::NotExecuted;
use figures::FIGURES;
use report::Report;
use runner::{Measured, Runner};
use sites::Sites;
pub(crate) use user::User;

/// Exit status when rss-drift itself fails: none that a command is likely to have.
pub(crate) const FAILURE: u8 = 125;

/// Runs `run`. Whatever fails on our side is told here.
pub(crate) fn run(options: &Options, inherited: &Inherited) -> ExitCode {
    match measure(options, inherited) {
        Ok(code) => ExitCode::from(code),
        Err(error) => {
            // Nobody is left to tell when standard error is closed too.
            let _ = writeln!(io::stderr(), "rss-drift: {}", clean_lines(&with_causes(&error)));
            ExitCode::from(error.downcast_ref().map_or(FAILURE, NotExecuted::code))
        }
    }
}

fn measure(options: &Options, inherited: &Inherited) -> anyhow::Result<u8> {
    ignore_file_size_signal();
    let header = if options.format == Format::Csv { csv_header(FIGURES) } else { Vec::new() };
    let mut file = options.output.as_ref().map(|path| ReportFile::open(path, &header)).transpose()?;
    let mut folded = options.folded.as_ref().map(Folded::create).transpose()?;
    let mut runner = Runner::new(options, inherited)?;
    let mut reports = Vec::new();
    let mut code = 0;
    let terminal = file.as_ref().map_or_else(|| io::stderr().is_terminal(), ReportFile::is_terminal);
    let names = Names::of(terminal);
    let mut write = |bytes: &[u8]| {
        if let Some(file) = &mut file {
            file.append(bytes)?;
        } else {
            // A closed standard error is nobody who wants the report.
            let _ = io::stderr().write_all(bytes);
        }
        anyhow::Ok(())
    };
    if options.output.is_none() {
        write(&header)?;
    }
    for run in 1..=options.repeat {
        let (report, course_code, signal) = match runner.measure_once()? {
            Measured::Course(report, code, signal) => (*report, code, signal),
            Measured::Nothing(signal) => {
                code = code_of(signal);
                break;
            }
        };
        code = course_code;
        match options.format {
            Format::Text if options.repeat > 1 => {}
            Format::Text => write(text::text(&report).as_bytes())?,
            Format::Json => write(json(&report).as_bytes())?,
            Format::Csv => write(&csv(&report, names))?,
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
        write(repeat::text(&reports).as_bytes())?;
    }
    if let (Some(folded), Some(last)) = (&mut folded, reports.last()) {
        folded.write(&last.sites)?;
    }
    Ok(code)
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

/// The file of `--folded`: made before the command begins, so that it does not run in vain.
struct Folded<'a> {
    path: &'a Path,
    file: File,
}

impl<'a> Folded<'a> {
    fn create(path: &'a PathBuf) -> anyhow::Result<Self> {
        let file = File::create(path)
            .with_context(|| format!("cannot create {}", shown(&path.to_string_lossy())))?;
        Ok(Self { path, file })
    }

    fn write(&mut self, sites: &Sites) -> anyhow::Result<()> {
        self.file
            .write_all(sites.folded().as_bytes())
            .with_context(|| format!("cannot write {}", shown(&self.path.to_string_lossy())))
    }
}
