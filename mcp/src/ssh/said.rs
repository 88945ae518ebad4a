//! What ssh says on standard error, read beside everything else.

use super::lock;
use std::io::Read;
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

/// What is kept of it.
const MAX_SAID: usize = 4 << 10;

#[derive(Debug, Default)]
struct State {
    kept: Vec<u8>,
    over: bool,
}

/// The end of what one ssh says.
#[derive(Debug, Default)]
pub(super) struct Said(Arc<(Mutex<State>, Condvar)>);

impl Said {
    /// Reads all that comes, since who writes it would wait; keeps the end.
    pub(super) fn begin(mut stderr: impl Read + Send + 'static) -> Self {
        let said = Self::default();
        let shared = Arc::clone(&said.0);
        let work = move || {
            let (state, changed) = &*shared;
            let mut piece = [0; 1024];
            while let Ok(count @ 1..) = stderr.read(&mut piece) {
                let kept = &mut lock(state).kept;
                kept.extend_from_slice(&piece[..count]);
                let over = kept.len().saturating_sub(MAX_SAID);
                kept.drain(..over);
            }
            lock(state).over = true;
            changed.notify_all();
        };
        if thread::Builder::new().spawn(work).is_err() {
            lock(&said.0.0).over = true; // nothing of it is known
        }
        said
    }

    /// What has come once ssh has ended. Its end is waited for no longer than this: programs that ssh leaves behind, as
    /// the master of shared connections (`ControlPersist` in `ssh_config(5)`), may hold it open.
    pub(super) fn last(&self, limit: Duration) -> String {
        let (state, changed) = &*self.0;
        let waited = changed.wait_timeout_while(lock(state), limit, |state| !state.over);
        let (state, _) = waited.unwrap_or_else(PoisonError::into_inner);
        String::from_utf8_lossy(&state.kept).into_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    #[test]
    fn the_end_is_kept_and_not_waited_for_without_a_bound() {
        let (from, mut to) = std::io::pipe().unwrap();
        let said = Said::begin(from);
        assert_eq!(said.last(Duration::ZERO), "", "nothing has come, and it is open");
        to.write_all(&[b'x'; 3 * MAX_SAID]).unwrap();
        to.write_all(b"no route to host\n").unwrap();
        drop(to);
        let last = said.last(Duration::from_secs(60));
        assert!(last.len() == MAX_SAID && last.ends_with("xno route to host\n"), "{last}");
    }
}
