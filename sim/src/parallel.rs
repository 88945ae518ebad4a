//! Many runs at once: each is deterministic by itself, so the order they finish in is of no matter.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

/// Gives `work` of each item, in the items' order, computed on all processors.
///
/// # Panics
///
/// As `work` does.
pub fn map<T: Sync, R: Send>(items: &[T], work: impl Fn(&T) -> R + Sync) -> Vec<R> {
    let next = AtomicUsize::new(0);
    let run = || {
        let mut own = Vec::new();
        loop {
            let index = next.fetch_add(1, Ordering::Relaxed);
            let Some(item) = items.get(index) else { return own };
            own.push((index, work(item)));
        }
    };
    let workers = thread::available_parallelism().map_or(1, usize::from);
    let mut found: Vec<(usize, R)> = thread::scope(|scope| {
        let workers: Vec<_> = (0..workers).map(|_| scope.spawn(run)).collect();
        let joined = |worker: thread::ScopedJoinHandle<'_, _>| {
            worker.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
        };
        workers.into_iter().flat_map(joined).collect()
    });
    found.sort_by_key(|(index, _)| *index);
    found.into_iter().map(|(_, result)| result).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_item_is_worked_on_once_and_stands_in_its_place() {
        let items: Vec<u64> = (0..1000).collect();
        let calls = AtomicUsize::new(0);
        let squares = map(&items, |n| {
            calls.fetch_add(1, Ordering::Relaxed);
            n * n
        });
        assert!(squares.iter().zip(&items).all(|(square, n)| *square == n * n));
        assert_eq!((squares.len(), calls.into_inner()), (1000, 1000));
        assert!(map(&items[..0], |n| *n).is_empty());
    }
}
