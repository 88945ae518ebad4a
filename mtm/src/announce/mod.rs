//! Announcements: what a master tells all its receivers at once, on a group that they listen to at all times (seed
//! MTM, "MTM Components").
//!
//! A datagram has three parts. All can read who says it. Whoever has the channel's key reads the open part: which
//! job, which version, where, and who may take part. Names and attributes are under the job's key. The master's
//! identity signs all of it, since the channel's key is everybody's on it. Nothing is encrypted twice with one key and
//! number: a master's [`Stamp`] counts, and has its place reserved on disk before.

mod replay;
mod stamps;
#[cfg(test)]
mod tests;
mod wire;

pub use replay::{Counts, Ignored, Masters};
pub use stamps::{RESERVED, Reserved, Stamps};
pub use wire::{Allowed, MAX_ROSTER, Open, Request};

use tcpxm::seal::SealKey;
use tcpxm::trust::{Identity, PublicKey};
use tcpxm::wire::{SHORT_LEN, TAG_LEN};
use thiserror::Error;
use wire::{HEADER_LEN, VERSION};

/// What an identity's signature of an announcement is about.
const CONTEXT: &str = "mtm announcement";
/// Bytes of a signature (RFC 8032, section 5.1.6).
const SIGNATURE_LEN: usize = 64;

/// It does not fit into a datagram that every path carries. The fault of the caller, who can say less.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("an announcement of {0} bytes is longer than the {SHORT_LEN} that every path carries")]
pub struct TooLong(pub usize);

/// Which announcement of a master's it is; none has that of another.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Stamp {
    /// Of the master's state: one that was restored from an older copy has a new one.
    pub incarnation: u64,
    /// Grows with each announcement of an incarnation.
    pub counter: u64,
}

/// Puts an announcement together. `private` is what only the job's receivers read.
///
/// # Errors
///
/// It is too long.
pub fn seal(
    master: &Identity,
    stamp: Stamp,
    (channel, job): (&SealKey, &SealKey),
    (request, open): (Request, &Open),
    private: &[u8],
) -> Result<Vec<u8>, TooLong> {
    let mut out = vec![VERSION, request.code()];
    out.extend(master.public().as_bytes());
    out.extend(stamp.incarnation.to_be_bytes());
    out.extend(stamp.counter.to_be_bytes());
    open.emit(&mut out);
    // The job's key counts by the same stamp. What stands before is authentic to its receivers as well.
    let inner = out.len();
    out.extend(private);
    out.resize(out.len() + TAG_LEN, 0);
    job.seal(stamp.counter, &mut out, inner);
    out.resize(out.len() + TAG_LEN, 0);
    channel.seal(stamp.counter, &mut out, HEADER_LEN);
    out.extend(master.sign(CONTEXT, &out));
    if out.len() > SHORT_LEN { Err(TooLong(out.len())) } else { Ok(out) }
}

/// What is readable to all of a datagram: who says that it is its master, and its stamp. Nothing of it is proven.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Header {
    /// What it asks for.
    pub request: Request,
    /// Whose it says it is.
    pub master: PublicKey,
    /// Which one it says it is.
    pub stamp: Stamp,
}

impl Header {
    /// Reads it, if this can be an announcement.
    pub fn parse(datagram: &[u8]) -> Option<Self> {
        let ([version, code], rest) = datagram.split_first_chunk()?;
        let (key, rest) = rest.split_first_chunk::<32>()?;
        let (incarnation, rest) = rest.split_first_chunk()?;
        let (counter, rest) = rest.split_first_chunk()?;
        if *version != VERSION || rest.len() < 2 * TAG_LEN + SIGNATURE_LEN {
            return None;
        }
        let (incarnation, counter) =
            (u64::from_be_bytes(*incarnation), u64::from_be_bytes(*counter));
        Some(Self {
            request: Request::of(*code)?,
            master: PublicKey::from_bytes(*key).ok()?,
            stamp: Stamp { incarnation, counter },
        })
    }
}

/// An announcement that is its master's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Announcement {
    /// Who, and which.
    pub header: Header,
    /// What everybody on the channel reads.
    pub open: Open,
    /// The whole of it but for tag and signature, and where the private part begins.
    bytes: Vec<u8>,
    private_at: usize,
}

impl Announcement {
    /// Opens a datagram with the channel's key, and looks whether its master has signed it.
    ///
    /// # Errors
    ///
    /// What is wrong with it: the fault of whoever sent it.
    pub fn open(header: Header, datagram: &[u8], channel: &SealKey) -> Result<Self, Ignored> {
        let len = datagram.len().checked_sub(SIGNATURE_LEN).ok_or(Ignored::Malformed)?;
        let (signed, signature) = datagram.split_at(len);
        let mut bytes = signed.to_vec();
        let tried = channel.open(header.stamp.counter, &mut bytes, HEADER_LEN);
        tried.map_err(|_| Ignored::Forged)?;
        let signature = signature.try_into().map_err(|_| Ignored::Malformed)?;
        if !header.master.has_signed(CONTEXT, signed, signature) {
            return Err(Ignored::Forged);
        }
        bytes.truncate(len - TAG_LEN);
        let (open, rest) = Open::parse(&bytes[HEADER_LEN..]).ok_or(Ignored::Malformed)?;
        let private_at = bytes.len() - rest.len();
        Ok(Self { header, open, bytes, private_at })
    }

    /// What only the job's receivers read.
    ///
    /// # Errors
    ///
    /// This is not the job's key.
    pub fn private(&self, job: &SealKey) -> Result<Vec<u8>, Ignored> {
        let mut bytes = self.bytes.clone();
        let tried = job.open(self.header.stamp.counter, &mut bytes, self.private_at);
        tried.map_err(|_| Ignored::NotOurs)?;
        bytes.truncate(bytes.len() - TAG_LEN);
        Ok(bytes.split_off(self.private_at))
    }
}
