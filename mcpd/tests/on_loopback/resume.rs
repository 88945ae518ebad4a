//! A daemon that is killed in the middle of a copy, and the next one, which goes on with what is there.

use crate::daemon::{Daemon, connect, send, send_over, source};
use std::fs;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

const MIB: u64 = 1 << 20;

/// Blocks that were noted below a root: a state has 40 bytes and 48 for each.
fn noted(root: &Path) -> u64 {
    let entries = fs::read_dir(root).unwrap().map(|entry| entry.unwrap());
    let state = entries.filter(|entry| entry.path().extension().is_some_and(|e| e == "state"));
    let len = state.map(|entry| entry.metadata().map_or(0, |meta| meta.len())).max().unwrap_or(0);
    len.saturating_sub(40) / 48
}

/// A daemon that is killed when so many of 32 blocks are noted, and what the next one does with them.
fn killed_at(least: u64) {
    let root = tempfile::tempdir().unwrap();
    let (_dir, path) = source(32 << 20);
    let daemon = Daemon::start(root.path(), 46, &[]);
    let (sender, killed) = (connect(daemon.addr, None), AtomicBool::new(false));
    thread::scope(|scope| {
        let copy = scope.spawn(|| {
            // It goes on only as fast as it is noted, so that it does not end before the daemon is killed.
            send_over(&sender, &path, "file", &|progress| {
                while progress.read / MIB > noted(root.path()) + 4 && !killed.load(Ordering::SeqCst)
                {
                    thread::yield_now();
                }
            })
        });
        while noted(root.path()) < least && !copy.is_finished() {
            thread::yield_now();
        }
        drop(daemon); // by SIGKILL
        killed.store(true, Ordering::SeqCst);
        sender.abort("it was killed");
        assert!(copy.join().unwrap().is_some());
    });
    let names = || {
        let entries = fs::read_dir(root.path()).unwrap();
        entries.map(|e| e.unwrap().file_name().into_string().unwrap()).collect::<Vec<_>>()
    };
    let is_left = |name: &String| matches!(name.rsplit_once('.'), Some((_, "partial" | "state")));
    assert!(names().iter().all(is_left), "{:?}", names());
    let daemon = Daemon::start(root.path(), 46, &[]);
    let left = noted(root.path());
    assert!(left >= least, "the next start sweeps none of it: {left} of {least}");
    let sender = connect(daemon.addr, None);
    assert_eq!(send_over(&sender, &path, "file", &|_| ()), None);
    let sent = sender.sent();
    // Where the daemon gets no processor, the kernel drops what its socket has no room for. All that was ever sent
    // again here was dropped so: 224 segments were repeated for 32 trains of 7 (Udp RcvbufErrors, 12 busy loops
    // beside this). A block that was there would be sent for the first time, so it is counted.
    let first = sent.group_bytes + sent.unicast_bytes - sent.repaired_bytes;
    assert!(first <= (32 - left) * MIB + MIB / 2, "{sent:?}, {left} blocks were there");
    assert_eq!(names(), ["file"]);
    assert!(fs::read(root.path().join("file")).unwrap() == fs::read(&path).unwrap());
    // Another destination is another file.
    assert_eq!(send(daemon.addr, &path, "other", None), None);
}

/// At random moments; `KILLS` says how often, `TEST_SEED` at which moments.
#[test]
fn a_killed_daemon_leaves_what_the_next_one_goes_on_with() {
    let number = |name: &str| std::env::var(name).ok().and_then(|text| text.parse::<u64>().ok());
    let kills = number("KILLS").unwrap_or(2);
    let seed = number("TEST_SEED").unwrap_or_else(|| {
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
        u64::from(now.unwrap().subsec_nanos())
    });
    eprintln!("TEST_SEED={seed} KILLS={kills} shows this again");
    for kill in 0..kills {
        let drawn = (seed.wrapping_add(kill)).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 32;
        killed_at(1 + drawn % 28);
    }
}
