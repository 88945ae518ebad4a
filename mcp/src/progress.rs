//! How a copy goes: a bar on a terminal, a line for each host that fails as soon as it does, and
//! the status of all when it is asked for.

use crate::plain_words;
use crate::reach::Reach;
use crate::say::say;
use indicatif::{BinaryBytes, ProgressBar, ProgressDrawTarget, ProgressStyle};
use mcp_cli::Common;
use mcp_cli::say::plain;
use mcp_cli::signals::Watch;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::getpgrp;
use rustix::termios::tcgetpgrp;
use std::fmt::Write as _;
use std::io::{self, IsTerminal, Read};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::thread::{self, JoinHandle};
use std::time::Duration;
use tcpxm::api::Sender;
use tcpxm::error::Reason;
use tcpxm::stats::{MemberReport, Mode, Transition};
use transfer::source::Progress as Come;

/// How often the session is looked at: often enough for a bar, too seldom to be felt.
const INTERVAL: Duration = Duration::from_millis(200);

/// Standard input is looked at so often.
const KEYBOARD: Timespec = Timespec { tv_sec: 0, tv_nsec: 500_000_000 };

/// What is shown while a session runs.
pub(crate) struct Progress {
    end: mpsc::Sender<()>,
    come: Arc<Mutex<Come>>,
    thread: Option<JoinHandle<()>>,
}

impl Progress {
    /// Begins to watch a session to the hosts called `names`.
    pub(crate) fn start(
        sender: &Arc<Sender>,
        (names, why): (Vec<String>, Why),
        (reach, common): (&Reach, &Common),
        watch: &Watch,
    ) -> Self {
        let shown = io::stderr().is_terminal() && !common.quiet && !common.no_progress;
        let asked = Arc::new(AtomicBool::new(false));
        let ask = asked.clone();
        watch.on_status(move || ask.store(true, Ordering::SeqCst));
        let (end, ended) = mpsc::channel();
        let sender = Arc::downgrade(sender);
        let reach = (!common.quiet).then(|| reach.clone());
        let verbose = common.verbose > 0;
        let come = Arc::<Mutex<Come>>::default();
        let seen = Arc::clone(&come);
        let work = move || {
            let (told, changes) = (vec![false; names.len()], vec![0; names.len()]);
            let changes = verbose.then_some(changes);
            let restarts = vec![0; names.len()];
            let (bar, come) = (bar(shown), Come::default());
            let view = View { bar, names, why, told, restarts, changes, reach, seen, come };
            view.run(&sender, &asked, &ended);
        };
        // Without the thread nothing is shown, and the copy goes on.
        let thread = thread::Builder::new().name("progress".to_owned()).spawn(work).ok();
        Self { end, come, thread }
    }

    /// How far the source has come.
    pub(crate) fn come(&self, come: Come) {
        *self.come.lock().unwrap_or_else(PoisonError::into_inner) = come;
    }

    /// The session is over: failures that were not told yet are, and the bar goes.
    pub(crate) fn finish(mut self) {
        let _ = self.end.send(());
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// A bar whose line fits 80 columns: what has come of how much, how fast, how long it takes, and who has what.
fn bar(shown: bool) -> ProgressBar {
    let target = if shown { ProgressDrawTarget::stderr() } else { ProgressDrawTarget::hidden() };
    let template = "{bar:12} {prefix}, {bytes_per_sec}, {eta} left, {wide_msg}";
    let style = ProgressStyle::with_template(template);
    ProgressBar::with_draw_target(Some(0), target)
        .with_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()))
}

/// What has come of how much: `1.2 GiB of 3.4 GiB, 812 of 50168+ entries` while more is listed.
fn amount(come: &Come, position: u64) -> String {
    let more = if come.ended { "" } else { "+" };
    let (part, len) = (BinaryBytes(position), BinaryBytes(come.len));
    match come.entries {
        0 => "listing".to_owned(),
        1 if come.ended => format!("{part}/{len}"),
        entries => format!("{part}/{len}{more}, {entries}{more} entries"),
    }
}

/// Why a host failed, in words, by its place among the session's members.
pub(crate) type Why = Box<dyn Fn(usize, &Reason) -> String + Send>;

struct View {
    bar: ProgressBar,
    names: Vec<String>,
    why: Why,
    told: Vec<bool>,
    /// How many restarts of each host were told.
    restarts: Vec<u32>,
    /// How many of each host's changes of mode were told, if they are to be.
    changes: Option<Vec<usize>>,
    /// Until it was told that nobody hears the group, if that is to be.
    reach: Option<Reach>,
    /// How far the source has come, as it says and as it was looked at last.
    seen: Arc<Mutex<Come>>,
    come: Come,
}

impl View {
    fn run(mut self, sender: &Weak<Sender>, asked: &AtomicBool, ended: &mpsc::Receiver<()>) {
        loop {
            let over = ended.recv_timeout(INTERVAL) != Err(RecvTimeoutError::Timeout);
            let Some(sender) = sender.upgrade() else { break };
            let reports = sender.reports();
            self.changes(&reports);
            self.restarts(&reports);
            self.failures(&reports);
            if let Some(warning) = self.reach.as_ref().and_then(|r| r.warning(&reports, over)) {
                self.bar.suspend(|| say(warning));
                self.reach = None;
            }
            self.come = *self.seen.lock().unwrap_or_else(PoisonError::into_inner);
            let position = least(&reports, &self.come);
            self.bar.set_length(self.come.len);
            self.bar.set_position(position);
            self.bar.set_prefix(amount(&self.come, position));
            self.bar.set_message(counts(&reports));
            if asked.swap(false, Ordering::SeqCst) {
                self.status(&reports);
            }
            if over {
                break;
            }
        }
        self.bar.finish_and_clear();
    }

    fn changes(&mut self, reports: &[MemberReport]) {
        let Some(told) = &mut self.changes else { return };
        for ((report, name), told) in reports.iter().zip(&self.names).zip(told) {
            for change in &report.transitions[*told..] {
                let name = plain(name);
                self.bar.suspend(|| say(format_args!("{name}: {}", describe_change(change))));
            }
            *told = report.transitions.len();
        }
    }

    fn restarts(&mut self, reports: &[MemberReport]) {
        for ((report, name), told) in reports.iter().zip(&self.names).zip(&mut self.restarts) {
            if report.restarts > std::mem::replace(told, report.restarts) {
                let name = plain(name);
                self.bar.suspend(|| {
                    let what = if self.come.entries > 1 { "everything" } else { "the file" };
                    say(format_args!(
                        "{name}: it was restarted, and goes on with what it has of {what}"
                    ));
                });
            }
        }
    }

    fn failures(&mut self, reports: &[MemberReport]) {
        let told = self.names.iter().zip(&mut self.told);
        for (index, (report, (name, told))) in reports.iter().zip(told).enumerate() {
            if let Some(Err(reason)) = &report.outcome
                && !*told
            {
                *told = true;
                let reason = (self.why)(index, reason);
                self.bar.suspend(|| {
                    say(format_args!("{}: {}", plain(name), plain(&reason)));
                });
            }
        }
    }

    fn status(&self, reports: &[MemberReport]) {
        self.bar.suspend(|| {
            for (index, (report, name)) in reports.iter().zip(&self.names).enumerate() {
                let why = |reason: &Reason| (self.why)(index, reason);
                say(format_args!("{}: {}", plain(name), describe(report, &self.come, &why)));
            }
        });
    }
}

/// One host's status in a few words.
fn describe(report: &MemberReport, come: &Come, why: &dyn Fn(&Reason) -> String) -> String {
    let percent = share(report, come) * 100.0;
    match &report.outcome {
        Some(Ok(())) => format!("done in {:.1} seconds", report.duration.as_secs_f64()),
        Some(Err(reason)) => format!("failed: {}", plain(&why(reason))),
        None => format!("{percent:.0} %, {}", plain_words::now(report.mode)),
    }
}

/// A change of a host's mode, with its time and reason.
fn describe_change(change: &Transition) -> String {
    let (mode, seconds) = (plain_words::from_then(change.mode), change.at.as_secs_f64());
    format!("{mode} after {seconds:.3} seconds: {}", change.why)
}

/// The part of what was listed so far that a host has.
fn share(report: &MemberReport, come: &Come) -> f64 {
    if come.span == 0 { 0.0 } else { (report.acked as f64 / come.span as f64).min(1.0) }
}

/// The bytes of files that everybody has who is still served or done.
#[expect(clippy::cast_sign_loss, reason = "a share is none below zero")]
fn least(reports: &[MemberReport], come: &Come) -> u64 {
    let alive = reports.iter().filter(|report| !matches!(report.outcome, Some(Err(_))));
    let least = alive.map(|report| share(report, come)).min_by(f64::total_cmp);
    (come.len as f64 * least.unwrap_or(0.0)) as u64
}

fn counts(reports: &[MemberReport]) -> String {
    let count = |what: fn(&MemberReport) -> bool| reports.iter().filter(|r| what(r)).count();
    let done = count(|report| report.outcome == Some(Ok(())));
    let failed = count(|report| matches!(report.outcome, Some(Err(_))));
    let unicast = count(|report| report.outcome.is_none() && report.mode == Mode::Unicast);
    let mut text = format!("{done} of {} done", reports.len());
    if failed > 0 {
        let _ = write!(text, ", {failed} failed"); // to a string it cannot fail
    }
    if unicast > 0 {
        let _ = write!(text, ", {unicast} by unicast");
    }
    text
}

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

#[cfg(test)]
mod tests {
    use super::*;
    use tcpxm::stats::Arrived;

    fn report(acked: u64, mode: Mode, outcome: Option<Result<(), Reason>>) -> MemberReport {
        MemberReport {
            addr: ([127, 0, 0, 1], 1).into(),
            key: None,
            outcome,
            mode,
            mode_reason: None,
            arrived: Arrived::default(),
            acked,
            undeclared: 0,
            duration: Duration::from_millis(1500),
            transitions: Vec::new(),
            restarts: 0,
        }
    }

    #[test]
    fn the_slowest_that_lives_is_the_measure() {
        let dead = || Some(Err(Reason::Refused("no\u{1b}[31m".to_owned())));
        let reports = [
            report(50, Mode::Multicast, None),
            report(40, Mode::Unicast, None),
            report(0, Mode::Gone, dead()),
            report(100, Mode::Multicast, Some(Ok(()))),
        ];
        let come = Come { entries: 1, len: 100, span: 100, ended: true, read: 0 };
        assert_eq!((least(&reports, &come), least(&[], &come)), (40, 0));
        assert_eq!(counts(&reports), "1 of 4 done, 1 failed, 1 by unicast");
        let all: Vec<_> = reports.iter().map(|r| describe(r, &come, &Reason::to_string)).collect();
        assert_eq!(all[0], "50 %, by multicast");
        assert_eq!(all[2], "failed: refused: no\\u{1b}[31m");
        assert_eq!(all[3], "done in 1.5 seconds");
    }
}
