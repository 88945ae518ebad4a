//! `--retry-file`: whom to copy to once more, whatever happened.

use crate::wait::wait_until;
use crate::{Receiver, folder, has, lines, mcp, messages};
use rustix::process::{Pid, Signal, kill_process};
use std::fs;
use std::process::Stdio;

#[test]
fn who_failed_is_tried_again_until_nobody_is_left() {
    let receivers = [2, 3].map(Receiver::new);
    let (_dir, path) = folder(b"bytes");
    let in_the_way = receivers[1].folder.path().join("a b");
    fs::write(&in_the_way, b"no folder").unwrap();
    let hosts =
        [receivers[0].host(""), receivers[1].host("a b/c"), "no-such.invalid:x,y.invalid".into()];
    let args = ["--json", "--retry-file", "retry", "file"];
    let output = mcp(&path).args(args).args(&hosts).output().unwrap();
    assert_eq!(output.status.code(), Some(3), "{}", messages(&output));
    let retry = || fs::read_to_string(path.join("retry")).unwrap();
    let again = receivers[1].host("a\\ b/c");
    assert_eq!(retry(), format!("{again}\nno-such.invalid:x\ny.invalid\n"));
    let summary = lines(&output).pop().unwrap();
    assert_eq!(summary["retry_hosts"], format!("{again},no-such.invalid:x,y.invalid"));

    fs::remove_file(in_the_way).unwrap();
    let args = [&args[..], &["--hosts", "retry", "-x", "no-such.invalid,y.invalid"]].concat();
    let output = mcp(&path).args(&args).output().unwrap();
    assert_eq!(output.status.code(), Some(0), "{}", messages(&output));
    assert_eq!(retry(), "", "everybody has it, and the file says so");
    assert!(receivers[1].folder.path().join("a b/c").exists());
}

#[test]
fn a_failure_of_this_side_leaves_all_to_be_tried_again() {
    let (_dir, path) = folder(b"bytes");
    let args = ["--retry-file", "retry", "no-such-file", "n[1-2]:x", "n3"];
    let output = mcp(&path).args(args).output().unwrap();
    assert_eq!(output.status.code(), Some(1), "{}", messages(&output));
    assert_eq!(fs::read_to_string(path.join("retry")).unwrap(), "n1:x\nn2:x\nn3\n");
    let args = ["--retry-file", "no/retry", "file", "127.0.0.1"];
    let output = mcp(&path).args(args).output().unwrap();
    assert_eq!(output.status.code(), Some(1), "{}", messages(&output));
    assert!(messages(&output).contains("no/retry"), "{}", messages(&output));
    // What is wrong in the words changes nothing.
    let output = mcp(&path).args(["--retry-file", "retry", "file", "a@b"]).output().unwrap();
    assert_eq!(output.status.code(), Some(2));
    assert_eq!(fs::read_to_string(path.join("retry")).unwrap(), "n1:x\nn2:x\nn3\n");
}

#[test]
fn an_interrupt_leaves_those_that_do_not_have_it() {
    let receiver = Receiver::new(2);
    let (_dir, path) = folder(&vec![7; 32 << 20]);
    let host = receiver.host("");
    for (signal, code) in [(Signal::INT, Some(130)), (Signal::KILL, None)] {
        let mut child = mcp(&path)
            .args(["--rate", "20M", "--retry-file", "retry", "file", &host])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        wait_until("the copy has begun", || !has(&receiver).is_empty());
        kill_process(Pid::from_child(&child), signal).unwrap();
        assert_eq!(child.wait().unwrap().code(), code);
        assert_eq!(fs::read_to_string(path.join("retry")).unwrap(), format!("{host}\n"));
        fs::remove_file(path.join("retry")).unwrap();
        if code.is_some() {
            wait_until("the receiver is clean", || has(&receiver).is_empty());
        }
    }
}
