//! One execution: coroutines over a world, a step at a time.

use std::{
    fmt::Write,
    panic::{AssertUnwindSafe, catch_unwind},
    rc::Rc,
};

use corosensei::{Coroutine, CoroutineResult, stack::DefaultStack};

use super::{
    hash::Hash,
    model::Model,
    panics,
    runtime::{self, Condition, Pause, runtime},
};

/// Bytes of a thread's stack; untouched pages cost nothing. A panic's backtrace needs more than the code does.
const STACK: usize = 512 << 10;

/// A coroutine returns the message of its panic.
type Fiber = Coroutine<(), (), Option<String>, DefaultStack>;

struct Thread {
    state: State,
    fiber: Option<Fiber>,
    pause: *const Pause,
    history: Hash,
    unpreemptible: u32,
    condition: Option<Condition>,
    /// What this thread is in the state's hash.
    share: Hash,
    /// The thread that it interrupted.
    below: Option<usize>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    Fresh,
    Started,
    Ended,
}

/// Threads under way. Stacks are kept from one execution to the next.
pub(super) struct Execution<'m, W> {
    model: &'m Model<W>,
    world: Rc<W>,
    threads: Vec<Thread>,
    /// The thread that has each CPU.
    tops: Vec<Option<usize>>,
    stacks: Vec<DefaultStack>,
    /// The sum of the threads' shares.
    shares: Hash,
    unfinished: usize,
}

impl<'m, W: 'static> Execution<'m, W> {
    /// An execution at its start.
    pub(super) fn new(model: &'m Model<W>, tracing: bool) -> Self {
        runtime::reset(tracing);
        let fresh = || Thread {
            state: State::Fresh,
            fiber: None,
            pause: std::ptr::null(),
            history: Hash::EMPTY,
            unpreemptible: 0,
            condition: None,
            share: Hash::default(),
            below: None,
        };
        let cpus = model.threads.iter().map(|thread| thread.cpu + 1).max().unwrap_or(0);
        Self {
            model,
            world: Rc::new((model.make)()),
            threads: model.threads.iter().map(|_| fresh()).collect(),
            tops: vec![None; cpus],
            stacks: Vec::new(),
            shares: Hash::default(),
            unfinished: model.threads.len(),
        }
    }

    /// Back to the start, with a new world.
    pub(super) fn restart(&mut self) {
        self.abandon();
        for thread in &mut self.threads {
            thread.state = State::Fresh;
            thread.history = Hash::EMPTY;
            thread.unpreemptible = 0;
            thread.share = Hash::default();
            thread.below = None;
        }
        self.tops.fill(None);
        self.shares = Hash::default();
        self.unfinished = self.threads.len();
        runtime::reset(false);
        self.world = Rc::new((self.model.make)());
    }

    /// Gives up threads that have not ended.
    fn abandon(&mut self) {
        for thread in &mut self.threads {
            thread.condition = None;
            if let Some(mut fiber) = thread.fiber.take() {
                if !fiber.done() {
                    // SAFETY: nothing else refers to the coroutine's stack: the condition is forgotten above, the pause
                    // is used only while the coroutine runs. Locals that are not dropped are leaked, no more.
                    unsafe { fiber.force_reset() };
                }
                self.stacks.push(fiber.into_stack());
            }
        }
    }

    /// The threads that can make a step, as bits.
    pub(super) fn enabled(&self) -> u32 {
        let mut enabled = 0;
        for (number, thread) in self.threads.iter().enumerate() {
            let can = match thread.state {
                State::Fresh => self.can_start(number),
                State::Started => {
                    self.tops[self.model.threads[number].cpu] == Some(number)
                        && thread.condition.is_none_or(Condition::holds)
                }
                State::Ended => false,
            };
            enabled |= u32::from(can) << number;
        }
        enabled
    }

    fn can_start(&self, number: usize) -> bool {
        let thread = &self.model.threads[number];
        let preempts = self.tops[thread.cpu].is_none_or(|top| {
            self.model.threads[top].level < thread.level && self.threads[top].unpreemptible == 0
        });
        preempts
            && !(self.model.program_order
                && self.model.threads[..number].iter().zip(&self.threads).any(|(before, running)| {
                    (before.cpu, before.level) == (thread.cpu, thread.level) && running.state != State::Ended
                }))
            && thread.guard.as_ref().is_none_or(|guard| guard(&self.world))
    }

    /// Whether all threads have ended.
    pub(super) fn ended(&self) -> bool {
        self.unfinished == 0
    }

    /// The hash of memory and threads.
    pub(super) fn state(&self) -> Hash {
        runtime(|state| state.memory.get()).mix_all(self.shares)
    }

    /// The world.
    pub(super) fn world(&self) -> &W {
        &self.world
    }

    /// The threads that have not ended and what they wait for, for a reader.
    pub(super) fn waiting(&self) -> String {
        let mut text = String::new();
        for (thread, running) in self.model.threads.iter().zip(&self.threads) {
            let what = match (running.state, running.condition) {
                (State::Ended, _) => continue,
                (State::Fresh, _) => "cannot start",
                (State::Started, None) => "is interrupted",
                (State::Started, Some(condition)) => condition.label,
            };
            let _ = write!(text, " {}: {what};", thread.name);
        }
        text
    }

    /// One step of an enabled thread, with this result where it chooses one. Returns how many results it has. A panic's
    /// message is an error.
    #[inline]
    pub(super) fn step(&mut self, number: u8, result: u8) -> Result<u8, String> {
        runtime(|state| {
            state.results.set(1);
            state.result.set(result);
        });
        self.step_thread(usize::from(number))?;
        Ok(runtime(|state| state.results.get()))
    }

    #[inline]
    fn step_thread(&mut self, number: usize) -> Result<(), String> {
        if self.threads[number].state == State::Fresh {
            self.start(number);
            // Up to the first access.
            self.resume(number)?;
            let thread = &self.threads[number];
            if thread.state == State::Ended || !thread.condition.is_none_or(Condition::holds) {
                return Ok(());
            }
        }
        self.resume(number)
    }

    fn start(&mut self, number: usize) {
        let body: *const (dyn Fn(&W) + 'static) = &raw const *self.model.threads[number].body;
        let world: *const W = Rc::as_ptr(&self.world);
        let stack = self
            .stacks
            .pop()
            .unwrap_or_else(|| DefaultStack::new(STACK).expect("memory for a thread's stack"));
        let thread = &mut self.threads[number];
        thread.fiber = Some(Fiber::with_stack(stack, move |pause, ()| {
            runtime(|state| state.pause.set(std::ptr::from_ref(pause)));
            // SAFETY: model and world outlive the coroutine: `abandon` ends it before either goes.
            let run = || unsafe { (*body)(&*world) };
            catch_unwind(AssertUnwindSafe(run)).err().map(|panic| panics::message(&*panic))
        }));
        thread.state = State::Started;
        let cpu = self.model.threads[number].cpu;
        thread.below = self.tops[cpu].replace(number);
    }

    #[inline]
    fn resume(&mut self, number: usize) -> Result<(), String> {
        let thread = &mut self.threads[number];
        runtime(|state| {
            state.pause.set(thread.pause);
            state.history.set(thread.history);
            state.unpreemptible.set(thread.unpreemptible);
            state.condition.set(None);
            state.running.set(true);
        });
        let result = thread.fiber.as_mut().expect("a started thread has a coroutine").resume(());
        runtime(|state| {
            state.running.set(false);
            thread.pause = state.pause.get();
            thread.history = state.history.get();
            thread.unpreemptible = state.unpreemptible.get();
            thread.condition = state.condition.take();
        });
        let share = Hash::EMPTY.mix(number as u64);
        let share = match result {
            CoroutineResult::Yield(()) => share.mix_all(thread.history),
            CoroutineResult::Return(None) => {
                // What it has read matters no more.
                thread.state = State::Ended;
                self.tops[self.model.threads[number].cpu] = thread.below;
                self.unfinished -= 1;
                share
            }
            CoroutineResult::Return(Some(message)) => return Err(message),
        };
        self.shares = self.shares.without(thread.share).with(share);
        thread.share = share;
        Ok(())
    }
}

impl<W> Drop for Execution<'_, W> {
    fn drop(&mut self) {
        for thread in &mut self.threads {
            if let Some(fiber) = thread.fiber.as_mut().filter(|fiber| !fiber.done()) {
                // SAFETY: as in `abandon`.
                unsafe { fiber.force_reset() };
            }
        }
    }
}
