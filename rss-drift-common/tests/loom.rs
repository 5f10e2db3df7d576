//! The protocol under loom: every interleaving that the C11 memory model allows.
//!
//! `RUSTFLAGS="--cfg loom" cargo test --locked -p rss-drift-common --test loom --release`, or `cargo xtask model`.
#![cfg(loom)]

#[path = "loom/alone.rs"]
mod alone;
#[path = "loom/events.rs"]
mod events;
#[path = "loom/exact.rs"]
mod exact;
mod host;
#[path = "loom/lifecycle.rs"]
mod lifecycle;
#[path = "host/loom_words.rs"]
mod loom_words;
#[path = "loom/pertask.rs"]
mod pertask;
#[path = "loom/reader.rs"]
mod reader;
#[path = "loom/search.rs"]
mod search;

use host::smoke;
use loom::{
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
    thread,
};

/// Two threads store to a word of their own and load the other's; returns whether both loaded 0.
fn store_buffering(store: Ordering, load: Ordering) -> bool {
    let both = std::sync::Arc::new(std::sync::atomic::AtomicBool::new(false));
    let seen = std::sync::Arc::clone(&both);
    loom::model(move || {
        let words = Arc::new([AtomicU32::new(0), AtomicU32::new(0)]);
        let others = Arc::clone(&words);
        let other = thread::spawn(move || {
            others[1].store(1, store);
            others[0].load(load)
        });
        words[0].store(1, store);
        let here = words[1].load(load);
        if here == 0 && other.join().expect("the other thread ends") == 0 {
            seen.store(true, Ordering::Relaxed);
        }
    });
    both.load(Ordering::Relaxed)
}

/// The engine of tests/model is sequentially consistent and cannot find this.
#[test]
fn store_buffering_is_found() {
    assert!(store_buffering(Ordering::Relaxed, Ordering::Relaxed));
    assert!(store_buffering(Ordering::Release, Ordering::Acquire));
}

/// An update by an atomic add is never lost, also relaxed.
#[test]
fn atomic_adds_are_not_lost() {
    loom::model(|| {
        let word = Arc::new(AtomicU32::new(0));
        let others = Arc::clone(&word);
        let other = thread::spawn(move || others.fetch_add(1, Ordering::Relaxed));
        word.fetch_add(1, Ordering::Relaxed);
        other.join().expect("the other thread ends");
        assert_eq!(word.load(Ordering::Relaxed), 2);
    });
}

#[test]
fn one_cpu_is_exact() {
    smoke::one_cpu(false).search(search::WHOLE);
}

#[test]
fn one_task_is_exact() {
    smoke::one_task().search(search::WHOLE);
}
