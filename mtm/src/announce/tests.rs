use super::*;
use proptest::prelude::*;
use std::net::SocketAddr;

fn keys() -> (ChannelKey, JobKey) {
    (ChannelKey::new([1; 32]), JobKey::new([2; 32]))
}

fn unused(counter: u64) -> Unused {
    Unused(Stamp { incarnation: 1, counter, life: [6; 16] })
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
    let said = (Request::Transfer, &open());
    let (channel, job) = keys();
    seal(&master(), unused(counter), (&channel, &job), said, b"lectures/2005").unwrap()
}

fn masters() -> Masters {
    let mut masters = Masters::default();
    masters.tell(master().public(), keys().0, (1, 0));
    masters
}

#[test]
fn receivers_of_the_job_read_all_of_it_and_others_on_the_channel_no_name() {
    let datagram = sealed(7);
    let announcement = masters().take(&datagram).unwrap();
    assert_eq!(announcement.open, open());
    assert_eq!(announcement.stamp, unused(7).0);
    let allowed = &announcement.open.allowed;
    assert_eq!((0..12).filter(|place| allowed.has(*place)).collect::<Vec<_>>(), [0, 2, 9]);
    assert!(!allowed.has(MAX_ROSTER * 2));
    assert_eq!(announcement.private(&keys().1).unwrap(), b"lectures/2005");
    let other = JobKey::new([1; 32]);
    assert_eq!(announcement.private(&other), Err(Ignored::NotOurs), "nor the channel's");
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
    masters.tell(master().public(), keys().0, (1, 0));
    assert_eq!(masters.take(&sealed(8)), Err(Ignored::Replayed));
    masters.tell(master().public(), keys().0, (2, 0));
    assert_eq!(masters.take(&sealed(9)), Err(Ignored::Incarnation));
    masters.ignored(Ignored::NotOurs);
    let counts = Counts { replayed: 3, incarnation: 1, not_ours: 1, ..Counts::default() };
    assert_eq!(masters.counts(), counts);
}

#[test]
fn who_is_told_of_a_master_takes_nothing_from_before() {
    let mut masters = Masters::default();
    masters.tell(master().public(), keys().0, (1, 8));
    assert_eq!(masters.take(&sealed(7)), Err(Ignored::Replayed));
    assert_eq!(masters.last(&master().public()), None);
    assert!(masters.take(&sealed(8)).is_ok());
    let shown = masters.last(&master().public()).unwrap();
    assert_eq!(made_by(&master().public(), shown), Some(unused(8).0));
    assert_eq!(made_by(&Identity::generate([4; 64]).public(), shown), None);
    let mut other = shown.to_vec();
    other[40] ^= 1; // the incarnation
    assert_eq!(made_by(&master().public(), &other), None);
}

/// With the same counter, in another incarnation, life or master, and as the other of the two keys.
#[test]
fn no_key_seals_twice() {
    let sealed_by = |master: &PublicKey, stamp: Stamp, channel: bool| {
        let mut bytes = [0; 64];
        let (channel_key, job) = (ChannelKey::new([1; 32]), JobKey::new([1; 32]));
        let key = if channel { channel_key.once(master, stamp) } else { job.once(master, stamp) };
        key.seal(NUMBER, &mut bytes, 0);
        bytes
    };
    let (one, other) = (master().public(), Identity::generate([4; 64]).public());
    let stamp = unused(7).0;
    let all = [
        sealed_by(&one, stamp, true),
        sealed_by(&one, stamp, false),
        sealed_by(&other, stamp, true),
        sealed_by(&one, Stamp { incarnation: 2, ..stamp }, true),
        sealed_by(&one, Stamp { counter: 8, ..stamp }, true),
        sealed_by(&one, Stamp { life: [7; 16], ..stamp }, true),
    ];
    for (n, sealed) in all.iter().enumerate() {
        assert!(!all[..n].contains(sealed), "{n}");
    }
}

/// Everybody on the channel has its key.
#[test]
fn another_receiver_cannot_speak_for_the_master() {
    let other = Identity::generate([4; 64]);
    let said = (Request::Transfer, &open());
    let (channel, job) = keys();
    let forged = seal(&other, unused(1), (&channel, &job), said, b"").unwrap();
    assert_eq!(masters().take(&forged), Err(Ignored::Stranger));
    // In the master's name: sealed well, signed by another.
    let mut datagram = sealed(1);
    datagram.truncate(datagram.len() - SIGNATURE_LEN);
    let signature = other.sign(CONTEXT, &datagram);
    datagram.extend(signature);
    assert_eq!(masters().take(&datagram), Err(Ignored::Forged));
}

#[test]
fn what_does_not_fit_into_a_datagram_is_refused() {
    let said = (Request::Directories, &open());
    let (channel, job) = keys();
    let refused = seal(&master(), unused(1), (&channel, &job), said, &[0; 1200]);
    assert!(matches!(refused, Err(TooLong(len)) if len > 1200));
    let all = Open { allowed: Allowed::of(0..MAX_ROSTER + 9), ..open() };
    let said = (Request::Directories, &all);
    let datagram = seal(&master(), unused(1), (&channel, &job), said, &[0; 400]).unwrap();
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
