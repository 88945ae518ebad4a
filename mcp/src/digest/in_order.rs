//! Work in several threads whose results are taken in the order in which it was given out.

use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;

/// Results that wait for an earlier one, at most: work that takes long holds the others up then.
const AHEAD: u64 = 256;

/// Does each piece of work in one of so many threads, each with room of its own that it may use again, and takes
/// the results in order, until they are all taken or `take` breaks it off.
pub(super) fn in_order<T, R: Send, B: Default>(
    tasks: impl Iterator<Item = T> + Send,
    threads: usize,
    work: impl Fn(T, &mut B) -> R + Sync,
    mut take: impl FnMut(R) -> ControlFlow<()>,
) {
    let feed = Mutex::new((tasks, 0_u64));
    let results = Results { state: Mutex::new(State::default()), changed: Condvar::new() };
    thread::scope(|scope| {
        for _ in 0..threads.max(1) {
            scope.spawn(|| {
                let _guard = Guard(&results);
                let mut room = B::default();
                loop {
                    let (task, number) = {
                        let mut feed = feed.lock().unwrap_or_else(PoisonError::into_inner);
                        let number = feed.1;
                        if !results.has_room(number) {
                            return;
                        }
                        let Some(task) = feed.0.next() else { return results.end(number) };
                        feed.1 += 1;
                        (task, number)
                    };
                    let result = work(task, &mut room);
                    results.put(number, result);
                }
            });
        }
        while let Some(result) = results.next() {
            if take(result).is_break() {
                results.end(0);
            }
        }
    });
}

struct Results<R> {
    state: Mutex<State<R>>,
    changed: Condvar,
}

struct State<R> {
    done: BTreeMap<u64, R>,
    taken: u64,
    /// So many there are in all.
    end: Option<u64>,
}

impl<R> Default for State<R> {
    fn default() -> Self {
        Self { done: BTreeMap::new(), taken: 0, end: None }
    }
}

impl<R> Results<R> {
    fn lock(&self) -> MutexGuard<'_, State<R>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn wait<'a>(&self, state: MutexGuard<'a, State<R>>) -> MutexGuard<'a, State<R>> {
        self.changed.wait(state).unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits until the result of this number may come; `false`: nobody wants more.
    fn has_room(&self, number: u64) -> bool {
        let mut state = self.lock();
        while state.end.is_none() && number >= state.taken + AHEAD {
            state = self.wait(state);
        }
        state.end.is_none()
    }

    fn put(&self, number: u64, result: R) {
        self.lock().done.insert(number, result);
        self.changed.notify_all();
    }

    fn end(&self, at: u64) {
        let mut state = self.lock();
        state.end = Some(state.end.map_or(at, |end| end.min(at)));
        drop(state);
        self.changed.notify_all();
    }

    fn next(&self) -> Option<R> {
        let mut state = self.lock();
        loop {
            let number = state.taken;
            if state.end.is_some_and(|end| number >= end) {
                return None;
            }
            if let Some(result) = state.done.remove(&number) {
                state.taken += 1;
                drop(state);
                self.changed.notify_all();
                return Some(result);
            }
            state = self.wait(state);
        }
    }
}

/// A thread that panics ends it all: nobody waits for its result, and the panic comes out of the scope.
struct Guard<'a, R>(&'a Results<R>);

impl<R> Drop for Guard<'_, R> {
    fn drop(&mut self) {
        if thread::panicking() {
            self.0.end(0);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Barrier;
    use std::sync::atomic::{AtomicU64, Ordering};

    #[test]
    fn results_come_in_order_and_are_worked_on_at_the_same_time() {
        // Two at a time, or it never ends.
        let (barrier, mut taken) = (Barrier::new(2), Vec::new());
        let work = |n: u64, (): &mut ()| {
            barrier.wait();
            n * 3
        };
        in_order(0..1000_u64, 2, work, |n| {
            taken.push(n);
            ControlFlow::Continue(())
        });
        assert_eq!(taken, (0..1000).map(|n| n * 3).collect::<Vec<_>>());
    }

    #[test]
    fn what_is_not_taken_holds_back_what_is_given_out() {
        let (given, mut taken) = (AtomicU64::new(0), 0);
        let tasks = (0..10_000_u64).inspect(|_| {
            given.fetch_add(1, Ordering::SeqCst);
        });
        in_order(
            tasks,
            3,
            |n, (): &mut ()| n,
            |n| {
                taken = n + 1;
                assert!(given.load(Ordering::SeqCst) <= taken + AHEAD, "{n}");
                if n == 5000 { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
            },
        );
        assert_eq!(taken, 5001);
        assert!(given.into_inner() <= taken + AHEAD);
    }

    #[test]
    fn a_panic_of_a_thread_is_not_waited_for() {
        let run = || {
            let work = |n: u64, (): &mut ()| assert!(n < 7, "the seventh");
            in_order(0..100_u64, 2, work, |()| ControlFlow::Continue(()));
        };
        assert!(std::panic::catch_unwind(run).is_err());
    }
}
