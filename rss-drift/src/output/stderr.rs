//! Standard error: what is said beside the reports. A terminal that was stopped and a pipe that nobody reads must not hold up measuring.

use std::{io, sync::OnceLock, time::Duration};

use super::{
    Target,
    content::Content,
    file::Blocks,
    patience,
    writer::{Unit, Writer},
};

/// Its thread starts with the first word. `None`: it is closed, and nobody is there to be told.
static WRITER: OnceLock<Option<Writer>> = OnceLock::new();

fn writer() -> Option<&'static Writer> {
    let start = || {
        Blocks::open(&Target::Stderr, Content::text(), Duration::ZERO)
            .ok()
            .map(|blocks| Writer::of(blocks, &Target::Stderr))
    };
    WRITER.get_or_init(start).as_ref()
}

/// Says a text of whole lines, where there is room for it.
pub fn say(text: &str) {
    if let Some(writer) = writer().filter(|writer| writer.has_room()) {
        writer.report(Unit { bytes: text.as_bytes().to_vec(), rows: 0, counts: true });
    }
}

/// Says what must not be left out, however much waits before it.
pub fn deliver(text: Vec<u8>) {
    if let Some(writer) = writer() {
        writer.report(Unit { bytes: text, rows: 0, counts: true });
    }
}

/// Shows what is soon out of date: not where older words wait still.
pub fn show(text: &str) {
    if let Some(writer) = writer().filter(|writer| writer.is_drained()) {
        writer.push(Unit { bytes: text.as_bytes().to_vec(), rows: 0, counts: false });
    }
}

/// Whether all that was said is written, or nobody takes it.
#[must_use]
pub fn is_drained() -> bool {
    writer().is_none_or(Writer::is_drained)
}

/// Waits until all is written, before the process ends; not for ever. What found no room before is counted.
pub fn flush() {
    let Some(Some(writer)) = WRITER.get() else { return };
    writer.wait(patience::left());
    let (lost, of) = writer.skipped(false);
    if lost > 0 && writer.is_drained() {
        let text =
            format!("rss-drift: {lost} of {of} messages skipped: nobody read standard error fast enough\n");
        writer.push(Unit { bytes: text.into_bytes(), rows: 0, counts: false });
        writer.wait(patience::left());
    }
}

/// Where the log goes, a line at a time.
#[derive(Debug, Default)]
pub struct Log;

impl io::Write for Log {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        say(&String::from_utf8_lossy(line));
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
