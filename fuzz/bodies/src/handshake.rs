//! The three messages of a handshake: arbitrary ones, and true ones that were altered.

use crate::input::Input;
use std::sync::{Arc, LazyLock};
use tcpxm::seal::exchange::Message;
use tcpxm::seal::{Answered, Credentials, Initiator, Keys, MAX_MESSAGE, Responder, SealError};
use tcpxm::trust::{Identity, NoiseKey, Secret};

/// What stands before the three messages.
const PREFIXES: [&[u8]; 3] = [b"before the first", b"before the second", b"before the third"];

static SECRET: LazyLock<Arc<Secret>> =
    LazyLock::new(|| Arc::new(Secret::from_line(&[b's'; 32]).expect("a secret")));
static IDENTITIES: LazyLock<[Arc<Identity>; 2]> =
    LazyLock::new(|| [1, 2].map(|byte| Arc::new(Identity::generate([byte; 64]))));
static MADE: LazyLock<[NoiseKey; 2]> =
    LazyLock::new(|| [3, 4].map(|byte| NoiseKey::drawn(&[byte; 32])));

fn credentials(kind: u8, end: usize) -> Credentials {
    match kind % 4 {
        0 => Credentials::Null,
        1 => Credentials::Fresh(MADE[end].clone()),
        2 => Credentials::Secret(Arc::clone(&SECRET), MADE[end].clone()),
        _ => Credentials::Identity(Arc::clone(&IDENTITIES[end])),
    }
}

/// The first byte says what both ends bring along, the second which message is somebody else's, and
/// whether that is an altered one; the rest is what it is, or how it was altered. Nothing but the true
/// message is taken, and behind a bad one the true one still is.
pub fn handshake(input: &[u8]) {
    let mut input = Input::new(input);
    let (kinds, which) = (input.u8(), input.u8());
    let ends = [credentials(kinds, 0), credentials(kinds >> 2, 1)];
    let [initiator, responder] = [&ends[0], &ends[1]];
    let (message, altered) = (which % 3, which & 0x80 != 0);
    let mut buf = [0; MAX_MESSAGE];
    let one = Initiator::new(initiator.clone(), [1; 32]);
    let len = one.first(PREFIXES[0], &mut buf);
    assert_eq!(len, initiator.message_len(Message::First));
    let first = buf[..len].to_vec();
    if message == 0 {
        let (prefix, forged) = forge(&mut input, altered, (PREFIXES[0], &first));
        let taken =
            Responder::answer(responder, [2; 32], (&prefix, &forged), PREFIXES[1], &mut buf);
        // Of one without a secret anything is the beginning of a handshake, but only a true one ends.
        if let Ok((_, len)) = taken {
            assert_eq!(len, responder.message_len(Message::Second));
            let answered = one.second(PREFIXES[0], PREFIXES[1], &buf[..len]);
            assert_eq!(answered.is_ok(), same((&prefix, &forged), (PREFIXES[0], &first)));
        }
        return;
    }
    let answer =
        Responder::answer(responder, [2; 32], (PREFIXES[0], &first), PREFIXES[1], &mut buf);
    let Ok((mut two, len)) = answer else {
        assert_ne!(initiator.suite(), responder.suite());
        return;
    };
    let second = buf[..len].to_vec();
    if message == 1 {
        let (prefix, forged) = forge(&mut input, altered, (PREFIXES[1], &second));
        let answered = one.second(PREFIXES[0], &prefix, &forged);
        assert_eq!(answered.is_ok(), same((&prefix, &forged), (PREFIXES[1], &second)));
    }
    let answered: Result<Answered, SealError> = one.second(PREFIXES[0], PREFIXES[1], &second);
    let (len, keys) = answered.and_then(|a| a.third(PREFIXES[2], &mut buf)).expect("a true one");
    let third = buf[..len].to_vec();
    if message == 2 {
        let (prefix, forged) = forge(&mut input, altered, (PREFIXES[2], &third));
        if !same((&prefix, &forged), (PREFIXES[2], &third)) {
            assert!(two.third(&prefix, &forged).is_err());
        }
    }
    let (theirs, _) = two.third(PREFIXES[2], &third).expect("the true one behind a bad one");
    fits(keys, theirs);
}

/// What the null seal has not in its proofs is what stands before a message.
fn same(forged: (&[u8], &[u8]), truth: (&[u8], &[u8])) -> bool {
    let null = truth.1.first() == Some(&0);
    forged.1 == truth.1 && (null || forged.0 == truth.0)
}

/// A message of somebody else's with what stands before it: an altered one, or anything.
fn forge(
    input: &mut Input<'_>,
    altered: bool,
    (prefix, message): (&[u8], &[u8]),
) -> (Vec<u8>, Vec<u8>) {
    let (mut prefix, mut message) = (prefix.to_vec(), message.to_vec());
    if altered {
        input.alter(&mut prefix);
        input.alter(&mut message);
        let cut = usize::from(input.u16()) % (message.len() + 1);
        message.truncate(message.len() - cut);
    } else {
        message = input.take(2 * MAX_MESSAGE).to_vec();
    }
    (prefix, message)
}

fn fits(mut one: Keys, mut two: Keys) {
    for pn in [0, 7] {
        let mut datagram = [9; 60];
        one.tx().seal(pn, &mut datagram, 36);
        assert_eq!(two.rx().open(pn, &mut datagram, 36), Ok(()));
        two.tx().seal(pn, &mut datagram, 36);
        assert_eq!(one.rx().open(pn, &mut datagram, 36), Ok(()));
    }
}
