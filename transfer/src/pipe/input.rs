//! What a stream is read from: once, from its beginning to its end.

use crate::tree::scan::Stamp;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::{Errno, read};
use std::fs::File;
use std::io;
use std::os::fd::AsFd;

/// Nothing is waited for longer without looking whether anybody still wants it.
const LOOK: Timespec = Timespec { tv_sec: 0, tv_nsec: 100_000_000 };

/// What a stream is read from.
pub trait Input: Send {
    /// Waits for some bytes, as long as somebody wants them: `None` once nobody does; 0 at the end.
    fn read(&mut self, buf: &mut [u8], is_over: &dyn Fn() -> bool) -> io::Result<Option<usize>>;
}

/// Something that is open: a pipe, a terminal, a file.
#[derive(Debug)]
pub struct Opened<F>(pub F);

impl<F: AsFd + Send> Input for Opened<F> {
    fn read(&mut self, buf: &mut [u8], is_over: &dyn Fn() -> bool) -> io::Result<Option<usize>> {
        loop {
            if is_over() {
                return Ok(None);
            }
            let mut ready = [PollFd::new(&self.0, PollFlags::IN)];
            match poll(&mut ready, Some(&LOOK)) {
                Ok(0) | Err(Errno::INTR) => continue,
                Ok(_) => {}
                Err(errno) => return Err(errno.into()),
            }
            match read(&self.0, &mut *buf) {
                // Another process may have read it, or made it one that does not wait.
                Err(Errno::INTR | Errno::AGAIN) => {}
                done => return Ok(Some(done?)),
            }
        }
    }
}

/// A file, which at its end must be what it was at its beginning.
#[derive(Debug)]
pub struct Whole {
    file: Opened<File>,
    /// What it is called where it has changed.
    name: String,
    before: Stamp,
    /// Bytes so far.
    read: u64,
}

impl Whole {
    /// A file that is at its beginning.
    ///
    /// # Errors
    /// If the system does not say when it was changed.
    pub fn new(file: File, name: String) -> io::Result<Self> {
        Ok(Self { before: Stamp::of(&file)?, file: Opened(file), name, read: 0 })
    }

    fn is_as_before(&self) -> io::Result<bool> {
        Ok(self.read == self.before.size && Stamp::of(&self.file.0)? == self.before)
    }
}

impl Input for Whole {
    fn read(&mut self, buf: &mut [u8], is_over: &dyn Fn() -> bool) -> io::Result<Option<usize>> {
        let Some(read) = self.file.read(buf, is_over)? else { return Ok(None) };
        self.read += read as u64;
        // One that grows all the time has no end.
        if (read == 0 || self.read > self.before.size) && !self.is_as_before()? {
            return Err(io::Error::other(format!("{} has changed while it was read", self.name)));
        }
        Ok(Some(read))
    }
}

/// Reads until there is no more room, or the end; how much that was, `None` once nobody wants it.
pub(super) fn fill(
    input: &mut dyn Input,
    buf: &mut [u8],
    is_over: &dyn Fn() -> bool,
) -> io::Result<Option<usize>> {
    let mut filled = 0;
    while filled < buf.len() {
        match input.read(&mut buf[filled..], is_over)? {
            None => return Ok(None),
            Some(0) => break,
            Some(read) => filled += read,
        }
    }
    Ok(Some(filled))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{Write, pipe};
    use std::sync::atomic::{AtomicBool, Ordering};
    use std::time::{Duration, Instant};

    #[test]
    fn who_writes_nothing_is_not_waited_for_once_nobody_wants_it() {
        let (from, _to) = pipe().unwrap();
        let (over, begun) = (AtomicBool::new(false), Instant::now());
        let is_over = || over.swap(true, Ordering::SeqCst); // it is not when it is asked first
        assert_eq!(Opened(from).read(&mut [0; 9], &is_over).unwrap(), None);
        assert!(begun.elapsed() < Duration::from_secs(10));
    }

    #[test]
    fn a_file_is_at_its_end_what_it_was_at_its_beginning() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("f");
        let mut buf = [0; 4];
        for (name, change) in [
            ("nothing", None),
            ("shorter", Some((6, false))),
            ("longer", Some((9, false))),
            ("other bytes", Some((8, true))),
        ] {
            std::fs::write(&path, [1; 8]).unwrap();
            let mut file = Whole::new(File::open(&path).unwrap(), name.to_owned()).unwrap();
            assert_eq!(fill(&mut file, &mut buf, &|| false).unwrap(), Some(4));
            if let Some((len, other)) = change {
                let file = File::options().write(true).open(&path).unwrap();
                file.set_len(len).unwrap();
                if other {
                    // A clock that stood still meanwhile, as it may for some milliseconds, would hide it.
                    let later = std::time::SystemTime::now() + Duration::from_secs(1);
                    file.set_modified(later).unwrap();
                }
            }
            let rest = (0..2).map(|_| fill(&mut file, &mut buf, &|| false));
            match rest.collect::<Result<Vec<_>, _>>() {
                Ok(all) => assert_eq!((name, all), ("nothing", vec![Some(4), Some(0)])),
                Err(error) => {
                    assert_eq!(error.to_string(), format!("{name} has changed while it was read"));
                    assert_ne!(name, "nothing");
                }
            }
        }
    }

    #[test]
    fn pieces_are_put_together_and_errors_are_told() {
        let (from, mut to) = pipe().unwrap();
        let mut from = Opened(from);
        std::thread::scope(|scope| {
            scope.spawn(move || {
                for piece in [&b"ab"[..], b"c", b"defg"] {
                    to.write_all(piece).unwrap();
                    std::thread::yield_now();
                }
            });
            let mut buf = [0; 4];
            assert_eq!(fill(&mut from, &mut buf, &|| false).unwrap(), Some(4));
            assert_eq!(&buf, b"abcd");
            assert_eq!(fill(&mut from, &mut buf, &|| false).unwrap(), Some(3));
            assert_eq!(fill(&mut from, &mut buf, &|| false).unwrap(), Some(0));
        });
        let folder = std::fs::File::open("/").unwrap();
        let error = Opened(folder).read(&mut [0; 9], &|| false).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::IsADirectory);
    }
}
