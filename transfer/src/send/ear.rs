//! Hears what one member says.

use super::changed::{Changed, Shelf};
use crate::link::PrivateStream;
use crate::message::{Decoder, Report, ToSender};
use core::ops::Range;
use std::io;
use std::sync::Arc;
use tcpxm::seal::Binding;

/// Failed entries that are kept of one member; of more the number is kept.
const KEPT: usize = 100_000;
/// Bytes of reasons that are kept of one member; beyond that the number of failed entries alone.
const REASONS: usize = 8 << 20;
/// Longest reason, in bytes: what is longer is cut.
const REASON: usize = 1 << 10;
/// Longest [`Said::shown`], in bytes: a key and what proves it are a fraction of that.
const SHOWN: usize = 1 << 10;
/// Notes that are kept of one member.
const NOTES: usize = 64;
/// What is read of one member before it is another's turn, in bytes.
const TURN: usize = 64 << 10;

/// What a member said.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Said {
    /// It takes what it was offered.
    pub ready: bool,
    /// What shows which installation of the daemon it is, over the association of [`Self::binding`]; empty: nothing.
    pub shown: Vec<u8>,
    /// Which association that was said on.
    pub binding: Option<Binding>,
    /// It does not, and why.
    pub refused: Option<String>,
    /// Entries that are not in place there, and why; the first 100,000, with 8 MiB of reasons.
    pub(super) failed: Vec<(u64, Arc<str>)>,
    /// How many there are.
    pub failures: u64,
    /// What was left out on purpose.
    pub notes: Vec<String>,
    /// Its own count.
    pub report: Option<Report>,
    /// Bytes of the reasons that are kept.
    pub(super) reasons: usize,
    /// Paths of what could not be deleted there, and why, kept like the entries above; an empty one: nothing was.
    pub(super) undeleted: Vec<(Vec<u8>, Arc<str>)>,
    /// What was changed there, or would be.
    pub changed: Changed,
}

impl Said {
    fn take(&mut self, word: ToSender, asked: &mut Vec<Range<u64>>, listed: &dyn Fn() -> u64) {
        match word {
            ToSender::Ready { shown } => {
                self.ready = true;
                self.shown = if shown.len() <= SHOWN { shown } else { Vec::new() };
            }
            ToSender::Refuse(why) => self.refused = Some(cut(&why).to_owned()),
            ToSender::Failed { entry, why } => self.fail(entry, cut(&why)),
            ToSender::Note(note) => {
                if self.notes.len() < NOTES {
                    self.notes.push(cut(&note).to_owned());
                }
            }
            ToSender::Ask { first, count } => asked.push(first..first.saturating_add(count)),
            ToSender::Report(report) => self.report = Some(report),
            ToSender::Changed(changes) => {
                if let Err(why) = self.changed.take(changes, listed()) {
                    self.refused.get_or_insert(why);
                }
            }
            ToSender::Gone(paths) => self.changed.take_gone(paths),
            ToSender::Word(_) => {
                self.refused.get_or_insert_with(|| "it answers what was not asked".to_owned());
            }
            ToSender::Undeleted { path, why } => self.keep_undeleted(path, cut(&why)),
        }
    }

    fn keep_undeleted(&mut self, path: Vec<u8>, why: &str) {
        let bytes = path.len() + why.len();
        if self.undeleted.len() < KEPT && self.reasons + bytes <= REASONS {
            self.reasons += bytes;
            self.undeleted.push((path, why.into()));
        }
    }

    fn fail(&mut self, entry: u64, why: &str) {
        self.failures += 1;
        if self.failed.len() >= KEPT {
            return;
        }
        // Mostly one reason after the other is the same.
        let same = self.failed.last().filter(|(_, last)| **last == *why);
        let why = if let Some((_, same)) = same {
            Arc::clone(same)
        } else if self.reasons + why.len() <= REASONS {
            self.reasons += why.len();
            why.into()
        } else {
            return;
        };
        self.failed.push((entry, why));
    }
}

/// As much of a text as is kept.
fn cut(text: &str) -> &str {
    &text[..text.floor_char_boundary(REASON)]
}

/// What these words come to.
#[cfg(test)]
pub(super) fn heard(words: impl Iterator<Item = ToSender>) -> Said {
    heard_on(&Arc::default(), words)
}

/// The same, where changes go to that shelf.
#[cfg(test)]
pub(super) fn heard_on(shelf: &Arc<Shelf>, words: impl Iterator<Item = ToSender>) -> Said {
    let mut said = Said { changed: Changed::on(shelf), ..Said::default() };
    words.for_each(|word| said.take(word, &mut Vec::new(), &|| u64::MAX));
    said
}

/// Hears one member.
pub(crate) struct Ear<W> {
    stream: W,
    decoder: Decoder,
    deaf: bool,
    said: Said,
    asked: Vec<Range<u64>>,
}

impl<W: PrivateStream> Ear<W> {
    pub(crate) fn new(stream: W) -> Self {
        Self {
            stream,
            decoder: Decoder::default(),
            deaf: false,
            said: Said::default(),
            asked: Vec::new(),
        }
    }

    /// One of several members: much that they say of changes goes to a shelf of all of them.
    pub(super) fn beside(stream: W, shelf: &Arc<Shelf>) -> Self {
        let said = Said { changed: Changed::on(shelf), ..Said::default() };
        Self { said, ..Self::new(stream) }
    }

    /// What it has said.
    pub(crate) fn into_said(self) -> Said {
        self.said
    }

    /// Blocks of which it has asked for the values since this was called before.
    pub(super) fn asked(&mut self) -> Vec<Range<u64>> {
        std::mem::take(&mut self.asked)
    }

    /// Reads what is there, [`TURN`] bytes at most; whether there may be more. So many entries are `listed` by then.
    pub(crate) fn listen(&mut self, listed: &dyn Fn() -> u64) -> bool {
        let (mut buf, mut heard) = ([0; 16 << 10], 0);
        while !self.deaf {
            if heard >= TURN {
                return true;
            }
            match self.stream.try_read(&mut buf) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return false,
                Ok(read) if read > 0 => {
                    heard += read;
                    self.decoder.push(&buf[..read]);
                }
                _ => self.deaf = true,
            }
            self.take(listed);
        }
        false
    }

    fn take(&mut self, listed: &dyn Fn() -> u64) {
        loop {
            match self.decoder.take() {
                Ok(None) => return,
                Ok(Some(word)) => {
                    if let ToSender::Ready { .. } = word {
                        self.said.binding = self.stream.try_binding().ok();
                    }
                    self.said.take(word, &mut self.asked, listed);
                }
                Err(error) => {
                    self.said.refused.get_or_insert(error.to_string());
                    self.deaf = true;
                    return;
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::message::encode;

    /// A member that says the same for ever.
    #[derive(Clone)]
    struct Chatty {
        frame: Vec<u8>,
        at: usize,
        read: usize,
    }

    impl io::Write for Chatty {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    impl PrivateStream for Chatty {
        fn try_read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
            let read = buf.len().min(self.frame.len() - self.at);
            buf[..read].copy_from_slice(&self.frame[self.at..self.at + read]);
            self.at = (self.at + read) % self.frame.len();
            self.read += read;
            assert!(self.read < 1 << 20, "it is heard for ever");
            Ok(read)
        }

        fn try_write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            Ok(bytes.len())
        }

        fn try_binding(&self) -> io::Result<Binding> {
            Ok([0; 32])
        }
    }

    #[test]
    fn whoever_says_much_is_not_heard_for_ever_at_a_time() {
        let mut frame = Vec::new();
        encode(&ToSender::Failed { entry: 1, why: "x".repeat(50) }, &mut frame).unwrap();
        let mut ear = Ear::new(Chatty { frame, at: 0, read: 0 });
        assert!(ear.listen(&|| 0), "there is more");
        assert!((TURN..TURN + (16 << 10)).contains(&ear.stream.read), "{}", ear.stream.read);
        assert!(ear.into_said().failures > 500);
    }

    #[test]
    fn of_reasons_as_much_is_kept_as_there_is_room_for() {
        let mut said = Said::default();
        // A character of two bytes lies across the cut.
        let long = |n: u64| format!("{n:05}{}", "\u{e4}".repeat(2000));
        let count = 3 * (REASONS / REASON) as u64;
        for entry in 0..count {
            said.take(ToSender::Failed { entry, why: long(entry) }, &mut Vec::new(), &|| 0);
        }
        assert_eq!(said.failed[7].1.len(), REASON - 1);
        let bytes: usize = said.failed.iter().map(|(_, why)| why.len()).sum();
        assert!(bytes <= REASONS && bytes > REASONS - REASON, "{bytes}");
        assert_eq!(said.failures, count);
        // One that is said again takes nothing more, until there are too many.
        let mut said = Said::default();
        for entry in 0..2 * KEPT as u64 {
            said.take(ToSender::Failed { entry, why: long(0) }, &mut Vec::new(), &|| 0);
        }
        assert_eq!((said.failed.len(), said.reasons), (KEPT, REASON - 1));
        assert_eq!(said.failures, 2 * KEPT as u64);
    }
}
