//! Random programs: what the engine leaves out changes nothing about what it finds.

use std::{cell::RefCell, collections::BTreeSet, rc::Rc};

use proptest::prelude::*;

use crate::engine::{
    Bound, Fifo, List, Model, Table, Word, choose, indexed, preempt_disable, preempt_enable, wait_until,
};

/// All kinds of memory.
struct World {
    words: [Word<u64>; 2],
    index: Table,
    free: List<u64>,
    limbo: Fifo<u64>,
}

impl World {
    fn new() -> Self {
        let words = [0, 1].map(|at| Word::new(indexed("word", at), 0));
        Self {
            words,
            index: Table::new("index", 2),
            free: List::new("free", 3),
            limbo: Fifo::new("limbo", 3),
        }
    }

    /// All that is in it, for a check at the end.
    fn contents(&self) -> Vec<u64> {
        let words = self.words.iter().map(Word::load);
        let index = (0..2).map(|key| self.index.find(key).map_or(99, u64::from));
        let free = std::iter::from_fn(|| self.free.pop());
        let limbo = std::iter::from_fn(|| self.limbo.pop());
        words.chain(index).chain(free).chain([77]).chain(limbo).collect()
    }
}

/// What a thread of a random program does.
#[derive(Clone, Copy, Debug)]
enum Action {
    Load(usize),
    StoreSum(usize),
    Swap(usize),
    Add(usize),
    FetchAdd(usize),
    FetchOr(usize),
    CompareExchange(usize),
    Find(u64),
    Insert(u64),
    Remove(u64),
    PushFree,
    PopFree,
    PushLimbo,
    PeekLimbo,
    PopLimbo,
    Wait(usize),
    Choose,
    Preemption(bool),
}

fn actions() -> impl Strategy<Value = Vec<Action>> {
    let word = || 0..2usize;
    let key = || 0..2u64;
    let words = prop_oneof![
        3 => word().prop_map(Action::Load),
        3 => word().prop_map(Action::StoreSum),
        1 => word().prop_map(Action::Swap),
        2 => word().prop_map(Action::Add),
        1 => word().prop_map(Action::FetchAdd),
        1 => word().prop_map(Action::FetchOr),
        2 => word().prop_map(Action::CompareExchange),
    ];
    let containers = prop_oneof![
        key().prop_map(Action::Find),
        key().prop_map(Action::Insert),
        key().prop_map(Action::Remove),
        Just(Action::PushFree),
        Just(Action::PopFree),
        Just(Action::PushLimbo),
        Just(Action::PeekLimbo),
        Just(Action::PopLimbo),
    ];
    let others = prop_oneof![
        word().prop_map(Action::Wait),
        Just(Action::Choose),
        any::<bool>().prop_map(Action::Preemption)
    ];
    prop::collection::vec(prop_oneof![3 => words, 3 => containers, 1 => others], 1..5)
}

type Program = Vec<(usize, u8, Vec<Action>)>;

fn program() -> impl Strategy<Value = Program> {
    prop::collection::vec((0..2usize, 0..2u8, actions()), 2..4)
}

fn perform(world: &World, actions: &[Action]) {
    let World { words: shared, index, free, limbo } = world;
    let mut sum = 1;
    let mut off = false;
    for &action in actions {
        sum = 3 * sum
            + match action {
                Action::Load(at) => shared[at].load(),
                Action::Swap(at) => shared[at].swap(sum),
                Action::FetchAdd(at) => shared[at].fetch_add(2),
                Action::FetchOr(at) => shared[at].fetch_or(4),
                Action::CompareExchange(at) => u64::from(shared[at].compare_exchange(5, sum)),
                Action::Find(key) => index.find(key).map_or(0, u64::from),
                Action::Insert(key) => u64::from(index.insert(key, u32::try_from(sum % 5).unwrap_or(0))),
                Action::Remove(key) => u64::from(index.remove(key)),
                Action::PushFree => u64::from(free.push(sum % 7)),
                Action::PopFree => free.pop().unwrap_or(8),
                Action::PushLimbo => u64::from(limbo.push(sum % 7)),
                Action::PeekLimbo => limbo.peek().unwrap_or(8),
                Action::PopLimbo => limbo.pop().unwrap_or(8),
                Action::Choose => u64::from(choose("any", 2)),
                other => {
                    match other {
                        Action::StoreSum(at) => shared[at].store(sum),
                        Action::Add(at) => shared[at].add(5),
                        Action::Wait(at) => wait_until("not 5", || shared[at].load() != 5),
                        Action::Preemption(now_off) if now_off != off => {
                            off = now_off;
                            if off { preempt_disable() } else { preempt_enable() }
                        }
                        _ => {}
                    }
                    0
                }
            };
    }
    // What a thread has come to shows.
    shared[0].fetch_add(sum << 8);
}

/// The contents that the world can end with; none where a schedule deadlocks.
fn end_states(program: &Program, search: fn(Model<World>) -> Model<World>) -> Option<BTreeSet<Vec<u64>>> {
    let ends = Rc::new(RefCell::new(BTreeSet::new()));
    let seen = Rc::clone(&ends);
    let model = Model::new("random program", World::new);
    let model = program.iter().cloned().fold(model, |model, (cpu, level, actions)| {
        model.thread("thread", (cpu, level), move |world: &World| perform(world, &actions))
    });
    let model = search(model.check_end(move |world| {
        seen.borrow_mut().insert(world.contents());
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
    #![proptest_config(ProptestConfig { cases: 512, ..ProptestConfig::default() })]

    #[test]
    fn pruning_loses_no_end_state(program in program()) {
        let all = end_states(&program, Model::without_pruning);
        let pruned = end_states(&program, |model| model);
        prop_assert_eq!(&all, &pruned);
        // As many switches as there are steps are no bound.
        let bounded = end_states(&program, |model| model.bound(Bound::Switches(100)));
        prop_assert_eq!(&all, &bounded);
        let few = end_states(&program, |model| model.bound(Bound::Switches(1)));
        let few_unpruned = end_states(&program, |model| model.bound(Bound::Switches(1)).without_pruning());
        prop_assert_eq!(few, few_unpruned);
        if let Some(all) = all {
            let random = end_states(&program, |model| model.bound(Bound::Random(200, 1))).unwrap();
            prop_assert!(random.is_subset(&all), "{:?} {:?}", random, all);
        }
    }
}
