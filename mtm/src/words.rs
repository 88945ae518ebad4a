//! Words that masters and receivers say to each other over an association, apart from data: `docs/mtm.md` lists them.
//!
//! A word is its version, one byte, and the message in postcard's encoding; between a master and a receiver, in a frame
//! that shows who says it ([`Said`]). An association is authenticated and
//! encrypted; what comes over it is not trusted any further.

use crate::exec::{Credential, ExitStatusWord};
use crate::installation::Shown;
use crate::revision::Revision;
use core::fmt;
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use thiserror::Error;

/// Version of these words.
pub const VERSION: u8 = 3;

/// Longest text in a word, in bytes, that is kept: what is longer is cut.
pub const MAX_TEXT: usize = 4096;

/// Id of a job.
pub type JobId = [u8; 16];

/// From a receiver to a master, at the place where the job has it said.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum ToMaster {
    /// It is there, and lacks what it has not reported to have.
    Hello {
        /// Of which job.
        job: JobId,
        /// What it is called there.
        host: String,
        /// The newest revision of which it has everything, if it has had one.
        has: Option<Revision>,
        /// The one of which it may have something, since a session for it has begun.
        begun: Option<Revision>,
        /// The announcement that it took last, whole: the master's state may have been restored from a copy.
        last: Option<Vec<u8>>,
    },
}

/// A master's answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum OfMaster {
    /// It is served if it lacks anything.
    Welcome {
        /// What it is to know of the job's announcements, if there are any.
        channel: Option<ChannelTold>,
    },
    /// There is no such job here.
    Unknown,
}

/// What a receiver is told of a job's announcements, over an association alone.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChannelTold {
    /// The key that signs them.
    pub master: [u8; 32],
    /// The key of all who listen for this job's announcements.
    pub channel: [u8; 32],
    /// The key of those parts that only the job's receivers read.
    pub private: [u8; 32],
    /// The master's incarnation.
    pub incarnation: u64,
    /// The counter from which on they are new.
    pub floor: u64,
    /// The receiver's place in the roster.
    pub place: u16,
}

/// Without the keys.
impl fmt::Debug for ChannelTold {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { incarnation, floor, place, .. } = self;
        let mut out = f.debug_struct("ChannelTold");
        out.field("incarnation", incarnation).field("floor", floor).field("place", place);
        out.finish_non_exhaustive()
    }
}

/// What of an announcement only the job's receivers read.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Batch {
    /// Hosts of the roster: answers come within a time that is scaled to their number.
    pub roster: u16,
    /// Entries that are about to be sent.
    pub entries: u32,
    /// Their bytes.
    pub bytes: u64,
    /// The port of the master that answers go to: the seed's feedback port.
    pub feedback: u16,
    /// The first of them, as many as there is room for.
    pub first: Vec<Named>,
}

/// An entry that is about to be sent, with the attributes of the seed's requests.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Named {
    /// Its path from the root of the transfer.
    pub path: Vec<u8>,
    /// When it was last modified, in nanoseconds since 1970.
    pub modified: i64,
    /// Its twelve permission bits.
    pub mode: u32,
}

/// From a master to a receiver.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum ToReceiver {
    /// The job has ended, complete or not: nothing of it comes any more.
    Over {
        /// Which.
        job: JobId,
        /// What it is called there: by another name it may be a receiver of the job still.
        host: String,
    },
    /// It is to run a command of its list (MEX), once for this revision however often it is asked.
    Mex {
        /// For which job.
        job: JobId,
        /// Of the tree; all of it is in place there.
        revision: Revision,
        /// The command's name on the receiver's list.
        command: String,
        /// The command's password; empty where it has none.
        credential: Credential,
        /// Name of the folder that is mirrored.
        root: String,
        /// What the job is for.
        description: String,
        /// What it is called there.
        host: String,
    },
    /// Which installation is it, and what has it of this job?
    Ask {
        /// Which.
        job: JobId,
        /// What it is called there.
        host: String,
    },
}

impl ToReceiver {
    /// Which job it is about.
    pub fn job(&self) -> JobId {
        match self {
            Self::Over { job, .. } | Self::Mex { job, .. } | Self::Ask { job, .. } => *job,
        }
    }
}

/// A receiver's answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum OfReceiver {
    /// It is done.
    Done,
    /// It is not, and why.
    Refused(String),
    /// It has no such command, or the password is another one (DNPWD): it does not say which.
    Dnpwd,
    /// The command has ended.
    Ran {
        /// How.
        status: ExitStatusWord,
        /// Its last output, at most [`crate::exec::MAX_TAIL`] bytes.
        tail: Vec<u8>,
    },
    /// The command runs still, or another one of the job: the same word is to be said again later.
    Busy,
    /// The job is not known there, or not all of that revision is in place: it is to be sent first.
    Incomplete,
    /// What was asked; which installation it is is shown with each answer.
    Has {
        /// The newest revision of which it has everything, or has had it, if it knows the job.
        revision: Option<Revision>,
        /// The one of which it may have something, since a session for it has begun.
        begun: Option<Revision>,
    },
}

/// Bytes that are no word. The fault of who said them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum WordError {
    /// A version that is not known here.
    #[error("it speaks version {0} of the words of mirror jobs, this side version {VERSION}")]
    Version(u8),
    /// Not an encoded word, or bytes left over behind it.
    #[error("it says something that cannot be read")]
    Body,
}

/// A word between a master and a receiver, with what shows who says it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Said<W> {
    /// Over the association that it is said on.
    pub shown: Shown,
    /// It.
    pub word: W,
}

/// What a receiver shows at the beginning of a session: which installation it is, the newest revision of which it has
/// everything, or has had it, and the one of which it may have something.
pub type Met = Said<[Option<Revision>; 2]>;

/// A word as bytes.
pub fn encode<W: Serialize>(word: &W) -> Vec<u8> {
    let mut bytes = vec![VERSION];
    // Words have no part that cannot be encoded.
    bytes.extend(postcard::to_stdvec(word).unwrap_or_default());
    bytes
}

/// And back.
///
/// # Errors
///
/// They are none.
pub fn decode<W: DeserializeOwned>(bytes: &[u8]) -> Result<W, WordError> {
    let (version, body) = bytes.split_first().ok_or(WordError::Body)?;
    if *version != VERSION {
        return Err(WordError::Version(*version));
    }
    match postcard::take_from_bytes(body) {
        Ok((word, [])) => Ok(word),
        _ => Err(WordError::Body),
    }
}

/// As much of a text as is kept.
pub fn cut(text: &str) -> &str {
    &text[..text.floor_char_boundary(MAX_TEXT)]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::installation::{Installation, Role};
    use proptest::prelude::*;

    #[test]
    fn a_word_has_these_bytes() {
        let has = Some(Revision::new(300, 129));
        let (host, begun) = ("h:x".to_owned(), None);
        let hello = ToMaster::Hello { job: [1; 16], host, has, begun, last: None };
        let bytes = encode(&hello);
        let expected = [&[3, 0][..], &[1; 16], &[3], b"h:x", &[1, 0xac, 2, 0x81, 1, 0, 0]].concat();
        assert_eq!(bytes, expected);
        assert_eq!(decode::<ToMaster>(&bytes), Ok(hello));
        assert_eq!(decode::<ToMaster>(&[1, 0]), Err(WordError::Version(1)));
        assert_eq!(decode::<ToMaster>(&[]), Err(WordError::Body));
        let over = ToReceiver::Over { job: [3; 16], host: "h".to_owned() };
        assert_eq!(encode(&over), [&[3, 0][..], &[3; 16], &[1], b"h"].concat());
    }

    #[test]
    fn what_shows_who_says_it_stands_before_a_word() {
        let installation = Installation::new(&[3; 32]);
        let shown = installation.shows(Role::Master, &[4; 16], &[5; 32]);
        let word = ToReceiver::Over { job: [4; 16], host: "h".to_owned() };
        let said = Said { shown, word };
        let bytes = encode(&said);
        assert_eq!((bytes[0], &bytes[1..33]), (VERSION, &installation.public().as_bytes()[..]));
        assert_eq!(bytes[33..49], [0; 16], "a master has no folder");
        assert_eq!(bytes[49 + 64..], [&[0][..], &[4; 16], &[1], b"h"].concat());
        assert_eq!(decode(&bytes), Ok(said));
    }

    #[test]
    fn a_command_and_its_end_have_these_bytes() {
        let mex = ToReceiver::Mex {
            job: [1; 16],
            revision: Revision::new(300, 129),
            command: "c".to_owned(),
            credential: Credential::new("pw".to_owned()),
            root: "r".to_owned(),
            description: String::new(),
            host: "h:x".to_owned(),
        };
        let bytes = encode(&mex);
        let expected = [&[3, 1][..], &[1; 16], &[0xac, 2, 0x81, 1, 1], b"c\x02pw\x01r\0\x03h:x"];
        assert_eq!(bytes, expected.concat());
        assert_eq!(decode(&bytes), Ok(mex.clone()));
        assert!(!format!("{mex:?}").contains("pw"));
        let ran = OfReceiver::Ran { status: ExitStatusWord::Exited(3), tail: b"x".to_vec() };
        assert_eq!(encode(&ran), [3, 3, 0, 3, 1, b'x']);
        let others = [OfReceiver::Dnpwd, OfReceiver::Busy, OfReceiver::Incomplete];
        assert_eq!(others.map(|word| encode(&word)), [[3, 2], [3, 4], [3, 5]]);
    }

    proptest! {
        #[test]
        fn whatever_comes_is_read_or_refused(bytes in prop::collection::vec(any::<u8>(), 0..80)) {
            if let Ok(word) = decode::<ToMaster>(&bytes) {
                prop_assert_eq!(decode::<ToMaster>(&encode(&word)), Ok(word));
            }
            let _ = decode::<ToReceiver>(&bytes);
            if let Ok(word) = decode::<OfReceiver>(&bytes) {
                prop_assert_eq!(decode::<OfReceiver>(&encode(&word)), Ok(word));
            }
        }
    }
}
