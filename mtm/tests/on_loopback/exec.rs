//! The command that hosts run once they have the tree, at the master.

use crate::{Host, Place};
use mtm::exec::{Credential, ExitStatusWord};
use mtm::words::{OfReceiver, ToReceiver};
use rustix::process::Signal;
use std::fs;
use std::os::unix::fs::PermissionsExt;

fn exited(code: u8) -> OfReceiver {
    OfReceiver::Ran { status: ExitStatusWord::Exited(code), tail: b"why\n".to_vec() }
}

/// Revisions for which a host was asked.
fn revisions(host: &Host) -> Vec<u32> {
    let revision = |word: ToReceiver| match word {
        ToReceiver::Mex { revision, .. } => revision.number,
        ToReceiver::Over { .. } | ToReceiver::Ask { .. } => 0,
    };
    host.asked().into_iter().map(revision).collect()
}

#[test]
fn each_host_runs_it_once_for_each_state_of_the_tree() {
    let place = Place::new();
    let first = Host::off(51).answering(&[OfReceiver::Busy, exited(0)]);
    let second = Host::off(52).answering(&[OfReceiver::Incomplete, exited(0)]);
    let secret = place.path().join("secret");
    fs::write(&secret, "a password\nnothing\n").unwrap();
    fs::set_permissions(&secret, fs::Permissions::from_mode(0o600)).unwrap();
    let options = ["--exec", "reload", "--exec-credential", "secret", "--description", "for all"];
    let (code, said) = place.send(&[&first, &second], &options).ends();
    assert_eq!(code, Some(0), "{said}");
    assert!(said.contains("the command reload: exited 0"), "{said}");
    assert_eq!((revisions(&first), revisions(&second)), (vec![1, 1], vec![1, 1]));
    let ToReceiver::Mex { command, credential, root, description, .. } = &first.asked()[0] else {
        panic!("another word")
    };
    assert_eq!(credential, &Credential::new("a password".to_owned()));
    assert_eq!((&command[..], &root[..], &description[..]), ("reload", "lectures", "for all"));
    let status = place.status();
    let host = &status["hosts"][1];
    assert_eq!((&host["exec_status"], &host["exec_revision"]), (&"exited 0".into(), &1.into()));
    let file = fs::read(place.path().join("state/jobs/lectures/job")).unwrap();
    assert!(!String::from_utf8_lossy(&file).contains("a password"));

    // Nothing has changed, and then something has.
    place.ok(&["resume", "lectures"]);
    assert_eq!(place.start(&["run", "lectures"]).ends().0, Some(0));
    assert_eq!(revisions(&first), [1, 1]);
    fs::write(place.tree().join("index"), "two\n").unwrap();
    Place::grow_old();
    place.ok(&["resume", "lectures"]);
    assert_eq!(place.start(&["run", "lectures"]).ends().0, Some(0));
    let last = place.status()["revision"].clone();
    assert_eq!(revisions(&first).last().map(|last| (*last).into()), Some(last));
}

/// Without --delete a host lacks nothing when a file is gone at the source: it is told of that revision all the same, and
/// of those after it.
#[test]
fn it_is_run_also_for_a_revision_of_which_a_host_lacks_nothing() {
    let place = Place::new();
    let (host, off) = (Host::new(86).keeping(), Host::off(87));
    let mut job = place.send(&[&host, &off], &["--exec", "reload"]);
    for revision in 1..=3 {
        job.says("the command reload: exited 0");
        job.signal(Signal::INT); // the other host is off: it would not end
        assert_eq!(job.ends().0, Some(130));
        let ran: Vec<u32> = host.ran().iter().map(|revision| revision.number).collect();
        assert_eq!(ran, (1..=revision).collect::<Vec<_>>());
        match revision {
            1 => fs::remove_file(place.tree().join("autumn/01/notes")).unwrap(),
            _ => fs::write(place.tree().join("autumn/01/words"), "new\n").unwrap(),
        }
        Place::grow_old();
        job = place.start(&["run", "lectures"]);
    }
    job.signal(Signal::INT);
    job.ends();
}

#[test]
fn what_does_not_succeed_everywhere_is_told_and_a_refusal_is_tried_again_when_resumed() {
    let place = Place::new();
    let first = Host::off(53).answering(&[exited(1)]);
    let second = Host::off(54).answering(&[OfReceiver::Dnpwd]);
    let (code, said) = place.send(&[&first, &second], &["--exec", "reload"]).ends();
    assert_eq!(code, Some(3), "{said}");
    assert!(said.contains("exited 1: why") && said.contains("dnpwd: it has no such"), "{said}");
    assert!(place.is_at(&first) && place.is_at(&second));
    let status = place.status();
    let state = |host: usize| status["hosts"][host]["exec_status"].clone();
    assert_eq!(
        (&status["state"], state(0), state(1)),
        (&"complete".into(), "exited 1".into(), "dnpwd".into())
    );
    let text = String::from_utf8(place.run(&["status", "lectures"]).stdout).unwrap();
    assert!(text.contains(&format!("command for revision 1: {}: dnpwd", second.name())), "{text}");
    // By now it has the command.
    let second = second.answering(&[exited(0)]);
    place.ok(&["resume", "lectures"]);
    assert_eq!(place.start(&["run", "lectures"]).ends().0, Some(3), "the first has failed still");
    assert_eq!((revisions(&first), revisions(&second)), (vec![1], vec![1, 1]));
    assert_eq!(place.status()["hosts"][1]["exec_status"], "exited 0");
}

#[test]
fn with_all_nobody_runs_it_before_everybody_has_the_tree() {
    let place = Place::new();
    let first = Host::off(55).answering(&[OfReceiver::Refused("not now".to_owned()), exited(0)]);
    let second = Host::off(56);
    let mut job = place.send(&[&first, &second], &["--exec", "reload", "--exec-when", "all"]);
    job.says("1 of 2 hosts has all of revision 1");
    place.wait_for("late", |status| status["hosts"][1]["why"].is_string());
    assert!(revisions(&first).is_empty());
    let second = second.answering(&[exited(0)]);
    let late = |status: &serde_json::Value| {
        status["hosts"][0]["why"].as_str().unwrap_or("").contains("not now")
    };
    place.wait_for("refused", late);
    let (code, said) = job.ends();
    assert_eq!(code, Some(0), "{said}");
    assert_eq!((revisions(&first), revisions(&second)), (vec![1, 1], vec![1]));
    assert!(place.status()["hosts"][0]["why"].is_null());
}

#[test]
fn a_tree_that_changes_while_the_command_runs_is_sent_meanwhile() {
    let place = Place::new();
    let host = Host::off(58).answering(&[OfReceiver::Busy]);
    let mut job = place.send(&[&host], &["--exec", "reload"]);
    job.says("1 of 1 host has all of revision 1");
    place.wait_for("asked", |_| !revisions(&host).is_empty());
    fs::write(place.tree().join("index"), "two\n").unwrap();
    let newer = |status: &serde_json::Value| status["hosts"][0]["complete"].as_u64() > Some(1);
    let status = place.wait_for("sent", newer);
    assert_eq!((&status["state"], place.is_at(&host)), (&"open".into(), true), "{status}");
    let host = host.answering(&[exited(0)]);
    let (code, said) = job.ends();
    assert_eq!(code, Some(0), "{said}");
    assert!(revisions(&host).last() > Some(&1), "it is run for the newest tree");
}

#[test]
fn a_password_that_others_can_read_is_none() {
    let place = Place::new();
    let secret = place.path().join("secret");
    fs::write(&secret, "a password\n").unwrap();
    fs::set_permissions(&secret, fs::Permissions::from_mode(0o644)).unwrap();
    let words =
        ["send", "--exec", "x", "--exec-credential", "secret", "lectures", "127.0.0.57:1:mirror"];
    let output = place.run(&words);
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(said.contains("others can read it"), "{said}");
    assert!(!place.path().join("state/jobs/lectures").exists(), "there is no job");
}
