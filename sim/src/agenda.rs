//! The one event queue: what happens next, in virtual time.

use core::cmp::Ordering;
use std::collections::BinaryHeap;
use tcpxm::proto::time::Instant;

/// Events ordered by time, then by the order in which they were entered. The second rule makes
/// runs repeatable: a heap alone says nothing about events of the same moment.
#[derive(Debug)]
pub(crate) struct Agenda<T> {
    heap: BinaryHeap<Entry<T>>,
    entered: u64,
    now: Instant,
}

#[derive(Debug)]
struct Entry<T> {
    at: Instant,
    seq: u64,
    what: T,
}

impl<T> Agenda<T> {
    pub(crate) fn new() -> Self {
        Self { heap: BinaryHeap::new(), entered: 0, now: Instant::ZERO }
    }

    /// The time of the event that was taken last.
    pub(crate) fn now(&self) -> Instant {
        self.now
    }

    /// Enters an event; one that lies in the past happens now.
    pub(crate) fn enter(&mut self, at: Instant, what: T) {
        self.entered += 1;
        self.heap.push(Entry { at: at.max(self.now), seq: self.entered, what });
    }

    /// Takes the next event and moves the clock to it.
    pub(crate) fn next(&mut self) -> Option<T> {
        let entry = self.heap.pop()?;
        self.now = entry.at;
        Some(entry.what)
    }
}

impl<T> Ord for Entry<T> {
    /// Reversed, since `BinaryHeap` gives the greatest first.
    fn cmp(&self, other: &Self) -> Ordering {
        (other.at, other.seq).cmp(&(self.at, self.seq))
    }
}

impl<T> PartialOrd for Entry<T> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl<T> PartialEq for Entry<T> {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl<T> Eq for Entry<T> {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_come_by_time_and_then_in_the_order_they_were_entered() {
        let mut agenda = Agenda::new();
        for (at, what) in [(5, 'c'), (1, 'a'), (5, 'd'), (3, 'b'), (5, 'e')] {
            agenda.enter(Instant::from_nanos(at), what);
        }
        let order: String = std::iter::from_fn(|| agenda.next()).collect();
        assert_eq!(order, "abcde");
        assert_eq!(agenda.now(), Instant::from_nanos(5));
    }

    #[test]
    fn the_clock_never_goes_back() {
        let mut agenda = Agenda::new();
        agenda.enter(Instant::from_nanos(9), 1);
        agenda.next();
        agenda.enter(Instant::from_nanos(2), 2);
        assert_eq!(agenda.next(), Some(2));
        assert_eq!(agenda.now(), Instant::from_nanos(9));
    }
}
