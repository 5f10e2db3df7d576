//! Random programs: what the engine leaves out changes nothing about what it finds.

use std::{cell::RefCell, collections::BTreeSet, rc::Rc};

use proptest::prelude::*;

use crate::engine::{Bound, Model, Word, choose, indexed, preempt_disable, preempt_enable, wait_until};

/// What a thread of a random program does.
#[derive(Clone, Copy, Debug)]
enum Action {
    Load(usize),
    StoreSum(usize),
    Add(usize),
    CompareExchange(usize),
    Wait(usize),
    Choose,
    Preemption(bool),
}

fn actions() -> impl Strategy<Value = Vec<Action>> {
    let word = 0..2usize;
    let action = prop_oneof![
        3 => word.clone().prop_map(Action::Load),
        3 => word.clone().prop_map(Action::StoreSum),
        2 => word.clone().prop_map(Action::Add),
        2 => word.clone().prop_map(Action::CompareExchange),
        1 => word.prop_map(Action::Wait),
        1 => Just(Action::Choose),
        1 => any::<bool>().prop_map(Action::Preemption),
    ];
    prop::collection::vec(action, 1..5)
}

type Words = [Word<u64>; 2];
type Program = Vec<(usize, u8, Vec<Action>)>;

fn program() -> impl Strategy<Value = Program> {
    prop::collection::vec((0..2usize, 0..2u8, actions()), 2..4)
}

fn perform(words: &Words, actions: &[Action]) {
    let mut sum = 1;
    let mut off = false;
    for &action in actions {
        match action {
            Action::Load(word) => sum = sum * 3 + words[word].load(),
            Action::StoreSum(word) => words[word].store(sum),
            Action::Add(word) => words[word].add(5),
            Action::CompareExchange(word) => sum += u64::from(words[word].compare_exchange(5, sum)),
            Action::Wait(word) => wait_until("not 5", || words[word].load() != 5),
            Action::Choose => sum += 7 * u64::from(choose("any", 2)),
            Action::Preemption(now_off) if now_off != off => {
                off = now_off;
                if off { preempt_disable() } else { preempt_enable() }
            }
            Action::Preemption(_) => {}
        }
    }
}

/// The states that the words can end with, or that some schedule deadlocks.
fn end_states(program: &Program, search: fn(Model<Words>) -> Model<Words>) -> Option<BTreeSet<[u64; 2]>> {
    let ends = Rc::new(RefCell::new(BTreeSet::new()));
    let seen = Rc::clone(&ends);
    let model = Model::new("random program", || [0, 1].map(|at| Word::new(indexed("word", at), 0)));
    let model = program.iter().cloned().fold(model, |model, (cpu, level, actions)| {
        model.thread("thread", (cpu, level), move |words: &Words| perform(words, &actions))
    });
    let model = search(model.check_end(move |words| {
        seen.borrow_mut().insert([words[0].load(), words[1].load()]);
    }));
    match model.try_explore() {
        Ok(_) => Some(ends.take()),
        Err(failure) => {
            assert!(failure.message.starts_with("deadlock"), "{failure}");
            None
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, ..ProptestConfig::default() })]

    #[test]
    fn pruning_loses_no_end_state(program in program()) {
        let all = end_states(&program, Model::without_pruning);
        let pruned = end_states(&program, |model| model);
        prop_assert_eq!(&all, &pruned);
        // As many switches as there are steps are no bound.
        let bounded = end_states(&program, |model| model.bound(Bound::Switches(100)));
        prop_assert_eq!(&all, &bounded);
        if let Some(all) = all {
            let random = end_states(&program, |model| model.bound(Bound::Random(200, 1))).unwrap();
            prop_assert!(random.is_subset(&all), "{:?} {:?}", random, all);
        }
    }
}
