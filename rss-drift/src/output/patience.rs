//! How long the end waits for slow readers: all its waits together, whoever waits.

use std::{
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

/// How long in all.
const USUAL: Duration = Duration::from_secs(1);
/// The same from when we look at a signal on, which is to end us within a second.
const AFTER_SIGNAL: Duration = Duration::from_millis(500);

/// When nothing is waited for any more.
static END: Mutex<Option<Instant>> = Mutex::new(None);

/// A signal ends us: from now on nothing is waited for longer than a moment.
pub fn hurry() {
    left_of(AFTER_SIGNAL);
}

/// How long the end may still wait: it begins with the first call.
#[must_use]
pub fn left() -> Duration {
    left_of(USUAL)
}

/// Ends all waits so long from now, unless they end sooner. How long that is.
fn left_of(longest: Duration) -> Duration {
    let now = Instant::now();
    let mut end = END.lock().unwrap_or_else(PoisonError::into_inner);
    let until = end.map_or(now + longest, |end| end.min(now + longest));
    *end = Some(until);
    until.saturating_duration_since(now)
}
