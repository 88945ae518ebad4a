//! What happens, and when.

use crate::HOUR;
use crate::draw::{Clock, Rng};
use crate::host::{Host, Tree};
use crate::master::{Master, Session, begun};
use mtm::announce::Ignored;
use mtm::ledger::ReceiverId;
use mtm::revision::Revision;
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::time::{Duration, Instant};

const HOSTS: u32 = 5;
/// A host that knows its master says hello so often, or when an announcement asks for it: more seldom than `mcpd` does.
const HELLO: Duration = Duration::from_secs(2 * 3600);

enum Event {
    Happens,
    Over(Session),
    /// A host says hello, unless it was turned off or on since.
    Hello(ReceiverId, u64),
    /// Something in the tree is changed.
    Change,
    /// No announcement reaches any host from now on.
    Deaf,
    /// The job's file is copied.
    Copied,
    /// It was lost, and the copy takes its place.
    Restored,
}

pub(crate) struct World {
    master: Master,
    hosts: BTreeMap<ReceiverId, Host>,
    tree: Tree,
    /// The tree has changed since it was looked at.
    is_changed: bool,
    queue: BTreeMap<(Instant, u64), Event>,
    events: u64,
    /// Until then no announcement reaches any host.
    deaf: Instant,
    /// Announcements that all have missed, and that somebody has taken.
    heard: (u64, u64),
    /// What was sent to whom: nothing twice to the same installation.
    sent: BTreeSet<(ReceiverId, [u8; 16], String, i64)>,
    /// Those that the master has not heard since its job's file was restored.
    unheard: BTreeSet<ReceiverId>,
    tries: u64,
    versions: i64,
    now: Instant,
    rng: Rng,
}

impl World {
    pub(crate) fn new(folder: &Path, seed: u64, now: Instant) -> Self {
        let mut rng = Rng(seed);
        let clock = Clock::new(now, &mut rng);
        let master = Master::new(&folder.join("job"), HOSTS, clock, now);
        let hosts = master.ledger.receivers().unwrap().into_iter().map(|one| {
            let folder = folder.join(one.id.to_string());
            (one.id, Host::new(&folder, one.id % 2 == 0, Clock::new(now, &mut rng)))
        });
        let hosts = hosts.collect();
        let tree = (0..20).map(|n| (format!("file{n:02}"), 1)).collect();
        let mut world = Self {
            master,
            hosts,
            tree,
            is_changed: true,
            queue: BTreeMap::new(),
            events: 0,
            deaf: now,
            heard: (0, 0),
            sent: BTreeSet::new(),
            unheard: BTreeSet::new(),
            tries: 0,
            versions: 1,
            now,
            rng,
        };
        world.put(now, Event::Happens);
        world.put(now + HOUR, Event::Deaf);
        let copied = HOUR * 24 + world.rng.up_to(HOUR * 24 * 10);
        world.put(now + copied, Event::Copied);
        let restored = copied + world.rng.up_to(HOUR * 24 * 8);
        world.put(now + restored, Event::Restored);
        world
    }

    fn put(&mut self, at: Instant, event: Event) {
        self.events += 1;
        self.queue.insert((at, self.events), event);
    }

    /// Everything that happens before then.
    pub(crate) fn run(&mut self, until: Instant) {
        loop {
            let event = self.queue.keys().next().map(|(at, _)| *at);
            let said = self.master.next_announcement().filter(|at| *at > self.now);
            let due = [event, self.master.schedule.next(), said].into_iter().flatten().min();
            let now = due.unwrap_or(until).max(self.now).min(until);
            self.now = now;
            if now == until {
                return;
            }
            if event.is_some_and(|at| at <= now)
                && let Some((_, event)) = self.queue.pop_first()
            {
                self.handle(event, now);
            }
            self.serve(now);
            self.announce(now);
        }
    }

    fn serve(&mut self, now: Instant) {
        if self.master.schedule.due(now).is_empty() {
            return;
        }
        // A look that is sure to find nothing takes its time, too.
        if std::mem::take(&mut self.is_changed) || self.rng.one_in(16) {
            let edition = Revision::edition_of(self.rng.next());
            self.master.look(&self.tree, now, edition);
        }
        let hosts = &self.hosts;
        for mut session in self.master.round(|id| hosts[&id].on, now) {
            self.tries += session.hosts.len() as u64;
            let took = Duration::from_secs(1 + self.rng.below(60));
            for id in session.hosts.clone() {
                let (told, since) = (self.master.told(), self.master.since(id, &session));
                let host = self.hosts.get_mut(&id).unwrap();
                if host.on {
                    session.had.insert(id, host.tells());
                    host.begins((&since, session.revision), &told, now);
                    let turns = host.turns;
                    session.met.insert(id, (turns, since));
                    self.will_call((id, turns), now);
                }
            }
            if !session.met.is_empty() && self.rng.one_in(16) {
                let at = now + self.rng.up_to(took);
                self.put(at, Event::Change);
            }
            self.put(now + took, Event::Over(session));
        }
    }

    /// What is announced reaches those that are on, most of the time, and at times twice.
    fn announce(&mut self, now: Instant) {
        let Some(datagram) = self.master.announces(now) else { return };
        if now < self.deaf {
            self.heard.0 += 1;
            return;
        }
        let mut answers = Vec::new();
        for (id, host) in self.hosts.iter_mut().filter(|(_, host)| host.on) {
            if self.rng.one_in(10) {
                continue;
            }
            match host.hears(&datagram) {
                Ok(()) => answers.push((*id, host.turns)),
                Err(Ignored::Stranger) => {} // it was not told of its master
                Err(why) => {
                    assert!(self.master.is_restored, "{why:?}");
                    continue;
                }
            }
            if host.last(&self.master.told().master).is_some() && self.rng.one_in(4) {
                assert_eq!(host.hears(&datagram), Err(Ignored::Replayed));
            }
        }
        self.heard.1 += u64::from(!answers.is_empty());
        for (id, turns) in answers {
            let at = now + self.rng.up_to(Duration::from_millis(5 * u64::from(HOSTS)));
            self.put(at, Event::Hello(id, turns));
        }
    }

    fn handle(&mut self, event: Event, now: Instant) {
        match event {
            Event::Happens => {
                self.happens(now);
                let at = now + HOUR.mul_f64(0.2 + self.rng.below(100) as f64 / 20.0);
                self.put(at, Event::Happens);
            }
            Event::Over(session) => self.over(&session, now),
            Event::Hello(id, turns) => self.hello((id, turns), now),
            Event::Change => {
                self.change(now);
                self.master.schedule.wake(now);
            }
            Event::Copied => self.master.is_copied(),
            Event::Restored => self.restore(now),
            Event::Deaf => {
                self.deaf = now + HOUR + self.rng.up_to(HOUR * 4);
                let at = self.deaf + HOUR + self.rng.up_to(HOUR * 12);
                self.put(at, Event::Deaf);
            }
        }
    }

    fn happens(&mut self, now: Instant) {
        let id = 1 + u32::try_from(self.rng.below(u64::from(HOSTS))).unwrap();
        let rng = &mut self.rng;
        let host = self.hosts.get_mut(&id).unwrap();
        match rng.below(16) {
            0..5 => {
                let on = !host.on || rng.one_in(2);
                self.turn(id, on, now);
            }
            5 => host.full = true,
            6 | 7 => host.full = false,
            8 => host.reinstall(),
            9 | 10 => self.change(now),
            11 | 12 => host.clock.jump(rng),
            13 => self.master.clock.jump(rng),
            14 => host.is_asked_by_another(now, rng),
            _ => self.kill(now),
        }
        // As the last look of a job does, before it is complete.
        self.master.schedule.wake(now);
    }

    fn change(&mut self, now: Instant) {
        self.is_changed = true;
        let name = format!("file{:02}", self.rng.below(25));
        if self.rng.one_in(3) {
            self.tree.remove(&name);
            return;
        }
        self.versions += 1;
        self.tree.insert(name, self.master.version(self.versions, now));
    }

    fn turn(&mut self, id: ReceiverId, on: bool, now: Instant) {
        let host = self.hosts.get_mut(&id).unwrap();
        host.turn(on);
        let event = Event::Hello(id, host.turns);
        let at = now + self.rng.up_to(Duration::from_secs(1));
        self.put(at, event);
    }

    /// A host says hello, and will again.
    fn hello(&mut self, (id, turns): (ReceiverId, u64), now: Instant) {
        let host = self.hosts.get_mut(&id).unwrap();
        if host.turns != turns || !host.calls(now) {
            return;
        }
        let told = self.master.told();
        self.master.hears(id, host.last(&told.master).as_deref(), now);
        let met = self.master.ledger.receivers().unwrap();
        let is_met =
            |one: &mtm::ledger::Receiver| one.id == id && one.instance == Some(host.instance());
        // Another installation is met by its session.
        if met.iter().any(is_met) {
            self.master.meets((id, host.instance()), host.tells());
            self.unheard.remove(&id);
        }
        let told = self.master.told();
        host.welcome(&told, now);
        self.will_call((id, turns), now);
    }

    fn will_call(&mut self, (id, turns): (ReceiverId, u64), now: Instant) {
        let is_own = |event: &Event| matches!(event, Event::Hello(a, b) if (*a, *b) == (id, turns));
        if !self.queue.values().any(is_own) {
            self.put(now + HELLO, Event::Hello(id, turns));
        }
    }

    /// The master is killed, and with it its sessions: what has arrived of them stays.
    fn kill(&mut self, now: Instant) {
        self.break_off();
        self.master.is_killed(now);
        self.check();
    }

    /// The same, and its job's file is the copy from now on; some of the tree is again as it was then.
    fn restore(&mut self, now: Instant) {
        self.break_off();
        let then = self.master.restore(now);
        let names: BTreeSet<String> = self.tree.keys().chain(then.keys()).cloned().collect();
        for name in names {
            if self.rng.one_in(2) {
                match then.get(&name) {
                    Some(version) => drop(self.tree.insert(name, *version)),
                    None => drop(self.tree.remove(&name)),
                }
            }
        }
        self.unheard = self.hosts.keys().copied().collect();
        self.hosts.values_mut().for_each(|host| host.is_told = false);
        self.sent.clear(); // what was lost is replaced by what was there before
        let edition = Revision::edition_of(self.rng.next());
        self.master.look(&self.tree, now, edition);
        self.master.schedule.wake(now);
    }

    fn break_off(&mut self) {
        let all = std::mem::take(&mut self.queue);
        for (at, event) in all {
            match event {
                Event::Over(session) => {
                    for id in session.met.keys() {
                        self.is_broken_off(*id, &session);
                    }
                }
                event => drop(self.queue.insert(at, event)),
            }
        }
    }

    fn is_broken_off(&mut self, id: ReceiverId, session: &Session) {
        let entries = begun(session, &mut self.rng);
        if self.hosts[&id].turns == session.met[&id].0 {
            self.bring(id, session, &entries, &mut BTreeMap::new());
        }
    }

    /// Brings entries of a session to a host; which fail.
    fn bring(
        &mut self,
        id: ReceiverId,
        session: &Session,
        entries: &[u32],
        failed: &mut BTreeMap<u32, String>,
    ) {
        let host = self.hosts.get_mut(&id).unwrap();
        for number in entries {
            let (name, version) = session.listed[number].clone();
            let Some(version) = version else {
                host.is_told &= host.has.remove(&name).is_none();
                continue;
            };
            if host.has.get(&name) == Some(&version) {
                continue;
            }
            if host.full && number % 3 == 0 {
                failed.insert(*number, "no room".to_owned());
            } else if self.tree.get(&name) != Some(&version) && self.rng.one_in(2) {
                failed.insert(*number, "it was changed while it was sent".to_owned());
            } else {
                let what = (id, host.instance(), name.clone(), version);
                assert!(self.sent.insert(what), "{name} was sent twice to the same installation");
                host.has.insert(name, version);
                host.is_told = false;
            }
        }
    }

    /// What a host has told when its session began.
    fn meets(&mut self, id: ReceiverId, session: &Session) {
        self.master.meets((id, self.hosts[&id].instance()), session.had[&id]);
        self.unheard.remove(&id);
    }

    /// A session is over.
    fn over(&mut self, session: &Session, now: Instant) {
        for id in &session.hosts {
            let (draw, times) = (self.rng.part(), (session.began, now));
            let met = session.met.get(id).filter(|(turns, _)| *turns == self.hosts[id].turns);
            let Some((_, since)) = met else {
                self.master.failed(*id, "nobody listens there", times, draw);
                continue;
            };
            if self.rng.one_in(20) {
                self.is_broken_off(*id, session);
                self.meets(*id, session);
                self.master.failed(*id, "the network is gone", times, draw);
                continue;
            }
            let (mut failed, all) = (BTreeMap::new(), session.listed.keys().copied());
            self.bring(*id, session, &all.collect::<Vec<_>>(), &mut failed);
            let host = self.hosts.get_mut(id).unwrap();
            if failed.is_empty() {
                host.has.retain(|name, _| session.names.contains(name));
            }
            host.ends((since, session.revision), failed.is_empty(), now);
            host.is_told = false;
            if self.rng.one_in(20) {
                self.meets(*id, session);
                self.master.failed(*id, "its verdict was lost", times, draw);
                continue;
            }
            let of = (*id, host.instance());
            host.is_told = self.master.verdict(of, session, &failed, (now, draw));
            self.unheard.remove(id);
        }
        if !session.met.is_empty() {
            self.check();
        }
    }

    /// What the ledger says of each host is so.
    fn check(&self) {
        let ledger = &self.master.ledger;
        let (newest, entries) = (ledger.revision(), ledger.entries().unwrap());
        for receiver in ledger.receivers().unwrap() {
            let host = &self.hosts[&receiver.id];
            if self.unheard.contains(&receiver.id) {
                continue; // the ledger says what was so when it was copied
            }
            if receiver.instance != Some(host.instance()) {
                assert!(receiver.instance.is_some() || receiver.complete == 0);
                continue; // nobody has met this installation
            }
            let lacks = ledger.lacking(receiver.id);
            for entry in entries.iter().filter(|one| lacks.binary_search(&one.number).is_err()) {
                let name = entry.found.path.to_str().unwrap();
                let there = host.has.get(name).copied();
                let expected = (!entry.gone).then_some(entry.found.mtime);
                assert_eq!(there, expected, "{receiver:?}: {name}");
            }
            if receiver.complete == 0 {
                continue;
            }
            // It has that revision, but for what a session has brought since that it has not told the end of.
            let has = &self.master.revisions[&receiver.complete];
            for name in has.keys().chain(host.has.keys()) {
                let at = host.has.get(name).copied();
                assert!(self.master.was(name, at, receiver.complete), "{receiver:?}: {name}");
            }
            if host.is_told {
                assert_eq!(&host.has, has, "{receiver:?}");
                assert_eq!(host.complete(), Some(receiver.complete), "{receiver:?}");
            }
            if lacks.is_empty() {
                assert_eq!(host.has, self.master.revisions[&newest], "{receiver:?}");
            }
        }
    }

    /// From now on all are there, with room, the tree changes once more, and no announcement reaches anybody.
    pub(crate) fn calm(&mut self, now: Instant) {
        self.queue.retain(|_, event| matches!(event, Event::Over(_) | Event::Hello(..)));
        self.deaf = now + HOUR * 1000;
        for id in self.hosts.keys().copied().collect::<Vec<_>>() {
            self.hosts.get_mut(&id).unwrap().full = false;
            self.turn(id, true, now);
        }
        for (id, host) in &self.hosts {
            self.master.meets((*id, host.instance()), host.tells());
            self.unheard.remove(id);
        }
        self.master.schedule.wake(now);
        self.put(now + HOUR, Event::Change);
    }

    /// All have all of it.
    pub(crate) fn check_end(&self) {
        self.check();
        let newest = self.master.ledger.revision();
        assert_eq!(self.master.revisions[&newest], self.tree);
        for receiver in self.master.ledger.receivers().unwrap() {
            assert_eq!(self.hosts[&receiver.id].has, self.tree, "{receiver:?}");
            assert_eq!((receiver.complete, receiver.late.is_some()), (newest, false));
        }
        // A host that is off all the time is tried some 300 times a day.
        assert!(self.tries < 300 * 21 * u64::from(HOSTS), "{} tries", self.tries);
        assert!(self.heard.0 > 20 && self.heard.1 > 100, "{:?}", self.heard);
    }
}
