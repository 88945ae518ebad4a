//! Listens to the announcement channel, and answers each announcement that counts: by a hello, which says what is here.

use super::{Mine, Named, lock, now};
use crate::report::say;
use mcp_cli::say::plain;
use mtm::announce::{Announcement, ChannelKey, Ignored, JobKey, Masters};
use mtm::backoff;
use mtm::words::{self, Batch, ChannelTold};
use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};
use tcpxm::net::Family;
use tcpxm::net::channel::ChannelListener;
use tcpxm::net::interface::{index_of, with_address};
use tcpxm::trust::PublicKey;

/// Interfaces may come and go: memberships are looked after so often.
const LOOK: Duration = Duration::from_secs(10);
/// And told anew so often, for networks without a querier: as often as one asks (RFC 3376, 8.2, Query Interval).
const ANEW: Duration = Duration::from_secs(125);
/// Of a roster so much time for each receiver to answer …
const FOR_EACH: Duration = Duration::from_millis(5);
/// … and no more than this for all: a round takes longer.
const WINDOW: Duration = Duration::from_secs(5);
/// Longest datagram of the channel, in bytes, and one more.
const MAX: usize = 2048;

/// What is known of the jobs that announce.
#[derive(Debug, Default)]
pub(super) struct Known {
    masters: Masters,
    jobs: BTreeMap<Named, ChannelTold>,
    taken: u64,
    /// Announcements are listened to here.
    listens: bool,
}

impl Known {
    /// A master has told what its announcements are known by.
    pub(super) fn tell(&mut self, of: Named, told: ChannelTold) {
        let Ok(master) = PublicKey::from_bytes(told.master) else { return };
        // Each job has a key of its own: nobody replaces that of another one.
        let is_others =
            |(other, known): (&Named, &ChannelTold)| other.0 != of.0 && known.master == told.master;
        if self.jobs.iter().any(is_others) {
            return;
        }
        let channel = ChannelKey::new(told.channel);
        self.masters.tell(master, channel, (told.incarnation, told.floor));
        if let Some(before) = self.jobs.insert(of, told) {
            self.is_left(&before);
        }
    }

    /// The job is over for the host of that name.
    pub(super) fn forget(&mut self, of: &Named) {
        if let Some(told) = self.jobs.remove(of) {
            self.is_left(&told);
        }
    }

    /// These jobs alone are known here, each by what this host is called there.
    pub(super) fn keep(&mut self, known: &BTreeSet<Named>) {
        let over = self.jobs.keys().filter(|of| !known.contains(of));
        for of in over.cloned().collect::<Vec<_>>() {
            self.forget(&of);
        }
    }

    /// One that was told is none any more: nobody listens to its master, unless that is told by another name.
    fn is_left(&mut self, told: &ChannelTold) {
        if !self.jobs.values().any(|other| other.master == told.master) {
            self.masters.forget(&told.master);
        }
    }

    /// Whether a job has told of its announcements.
    #[cfg(test)]
    pub(super) fn knows(&self, of: &Named) -> bool {
        self.jobs.contains_key(of)
    }

    /// The announcement of a job that was taken last.
    pub(super) fn last(&self, of: &Named) -> Option<Vec<u8>> {
        let master = PublicKey::from_bytes(self.jobs.get(of)?.master).ok()?;
        self.masters.last(&master).map(<[u8]>::to_vec)
    }

    /// Takes a datagram; by which names this host may answer and how many receivers may, if it counts and is for this one.
    fn take(&mut self, datagram: &[u8]) -> Option<(Vec<Named>, Batch)> {
        let announcement = self.masters.take(datagram).ok()?;
        let read = self.read(&announcement);
        if read.is_none() {
            self.masters.ignored(Ignored::NotOurs);
        }
        self.taken += u64::from(read.is_some());
        read
    }

    fn read(&self, announcement: &Announcement) -> Option<(Vec<Named>, Batch)> {
        let open = &announcement.open;
        let may = |(of, told): &(&Named, &ChannelTold)| {
            of.0 == open.job
                && told.master == *announcement.master.as_bytes()
                && open.allowed.has(usize::from(told.place))
        };
        let names: Vec<_> = self.jobs.iter().filter(may).collect();
        let private = announcement.private(&JobKey::new(names.first()?.1.private)).ok()?;
        let names = names.into_iter().map(|(of, _)| of.clone()).collect();
        Some((names, words::decode(&private).ok()?))
    }

    /// How many announcements counted, and how many did not and why, in words; nothing where none are listened to.
    pub(super) fn status(&self) -> Option<String> {
        let counts = self.masters.counts();
        self.listens.then(|| format!(
            "announcements: {} taken; ignored: {} malformed, {} of strangers, {} forged, {} repeated, {} of another \
             incarnation, {} for others",
            self.taken,
            counts.malformed,
            counts.stranger,
            counts.forged,
            counts.replayed,
            counts.incarnation,
            counts.not_ours
        ))
    }
}

/// Starts the thread; it ends with the process. `interface`: the only one that is listened on.
pub(super) fn start(
    mine: &Arc<Mine>,
    group: SocketAddr,
    interface: Option<String>,
) -> io::Result<()> {
    let listener = ChannelListener::open(group)?;
    lock(&mine.announced).listens = true;
    let mine = Arc::clone(mine);
    thread::Builder::new()
        .name("announcements".to_owned())
        .spawn(move || Ear { mine, group, interface, listener, said: BTreeSet::new() }.run())?;
    Ok(())
}

struct Ear {
    mine: Arc<Mine>,
    group: SocketAddr,
    interface: Option<String>,
    listener: ChannelListener,
    /// What was said of it, which is said once.
    said: BTreeSet<String>,
}

impl Ear {
    fn run(mut self) {
        let (mut looked, mut anew): (Option<Instant>, Instant) = (None, Instant::now());
        let mut buf = vec![0; MAX];
        loop {
            let now = Instant::now();
            if looked.is_none_or(|at| now >= at + LOOK) {
                let is_anew = now >= anew + ANEW;
                anew = if is_anew { now } else { anew };
                self.keep(is_anew);
                looked = Some(now);
            }
            match self.listener.receive(&mut buf, LOOK) {
                Ok(Some((len, _))) => self.hear(&buf[..len]),
                Ok(None) => {}
                Err(error) => {
                    self.complain(&error);
                    thread::sleep(LOOK); // what it is may pass
                }
            }
        }
    }

    /// Joins where there is something to join on.
    fn keep(&mut self, anew: bool) {
        let family = Family::of(self.group.ip());
        let interfaces = match &self.interface {
            Some(name) => index_of(name).into_iter().collect(),
            None => with_address(family).unwrap_or_default(),
        };
        let sources: Vec<Option<IpAddr>> = if self.listener.is_source_specific() {
            let known = lock(&self.mine.held).all(now()).unwrap_or_default();
            let hello = known.into_iter().filter_map(|known| known.hello);
            let sources: BTreeSet<IpAddr> = hello.map(|addr| addr.ip().to_canonical()).collect();
            sources.into_iter().filter(|ip| Family::of(*ip) == family).map(Some).collect()
        } else {
            vec![None]
        };
        let each = |source: &Option<IpAddr>| {
            let source = *source;
            interfaces.iter().map(move |ifindex| (source, *ifindex)).collect::<Vec<_>>()
        };
        let wanted: BTreeSet<_> = sources.iter().flat_map(each).collect();
        for error in self.listener.keep(&wanted, anew) {
            self.complain(&error);
        }
    }

    fn complain(&mut self, error: &io::Error) {
        let what = format!("announcements to {}: {}", self.group, plain(&error.to_string()));
        if self.said.len() < 16 && self.said.insert(what.clone()) {
            say(what);
        }
    }

    fn hear(&mut self, datagram: &[u8]) {
        let taken = lock(&self.mine.announced).take(datagram);
        let Some((names, batch)) = taken else { return };
        let window = FOR_EACH.saturating_mul(u32::from(batch.roster)).min(WINDOW);
        self.mine.answer(names, Instant::now() + window.mul_f64(backoff::draw()));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use mtm::announce::{Allowed, Open, Request, Reserved, Stamps, seal};
    use tcpxm::trust::Identity;

    fn of(host: &str) -> Named {
        ([1; 16], host.to_owned())
    }

    fn told(identity: &Identity) -> ChannelTold {
        ChannelTold {
            master: *identity.public().as_bytes(),
            channel: [2; 32],
            private: [3; 32],
            incarnation: 1,
            floor: 0,
            place: 0,
        }
    }

    /// What a master announces first.
    fn announcement(identity: &Identity) -> Vec<u8> {
        let mut stamps = Stamps::resume(Reserved { incarnation: 1, below: 0 }, [1; 16]);
        let stamp = stamps.next(|_| Ok::<_, ()>(())).unwrap();
        let open = Open {
            job: [1; 16],
            version: 1,
            group: None,
            digest: [0; 32],
            allowed: Allowed::of([0]),
        };
        let batch = Batch { roster: 1, entries: 1, bytes: 1, feedback: 0, first: Vec::new() };
        let keys = (ChannelKey::new([2; 32]), JobKey::new([3; 32]));
        let what = (Request::Transfer, &open);
        seal(identity, stamp, (&keys.0, &keys.1), what, &words::encode(&batch)).unwrap()
    }

    #[test]
    fn a_master_that_has_another_key_is_not_heard_under_the_former_one() {
        let [one, two] = [1, 2].map(|n| Identity::generate([n; 64]));
        let mut known = Known::default();
        known.tell(of("h:a"), told(&one));
        known.tell(of("h:b"), told(&one));
        known.tell(of("h:a"), told(&two));
        assert!(known.take(&announcement(&one)).is_some(), "it is told so by another name still");
        known.tell(of("h:b"), told(&two));
        assert!(known.take(&announcement(&one)).is_none());
        assert_eq!(known.masters.counts().stranger, 1);
        known.tell(of("h:b"), told(&two)); // the same once more
        assert_eq!(known.take(&announcement(&two)).unwrap().0, [of("h:a"), of("h:b")]);
    }

    #[test]
    fn of_jobs_that_are_not_known_any_more_nothing_is_heard() {
        let one = Identity::generate([1; 64]);
        let mut known = Known::default();
        known.tell(of("h:a"), told(&one));
        known.tell(of("h:b"), told(&one));
        known.keep(&[of("h:b"), of("h:c")].into());
        assert_eq!(known.jobs.keys().collect::<Vec<_>>(), [&of("h:b")]);
        known.keep(&BTreeSet::new());
        assert!(known.take(&announcement(&one)).is_none());
        assert_eq!(known.masters.counts().stranger, 1);
    }
}
