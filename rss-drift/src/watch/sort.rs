//! The order of rows, and which of them are the first.

use std::{borrow::Borrow, fmt};

use crate::{
    drift::sample::Host,
    table::{Column, Record, Value},
};

/// An order of records `R`.
pub(crate) struct Sort<R: 'static> {
    pub field: &'static Column<R>,
    pub reverse: bool,
}

// Derived, these would ask the same of records.
impl<R> Copy for Sort<R> {}

impl<R> Clone for Sort<R> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<R> fmt::Debug for Sort<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}", if self.reverse { "-" } else { "" }, self.field.name)
    }
}

impl<R: Record> Sort<R> {
    /// Sorts rows and cuts them to the limit; how many were cut off.
    pub(super) fn first(&self, rows: &mut Vec<impl Borrow<R>>, limit: Option<usize>, host: &Host) -> u64 {
        let by_rank = |one: &_, other: &_| {
            let (one, other): (&R, &R) = (Borrow::borrow(one), Borrow::borrow(other));
            let (first, second) = (self.field.get(one, host), self.field.get(other, host));
            let order = first.sort_order(&second);
            // What is empty is last in both directions.
            let is_known = first != Value::Empty && second != Value::Empty;
            let order = if self.reverse && is_known { order.reverse() } else { order };
            one.is_last().cmp(&other.is_last()).then(order).then_with(|| one.tie(other))
        };
        let kept = limit.unwrap_or(usize::MAX).min(rows.len());
        let cut = rows.len() - kept;
        if cut > 0 {
            // A report shows ten of thousands: the others need no order.
            rows.select_nth_unstable_by(kept, by_rank);
            rows.truncate(kept);
        }
        rows.sort_by(by_rank);
        cut as u64
    }
}
