//! Handshakes: what one costs a listener, and many a sender that opens a session. Criterion's elements are
//! handshakes.

#[path = "trust.rs"]
mod trust;

use aws_lc_rs::agreement::{PrivateKey, UnparsedPublicKey, X25519, agree};
use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use std::hint::black_box;
use std::net::{Ipv4Addr, SocketAddr};
use std::time::{self, Duration};
use tcpxm::config::{Content, Delivery, EndpointConfig, SessionConfig};
use tcpxm::proto::endpoint::Endpoint;
use tcpxm::proto::event::Arrival;
use tcpxm::proto::time::Instant;
use trust::Trust;

/// Members of the session, as many as a large lab has.
const MEMBERS: u16 = 500;
/// Room for any datagram of a handshake.
const ROOM: usize = 2048;

const TRUSTS: [(Trust, &str); 3] =
    [(Trust::Secret, "secret"), (Trust::Keys, "keys"), (Trust::Plaintext, "plaintext")];

/// Time that each side of a session's handshakes took.
#[derive(Debug, Default)]
struct Spent {
    sender: Duration,
    listeners: Duration,
}

/// Opens a session to this many listeners, and gives each its handshake.
fn open(trust: Trust) -> Spent {
    let mut spent = Spent::default();
    let now = Instant::ZERO + Duration::from_secs(1);
    let from = SocketAddr::from((Ipv4Addr::LOCALHOST, 5000));
    let peers: Vec<SocketAddr> = (0..MEMBERS)
        .map(|n| SocketAddr::from((Ipv4Addr::new(127, 1, (n >> 8) as u8, n as u8), 8737)))
        .collect();
    let listen = |_: &SocketAddr| {
        let listen = Some(trust.listen());
        Endpoint::new(EndpointConfig { listen, port: 8737, ..EndpointConfig::default() }, [2; 32])
    };
    let mut listeners: Vec<Endpoint> = peers.iter().map(listen).collect();
    let config = SessionConfig {
        delivery: Delivery::Unordered,
        content: Content::Source { len: Some(1 << 30) },
        ..SessionConfig::default()
    };
    let mut sender = Endpoint::new(EndpointConfig::default(), [1; 32]);
    timed(&mut spent.sender, || sender.connect(now, config, trust.send(), &peers))
        .expect("a sound session");
    let mut buf = vec![0; ROOM];
    // SYNs, then the third messages: nothing else is owed before the first byte is supplied.
    for _ in 0..2 {
        while let Some(sent) = timed(&mut spent.sender, || sender.poll_transmit(now, &mut buf)) {
            let at = peers.iter().position(|peer| *peer == sent.to).expect("one of the members");
            let listener = &mut listeners[at];
            let mut answer = vec![0; ROOM];
            let answered = timed(&mut spent.listeners, || {
                listener.handle_datagram(now, &arrival(from), &mut buf[..sent.len]);
                listener.poll_transmit(now, &mut answer)
            });
            if let Some(answered) = answered {
                let bytes = &mut answer[..answered.len];
                timed(&mut spent.sender, || sender.handle_datagram(now, &arrival(sent.to), bytes));
            }
        }
    }
    assert!(listeners.iter_mut().all(|listener| listener.accept().is_some()), "not all are open");
    spent
}

fn timed<R>(spent: &mut Duration, work: impl FnOnce() -> R) -> R {
    let before = time::Instant::now();
    let done = work();
    *spent += before.elapsed();
    done
}

fn arrival(from: SocketAddr) -> Arrival {
    Arrival { from, to: None, ifindex: 1, ecn: 0, stride: 0 }
}

fn opening(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("opening");
    group.throughput(Throughput::Elements(MEMBERS.into())).sample_size(10);
    for (trust, name) in TRUSTS {
        group.bench_function(BenchmarkId::new("sender", name), |bencher| {
            bencher.iter_custom(|times| (0..times).map(|_| open(trust).sender).sum());
        });
        group.bench_function(BenchmarkId::new("listener", name), |bencher| {
            bencher.iter_custom(|times| (0..times).map(|_| open(trust).listeners).sum());
        });
    }
    group.bench_function("curve", |bencher| bencher.iter(|| (0..MEMBERS).for_each(|_| curve())));
    group.finish();
}

/// What the curve alone takes of one handshake at one end: a key is made, and three times something is agreed
/// upon (`ee`, `es`, `se`).
fn curve() {
    let key = PrivateKey::from_private_key(&X25519, &[7; 32]).expect("any 32 bytes");
    let other = UnparsedPublicKey::new(&X25519, [9; 32]);
    for _ in 0..3 {
        agree(&key, other, (), |shared| {
            black_box(shared);
            Ok(())
        })
        .expect("not of small order");
    }
}

criterion_group!(benches, opening);
criterion_main!(benches);
