//! What goes wrong, and that nothing is lost by it.

use crate::{Host, Place};
use rustix::process::Signal;
use std::fs;
use std::os::unix::fs::MetadataExt;

#[test]
fn a_host_that_is_off_gets_it_when_it_is_there_and_a_new_installation_gets_all() {
    let place = Place::new();
    let (mut first, mut second) = (Host::new(31), Host::off(32));
    let mut job = place.send(&[&first, &second], &[]);
    job.says("1 of 2 hosts has all of revision 1");
    let status = place.wait_for("late", |status| status["hosts"][1]["why"].is_string());
    assert!(status["hosts"][1]["why"].as_str().unwrap().contains("nobody listens"), "{status}");
    assert_eq!(
        (&status["hosts"][0]["done"], &status["hosts"][1]["pending"]),
        (&8.into(), &8.into())
    );
    second.start();
    let (code, said) = job.ends();
    assert_eq!(code, Some(0), "{said}");
    assert!(place.is_at(&first) && place.is_at(&second));
    assert_eq!(second.taken(), first.taken());

    first.reinstall();
    place.ok(&["resume", "lectures"]);
    fs::write(place.tree().join("index"), "two\n").unwrap();
    assert_eq!(place.start(&["run", "lectures"]).ends().0, Some(0));
    assert!(place.is_at(&first), "it has all of it, not what has changed alone");
    assert!(place.is_at(&second));
}

#[test]
fn whatever_kills_the_sender_nothing_done_is_sent_again() {
    let place = Place::new();
    let hosts = [Host::off(33).slow(20_000_000), Host::off(34).slow(20_000_000)];
    let mut hosts = hosts;
    hosts.iter_mut().for_each(Host::start);
    for n in 0..40 {
        fs::write(place.tree().join(format!("part{n}")), vec![n; 100_000]).unwrap();
    }
    Place::grow_old();
    let mut job = place.send(&hosts.each_ref(), &["--sync", "file"]);
    job.says("revision 1");
    let arrived = |host: &Host| fs::read_dir(host.mirror("lectures")).map_or(0, Iterator::count);
    while arrived(&hosts[0]) < 12 {
        std::thread::sleep(std::time::Duration::from_millis(5));
    }
    job.kill();
    let inode =
        |host: &Host| fs::metadata(host.mirror("lectures/part0")).map(|meta| meta.ino()).ok();
    let before: Vec<_> = hosts.iter().map(inode).collect();
    let (code, said) = place.start(&["run", "lectures"]).ends();
    assert_eq!(code, Some(0), "{said}");
    assert!(hosts.iter().all(|host| place.is_at(host)));
    let after: Vec<_> = hosts.iter().map(inode).collect();
    for (before, after) in before.iter().zip(&after).filter(|(before, _)| before.is_some()) {
        assert_eq!(before, after, "it was there, and stayed");
    }
}

#[test]
fn an_interrupted_job_says_how_it_goes_on() {
    let place = Place::new();
    let off = Host::off(35);
    let mut job = place.send(&[&off], &[]);
    job.says("revision 1");
    job.signal(Signal::INT);
    let (code, said) = job.ends();
    assert_eq!(code, Some(130), "{said}");
    assert!(said.contains("mtm run lectures goes on with it"), "{said}");
}

#[test]
fn what_has_come_without_a_verdict_is_sent_and_not_done() {
    let place = Place::new();
    let host = Host::new(49);
    host.set_judges_late(true);
    let mut job = place.send(&[&host], &[]);
    job.says("revision 1");
    let begin = std::time::Instant::now();
    while !host.has_all() {
        assert!(begin.elapsed() < crate::job::LONG);
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
    job.signal(Signal::INT);
    assert_eq!(job.ends().0, Some(130));
    let of = |status: &serde_json::Value| {
        let host = &status["hosts"][0];
        (host["sent"].clone(), host["announced"].clone(), host["done"].clone())
    };
    let status = place.status();
    assert_eq!(of(&status), (8.into(), 0.into(), 0.into()), "{status}");
    assert_eq!((&status["complete"], &status["hosts"][0]["complete"]), (&0.into(), &0.into()));

    host.set_judges_late(false);
    let (code, said) = place.start(&["run", "lectures"]).ends();
    assert_eq!(code, Some(0), "{said}");
    assert_eq!(of(&place.status()), (0.into(), 0.into(), 8.into()));
    assert!(place.is_at(&host));
}

#[test]
fn a_source_that_is_gone_empties_no_mirror() {
    let place = Place::new();
    let (there, mut off) = (Host::new(36), Host::off(37));
    let mut job = place.send(&[&there, &off], &["--delete"]);
    job.says("1 of 2 hosts");
    let aside = place.path().join("aside");
    fs::rename(place.tree(), &aside).unwrap();
    fs::create_dir(place.tree()).unwrap(); // as a file system that is not mounted
    off.start();
    let why = job.says("waiting");
    assert!(why.contains("another folder than the job was given"), "{why}");
    assert_eq!(place.status()["state"], "waiting");
    assert!(there.mirror("lectures/index").exists() && !off.mirror("lectures/index").exists());
    fs::remove_dir(place.tree()).unwrap();
    fs::rename(&aside, place.tree()).unwrap();
    let (code, said) = job.ends();
    assert_eq!(code, Some(0), "{said}");
    assert!(place.is_at(&there) && place.is_at(&off));

    // Another folder in its place is the tree if that is said.
    fs::rename(place.tree(), &aside).unwrap();
    fs::create_dir(place.tree()).unwrap();
    fs::write(place.tree().join("new"), "x").unwrap();
    place.ok(&["resume", "lectures", "--new-source"]);
    assert_eq!(place.start(&["run", "lectures"]).ends().0, Some(0));
    assert!(place.is_at(&there) && place.is_at(&off));
}

#[test]
fn an_entry_that_cannot_be_there_is_named_and_tried_again() {
    let place = Place::new();
    let (good, bad) = (Host::new(38), Host::new(39));
    // A folder with something in it stands where a link is to be.
    let in_the_way = bad.folder().join("mirror/lectures/autumn/last");
    fs::create_dir_all(&in_the_way).unwrap();
    fs::write(in_the_way.join("x"), "").unwrap();
    let mut job = place.send(&[&good, &bad], &[]);
    job.says("1 of 2 hosts");
    let status = place.wait_for("failed", |status| status["hosts"][1]["failed"] == 1);
    let failures = &status["hosts"][1]["failures"];
    assert_eq!(
        (&failures[0]["entries"], &status["hosts"][1]["done"]),
        (&1.into(), &7.into()),
        "{status}"
    );
    let table = String::from_utf8(place.run(&["status", "lectures", "--entries"]).stdout).unwrap();
    let line = table.lines().find(|line| line.starts_with("lectures/autumn/last")).unwrap();
    assert!(line.ends_with(&format!("{}[failed, failed 1 time]", bad.name())), "{line}");
    fs::remove_file(in_the_way.join("x")).unwrap();
    fs::remove_dir(&in_the_way).unwrap();
    let (code, said) = job.ends();
    assert_eq!(code, Some(0), "{said}");
    assert!(place.is_at(&bad));
}

#[test]
fn what_makes_no_sense_makes_no_job() {
    let place = Place::new();
    let host = Host::off(40);
    let name = host.name();
    fs::write(place.path().join("file"), "").unwrap();
    for (words, code, why) in [
        (vec!["send", "file", &name], 2, "is no folder"),
        (vec!["send", "lectures"], 2, "no host is given"),
        (vec!["send", "nothing", &name], 1, "cannot send nothing"),
        (vec!["send", "--name", "../x", "lectures", &name], 2, "cannot be a job's name"),
        (
            vec!["send", "--retry", "3", "lectures", &name],
            2,
            "--retry has no use with a mirror job",
        ),
        (vec!["send", "--late-join", "lectures", &name], 2, "--late-join has no use"),
        (vec!["send", "--min-hosts", "1", "lectures", &name], 2, "--min-hosts has no use"),
        (vec!["send", "--slow", "drop", "lectures", &name], 2, "needs --slow-limit"),
        (vec!["send", "-n", "lectures", &name], 2, "--dry-run has no use"),
        (vec!["send", "--late", "1d", "lectures", &name], 2, "--done"),
        (vec!["send", "--secret-file", "nothing", "lectures", &name], 1, "nothing"),
        (vec!["run", "nothing"], 1, "there is no job nothing"),
        (vec!["status", "nothing"], 1, "there is no job nothing"),
        (vec!["status", "--entries"], 2, "JOB"),
        (vec!["nothing"], 2, "nothing"),
    ] {
        let output = place.run(&words);
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(code), "{words:?}: {said}");
        assert!(said.contains(why), "{words:?}: {said}");
    }
    assert_eq!(place.run(&["status"]).stdout, b"there is no job\n");
    // What is asked of all copies of this user is no fault of this one.
    let sent = place
        .command(&["send", "--detach", "lectures", &name])
        .env("MCP_RETRY", "3")
        .output()
        .unwrap();
    assert!(sent.status.success(), "{}", String::from_utf8_lossy(&sent.stderr));
}

#[test]
fn a_host_that_deletes_nothing_is_not_told_to_be_a_mirror() {
    let place = Place::new();
    let mut host = Host::off(41);
    host.set_deletes(false);
    host.start();
    fs::create_dir_all(host.mirror("lectures")).unwrap();
    fs::write(host.mirror("lectures/of last year"), "").unwrap();
    let mut job = place.send(&[&host], &["--delete"]);
    let why = job.says("nothing is deleted");
    assert!(why.contains("allows no sender to delete"), "{why}");
    let status = place.wait_for("late", |status| status["hosts"][0]["why"].is_string());
    assert_eq!((&status["state"], &status["hosts"][0]["done"]), (&"open".into(), &8.into()));
    // What is counted is who is complete, and not who lacks no entry.
    assert_eq!((&status["complete"], &status["hosts"][0]["complete"]), (&0.into(), &0.into()));
    let text = String::from_utf8(place.run(&["status", "lectures"]).stdout).unwrap();
    assert!(text.contains("0 of 1 host has all of revision 1"), "{text}");
    host.stop();
    host.set_deletes(true);
    host.start();
    // It lacks nothing, and is a mirror only once it has nothing else.
    let (code, said) = job.ends();
    assert_eq!(code, Some(0), "{said}");
    assert!(place.is_at(&host));
}

#[test]
fn what_cannot_be_read_at_the_source_keeps_a_job_open_and_is_named() {
    let place = Place::new();
    let host = Host::new(42);
    // Deeper than a tree may be: root reads whatever there is.
    let deep = place.tree().join("x/".repeat(130));
    fs::create_dir_all(&deep).unwrap();
    let mut job = place.send(&[&host], &[]);
    let why = job.says("cannot be read");
    assert!(why.contains("deeper than 128 folders"), "{why}");
    let open = place.wait_for("sent", |status| status["hosts"][0]["late_since"].is_string());
    let said = open["why"].as_str().unwrap();
    assert!(open["state"] == "open" && said.contains("deeper than 128 folders"), "{open}");
    fs::remove_dir_all(place.tree().join("x")).unwrap();
    let (code, said) = job.ends();
    assert_eq!(code, Some(0), "{said}");
    let status = place.status();
    assert_eq!((&status["state"], &status["why"]), (&"complete".into(), &serde_json::Value::Null));
}

#[test]
fn a_job_goes_on_when_the_folder_is_gone_in_which_it_was_given() {
    let place = Place::new();
    let host = Host::new(47);
    let (gone, tree) = (place.path().join("gone"), place.tree());
    let give = |name: &str, options: &[&str]| {
        fs::create_dir(&gone).unwrap();
        fs::write(gone.join("rules"), "- *.o\n").unwrap();
        let (tree, host) = (tree.to_str().unwrap(), host.name());
        let words = [&["send", "--detach", "--name", name], options, &[tree, &host]].concat();
        let given = place.command(&words).current_dir(&gone).output().unwrap();
        assert!(given.status.success(), "{}", String::from_utf8_lossy(&given.stderr));
        fs::remove_dir_all(&gone).unwrap();
    };
    give("lectures", &[]);
    place.ok(&["run", "lectures"]);
    assert!(place.is_at(&host));

    // What is meant from the folder is not looked for elsewhere.
    give("with-a-file", &["--filter", "merge rules"]);
    let run = place.run(&["run", "with-a-file"]);
    let said = String::from_utf8_lossy(&run.stderr);
    assert_eq!(run.status.code(), Some(1), "{said}");
    assert!(said.contains("/gone, where the job was given, is gone"), "{said}");
    assert!(said.contains("--filter rules is meant from it: make the folder again"), "{said}");
    // Receivers are told all the same, for which no rule is read.
    let said = place.ok(&["cancel", "with-a-file"]);
    assert!(said.is_empty() && host.heard_the_end(), "{said}");
}

#[test]
fn several_paths_of_a_host_are_served_one_after_the_other() {
    let place = Place::new();
    let host = Host::new(48);
    let names = ["pa", "pb", "pc"].map(|path| host.at(path));
    let words = [&["send", "lectures"][..], &names.each_ref().map(String::as_str)].concat();
    let (code, said) = place.start(&words).ends();
    assert_eq!(code, Some(0), "{said}");
    assert!(!said.contains("already gets"), "nobody fails: {said}");
    for path in ["pa", "pb", "pc"] {
        assert!(host.folder().join(path).join("lectures/autumn/01/video").exists(), "{path}");
    }
}
