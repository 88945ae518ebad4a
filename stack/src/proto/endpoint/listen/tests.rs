//! SYNs from everywhere, good and bad.

use super::super::half_open::COOKIE_FROM;
use super::*;
use crate::proto::conn::handshake::{Opening, blank_names, parse_hello};
use crate::seal::frame::set_cookie;
use crate::trust::{NoiseKey, Secret, SenderTrust};

fn secret(c: &str) -> Arc<Secret> {
    Arc::new(Secret::from_line(c.repeat(32).as_bytes()).unwrap())
}

fn descriptor() -> Descriptor {
    Descriptor {
        features: Features::XM,
        first_offset: 0,
        segment_size: 1420,
        group_cid: 0,
        group: None,
        group_from: None,
    }
}

fn addr(n: u32) -> SocketAddr {
    (n.to_be_bytes(), 1).into()
}

fn arrival(from: SocketAddr) -> Arrival {
    Arrival { from, to: None, ifindex: 0, ecn: 0, stride: 0 }
}

/// A listener for this trust, and what it was sent.
struct Lab {
    listener: Listener,
    rng: Rng,
    now: Instant,
    /// All connection ids are somebody's.
    taken: bool,
}

impl Lab {
    fn new(trust: ListenTrust) -> Self {
        let mut rng = Rng::new([1; 32]);
        let listener =
            Listener::new(trust, NoiseKey::drawn(&[1; 32]), CidKey::new([2; 32]), &mut rng);
        Self { listener, rng, now: Instant::ZERO + Duration::from_secs(100), taken: false }
    }

    /// A SYN with this connection id, as a sender with this trust makes it.
    fn syn(&self, trust: SenderTrust, cid: u64) -> Vec<u8> {
        let names = blank_names(addr(9), 1, cid, Seq(1));
        let trust = Arc::new(trust);
        let mut opening = Opening::new(
            self.now,
            &names,
            &descriptor(),
            (&trust, &NoiseKey::drawn(&[3; 32]), [3; 32]),
        );
        let mut buf = vec![0; 2000];
        let len = opening.emit(self.now, &mut buf).unwrap();
        buf.truncate(len);
        buf
    }

    /// Gives the listener a SYN as the endpoint does; what it replies.
    fn give(&mut self, from: SocketAddr, syn: &[u8]) -> Option<Vec<u8>> {
        let arrival = arrival(from);
        let door = self.listener.door(&arrival, syn)?;
        let (header, len) = Header::parse(syn).unwrap();
        let hello = parse_hello(&header, len, syn).unwrap();
        let taken = self.taken;
        let local = Local { port: 1, edge: 1, taken: &|_| taken };
        self.listener.on_syn(self.now, &arrival, (&hello, syn, door), &local, &mut self.rng);
        self.listener.pop_reply().map(|reply| reply.bytes.to_vec())
    }

    /// So many SYNs from as many sources; the number of answers that are no cookies.
    fn flood(&mut self, count: u32) -> usize {
        let answers = (0..count).filter_map(|n| {
            let syn = self.syn(SenderTrust::Loopback, u64::from(n));
            self.give(addr(n << 8 | 1), &syn)
        });
        answers.filter(|reply| Reply::parse(reply).is_none()).count()
    }
}

#[test]
fn a_flood_takes_a_bounded_table_and_then_cookies() {
    let mut lab = Lab::new(ListenTrust::Loopback);
    assert_eq!(lab.flood(3 * COOKIE_FROM as u32), COOKIE_FROM);
    assert_eq!(lab.listener.half_open(), COOKIE_FROM);
    lab.now += Duration::from_secs(5);
    assert_eq!(lab.flood(1), 1, "what is old makes room");
    assert_eq!(lab.listener.half_open(), 1);
}

#[test]
fn who_brings_its_cookie_is_answered_in_a_flood() {
    let mut lab = Lab::new(ListenTrust::Loopback);
    lab.flood(2 * COOKIE_FROM as u32);
    let (from, mut syn) = (addr(1), lab.syn(SenderTrust::Loopback, 77_777));
    let reply = lab.give(from, &syn).unwrap();
    assert!(reply.len() < syn.len());
    let Some(Ok(Reply { cid: 77_777, said: Said::Cookie(cookie), .. })) = Reply::parse(&reply)
    else {
        panic!("no cookie")
    };
    set_cookie(&mut syn, cookie);
    assert!(Reply::parse(&lab.give(addr(2), &syn).unwrap()).is_some(), "another source's");
    let answer = lab.give(from, &syn).unwrap();
    assert!(Reply::parse(&answer).is_none() && answer.len() <= syn.len());
    assert_eq!(lab.listener.half_open(), COOKIE_FROM + 1);
}

/// Whoever sends in somebody's name keeps nobody out who is there.
#[test]
fn a_source_that_fills_its_places_is_asked_for_cookies() {
    let mut lab = Lab::new(ListenTrust::Loopback);
    let (mut answered, mut asked) = (0, 0);
    for cid in 0..200 {
        let syn = lab.syn(SenderTrust::Loopback, cid);
        match lab.give(addr(1), &syn) {
            Some(reply) if Reply::parse(&reply).is_some() => asked += 1,
            Some(_) => answered += 1,
            None => {}
        }
    }
    assert_eq!((answered, asked), (8, 192));
    let proven = (1000..1200).filter(|cid| {
        let mut syn = lab.syn(SenderTrust::Loopback, *cid);
        let reply = lab.give(addr(1), &syn).unwrap();
        let Some(Ok(Reply { said: Said::Cookie(cookie), .. })) = Reply::parse(&reply) else {
            panic!("no cookie")
        };
        set_cookie(&mut syn, cookie);
        lab.give(addr(1), &syn).is_some()
    });
    assert_eq!(proven.count(), 64, "as many as one source may have");
    let crowded = lab.listener.crowded();
    assert_eq!((crowded.count, crowded.last), (200 - 64, Some(addr(1).ip())), "and it is counted");
    assert_eq!(lab.listener.next_stranger(), Some(Stranger::Crowded { from: addr(1) }));
}

/// Nobody comes any more.
#[test]
fn what_is_half_open_is_forgotten_in_time_by_itself() {
    let mut lab = Lab::new(ListenTrust::Loopback);
    assert_eq!(lab.listener.deadline(), None);
    let begin = lab.now;
    lab.flood(100);
    lab.now += Duration::from_secs(1);
    lab.flood(200);
    let life = Duration::from_secs(5);
    assert_eq!(lab.listener.deadline(), Some(begin + life));
    lab.listener.on_timer(begin + life);
    assert_eq!(lab.listener.half_open(), 100);
    assert_eq!(lab.listener.deadline(), Some(lab.now + life));
    lab.listener.on_timer(lab.now + life);
    assert_eq!((lab.listener.half_open(), lab.listener.deadline()), (0, None));
}

/// Its datagrams would go to whoever has the id: another one is drawn when the SYN comes again.
#[test]
fn an_id_that_somebody_has_is_not_given_to_another() {
    let mut lab = Lab::new(ListenTrust::Loopback);
    let syn = lab.syn(SenderTrust::Loopback, 5);
    lab.taken = true;
    assert_eq!(lab.give(addr(1), &syn), None);
    assert_eq!(lab.listener.half_open(), 0);
    lab.taken = false;
    assert!(lab.give(addr(1), &syn).is_some());
}

#[test]
fn a_repeated_syn_gets_the_same_bytes_and_no_second_place() {
    let mut lab = Lab::new(ListenTrust::Loopback);
    let syn = lab.syn(SenderTrust::Loopback, 5);
    let first = lab.give(addr(1), &syn).unwrap();
    assert_eq!(lab.give(addr(1), &syn), Some(first));
    assert_eq!(lab.listener.half_open(), 1);
}

/// Of two answers to one SYN somebody on the way could use the second to break what began with the first.
#[test]
fn a_syn_that_is_repeated_from_elsewhere_gets_the_same_bytes_and_no_second_place() {
    let mut lab = Lab::new(ListenTrust::Loopback);
    let mut syn = lab.syn(SenderTrust::Loopback, 5);
    let first = lab.give(addr(1), &syn).unwrap();
    assert_eq!(lab.give(addr(2), &syn), Some(first.clone()));
    // Nor does it with other padding: without a secret everybody can make its MAC.
    syn[1000] ^= 1;
    FrameKey::open().sign_syn(&mut syn);
    assert_eq!(lab.give(addr(2), &syn), Some(first));
    assert_eq!(lab.listener.half_open(), 1);
}

/// Without a secret everybody can make a SYN's MAC.
#[test]
fn a_syn_with_the_id_of_another_does_not_take_its_place() {
    let mut lab = Lab::new(ListenTrust::Loopback);
    let syn = lab.syn(SenderTrust::Loopback, 5);
    let mut forged = syn.clone();
    forged[100] ^= 1;
    FrameKey::open().sign_syn(&mut forged);
    let forged = lab.give(addr(1), &forged);
    let answer = lab.give(addr(1), &syn);
    assert!(answer.is_some() && forged.is_some() && answer != forged);
}

#[test]
fn with_a_secret_only_its_holders_are_answered() {
    let trust = ListenTrust::Secret(vec![secret("a"), secret("b")]);
    let mut lab = Lab::new(trust);
    for (n, trust) in [secret("a"), secret("b")].map(SenderTrust::Secret).into_iter().enumerate() {
        let syn = lab.syn(trust, n as u64);
        assert!(lab.give(addr(1), &syn).is_some());
    }
    for trust in [SenderTrust::Secret(secret("c")), SenderTrust::Loopback, SenderTrust::Plaintext] {
        let syn = lab.syn(trust, 9);
        assert!(lab.give(addr(1), &syn).is_none());
        let stranger = lab.listener.next_stranger();
        assert_eq!(stranger, Some(Stranger::Secret { from: addr(1) }));
    }
    assert!(lab.listener.pop_reply().is_none());
    assert_eq!(lab.listener.half_open(), 2);
}

#[test]
fn another_suite_is_not_answered() {
    let mut lab = Lab::new(ListenTrust::Loopback);
    let syn = lab.syn(SenderTrust::Plaintext, 9);
    assert!(lab.give(addr(1), &syn).is_none(), "nothing is talked down");
    let mut lab = Lab::new(ListenTrust::Plaintext);
    let syn = lab.syn(SenderTrust::Loopback, 9);
    assert!(lab.give(addr(1), &syn).is_none());
}

#[test]
fn replies_to_one_source_are_bounded() {
    let mut lab = Lab::new(ListenTrust::Loopback);
    let syn = lab.syn(SenderTrust::Loopback, 5);
    let replied = (0..1000).filter(|_| lab.give(addr(1), &syn).is_some()).count();
    assert_eq!(replied, 1 + 64, "the answer, and as many repetitions");
}

#[test]
fn only_ids_that_were_given_here_are_said_to_be_unknown() {
    let mut lab = Lab::new(ListenTrust::Loopback);
    let cid = CidKey::new([2; 32]).id(77);
    lab.listener.on_unknown(lab.now, &arrival(addr(1)), cid ^ 1, 60);
    assert!(lab.listener.pop_reply().is_none());
    lab.listener.on_unknown(lab.now, &arrival(addr(1)), cid, 60);
    let reply = lab.listener.pop_reply().unwrap().bytes;
    assert_eq!(Reply::parse(&reply), Some(Ok(Reply::new(cid, Said::Unknown))));
}
