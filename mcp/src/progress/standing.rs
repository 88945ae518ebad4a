//! Where each host stands, and whom a copy waits for.

use crate::fold;
use std::time::{Duration, Instant};
use tcpxm::stats::{MemberReport, Mode, ModeReason};
use transfer::source::Progress as Come;

/// A host that takes nothing for so long is worth a word; a loss is repaired in far less.
const STILL: Duration = Duration::from_secs(2);

/// How far a host is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stage {
    /// It has never answered.
    Unreached,
    /// It does not answer any more, and may return.
    Lost,
    /// It has still to say what it holds, of a list that is complete.
    Comparing,
    /// It lacks something.
    Lacking,
    /// It has all that has come so far of a stream, of which more is waited for.
    Fed,
    /// It has all bytes, and no verdict has come: it writes them, or waits for its disk.
    Writing,
    Done,
    Failed,
}

/// A host's place in the copy.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Standing {
    pub(super) stage: Stage,
    /// The part of what was listed so far that it has.
    pub(super) share: f64,
    pub(super) mode: Mode,
    /// For how long nothing of this has changed, and it has taken no byte.
    pub(super) still: Duration,
}

impl Standing {
    pub(super) fn is_open(&self) -> bool {
        !matches!(self.stage, Stage::Done | Stage::Failed)
    }

    /// It stands still for so long that it is told.
    pub(super) fn is_still(&self) -> bool {
        self.is_open() && self.still >= STILL
    }
}

/// The part of what was listed so far that a host has.
fn share(report: &MemberReport, come: &Come) -> f64 {
    if come.span == 0 { 0.0 } else { (report.acked as f64 / come.span as f64).min(1.0) }
}

fn stage(report: &MemberReport, come: &Come, is_stream: bool) -> Stage {
    match &report.outcome {
        Some(Ok(())) => Stage::Done,
        Some(Err(_)) => Stage::Failed,
        None if report.mode_reason == Some(ModeReason::NotServed) => Stage::Unreached,
        None if report.lost.is_some() => Stage::Lost,
        None if come.ended && report.acked >= come.span && report.undeclared == 0 => Stage::Writing,
        None if come.ended
            && report.undeclared > 0
            && report.acked + report.undeclared >= come.span =>
        {
            Stage::Comparing
        }
        None if is_stream && !come.ended && report.acked >= come.span => Stage::Fed,
        None => Stage::Lacking,
    }
}

/// What was last seen of each host, and when it changed.
#[derive(Debug, Default)]
pub(super) struct Moves {
    seen: Vec<((Stage, u64, u64), Instant)>,
    is_stream: bool,
}

impl Moves {
    /// Of hosts that get a stream, or files that are listed.
    pub(super) fn of(is_stream: bool) -> Self {
        Self { is_stream, ..Self::default() }
    }

    /// Where they stand at that moment.
    pub(super) fn stand(
        &mut self,
        reports: &[MemberReport],
        come: &Come,
        now: Instant,
    ) -> Vec<Standing> {
        let mut all = Vec::with_capacity(reports.len());
        for (index, report) in reports.iter().enumerate() {
            let stage = stage(report, come, self.is_stream);
            let seen = (stage, report.acked, report.undeclared);
            match self.seen.get_mut(index) {
                None => self.seen.push((seen, now)),
                Some(last) if last.0 != seen => *last = (seen, now),
                Some(_) => {}
            }
            let still = now.saturating_duration_since(self.seen[index].1);
            all.push(Standing { stage, share: share(report, come), mode: report.mode, still });
        }
        all
    }
}

/// Whom a copy waits for, by their places, and for what.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Waits {
    /// For their first answer.
    Answer(Vec<usize>),
    /// For them to come back.
    Return(Vec<usize>),
    /// They have said nothing for so long of what they hold.
    Compare(Vec<usize>, Duration),
    /// They have taken nothing for so long, though they are still there.
    Still(Vec<usize>, Duration),
    /// All have what there is, and for so long nothing has come.
    Input(Duration),
    /// They have all bytes, and report nothing for so long.
    Write(Vec<usize>, Duration),
    /// All others have everything.
    Behind(Vec<usize>),
}

impl Waits {
    /// Whom it waits for, if that can be said: who has not answered while nobody else is served, then who stands
    /// still, who alone is behind, and at last who writes; for those that are lost where nobody else is left.
    pub(super) fn find(hosts: &[Standing]) -> Option<Self> {
        let those = |what: &dyn Fn(&Standing) -> bool| -> Vec<usize> {
            (0..hosts.len()).filter(|index| what(&hosts[*index])).collect()
        };
        let at = |stage| those(&|host: &Standing| host.stage == stage);
        let longest =
            |all: &[usize]| all.iter().map(|index| hosts[*index].still).max().unwrap_or_default();
        let (open, unreached, writing) =
            (those(&Standing::is_open), at(Stage::Unreached), at(Stage::Writing));
        let (comparing, fed, lost) = (at(Stage::Comparing), at(Stage::Fed), at(Stage::Lost));
        if open.is_empty() {
            return None;
        }
        let still = those(&|host| host.stage == Stage::Lacking && host.is_still());
        let lacking = at(Stage::Lacking).len();
        if !still.is_empty() {
            let since = longest(&still);
            return Some(Self::Still(still, since));
        }
        if lacking > 0 {
            let has_all = |host: &Standing| matches!(host.stage, Stage::Writing | Stage::Done);
            let behind = at(Stage::Lacking);
            return hosts.iter().any(has_all).then_some(Self::Behind(behind));
        }
        if !comparing.is_empty() {
            let since = longest(&comparing);
            return Some(Self::Compare(comparing, since));
        }
        if !unreached.is_empty() {
            return Some(Self::Answer(unreached));
        }
        if !fed.is_empty() {
            let since = longest(&fed);
            return (since >= STILL).then_some(Self::Input(since));
        }
        if writing.is_empty() {
            return Some(Self::Return(lost));
        }
        let since = longest(&writing);
        Some(Self::Write(writing, since))
    }

    /// It in words, with names of `max` columns at most; whole ones without a limit.
    pub(super) fn words(&self, names: &[String], max: usize) -> String {
        let of = |all: &[usize]| called(all, names, max);
        let long =
            |since| if since >= STILL { format!(", {}", span(since)) } else { String::new() };
        match self {
            Self::Answer(all) => format!("waits for {} to answer", of(all)),
            Self::Return(all) => format!("waits for {} to come back", of(all)),
            Self::Compare(all, since) => {
                format!("waits for {} to compare{}", of(all), long(*since))
            }
            Self::Still(all, since) => format!("waits for {}, still for {}", of(all), span(*since)),
            Self::Input(since) => format!("waits for more to send, {}", span(*since)),
            Self::Write(all, since) => format!("waits for {} to write{}", of(all), long(*since)),
            Self::Behind(all) => format!("waits for {}", of(all)),
        }
    }
}

/// Hosts by their names, folded; by their number where those do not fit, one by the ends of its name.
fn called(all: &[usize], names: &[String], max: usize) -> String {
    let names: Vec<String> = all.iter().filter_map(|index| names.get(*index).cloned()).collect();
    let folded = mcp_cli::say::plain(&fold::fold(&names));
    match names.len() {
        0 | 1 => super::line::shorten(&folded, max),
        _ if super::line::columns(&folded) <= max => folded,
        several => format!("{several} hosts"),
    }
}

/// The slowest and the fastest of those that live, if they differ by a percent at least.
pub(super) fn ends(hosts: &[Standing]) -> Option<(usize, usize)> {
    let alive = || (0..hosts.len()).filter(|index| hosts[*index].stage != Stage::Failed);
    let by_share = |a: &usize, b: &usize| hosts[*a].share.total_cmp(&hosts[*b].share);
    let (slowest, fastest) = (alive().min_by(by_share)?, alive().max_by(by_share)?);
    (hosts[fastest].share - hosts[slowest].share >= 0.01).then_some((slowest, fastest))
}

/// A span of time to the second, in two units at most.
pub(super) fn span(time: Duration) -> String {
    let all = time.as_secs();
    let (hours, minutes, seconds) = (all / 3600, all / 60 % 60, all % 60);
    match (hours, minutes) {
        (0, 0) => format!("{seconds}s"),
        (0, _) => format!("{minutes}m {seconds:02}s"),
        (1..=99, _) => format!("{hours}h {minutes:02}m"),
        _ => format!("{}d {:02}h", hours / 24, hours % 24),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::progress::tests::report;
    use tcpxm::error::Reason;

    const COME: Come = Come { entries: 1, len: 100, span: 100, ended: true, read: 0 };

    fn host(stage: Stage, percent: u32, seconds: u64) -> Standing {
        let still = Duration::from_secs(seconds);
        Standing { stage, share: f64::from(percent) / 100.0, mode: Mode::Multicast, still }
    }

    fn waits(hosts: &[Standing]) -> String {
        let names: Vec<String> = (1..=hosts.len()).map(|n| format!("node{n:02}")).collect();
        Waits::find(hosts).map_or_else(String::new, |waits| waits.words(&names, 20))
    }

    #[test]
    fn whom_it_waits_for() {
        use Stage::{Comparing, Done, Failed, Fed, Lacking, Lost, Unreached, Writing};
        for (hosts, said) in [
            (vec![], ""),
            (vec![host(Done, 100, 9), host(Failed, 10, 9)], ""),
            (vec![host(Lacking, 50, 0), host(Lacking, 60, 1)], ""),
            (vec![host(Unreached, 0, 5), host(Lacking, 60, 0)], ""),
            (vec![host(Unreached, 0, 0), host(Unreached, 0, 0)], "waits for node[01-02] to answer"),
            (vec![host(Done, 100, 3), host(Unreached, 0, 3)], "waits for node02 to answer"),
            (vec![host(Lost, 40, 20), host(Lacking, 60, 0)], ""),
            (vec![host(Lost, 40, 20), host(Writing, 100, 1)], "waits for node02 to write"),
            (vec![host(Lost, 40, 20), host(Done, 100, 9)], "waits for node01 to come back"),
            (vec![host(Comparing, 0, 3), host(Writing, 100, 3)], "waits for node01 to compare, 3s"),
            // One that answers keep-alives and takes nothing holds up the copy, whatever others do.
            (
                vec![host(Lacking, 50, 72), host(Lacking, 60, 0)],
                "waits for node01, still for 1m 12s",
            ),
            (vec![host(Lacking, 50, 0), host(Done, 100, 9)], "waits for node01"),
            (
                vec![host(Lacking, 50, 0), host(Writing, 100, 9), host(Failed, 0, 0)],
                "waits for node01",
            ),
            (vec![host(Fed, 100, 5), host(Failed, 10, 9)], "waits for more to send, 5s"),
            (vec![host(Fed, 100, 1), host(Fed, 100, 1)], ""),
            (vec![host(Fed, 0, 5), host(Unreached, 0, 5)], "waits for node02 to answer"),
            (vec![host(Fed, 100, 1), host(Lacking, 50, 4)], "waits for node02, still for 4s"),
            (vec![host(Writing, 100, 1), host(Done, 100, 9)], "waits for node01 to write"),
            (
                vec![host(Writing, 100, 4), host(Writing, 100, 2)],
                "waits for node[01-02] to write, 4s",
            ),
        ] {
            assert_eq!(waits(&hosts), said, "{hosts:?}");
        }
    }

    #[test]
    fn many_that_have_nothing_in_common_are_a_number() {
        let names: Vec<String> = ["gate", "mail.example", "x"].map(str::to_owned).into();
        assert_eq!(Waits::Behind(vec![0, 1, 2]).words(&names, 12), "waits for 3 hosts");
        assert_eq!(Waits::Behind(vec![0, 2]).words(&names, 12), "waits for gate x");
        let long = vec![format!("n{}.example", "x".repeat(240))];
        assert_eq!(Waits::Behind(vec![0]).words(&long, 20), "waits for nxxxxxxxx....example");
    }

    #[test]
    fn who_takes_something_does_not_stand_still() {
        let (mut moves, begin) = (Moves::default(), Instant::now());
        let mut at = |acked, seconds| {
            let reports = [report(acked, Mode::Unicast, None), report(70, Mode::Unicast, None)];
            let all = moves.stand(&reports, &COME, begin + Duration::from_secs(seconds));
            (all[0].still.as_secs(), all[1].still.as_secs(), all[0].is_still())
        };
        assert_eq!(at(0, 0), (0, 0, false));
        assert_eq!(at(0, 5), (5, 5, true));
        assert_eq!(at(1, 6), (0, 6, false));
        assert_eq!(at(1, 7), (1, 7, false));
    }

    #[test]
    fn stages_follow_from_what_was_acknowledged_and_said() {
        let of = |report: &MemberReport, come: &Come| stage(report, come, false);
        let open =
            |acked, undeclared| MemberReport { undeclared, ..report(acked, Mode::Unicast, None) };
        assert_eq!(of(&open(99, 0), &COME), Stage::Lacking);
        assert_eq!(of(&open(100, 0), &COME), Stage::Writing);
        assert_eq!(of(&open(100, 0), &Come { ended: false, ..COME }), Stage::Lacking);
        let fed = |acked, ended| stage(&open(acked, 0), &Come { ended, ..COME }, true);
        assert_eq!([fed(100, false), fed(99, false)], [Stage::Fed, Stage::Lacking]);
        assert_eq!(fed(100, true), Stage::Writing);
        assert_eq!(of(&open(0, 100), &COME), Stage::Comparing);
        assert_eq!(of(&open(20, 60), &COME), Stage::Lacking);
        let unreached = MemberReport { mode_reason: Some(ModeReason::NotServed), ..open(0, 100) };
        assert_eq!(of(&unreached, &COME), Stage::Unreached);
        let since = Some(Duration::from_secs(1));
        assert_eq!(of(&MemberReport { lost: since, ..open(40, 0) }, &COME), Stage::Lost);
        assert_eq!(of(&report(0, Mode::Gone, Some(Err(Reason::TooLate))), &COME), Stage::Failed);
        assert_eq!(of(&report(0, Mode::Gone, Some(Ok(()))), &COME), Stage::Done);
    }

    #[test]
    fn the_slowest_and_the_fastest_of_those_that_live() {
        use Stage::{Failed, Lacking};
        let hosts =
            [host(Failed, 1, 0), host(Lacking, 80, 0), host(Lacking, 12, 0), host(Lacking, 50, 0)];
        assert_eq!(ends(&hosts), Some((2, 1)));
        assert_eq!(ends(&hosts[..2]), None);
        assert_eq!(ends(&[]), None);
    }

    #[test]
    fn times_have_two_units() {
        let said = [0, 59, 61, 3600, 100 * 3600].map(|s| span(Duration::from_secs(s)));
        assert_eq!(said, ["0s", "59s", "1m 01s", "1h 00m", "4d 04h"]);
    }
}
