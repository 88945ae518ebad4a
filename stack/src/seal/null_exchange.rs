//! The null seal's exchange, in the shape of Noise's XX: a nonce in the clear where Noise has a key. The
//! second and third message prove that their sender saw the one before, so that neither end accepts
//! an answer from someone who only guesses; they prove nothing about who that is.

use super::{Binding, SealError};

/// A nonce or a proof.
const PART: usize = 32;
const FIRST: usize = PART;
const SECOND: usize = 2 * PART;
const THIRD: usize = PART;

// What is derived from the two nonces, each under its own context (BLAKE3 paper, 2.3).
const SECOND_PROOF: &str = "tcpxm 2026 null seal: proof in the second message";
const THIRD_PROOF: &str = "tcpxm 2026 null seal: proof in the third message";
const TO_RESPONDER: &str = "tcpxm 2026 null seal: key from initiator to responder";
const TO_INITIATOR: &str = "tcpxm 2026 null seal: key from responder to initiator";
const BINDING: &str = "tcpxm 2026 null seal: binding of an association";

pub(super) type Part = [u8; PART];

/// Both nonces, once an end knows them.
#[derive(Clone, PartialEq, Eq)]
struct Nonces {
    initiator: Part,
    responder: Part,
}

impl Nonces {
    fn derive(&self, context: &str) -> Part {
        let mut material = [0; 2 * PART];
        material[..PART].copy_from_slice(&self.initiator);
        material[PART..].copy_from_slice(&self.responder);
        blake3::derive_key(context, &material)
    }

    /// Compares in constant time, as [`blake3::Hash`] does.
    fn proves(&self, context: &str, proof: &Part) -> bool {
        blake3::Hash::from(self.derive(context)) == *proof
    }

    /// Keys to the responder and to the initiator, and the association's binding.
    fn keys(&self) -> ((Part, Part), Binding) {
        ((self.derive(TO_RESPONDER), self.derive(TO_INITIATOR)), self.derive(BINDING))
    }
}

/// The end that sends the first message: the session's sender.
#[derive(Clone)]
pub(super) struct Initiator {
    nonce: Part,
    nonces: Option<Nonces>,
}

impl Initiator {
    /// `random` must be fresh for every association.
    pub(super) fn new(random: [u8; 32]) -> Self {
        Self { nonce: random, nonces: None }
    }

    /// Writes the first message at the start of `buf`, which is long enough, and gives
    /// its length.
    pub(super) fn first(&self, buf: &mut [u8]) -> usize {
        buf[..FIRST].copy_from_slice(&self.nonce);
        FIRST
    }

    /// Takes the second message. The first valid one counts: another changes nothing and is an
    /// error, the same again is not.
    pub(super) fn second(&mut self, msg: &[u8]) -> Result<(), SealError> {
        let msg: &[u8; SECOND] = msg.try_into().map_err(|_| SealError::Length)?;
        let (mut responder, mut proof) = ([0; PART], [0; PART]);
        responder.copy_from_slice(&msg[..PART]);
        proof.copy_from_slice(&msg[PART..]);
        let nonces = Nonces { initiator: self.nonce, responder };
        if !nonces.proves(SECOND_PROOF, &proof) {
            return Err(SealError::Proof);
        }
        match &self.nonces {
            Some(known) if *known != nonces => Err(SealError::Proof),
            Some(_) => Ok(()),
            None => {
                self.nonces = Some(nonces);
                Ok(())
            }
        }
    }

    /// Writes the third message at the start of `buf`, which is long enough, and gives
    /// its length; `None` before the second one.
    pub(super) fn third(&self, buf: &mut [u8]) -> Option<usize> {
        let nonces = self.nonces.as_ref()?;
        buf[..THIRD].copy_from_slice(&nonces.derive(THIRD_PROOF));
        Some(THIRD)
    }

    /// What it seals with, and what it opens with, with the binding; `None` before the second message.
    pub(super) fn keys(&self) -> Option<((Part, Part), Binding)> {
        self.nonces.as_ref().map(Nonces::keys)
    }
}

/// The end that answers: a receiver. It needs no timer; asked again, it gives the same answer.
#[derive(Clone)]
pub(super) struct Responder {
    nonces: Nonces,
}

impl Responder {
    /// Answers `first`, the first message. `random` must be fresh for every association.
    pub(super) fn new(random: [u8; 32], first: &[u8]) -> Result<Self, SealError> {
        let initiator = first.try_into().map_err(|_| SealError::Length)?;
        Ok(Self { nonces: Nonces { initiator, responder: random } })
    }

    /// Writes the second message at the start of `buf`, which is long enough, and gives
    /// its length.
    pub(super) fn second(&self, buf: &mut [u8]) -> usize {
        buf[..PART].copy_from_slice(&self.nonces.responder);
        buf[PART..SECOND].copy_from_slice(&self.nonces.derive(SECOND_PROOF));
        SECOND
    }

    /// Takes the third message: the initiator is where its datagrams say, for it saw the second. Gives
    /// what this end seals with, and what it opens with, with the binding.
    pub(super) fn third(&self, msg: &[u8]) -> Result<((Part, Part), Binding), SealError> {
        let proof: &Part = msg.try_into().map_err(|_| SealError::Length)?;
        if !self.nonces.proves(THIRD_PROOF, proof) {
            return Err(SealError::Proof);
        }
        let ((rx, tx), binding) = self.nonces.keys();
        Ok(((tx, rx), binding))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const ROOM: usize = 64;

    /// The whole exchange: both ends and the three messages.
    fn exchange(a: Part, b: Part) -> (Initiator, Responder, [Vec<u8>; 3]) {
        let mut buf = [0; ROOM];
        let mut initiator = Initiator::new(a);
        let n = initiator.first(&mut buf);
        let first = buf[..n].to_vec();
        let responder = Responder::new(b, &first).unwrap();
        let n = responder.second(&mut buf);
        let second = buf[..n].to_vec();
        initiator.second(&second).unwrap();
        let n = initiator.third(&mut buf).unwrap();
        let third = buf[..n].to_vec();
        (initiator, responder, [first, second, third])
    }

    #[test]
    fn both_ends_get_matching_keys_that_differ_by_direction() {
        let (initiator, responder, [_, _, third]) = exchange([1; 32], [2; 32]);
        let ((i, bound), (r, both)) = (initiator.keys().unwrap(), responder.third(&third).unwrap());
        assert!(i.0 == r.1 && r.0 == i.1 && i.0 != r.0 && bound == both);
        let (other, elsewhere) = exchange([1; 32], [3; 32]).0.keys().unwrap();
        assert!(other != i && elsewhere != bound, "another association");
    }

    #[test]
    fn nothing_comes_before_the_second_message() {
        let initiator = Initiator::new([1; 32]);
        assert!(initiator.keys().is_none());
        assert!(initiator.third(&mut [0; ROOM]).is_none());
    }

    #[test]
    fn a_repeated_answer_is_the_same_and_another_one_changes_nothing() {
        let (mut initiator, responder, [first, second, third]) = exchange([1; 32], [2; 32]);
        let mut buf = [0; ROOM];
        let n = responder.second(&mut buf);
        assert_eq!(buf[..n], second);
        assert_eq!(initiator.second(&second), Ok(()));
        let other = Responder::new([9; 32], &first).unwrap();
        let n = other.second(&mut buf);
        assert_eq!(initiator.second(&buf[..n]), Err(SealError::Proof));
        initiator.third(&mut buf).unwrap();
        assert_eq!(buf[..third.len()], third);
    }

    proptest! {
        #[test]
        fn a_changed_bit_is_refused(a: Part, b: Part, at in 0..SECOND * 8) {
            let (_, responder, [_, mut second, mut third]) = exchange(a, b);
            second[at / 8] ^= 1 << (at % 8);
            prop_assert_eq!(Initiator::new(a).second(&second), Err(SealError::Proof));
            let at = at % (THIRD * 8);
            third[at / 8] ^= 1 << (at % 8);
            prop_assert_eq!(responder.third(&third).unwrap_err(), SealError::Proof);
        }

        #[test]
        fn other_lengths_are_refused(msg in proptest::collection::vec(any::<u8>(), 0..200)) {
            let responder = Responder::new([2; 32], &[1; FIRST]).unwrap();
            prop_assert_eq!(Responder::new([2; 32], &msg).is_ok(), msg.len() == FIRST);
            prop_assert!(Initiator::new([1; 32]).second(&msg).is_err());
            prop_assert!(responder.third(&msg).is_err());
        }
    }
}
