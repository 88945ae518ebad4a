//! `--once`: it ends with its session, and as that did.

use crate::daemon::{Daemon, connect, send, send_over, source};
use rustix::process::Signal;
use std::fs;
use std::net::UdpSocket;

#[test]
fn it_ends_with_the_first_session_that_begins() {
    let root = tempfile::tempdir().unwrap();
    fs::create_dir(root.path().join("folder")).unwrap();
    fs::create_dir(root.path().join("folder/file")).unwrap();
    let (dir, source) = source(1_500_000);
    let mut daemon = Daemon::start(root.path(), 51, &["--once"]);
    // Neither who is nobody, nor who says nothing, nor who is refused.
    UdpSocket::bind("127.0.0.1:0").unwrap().send_to(b"hello", daemon.addr).unwrap();
    let silent = connect(daemon.addr, None);
    silent.wait_started().unwrap();
    // Its third message is still on the way then, and another session may overtake it.
    daemon.signal(Signal::USR1);
    while !daemon.says(" running").contains(" 1 session is") {
        daemon.signal(Signal::USR1);
    }
    let busy = send(daemon.addr, &source, "", None).unwrap();
    assert!(busy.contains("--once"), "{busy}");
    silent.abort("that is all");
    let mut why = busy;
    while why.contains("--once") {
        why = send(daemon.addr, &source, "../x", None).unwrap();
    }
    assert!(why.contains("is refused"), "{why}");
    assert_eq!(send(daemon.addr, &source, "", None), None);
    let (code, out, said) = daemon.ended();
    assert_eq!((code, out.lines().count()), (Some(0), 3), "{out}{said}");
    assert!(!said.contains("did not end in time"), "{said}");
    let arrived = fs::read(root.path().join("file")).unwrap();
    assert!(arrived == fs::read(dir.path().join("file")).unwrap());
}

#[test]
fn what_is_not_in_place_is_a_failure() {
    let root = tempfile::tempdir().unwrap();
    let (_dir, source) = source(8 << 20);
    let daemon = Daemon::start(root.path(), 52, &["--once"]);
    let sender = connect(daemon.addr, None);
    let why = send_over(&sender, &source, "", &|progress| {
        if progress.read >= 2 << 20 {
            sender.abort("that is all");
        }
    });
    assert!(why.is_some());
    let (code, _, said) = daemon.ended();
    assert_eq!(code, Some(1), "{said}");
}

#[test]
fn to_be_told_to_end_before_is_no_success() {
    let root = tempfile::tempdir().unwrap();
    for (signal, code) in [(Signal::TERM, 1), (Signal::INT, 130)] {
        let daemon = Daemon::start(root.path(), 53, &["--once"]);
        daemon.signal(signal);
        assert_eq!(daemon.ended().0, Some(code));
    }
    let daemon = Daemon::start(root.path(), 53, &["--once"]);
    let sender = connect(daemon.addr, None);
    sender.wait_started().unwrap();
    assert_eq!(daemon.terminate().0, Some(1));
}
