//! The engine alone: what is left is the cost of a segment in it, at the sender and every receiver.
//! Criterion's elements are full segments of the stream, counted once whatever the receivers.

#[path = "pump.rs"]
mod pump;
#[path = "trust.rs"]
mod trust;

use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use pump::{SEGMENT, Spent, World};
use std::hint::black_box;
use std::time::Duration;
use trust::Trust;

/// Bytes of one session.
const LEN: u64 = 16 << 20;
/// Where what sealing costs is looked at: the handshake, which [`LEN`] shows, has a bench of its own.
const SEALED: u64 = 64 << 20;

/// As long as the headers of a segment.
const HEADER: [u8; 40] = [0; 40];

/// Virtual bits per second: a line, so that buffers have the size that a line makes them.
const RATE: u64 = 1_000_000_000;

/// What is measured of a session.
type Part = fn(&Spent) -> Duration;

/// Whole sessions.
fn engine(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("engine");
    group.throughput(Throughput::Elements(LEN.div_ceil(SEGMENT))).sample_size(10);
    for receivers in [1, 3] {
        for (name, by_group) in [("unicast", false), ("group", true)] {
            group.bench_function(BenchmarkId::new(name, receivers), |bencher| {
                bencher.iter_with_large_drop(|| session(receivers, by_group));
            });
        }
    }
    group.finish();
}

fn session(receivers: u8, by_group: bool) -> World {
    let mut world = World::new((receivers, by_group), LEN, Some(RATE), None);
    world.run_to(LEN);
    world
}

/// The parts of a session with one receiver: a segment written; taken; acknowledged, at both ends.
fn parts(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("segment");
    group.throughput(Throughput::Elements(LEN.div_ceil(SEGMENT))).sample_size(10);
    let emit: Part = |s| s.emit;
    for (name, part) in [("emit", emit), ("take", |s| s.take), ("acknowledge", |s| s.acknowledge)] {
        group.bench_function(name, |bencher| {
            bencher.iter_custom(|times| (0..times).map(|_| part(&session(1, true).spent)).sum());
        });
    }
    group.finish();
}

/// The same segments as in [`parts`], sealed and not: what the seal costs at the sender and at each receiver.
fn seal(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("seal");
    group.throughput(Throughput::Elements(SEALED.div_ceil(SEGMENT))).sample_size(20);
    let trusts =
        [(Trust::Plaintext, "plaintext"), (Trust::Secret, "secret"), (Trust::Keys, "keys")];
    for (trust, name) in trusts {
        let emit: Part = |s| s.emit;
        for (part_name, part) in [("emit", emit), ("take", |s| s.take)] {
            group.bench_function(BenchmarkId::new(part_name, name), |bencher| {
                let session = || {
                    let mut world = World::trusting(
                        (trust.send(), trust.listen()),
                        (1, false),
                        SEALED,
                        Some(RATE),
                        None,
                    );
                    world.run_to(SEALED);
                    part(&world.spent)
                };
                bencher.iter_custom(|times| (0..times).map(|_| session()).sum());
            });
        }
    }
    group.bench_function("cipher", |bencher| bencher.iter(cipher));
    group.finish();
}

/// What the cipher alone takes of that: the same segments, sealed one after the other in place.
fn cipher() {
    let key = UnboundKey::new(&AES_256_GCM, &[7; 32]).map(LessSafeKey::new).expect("32 bytes");
    let mut segment = [0; SEGMENT as usize];
    for number in 0..SEALED.div_ceil(SEGMENT) {
        let mut nonce = [0; NONCE_LEN];
        nonce[NONCE_LEN - 8..].copy_from_slice(&number.to_be_bytes());
        let nonce = Nonce::assume_unique_for_key(nonce);
        let tag = key.seal_in_place_separate_tag(nonce, Aad::from(&HEADER), &mut segment);
        let _ = black_box(tag.expect("short"));
    }
}

criterion_group!(benches, engine, parts, seal);
criterion_main!(benches);
