//! A receiver as it really is, with what it knows of the job.

use crate::JOB;
use crate::draw::{Clock, Rng};
use crate::master::Since;
use mtm::announce::{ChannelKey, Ignored, Masters};
use mtm::held::{Held, HeldError, Known, LEASE, Of};
use mtm::revision::Revision;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};
use tcpxm::trust::PublicKey;

/// The job, and what each host is called to itself.
const OF: Of<'static> = (JOB, "here");

/// A tree: which version of its content each name has.
pub(crate) type Tree = BTreeMap<String, i64>;

/// What a master tells of its announcements, over an association.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Told {
    pub(crate) master: PublicKey,
    pub(crate) channel: [u8; 32],
    pub(crate) incarnation: u64,
    pub(crate) floor: u64,
}

/// It.
pub(crate) struct Host {
    pub(crate) on: bool,
    pub(crate) full: bool,
    pub(crate) has: Tree,
    /// How often it was turned on or off: a session across that is none.
    pub(crate) turns: u64,
    /// What it has is what its master knows of.
    pub(crate) is_told: bool,
    pub(crate) clock: Clock,
    installation: u8,
    folder: PathBuf,
    held: Held,
    masters: Masters,
    /// When its master was heard, in true time.
    heard: Option<Instant>,
}

impl Host {
    pub(crate) fn new(folder: &Path, on: bool, clock: Clock) -> Self {
        std::fs::create_dir(folder).unwrap();
        Self {
            on,
            full: false,
            has: Tree::new(),
            turns: 0,
            is_told: false,
            clock,
            installation: 1,
            folder: folder.to_owned(),
            held: Held::open(&folder.join("1")).unwrap(),
            masters: Masters::default(),
            heard: None,
        }
    }

    pub(crate) fn instance(&self) -> [u8; 16] {
        [self.installation; 16]
    }

    /// It has nothing, and does not know its master.
    pub(crate) fn reinstall(&mut self) {
        self.installation += 1;
        self.held = Held::open(&self.folder.join(self.installation.to_string())).unwrap();
        (self.has, self.masters, self.heard) = (Tree::new(), Masters::default(), None);
        (self.is_told, self.full) = (false, false);
        self.turns += 1;
    }

    /// It is turned on or off. What was heard of announcements is in memory.
    pub(crate) fn turn(&mut self, on: bool) {
        self.on = on;
        self.turns += 1;
        self.masters = Masters::default();
    }

    /// Whether it says hello: it knows its master.
    pub(crate) fn calls(&mut self, now: Instant) -> bool {
        self.on && !self.held.all(self.clock.unix(now)).unwrap().is_empty()
    }

    /// The announcement that it took last.
    pub(crate) fn last(&self, master: &PublicKey) -> Option<Vec<u8>> {
        self.masters.last(master).map(<[u8]>::to_vec)
    }

    /// Its master has answered.
    pub(crate) fn welcome(&mut self, told: &Told, now: Instant) {
        self.masters.tell(
            told.master,
            ChannelKey::new(told.channel),
            (told.incarnation, told.floor),
        );
        self.held.heard(OF, self.clock.unix(now)).unwrap();
        self.heard = Some(now);
    }

    /// Hears a datagram of the channel.
    pub(crate) fn hears(&mut self, datagram: &[u8]) -> Result<(), Ignored> {
        self.masters.take(datagram).map(drop)
    }

    /// A session for that revision begins.
    pub(crate) fn begins(
        &mut self,
        (since, revision): (&Since, Revision),
        told: &Told,
        now: Instant,
    ) {
        let known = Known {
            job: JOB,
            master: None,
            name: "lectures".to_owned(),
            host: OF.1.to_owned(),
            place: "/srv/lectures".into(),
            hello: Some(([10, 0, 0, 1], 9000).into()),
            peer: Some([10, 0, 0, 1].into()),
            instance: self.instance(),
            complete: Some(revision),
            heard: self.clock.unix(now),
        };
        let (_, (first, line)) = since;
        self.held.begin_after(&known, (*first, line)).unwrap();
        self.welcome(told, now);
    }

    /// It ends; `since` which revision the session was.
    pub(crate) fn ends(&mut self, (since, revision): (&Since, Revision), ok: bool, now: Instant) {
        self.held.heard(OF, self.clock.unix(now)).unwrap();
        if ok {
            let since = since.0.map(|from| (from, &since.1.1[..]));
            self.held.complete(OF, since, revision).unwrap();
        }
        self.heard = Some(now);
    }

    /// The revision of which it knows that it had everything.
    pub(crate) fn complete(&self) -> Option<u32> {
        let complete = self.held.known(OF).unwrap().and_then(|known| known.complete);
        complete.map(|complete| complete.number)
    }

    /// What it tells its master that it has.
    pub(crate) fn tells(&self) -> [Option<Revision>; 2] {
        let instance = self.instance();
        [self.held.has(OF, instance).unwrap(), self.held.begun(OF, instance).unwrap()]
    }

    /// Another job wants the place: whatever the clocks show, it does not get that of a master that was heard.
    pub(crate) fn is_asked_by_another(&mut self, now: Instant, rng: &mut Rng) {
        let Some(heard) = self.heard.filter(|_| self.on) else { return };
        assert!(now.duration_since(heard) + Duration::from_secs(3 * 3600) < LEASE, "it is on");
        let known = self.held.known(OF).unwrap().unwrap();
        let place = ["/srv", "/srv/lectures", "/srv/lectures/x"][rng.below(3) as usize].into();
        let heard = self.clock.unix(now);
        let other = Known { job: [9; 16], place, heard, ..known };
        assert!(matches!(self.held.begin(&other), Err(HeldError::Taken { .. })));
    }
}
