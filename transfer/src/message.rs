//! What the two ends say to each other on a member's private stream.
//!
//! A frame: length u32 big endian (of what follows), version u8, then the message in postcard's
//! encoding. The stream is ordered and reliable; what it carries is not trusted.

use crate::filter::ToldRule;
use crate::tree::change::Change;
use crate::tree::entry::Time;
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use std::net::IpAddr;
use thiserror::Error;

/// Version of these messages.
pub const VERSION: u8 = 9;

/// Longest frame after its length field, in bytes.
pub const MAX_FRAME: usize = 64 << 10;

/// Most values in one [`ToReceiver::Values`]; 1024 × (32 + 10) bytes are two thirds of [`MAX_FRAME`].
pub const MAX_VALUES: usize = 1024;

/// Bytes of patterns in one [`ToReceiver::Rules`], at most, unless it has only one: with what stands beside each they
/// stay below [`MAX_FRAME`].
pub const MAX_RULES: usize = 8 << 10;

/// Most changes in one [`ToSender::Changed`]; 4096 × (10 + 3) bytes are five sixths of [`MAX_FRAME`].
pub const MAX_CHANGES: usize = 4096;

/// Bytes of paths in one [`ToSender::Gone`] or [`ToReceiver::Moved`], at most, unless it has only one.
pub const MAX_PATHS: usize = 8 << 10;

/// Most editions in [`OfJob::line`]; 256 × 10 bytes are a twentieth of [`MAX_FRAME`].
pub const MAX_LINE: usize = 256;

/// Bytes of the length field.
const PREFIX: usize = 4;

/// From the sender to a receiver: `Offer`, then `Part` and `Values` as they come to be known, `End`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum ToReceiver {
    /// What this session carries.
    Offer(Offer),
    /// A part of the tree's list stands in this block.
    Part {
        /// Index of the block.
        block: u64,
        /// Bytes of the part.
        len: u32,
        /// Their BLAKE3.
        digest: [u8; 32],
    },
    /// The values of blocks of data: of a pack the BLAKE3 of its digests, of a large file's block that of its
    /// subtree. Of one that could not be read: zeros.
    Values(Vec<(u64, [u8; 32])>),
    /// The list has ended.
    End {
        /// Its entries.
        entries: u64,
        /// Blocks of the session.
        blocks: u64,
    },
    /// Rules that count at the receiver, behind those that were told before: what they leave out is not deleted.
    Rules(Vec<ToldRule>),
    /// The list that ends now has all that is at the source: what else stands in the folders that it has whole may be
    /// deleted.
    Extras {
        /// Rules that were told.
        rules: u64,
    },
    /// The list that ends now may lack something that is at the source: nothing is to be deleted, and why.
    Spare(String),
    /// The stream has ended, of which the values of all blocks were told.
    Whole {
        /// Its length in bytes.
        len: u64,
        /// Its BLAKE3.
        digest: [u8; 32],
    },
    /// Comes alone: nothing is sent but this, which whoever deals with mirror jobs understands.
    Word(Vec<u8>),
    /// Before the list: what stood under the first of two paths from the root of the transfer, or below it, may stand
    /// under the second one now. Nothing of it is believed.
    Moved(Vec<(Vec<u8>, Vec<u8>)>),
}

/// What is said of a tree before anything of it.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[expect(clippy::struct_excessive_bools, reason = "each is an option of its own")]
pub struct Offer {
    /// The path below the receiver's root that the user typed; empty for the root itself.
    pub to: Vec<u8>,
    /// It is one file, whose base name this is: it takes the path for its name unless that is a folder or ends in a
    /// slash. Bytes, because names on Unix need not be UTF-8.
    pub one: Option<Vec<u8>>,
    /// What is to be kept of the source.
    pub keep: Keep,
    /// How it is found out what a receiver holds already.
    pub check: Check,
    /// Files that are newer at a receiver are left as they are, whatever [`Self::check`] would say of them.
    pub update: bool,
    /// What is made durable, and when.
    pub sync: Sync,
    /// What an earlier session has left of a file is gone on with, and what this one leaves stays.
    pub resume: bool,
    /// When the sender began to look at its files, by its own clock: what was modified about then, or after it, may have
    /// been written to again since, whatever time it is at the receiver. [`crate::send()`] fills it in.
    pub begun: Option<Time>,
    /// What is not at the source is deleted in folders that are listed whole, once all of the list is in place.
    pub delete: Option<Delete>,
    /// It is a stream that can be read once, and whose end is learned late; [`Self::one`] is its name if it has one.
    /// The path `-` is the receiver's standard output then.
    pub stream: bool,
    /// Of a stream that is a file there: its permissions, of which a new file has no more.
    pub mode: Option<u32>,
    /// Nothing is changed: it is only told what would be.
    pub dry: bool,
    /// The receiver tells of each entry whether and how it is changed.
    pub itemize: bool,
    /// It is sent for this mirror job.
    pub job: Option<Box<OfJob>>,
}

/// The mirror job that something is sent for.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct OfJob {
    /// Its id, which no other job has.
    pub id: [u8; 16],
    /// What people call it, 255 bytes at most.
    pub name: String,
    /// The revision of its tree.
    pub revision: u32,
    /// Which one of that number: a job's file that was restored from a copy counts the numbers of the revisions that it has
    /// lost once more. 0: that is not known.
    pub edition: u64,
    /// Where it stands below the path of the offer: the name of the folder that is sent, or nothing where what it holds
    /// goes into the path itself.
    pub below: Vec<u8>,
    /// All of the tree is listed; or only what is not as it was in this earlier revision, all of which is there.
    pub since: Option<u32>,
    /// A revision, which is [`Self::since`] if there is one, and the editions from that one on, [`MAX_LINE`] at most: what
    /// was complete in one of these has everything after the session.
    pub line: (u32, Vec<u64>),
    /// What the receiver is called in the job.
    pub host: String,
    /// Where it may say that it is there: this port, at the address that the session comes from unless there is another.
    pub hello: Option<(Option<IpAddr>, u16)>,
    /// What else it is told, which only whoever deals with mirror jobs understands; empty: nothing.
    pub told: Vec<u8>,
    /// What shows, over this association alone, which installation sends it, as whoever deals with mirror jobs understands
    /// it; empty: nothing. [`crate::send_for_job`] fills it in.
    pub shown: Vec<u8>,
}

/// How much may be deleted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Delete {
    /// With more entries than that nothing is; `None`: [`LEAST_BOUND`], or a tenth of what stood there, whichever is
    /// more.
    pub max: Option<u64>,
    /// Nothing is deleted in folders of another file system than the topmost ones.
    pub one_file_system: bool,
}

/// So many entries may be deleted in any case, unless something else is said.
pub const LEAST_BOUND: u64 = 1000;

/// What is kept of the source beside names and contents.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[expect(clippy::struct_excessive_bools, reason = "each is an option of its own")]
pub struct Keep {
    /// Permissions.
    pub perms: bool,
    /// Modification times.
    pub times: bool,
    /// Owners.
    pub owner: bool,
    /// Groups.
    pub group: bool,
    /// Owners and groups go by their numbers, not by their names.
    pub numeric_ids: bool,
    /// Extended attributes.
    pub xattrs: bool,
    /// Access control lists; with the permissions alone.
    pub acls: bool,
}

/// When a file that stands at a receiver already is taken for the source's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub enum Check {
    /// Length and modification time are the same.
    #[default]
    Quick,
    /// Its digest is the same.
    Digest,
    /// Never.
    None,
}

/// What is made durable.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub enum Sync {
    /// Each file before it gets its name, and its name before the verdict.
    #[default]
    File,
    /// All of it before the verdict.
    Tree,
    /// Nothing is waited for.
    None,
}

/// Why an entry failed of which the sender said that it could not read it: the sender knows more.
pub const UNREAD_THERE: &str = "the sender could not read it";

/// From a receiver to the sender: one answer to the offer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum ToSender {
    /// It will take it.
    Ready {
        /// What shows, over this association alone, which installation of the daemon this is, where it is for a mirror job:
        /// whoever deals with these understands it; empty: nothing.
        shown: Vec<u8>,
    },
    /// It will not, and why.
    Refuse(String),
    /// An entry of a tree is not in place.
    Failed {
        /// Its number.
        entry: u64,
        /// Why.
        why: String,
    },
    /// The values of so many blocks from this one on are wanted, though not their bytes: they are held already.
    Ask {
        /// Index of the first.
        first: u64,
        /// How many.
        count: u64,
    },
    /// Something that was left out on purpose; each is said once.
    Note(String),
    /// What became of a tree; nothing comes after it.
    Report(Report),
    /// Something that is not at the source could not be deleted.
    Undeleted {
        /// Its path from the root of the transfer; empty: nothing at all was deleted.
        path: Vec<u8>,
        /// Why.
        why: String,
    },
    /// Entries that are changed, or would be: 0 is the root of the transfer, other numbers are by one larger than those
    /// of their entries. They only grow.
    Changed(Vec<(u64, Change)>),
    /// Paths from the root of the transfer of what was deleted, or would be, and whether it was a folder.
    Gone(Vec<(Vec<u8>, bool)>),
    /// Answers [`ToReceiver::Word`].
    Word(Vec<u8>),
}

/// What became of a tree at one receiver; after a dry run what would have.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Report {
    /// Entries that were made or replaced.
    pub arrived: u64,
    /// Entries that were found as they should be.
    pub unchanged: u64,
    /// Entries that are not in place.
    pub failed: u64,
    /// Bytes of files that were made or replaced.
    pub bytes: u64,
    /// Entries that were deleted, since the source does not have them.
    pub deleted: u64,
    /// Entries that were to be deleted and are still there.
    pub undeleted: u64,
    /// Nothing was deleted though that was asked for; a note says why.
    pub spared: bool,
}

/// The peer's bytes are not a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum FrameError {
    /// Longer than [`MAX_FRAME`], or too short for a version.
    #[error("the peer sent a message of {0} bytes, which no message has")]
    Length(u32),
    /// A version that is not known here.
    #[error("the peer speaks version {0} of the transfer messages, this side version {VERSION}")]
    Version(u8),
    /// Not an encoded message, or bytes left over behind it.
    #[error("the peer sent a message that cannot be read")]
    Body,
}

/// Appends the frame of `message` to `out`.
pub fn encode<M: Serialize>(message: &M, out: &mut Vec<u8>) -> Result<(), FrameError> {
    let body = postcard::to_stdvec(message).map_err(|_| FrameError::Body)?;
    let len = u32::try_from(body.len() + 1).unwrap_or(u32::MAX);
    if len as usize > MAX_FRAME {
        return Err(FrameError::Length(len));
    }
    out.extend_from_slice(&len.to_be_bytes());
    out.push(VERSION);
    out.extend_from_slice(&body);
    Ok(())
}

/// Cuts a byte stream into messages. It holds one incomplete frame and the last piece it was given.
#[derive(Debug, Default)]
pub struct Decoder {
    held: Vec<u8>,
    taken: usize,
}

impl Decoder {
    /// Takes the next bytes of the stream. Call [`Self::take`] until it gives `None` before the
    /// next piece: this is what bounds the decoder's memory.
    pub fn push(&mut self, bytes: &[u8]) {
        self.held.drain(..self.taken);
        self.taken = 0;
        self.held.extend_from_slice(bytes);
    }

    /// The next whole message; `None` if there is none yet. After an error the stream cannot be
    /// read any further.
    pub fn take<M: DeserializeOwned>(&mut self) -> Result<Option<M>, FrameError> {
        let rest = &self.held[self.taken..];
        let Some((prefix, rest)) = rest.split_first_chunk::<PREFIX>() else { return Ok(None) };
        let len = u32::from_be_bytes(*prefix);
        if len == 0 || len as usize > MAX_FRAME {
            return Err(FrameError::Length(len));
        }
        let Some(frame) = rest.get(..len as usize) else { return Ok(None) };
        let (version, body) = frame.split_first().ok_or(FrameError::Length(len))?;
        if *version != VERSION {
            return Err(FrameError::Version(*version));
        }
        let (message, left) = postcard::take_from_bytes(body).map_err(|_| FrameError::Body)?;
        if !left.is_empty() {
            return Err(FrameError::Body);
        }
        self.taken += PREFIX + len as usize;
        Ok(Some(message))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn bytes() -> impl Strategy<Value = Vec<u8>> {
        prop::collection::vec(any::<u8>(), 0..300)
    }

    fn any_message() -> impl Strategy<Value = ToReceiver> {
        prop_oneof![
            (bytes(), prop::option::of(bytes())).prop_map(|(to, one)| ToReceiver::Offer(Offer {
                to,
                one,
                ..Offer::default()
            })),
            (any::<u64>(), any::<u32>(), any::<[u8; 32]>())
                .prop_map(|(block, len, digest)| ToReceiver::Part { block, len, digest }),
            prop::collection::vec(any::<(u64, [u8; 32])>(), 0..8).prop_map(ToReceiver::Values),
            (bytes(), any::<[bool; 3]>()).prop_map(|(pattern, [negated, takes, perishable])| {
                ToReceiver::Rules(vec![ToldRule { pattern, negated, takes, perishable }])
            }),
            any::<u64>().prop_map(|rules| ToReceiver::Extras { rules }),
            (any::<u64>(), any::<u64>())
                .prop_map(|(entries, blocks)| ToReceiver::End { entries, blocks }),
            (any::<u64>(), any::<[u8; 32]>())
                .prop_map(|(len, digest)| ToReceiver::Whole { len, digest }),
            prop::collection::vec((bytes(), bytes()), 0..4).prop_map(ToReceiver::Moved),
        ]
    }

    #[test]
    fn the_fullest_messages_fit_a_frame() {
        let mut out = Vec::new();
        let values = vec![(u64::MAX, [255; 32]); MAX_VALUES];
        encode(&ToReceiver::Values(values), &mut out).unwrap();
        assert!(out.len() <= PREFIX + MAX_FRAME);
        let changes = vec![(u64::MAX, Change::from_bits(u16::MAX)); MAX_CHANGES];
        encode(&ToSender::Changed(changes), &mut out).unwrap();
        let long = ToSender::Refuse("x".repeat(MAX_FRAME));
        assert!(matches!(encode(&long, &mut out), Err(FrameError::Length(_))));
    }

    #[test]
    fn says_what_is_wrong_with_a_frame() {
        let read = |bytes: &[u8]| {
            let mut decoder = Decoder::default();
            decoder.push(bytes);
            decoder.take::<ToSender>()
        };
        let ready = ToSender::Ready { shown: Vec::new() };
        assert_eq!(read(&[0, 0, 0, 3, VERSION, 0, 0]), Ok(Some(ready)));
        assert_eq!(read(&[0, 0, 0, 0]), Err(FrameError::Length(0)));
        assert_eq!(read(&[0, 1, 0, 1]), Err(FrameError::Length(65_537)));
        let newer = VERSION + 1;
        assert_eq!(read(&[0, 0, 0, 2, newer, 0]), Err(FrameError::Version(newer)));
        assert_eq!(read(&[0, 0, 0, 2, VERSION, 7]), Err(FrameError::Body));
        assert_eq!(read(&[0, 0, 0, 4, VERSION, 0, 0, 0]), Err(FrameError::Body));
        assert_eq!(read(&[0, 0, 0, 2, VERSION]), Ok(None));
    }

    proptest! {
        #[test]
        fn what_is_encoded_is_decoded_however_it_is_cut(
            messages in prop::collection::vec(any_message(), 1..6),
            cut in 1..700usize,
        ) {
            let mut bytes = Vec::new();
            for message in &messages {
                encode(message, &mut bytes).unwrap();
            }
            let (mut decoder, mut seen) = (Decoder::default(), Vec::new());
            for piece in bytes.chunks(cut) {
                decoder.push(piece);
                while let Some(message) = decoder.take::<ToReceiver>().unwrap() {
                    seen.push(message);
                }
            }
            prop_assert_eq!(seen, messages);
        }

        #[test]
        fn no_bytes_panic_or_are_hoarded(
            bytes in prop::collection::vec(any::<u8>(), 0..400),
            plausible in any::<bool>(),
        ) {
            let mut decoder = Decoder::default();
            if plausible {
                decoder.push(&[0, 0, 0, bytes.len() as u8, VERSION]);
            }
            decoder.push(&bytes);
            while let Ok(Some(_)) = decoder.take::<ToReceiver>() {}
            prop_assert!(decoder.held.len() <= bytes.len() + 5);
        }
    }
}
