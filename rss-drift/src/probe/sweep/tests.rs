use std::collections::BTreeMap;

use super::*;

const MM: u64 = 0xffff_0000;
const OLD: Found = Found { mm: MM, index: 3, id: 30, events: 7 };
/// The state of the next mm at the address.
const NEW: Found = Found { mm: MM, index: 4, id: 40, events: 1 };

/// What BPF programs do before a call of the sweep.
type Meanwhile = (&'static str, fn(&mut Fake));

/// Maps without a kernel.
#[derive(Default)]
struct Fake {
    entries: BTreeMap<u64, u32>,
    /// Those that have an id.
    states: BTreeMap<u32, Found>,
    limbo: VecDeque<u64>,
    freed: Vec<u32>,
    births: u64,
    deaths: u64,
    meanwhile: Option<Meanwhile>,
}

impl Fake {
    /// One mm, which no task has.
    fn new() -> Self {
        let mut fake = Self::default();
        fake.begin(OLD);
        fake
    }

    fn begin(&mut self, found: Found) {
        self.entries.insert(found.mm, found.index);
        self.states.insert(found.index, found);
        self.births += 1;
    }

    /// A BPF program sees the end of the mm.
    fn end(&mut self) {
        let index = self.entries.remove(&MM).expect("an entry");
        self.states.remove(&index);
        self.freed.push(index);
        self.deaths += 1;
    }

    fn end_and_begin(&mut self) {
        self.end();
        self.begin(NEW);
    }

    /// A new mm at the address takes the state over.
    fn renew(&mut self) {
        self.states.get_mut(&OLD.index).expect("a state").id = 31;
    }

    fn before(&mut self, call: &'static str) {
        if self.meanwhile.is_some_and(|(name, _)| name == call)
            && let Some((_, act)) = self.meanwhile.take()
        {
            act(self);
        }
    }
}

impl Table for Fake {
    fn counts(&mut self) -> Result<Counts, ProbeError> {
        Ok(Counts { births: self.births, deaths: self.deaths, ..Counts::default() })
    }
    fn entries(&mut self) -> Result<Vec<Found>, ProbeError> {
        Ok(self.entries.values().map(|index| self.states[index]).collect())
    }
    fn states(&mut self) -> Result<Vec<Found>, ProbeError> {
        Ok(self.states.values().copied().collect())
    }
    fn entry(&mut self, mm: u64) -> Result<Option<u32>, ProbeError> {
        self.before("entry");
        Ok(self.entries.get(&mm).copied())
    }
    fn id(&mut self, index: u32) -> Result<u64, ProbeError> {
        self.before("id");
        Ok(self.states.get(&index).map_or(0, |found| found.id))
    }
    fn remove(&mut self, mm: u64) -> Result<bool, ProbeError> {
        self.before("remove");
        Ok(self.entries.remove(&mm).is_some())
    }
    fn finish(&mut self, index: u32) -> Result<(), ProbeError> {
        self.before("finish");
        self.states.remove(&index);
        Ok(())
    }
    fn free(&mut self, index: u32) -> Result<(), ProbeError> {
        assert!(!self.freed.contains(&index), "index {index} is free already");
        self.freed.push(index);
        Ok(())
    }
    fn waiting(&mut self) -> Result<Option<u64>, ProbeError> {
        Ok(self.limbo.pop_front())
    }
}

/// Readings for a while, that find a task of the states with these ids.
fn readings(sweep: &mut Sweep, fake: &mut Fake, visited: &[u64]) {
    let start = Instant::now();
    let visited = visited.iter().copied().collect();
    for reading in 0..12 {
        let now = start + Duration::from_millis(600) * reading;
        sweep.release(fake, now).expect("maps");
        sweep.sweep(fake, &visited, now).expect("maps");
        if sweep.lost {
            sweep.find_orphans(fake, now).expect("maps");
        }
    }
}

/// What is left after readings with this in between, where both mms have no task.
fn left_after(call: &'static str, act: fn(&mut Fake)) -> (Sweep, Fake) {
    let (mut sweep, mut fake) = (Sweep::default(), Fake::new());
    fake.meanwhile = Some((call, act));
    readings(&mut sweep, &mut fake, &[]);
    assert!(fake.meanwhile.is_none(), "{call} was called");
    (sweep, fake)
}

#[test]
fn a_state_is_gone_after_readings_and_a_second_without_an_event() {
    let start = Instant::now();
    let at = |milliseconds| start + Duration::from_millis(milliseconds);
    let mut seen = Sighting { events: 5, since: start, readings: 0 };
    assert!(!seen.again(5, at(0)));
    assert!(!seen.again(5, at(10)));
    assert!(!seen.again(5, at(20)), "readings can follow each other at once");
    assert!(seen.again(5, at(1000)));
    assert!(!seen.again(6, at(1500)), "an event");
    assert!(!seen.again(6, at(2600)));
    assert!(seen.again(6, at(2700)));
}

#[test]
fn an_mm_without_a_task_is_swept() {
    let (mut sweep, mut fake) = (Sweep::default(), Fake::new());
    readings(&mut sweep, &mut fake, &[]);
    assert_eq!((sweep.swept, fake.freed), (1, vec![OLD.index]));
    assert!(fake.entries.is_empty() && fake.states.is_empty());
}

#[test]
fn an_mm_with_a_task_stays() {
    let (mut sweep, mut fake) = (Sweep::default(), Fake::new());
    readings(&mut sweep, &mut fake, &[OLD.id]);
    assert_eq!((sweep.swept, fake.states.len()), (0, 1));
}

/// Whenever the mm ends, its index is free once.
#[test]
fn an_end_beside_the_sweep_frees_once() {
    for call in ["entry", "id", "remove"] {
        let (sweep, fake) = left_after(call, Fake::end);
        assert_eq!((sweep.swept, &fake.freed[..]), (0, &[OLD.index][..]), "{call}");
    }
}

/// Before the last look the entry of the new mm is seen to be another one, and stays.
#[test]
fn the_entry_of_a_new_mm_at_the_address_stays() {
    for call in ["entry", "id"] {
        let mut fake = Fake::new();
        fake.meanwhile = Some((call, Fake::end_and_begin));
        assert_eq!(take_away(&mut fake, &OLD).expect("maps"), Taken::Nothing, "{call}");
        assert!(fake.meanwhile.is_none(), "{call} was called");
        assert_eq!((fake.entries[&MM], fake.states[&NEW.index]), (NEW.index, NEW), "{call}");
    }
}

/// Behind it the entry goes; no index is free that somebody has, and the state that was lost is found.
#[test]
fn a_state_that_lost_its_entry_is_found() {
    let (sweep, fake) = left_after("remove", Fake::end_and_begin);
    assert_eq!((sweep.swept, &fake.freed[..]), (1, &[OLD.index, NEW.index][..]));
    assert!(fake.states.is_empty() && !sweep.lost);
}

/// The same when a new mm takes the state over.
#[test]
fn a_state_that_is_taken_over_is_free_once() {
    for call in ["entry", "id", "remove", "finish"] {
        let (sweep, fake) = left_after(call, Fake::renew);
        assert_eq!(fake.freed, [OLD.index], "{call}");
        assert!(fake.entries.is_empty() && fake.states.is_empty() && !sweep.lost, "{call}");
    }
}

/// What the BPF programs let go of is free after a while; a state that they lost is looked for.
#[test]
fn what_programs_let_go_of_is_free() {
    let (mut sweep, mut fake) = (Sweep::default(), Fake::new());
    fake.begin(Found { mm: 1, ..NEW });
    fake.entries.remove(&1);
    fake.limbo = [9, limbo::LOST].into();
    readings(&mut sweep, &mut fake, &[OLD.id]);
    assert_eq!(fake.freed, [9, NEW.index]);
    assert_eq!((fake.states.len(), sweep.lost), (1, false));
}

/// A state that is being made has no entry yet.
#[test]
fn a_state_that_is_being_made_is_no_orphan() {
    let (mut sweep, mut fake) = (Sweep::default(), Fake::default());
    fake.states.insert(NEW.index, NEW);
    let now = Instant::now();
    sweep.find_orphans(&mut fake, now).expect("maps");
    fake.begin(NEW);
    sweep.lost = true;
    sweep.find_orphans(&mut fake, now + QUIET).expect("maps");
    assert_eq!((sweep.swept, sweep.lost), (0, false));
}
