//! How long the end waits for slow readers: all its waits together, whoever waits.

use std::{
    sync::{Mutex, OnceLock, PoisonError},
    time::{Duration, Instant},
};

/// How long in all.
const USUAL: Duration = Duration::from_secs(1);
/// The same from when we look at a signal on, which is to end us within a second.
const AFTER_SIGNAL: Duration = Duration::from_millis(500);

/// How long whoever writes in place waits for a reader while a signal waits to be looked at.
const BEFORE_SIGNAL: Duration = Duration::from_millis(300);

/// When nothing is waited for any more.
static END: Mutex<Option<Instant>> = Mutex::new(None);
/// Since when a signal that ends us waits to be looked at.
static SINCE: Mutex<Option<Instant>> = Mutex::new(None);
/// Whether one does.
static WAITS: OnceLock<fn() -> bool> = OnceLock::new();

/// Signals are held from now on: this says whether one that ends us waits to be looked at.
pub fn heed(waits: fn() -> bool) {
    // Always the same.
    let _ = WAITS.set(waits);
}

/// Whether whoever writes in place gives up now.
pub(super) fn is_over() -> bool {
    let end = *END.lock().unwrap_or_else(PoisonError::into_inner);
    if end.is_some_and(|end| Instant::now() >= end) {
        return true;
    }
    let mut since = SINCE.lock().unwrap_or_else(PoisonError::into_inner);
    *since = WAITS.get().is_some_and(|waits| waits()).then(|| since.unwrap_or_else(Instant::now));
    since.is_some_and(|since| since.elapsed() >= BEFORE_SIGNAL)
}

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
