//! What words and threads share with the scheduler: one execution runs at a time on an operating system thread.

use std::cell::{Cell, RefCell};

use corosensei::Yielder;

use super::hash::Hash;

/// The side of a coroutine that suspends it.
pub(super) type Pause = Yielder<(), ()>;

/// What a thread waits for. The closure is on the waiting coroutine's stack.
#[derive(Clone, Copy)]
pub(super) struct Condition {
    /// What the thread waits for, for a reader.
    pub(super) label: &'static str,
    closure: *const (),
    holds: unsafe fn(*const ()) -> bool,
}

/// State of the execution and of the thread that runs.
pub(super) struct Runtime {
    /// Whether a thread of the model runs, rather than set-up, a check or the scheduler.
    pub(super) running: Cell<bool>,
    /// The running thread's pause.
    pub(super) pause: Cell<*const Pause>,
    /// What the running thread did and read.
    pub(super) history: Cell<Hash>,
    /// How often the running thread switched preemption off.
    pub(super) unpreemptible: Cell<u32>,
    /// What the thread that paused last waits for.
    pub(super) condition: Cell<Option<Condition>>,
    /// How many results the step that runs can have; 1 but for [`choose`].
    pub(super) results: Cell<u8>,
    /// Which of them it is to have, modulo their number.
    pub(super) result: Cell<u8>,
    /// The set of (word, value).
    pub(super) memory: Cell<Hash>,
    /// Words made so far.
    words: Cell<u32>,
    /// Whether steps are written down.
    pub(super) tracing: Cell<bool>,
}

thread_local! {
    static RUNTIME: Runtime = const {
        Runtime {
            running: Cell::new(false),
            pause: Cell::new(std::ptr::null()),
            history: Cell::new(Hash::EMPTY),
            unpreemptible: Cell::new(0),
            condition: Cell::new(None),
            results: Cell::new(1),
            result: Cell::new(0),
            memory: Cell::new(Hash::EMPTY),
            words: Cell::new(0),
            tracing: Cell::new(false),
        }
    };
    /// The lines of the step that runs, when steps are written down.
    static LINES: RefCell<Vec<String>> = const { RefCell::new(Vec::new()) };
}

/// Calls `with` with the state.
#[inline]
pub(super) fn runtime<R>(with: impl FnOnce(&Runtime) -> R) -> R {
    RUNTIME.with(with)
}

/// Prepares for a new world.
pub(super) fn reset(tracing: bool) {
    runtime(|state| {
        state.running.set(false);
        state.memory.set(Hash::EMPTY);
        state.words.set(0);
        state.tracing.set(tracing);
    });
    LINES.take();
}

/// An id for a word or a container.
pub(super) fn new_id() -> u32 {
    runtime(|state| {
        assert!(!state.running.get(), "words are made with the world, not in a thread");
        let id = state.words.get();
        state.words.set(id + 1);
        id
    })
}

/// Lets the scheduler choose who makes the next step; nothing outside a thread.
#[inline]
pub(super) fn pause() {
    runtime(|state| {
        if state.running.get() {
            // SAFETY: the scheduler sets the pause of the coroutine that it resumes, which lies on the stack of that
            // coroutine; it is this one that runs.
            unsafe { &*state.pause.get() }.suspend(());
        }
    });
}

/// Adds what the running thread did, and read, to its history; nothing outside a thread.
#[inline]
pub(super) fn observe(what: u64, read: u64) {
    runtime(|state| {
        if state.running.get() {
            state.history.set(state.history.get().mix(what).mix(read));
        }
    });
}

/// Writes down what the running thread did, in a trace only.
#[inline]
pub(super) fn trace(line: impl FnOnce() -> String) {
    runtime(|state| {
        if state.tracing.get() && state.running.get() {
            LINES.with_borrow_mut(|lines| lines.push(line()));
        }
    });
}

/// What was written down since the last call.
pub(super) fn take_lines() -> Vec<String> {
    LINES.take()
}

impl Condition {
    /// Whether the thread need not wait any longer.
    pub(super) fn holds(self) -> bool {
        // SAFETY: the closure is a local of `wait_until`, whose coroutine is suspended until the condition holds; the
        // scheduler forgets the condition when it resumes or resets that coroutine.
        unsafe { (self.holds)(self.closure) }
    }
}

/// Calls a closure of the same type as this one through a pointer to it.
const fn holds<C: Fn() -> bool>(_: &C) -> unsafe fn(*const ()) -> bool {
    // SAFETY: the caller's pointer is to a C that lives.
    |closure| unsafe { (*closure.cast::<C>())() }
}

/// What an operation is in a thread's history: the kind, and whose it is.
pub(super) const fn operation(kind: u8, id: u32) -> u64 {
    (kind as u64) << 32 | id as u64
}

const STEP: u8 = 0;
const WAIT: u8 = 1;
const NOTE: u8 = 2;
const CHOICE: u8 = 3;
/// The first kind that words use.
pub(super) const WORD: u8 = 16;
/// The first kind that containers use.
pub(super) const CONTAINER: u8 = 64;

/// A step that touches no word, such as an action of the kernel.
pub(crate) fn step(label: &'static str) {
    pause();
    observe(operation(STEP, 0), 0);
    trace(|| label.to_owned());
}

/// A step that can be made only while `condition` holds. What follows up to the next access of a word is part of the
/// step: a lock is taken by waiting for its word to be 0 and setting it with [`super::Word::quiet`].
///
/// What the condition reads is no part of the thread's history. Outside a thread it has to hold.
pub(crate) fn wait_until(label: &'static str, condition: impl Fn() -> bool) {
    let inside = runtime(|state| {
        if state.running.get() {
            let closure = (&raw const condition).cast();
            state.condition.set(Some(Condition { label, closure, holds: holds(&condition) }));
        }
        state.running.get()
    });
    assert!(inside || condition(), "nothing outside a thread can wait: {label}");
    pause();
    observe(operation(WAIT, 0), 0);
    trace(|| format!("waited until {label}"));
}

/// A step that has each of the results 0 to `results` - 1: something that the model does not decide, such as whether an
/// event is missed. 0 comes first, so that it should be the usual one. Outside a thread there is no choice: 0.
pub(crate) fn choose(label: &'static str, results: u8) -> u8 {
    pause();
    let result = runtime(|state| {
        if !state.running.get() {
            return 0;
        }
        state.results.set(results);
        state.result.get() % results
    });
    observe(operation(CHOICE, 0), u64::from(result));
    trace(|| format!("{label}: {result} of 0 to {}", results - 1));
    result
}

/// Adds a value that did not come from a word to the running thread's history.
pub(crate) fn note(value: u64) {
    observe(operation(NOTE, 0), value);
}

/// Says that the running thread's further steps depend on `value` only, not on anything it did or read before: at the
/// head of a loop with the number of the round, for instance. States that differ in nothing else are then one.
pub(crate) fn forget(value: u64) {
    runtime(|state| {
        if state.running.get() {
            let depth = u64::from(state.unpreemptible.get());
            state.history.set(Hash::EMPTY.mix(value).mix(depth));
        }
    });
}

/// No thread of a higher level starts on this CPU from now on, until as many calls of [`preempt_enable`].
pub(crate) fn preempt_disable() {
    runtime(|state| state.unpreemptible.set(state.unpreemptible.get() + 1));
}

/// Takes one [`preempt_disable`] back.
pub(crate) fn preempt_enable() {
    runtime(|state| {
        let depth = state.unpreemptible.get();
        state.unpreemptible.set(depth.checked_sub(1).expect("preemption was switched off"));
    });
}
