//! How far the handshake of an association is, either end: what stands here is all there is of it.
//!
//! The initiator keeps its SYN, and what its ephemeral key follows from, until its proof is known to have
//! arrived: the responder may have forgotten what it answered. From then on both are gone, overwritten: who
//! reads this memory later learns nothing of what was recorded before. The responder begins established,
//! since it keeps no more than its answer before (`proto::endpoint::listen`).

use super::Names;
use super::handshake::{Hello, NoAnswer, Opening, RoundTrip, Third};
use crate::proto::time::Instant;
use crate::seal::Keys;
use crate::trust::PublicKey;
use crate::wire::COOKIE_LEN;
use core::mem;
use std::sync::Arc;

/// The life of an association, as its keys see it.
#[derive(Debug)]
pub(crate) enum Life {
    /// Our SYN is on its way. Boxed, like [`Answered`]: neither outlives the handshake.
    SynSent(Box<Opening>),
    /// Our SYN was answered; whether the peer holds the keys is not known.
    Answered(Box<Answered>),
    /// The peer has shown that it holds the keys: nothing else of the handshake is needed any more.
    Established(Keys),
    /// Over before the peer had shown that it holds the keys. With those, if there were any, it is
    /// still told that it is over.
    Ended(Option<Keys>),
}

/// What the initiator holds between the answer and its proof.
#[derive(Debug)]
pub(crate) struct Answered {
    keys: Keys,
    /// The third handshake message, repeated with each flight.
    third: Third,
    third_due: bool,
    /// The present flight has been led by it.
    third_led: bool,
    /// Another answer may have to be taken, and the SYN be sent again.
    opening: Box<Opening>,
}

/// Which answer to our SYN was taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Which {
    /// The first, and the round trip that it shows.
    First(RoundTrip),
    /// Another: the peer had forgotten the one before.
    Another,
}

/// An answer that was taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Taken {
    pub(crate) which: Which,
    /// The key that the responder has shown.
    pub(crate) key: Option<PublicKey>,
}

impl Life {
    /// The initiator's, which begins with its SYN.
    pub(crate) fn initiator(opening: Opening) -> Self {
        Self::SynSent(Box::new(opening))
    }

    /// The responder's, which begins with a proven third message.
    pub(crate) fn responder(keys: Keys) -> Self {
        Self::Established(keys)
    }

    // What it is.

    /// The keys, as soon as there are any; each datagram may move them on.
    pub(crate) fn keys_mut(&mut self) -> Option<&mut Keys> {
        match self {
            Self::SynSent(_) => None,
            Self::Answered(answered) => Some(&mut answered.keys),
            Self::Established(keys) => Some(keys),
            Self::Ended(keys) => keys.as_mut(),
        }
    }

    /// The keys, as soon as there are any.
    pub(crate) fn keys(&self) -> Option<&Keys> {
        match self {
            Self::SynSent(_) => None,
            Self::Answered(answered) => Some(&answered.keys),
            Self::Established(keys) => Some(keys),
            Self::Ended(keys) => keys.as_ref(),
        }
    }

    /// Whether our SYN still waits for an answer.
    pub(crate) fn is_opening(&self) -> bool {
        matches!(self, Self::SynSent(_))
    }

    /// Whether the peer has shown that it holds the keys.
    pub(crate) fn is_proven(&self) -> bool {
        matches!(self, Self::Established(..))
    }

    /// When the SYN is to be repeated, while nothing has answered it.
    pub(crate) fn opening_deadline(&self) -> Option<Instant> {
        match self {
            Self::SynSent(opening) => Some(opening.deadline()),
            Self::Answered(_) | Self::Established(..) | Self::Ended(_) => None,
        }
    }

    /// Whether the third message is to be sent.
    pub(crate) fn is_third_due(&self) -> bool {
        matches!(self, Self::Answered(answered) if answered.third_due)
    }

    /// The SYN, while an answer to it may be taken.
    pub(crate) fn opening(&self) -> Option<&Opening> {
        match self {
            Self::SynSent(opening) => Some(opening),
            Self::Answered(answered) => Some(&answered.opening),
            Self::Established(_) | Self::Ended(_) => None,
        }
    }

    /// The SYN must bring this cookie.
    pub(crate) fn on_cookie(&mut self, now: Instant, cookie: &[u8; COOKIE_LEN]) {
        match self {
            Self::SynSent(opening) => opening.on_cookie(now, cookie),
            Self::Answered(answered) => answered.opening.on_cookie(now, cookie),
            Self::Established(_) | Self::Ended(_) => {}
        }
    }

    // What happens to it.

    /// A SYN-ACK that is not the one already taken: the keys are here, and the third message, which
    /// proves them, is due. `names` are the association's as it has them.
    pub(crate) fn on_answer(
        &mut self,
        now: Instant,
        names: &Names,
        hello: &Hello<'_>,
    ) -> Result<Taken, NoAnswer> {
        let opening = self.opening().ok_or(NoAnswer::Unrelated)?;
        let opened = opening.on_answer(now, names, hello)?;
        let (which, opening, third_led) = match mem::replace(self, Self::Ended(None)) {
            Self::SynSent(opening) => (Which::First(opened.rtt), opening, false),
            Self::Answered(before) => (Which::Another, before.opening, before.third_led),
            other @ (Self::Established(..) | Self::Ended(_)) => {
                *self = other;
                return Err(NoAnswer::Unrelated);
            }
        };
        let (keys, third) = (opened.keys, opened.third);
        let answered = Answered { keys, third, third_due: true, third_led, opening };
        *self = Self::Answered(Box::new(answered));
        Ok(Taken { which, key: opened.peer })
    }

    /// Something sealed came from the peer: it holds the keys, and needs neither the third message
    /// nor the SYN any more.
    pub(crate) fn on_proof(&mut self) {
        // Each datagram of an association comes by here.
        if matches!(self, Self::Answered(_))
            && let Self::Answered(answered) = mem::replace(self, Self::Ended(None))
        {
            *self = Self::Established(answered.keys);
        }
    }

    /// The association is over: what has not been proven by now never will be.
    pub(crate) fn end(&mut self) {
        *self = match mem::replace(self, Self::Ended(None)) {
            Self::SynSent(_) => Self::Ended(None),
            Self::Answered(answered) => Self::Ended(Some(answered.keys)),
            same @ (Self::Established(_) | Self::Ended(_)) => same,
        };
    }

    /// The third message may have been lost: the peer repeats its answer, or is silent.
    pub(crate) fn repeat_third(&mut self) {
        if let Self::Answered(answered) = self {
            answered.third_due = true;
        }
    }

    /// The third message stays unanswered: the responder may have forgotten what this is about, so the SYN
    /// is sent again. If it has not, nothing changes.
    pub(crate) fn begin_again(&mut self) {
        if let Self::Answered(answered) = self {
            answered.opening.begin_again();
        }
    }

    // What is sent.

    /// Writes the SYN, if it is due, for the first time or again.
    pub(crate) fn emit_syn(&mut self, now: Instant, buf: &mut [u8]) -> Option<usize> {
        match self {
            Self::SynSent(opening) => opening.emit(now, buf),
            Self::Answered(answered) => answered.opening.emit_again(buf),
            Self::Established(_) | Self::Ended(_) => None,
        }
    }

    /// The third message, if it is due; told once.
    pub(crate) fn take_third(&mut self) -> Option<Third> {
        let Self::Answered(answered) = self else { return None };
        mem::take(&mut answered.third_due).then(|| Arc::clone(&answered.third))
    }

    /// The third message, if the next flight is to be led by it and has not been yet: until the peer
    /// is proven it can open nothing of the flight without it.
    pub(crate) fn lead_flight(&mut self) -> Option<Third> {
        let Self::Answered(answered) = self else { return None };
        if mem::replace(&mut answered.third_led, true) {
            return None;
        }
        answered.third_due = false;
        Some(Arc::clone(&answered.third))
    }

    /// Data has left: what leaves after this flight is another.
    pub(crate) fn on_data_sent(&mut self) {
        if let Self::Answered(answered) = self {
            answered.third_led = false;
        }
    }
}

#[cfg(test)]
pub(crate) mod tests;
