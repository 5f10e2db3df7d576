//! Standard error: what is said beside the reports. A terminal that was stopped and a pipe that nobody reads must not hold up measuring.

use std::{
    io,
    sync::{
        OnceLock,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use super::{
    Target,
    content::Content,
    file::Blocks,
    writer::{Unit, Writer},
};

/// How long the last words are waited for.
const PATIENCE: Duration = Duration::from_secs(2);
/// The same after a signal, which is to end us within a second.
const AFTER_SIGNAL: Duration = Duration::from_millis(200);

/// Whether a signal ends us.
static SIGNALLED: AtomicBool = AtomicBool::new(false);

/// Its thread starts with the first word. `None`: it is closed, and nobody is there to be told.
fn writer() -> Option<&'static Writer> {
    static WRITER: OnceLock<Option<Writer>> = OnceLock::new();
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
pub(super) fn deliver(text: Vec<u8>) {
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

/// A signal ends us: from now on nothing is waited for longer than a moment.
pub fn hurry() {
    SIGNALLED.store(true, Ordering::Relaxed);
}

/// Waits until all is written, before the process ends; not for ever.
pub fn flush() {
    let longest = if SIGNALLED.load(Ordering::Relaxed) { AFTER_SIGNAL } else { PATIENCE };
    if let Some(writer) = writer() {
        writer.wait(longest);
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
