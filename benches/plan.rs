//! A round of a large mirror job without its sessions: 100,000 entries, 100 receivers, and one in twenty of all pairs of
//! them failed, scattered by chance. What the tree's walk has found is compared with the job's file, and it is decided who
//! gets what.

use criterion::{Criterion, criterion_group, criterion_main};
use mtm::ledger::{Found, Job, Kind, Ledger, Outcome, Receiver};
use mtm::outcome;
use mtm::plan::{self, Lists, Wanted};
use std::collections::BTreeMap;
use std::hint::black_box;
use std::path::Path;

const ENTRIES: u32 = 100_000;
const RECEIVERS: u32 = 100;
/// One pair in so many deviates.
const DEVIATES: u64 = 20;

/// 1,000 folders of 99 files each.
fn tree() -> Vec<Found> {
    let found = |n: u32| {
        let (folder, file) = (n / 100, n % 100);
        let (path, kind) = match file {
            0 => (format!("lectures/{folder:04}"), Kind::Directory),
            _ => (format!("lectures/{folder:04}/recording-{file:02}.webm"), Kind::File),
        };
        Found {
            path: path.into(),
            kind,
            size: 4096,
            mtime: i64::from(n),
            ctime: i64::from(n),
            mode: 0o644,
            uid: 0,
            gid: 0,
            node: (1, n.into()),
            mount: None,
        }
    };
    (0..ENTRIES).map(found).collect()
}

/// `SplitMix64` (Steele, Lea and Flood, 2014).
fn next(state: &mut u64) -> u64 {
    *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let z = (*state ^ (*state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

fn job(path: &Path) -> Ledger {
    let job = Job {
        id: [1; 16],
        name: "lectures".to_owned(),
        description: String::new(),
        source: "/srv/lectures".into(),
        root: (1, 2),
        created: 0,
        options: String::new(),
    };
    let mut ledger = Ledger::create(path, &job).expect("a job");
    ledger.look(tree(), 7).expect("a look");
    let (all, mut state) = ((0..ENTRIES).collect::<Vec<u32>>(), 1);
    for n in 0..RECEIVERS {
        let id = ledger.add_receiver(&format!("host{n:03}")).expect("a receiver");
        ledger.meet(id, [1; 16]).expect("a receiver");
        let failed = all.iter().filter(|_| next(&mut state).is_multiple_of(DEVIATES));
        let failed: BTreeMap<u32, String> =
            failed.map(|entry| (*entry, "there is no room".to_owned())).collect();
        let outcomes = outcome::of_session(&all, &failed, Some(&Outcome::Done));
        ledger.note((id, [1; 16]), 1, &outcomes).expect("a session");
    }
    ledger
}

/// What a round decides.
fn sessions(ledger: &Ledger, receivers: &[Receiver]) -> Vec<plan::Session> {
    let mut lists = Lists::default();
    let wanted = receivers.iter().map(|one| {
        let lacks = lists.share(ledger.lacking(one.id));
        Wanted { receiver: one.id, lacks, rate: None }
    });
    let wanted: Vec<Wanted> = wanted.collect();
    plan::sessions(&wanted, |_| 4096)
}

/// Bytes of the job's file with its log, and the most memory that this process had (`proc_pid_status(5)`).
fn footprint(path: &Path) -> String {
    let of = |name: &str| std::fs::metadata(path.with_file_name(name)).map_or(0, |meta| meta.len());
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let most = status.lines().find(|line| line.starts_with("VmHWM")).unwrap_or("no VmHWM");
    format!("the job's file has {} bytes, its log {}; {most}", of("job"), of("job-wal"))
}

fn round(c: &mut Criterion) {
    let dir = tempfile::tempdir().expect("a folder");
    let path = dir.path().join("job");
    drop(job(&path));
    let mut ledger = Ledger::open(&path).expect("the job");
    let receivers = ledger.receivers().expect("the receivers");
    let planned = sessions(&ledger, &receivers);
    assert_eq!((planned.len(), planned[0].receivers.len()), (1, RECEIVERS as usize));
    let mut group = c.benchmark_group("round");
    group.sample_size(10);
    group.bench_function("look", |b| {
        b.iter_batched(
            tree,
            |tree| {
                let known = ledger.entries().expect("the entries");
                assert!(ledger.look_from(known, tree, 7).expect("a look").is_none());
                ledger.forget_gone(true).expect("nothing is gone")
            },
            criterion::BatchSize::PerIteration,
        );
    });
    group.bench_function("plan", |b| b.iter(|| black_box(sessions(&ledger, &receivers))));
    group.finish();
    println!("{}", footprint(&path));
}

criterion_group!(rounds, round);
criterion_main!(rounds);
