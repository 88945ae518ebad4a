//! Announcements: what a master tells all its receivers at once, on a group that they listen to at all times (seed
//! MTM, "MTM Components").
//!
//! A datagram has three parts. All can read who says it. Whoever has the channel's key reads the open part: which
//! job, which version, where, and who may take part. Names and attributes are under the job's key. The master's
//! identity signs all of it, since the channel's key is everybody's on it. No two are sealed by one key ([`ChannelKey`]), and
//! a receiver takes none twice ([`Masters`]).

mod key;
mod replay;
mod stamps;
#[cfg(test)]
mod tests;
mod wire;

pub use key::{ChannelKey, JobKey};
pub use replay::{Counts, Ignored, Masters};
pub use stamps::{NoStamp, RESERVED, Reserved, Stamp, Stamps, Unused};
pub use wire::{Allowed, MAX_ROSTER, Open, Request};

use tcpxm::trust::{Identity, PublicKey};
use tcpxm::wire::{SHORT_LEN, TAG_LEN};
use thiserror::Error;
use wire::{HEADER_LEN, VERSION};

/// What an identity's signature of an announcement is about.
const CONTEXT: &str = "mtm announcement";
/// Bytes of a signature (RFC 8032, section 5.1.6).
const SIGNATURE_LEN: usize = 64;
/// Each key seals one datagram: it is the first.
const NUMBER: u64 = 0;

/// It does not fit into a datagram that every path carries. The fault of the caller, who can say less.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("an announcement of {0} bytes is longer than the {SHORT_LEN} that every path carries")]
pub struct TooLong(pub usize);

/// Puts an announcement together. `private` is what only the job's receivers read.
///
/// # Errors
///
/// It is too long.
pub fn seal(
    master: &Identity,
    stamp: Unused,
    (channel, job): (&ChannelKey, &JobKey),
    (request, open): (Request, &Open),
    private: &[u8],
) -> Result<Vec<u8>, TooLong> {
    let (Unused(stamp), public) = (stamp, master.public());
    let mut out = vec![VERSION, request.code()];
    out.extend(public.as_bytes());
    out.extend(stamp.incarnation.to_be_bytes());
    out.extend(stamp.counter.to_be_bytes());
    out.extend(stamp.life);
    open.emit(&mut out);
    // What stands before is authentic to the job's receivers as well.
    let inner = out.len();
    out.extend(private);
    out.resize(out.len() + TAG_LEN, 0);
    job.once(&public, stamp).seal(NUMBER, &mut out, inner);
    out.resize(out.len() + TAG_LEN, 0);
    channel.once(&public, stamp).seal(NUMBER, &mut out, HEADER_LEN);
    out.extend(master.sign(CONTEXT, &out));
    if out.len() > SHORT_LEN { Err(TooLong(out.len())) } else { Ok(out) }
}

/// What is readable to all of a datagram: who says that it is its master, and its stamp. Nothing of it is proven.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Header {
    request: Request,
    /// Bytes of a key, if they are one.
    master: [u8; 32],
    stamp: Stamp,
}

impl Header {
    /// Reads it, if this can be an announcement.
    fn parse(datagram: &[u8]) -> Option<Self> {
        let ([version, code], rest) = datagram.split_first_chunk()?;
        let (master, rest) = rest.split_first_chunk()?;
        let (incarnation, rest) = rest.split_first_chunk()?;
        let (counter, rest) = rest.split_first_chunk()?;
        let (life, rest) = rest.split_first_chunk()?;
        if *version != VERSION || rest.len() < 2 * TAG_LEN + SIGNATURE_LEN {
            return None;
        }
        let (incarnation, counter) =
            (u64::from_be_bytes(*incarnation), u64::from_be_bytes(*counter));
        Some(Self {
            request: Request::of(*code)?,
            master: *master,
            stamp: Stamp { incarnation, counter, life: *life },
        })
    }
}

/// The stamp of a datagram that this master has signed: what a receiver shows as the last that it took.
pub fn made_by(master: &PublicKey, datagram: &[u8]) -> Option<Stamp> {
    let header = Header::parse(datagram).filter(|header| header.master == *master.as_bytes())?;
    let (signed, signature) = datagram.split_last_chunk()?;
    master.has_signed(CONTEXT, signed, signature).then_some(header.stamp)
}

/// An announcement that is its master's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Announcement {
    /// Whose it is.
    pub master: PublicKey,
    /// What it asks for.
    pub request: Request,
    /// Which one.
    pub stamp: Stamp,
    /// What everybody on the channel reads.
    pub open: Open,
    /// The whole of it but for tag and signature, and where the private part begins.
    bytes: Vec<u8>,
    private_at: usize,
}

impl Announcement {
    /// Opens a datagram of this master's with the channel's key, and looks whether it has signed it.
    fn open(
        header: Header,
        master: PublicKey,
        datagram: &[u8],
        channel: &ChannelKey,
    ) -> Result<Self, Ignored> {
        let Header { request, stamp, .. } = header;
        let (signed, signature) = datagram.split_last_chunk().ok_or(Ignored::Malformed)?;
        let mut bytes = signed.to_vec();
        let tried = channel.once(&master, stamp).open(NUMBER, &mut bytes, HEADER_LEN);
        tried.map_err(|_| Ignored::Forged)?;
        if !master.has_signed(CONTEXT, signed, signature) {
            return Err(Ignored::Forged);
        }
        bytes.truncate(bytes.len() - TAG_LEN);
        let (open, rest) = Open::parse(&bytes[HEADER_LEN..]).ok_or(Ignored::Malformed)?;
        let private_at = bytes.len() - rest.len();
        Ok(Self { master, request, stamp, open, bytes, private_at })
    }

    /// What only the job's receivers read.
    ///
    /// # Errors
    ///
    /// This is not the job's key ([`Masters::ignored`] counts it).
    pub fn private(&self, job: &JobKey) -> Result<Vec<u8>, Ignored> {
        let mut bytes = self.bytes.clone();
        let tried = job.once(&self.master, self.stamp).open(NUMBER, &mut bytes, self.private_at);
        tried.map_err(|_| Ignored::NotOurs)?;
        bytes.truncate(bytes.len() - TAG_LEN);
        Ok(bytes.split_off(self.private_at))
    }
}
