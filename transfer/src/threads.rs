//! Work that this thread shares with others, as many as the system gives.

use std::thread::{self, Builder};

/// Threads that hash one file, or the files of one part of a list, at most: as many are quicker than what they read from,
/// at one to two GB/s each.
const HASHING: usize = 16;

/// How many threads are to hash.
pub(crate) fn hashing() -> usize {
    thread::available_parallelism().map_or(1, usize::from).min(HASHING)
}

/// Does `own` in this thread and `work` in so many others. Where there cannot be as many (`EAGAIN` of clone(2)), fewer do
/// it: it must be work of which each takes what is left. Whether all have come to their end, and none has panicked.
pub(crate) fn beside(others: usize, work: impl Fn() + Sync, own: impl FnOnce()) -> bool {
    beside_as(Builder::new, others, work, own)
}

fn beside_as(
    builder: impl Fn() -> Builder,
    others: usize,
    work: impl Fn() + Sync,
    own: impl FnOnce(),
) -> bool {
    let work = &work;
    thread::scope(|scope| {
        let begun = (0..others).map_while(|_| builder().spawn_scoped(scope, work).ok());
        let begun: Vec<_> = begun.collect();
        own();
        let ended: Vec<bool> = begun.into_iter().map(|one| one.join().is_ok()).collect();
        ended.into_iter().all(|ended| ended)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Mutex;
    use std::sync::atomic::{AtomicUsize, Ordering};

    /// Counts up to a thousand by several threads; how many began, and whether all came to their end.
    fn count(builder: fn() -> Builder, others: usize) -> (usize, bool) {
        let (next, done, begun) =
            (AtomicUsize::new(0), Mutex::new(Vec::new()), AtomicUsize::new(0));
        let work = || {
            begun.fetch_add(1, Ordering::Relaxed);
            loop {
                let number = next.fetch_add(1, Ordering::Relaxed);
                if number >= 1000 {
                    return;
                }
                done.lock().unwrap().push(number);
            }
        };
        let all = beside_as(builder, others, work, work);
        let mut done = done.into_inner().unwrap();
        done.sort_unstable();
        assert!(done.into_iter().eq(0..1000), "each is done once");
        (begun.into_inner(), all)
    }

    #[test]
    fn where_there_can_be_no_further_thread_the_work_is_done_all_the_same() {
        assert_eq!(count(Builder::new, 3), (4, true));
        assert_eq!(count(Builder::new, 0), (1, true));
        // No system has room for such a stack, and says so as it does where there are too many threads.
        assert_eq!(count(|| Builder::new().stack_size(1 << 60), 3), (1, true));
    }

    #[test]
    fn a_thread_that_panics_is_noticed() {
        assert!(!beside(1, || panic!("as it was to be tried"), || ()));
    }
}
