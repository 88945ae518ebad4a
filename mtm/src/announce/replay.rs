//! Which announcements of a master count: none twice, and none from before.

use super::{Announcement, ChannelKey, Header, Stamp};
use std::collections::BTreeMap;
use tcpxm::trust::PublicKey;
use thiserror::Error;

/// Why an announcement does not count.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum Ignored {
    /// It is none.
    #[error("no announcement")]
    Malformed,
    /// Nobody here knows its master.
    #[error("of an unknown master")]
    Stranger,
    /// It is not by whom it says.
    #[error("forged, or under another key of the channel")]
    Forged,
    /// It has been taken already, or is older than one that has.
    #[error("repeated")]
    Replayed,
    /// It is by an incarnation that its master has not told of itself.
    #[error("of another incarnation of its master")]
    Incarnation,
    /// It is about a job of others.
    #[error("of a job of others")]
    NotOurs,
}

/// How many were ignored, and why.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Counts {
    /// [`Ignored::Malformed`].
    pub malformed: u64,
    /// [`Ignored::Stranger`].
    pub stranger: u64,
    /// [`Ignored::Forged`].
    pub forged: u64,
    /// [`Ignored::Replayed`].
    pub replayed: u64,
    /// [`Ignored::Incarnation`].
    pub incarnation: u64,
    /// [`Ignored::NotOurs`].
    pub not_ours: u64,
}

impl Counts {
    /// One more was ignored for this.
    pub fn add(&mut self, why: Ignored) {
        *match why {
            Ignored::Malformed => &mut self.malformed,
            Ignored::Stranger => &mut self.stranger,
            Ignored::Forged => &mut self.forged,
            Ignored::Replayed => &mut self.replayed,
            Ignored::Incarnation => &mut self.incarnation,
            Ignored::NotOurs => &mut self.not_ours,
        } += 1;
    }
}

#[derive(Debug)]
struct Master {
    key: PublicKey,
    channel: ChannelKey,
    incarnation: u64,
    /// The lowest counter that is taken.
    next: u64,
    /// The datagram that was taken last.
    last: Option<Vec<u8>>,
}

/// The masters that a receiver knows, each from an association with it.
#[derive(Debug, Default)]
pub struct Masters {
    known: BTreeMap<[u8; 32], Master>,
    counts: Counts,
}

impl Masters {
    /// A master has told, over an association, the key of its channel, its incarnation, and from which number on
    /// announcements are new ([`super::Stamps::floor`]). What was taken of the same incarnation is not taken again.
    pub fn tell(&mut self, key: PublicKey, channel: ChannelKey, (incarnation, next): (u64, u64)) {
        let before = self.known.remove(key.as_bytes());
        let (taken, last) = before
            .filter(|before| before.incarnation == incarnation)
            .map_or((0, None), |before| (before.next, before.last));
        let master = Master { key, channel, incarnation, next: next.max(taken), last };
        self.known.insert(*key.as_bytes(), master);
    }

    /// Nothing of this master counts any more.
    pub fn forget(&mut self, key: &[u8; 32]) {
        self.known.remove(key);
    }

    /// Takes a datagram of the channel, if it is an announcement that counts; else it is counted.
    ///
    /// # Errors
    ///
    /// Why it does not.
    pub fn take(&mut self, datagram: &[u8]) -> Result<Announcement, Ignored> {
        self.look(datagram).inspect_err(|why| self.counts.add(*why))
    }

    fn look(&mut self, datagram: &[u8]) -> Result<Announcement, Ignored> {
        let header = Header::parse(datagram).ok_or(Ignored::Malformed)?;
        let master = self.known.get_mut(&header.master).ok_or(Ignored::Stranger)?;
        let Stamp { incarnation, counter, .. } = header.stamp;
        if incarnation != master.incarnation {
            return Err(Ignored::Incarnation);
        }
        if counter < master.next {
            return Err(Ignored::Replayed); // before the costly look at its signature
        }
        let announcement = Announcement::open(header, master.key, datagram, &master.channel)?;
        master.next = counter.saturating_add(1);
        master.last = Some(datagram.to_vec());
        Ok(announcement)
    }

    /// The announcement of this master that was taken last, to be shown to it ([`super::made_by`]): it may have been
    /// restored from a copy of its state.
    pub fn last(&self, key: &PublicKey) -> Option<&[u8]> {
        self.known.get(key.as_bytes())?.last.as_deref()
    }

    /// One that was taken does not count after all.
    pub fn ignored(&mut self, why: Ignored) {
        self.counts.add(why);
    }

    /// How many were ignored, and why.
    pub fn counts(&self) -> Counts {
        self.counts
    }
}
