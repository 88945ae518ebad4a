//! The status is told whenever Enter is pressed.

use super::INTERVAL;
use mcp_cli::signals::Watch;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::getpgrp;
use rustix::termios::tcgetpgrp;
use std::io::{self, Read};
use std::sync::Arc;
use std::thread;

/// Standard input is looked at so often.
const KEYBOARD: Timespec = Timespec { tv_sec: 0, tv_nsec: 500_000_000 };

/// Tells the status whenever Enter is pressed. Only while this process is in the terminal's
/// foreground: a read in the background would stop it.
pub(crate) fn status_on_enter(watch: &Arc<Watch>) {
    let watch = watch.clone();
    let work = move || {
        let stdin = io::stdin();
        let mut byte = [0; 256];
        loop {
            let mut fds = [PollFd::new(&stdin, PollFlags::IN)];
            let ready = poll(&mut fds, Some(&KEYBOARD));
            if watch.is_ended() {
                return;
            }
            if !matches!(ready, Ok(1)) {
                continue;
            }
            if tcgetpgrp(&stdin).ok() != Some(getpgrp()) {
                thread::sleep(INTERVAL); // in the background: what is typed is somebody else's
                continue;
            }
            match stdin.lock().read(&mut byte) {
                Ok(0) | Err(_) => return,
                Ok(_) => watch.status(),
            }
        }
    };
    // Without the thread there is still SIGUSR1.
    let _ = thread::Builder::new().name("keyboard".to_owned()).spawn(work);
}
