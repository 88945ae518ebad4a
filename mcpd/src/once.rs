//! `--once`: the first session that begins is the only one, and what became of it is what the process ends with.

use mcp_cli::Exit;
use mcp_cli::signals::Watch;
use std::sync::{Mutex, PoisonError};

/// Why a session has no place beside the one that runs.
pub(crate) const RUNNING: &str = "busy: this mcpd takes one session (--once), which is running";
/// And after it.
pub(crate) const OVER: &str = "this mcpd takes one session (--once), which is over";

/// What became of the one session, once it has ended: whether it has all that was sent.
#[derive(Debug, Default)]
pub(crate) struct Once(Mutex<Option<bool>>);

impl Once {
    /// The session has ended. A later one changes nothing.
    pub(crate) fn end(&self, ok: bool) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(ok);
    }

    /// What became of it; `None`: it has not ended.
    pub(crate) fn ended(&self) -> Option<bool> {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What the process ends with. One that was told to end before its session was over has not got what was sent, which
/// whoever reads its output must know: it is no success, as the end of a daemon is.
pub(crate) fn exit(ended: Option<bool>, watch: &Watch) -> Exit {
    decide(ended, watch.is_ended() && !watch.is_terminated())
}

fn decide(ended: Option<bool>, interrupted: bool) -> Exit {
    match ended {
        Some(true) => Exit::Ok,
        _ if interrupted => Exit::Interrupted,
        _ => Exit::Failed,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_end_counts_and_a_signal_is_no_success() {
        let once = Once::default();
        assert_eq!(once.ended(), None);
        once.end(true);
        once.end(false);
        assert_eq!(once.ended(), Some(true));
        assert_eq!(decide(Some(true), true), Exit::Ok);
        assert_eq!(decide(Some(false), true), Exit::Interrupted);
        assert_eq!(decide(None, true), Exit::Interrupted);
        assert_eq!([None, Some(false)].map(|ended| decide(ended, false)), [Exit::Failed; 2]);
    }
}
