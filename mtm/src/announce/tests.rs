use super::*;
use proptest::prelude::*;
use std::net::SocketAddr;
use tcpxm::seal::Suite;

fn key(n: u8) -> SealKey {
    SealKey::new(Suite::Xx, &[n; 32])
}

fn master() -> Identity {
    Identity::generate([3; 64])
}

fn open() -> Open {
    Open {
        job: [9; 16],
        version: 4,
        group: Some("232.1.2.3:8737".parse().unwrap()),
        digest: [5; 32],
        allowed: Allowed::of([0, 2, 9]),
    }
}

fn sealed(counter: u64) -> Vec<u8> {
    let stamp = Stamp { incarnation: 1, counter };
    let said = (Request::Transfer, &open());
    seal(&master(), stamp, (&key(1), &key(2)), said, b"lectures/2005").unwrap()
}

fn masters() -> Masters {
    let mut masters = Masters::default();
    masters.tell(master().public(), key(1), 1);
    masters
}

#[test]
fn receivers_of_the_job_read_all_of_it_and_others_on_the_channel_no_name() {
    let datagram = sealed(7);
    let announcement = masters().take(&datagram).unwrap();
    assert_eq!(announcement.open, open());
    assert_eq!(announcement.header.stamp, Stamp { incarnation: 1, counter: 7 });
    let allowed = &announcement.open.allowed;
    assert_eq!((0..12).filter(|place| allowed.has(*place)).collect::<Vec<_>>(), [0, 2, 9]);
    assert!(!allowed.has(MAX_ROSTER * 2));
    assert_eq!(announcement.private(&key(2)).unwrap(), b"lectures/2005");
    assert_eq!(announcement.private(&key(1)), Err(Ignored::NotOurs));
    let has = |bytes: &[u8]| bytes.windows(8).any(|part| part == b"lectures");
    assert!(!has(&datagram) && !has(&announcement.bytes));
}

#[test]
fn what_is_repeated_old_or_of_another_incarnation_does_not_count() {
    let mut masters = masters();
    assert!(masters.take(&sealed(7)).is_ok());
    assert_eq!(masters.take(&sealed(7)), Err(Ignored::Replayed));
    assert_eq!(masters.take(&sealed(6)), Err(Ignored::Replayed));
    assert!(masters.take(&sealed(8)).is_ok());
    // Another key of the channel does not make old ones new.
    masters.tell(master().public(), key(1), 1);
    assert_eq!(masters.take(&sealed(8)), Err(Ignored::Replayed));
    masters.tell(master().public(), key(1), 2);
    assert_eq!(masters.take(&sealed(9)), Err(Ignored::Incarnation));
    let counts = Counts { replayed: 3, incarnation: 1, ..Counts::default() };
    assert_eq!(masters.counts(), counts);
}

/// Everybody on the channel has its key.
#[test]
fn another_receiver_cannot_speak_for_the_master() {
    let forger = Identity::generate([4; 64]);
    let stamp = Stamp { incarnation: 1, counter: 1 };
    let said = (Request::Transfer, &open());
    let mut datagram = seal(&forger, stamp, (&key(1), &key(2)), said, b"").unwrap();
    assert_eq!(masters().take(&datagram), Err(Ignored::Stranger));
    // In the master's name: sealed well, signed by another.
    let signed = datagram.len() - SIGNATURE_LEN;
    let plain = {
        let mut bytes = datagram[..signed].to_vec();
        key(1).open(1, &mut bytes, HEADER_LEN).unwrap();
        bytes
    };
    datagram.truncate(signed);
    datagram.copy_from_slice(&plain);
    datagram[2..34].copy_from_slice(master().public().as_bytes());
    key(1).seal(1, &mut datagram, HEADER_LEN);
    datagram.extend(forger.sign(CONTEXT, &datagram));
    assert_eq!(masters().take(&datagram), Err(Ignored::Forged));
}

#[test]
fn what_does_not_fit_into_a_datagram_is_refused() {
    let said = (Request::Directories, &open());
    let stamp = Stamp { incarnation: 1, counter: 1 };
    let refused = seal(&master(), stamp, (&key(1), &key(2)), said, &[0; 1200]);
    assert!(matches!(refused, Err(TooLong(len)) if len > 1200));
    let all = Open { allowed: Allowed::of(0..MAX_ROSTER + 9), ..open() };
    let said = (Request::Directories, &all);
    let datagram = seal(&master(), stamp, (&key(1), &key(2)), said, &[0; 400]).unwrap();
    assert!(masters().take(&datagram).unwrap().open.allowed.has(MAX_ROSTER - 1));
}

proptest! {
    #[test]
    fn a_bit_that_is_another_is_found(at in any::<prop::sample::Index>(), bit in 0_u8..8) {
        let mut datagram = sealed(7);
        let at = at.index(datagram.len());
        datagram[at] ^= 1 << bit;
        prop_assert!(masters().take(&datagram).is_err());
    }

    #[test]
    fn any_bytes_may_come(mut bytes in prop::collection::vec(any::<u8>(), 0..300), like: bool) {
        if like && bytes.len() > HEADER_LEN {
            bytes[..HEADER_LEN].copy_from_slice(&sealed(7)[..HEADER_LEN]);
        }
        prop_assert!(masters().take(&bytes).is_err());
        let _ = Open::parse(&bytes);
    }

    #[test]
    fn the_open_part_comes_back(
        job: [u8; 16], version: u32, group: Option<SocketAddr>, digest: [u8; 32],
        places in prop::collection::vec(0..MAX_ROSTER, 0..20), rest: Vec<u8>,
    ) {
        // Flow and scope of IPv6 are this host's.
        let group = group.map(|group| SocketAddr::new(group.ip(), group.port()));
        let open = Open { job, version, group, digest, allowed: Allowed::of(places) };
        let mut bytes = Vec::new();
        open.emit(&mut bytes);
        bytes.extend(&rest);
        prop_assert_eq!(Open::parse(&bytes), Some((open, &rest[..])));
    }
}
