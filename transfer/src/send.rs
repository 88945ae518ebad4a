//! Sends what a source holds to all members of a session.

mod asked;
pub mod board;
pub(crate) mod changed;
pub(crate) mod courier;
mod couriers;
pub(crate) mod ear;
mod offers;
pub(crate) mod outcome;

pub use changed::{Changed, Itemized, Records as ChangedRecords};
pub use ear::Said;
pub use outcome::{Delivered, FailedEntry, NAMED, Outcome, in_own_words};

use crate::blocks::BLOCK;
use crate::jobs::Shows;
use crate::link::{Call, Outgoing, PrivateStream};
use crate::message::Offer;
use crate::source::{Grows, Progress, Source, SourceError};
use asked::Asked;
use changed::Shelf;
use core::ops::Range;
use couriers::Couriers;
use ear::Ear;
use offers::Offers;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};
use tcpxm::api::Sender;
use tcpxm::error::EndError;
use tcpxm::stats::MemberReport;

/// How long, once nothing is needed any more, members that do not take what they are told can hold up the end of
/// the others; as long as a silent member can (`idle_timeout`'s default).
pub const PATIENCE: Duration = Duration::from_secs(10);
/// What is known is told after so long, however little it is: it may be all that a receiver waits for.
const TICK: Duration = Duration::from_millis(20);

/// Sends what a source holds to all members, and waits until each has an outcome. The session must have been opened by
/// [`crate::session::open_session`]; `offers[i]` is what member `i` is offered. `progress` is called after each block, and
/// every 20 ms while there is none.
///
/// Each block is read and hashed once; again only if the session asks for it again. A member whose host is restarted
/// in the middle begins again, and is told everything anew. Members that are slow to take what they are told do not
/// hold up the others by more than [`PATIENCE`].
pub fn send(
    sender: &Sender,
    source: &dyn Source,
    offers: &[Offer],
    progress: &dyn Fn(Progress),
) -> Outcome {
    send_over(sender, source, (offers, None), progress)
}

/// The same for mirror jobs: `shows` makes what shows each member who sends ([`crate::message::OfJob::shown`]), for the
/// association with it.
pub fn send_for_job(
    sender: &Sender,
    source: &dyn Source,
    (offers, shows): (&[Offer], &Shows<'_>),
    progress: &dyn Fn(Progress),
) -> Outcome {
    send_over(sender, source, (offers, Some(shows)), progress)
}

fn send_over<S: Outgoing + Sync>(
    session: &S,
    source: &dyn Source,
    (offers, shows): (&[Offer], Option<&Shows<'_>>),
    progress: &dyn Fn(Progress),
) -> Outcome {
    let begun = Some(source.begun());
    let offers: Vec<_> = offers.iter().map(|offer| Offer { begun, ..offer.clone() }).collect();
    let offers = &offers[..];
    let shelf = Arc::default();
    let ear = |stream| Ear::beside(stream, &shelf);
    let mut ears: Vec<_> = (0..session.members()).map(|i| ear(session.member(i))).collect();
    session.finish(); // whoever has everything is completed, whatever holds up another
    let over = AtomicBool::new(false);
    let (failure, unlisted, reports) = thread::scope(|scope| {
        let listing = scope.spawn(|| {
            let guard = Listing::of(session);
            guard.end(source.list(&Open { session, over: &over }))
        });
        let mut couriers = Couriers::new(scope, source.board());
        let mut offered = Offers::new((offers, shows));
        for index in 0..session.members() {
            offered.begin(session, &mut couriers, (index, session.member(index)));
        }
        let hearing = (&mut ears[..], &shelf);
        let failure = pump(session, source, &mut couriers, hearing, (offered, progress)).err();
        if let Some(failure) = &failure {
            session.abort(&failure.to_string());
        }
        over.store(true, Ordering::Release);
        source.stop();
        source.board().close();
        couriers.finish();
        let reports = wait(session, source, &mut ears);
        (failure, listing.join().unwrap_or(Err(SourceError::Stopped)).err(), reports)
    });
    let one = |index: usize| offers.get(index).is_some_and(|offer| offer.one.is_some());
    let met = reports.into_iter().zip(ears).enumerate();
    let met = met.map(|(index, (report, ear))| (report, ear.into_said(), one(index)));
    let (members, nameless) = outcome::of(source, met);
    Outcome { members, sent: session.sent(), failure: failure.or(unlisted), nameless }
}

/// Waits until every member has its outcome, and hears all that they say until then: who has much to say cannot end
/// before it was heard.
fn wait<S: Outgoing + Sync>(
    session: &S,
    source: &dyn Source,
    ears: &mut [Ear<S::Stream>],
) -> Vec<MemberReport> {
    let here = thread::current();
    let reports = thread::scope(|scope| {
        let waiting = scope.spawn(|| {
            let reports = session.wait();
            here.unpark();
            reports
        });
        while !waiting.is_finished() {
            if !hear(ears, source) {
                thread::park_timeout(TICK);
            }
        }
        waiting.join()
    });
    while hear(ears, source) {}
    reports.unwrap_or_else(|panic| std::panic::resume_unwind(panic))
}

/// A turn for each; whether any has more to say.
fn hear<W: PrivateStream>(ears: &mut [Ear<W>], source: &dyn Source) -> bool {
    let mut more = false;
    for ear in ears {
        more |= ear.listen(&|| source.progress().entries);
    }
    more
}

/// The thread that lists: should it end before it has said how, nobody waits for what it would have listed.
pub(crate) struct Listing<'a, S: Outgoing> {
    session: &'a S,
    ended: bool,
}

impl<'a, S: Outgoing> Listing<'a, S> {
    pub(crate) fn of(session: &'a S) -> Self {
        Self { session, ended: false }
    }

    /// It has ended so; an error ends the session.
    pub(crate) fn end(mut self, listed: Result<(), SourceError>) -> Result<(), SourceError> {
        self.ended = true;
        listed.inspect_err(|error| self.session.abort(&error.to_string()))
    }
}

impl<S: Outgoing> Drop for Listing<'_, S> {
    fn drop(&mut self) {
        if !self.ended {
            self.session.abort(&SourceError::Stopped.to_string());
        }
    }
}

/// The session as it is listed into.
struct Open<'a, S> {
    session: &'a S,
    over: &'a AtomicBool,
}

impl<S: Outgoing> Grows for Open<'_, S> {
    fn grow(&self, to: u64) -> Result<(), SourceError> {
        self.session.grow(to).or_else(|error| self.ended(&error))
    }

    fn end(&self, at: u64) -> Result<(), SourceError> {
        self.session.set_end(at).or_else(|error| self.ended(&error))
    }

    fn is_over(&self) -> bool {
        self.over.load(Ordering::Acquire)
    }
}

impl<S> Open<'_, S> {
    /// A session that is over does not grow, and nobody minds.
    fn ended(&self, error: &EndError) -> Result<(), SourceError> {
        let over = self.over.load(Ordering::Acquire);
        if over { Ok(()) } else { Err(SourceError::Session(error.to_string())) }
    }
}

/// Answers the session's calls until there are none any more.
fn pump<S: Outgoing>(
    session: &S,
    source: &dyn Source,
    couriers: &mut Couriers<'_, '_, S::Stream>,
    (ears, shelf): (&mut [Ear<S::Stream>], &Arc<Shelf>),
    (mut offers, progress): (Offers<'_, S::Stream>, &dyn Fn(Progress)),
) -> Result<(), SourceError> {
    couriers.advance();
    let (mut flushed, mut more, mut asked) = (Instant::now(), false, Asked::default());
    loop {
        let is_idle = asked.is_empty() && !more;
        match session.next_call_within(if is_idle { TICK } else { Duration::ZERO }) {
            Ok(Some(Call::Need(need))) => {
                session.supply(need.start, read(source, &need)?);
            }
            Ok(Some(Call::Renewed(index, stream))) => {
                if let Some(ear) = ears.get_mut(index) {
                    *ear = Ear::beside(stream.clone(), shelf);
                }
                offers.begin(session, couriers, (index, stream));
            }
            Ok(None) if session.is_settled() => return Ok(()),
            // Whoever has everything may find that some of it is wrong, as long as it has given no verdict.
            Ok(None) => thread::park_timeout(TICK),
            Err(_) => {}
        }
        // One that has old blocks read again does not keep the others waiting for their last values.
        if flushed.elapsed() >= TICK {
            source.board().flush();
            flushed = Instant::now();
        }
        progress(source.progress());
        offers.advance(session, couriers);
        couriers.advance();
        more = hear(ears, source);
        for ear in &mut *ears {
            asked.add(ear.asked().into_iter(), source.progress().span / BLOCK);
        }
        if let Some(block) = asked.next() {
            source.post_value(block)?;
        }
    }
}

/// What the session needs: a block, as a rule.
fn read(source: &dyn Source, need: &Range<u64>) -> Result<Arc<[u8]>, SourceError> {
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

#[cfg(test)]
mod tests;
