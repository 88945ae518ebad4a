//! Records that wait for the end of a tree: in a file without a name, for a tree may have more of them than memory
//! holds.

use core::marker::PhantomData;
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

/// Records that are kept in memory where the disk has no room for them, at most.
const KEPT: usize = 10_000;
/// Bytes that are read at once.
const CHUNK: u64 = 64 << 10;

/// The records, in their order.
#[derive(Debug)]
pub(crate) struct Records<R> {
    /// `None`: there is none, and all are kept in memory.
    file: Option<File>,
    len: u64,
    kept: Vec<R>,
    of: PhantomData<R>,
}

impl<R: Serialize + DeserializeOwned> Records<R> {
    /// An empty one, in a file of its own if one could be made: a disk may have room for none.
    pub(crate) fn new(file: Option<File>) -> Self {
        Self { file, len: 0, kept: Vec::new(), of: PhantomData }
    }

    /// Takes a record; gives it back if there is no room for it, neither on the disk nor in memory.
    pub(crate) fn push(&mut self, record: R) -> Result<(), R> {
        let written = if self.kept.is_empty() { self.write(&record) } else { false };
        match written {
            true => Ok(()),
            false if self.kept.len() < KEPT => {
                self.kept.push(record);
                Ok(())
            }
            false => Err(record),
        }
    }

    /// Writes a whole record, or nothing that counts.
    fn write(&mut self, record: &R) -> bool {
        let Some(file) = &self.file else { return false };
        let Ok(body) = postcard::to_stdvec(record) else { return false };
        let frame = [&(body.len() as u32).to_le_bytes()[..], &body].concat();
        if file.write_all_at(&frame, self.len).is_err() {
            return false;
        }
        self.len += frame.len() as u64;
        true
    }

    /// Gives all records, in order.
    pub(crate) fn replay(self, mut each: impl FnMut(R)) -> io::Result<()> {
        let (mut at, mut held) = (0, Vec::new());
        while at < self.len {
            let mut chunk = vec![0; CHUNK.min(self.len - at) as usize];
            if let Some(file) = &self.file {
                file.read_exact_at(&mut chunk, at)?;
            }
            at += chunk.len() as u64;
            held.extend_from_slice(&chunk);
            let mut taken = 0;
            while let Some((prefix, rest)) = held[taken..].split_first_chunk::<4>()
                && let Some(body) = rest.get(..u32::from_le_bytes(*prefix) as usize)
            {
                each(postcard::from_bytes(body).map_err(io::Error::other)?);
                taken += 4 + body.len();
            }
            held.drain(..taken);
        }
        self.kept.into_iter().for_each(each);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(n: u64) -> (u64, Vec<u8>) {
        (n, vec![b'x'; (n % 4000) as usize])
    }

    #[test]
    fn what_was_pushed_comes_back_in_order_also_where_the_disk_is_full() {
        let full = || File::options().read(true).write(true).open("/dev/full").unwrap();
        let files = [Some(tempfile::tempfile().unwrap()), Some(full()), None];
        for (file, full) in files.into_iter().zip([false, true, true]) {
            let mut log = Records::new(file);
            let count = if full { KEPT as u64 } else { 3000 };
            assert!((0..count).all(|n| log.push(record(n)).is_ok()));
            assert_eq!(log.push(record(count)).is_err(), full, "memory has its end as well");
            let mut seen = Vec::new();
            log.replay(|got| seen.push(got)).unwrap();
            assert!(seen.iter().enumerate().all(|(n, got)| *got == record(n as u64)));
            assert_eq!(seen.len() as u64, count + u64::from(!full));
        }
    }
}
