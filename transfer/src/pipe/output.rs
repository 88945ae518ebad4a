//! What a stream is written to: as its reader takes it, and waited for no longer than the session lasts.

use rustix::event::{PollFd, PollFlags, poll};
use rustix::io::{Errno, write};
use std::io::{self, Write};
use std::mem;
use std::os::fd::AsFd;
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread;
use std::time::Duration;

/// Nothing is waited for longer without looking whether anybody still wants it.
const LOOK: Duration = Duration::from_millis(250);

/// Something that is open: a pipe, a terminal, a file. A thread writes to it, for a reader who takes nothing holds up
/// whoever writes for ever, and what would not (pieces of 4 KiB where poll(2) has room for them) costs a quarter of the
/// rate. Once the session is over the thread is left to itself; it ends with its write, or with the process.
///
/// Whoever else has it open may have made it one that does not wait (`O_NONBLOCK`, which is not the descriptor's own).
/// That is left as it is, and waited for.
pub struct Opened<'a, F> {
    state: State<F>,
    is_over: &'a dyn Fn() -> bool,
}

enum State<F> {
    /// Nothing was written yet.
    Fresh(F),
    Writing {
        pieces: mpsc::Sender<Vec<u8>>,
        written: mpsc::Receiver<(io::Result<()>, Vec<u8>)>,
        /// What the last piece was in.
        spare: Vec<u8>,
    },
    Over,
}

impl<'a, F: AsFd + Send + 'static> Opened<'a, F> {
    /// Its reader is waited for until the session is over.
    pub fn new(file: F, is_over: &'a dyn Fn() -> bool) -> Self {
        Self { state: State::Fresh(file), is_over }
    }

    /// Has it written, and waits for that.
    fn hand(&mut self, bytes: &[u8]) -> io::Result<State<F>> {
        let (pieces, written, mut spare) = match mem::replace(&mut self.state, State::Over) {
            State::Fresh(file) => start(file)?,
            State::Writing { pieces, written, spare } => (pieces, written, spare),
            State::Over => return Err(over()),
        };
        spare.clear();
        spare.extend_from_slice(bytes);
        pieces.send(spare).map_err(|_| io::Error::other(GONE))?;
        loop {
            match written.recv_timeout(LOOK) {
                Ok((done, spare)) => {
                    return done.map(|()| State::Writing { pieces, written, spare });
                }
                Err(RecvTimeoutError::Disconnected) => return Err(io::Error::other(GONE)),
                Err(RecvTimeoutError::Timeout) if (self.is_over)() => return Err(over()),
                Err(RecvTimeoutError::Timeout) => {}
            }
        }
    }
}

/// What is said where the thread has ended by itself.
const GONE: &str =
    "the thread that writes has ended, which is a fault of this program: please report it";

fn over() -> io::Error {
    io::Error::other("the session is over")
}

type Writer = (mpsc::Sender<Vec<u8>>, mpsc::Receiver<(io::Result<()>, Vec<u8>)>, Vec<u8>);

/// Starts the thread.
fn start<F: AsFd + Send + 'static>(file: F) -> io::Result<Writer> {
    let ((pieces, to_write), (done, written)) = (mpsc::channel::<Vec<u8>>(), mpsc::channel());
    let work = move || {
        while let Ok(piece) = to_write.recv() {
            if done.send((write_all(&file, &piece), piece)).is_err() {
                return; // nobody waits for it any more
            }
        }
    };
    thread::Builder::new().name("transfer-output".to_owned()).spawn(work)?;
    Ok((pieces, written, Vec::new()))
}

/// Writes all of it, however long its reader takes.
fn write_all(file: &impl AsFd, mut bytes: &[u8]) -> io::Result<()> {
    while !bytes.is_empty() {
        match write(file, bytes) {
            Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
            Ok(taken) => bytes = &bytes[taken..],
            Err(Errno::INTR) => {}
            Err(Errno::AGAIN) => match poll(&mut [PollFd::new(file, PollFlags::OUT)], None) {
                Ok(_) | Err(Errno::INTR) => {}
                Err(errno) => return Err(errno.into()),
            },
            Err(errno) => return Err(errno.into()),
        }
    }
    Ok(())
}

impl<F: AsFd + Send + 'static> Write for Opened<'_, F> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.state = self.hand(bytes)?;
        Ok(bytes.len())
    }

    /// Nothing is kept here.
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustix::fs::{OFlags, fcntl_getfl, fcntl_setfl};
    use std::io::{Read, pipe};
    use std::sync::atomic::{AtomicBool, Ordering};
    use std::time::Instant;

    const LEN: usize = 1 << 20;

    fn set_waits(to: &impl AsFd, waits: bool) {
        let flags = fcntl_getfl(to).unwrap();
        fcntl_setfl(to, if waits { flags - OFlags::NONBLOCK } else { flags | OFlags::NONBLOCK })
            .unwrap();
    }

    #[test]
    fn a_reader_is_waited_for_whether_it_waits_itself_or_not() {
        for waits in [true, false] {
            let (mut from, to) = pipe().unwrap();
            set_waits(&to, waits);
            let bytes: Vec<u8> = (0..LEN).map(|at| (at >> 5) as u8).collect();
            let mut read = Vec::new();
            thread::scope(|scope| {
                let bytes = &bytes;
                scope.spawn(move || {
                    Opened::new(to, &|| false).write_all(bytes).unwrap();
                });
                from.read_to_end(&mut read).unwrap();
            });
            assert!(read == bytes, "{waits}");
        }
    }

    #[test]
    fn nobody_waits_for_a_stuck_reader_once_the_session_is_over() {
        for waits in [true, false] {
            let (from, to) = pipe().unwrap();
            set_waits(&to, waits);
            let (over, begun) = (AtomicBool::new(false), Instant::now());
            let is_over = || over.swap(true, Ordering::SeqCst); // it is not when it is asked first
            let mut output = Opened::new(to, &is_over);
            let error = output.write_all(&vec![0; LEN]).unwrap_err();
            assert_eq!(error.to_string(), "the session is over", "{waits}");
            assert!(begun.elapsed() < Duration::from_secs(10));
            assert!(output.write(&[0]).is_err(), "nothing comes behind what was not waited for");
            drop(from);
        }
    }

    #[test]
    fn a_reader_that_has_closed_it_is_told() {
        for waits in [true, false] {
            let (from, to) = pipe().unwrap();
            set_waits(&to, waits);
            let closing = thread::spawn(move || {
                thread::sleep(Duration::from_millis(50)); // while it is waited for
                drop(from);
            });
            let error = Opened::new(to, &|| false).write_all(&vec![0; LEN]).unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::BrokenPipe, "{waits}");
            closing.join().unwrap();
        }
    }
}
