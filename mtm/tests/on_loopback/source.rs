//! What of the source is not to be sent, and when it is not what it was.

use crate::{Host, Place};
use std::fs;

#[test]
fn the_folder_of_state_below_the_source_is_left_out_and_stays_at_receivers() {
    let place = Place::new();
    let host = Host::new(61);
    // What stands under that name there is the host's own.
    fs::create_dir_all(host.mirror("state")).unwrap();
    for name in ["state/own", "extra"] {
        fs::write(host.mirror(name), "there").unwrap();
    }
    let mut job = place.start(&["send", "--delete", "--name", "lectures", "./", &host.name()]);
    job.says("state, the folder of state of this program, is left out");
    place.wait_for("complete", |status| status["state"] == "complete");
    assert_eq!(job.ends().0, Some(0));
    assert!(host.mirror("lectures/index").exists() && !host.mirror("extra").exists());
    let names = |path| fs::read_dir(host.mirror(path)).unwrap().count();
    assert_eq!(names("state"), 1, "its own alone");
}

#[test]
fn the_folder_of_state_itself_is_no_source() {
    let place = Place::new();
    let host = Host::new(62);
    fs::create_dir_all(place.path().join("state/jobs")).unwrap();
    std::os::unix::fs::symlink("state/jobs", place.path().join("link")).unwrap();
    for source in ["state", "state/", "state/jobs", "link"] {
        let said = place.run(&["send", "--name", "lectures", source, &host.name()]);
        let why = String::from_utf8_lossy(&said.stderr);
        assert_eq!(said.status.code(), Some(1), "{why}");
        assert!(why.contains("the folder of state of this program"), "{why}");
    }
    assert_eq!(place.run(&["status"]).stdout, b"there is no job\n");
}

#[test]
fn a_file_or_link_takes_the_place_of_a_folder() {
    let place = Place::new();
    let hosts = [Host::new(63), Host::new(64)];
    assert_eq!(place.send(&hosts.each_ref(), &["--delete"]).ends().0, Some(0));
    let tree = place.tree();
    fs::create_dir(tree.join("spring")).unwrap();
    fs::write(tree.join("spring/01"), "first\n").unwrap();
    // Its own there, which no source has.
    fs::write(hosts[1].mirror("lectures/autumn/01/own"), "x").unwrap();
    let runs = |what: &str| {
        place.ok(&["resume", "lectures"]);
        let (code, said) = place.start(&["run", "lectures"]).ends();
        assert_eq!(code, Some(0), "{what}: {said}");
        assert!(!said.contains("refused"), "{what}: {said}");
        assert!(hosts.iter().all(|host| place.is_at(host)), "{what}: {said}");
    };
    runs("a folder more");
    fs::remove_dir_all(tree.join("spring")).unwrap();
    fs::write(tree.join("spring"), "a file\n").unwrap();
    fs::remove_dir_all(tree.join("autumn/01")).unwrap();
    std::os::unix::fs::symlink("../spring", tree.join("autumn/01")).unwrap();
    runs("two folders less");
}

#[test]
fn a_source_that_is_meant_to_be_empty_empties_its_mirrors() {
    let place = Place::new();
    let host = Host::new(65);
    let options = ["--delete", "--max-delete", "5"];
    assert_eq!(place.send(&[&host], &options).ends().0, Some(0));
    let empty = || {
        for name in fs::read_dir(place.tree()).unwrap().map(|entry| entry.unwrap().path()) {
            if name.is_dir() { fs::remove_dir_all(name) } else { fs::remove_file(name) }.unwrap();
        }
    };
    empty();
    place.ok(&["resume", "lectures"]);
    let mut job = place.start(&["run", "lectures"]);
    assert!(job.says("waiting").contains("is empty, as where a disk is not mounted"));
    assert!(host.mirror("lectures/index").exists());
    place.ok(&["resume", "--new-source", "lectures"]);
    let why = job.says("nothing is deleted");
    assert!(why.contains("at most 5 may be deleted (--max-delete)"), "{why}");
    let shown = place.run(&["status", "lectures"]).stdout;
    let shown = String::from_utf8(shown).unwrap();
    assert!(shown.contains("mtm resume --max-delete N lectures sets another bound"), "{shown}");
    drop(job);
    place.ok(&["resume", "--max-delete", "7", "lectures"]);
    let (code, said) = place.start(&["run", "lectures"]).ends();
    assert_eq!(code, Some(0), "{said}");
    assert!(place.is_at(&host) && !host.mirror("lectures/index").exists());

    // That was said of this time.
    fs::write(place.tree().join("f"), "x").unwrap();
    place.ok(&["resume", "lectures"]);
    assert_eq!(place.start(&["run", "lectures"]).ends().0, Some(0));
    empty();
    place.ok(&["resume", "lectures"]);
    place.start(&["run", "lectures"]).says("is empty");
    assert!(host.mirror("lectures/f").exists());
}

#[test]
fn a_file_is_no_new_source() {
    let place = Place::new();
    let host = Host::off(66);
    assert_eq!(place.send(&[&host], &["--detach"]).ends().0, Some(0));
    fs::remove_dir_all(place.tree()).unwrap();
    fs::write(place.tree(), "x").unwrap();
    let said = place.run(&["resume", "--new-source", "lectures"]);
    let why = String::from_utf8_lossy(&said.stderr);
    assert_eq!(said.status.code(), Some(2), "{why}");
    assert!(why.contains("is no folder"), "{why}");
}
