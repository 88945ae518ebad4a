//! A phase without a bar of its own: what is done, and for how long, as soon as that takes long.

use super::{bar, is_shown, line, standing::span, width};
use mcp_cli::Common;
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

/// Nothing is silent for longer than this on a terminal; what is over by then is not worth a line.
const PATIENCE: Duration = Duration::from_secs(1);

/// Shown until it is dropped.
pub(crate) struct Phase {
    end: mpsc::Sender<()>,
    thread: Option<JoinHandle<()>>,
}

impl Phase {
    /// Begins a phase that does `what`.
    pub(crate) fn start(what: String, common: &Common) -> Self {
        let (end, ended) = mpsc::channel();
        let work = move || {
            let (begin, bar) = (Instant::now(), bar(true));
            while ended.recv_timeout(PATIENCE) == Err(RecvTimeoutError::Timeout) {
                bar.set_prefix(words(&what, begin.elapsed(), width()));
                bar.tick();
            }
            bar.finish_and_clear();
        };
        // Without the thread nothing is shown, and the work goes on.
        let show = || thread::Builder::new().name("phase".to_owned()).spawn(work).ok();
        Self { end, thread: if is_shown(common) { show() } else { None } }
    }
}

impl Drop for Phase {
    fn drop(&mut self) {
        let _ = self.end.send(());
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// What is done, cut to the width, and for how long.
fn words(what: &str, time: Duration, width: usize) -> String {
    let time = format!(", {}", span(time));
    let room = width.saturating_sub(time.len());
    line::shorten(&line::shorten(what, room).chars().chain(time.chars()).collect::<String>(), width)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_done_and_for_how_long() {
        let at = |width| words("looks up the addresses of 3 hosts", Duration::from_secs(61), width);
        assert_eq!(at(79), "looks up the addresses of 3 hosts, 1m 01s");
        assert_eq!(at(29), "looks up ...f 3 hosts, 1m 01s");
        assert!(line::columns(&at(2)) <= 3);
    }
}
