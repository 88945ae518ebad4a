//! Sends a tree to all members of a session.

use super::manifest::Owner;
use super::source::{Found, Grows, TreeError, TreeSource};
use crate::blocks::BLOCK;
use crate::link::{Call, Outgoing, PrivateStream};
use crate::message::{Decoder, Report, ToReceiver, ToSender, TreeOffer};
use crate::send::couriers::Couriers;
use core::ops::Range;
use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Duration;
use tcpxm::api::Sender;
use tcpxm::config::{Content, Delivery, SessionConfig};
use tcpxm::stats::{MemberReport, Sent};

/// Where nothing is asked for, what is known is told after so long: it may be all that a receiver waits for.
const TICK: Duration = Duration::from_millis(20);
/// Failed entries that are kept of one member by name; of more the number is kept.
const NAMED: usize = 100_000;
/// Notes that are kept of one member.
const NOTES: usize = 64;

/// How a session is opened that carries a tree.
#[must_use]
#[expect(clippy::needless_pass_by_value, reason = "it is changed")]
pub fn session(config: SessionConfig) -> SessionConfig {
    SessionConfig {
        delivery: Delivery::Unordered,
        content: Content::Source { len: None },
        declares: true,
        ..config
    }
}

/// What a member said of the tree.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Said {
    /// It takes the tree.
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

/// What became of one member.
#[derive(Debug, Clone)]
pub struct Delivered {
    /// The session's report.
    pub report: MemberReport,
    /// What it said.
    pub said: Said,
}

/// What became of a tree.
#[derive(Debug)]
pub struct Outcome {
    /// One for each member, in the order of the addresses that were connected to.
    pub members: Vec<Delivered>,
    /// What the session sent.
    pub sent: Sent,
    /// What ended the session, if this side did.
    pub failure: Option<TreeError>,
}

/// Sends a tree and waits until each member has an outcome. The session must have been opened as [`session`] says;
/// `offers[i]` is what member `i` is offered. `walk` lists the tree, in a thread of its own.
pub fn send_tree(
    sender: &Sender,
    source: &TreeSource,
    offers: &[TreeOffer],
    walk: impl Iterator<Item = Found> + Send,
    owner: &mut (dyn FnMut(u32, u32) -> Owner + Send),
) -> Outcome {
    send_over(sender, source, offers, walk, owner)
}

pub(super) fn send_over<S: Outgoing + Sync>(
    session: &S,
    source: &TreeSource,
    offers: &[TreeOffer],
    walk: impl Iterator<Item = Found> + Send,
    owner: &mut (dyn FnMut(u32, u32) -> Owner + Send),
) -> Outcome {
    let mut ears: Vec<_> = (0..session.members()).map(|i| Ear::new(session.member(i))).collect();
    session.finish(); // whoever has everything is completed, whatever holds up another
    let (over, unlisted) = (AtomicBool::new(false), Mutex::new(None));
    let (failure, reports) = thread::scope(|scope| {
        scope.spawn(|| {
            let listed = source.list(walk, owner, &Open { session, over: &over });
            if let Err(error) = listed {
                session.abort(&error.to_string());
                *unlisted.lock().unwrap_or_else(PoisonError::into_inner) = Some(error);
            }
        });
        let mut couriers = Couriers::new(scope, &source.board);
        for index in 0..session.members() {
            offer(session, &mut couriers, (index, session.member(index)), offers);
        }
        let failure = pump(session, source, &mut couriers, &mut ears, offers).err();
        if let Some(failure) = &failure {
            session.abort(&failure.to_string());
        }
        over.store(true, Ordering::Release);
        source.board.close();
        couriers.finish();
        (failure, session.wait())
    });
    let unlisted = unlisted.into_inner().unwrap_or_else(PoisonError::into_inner);
    let members = reports.into_iter().zip(&mut ears).map(|(report, ear)| {
        ear.listen();
        Delivered { report, said: ear.said.clone() }
    });
    Outcome { members: members.collect(), sent: session.sent(), failure: failure.or(unlisted) }
}

/// The session as it is listed into.
struct Open<'a, S> {
    session: &'a S,
    over: &'a AtomicBool,
}

impl<S: Outgoing> Grows for Open<'_, S> {
    fn grow(&self, to: u64) -> Result<(), TreeError> {
        self.session.grow(to).or_else(|error| self.ended(&error))
    }

    fn end(&self, at: u64) -> Result<(), TreeError> {
        self.session.set_end(at).or_else(|error| self.ended(&error))
    }

    fn is_over(&self) -> bool {
        self.over.load(Ordering::Acquire)
    }
}

impl<S> Open<'_, S> {
    /// A session that is over does not grow, and nobody minds.
    fn ended(&self, error: &tcpxm::error::EndError) -> Result<(), TreeError> {
        let over = self.over.load(Ordering::Acquire);
        if over { Ok(()) } else { Err(TreeError::Aside(error.to_string())) }
    }
}

fn offer<S: Outgoing>(
    session: &S,
    couriers: &mut Couriers<'_, '_, S::Stream, super::board::Board>,
    (index, stream): (usize, S::Stream),
    offers: &[TreeOffer],
) {
    let Some(offer) = offers.get(index) else { return };
    if let Err(error) = couriers.begin(stream, &ToReceiver::Tree(offer.clone())) {
        session.drop_member(index, &error.to_string());
    }
}

/// Answers the session's calls until there are none any more.
fn pump<S: Outgoing>(
    session: &S,
    source: &TreeSource,
    couriers: &mut Couriers<'_, '_, S::Stream, super::board::Board>,
    ears: &mut [Ear<S::Stream>],
    offers: &[TreeOffer],
) -> Result<(), TreeError> {
    couriers.advance();
    loop {
        match session.next_call_within(TICK) {
            Ok(Some(Call::Need(need))) => session.supply(need.start, read(source, &need)?),
            Ok(Some(Call::Renewed(index, stream))) => {
                if let Some(ear) = ears.get_mut(index) {
                    *ear = Ear::new(stream.clone());
                }
                offer(session, couriers, (index, stream), offers);
            }
            Ok(None) => return Ok(()),
            Err(_) => source.board.flush(),
        }
        couriers.advance();
        ears.iter_mut().for_each(Ear::listen);
    }
}

/// What the session needs: a block, as a rule.
fn read(source: &TreeSource, need: &Range<u64>) -> Result<Arc<[u8]>, TreeError> {
    let (first, end) = (need.start / BLOCK, need.end.div_ceil(BLOCK));
    if end - first == 1 && need.start.is_multiple_of(BLOCK) && need.end.is_multiple_of(BLOCK) {
        return source.read(first);
    }
    let mut bytes = Vec::with_capacity((need.end - need.start) as usize);
    for block in first..end {
        let (read, at) = (source.read(block)?, block * BLOCK);
        let from = need.start.saturating_sub(at).min(BLOCK) as usize;
        bytes.extend_from_slice(&read[from..(need.end - at).min(BLOCK) as usize]);
    }
    Ok(bytes.into())
}

/// Hears what one member says.
struct Ear<W> {
    stream: W,
    decoder: Decoder,
    deaf: bool,
    said: Said,
}

impl<W: PrivateStream> Ear<W> {
    fn new(stream: W) -> Self {
        Self { stream, decoder: Decoder::default(), deaf: false, said: Said::default() }
    }

    /// Reads what is there.
    fn listen(&mut self) {
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
                    Ok(Some(word)) => self.said.take(word),
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

impl Said {
    fn take(&mut self, word: ToSender) {
        match word {
            ToSender::Ready => self.ready = true,
            ToSender::Refuse(why) => self.refused = Some(why),
            ToSender::Failed { entry, why } => {
                self.failures += 1;
                if self.failed.len() < NAMED {
                    self.failed.push((entry, why));
                }
            }
            ToSender::Note(note) => {
                if self.notes.len() < NOTES {
                    self.notes.push(note);
                }
            }
            ToSender::Report(report) => self.report = Some(report),
        }
    }
}
