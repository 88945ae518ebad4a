//! Whole exchanges between the two ends, and with somebody between them.

use super::super::KeyChain;
use super::*;
use proptest::prelude::*;

const PREFIXES: [&[u8]; 3] = [b"before the first", b"before the second", b"before the third"];

fn secret(letter: char) -> Credentials {
    let line = letter.to_string().repeat(32);
    Credentials::Secret(Arc::new(Secret::from_line(line.as_bytes()).unwrap()), key())
}

fn key() -> NoiseKey {
    NoiseKey::from_private(&[5; 32])
}

fn fresh() -> Credentials {
    Credentials::Fresh(key())
}

fn identity(byte: u8) -> (Credentials, PublicKey) {
    let identity = Identity::generate([byte; 64]);
    let public = identity.public();
    (Credentials::Identity(Arc::new(identity)), public)
}

/// What an exchange came to: the initiator's keys and whom it saw, then the responder's.
type Both = ((Keys, Option<PublicKey>), (Keys, Option<PublicKey>));

/// An exchange whose messages and prefixes somebody may change on their way: `tamper` gets the number
/// of the message, its prefix and the message.
fn exchange(
    initiator: &Credentials,
    responder: &Credentials,
    tamper: impl Fn(usize, &mut Vec<u8>, &mut Vec<u8>),
) -> Result<Both, SealError> {
    let mut buf = [0; MAX_MESSAGE];
    let carried = |number: usize, message: &[u8]| {
        let (mut prefix, mut message) = (PREFIXES[number].to_vec(), message.to_vec());
        tamper(number, &mut prefix, &mut message);
        (prefix, message)
    };
    let one = Initiator::new(initiator.clone(), [1; 32]);
    let len = one.first(PREFIXES[0], &mut buf);
    let (prefix, message) = carried(0, &buf[..len]);
    let (mut two, len) =
        Responder::answer(responder, [2; 32], (&prefix, &message), PREFIXES[1], &mut buf)?;
    let (prefix, message) = carried(1, &buf[..len]);
    let answered = one.second(PREFIXES[0], &prefix, &message)?;
    let seen = answered.peer();
    let (len, keys) = answered.third(PREFIXES[2], &mut buf)?;
    let (prefix, message) = carried(2, &buf[..len]);
    let theirs = two.third(&prefix, &message)?;
    Ok(((keys, seen), theirs))
}

fn untouched(initiator: &Credentials, responder: &Credentials) -> Result<Both, SealError> {
    exchange(initiator, responder, |_, _, _| {})
}

fn passes(tx: &mut KeyChain, rx: &mut KeyChain) -> bool {
    let mut datagram = [0; 60];
    tx.seal(1, &mut datagram, 36);
    rx.open(1, &mut datagram, 36).is_ok()
}

#[test]
fn both_ends_get_matching_keys_that_differ_by_direction() {
    for credentials in [Credentials::Null, fresh(), secret('s'), identity(7).0] {
        let ((mut i, _), (mut r, _)) = untouched(&credentials, &credentials).unwrap();
        assert!(passes(i.tx(), r.rx()) && passes(r.tx(), i.rx()));
        let mut back = i.clone();
        assert!(!passes(i.tx(), back.rx()), "reflection");
        assert_eq!((i.suite(), r.suite()), (credentials.suite(), credentials.suite()));
    }
}

#[test]
fn both_ends_know_the_association_by_the_same_binding_and_no_other_has_it() {
    let mut all = std::collections::BTreeSet::new();
    for credentials in [Credentials::Null, fresh(), secret('s'), secret('t'), identity(7).0] {
        let ((i, _), (r, _)) = untouched(&credentials, &credentials).unwrap();
        assert_eq!(i.binding(), r.binding());
        assert!(all.insert(i.binding()), "another association");
        assert!(![i, r].iter_mut().any(passes_by), "it is no key");
    }
    // Who sits between two ends that trust him, as who holds their secret can, has two bindings and not one.
    let trusted = secret('s');
    let mut buf = [0; MAX_MESSAGE];
    let mut ends = Vec::new();
    for (near, far) in [([1; 32], [8; 32]), ([9; 32], [2; 32])] {
        let one = Initiator::new(trusted.clone(), near);
        let len = one.first(b"", &mut buf);
        let first = buf[..len].to_vec();
        let (mut two, len) =
            Responder::answer(&trusted, far, (b"", &first), b"", &mut buf).unwrap();
        let second = buf[..len].to_vec();
        let (len, keys) = one.second(b"", b"", &second).unwrap().third(b"", &mut buf).unwrap();
        let (theirs, _) = two.third(b"", &buf[..len]).unwrap();
        assert_eq!(keys.binding(), theirs.binding());
        ends.push(keys.binding());
    }
    assert_ne!(ends[0], ends[1]);
}

/// Whether the binding opens what is sealed.
fn passes_by(keys: &mut Keys) -> bool {
    let mut by = KeyChain::new(keys.suite(), keys.binding());
    passes(keys.tx(), &mut by)
}

#[test]
fn identities_are_seen_at_both_ends_and_need_not_be_shown() {
    let ((one, its), (two, theirs)) = (identity(1), identity(2));
    let ((_, seen), (_, by)) = untouched(&one, &two).unwrap();
    assert_eq!((seen, by), (Some(theirs), Some(its)));
    let ((_, seen), (_, by)) = untouched(&fresh(), &two).unwrap();
    assert_eq!((seen, by), (Some(theirs), None));
    let ((_, seen), (_, by)) = untouched(&one, &fresh()).unwrap();
    assert_eq!((seen, by), (None, Some(its)));
}

#[test]
fn another_secret_or_another_suite_is_refused_at_the_first_message() {
    let all = [Credentials::Null, fresh(), secret('a'), secret('b')];
    for (n, one) in all.iter().enumerate() {
        for (m, two) in all.iter().enumerate().filter(|(m, _)| *m != n) {
            let expected =
                if one.suite() == two.suite() { SealError::Proof } else { SealError::Suite };
            assert_eq!(untouched(one, two).unwrap_err(), expected, "{n} {m}");
        }
    }
}

/// The certificate of a stranger's own making names somebody else, or another key.
#[test]
fn a_certificate_is_of_the_key_that_was_used() {
    let (honest, _) = identity(1);
    let Credentials::Identity(inner) = &honest else { unreachable!() };
    // The same certificate, but another Noise key under it.
    let thief = Identity::generate([9; 64]);
    let mut payload = [0; MAX_PAYLOAD];
    payload[DIGEST..].copy_from_slice(inner.certificate());
    assert!(verify(&payload[DIGEST..], thief.noise().public()).is_err());
    assert!(verify(&payload[DIGEST..], inner.noise().public()).is_ok());
}

/// A responder that waits for the third message, and that message.
fn before_the_third() -> (Responder, Vec<u8>) {
    let credentials = secret('s');
    let mut buf = [0; MAX_MESSAGE];
    let one = Initiator::new(credentials.clone(), [1; 32]);
    let len = one.first(PREFIXES[0], &mut buf);
    let first = buf[..len].to_vec();
    let given = (PREFIXES[0], &first[..]);
    let (two, len) =
        Responder::answer(&credentials, [2; 32], given, PREFIXES[1], &mut buf).unwrap();
    let answered = one.second(PREFIXES[0], PREFIXES[1], &buf[..len]).unwrap();
    let (len, _) = answered.third(PREFIXES[2], &mut buf).unwrap();
    (two, buf[..len].to_vec())
}

#[test]
fn a_bad_third_message_changes_nothing() {
    let (mut two, third) = before_the_third();
    for at in [0, 1, 40, third.len() - 1] {
        let mut bad = third.clone();
        bad[at] ^= 1;
        assert!(two.third(PREFIXES[2], &bad).is_err());
    }
    assert!(two.third(b"another", &third).is_err());
    assert!(two.third(PREFIXES[2], &third).is_ok());
}

/// It gives a secret of zeros, and is answered as any other: what it costs is counted by who answers.
#[test]
fn a_first_message_with_a_key_of_small_order_is_answered_in_full() {
    for point in [[0; 32], [[1].as_slice(), &[0; 31]].concat().try_into().unwrap()] {
        let first = [&[Suite::Xx as u8][..], &point].concat();
        let mut buf = [0; MAX_MESSAGE];
        let given = (PREFIXES[0], &first[..]);
        let (_, len) = Responder::answer(&fresh(), [2; 32], given, PREFIXES[1], &mut buf).unwrap();
        assert_eq!(len, fresh().message_len(Message::Second));
    }
}

#[test]
fn bad_third_messages_are_borne_for_a_while() {
    let (mut two, third) = before_the_third();
    for _ in 0..BORNE {
        assert!(!two.is_spoiled());
        assert!(two.third(b"another", &third).is_err());
    }
    assert!(two.is_spoiled());
    assert!(two.third(PREFIXES[2], &third).is_err(), "no more work for it");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Whatever is changed in a message, or before it, the exchange does not come to keys.
    #[test]
    fn a_changed_bit_anywhere_ends_it(
        number in 0_usize..3,
        in_prefix: bool,
        bit: prop::sample::Index,
        which in 0_usize..3,
    ) {
        let credentials = [fresh(), secret('s'), identity(3).0][which].clone();
        let flip = |bytes: &mut Vec<u8>| {
            let bit = bit.index(bytes.len() * 8);
            bytes[bit / 8] ^= 1 << (bit % 8);
        };
        let both = exchange(&credentials, &credentials, |n, prefix, message| {
            if n == number {
                flip(if in_prefix { prefix } else { message });
            }
        });
        prop_assert!(both.is_err());
    }

    #[test]
    fn arbitrary_messages_are_refused(
        message in proptest::collection::vec(any::<u8>(), 0..400),
        which in 0_usize..3,
    ) {
        let credentials = [fresh(), secret('s'), identity(3).0][which].clone();
        let one = Initiator::new(credentials.clone(), [1; 32]);
        prop_assert!(one.second(PREFIXES[0], PREFIXES[1], &message).is_err());
        let mut buf = [0; MAX_MESSAGE];
        let len = one.first(PREFIXES[0], &mut buf);
        let first = buf[..len].to_vec();
        let given = (PREFIXES[0], &first[..]);
        let (mut two, _) =
            Responder::answer(&credentials, [2; 32], given, PREFIXES[1], &mut buf).unwrap();
        prop_assert!(two.third(PREFIXES[2], &message).is_err());
    }
}
