//! Sends a stream to all members of a session, as fast as the slowest takes it.

use super::input::{Input, fill};
use super::sum::{MAX_LEN, Sum};
use super::told::{KEPT, Told};
use crate::blocks::BLOCK;
use crate::link::PrivateStream;
use crate::message::{Offer, ToReceiver};
use crate::send::courier::{Courier, Step};
use crate::send::ear::Ear;
use crate::send::{Listing, Outcome, outcome};
use crate::source::{Progress, SourceError};
use blake3::Hash;
use std::io::Write;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::{self, Thread};
use std::time::Duration;
use tcpxm::api::{Call, MemberStream, Sender};
use tcpxm::proto::event::SessionState;

/// Nothing is waited for longer without looking at what members say.
const TICK: Duration = Duration::from_millis(20);

/// Sends what an input gives until its end, and waits until each member has an outcome. The session must have been opened
/// by [`crate::session::open_stream`]; `offers[i]` is what member `i` is offered. `progress` is called every 20 ms, or
/// more often. Gives the digest of all of it, if it was read to its end.
///
/// It is read once, no further than the slowest member lets it. Where it cannot be read, the copy has failed everywhere.
pub fn send(
    sender: &Sender,
    input: &mut dyn Input,
    offers: &[Offer],
    progress: &dyn Fn(Progress),
) -> (Outcome, Option<Hash>) {
    let (told, read, over) = (Told::default(), AtomicU64::new(0), AtomicBool::new(false));
    let mut ears: Vec<_> = (0..sender.members()).map(|i| Ear::new(sender.member(i))).collect();
    let here = thread::current();
    let failure = thread::scope(|scope| {
        let reader = Reader { sender, told: &told, read: &read, over: &over, pump: here };
        let reading = scope.spawn(move || {
            let guard = Listing::of(sender);
            guard.end(reader.run(input))
        });
        let now = || {
            let (len, ended) = (read.load(Ordering::Relaxed), told.digest().is_some());
            progress(Progress { entries: 1, len, span: len, ended, read: len });
        };
        Pump { sender, told: &told, offers, couriers: Vec::new() }.run(&mut ears, &now);
        over.store(true, Ordering::Release);
        reading.join().unwrap_or(Err(SourceError::Stopped)).err()
    });
    let members = sender.wait().into_iter().zip(ears);
    let members = members.map(|(report, mut ear)| {
        while ear.listen(&|| 0) {}
        outcome::of_stream(report, ear.into_said())
    });
    let outcome =
        Outcome { members: members.collect(), sent: sender.sent(), failure, nameless: None };
    (outcome, told.digest())
}

/// Reads the input into the session.
struct Reader<'a> {
    sender: &'a Sender,
    told: &'a Told,
    read: &'a AtomicU64,
    over: &'a AtomicBool,
    pump: Thread,
}

impl Reader<'_> {
    fn run(&self, input: &mut dyn Input) -> Result<(), SourceError> {
        let (mut sum, mut block) = (Sum::new(), vec![0; BLOCK as usize]);
        let is_over = || self.over.load(Ordering::Acquire);
        loop {
            let filled = fill(input, &mut block, &is_over).map_err(SourceError::Input)?;
            let Some(filled) = filled else { return Ok(()) };
            if filled == 0 {
                break;
            }
            if sum.len() >= MAX_LEN {
                return Err(SourceError::TooLong);
            }
            self.told.value(sum.push(&block[..filled]));
            self.read.store(sum.len(), Ordering::Relaxed);
            self.pump.unpark();
            let mut session = self.sender;
            if session.write_all(&block[..filled]).is_err() {
                return Ok(()); // nobody is left, and each has its reason
            }
            // Its first end is its end: a terminal, a FIFO or a file that grows may have more to give after one, which
            // would stand behind a block that is not whole.
            if filled < block.len() {
                break;
            }
        }
        self.told.whole(sum.len(), sum.root());
        self.sender.finish();
        self.pump.unpark();
        Ok(())
    }
}

/// Tells members of the stream, and hears them.
struct Pump<'a> {
    sender: &'a Sender,
    told: &'a Told,
    offers: &'a [Offer],
    /// By the members' places.
    couriers: Vec<(usize, Courier<MemberStream>)>,
}

impl Pump<'_> {
    /// Until each has its outcome.
    fn run(mut self, ears: &mut [Ear<MemberStream>], progress: &dyn Fn()) {
        for index in 0..self.sender.members() {
            self.offer(index, self.sender.member(index));
        }
        loop {
            if let Ok(Some(Call::Renewed(index, stream))) =
                self.sender.next_call_within(Duration::ZERO)
            {
                if let Some(ear) = ears.get_mut(index) {
                    *ear = Ear::new(stream.clone());
                }
                self.couriers.retain(|(of, _)| *of != index);
                self.offer(index, stream);
            }
            self.tell();
            let more = hear(ears);
            progress();
            if self.sender.state() == SessionState::Done {
                return;
            }
            if !more {
                thread::park_timeout(TICK);
            }
        }
    }

    /// Offers it to a member that begins, at first or again.
    fn offer(&mut self, index: usize, stream: MemberStream) {
        let Some(offer) = self.offers.get(index) else { return };
        if self.told.first() > 0 {
            let why = "it begins again in the middle of a stream, which cannot be read again";
            return self.sender.drop_member(index, why);
        }
        match Courier::new(stream, &ToReceiver::Offer(offer.clone())) {
            Ok(courier) => self.couriers.push((index, courier)),
            Err(error) => self.sender.drop_member(index, &error.to_string()),
        }
    }

    /// Lets each courier go as far as it can without waiting, and forgets what all have brought. A member that takes
    /// nothing of what it is told, though its part of the stream is gone, is not waited for.
    fn tell(&mut self) {
        let told = self.told;
        self.couriers.retain_mut(|(_, courier)| courier.advance(told) != Step::Ended);
        let oldest = told.end().saturating_sub(KEPT as u64).max(told.first());
        for (index, _) in self.couriers.iter().filter(|(_, courier)| courier.place() < oldest) {
            self.sender.drop_member(*index, "it does not take what it is told of the stream");
        }
        let place = self.couriers.iter().map(|(_, courier)| courier.place()).min();
        told.forget(place.unwrap_or(u64::MAX).max(oldest));
    }
}

/// A turn for each; whether any has more to say.
fn hear<W: PrivateStream>(ears: &mut [Ear<W>]) -> bool {
    let mut more = false;
    for ear in ears {
        more |= ear.listen(&|| 0);
    }
    more
}
