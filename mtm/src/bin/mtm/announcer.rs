//! Announces what is about to be sent, to all receivers at once.

use crate::round::Tree;
use crate::say::say;
use anyhow::{Context, Result};
use mcp_cli::Common;
use mcp_cli::say::plain;
use mtm::announce::{Allowed, ChannelKey, JobKey, NoStamp, Open, Request, Stamps, made_by, seal};
use mtm::ledger::{Channel, Ledger, LedgerError};
use mtm::words::{self, Batch, ChannelTold, JobId};
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};
use tcpxm::net::Family;
use tcpxm::net::channel::ChannelSpeaker;
use tcpxm::net::interface::{index_of, with_address};
use tcpxm::trust::Identity;
use zeroize::Zeroizing;

/// As long as somebody lacks something, that is announced again after so long: one that is lost costs no more.
const PACE: Duration = Duration::from_secs(30);

/// It.
pub(crate) struct Announcer {
    group: SocketAddr,
    interface: Option<String>,
    ttl: u32,
    channel: Channel,
    identity: Identity,
    stamps: Stamps,
    /// [`Stamps::floor`], for who answers receivers.
    floor: Arc<AtomicU64>,
    /// The revision that was announced last, and when.
    last: Option<(u32, Instant)>,
    /// Why nobody could hear the last one, as it was said.
    mute: Option<String>,
}

/// What is announced.
pub(crate) struct News<'a> {
    pub(crate) job: JobId,
    pub(crate) revision: u32,
    /// Where the transfer takes place, as far as that is known.
    pub(crate) group: Option<SocketAddr>,
    pub(crate) tree: &'a Tree,
    /// Places of the roster that lack something, of so many.
    pub(crate) lacking: Vec<usize>,
    pub(crate) roster: usize,
    /// Entries that one of them lacks.
    pub(crate) entries: Vec<u32>,
    /// Where they answer.
    pub(crate) feedback: u16,
}

impl Announcer {
    /// To this group. A job that has none yet gets keys of its own.
    pub(crate) fn new(ledger: &mut Ledger, group: SocketAddr, common: &Common) -> Result<Self> {
        let channel = match ledger.channel()? {
            Some(channel) => channel,
            None => drawn(ledger)?,
        };
        let identity = Identity::generate(*channel.identity);
        let stamps = Stamps::resume(channel.reserved, *random()?);
        let floor = Arc::new(AtomicU64::new(stamps.floor()));
        let (interface, ttl) = (common.interface.clone(), common.ttl);
        Ok(Self { group, interface, ttl, channel, identity, stamps, floor, last: None, mute: None })
    }

    /// What the receiver at this place of the roster is to know.
    pub(crate) fn told(&self, place: usize) -> ChannelTold {
        ChannelTold {
            master: *self.identity.public().as_bytes(),
            channel: *self.channel.channel,
            private: *self.channel.private,
            incarnation: self.channel.reserved.incarnation,
            floor: self.stamps.floor(),
            place: u16::try_from(place).unwrap_or(u16::MAX),
        }
    }

    /// The counter from which on announcements are new, as it changes.
    pub(crate) fn floor(&self) -> Arc<AtomicU64> {
        Arc::clone(&self.floor)
    }

    /// Receivers have left the roster: they have no key of what is announced from now on.
    pub(crate) fn renew(&mut self, ledger: &mut Ledger) -> Result<()> {
        let reserved = self.stamps.reserved();
        let (channel, private) = (random()?, random()?);
        self.channel = Channel { channel, private, reserved, ..self.channel.clone() };
        ledger.set_channel(&self.channel)?;
        self.last = None;
        Ok(())
    }

    /// A receiver shows the announcement that it took last. If it is of a life that this one knows nothing of, the job's
    /// file was restored from a copy, and announces as another incarnation from now on; whether that is so.
    pub(crate) fn shown(&mut self, ledger: &mut Ledger, last: &[u8]) -> Result<bool> {
        let taken = made_by(&self.identity.public(), last);
        if !taken.is_some_and(|taken| self.stamps.is_outdated_by(taken)) {
            return Ok(false);
        }
        let incarnation = u64::from_be_bytes(*random()?);
        self.with_keys(ledger, |stamps, ledger| {
            let kept = stamps.begin_anew(incarnation, |reserved| ledger.reserve(reserved));
            kept.map_err(NoStamp::Kept)
        })?;
        self.channel.reserved.incarnation = incarnation;
        self.floor.store(self.stamps.floor(), Ordering::SeqCst);
        self.last = None;
        Ok(true)
    }

    /// Does what writes down which numbers are used. Where another process has removed a receiver a moment ago, and the
    /// keys with it, it is done with new ones.
    fn with_keys<T>(
        &mut self,
        ledger: &mut Ledger,
        keep: impl Fn(&mut Stamps, &mut Ledger) -> Result<T, NoStamp<LedgerError>>,
    ) -> Result<T> {
        loop {
            match keep(&mut self.stamps, ledger) {
                Err(NoStamp::Kept(LedgerError::NoKeys)) => self.renew(ledger)?,
                kept => return Ok(kept?),
            }
        }
    }

    /// Whether it is time to announce this revision.
    pub(crate) fn is_due(&self, revision: u32, now: Instant) -> bool {
        self.last.is_none_or(|(last, at)| last != revision || now >= at + PACE)
    }

    /// When it is time again.
    pub(crate) fn next(&self) -> Option<Instant> {
        self.last.map(|(_, at)| at + PACE)
    }

    /// All that lack something are told of this revision now.
    pub(crate) fn is_told(&mut self, revision: u32, now: Instant) {
        self.last = Some((revision, now));
    }

    /// Announces.
    pub(crate) fn say(&mut self, ledger: &mut Ledger, news: &News<'_>) -> Result<()> {
        let request = if news.tree.are_directories(&news.entries) {
            Request::Directories
        } else {
            Request::Transfer
        };
        let open = Open {
            job: news.job,
            version: news.revision,
            group: news.group,
            digest: news.tree.digest(&news.entries),
            allowed: Allowed::of(news.lacking.iter().copied()),
        };
        let number = |n: usize| u32::try_from(n).unwrap_or(u32::MAX);
        let mut batch = Batch {
            roster: u16::try_from(news.roster).unwrap_or(u16::MAX),
            entries: number(news.entries.len()),
            bytes: news.tree.bytes(&news.entries),
            feedback: news.feedback,
            first: news.tree.named(&news.entries),
        };
        let datagram = loop {
            let next = |stamps: &mut Stamps, ledger: &mut Ledger| {
                stamps.next(|reserved| ledger.reserve(reserved))
            };
            let stamp = self.with_keys(ledger, next)?;
            let keys = (ChannelKey::new(*self.channel.channel), JobKey::new(*self.channel.private));
            let private = words::encode(&batch);
            match seal(&self.identity, stamp, (&keys.0, &keys.1), (request, &open), &private) {
                Ok(datagram) => break datagram,
                Err(_) if !batch.first.is_empty() => batch.first.truncate(batch.first.len() / 2),
                Err(error) => return Err(error.into()),
            }
        };
        self.floor.store(self.stamps.floor(), Ordering::SeqCst);
        // It is said again, and a receiver that heard nothing is served all the same.
        let mute = self.speak(&datagram).err().map(|error| format!("{error:#}"));
        if let Some(why) = mute.as_ref().filter(|_| mute != self.mute) {
            say(format_args!("cannot announce to {}: {}", self.group, plain(why)));
        }
        self.mute = mute;
        Ok(())
    }

    /// Says it on each interface that there is now: they come and go in the time of a job.
    fn speak(&self, datagram: &[u8]) -> Result<()> {
        let family = Family::of(self.group.ip());
        let interfaces = match &self.interface {
            Some(name) => vec![index_of(name)?],
            None => with_address(family)?,
        };
        let mut heard = Err(anyhow::anyhow!("no interface has an {family} address"));
        for ifindex in interfaces {
            let speaker = ChannelSpeaker::open(self.group, ifindex, self.ttl);
            let said = speaker.and_then(|speaker| speaker.say(datagram));
            heard = if heard.is_ok() { heard } else { said.map_err(Into::into) };
        }
        heard
    }
}

/// New keys, of a new incarnation.
fn drawn(ledger: &mut Ledger) -> Result<Channel> {
    let incarnation = u64::from_be_bytes(*random()?);
    let reserved = mtm::announce::Reserved { incarnation, below: 0 };
    let channel = Channel { identity: random()?, channel: random()?, private: random()?, reserved };
    ledger.set_channel(&channel)?;
    Ok(channel)
}

fn random<const N: usize>() -> Result<Zeroizing<[u8; N]>> {
    let mut bytes = Zeroizing::new([0; N]);
    getrandom::fill(bytes.as_mut_slice()).context("the system gives no random numbers")?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use mtm::ledger::Job;

    #[test]
    fn a_receiver_that_is_removed_by_another_process_ends_no_announcing_job() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("job");
        let (name, options) = ("lectures".to_owned(), "{}".to_owned());
        let (description, source) = (String::new(), "/srv/lectures".into());
        let job = Job { id: [7; 16], name, description, source, root: (1, 2), created: 0, options };
        let hosts = ["h1", "h2"].map(str::to_owned);
        let mut ledger = Ledger::create_for(&file, &job, &hosts).unwrap();
        let channel = drawn(&mut ledger).unwrap();
        let (identity, stamps) =
            (Identity::generate(*channel.identity), Stamps::resume(channel.reserved, [1; 16]));
        let mut announcer = Announcer {
            group: ([239, 255, 78, 9], 8738).into(),
            interface: Some("none".to_owned()), // nobody is to hear it
            ttl: 1,
            channel: channel.clone(),
            identity,
            floor: Arc::new(AtomicU64::new(stamps.floor())),
            stamps,
            last: None,
            mute: None,
        };
        let mut other = Ledger::beside(&file).unwrap();
        let left = other.receivers().unwrap()[1].id;
        other.remove_receiver(left).unwrap();
        assert!(matches!(ledger.reserve(channel.reserved), Err(LedgerError::NoKeys)));
        let tree = Tree::of(&ledger, false).unwrap();
        let (group, lacking, entries) = (None, vec![0], Vec::new());
        let (revision, roster, feedback) = (1, 1, 9000);
        let news =
            News { job: [7; 16], revision, group, tree: &tree, lacking, roster, entries, feedback };
        announcer.say(&mut ledger, &news).unwrap();
        let now = ledger.channel().unwrap().unwrap();
        assert_eq!(now.identity, channel.identity, "it is the same master");
        assert!(now.channel != channel.channel && now.private != channel.private);
        assert!(now.reserved.below > 0);
        assert_eq!(announcer.told(0).channel, *now.channel);
    }
}
