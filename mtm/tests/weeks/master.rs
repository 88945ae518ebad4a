//! The master: its ledger, its schedule and its announcements, as `mtm` has them.

use crate::JOB;
use crate::draw::{Clock, Rng, millis};
use crate::host::{Told, Tree};
use mtm::announce::{Allowed, ChannelKey, JobKey, Open, Request, Reserved, Stamps, made_by, seal};
use mtm::ledger::{Channel, Found, Job, Kind, Ledger, Outcome, ReceiverId};
use mtm::outcome;
use mtm::plan::{self, Wanted};
use mtm::revision::{Revision, is_far_behind};
use mtm::schedule::Schedule;
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};
use tcpxm::trust::Identity;
use transfer::message::MAX_LINE;
use zeroize::Zeroizing;

/// As long as somebody lacks something, that is announced again after so long: more seldom than `mtm` does, for the sake
/// of time.
const PACE: Duration = Duration::from_secs(20 * 60);

/// Since which revision changes alone are listed, if that is so, and the editions from that one on, or from another one.
pub(crate) type Since = (Option<u32>, (u32, Vec<u64>));

/// A session that has begun.
pub(crate) struct Session {
    pub(crate) hosts: Vec<ReceiverId>,
    /// Those of them that are there: how often each was turned on or off, and since which revision changes are listed.
    pub(crate) met: BTreeMap<ReceiverId, (u64, Since)>,
    /// What these had before.
    pub(crate) had: BTreeMap<ReceiverId, [Option<Revision>; 2]>,
    /// What it lists: by their numbers, with what they are at that time, or that they are gone.
    pub(crate) listed: BTreeMap<u32, (String, Option<i64>)>,
    /// All names that the ledger knows: of any other a receiver deletes what it has.
    pub(crate) names: BTreeSet<String>,
    pub(crate) revision: Revision,
    pub(crate) began: Instant,
}

/// What each name has been since which revision.
type History = BTreeMap<String, Vec<(u32, Option<i64>)>>;

/// It.
pub(crate) struct Master {
    path: PathBuf,
    pub(crate) ledger: Ledger,
    pub(crate) schedule: Schedule,
    pub(crate) clock: Clock,
    identity: Identity,
    stamps: Stamps,
    announced: Option<(u32, Instant)>,
    lives: u8,
    /// The tree in each revision that a look has found.
    pub(crate) revisions: BTreeMap<u32, Tree>,
    pub(crate) history: History,
    /// A copy of the job's file, with the two before as they were then.
    copy: Option<(PathBuf, BTreeMap<u32, Tree>, History)>,
    /// The job's file is that copy.
    pub(crate) is_restored: bool,
}

fn found(name: &str, version: i64) -> Found {
    Found {
        path: name.into(),
        kind: Kind::File,
        size: 1000,
        mtime: version,
        ctime: version,
        mode: 0o644,
        uid: 0,
        gid: 0,
        node: (1, 1),
        mount: None,
    }
}

impl Master {
    pub(crate) fn new(path: &Path, hosts: u32, clock: Clock, now: Instant) -> Self {
        let job = Job {
            id: JOB,
            name: "lectures".to_owned(),
            description: String::new(),
            source: "/srv".into(),
            root: (1, 2),
            created: clock.unix(now),
            options: String::new(),
        };
        let mut ledger = Ledger::create(path, &job).unwrap();
        for n in 0..hosts {
            ledger.add_receiver(&format!("host{n}")).unwrap();
        }
        let reserved = Reserved { incarnation: 5, below: 0 };
        let [channel, private] = [[2; 32], [3; 32]].map(Zeroizing::new);
        let identity = Zeroizing::new([4; 64]);
        ledger.set_channel(&Channel { identity, channel, private, reserved }).unwrap();
        let mut master = Self {
            path: path.to_owned(),
            ledger,
            schedule: Schedule::default(),
            clock,
            identity: Identity::generate([4; 64]),
            stamps: Stamps::resume(reserved, [0; 16]),
            announced: None,
            lives: 0,
            revisions: BTreeMap::new(),
            history: BTreeMap::new(),
            copy: None,
            is_restored: false,
        };
        master.set(now);
        master
    }

    /// These are the receivers, and so long they have been away, as far as its clock tells.
    fn set(&mut self, now: Instant) {
        let unix = self.clock.unix(now);
        let away = |since: u64| Duration::from_millis(unix.saturating_sub(since));
        let all = self.ledger.receivers().unwrap().into_iter();
        let all =
            all.map(|one| (one.id, one.late.map_or(Duration::ZERO, |(since, _)| away(since))));
        self.schedule.set(&all.collect::<Vec<_>>(), now);
    }

    /// It is killed, and started anew: what it has in memory is lost.
    pub(crate) fn is_killed(&mut self, now: Instant) {
        // One process at a time has the job's lock.
        self.ledger = Ledger::beside(&self.path).unwrap();
        self.ledger = Ledger::open(&self.path).unwrap();
        self.lives += 1;
        let reserved = self.ledger.channel().unwrap().unwrap().reserved;
        self.stamps = Stamps::resume(reserved, [self.lives; 16]);
        (self.schedule, self.announced) = (Schedule::default(), None);
        self.set(now);
    }

    /// The job's file is copied.
    pub(crate) fn is_copied(&mut self) {
        let copy = self.path.with_file_name("copy");
        let db = rusqlite::Connection::open(&self.path).unwrap();
        db.execute("VACUUM INTO ?", [copy.to_str().unwrap()]).unwrap();
        self.copy = Some((copy, self.revisions.clone(), self.history.clone()));
    }

    /// It is killed, and goes on with that copy: the tree as it was then.
    pub(crate) fn restore(&mut self, now: Instant) -> Tree {
        let (path, revisions, history) = self.copy.take().unwrap();
        (self.path, self.revisions, self.history) = (path, revisions, history);
        self.is_restored = true;
        self.is_killed(now);
        self.revisions.values().next_back().cloned().unwrap_or_default()
    }

    /// A host says which installation it is, and what it has.
    pub(crate) fn meets(
        &mut self,
        (id, instance): (ReceiverId, [u8; 16]),
        has: [Option<Revision>; 2],
    ) -> bool {
        if self.ledger.meet(id, instance).unwrap() {
            return true;
        }
        let lost = self.ledger.told((id, instance), has).unwrap();
        assert!(lost.is_none() || self.is_restored, "{lost:?}");
        lost.is_some()
    }

    pub(crate) fn told(&self) -> Told {
        let incarnation = self.stamps.reserved().incarnation;
        let (master, floor) = (self.identity.public(), self.stamps.floor());
        Told { master, channel: [2; 32], incarnation, floor }
    }

    /// A host says hello, and shows the announcement that it took last.
    pub(crate) fn hears(&mut self, id: ReceiverId, last: Option<&[u8]>, now: Instant) {
        if let Some(last) = last {
            let taken = made_by(&self.identity.public(), last).expect("it has signed it");
            if self.stamps.is_outdated_by(taken) {
                assert!(self.is_restored, "it was never restored from a copy");
                let incarnation = self.stamps.reserved().incarnation + 1;
                self.stamps.begin_anew(incarnation, |to| self.ledger.reserve(to)).unwrap();
            }
        }
        self.schedule.hello(id, now);
    }

    pub(crate) fn look(&mut self, tree: &Tree, now: Instant, edition: u64) {
        let tree_now = tree.iter().map(|(name, at)| found(name, *at));
        let change = self.ledger.look(tree_now, edition).unwrap();
        self.ledger.forget_gone(true).unwrap();
        if !change.is_none() {
            let revision = self.ledger.revision();
            for name in self.history.keys().chain(tree.keys()).cloned().collect::<Vec<_>>() {
                let (all, at) = (self.history.entry(name.clone()).or_default(), tree.get(&name));
                if all.last().and_then(|(_, last)| last.as_ref()) != at {
                    all.push((revision, at.copied()));
                }
            }
            self.revisions.insert(revision, tree.clone());
            self.schedule.wake(now);
        }
    }

    /// Serves who is due: the sessions that begin.
    pub(crate) fn round(
        &mut self,
        is_on: impl Fn(ReceiverId) -> bool,
        now: Instant,
    ) -> Vec<Session> {
        let mut begun = Vec::new();
        for class in self.schedule.due(now) {
            let mut wanted = Vec::new();
            for one in self.ledger.receivers().unwrap() {
                if !class.contains(&one.id) {
                    continue;
                }
                let mut lacks = self.ledger.lacking(one.id);
                let newest = self.ledger.revision();
                let unsure = lacks.is_empty() && one.complete < newest;
                if unsure || is_far_behind(one.complete, newest) {
                    // It is told of everything once more.
                    let all = self.ledger.entries().unwrap();
                    lacks = all.iter().map(|entry| entry.number).collect();
                }
                match one.instance.filter(|_| lacks.is_empty()) {
                    Some(instance) => self.complete((one.id, instance), newest),
                    None => {
                        wanted.push(Wanted { receiver: one.id, lacks: lacks.into(), rate: None });
                    }
                }
            }
            for planned in plan::sessions(&wanted, |_| 1000) {
                begun.push(self.begin(planned, &is_on, now));
            }
        }
        begun
    }

    fn begin(
        &mut self,
        planned: plan::Session,
        is_on: impl Fn(ReceiverId) -> bool,
        now: Instant,
    ) -> Session {
        let revision = self.ledger.newest().unwrap();
        planned.receivers.iter().for_each(|id| self.schedule.begin(*id));
        let (hosts, mut listed, met) = (planned.receivers, BTreeMap::new(), BTreeMap::new());
        let (had, mut names) = (BTreeMap::new(), BTreeSet::new());
        // Nothing comes of a session with nobody: for the sake of time that is all of it.
        if hosts.iter().any(|id| is_on(*id)) {
            let told = outcome::all(&planned.entries, &Outcome::Announced);
            for one in self.ledger.receivers().unwrap() {
                if let Some(instance) = one.instance.filter(|_| hosts.contains(&one.id)) {
                    self.ledger.note((one.id, instance), revision.number, &told).unwrap();
                }
            }
            let all = self.ledger.entries().unwrap();
            names.extend(all.iter().map(|one| one.found.path.to_str().unwrap().to_owned()));
            let all = all
                .into_iter()
                .filter(|entry| planned.entries.binary_search(&entry.number).is_ok());
            listed.extend(all.map(|entry| {
                let name = entry.found.path.to_str().unwrap().to_owned();
                (entry.number, (name, (!entry.gone).then_some(entry.found.mtime)))
            }));
        }
        Session { hosts, met, had, listed, names, revision, began: now }
    }

    /// The newest revision of which a host has everything, unless the session lists all.
    pub(crate) fn since(&self, id: ReceiverId, session: &Session) -> Since {
        let all = self.ledger.receivers().unwrap();
        let since = all.iter().find(|one| one.id == id).map(|one| one.complete);
        let is_whole = session.listed.len() == self.ledger.entries().unwrap().len();
        let since = since.filter(|since| !is_whole && *since > 0);
        let last = session.revision.number.saturating_sub(100).max(1);
        let first = since.unwrap_or(last);
        (since, (first, self.ledger.editions(first, MAX_LINE).unwrap()))
    }

    /// A host's verdict. Whether it has everything of the session's revision.
    pub(crate) fn verdict(
        &mut self,
        (id, instance): (ReceiverId, [u8; 16]),
        session: &Session,
        failed: &BTreeMap<u32, String>,
        (now, draw): (Instant, f64),
    ) -> bool {
        let anew = self.meets((id, instance), session.had[&id]);
        let entries: Vec<u32> = session.listed.keys().copied().collect();
        let outcomes = outcome::of_session(&entries, failed, Some(&Outcome::Done));
        self.ledger.note((id, instance), session.revision.number, &outcomes).unwrap();
        if let Some(why) = failed.values().next() {
            self.failed(id, why, (session.began, now), draw);
            return false;
        }
        self.ledger.set_late(id, None).unwrap();
        if anew || !self.ledger.lacking(id).is_empty() {
            self.schedule.goes_on(id, now);
            return false;
        }
        self.complete((id, instance), session.revision.number);
        true
    }

    fn complete(&mut self, (id, instance): (ReceiverId, [u8; 16]), revision: u32) {
        self.ledger.note_complete((id, instance), revision).unwrap();
        self.ledger.set_late(id, None).unwrap();
        self.schedule.has_all(id);
    }

    pub(crate) fn failed(
        &mut self,
        id: ReceiverId,
        why: &str,
        (began, now): (Instant, Instant),
        draw: f64,
    ) {
        let since = self.schedule.failed(id, (began, now), draw);
        let since = self.clock.unix(now).saturating_sub(millis(now.duration_since(since)));
        let known = self.ledger.receivers().unwrap();
        let late = known.into_iter().find(|one| one.id == id).and_then(|one| one.late);
        if late.as_ref().is_none_or(|(_, known)| known != why) {
            let since = late.map_or(since, |(before, _)| before.min(since));
            self.ledger.set_late(id, Some((since, why))).unwrap();
        }
    }

    /// What is announced by now, if anything is.
    pub(crate) fn announces(&mut self, now: Instant) -> Option<Vec<u8>> {
        let revision = self.ledger.revision();
        let is_due = |(last, at): (u32, Instant)| last != revision || now >= at + PACE;
        if revision == 0 || !self.announced.is_none_or(is_due) {
            return None;
        }
        let all = self.ledger.receivers().unwrap();
        let lacks = |id: ReceiverId| !self.ledger.lacking(id).is_empty();
        let places = (0..).zip(&all).filter(|(_, one)| lacks(one.id)).map(|(place, _)| place);
        let places: Vec<usize> = places.collect();
        if places.is_empty() {
            return None;
        }
        self.announced = Some((revision, now));
        let (allowed, digest) = (Allowed::of(places), [0; 32]);
        let open = Open { job: JOB, version: revision, group: None, digest, allowed };
        let stamp = self.stamps.next(|reserved| self.ledger.reserve(reserved)).unwrap();
        let keys = (ChannelKey::new([2; 32]), JobKey::new([3; 32]));
        let said = (Request::Transfer, &open);
        Some(seal(&self.identity, stamp, (&keys.0, &keys.1), said, b"").unwrap())
    }

    /// When something is announced next, if it is due then.
    pub(crate) fn next_announcement(&self) -> Option<Instant> {
        self.announced.map(|(_, at)| at + PACE)
    }

    /// Whether a name has been so in that revision or a later one.
    pub(crate) fn was(&self, name: &str, at: Option<i64>, since: u32) -> bool {
        let Some(all) = self.history.get(name) else { return at.is_none() };
        let first = all.partition_point(|(revision, _)| *revision <= since);
        let before = first.checked_sub(1).and_then(|before| all[before].1);
        before == at || all[first..].iter().any(|(_, then)| *then == at)
    }

    /// A content that no file has had: its time is what the clock shows, which may have been there before.
    pub(crate) fn version(&self, number: i64, now: Instant) -> i64 {
        i64::try_from(self.clock.unix(now)).unwrap() * 1_000_000 + number
    }
}

/// Some of the entries of a session, as what was there when it was broken off.
pub(crate) fn begun(session: &Session, rng: &mut Rng) -> Vec<u32> {
    let upto = rng.below(session.listed.len() as u64 + 1) as usize;
    session.listed.keys().copied().take(upto).collect()
}
