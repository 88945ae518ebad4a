//! The digest of an open file, by as many threads as its length is worth.

use crate::blocks::{self, BLOCK, Tree};
use crate::threads;
use blake3::Hash;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

/// Blocks for which a thread more is worth its start: some milliseconds of hashing.
const WORTH: u64 = 8;

/// The BLAKE3 of the first `len` bytes. Whether nobody wants it any more is asked before every block of this thread.
///
/// # Errors
/// What the system said, that the file is shorter, or that it `is_over`.
pub(crate) fn of_file(file: &File, len: u64, is_over: &dyn Fn() -> bool) -> io::Result<Hash> {
    let count = blocks::count(len);
    let (next, tree) = (AtomicU64::new(0), Mutex::new(Tree::new(len)));
    let work = |is_over: &dyn Fn() -> bool| -> io::Result<()> {
        let mut bytes = vec![0; BLOCK.min(len) as usize];
        loop {
            if is_over() {
                return Err(io::Error::other("it is not wanted any more"));
            }
            let index = next.fetch_add(1, Ordering::Relaxed);
            if index >= count {
                return Ok(());
            }
            let range = blocks::range(index, len);
            let bytes = &mut bytes[..(range.end - range.start) as usize];
            file.read_exact_at(bytes, range.start)?;
            let value = blocks::value(index, bytes, len);
            tree.lock().unwrap_or_else(PoisonError::into_inner).set(index, value);
        }
    };
    let others = (count / WORTH).min(threads::hashing() as u64).saturating_sub(1);
    let failed = Mutex::new(Ok(()));
    let fail = |done: io::Result<()>| {
        let mut failed = failed.lock().unwrap_or_else(PoisonError::into_inner);
        *failed = std::mem::replace(&mut *failed, Ok(())).and(done);
    };
    let own = || {
        fail(work(is_over));
        // Where this one has failed the others have no more to do.
        next.store(count, Ordering::Relaxed);
    };
    if !threads::beside(others as usize, || fail(work(&|| false)), own) {
        return Err(io::Error::other("a thread that hashed has stopped"));
    }
    failed.into_inner().unwrap_or_else(PoisonError::into_inner)?;
    let root = tree.into_inner().unwrap_or_else(PoisonError::into_inner).root();
    root.ok_or_else(|| io::Error::other("not all of it was hashed"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_the_standard_digest_also_by_several_threads() {
        for len in [0, 1, BLOCK, 40 * BLOCK + 7] {
            let bytes: Vec<u8> = (0..len).map(|n| (n / 5 % 251) as u8).collect();
            let file = tempfile::tempfile().unwrap();
            file.write_all_at(&bytes, 0).unwrap();
            let of_file = |len| of_file(&file, len, &|| false);
            assert_eq!(of_file(len).unwrap(), blake3::hash(&bytes), "{len}");
            assert!(of_file(len + 1).is_err());
        }
    }

    /// A TiB of holes would take minutes.
    #[test]
    fn what_nobody_wants_any_more_is_given_up() {
        let file = tempfile::tempfile().unwrap();
        file.set_len(1 << 40).unwrap();
        let asked = std::cell::Cell::new(0);
        let is_over = || asked.replace(asked.get() + 1) == 3;
        assert!(of_file(&file, 1 << 40, &is_over).is_err());
        assert_eq!(asked.get(), 4);
    }
}
