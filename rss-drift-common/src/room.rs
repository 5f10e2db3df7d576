//! How far a CPU that is alone with an mm may go without a look at the state: see [`Slot::alone`].

use crate::{
    member::{MEMBERS, Member},
    memory::{Live, Word},
    slot::{Deltas, Slot},
};

/// By how much the RSS of an mm may change before a peak has to be looked at, in pages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Room {
    /// Upwards.
    pub rise: i64,
    /// Downwards.
    pub fall: i64,
}

/// The values that the kernel's slot of one member may come to.
#[derive(Clone, Copy)]
struct Window {
    low: i64,
    high: i64,
}

impl Room {
    /// No peak depends on it.
    const ENDLESS: Self = Self { rise: i32::MAX as i64, fall: i32::MAX as i64 };
}

impl Window {
    /// Around `seen`, where the slot is: its pending delta stays within `most` pages, RSS within the room. None of the values is 0,
    /// which is what a fold leaves.
    #[inline(always)]
    fn of(seen: i64, pending: i64, most: i64, room: Room) -> Self {
        let low = seen - room.fall.min(most + pending);
        let high = seen + room.rise.min(most - pending);
        if seen < 0 { Self { low, high: high.min(-1) } } else { Self { low: low.max(1), high } }
    }

    /// What is left of a room when the slot has gone from `seen` as far as it may.
    #[inline(always)]
    fn rest_of(self, room: Room, seen: i64) -> Room {
        Room { rise: room.rise - (self.high - seen).max(0), fall: room.fall - (seen - self.low).max(0) }
    }
}

impl<W: Live> Slot<W> {
    /// Whether an update of `member` that left the kernel's slot at `now` needs no look at the state. [`Slot::alone`] was the mm's.
    #[inline(always)]
    #[must_use]
    pub fn allows(&self, member: usize, now: i32) -> bool {
        let member = member & (MEMBERS - 1);
        now.wrapping_sub(self.low[member].get()).cast_unsigned() < self.width[member].get()
    }

    /// Updates of the slot's mm have to look at its state again.
    #[inline(always)]
    pub fn forbid(&self) {
        self.alone.set(0);
    }

    /// How far the kernel's slots may go, which this CPU saw last at `seen`: no pending delta comes to the threshold, and RSS stays
    /// within the room. Of that the member of the last update gets all that it can use, so that while it grows it comes here once a batch.
    /// The two other members of an RSS get half of what is left each; after an update of swap there are three, and each gets a quarter.
    #[inline(always)]
    pub fn set_room(&self, seen: Deltas, member: u32, room: Room, threshold: u32) {
        let most = i64::from(threshold) - 1;
        let (mut left, mut shift) = (room, 2);
        if member != Member::Swap as u32 {
            let place = member as usize & (MEMBERS - 1);
            let now = i64::from(seen[place]);
            left = Window::of(now, i64::from(self.pending[place].get()), most, room).rest_of(room, now);
            shift = 1;
        }
        let share = Room { rise: left.rise >> shift, fall: left.fall >> shift };
        let room_of = |other: usize| if member as usize == other { room } else { share };
        self.set_window::<0>(seen[0], most, room_of(0));
        self.set_window::<1>(seen[1], most, room_of(1));
        self.set_window::<2>(seen[2], most, Room::ENDLESS);
        self.set_window::<3>(seen[3], most, room_of(3));
    }

    #[inline(always)]
    fn set_window<const MEMBER: usize>(&self, seen: i32, most: i64, room: Room) {
        let window = Window::of(i64::from(seen), i64::from(self.pending[MEMBER].get()), most, room);
        let width = (window.high - window.low + 1).max(0);
        #[expect(clippy::cast_possible_truncation, reason = "a kernel's slot has 32 bits")]
        let (low, width) = (window.low as i32, width.cast_unsigned() as u32);
        self.low[MEMBER].set(low);
        self.width[MEMBER].set(width);
    }
}
