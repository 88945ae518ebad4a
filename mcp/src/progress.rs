//! How a copy goes: a bar on a terminal, a line for each host that fails as soon as it does, and
//! the status of all when it is asked for.
//!
//! [`standing`] says where each host stands and whom the copy waits for, [`mod@line`] what of that fits the terminal.

mod keyboard;
mod line;
mod phase;
mod standing;
mod way;

pub(crate) use keyboard::status_on_enter;
pub(crate) use phase::Phase;

use crate::fold;
use crate::plain_words;
use crate::reach::Reach;
use crate::say::say;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use line::Facts;
use mcp_cli::Common;
use mcp_cli::say::plain;
use mcp_cli::signals::Watch;
use rustix::termios::tcgetwinsize;
use standing::{Moves, Stage, Standing, span};
use std::io::{self, IsTerminal};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};
use tcpxm::api::Sender;
use tcpxm::error::Reason;
use tcpxm::stats::{MemberReport, Transition};
use transfer::source::Progress as Come;
use way::Way;

/// How often the session is looked at: often enough for a bar, too seldom to be felt.
const INTERVAL: Duration = Duration::from_millis(200);

/// A host that takes nothing for so long, and is served all the same, is told also where there is no bar. One that
/// does not answer is lost by then (`SessionConfig::idle_timeout`).
const TOLD: Duration = Duration::from_secs(15);

/// What a terminal is taken to have that does not say how wide it is.
const COLUMNS: usize = 80;

/// Where what is sent comes from.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Origin {
    /// Files that are listed, and for their digests read while they are, or not.
    Tree { hashes: bool },
    /// What is read once, by its name.
    Stream(&'static str),
}

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
        (reach, common, from): (&Reach, &Common, Origin),
        watch: &Watch,
    ) -> Self {
        let shown = is_shown(common);
        let asked = Arc::new(AtomicBool::new(false));
        let ask = asked.clone();
        watch.on_status(move || ask.store(true, Ordering::SeqCst));
        let (end, ended) = mpsc::channel();
        let sender = Arc::downgrade(sender);
        let reach = reach.clone();
        let (verbose, quiet) = (common.verbose > 0, common.quiet);
        let come = Arc::<Mutex<Come>>::default();
        let seen = Arc::clone(&come);
        let work = move || {
            let (told, changes) = (vec![false; names.len()], vec![0; names.len()]);
            let changes = verbose.then_some(changes);
            let restarts = vec![0; names.len()];
            let (bar, come) = (bar(shown), Come::default());
            let waited = vec![quiet; names.len()];
            let moves = Moves::of(matches!(from, Origin::Stream(_)));
            let (hosts, starved, unheard) = (Vec::new(), quiet, quiet);
            let way = (!quiet).then(Way::default);
            let view = View {
                bar,
                names,
                why,
                told,
                waited,
                starved,
                restarts,
                changes,
                reach,
                unheard,
                way,
                seen,
                come,
                moves,
                hosts,
                from,
            };
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

/// Whether there is a bar: on a terminal, unless it is not wanted. It has no colours, so that `NO_COLOR` has nothing
/// to take away, and is of ASCII in every locale.
fn is_shown(common: &Common) -> bool {
    io::stderr().is_terminal() && !common.quiet && !common.no_progress
}

/// Two lines that are composed here: indicatif draws them, and knows the rate.
fn bar(shown: bool) -> ProgressBar {
    let target = if shown { ProgressDrawTarget::stderr() } else { ProgressDrawTarget::hidden() };
    let style = ProgressStyle::with_template("{prefix}\n{msg}");
    ProgressBar::with_draw_target(Some(0), target)
        .with_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()))
}

/// Columns that may be written to: the last one would move the cursor to the next line.
fn width() -> usize {
    let columns = tcgetwinsize(io::stderr()).map_or(0, |size| usize::from(size.ws_col));
    (if columns == 0 { COLUMNS } else { columns }) - 1
}

/// Why a host failed, in words, by its place among the session's members.
pub(crate) type Why = Box<dyn Fn(usize, &Reason) -> String + Send>;

struct View {
    bar: ProgressBar,
    names: Vec<String>,
    why: Why,
    told: Vec<bool>,
    /// Whether it was told of each host that it is waited for, or is not to be.
    waited: Vec<bool>,
    /// Whether it was told that this side has nothing to send, or is not to be.
    starved: bool,
    /// How many restarts of each host were told.
    restarts: Vec<u32>,
    /// How many of each host's changes of mode were told, if they are to be.
    changes: Option<Vec<usize>>,
    reach: Reach,
    /// Whether it was told that nobody hears the group, or is not to be.
    unheard: bool,
    /// What was told of where it leaves, if that is to be.
    way: Option<Way>,
    /// How far the source has come, as it says and as it was looked at last.
    seen: Arc<Mutex<Come>>,
    come: Come,
    moves: Moves,
    hosts: Vec<Standing>,
    from: Origin,
}

impl View {
    fn run(mut self, sender: &Weak<Sender>, asked: &AtomicBool, ended: &mpsc::Receiver<()>) {
        loop {
            let over = ended.recv_timeout(INTERVAL) != Err(RecvTimeoutError::Timeout);
            let Some(sender) = sender.upgrade() else { break };
            let reports = sender.reports();
            self.way(&sender);
            self.changes(&reports);
            self.restarts(&reports);
            self.failures(&reports);
            if !self.unheard
                && let Some(warning) = self.reach.warning(&reports, over)
            {
                self.bar.suspend(|| say(warning));
                self.unheard = true;
            }
            self.come = *self.seen.lock().unwrap_or_else(PoisonError::into_inner);
            self.hosts = self.moves.stand(&reports, &self.come, Instant::now());
            self.waits();
            let position = least(&self.hosts, &self.come);
            self.bar.set_length(self.come.len);
            self.bar.set_position(position);
            let (first, second) = self.facts(position).lines(width());
            self.bar.set_prefix(first);
            self.bar.set_message(second);
            if asked.swap(false, Ordering::SeqCst) {
                self.status(&reports);
            }
            if over {
                break;
            }
        }
        self.bar.finish_and_clear();
    }

    fn way(&mut self, sender: &Sender) {
        let Some((addresses, way)) = self.way.as_mut().map(|way| way.news(sender)) else { return };
        if way.is_some() {
            self.reach = self.reach.clone().anew(sender);
        }
        let details = way.filter(|_| self.changes.is_some());
        for line in addresses.into_iter().chain(details) {
            self.bar.suspend(|| say(line));
        }
    }

    fn changes(&mut self, reports: &[MemberReport]) {
        let Some(told) = &mut self.changes else { return };
        for ((report, name), told) in reports.iter().zip(&self.names).zip(told) {
            for change in &report.transitions[*told..] {
                let name = plain(name);
                let why = self.reach.told(change, report);
                self.bar.suspend(|| say(format_args!("{name}: {}", describe_change(change, &why))));
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

    #[expect(clippy::cast_sign_loss, reason = "a rate is none below zero")]
    fn facts(&self, position: u64) -> Facts<'_> {
        let (come, hosts, names) = (&self.come, &self.hosts, &self.names);
        let (rate, left) = (self.bar.per_sec() as u64, self.bar.eta());
        Facts { come, position, rate, left, hosts, names, from: self.from }
    }

    /// Tells once of each host that it is waited for in vain, so far.
    fn waits(&mut self) {
        if let (Some(words), false) = (hungry(&self.hosts, self.from), self.starved) {
            self.starved = true;
            self.bar.suspend(|| say(words));
        }
        let is_waited = |host: &Standing| {
            let theirs = !matches!(host.stage, Stage::Unreached | Stage::Lost | Stage::Fed);
            host.is_open() && theirs && host.still >= TOLD
        };
        let all = self.hosts.iter().all(|host| !host.is_open() || is_waited(host));
        let mut lines: Vec<(String, Vec<String>)> = Vec::new();
        for ((host, name), told) in self.hosts.iter().zip(&self.names).zip(&mut self.waited) {
            if is_waited(host) && !std::mem::replace(told, true) {
                gather(&mut lines, advice(host.stage, all, self.from), name);
            }
        }
        self.tell(&lines);
    }

    /// A line for each that names several hosts.
    fn tell(&self, lines: &[(String, Vec<String>)]) {
        for (words, names) in lines {
            self.bar.suspend(|| say(format_args!("{}: {words}", plain(&fold::fold(names)))));
        }
    }

    /// A line for hosts that stand the same, in the order of their first, and one for all.
    fn status(&self, reports: &[MemberReport]) {
        let mut lines = Vec::new();
        for (index, (report, host)) in reports.iter().zip(&self.hosts).enumerate() {
            let words = describe(report, host, &|reason: &Reason| (self.why)(index, reason));
            gather(&mut lines, words, &self.names[index]);
        }
        self.tell(&lines);
        // Before the bar is locked: it is asked for the rate.
        let whole = self.facts(least(&self.hosts, &self.come)).whole();
        self.bar.suspend(|| say(whole));
    }
}

/// Puts a host to those of which the same is said.
fn gather(lines: &mut Vec<(String, Vec<String>)>, words: String, name: &str) {
    match lines.iter_mut().find(|(known, _)| *known == words) {
        Some((_, names)) => names.push(name.to_owned()),
        None => lines.push((words, vec![name.to_owned()])),
    }
}

/// What is said where all that live have what has come of a stream, and nothing more has for [`TOLD`].
fn hungry(hosts: &[Standing], from: Origin) -> Option<String> {
    let Origin::Stream(name) = from else { return None };
    let mut open = hosts.iter().filter(|host| host.is_open()).peekable();
    open.peek()?;
    open.all(|host| host.stage == Stage::Fed && host.still >= TOLD).then(|| {
        let seconds = TOLD.as_secs();
        format!("waiting for {name}, of which nothing has come for {seconds} seconds: the hosts have all before that")
    })
}

/// What is said of a host that has done nothing for [`TOLD`], and what to look at; where `all` stand still it may be
/// this side's fault, and where files are read for their digests it may have much to read.
fn advice(stage: Stage, all: bool, from: Origin) -> String {
    let seconds = TOLD.as_secs();
    let what = match stage {
        Stage::Writing => {
            format!("has all bytes, but has not said for {seconds} seconds that they are written")
        }
        Stage::Comparing => {
            format!("answers, but has not said for {seconds} seconds what it holds")
        }
        _ => format!("answers, but has taken nothing for {seconds} seconds"),
    };
    let here = match stage {
        Stage::Lacking if all => ", and whether the source can be read here",
        Stage::Comparing if matches!(from, Origin::Tree { hashes: true }) => {
            "; with -c it may be reading a large file"
        }
        _ => "",
    };
    format!("it {what}; look at its disk and at the log of its mcpd{here}")
}

/// One host's status in a few words.
fn describe(report: &MemberReport, host: &Standing, why: &dyn Fn(&Reason) -> String) -> String {
    let percent = host.share * 100.0;
    let still =
        if host.is_still() { format!(", still for {}", span(host.still)) } else { String::new() };
    match (&report.outcome, host.stage) {
        (Some(Ok(())), _) => format!("done in {:.1} seconds", report.duration.as_secs_f64()),
        (Some(Err(reason)), _) => format!("failed: {}", plain(&why(reason))),
        (None, Stage::Unreached) => format!("has not answered yet{still}"),
        (None, Stage::Lost) => {
            let silent = report.duration.saturating_sub(report.lost.unwrap_or_default());
            format!("{percent:.0} %, lost: nothing heard of it for {}", span(silent))
        }
        (None, Stage::Comparing) => format!("compares what it has{still}"),
        (None, Stage::Fed) => format!("has all that came so far{still}"),
        (None, Stage::Writing) => format!("has all bytes, and writes them{still}"),
        (None, _) => format!("{percent:.0} %, {}{still}", plain_words::now(report.mode)),
    }
}

/// A change of a host's mode, with its time and the reason that is told of it.
fn describe_change(change: &Transition, why: &str) -> String {
    let (mode, seconds) = (plain_words::from_then(change.mode), change.at.as_secs_f64());
    format!("{mode} after {seconds:.3} seconds: {}", plain(why))
}

/// The bytes of files that everybody has who is still served or done.
#[expect(clippy::cast_sign_loss, reason = "a share is none below zero")]
fn least(hosts: &[Standing], come: &Come) -> u64 {
    let alive = hosts.iter().filter(|host| host.stage != Stage::Failed);
    let least = alive.map(|host| host.share).min_by(f64::total_cmp);
    (come.len as f64 * least.unwrap_or(0.0)) as u64
}

#[cfg(test)]
mod tests {
    use super::*;
    use tcpxm::stats::{Arrived, Mode};

    const HASHES: Origin = Origin::Tree { hashes: true };

    pub(super) fn report(
        acked: u64,
        mode: Mode,
        outcome: Option<Result<(), Reason>>,
    ) -> MemberReport {
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
            waited_percent: None,
            transitions: Vec::new(),
            restarts: 0,
            lost: None,
        }
    }

    #[test]
    fn who_is_waited_for_in_vain_is_told_with_what_to_look_at() {
        let look = "look at its disk and at the log of its mcpd";
        assert_eq!(
            advice(Stage::Writing, true, HASHES),
            format!(
                "it has all bytes, but has not said for 15 seconds that they are written; {look}"
            )
        );
        assert_eq!(
            advice(Stage::Lacking, true, HASHES),
            format!(
                "it answers, but has taken nothing for 15 seconds; {look}, and whether the source can be read here"
            )
        );
        assert!(!advice(Stage::Lacking, false, HASHES).contains("source"));
        assert!(advice(Stage::Comparing, false, HASHES).contains("-c"));
    }

    #[test]
    fn nobody_is_blamed_for_an_input_that_gives_nothing() {
        let stdin = Origin::Stream("standard input");
        let host = |stage, seconds| {
            let still = Duration::from_secs(seconds);
            Standing { stage, share: 1.0, mode: Mode::Multicast, still }
        };
        let said = hungry(&[host(Stage::Fed, 15), host(Stage::Failed, 0)], stdin).unwrap();
        assert!(said.starts_with("waiting for standard input, of which nothing"), "{said}");
        for (hosts, from) in [
            (vec![host(Stage::Fed, 14)], stdin),
            (vec![host(Stage::Fed, 15), host(Stage::Lacking, 15)], stdin),
            (vec![host(Stage::Failed, 15)], stdin),
            (vec![], stdin),
            (vec![host(Stage::Fed, 15)], HASHES),
        ] {
            assert_eq!(hungry(&hosts, from), None, "{hosts:?}");
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
        let hosts = Moves::default().stand(&reports, &come, Instant::now());
        assert_eq!((least(&hosts, &come), least(&[], &come)), (40, 0));
        let all: Vec<_> =
            reports.iter().zip(&hosts).map(|(r, h)| describe(r, h, &Reason::to_string)).collect();
        assert_eq!(all[0], "50 %, by multicast");
        assert_eq!(all[2], "failed: refused: no\\u{1b}[31m");
        assert_eq!(all[3], "done in 1.5 seconds");
        let still = Standing { still: Duration::from_secs(75), ..hosts[1] };
        assert_eq!(
            describe(&reports[1], &still, &Reason::to_string),
            "40 %, by unicast, still for 1m 15s"
        );
        let since = Duration::from_millis(500);
        let lost = MemberReport { lost: Some(since), duration: since * 25, ..reports[1].clone() };
        let away = Standing { stage: Stage::Lost, ..still };
        assert_eq!(
            describe(&lost, &away, &Reason::to_string),
            "40 %, lost: nothing heard of it for 12s"
        );
        let writing = Standing { stage: Stage::Writing, ..still };
        let said = describe(&reports[1], &writing, &Reason::to_string);
        assert_eq!(said, "has all bytes, and writes them, still for 1m 15s");
    }
}
