//! A job whose file was restored from an older copy.

use crate::{Host, Place};
use mtm::revision::Revision;
use rustix::process::Signal;
use std::fs;

/// Runs the job until the command was run; of one that `stays` open it is interrupted then.
fn run(place: &Place, stays: bool, before: &str) {
    if !stays {
        place.ok(&["resume", "lectures"]);
    }
    let mut job = place.start(&["run", "lectures"]);
    job.says(before);
    job.says("the command reload: exited 0");
    if stays {
        job.signal(Signal::INT);
    }
    let (code, said) = job.ends();
    assert_eq!(code, Some(if stays { 130 } else { 0 }), "{said}");
}

/// `stays`: another host is off, so that the hosts are never told that the job is over.
fn restored(last: u8, stays: bool) {
    let place = Place::new();
    let host = Host::new(last).keeping();
    let off = Host::off(last + 1);
    let hosts = if stays { vec![&host, &off] } else { vec![&host] };
    Place::grow_old();
    let mut job = place.send(&hosts, &["--exec", "reload", "--detach"]);
    assert_eq!(job.child.wait().unwrap().code(), Some(0));
    run(&place, stays, "has all of revision 1");
    let copy = place.path().join("copy");
    fs::copy(place.file("lectures"), &copy).unwrap();

    // Another folder stands there for a while.
    let (there, aside) = (place.tree().join("autumn/01"), place.path().join("aside"));
    fs::rename(&there, &aside).unwrap();
    fs::create_dir(&there).unwrap();
    for content in ["what is lost", "what is lost, too"] {
        fs::write(there.join("notes"), content).unwrap();
        Place::grow_old();
        run(&place, stays, "has all of revision");
    }
    assert_eq!(
        fs::read_to_string(host.mirror("lectures/autumn/01/notes")).unwrap(),
        "what is lost, too"
    );

    // As the copy knows it, but for one file: the others have the times that they had.
    fs::remove_dir_all(&there).unwrap();
    fs::rename(&aside, &there).unwrap();
    fs::write(place.tree().join("index"), "another one\n").unwrap();
    Place::grow_old();
    for name in ["job-wal", "job-shm"] {
        let _ = fs::remove_file(place.file("lectures").with_file_name(name)); // it was closed
    }
    fs::copy(&copy, place.file("lectures")).unwrap();
    run(&place, stays, "restored from an older copy");
    assert!(place.is_at(&host));
    let ran = host.ran();
    let numbers: Vec<u32> = ran.iter().map(|revision| revision.number).collect();
    assert_eq!(numbers, [1, 2, 3, 2]);
    assert_ne!(ran[3], ran[1], "another one of that number");
    assert!(ran.iter().all(|revision| revision.edition != Revision::UNKNOWN));
    // Nothing is said or sent again.
    run_again(&place, stays);
    assert_eq!(host.ran().len(), 4);
}

/// Once more, with nothing to do.
fn run_again(place: &Place, stays: bool) {
    if stays {
        return; // it never ends
    }
    place.ok(&["resume", "lectures"]);
    let (code, said) = place.start(&["run", "lectures"]).ends();
    assert!(code == Some(0) && !said.contains("restored"), "{code:?} {said}");
}

#[test]
fn a_job_that_was_over_runs_the_command_again_and_the_mirror_is_the_source() {
    restored(76, false);
}

#[test]
fn a_job_that_was_open_runs_the_command_again_and_the_mirror_is_the_source() {
    restored(78, true);
}
