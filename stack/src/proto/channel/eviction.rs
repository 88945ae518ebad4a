//! Who makes the group slow leaves it. Whoever is the slowest for a moment is a suspect: the group goes on without
//! waiting for it, so that the others lose nothing while it is found out. If they then go clearly faster, and it does
//! not keep up, it is slow: it is evicted, told to leave, and served by unicast. If it keeps up, or the others go no
//! faster, the group waits for it again.

use super::Channel;
use super::verdict::{self, Evidence, Rates, Signs, Verdict, Way, judge};
use super::worth;
use crate::config::{Algorithm, SessionConfig, Slow};
use crate::proto::member::Member;
use crate::proto::send::store::Store;
use crate::proto::time::Instant;
use core::time::Duration;

/// The slowest must have been so for so many round trips, and so long, to be suspects; and so long they are watched
/// at least.
pub(crate) const PATIENCE_RTTS: u32 = 4;
pub(crate) const PATIENCE: Duration = Duration::from_millis(100);
/// They are watched for so many round trips, and so long, at most.
pub(crate) const LONGEST_RTTS: u32 = 32;
pub(crate) const LONGEST: Duration = Duration::from_secs(2);
/// What arrives is measured over so many round trips: the packets of a window may come all at once, and the group of
/// one that is far away goes in such bursts.
const MEASURED_RTTS: u32 = 2;

/// What the application wants.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Policy {
    pub(crate) slow: Slow,
    /// So many stay.
    pub(crate) least: usize,
    /// Bytes a second that all together may be sent, if that is bounded.
    pub(crate) capacity: Option<f64>,
    pub(crate) algorithm: Algorithm,
}

impl Policy {
    pub(crate) fn of(config: &SessionConfig) -> Self {
        let capacity = config.rate.map(|rate| rate as f64 / 8.0);
        let SessionConfig { slow, least_group: least, algorithm, .. } = *config;
        Self { slow, least, capacity, algorithm }
    }
}

/// What the rule remembers.
#[derive(Debug, Default)]
pub(super) struct Eviction {
    /// How many have been the slowest, who the last of them is, and since when.
    slowest: Option<(usize, Instant)>,
    /// Suspects are watched.
    watch: Option<Watched>,
    /// What arrives at members is measured over so long at least.
    over: Duration,
}

impl Eviction {
    /// What arrives at members is measured over so long at least.
    pub(super) fn measured_over(&self) -> Duration {
        self.over
    }
}

#[derive(Debug, Clone, Copy)]
struct Watched {
    began: Instant,
    /// What arrives is counted from then on: what was on its way before has arrived.
    marked: Option<Instant>,
    /// Bytes a second that the group made before.
    before: f64,
}

/// The longest round trip, without a queue, of those members.
fn farthest(members: &[Member], which: fn(&Member) -> bool) -> Duration {
    let least = |m: &Member| m.group_path().rtt.least();
    members.iter().filter(|m| which(m)).filter_map(least).max().unwrap_or_default()
}

/// The longest round trip of those who follow, with the queue that there is.
fn slowest_answer(members: &[Member]) -> Duration {
    let smoothed = |m: &Member| m.group_path().rtt.smoothed();
    members.iter().filter(|m| m.binds()).filter_map(smoothed).max().unwrap_or_default()
}

/// The least time for a judgement of those who follow.
fn patience(members: &[Member]) -> Duration {
    // Without a queue, which may be the suspect's.
    (farthest(members, Member::binds) * PATIENCE_RTTS).max(PATIENCE)
}

/// For how long suspects are watched.
struct Times {
    /// Until what arrives is counted: what was on its way before has arrived.
    counted: Duration,
    /// From then on, until they may be judged.
    judged: Duration,
    /// In all, until they must be.
    longest: Duration,
}

impl Times {
    /// Of one that is farther away than those who follow, a round trip is needed until it is counted, and two until it
    /// is judged. What is lost shows once in a round trip as it is.
    fn of(members: &[Member]) -> Self {
        let (long, far) = (patience(members), farthest(members, |m| m.slow().is_suspect()));
        let longest = (slowest_answer(members).max(far) * LONGEST_RTTS).max(LONGEST);
        Self { counted: (long / 2).max(far), judged: long.max(far * 2), longest }
    }

    /// So long it has been watched in all, and since what arrives is counted.
    fn watched(&self, in_all: Duration, counted: Duration) -> verdict::Watched {
        match counted {
            _ if in_all >= self.longest => verdict::Watched::Longest,
            _ if counted >= self.judged * 2 => verdict::Watched::Longer,
            _ if counted >= self.judged => verdict::Watched::Long,
            _ => verdict::Watched::Short,
        }
    }
}

/// What was seen of a member since the mark.
fn signs(m: &Member) -> Signs {
    let (outcomes, events) = m.board().since_mark();
    Signs { heard: outcomes.heard(), packets: outcomes.total(), events }
}

impl Channel {
    /// Looks for suspects, and what is to become of them: who of the members is to be evicted.
    pub(crate) fn evict(
        &mut self,
        now: Instant,
        members: &mut [Member],
        store: &Store,
        policy: &Policy,
    ) -> Vec<usize> {
        self.eviction.over = farthest(members, Member::leads) * MEASURED_RTTS;
        self.suspect_returned(now, members);
        if members.iter().any(|m| m.slow().is_suspect()) {
            return self.judge_suspects(now, members, policy.algorithm);
        }
        self.eviction.watch = None;
        if policy.slow != Slow::Keep && self.is_unfinished(store.end()) {
            self.find_suspects(now, members, store, policy);
        }
        Vec::new()
    }

    /// Whoever comes back is watched at once, with all the others that are.
    fn suspect_returned(&mut self, now: Instant, members: &mut [Member]) {
        let before = members.iter_mut().filter_map(Member::has_returned).min_by(f64::total_cmp);
        let Some(before) = before else { return };
        self.eviction.watch = Some(Watched { began: now, marked: None, before });
        self.eviction.slowest = None;
        self.elect(members);
    }

    /// Bytes a second that each who follows could take, the slowest first.
    fn rates(&self, now: Instant, members: &mut [Member], store: &Store) -> Vec<(f64, usize)> {
        let mut rates = Vec::new();
        for index in 0..members.len() {
            if !members[index].binds() {
                continue;
            }
            // A ring waits for a slow reader by whichever way it is served.
            let holds = store.is_source() && self.blocks(members, index, store.end());
            members[index].measure(now, self.eviction.over);
            let held = !members[index].watch_mut().hold(now, holds).is_zero();
            let mut rate = self.rate_of(members, index);
            if held {
                rate = rate.min(members[index].watch().rate());
            }
            rates.push((rate, index));
        }
        rates.sort_by(|a, b| a.0.total_cmp(&b.0));
        rates
    }

    /// Bytes a second that a member's own window allows.
    pub(super) fn rate_of(&self, members: &[Member], index: usize) -> f64 {
        let srtt = members[index].group_path().rtt.smoothed().unwrap_or_default();
        self.window_of(members, index) as f64 / srtt.as_secs_f64().max(1e-6)
    }

    fn find_suspects(
        &mut self,
        now: Instant,
        members: &mut [Member],
        store: &Store,
        policy: &Policy,
    ) {
        let rates = self.rates(now, members, store);
        let plain: Vec<f64> = rates.iter().map(|(rate, _)| *rate).collect();
        let present = members.iter().filter(|m| m.binds()).map(|m| m.watch().rate());
        let present = present.fold(0.0, f64::max);
        let leave = worth::leaving(&plain, present, policy.capacity, policy.least);
        let slowest = rates[..leave].last().map(|(_, index)| *index);
        let since = self.eviction.slowest.filter(|(who, _)| Some(*who) == slowest);
        self.eviction.slowest = slowest.map(|who| since.unwrap_or((who, now)));
        let Some((_, since)) = self.eviction.slowest else { return };
        if now.since(since) < patience(members) {
            return;
        }
        let suspects = rates[..leave].iter().map(|(_, index)| *index);
        let suspects: Vec<usize> = suspects.filter(|n| members[*n].may_be_suspect(now)).collect();
        if suspects.len() < leave {
            return; // without all of them the others gain nothing
        }
        self.eviction.watch = Some(Watched { began: now, marked: None, before: present });
        self.eviction.slowest = None;
        for index in suspects {
            members[index].suspect();
            tracing::debug!(to = %members[index].addr(), "may be slow: the group does not wait for it");
        }
        self.elect(members);
    }

    fn judge_suspects(
        &mut self,
        now: Instant,
        members: &mut [Member],
        algorithm: Algorithm,
    ) -> Vec<usize> {
        let times = Times::of(members);
        let Some(watched) = &mut self.eviction.watch else { return Vec::new() };
        let Some(marked) = watched.marked else {
            if now.since(watched.began) >= times.counted {
                watched.marked = Some(now);
                members.iter_mut().filter(|m| m.is_multicast()).for_each(Member::mark);
            }
            return Vec::new();
        };
        let (passed, before) = (now.since(marked), watched.before);
        let watched = times.watched(now.since(watched.began), passed);
        let rate = |m: &Member| m.arrived_since_mark() as f64 / passed.as_secs_f64().max(1e-6);
        let others = members.iter().filter(|m| m.binds()).map(rate).min_by(f64::total_cmp);
        let Some(others) = others else {
            return self.acquit_all(now, members); // nobody is left who would gain
        };
        let among: Vec<Signs> = members.iter().filter(|m| m.binds()).map(signs).collect();
        let among_rtt = slowest_answer(members);
        let mut evicted = Vec::new();
        for index in 0..members.len() {
            if !members[index].slow().is_suspect() {
                continue;
            }
            let m = &members[index];
            let own = rate(m);
            let verdict = judge(&Evidence {
                rates: Rates { before, others, own },
                signs: signs(m),
                among: &among,
                among_rtt,
                excused: m.was_silent(marked),
                way: self.way(m, algorithm),
                watched,
            });
            match verdict {
                None => {}
                Some(Verdict::Slow { own, others }) => {
                    members[index].convict(now, own, others);
                    evicted.push(index);
                }
                Some(Verdict::KeepsUp) => self.acquit(now, members, index, own),
            }
        }
        evicted
    }

    /// What a flow of its own to this member would have to live with.
    fn way(&self, m: &Member, algorithm: Algorithm) -> Way {
        let rtt = &m.group_path().rtt;
        Way {
            algorithm,
            segment: self.segment as f64,
            rtt: rtt.least().unwrap_or_default(),
            queued: rtt.smoothed().unwrap_or_default(),
        }
    }

    fn acquit_all(&mut self, now: Instant, members: &mut [Member]) -> Vec<usize> {
        for index in 0..members.len() {
            if members[index].slow().is_suspect() {
                self.acquit(now, members, index, 0.0);
            }
        }
        Vec::new()
    }

    /// It has shown to take so many bytes a second. Where its round trip is longer than the others' that is a wider window
    /// than theirs.
    fn acquit(&mut self, now: Instant, members: &mut [Member], index: usize, shown: f64) {
        let srtt = members[index].group_path().rtt.smoothed().unwrap_or_default();
        #[expect(clippy::cast_sign_loss, reason = "no rate is negative")]
        let shown = (shown * srtt.as_secs_f64()) as u64;
        let window = self.window(members).unwrap_or_default().max(shown);
        members[index].acquit(now, window);
        members[index].note_late(self.cursor.at());
        tracing::debug!(to = %members[index].addr(), "is not slow");
        self.elect(members);
    }
}
