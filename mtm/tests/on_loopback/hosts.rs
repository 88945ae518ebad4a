//! Hosts that come to a job and leave it, and how they are told that it is over.

use crate::{Host, Place};
use serde_json::Value;
use std::fs;
use std::net::UdpSocket;
use std::time::{Duration, Instant};

#[test]
fn hosts_are_added_by_the_groups_of_the_job() {
    let place = Place::new();
    let (first, second) = (Host::new(71), Host::new(72));
    fs::write(place.path().join("groups"), format!("rack: {}\n", second.addr().ip())).unwrap();
    let options = ["--detach", "--host-groups", "groups"];
    assert_eq!(place.send(&[&first], &options).ends().0, Some(0));
    let added = format!("@rack:{}:mirror", second.addr().port());
    let said = place.ok(&["hosts", "add", "lectures", &added]);
    assert!(said.contains("nobody runs the job now"), "{said}");
    let status = place.status();
    assert_eq!(status["hosts"][1]["host"], second.name().as_str(), "{status}");
    place.ok(&["pause", "lectures"]);
    let said = place.ok(&["hosts", "add", "lectures", &second.at("other")]);
    assert!(said.contains("the job is paused: mtm resume lectures"), "{said}");
    place.ok(&["cancel", "lectures"]);
    let said = place.run(&["hosts", "add", "lectures", &second.at("third")]);
    let why = String::from_utf8_lossy(&said.stderr);
    assert_eq!(said.status.code(), Some(1), "{why}");
    assert!(why.contains("is over") && why.contains("mtm resume lectures"), "{why}");
    assert_eq!(place.status()["hosts"].as_array().unwrap().len(), 3);
}

#[test]
fn a_host_that_leaves_a_job_that_nobody_runs_is_told() {
    let place = Place::new();
    let (first, second, off) = (Host::new(73), Host::new(74), Host::off(75));
    assert_eq!(place.send(&[&first, &second, &off], &["--detach"]).ends().0, Some(0));
    let said = place.ok(&["hosts", "remove", "lectures", &second.name()]);
    assert!(second.heard_the_end() && !first.heard_the_end(), "{said}");
    assert!(said.is_empty(), "{said}");
    let said = place.ok(&["hosts", "remove", "lectures", &off.name()]);
    assert!(said.contains(&format!("{}: not reached", off.name())), "{said}");
    assert!(!first.heard_the_end());
}

#[test]
fn a_job_that_nobody_runs_is_cancelled_in_a_time() {
    // One that takes datagrams, and never answers.
    let deaf = UdpSocket::bind("127.0.0.76:0").unwrap();
    let at = |path: &str| format!("{}:{path}", deaf.local_addr().unwrap());
    for (patience, within) in [("60", 25), ("3", 8)] {
        let place = Place::new();
        let names = ["pa", "pb", "pc"].map(at);
        let names = names.each_ref().map(String::as_str);
        let options = ["send", "--detach", "--connect-timeout", patience, "lectures"];
        place.ok(&[&options[..], &names].concat());
        let begin = Instant::now();
        place.ok(&["cancel", "lectures"]);
        let took = begin.elapsed();
        assert!(took < Duration::from_secs(within), "{patience}: {took:?}");
    }
}

#[test]
fn entries_are_told_as_json() {
    let place = Place::new();
    let (there, off) = (Host::new(77), Host::off(78));
    let mut job = place.send(&[&there, &off], &[]);
    job.says("1 of 2 hosts has all");
    let table = place.run(&["status", "lectures", "--entries", "--json"]).stdout;
    let lines = String::from_utf8(table).unwrap();
    let lines: Vec<Value> =
        lines.lines().map(|line| serde_json::from_str(line).expect(line)).collect();
    assert_eq!(lines.len(), 8);
    let video = lines.iter().find(|line| line["entry"] == "lectures/autumn/01/video").unwrap();
    assert_eq!((&video["size"], &video["gone"]), (&300_000.into(), &false.into()), "{video}");
    let at =
        |index: usize| (video["hosts"][index]["host"].clone(), &video["hosts"][index]["status"]);
    assert_eq!(at(0), (there.name().into(), &"done".into()), "{video}");
    assert_eq!(at(1), (off.name().into(), &"pending".into()), "{video}");
}
