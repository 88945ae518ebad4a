//! The handshake's three messages, as the two ends make and take them: the initiator's, the
//! responder's answer, the initiator's proof. They travel in SYN, SYN-ACK and ACK and add no round
//! trip.
//!
//! What stands before a message in its datagram, its *prefix*, is covered: that of the first as
//! Noise's prologue, those of the second and third by their digest in the encrypted payload. Behind
//! it stands the certificate of an end that has an identity.

use super::noise::{self, Own, SPARE};
use super::null_exchange as null;
use super::{Binding, Keys, MAX_MESSAGE, SealError, Suite};
use crate::trust::{CERTIFICATE_LEN, Identity, NoiseKey, PublicKey, Secret, verify};
use crate::wire::TAG_LEN;
use core::fmt;
use snow::HandshakeState;
use std::sync::Arc;
use zeroize::Zeroizing;

/// Digest of the prefix, and a certificate.
const MAX_PAYLOAD: usize = DIGEST + CERTIFICATE_LEN;
const DIGEST: usize = blake3::OUT_LEN;
/// A public key of X25519, and a nonce of the null seal.
const DH: usize = 32;

/// What the ephemeral key of one exchange is drawn from, of its randomness (BLAKE3 paper, 2.3).
const EPHEMERAL: &str = "tcpxm 2026 seed of the ephemeral key";
/// What an association is told apart by is derived for this, of the handshake's hash.
const BINDING: &str = "tcpxm 2026 binding of an association";

/// What one end shows of itself, and asks of the other.
#[derive(Debug, Clone)]
pub enum Credentials {
    /// Nothing is sealed.
    Null,
    /// A key that was made at the start: sealed, but nobody knows to whom.
    Fresh(NoiseKey),
    /// The secret that both ends hold, and a key that was made at the start.
    Secret(Arc<Secret>, NoiseKey),
    /// A key that an identity certifies.
    Identity(Arc<Identity>),
}

impl Credentials {
    /// The suite that they are used with.
    pub fn suite(&self) -> Suite {
        match self {
            Self::Null => Suite::Null,
            Self::Fresh(_) | Self::Identity(_) => Suite::Xx,
            Self::Secret(..) => Suite::XxPsk0,
        }
    }

    /// What they bring into an exchange; the null seal has no such thing.
    fn own(&self, random: &[u8; 32]) -> Result<Own, SealError> {
        let (key, psk) = match self {
            Self::Null => return Err(SealError::Suite),
            Self::Fresh(key) => (key, None),
            Self::Secret(secret, key) => (key, Some(Zeroizing::new(*secret.psk()))),
            Self::Identity(identity) => (identity.noise(), None),
        };
        let seed = Zeroizing::new(blake3::derive_key(EPHEMERAL, random));
        Ok(Own { key: key.clone(), psk, seed })
    }

    /// The payload of a message of ours: what it says of its prefix, and of us.
    fn payload(&self, prefix: &[u8]) -> ([u8; MAX_PAYLOAD], usize) {
        let mut payload = [0; MAX_PAYLOAD];
        payload[..DIGEST].copy_from_slice(blake3::hash(prefix).as_bytes());
        match self {
            Self::Identity(identity) => {
                payload[DIGEST..].copy_from_slice(identity.certificate());
                (payload, MAX_PAYLOAD)
            }
            _ => (payload, DIGEST),
        }
    }
}

/// Which of the three messages.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Message {
    /// In the SYN.
    First,
    /// In the SYN-ACK.
    Second,
    /// In the ACK.
    Third,
}

impl Credentials {
    /// Length of a message of ours, with the suite's number before it, in bytes (Noise Protocol Framework,
    /// revision 34, 7.5: `e`; `e, ee, s, es`; `s, se`. A tag follows each key and payload that is
    /// encrypted).
    pub fn message_len(&self, message: Message) -> usize {
        let payload = match self {
            Self::Identity(_) => MAX_PAYLOAD,
            _ => DIGEST,
        };
        1 + match (self.suite(), message) {
            (Suite::Null, Message::Second) => 2 * DH,
            (Suite::Null, _) | (Suite::Xx, Message::First) => DH,
            (Suite::XxPsk0, Message::First) => DH + TAG_LEN,
            (_, Message::Second) => 2 * DH + TAG_LEN + payload + TAG_LEN,
            (_, Message::Third) => DH + TAG_LEN + payload + TAG_LEN,
        }
    }
}

/// Writes the suite's number and the next message of a state.
fn write(state: &mut HandshakeState, suite: Suite, payload: &[u8], out: &mut [u8]) -> usize {
    let mut room = [0; MAX_MESSAGE + SPARE];
    // Only a message out of turn, or without room, is an error.
    let len = state.write_message(payload, &mut room).unwrap_or(0);
    out[0] = suite as u8;
    out[1..=len].copy_from_slice(&room[..len]);
    1 + len
}

/// Reads the other end's message: its prefix must be the one that it had in mind, its certificate, if
/// there is one, must be of the key that it used.
fn read(
    state: &mut HandshakeState,
    prefix: &[u8],
    message: &[u8],
) -> Result<Option<PublicKey>, SealError> {
    let mut payload = [0; MAX_MESSAGE];
    if message.len() > MAX_MESSAGE {
        return Err(SealError::Length);
    }
    let len = state.read_message(message, &mut payload).map_err(|_| SealError::Proof)?;
    let (digest, certificate) = payload[..len].split_at_checked(DIGEST).ok_or(SealError::Length)?;
    if blake3::hash(prefix) != *digest {
        return Err(SealError::Proof);
    }
    if certificate.is_empty() {
        return Ok(None);
    }
    let remote = noise::remote(state).ok_or(SealError::Proof)?;
    verify(certificate, &remote).map(Some).map_err(|_| SealError::Certificate)
}

/// Both directions' keys, to the responder and to the initiator, and the association's binding: from the hash of all
/// that was said (Noise Protocol Framework, revision 34, 11.2, "Channel binding").
fn split(state: &mut HandshakeState) -> (([u8; 32], [u8; 32]), Binding) {
    let binding = blake3::derive_key(BINDING, state.get_handshake_hash());
    (state.dangerously_get_raw_split(), binding)
}

/// The end that sends the first message: the session's sender.
#[derive(Clone)]
pub struct Initiator {
    credentials: Credentials,
    random: Zeroizing<[u8; 32]>,
}

impl Initiator {
    /// `random` must be fresh for every association.
    pub fn new(credentials: Credentials, random: [u8; 32]) -> Self {
        Self { credentials, random: Zeroizing::new(random) }
    }

    /// Writes the first message at the start of `out`, which has [`MAX_MESSAGE`] bytes, and gives its
    /// length: always the same bytes for the same prefix.
    pub fn first(&self, prefix: &[u8], out: &mut [u8]) -> usize {
        let suite = self.credentials.suite();
        if suite == Suite::Null {
            out[0] = suite as u8;
            return 1 + null::Initiator::new(*self.random).first(&mut out[1..]);
        }
        self.begin(prefix).map_or(0, |mut state| write(&mut state, suite, &[], out))
    }

    /// Length of the first message.
    pub fn first_len(&self) -> usize {
        self.credentials.message_len(Message::First)
    }

    fn begin(&self, prefix: &[u8]) -> Result<HandshakeState, SealError> {
        noise::begin(true, &self.credentials.own(&self.random)?, prefix)
    }

    /// Takes the second message, with the prefix of the first and its own. It changes nothing here, so
    /// another answer can be taken: only a good one leads on.
    pub fn second(
        &self,
        first_prefix: &[u8],
        prefix: &[u8],
        message: &[u8],
    ) -> Result<Answered, SealError> {
        let (suite, message) = Suite::split(message)?;
        if suite != self.credentials.suite() {
            return Err(SealError::Suite);
        }
        if suite == Suite::Null {
            let mut exchange = null::Initiator::new(*self.random);
            exchange.second(message)?;
            return Ok(Answered { peer: None, next: Next::Null(exchange) });
        }
        let mut state = self.begin(first_prefix)?;
        // Its own message once more, to come to the state behind it.
        write(&mut state, suite, &[], &mut [0; MAX_MESSAGE]);
        let peer = read(&mut state, prefix, message)?;
        let next = Next::Noise(Box::new(state), self.credentials.clone());
        Ok(Answered { peer, next })
    }
}

/// An initiator that has read a good second message.
pub struct Answered {
    peer: Option<PublicKey>,
    next: Next,
}

enum Next {
    Null(null::Initiator),
    Noise(Box<HandshakeState>, Credentials),
}

impl Answered {
    /// Whose identity certified the responder's key, if one did.
    pub fn peer(&self) -> Option<PublicKey> {
        self.peer
    }

    /// Length of the third message.
    pub fn third_len(&self) -> usize {
        match &self.next {
            Next::Null(_) => Credentials::Null.message_len(Message::Third),
            Next::Noise(_, credentials) => credentials.message_len(Message::Third),
        }
    }

    /// Writes the third message behind its prefix, and gives its length and the keys.
    pub fn third(self, prefix: &[u8], out: &mut [u8]) -> Result<(usize, Keys), SealError> {
        match self.next {
            Next::Null(exchange) => {
                out[0] = Suite::Null as u8;
                let len = exchange.third(&mut out[1..]).ok_or(SealError::Proof)?;
                let (keys, binding) = exchange.keys().ok_or(SealError::Proof)?;
                Ok((1 + len, Keys::new(Suite::Null, keys, binding)))
            }
            Next::Noise(mut state, credentials) => {
                let suite = credentials.suite();
                let (payload, len) = credentials.payload(prefix);
                let len = write(&mut state, suite, &payload[..len], out);
                let (keys, binding) = split(&mut state);
                Ok((len, Keys::new(suite, keys, binding)))
            }
        }
    }
}

/// The end that answers: a receiver. It needs no timer; asked again, it gives the same answer, which
/// its owner keeps.
pub struct Responder {
    suite: Suite,
    state: Replying,
}

enum Replying {
    Null(null::Responder),
    Noise(Box<Waiting>),
}

/// Bad third messages that are borne for one SYN: each costs as much as a handshake, and who can send one has
/// seen the answer.
const BORNE: u8 = 8;

/// A responder that waits for the third message.
struct Waiting {
    /// Behind its answer; `None` after a bad message, which leaves it unusable.
    state: Option<HandshakeState>,
    begun: Begun,
    /// Bad messages so far.
    bad: u8,
}

impl Waiting {
    fn third(
        &mut self,
        prefix: &[u8],
        message: &[u8],
        suite: Suite,
    ) -> Result<(Keys, Option<PublicKey>), SealError> {
        // The right message may follow a bad one. One that was good behind a prefix that was not has moved the
        // state on, and after one that was not snow restores the hash, but not the cipher (0.10.0).
        let mut state = match self.state.take() {
            Some(state) => state,
            None if self.bad < BORNE => self.begun.answer(&mut [0; MAX_MESSAGE])?.0,
            None => return Err(SealError::Proof),
        };
        match read(&mut state, prefix, message) {
            Ok(peer) => {
                let ((rx, tx), binding) = split(&mut state);
                Ok((Keys::new(suite, (tx, rx), binding), peer))
            }
            Err(why) => {
                self.bad += 1;
                Err(why)
            }
        }
    }
}

/// What a responder was begun with: from it follow its answer and the state behind that, as often as need
/// be.
struct Begun {
    credentials: Credentials,
    random: Zeroizing<[u8; 32]>,
    first_prefix: Box<[u8]>,
    first: Box<[u8]>,
    payload: [u8; MAX_PAYLOAD],
    payload_len: usize,
}

impl Begun {
    /// Reads the first message and writes the second.
    fn answer(&self, out: &mut [u8]) -> Result<(HandshakeState, usize), SealError> {
        let own = self.credentials.own(&self.random)?;
        let mut state = noise::begin(false, &own, &self.first_prefix)?;
        let mut nothing = [0; MAX_MESSAGE];
        state.read_message(&self.first, &mut nothing).map_err(|_| SealError::Proof)?;
        let payload = &self.payload[..self.payload_len];
        let len = write(&mut state, noise::suite(&own), payload, out);
        Ok((state, len))
    }
}

impl Responder {
    /// Takes the first message, with its prefix, and writes the second, which will stand behind `prefix`,
    /// into `out`, of [`MAX_MESSAGE`] bytes. Gives itself and the message's length. `random` must be fresh
    /// for every association.
    pub fn answer(
        credentials: &Credentials,
        random: [u8; 32],
        (first_prefix, message): (&[u8], &[u8]),
        prefix: &[u8],
        out: &mut [u8],
    ) -> Result<(Self, usize), SealError> {
        let (suite, message) = Suite::split(message)?;
        if suite != credentials.suite() {
            return Err(SealError::Suite);
        }
        if suite == Suite::Null {
            let exchange = null::Responder::new(random, message)?;
            out[0] = suite as u8;
            let len = exchange.second(&mut out[1..]);
            return Ok((Self { suite, state: Replying::Null(exchange) }, 1 + len));
        }
        if message.len() > MAX_MESSAGE {
            return Err(SealError::Length);
        }
        let (payload, payload_len) = credentials.payload(prefix);
        let begun = Begun {
            credentials: credentials.clone(),
            random: Zeroizing::new(random),
            first_prefix: first_prefix.into(),
            first: message.into(),
            payload,
            payload_len,
        };
        let (state, len) = begun.answer(out)?;
        let waiting = Waiting { state: Some(state), begun, bad: 0 };
        Ok((Self { suite, state: Replying::Noise(Box::new(waiting)) }, len))
    }

    /// Takes the third message, with its prefix: the initiator is where its datagrams say, for it saw
    /// the second, and who its certificate says, if there is one. A few bad ones change nothing; after those
    /// the SYN has to come again.
    pub fn third(
        &mut self,
        prefix: &[u8],
        message: &[u8],
    ) -> Result<(Keys, Option<PublicKey>), SealError> {
        let (suite, message) = Suite::split(message)?;
        if suite != self.suite {
            return Err(SealError::Suite);
        }
        match &mut self.state {
            Replying::Null(exchange) => {
                let (keys, binding) = exchange.third(message)?;
                Ok((Keys::new(suite, keys, binding), None))
            }
            Replying::Noise(waiting) => waiting.third(prefix, message, suite),
        }
    }
}

/// Without its keys.
impl fmt::Debug for Initiator {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Initiator").finish_non_exhaustive()
    }
}

impl Responder {
    /// Whether no third message is taken any more: there were too many bad ones.
    pub fn is_spoiled(&self) -> bool {
        matches!(&self.state, Replying::Noise(waiting) if waiting.bad >= BORNE)
    }
}

/// Without its keys.
impl fmt::Debug for Responder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Responder").field("suite", &self.suite).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
