//! Panics of models: told once, with the schedule, not each time that a search runs into them.

use std::{
    any::Any,
    cell::{Cell, RefCell},
    panic,
    sync::Once,
};

thread_local! {
    /// Whether panics on this operating system thread are the search's.
    static OURS: Cell<bool> = const { Cell::new(false) };
    /// Where the last of them came from.
    static PLACE: RefCell<String> = const { RefCell::new(String::new()) };
}

static HOOK: Once = Once::new();

/// Keeps panics on this thread from being printed as long as it lives.
pub(super) struct Quiet(bool);

impl Quiet {
    pub(super) fn new() -> Self {
        HOOK.call_once(|| {
            let others = panic::take_hook();
            panic::set_hook(Box::new(move |info| {
                if OURS.get() {
                    PLACE.set(info.location().map(ToString::to_string).unwrap_or_default());
                } else {
                    others(info);
                }
            }));
        });
        Self(OURS.replace(true))
    }
}

impl Drop for Quiet {
    fn drop(&mut self) {
        OURS.set(self.0);
    }
}

/// What a panic said, and where.
pub(super) fn message(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    let text = text.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("a panic without a message");
    format!("{text}\n(at {})", PLACE.take())
}
