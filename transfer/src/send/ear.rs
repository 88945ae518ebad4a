//! Hears what one member says.

use crate::link::PrivateStream;
use crate::message::{Decoder, Report, ToSender};
use core::ops::Range;
use std::io;

/// Failed entries that are kept of one member; of more the number is kept.
const KEPT: usize = 100_000;
/// Notes that are kept of one member.
const NOTES: usize = 64;

/// What a member said.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Said {
    /// It takes what it was offered.
    pub ready: bool,
    /// It does not, and why.
    pub refused: Option<String>,
    /// Entries that are not in place there, and why; the first 100,000.
    pub failed: Vec<(u64, String)>,
    /// How many there are.
    pub failures: u64,
    /// What was left out on purpose.
    pub notes: Vec<String>,
    /// Its own count.
    pub report: Option<Report>,
}

impl Said {
    fn take(&mut self, word: ToSender, asked: &mut Vec<Range<u64>>) {
        match word {
            ToSender::Ready => self.ready = true,
            ToSender::Refuse(why) => self.refused = Some(why),
            ToSender::Failed { entry, why } => {
                self.failures += 1;
                if self.failed.len() < KEPT {
                    self.failed.push((entry, why));
                }
            }
            ToSender::Note(note) => {
                if self.notes.len() < NOTES {
                    self.notes.push(note);
                }
            }
            ToSender::Ask { first, count } => asked.push(first..first.saturating_add(count)),
            ToSender::Report(report) => self.report = Some(report),
        }
    }
}

/// Hears one member.
pub(super) struct Ear<W> {
    stream: W,
    decoder: Decoder,
    deaf: bool,
    said: Said,
    asked: Vec<Range<u64>>,
}

impl<W: PrivateStream> Ear<W> {
    pub(super) fn new(stream: W) -> Self {
        Self {
            stream,
            decoder: Decoder::default(),
            deaf: false,
            said: Said::default(),
            asked: Vec::new(),
        }
    }

    /// What it has said so far.
    pub(super) fn said(&self) -> &Said {
        &self.said
    }

    /// Blocks of which it has asked for the values since this was called before.
    pub(super) fn asked(&mut self) -> Vec<Range<u64>> {
        std::mem::take(&mut self.asked)
    }

    /// Reads what is there.
    pub(super) fn listen(&mut self) {
        let mut buf = [0; 16 << 10];
        while !self.deaf {
            match self.stream.try_read(&mut buf) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return,
                Ok(read) if read > 0 => self.decoder.push(&buf[..read]),
                _ => self.deaf = true,
            }
            loop {
                match self.decoder.take() {
                    Ok(None) => break,
                    Ok(Some(word)) => self.said.take(word, &mut self.asked),
                    Err(error) => {
                        self.said.refused.get_or_insert(error.to_string());
                        self.deaf = true;
                        break;
                    }
                }
            }
        }
    }
}
