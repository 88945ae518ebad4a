//! What the daemon keeps of sessions that are over.

use crate::daemon::{Daemon, connect, send_over, source};
use rustix::process::Signal;
use std::fs;
use std::net::Ipv4Addr;
use std::thread;
use std::time::{Duration, Instant};
use tcpxm::api::{Sender, SenderOptions};
use tcpxm::config::{Content, Delivery, SessionConfig};
use tcpxm::trust::SenderTrust;

/// Sessions at a time: nearly all that the daemon has places for.
const WAVE: usize = 120;
/// What is kept grows from wave to wave, if it does: the allocator does not see at once that it is much.
const WAVES: usize = 3;
/// Bytes that the daemon may keep: 6 to 12 MB were seen, the first pages of its allocator's arenas and of stacks
/// for the next threads. Without a bound on what the allocator keeps these waves left 40 to 80 MB, and when each
/// session had its whole buffer from the beginning, idle ones left 355 MB.
const KEPT: u64 = 20 << 20;
/// Something that is to come soon.
const SOON: Duration = Duration::from_secs(20);

/// Bytes of its memory that stand in no file (`RssAnon` in proc(5)).
fn memory(daemon: &Daemon) -> u64 {
    let status = fs::read_to_string(format!("/proc/{}/status", daemon.child.id())).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("RssAnon:")).unwrap();
    1024 * line.trim().strip_suffix(" kB").unwrap().parse::<u64>().unwrap()
}

fn until_none_runs(daemon: &mut Daemon) {
    daemon.signal(Signal::USR1);
    while !daemon.says(" running").contains(" 0 sessions are") {
        daemon.signal(Signal::USR1);
    }
}

/// Sessions of so many bytes of which nothing is asked for: whatever they have is sent.
fn sessions(daemon: &Daemon, len: u64) -> Vec<Sender> {
    let session = SessionConfig {
        delivery: Delivery::Unordered,
        content: Content::Source { len: Some(len) },
        ..SessionConfig::default()
    };
    let bind = Some((Ipv4Addr::LOCALHOST, 0).into());
    let options = SenderOptions { session, bind, ..SenderOptions::new(SenderTrust::Loopback) };
    (0..WAVE).map(|_| Sender::connect(options.clone(), &[daemon.addr]).unwrap()).collect()
}

fn abort(senders: &[Sender]) {
    for sender in senders {
        sender.abort("that is all");
    }
}

/// Has waves of sessions come and end, and looks at what is left.
fn nothing_is_left_of(wave: impl Fn(&Daemon), last: u8) {
    let root = tempfile::tempdir().unwrap();
    let mut daemon = Daemon::start(root.path(), last, &[]);
    until_none_runs(&mut daemon);
    let most = memory(&daemon) + KEPT;
    for _ in 0..WAVES {
        wave(&daemon);
        until_none_runs(&mut daemon);
        // The last threads are just ending.
        let until = Instant::now() + SOON / 4;
        while memory(&daemon) > most {
            assert!(Instant::now() < until, "{} bytes are left, {most} may be", memory(&daemon));
            thread::yield_now();
        }
    }
}

#[test]
fn idle_sessions_leave_no_memory_behind() {
    let wave = |daemon: &Daemon| {
        let senders = sessions(daemon, 1);
        for sender in &senders {
            sender.wait_started().unwrap();
        }
        abort(&senders);
    };
    nothing_is_left_of(wave, 40);
}

/// Has the daemon hold so many bytes, or nearly so: no file was offered to which they could go.
fn fill(sender: &Sender, bytes: u64) {
    while let Some(need) = sender.next_need() {
        sender.supply(need.start, vec![7; (need.end - need.start) as usize].into());
        if need.end >= bytes {
            break;
        }
    }
    let until = Instant::now() + SOON;
    while sender.reports()[0].acked < bytes / 4 * 3 {
        assert!(Instant::now() < until, "{:?}", sender.reports());
        thread::yield_now();
    }
}

#[test]
fn what_sessions_held_when_they_ended_is_given_back() {
    const EACH: u64 = 1 << 20;
    let wave = |daemon: &Daemon| {
        let senders = sessions(daemon, 100 * EACH);
        for some in senders.chunks(8) {
            thread::scope(|scope| {
                for sender in some {
                    scope.spawn(|| fill(sender, EACH));
                }
            });
        }
        assert!(memory(daemon) > WAVE as u64 * EACH / 4 * 3, "they hold what has come");
        abort(&senders);
    };
    nothing_is_left_of(wave, 41);
}

#[test]
fn copies_that_end_in_the_middle_leave_no_memory_behind() {
    let (_dir, source) = source(16 << 20);
    let wave = |daemon: &Daemon| {
        let senders: Vec<Sender> = (0..WAVE).map(|_| connect(daemon.addr, None)).collect();
        thread::scope(|scope| {
            for (number, sender) in senders.iter().enumerate() {
                let (source, to) = (&source, number.to_string());
                scope.spawn(move || {
                    send_over(sender, source, &to, &|progress| {
                        if progress.read >= 6 << 20 {
                            sender.abort("that is all");
                        }
                    })
                });
            }
        });
    };
    nothing_is_left_of(wave, 42);
}
