//! A job that goes well, and what people say to it meanwhile.

use crate::{Host, Place};
use rustix::process::Signal;
use std::fs;

#[test]
fn a_tree_reaches_all_hosts_and_later_what_has_changed_in_it() {
    let place = Place::new();
    let hosts = [Host::new(11), Host::new(12), Host::new(13)];
    let (code, said) =
        place.send(&hosts.each_ref(), &["--delete", "--description", "of 2026"]).ends();
    assert_eq!(code, Some(0), "{said}");
    assert!(said.contains("3 of 3 hosts have all of revision 1"), "{said}");
    assert!(hosts.iter().all(|host| place.is_at(host)));
    let index = fs::metadata(hosts[0].mirror("lectures/index")).unwrap();
    assert_eq!(std::os::unix::fs::MetadataExt::nlink(&index), 2);
    let before: Vec<u64> = hosts.iter().map(Host::taken).collect();

    fs::remove_file(place.tree().join("autumn/01/notes")).unwrap();
    fs::write(place.tree().join("autumn/02"), "second\n").unwrap();
    let text = String::from_utf8(place.run(&["status", "lectures"]).stdout).unwrap();
    assert!(
        text.starts_with("lectures: complete; 3 of 3 hosts have all of revision 1 (8 entries"),
        "{text}"
    );
    assert!(text.contains("of 2026"), "{text}");
    Place::grow_old();
    place.ok(&["resume", "lectures"]);
    let (code, said) = place.start(&["run", "lectures"]).ends();
    assert_eq!(code, Some(0), "{said}");
    assert!(hosts.iter().all(|host| place.is_at(host)));
    let now: Vec<u64> = hosts.iter().map(Host::taken).collect();
    assert!(now.iter().zip(&before).all(|(now, before)| now - before == 7), "{before:?} {now:?}");
    let status = place.status();
    assert_eq!((&status["revision"], &status["complete"]), (&2.into(), &3.into()), "{status}");
    let table = String::from_utf8(place.run(&["status", "lectures", "--entries"]).stdout).unwrap();
    let names = hosts.each_ref().map(Host::name);
    let [one, two, three] = &names;
    let line = format!("lectures/autumn/02\t{one}[done],{two}[done],{three}[done]");
    assert!(table.lines().any(|other| other == line), "{table}");
    assert!(!table.contains("notes"), "what is gone everywhere is forgotten: {table}");
}

#[test]
fn a_job_that_was_only_written_is_carried_on_with_all_others() {
    let place = Place::new();
    let mut host = Host::off(14);
    let said = place.send(&[&host], &["--detach"]).ends();
    assert_eq!(said.0, Some(0), "{}", said.1);
    assert_eq!(place.status()["state"], "open");
    let mut all = place.start(&["run"]);
    all.says("revision 1");
    host.start();
    place.wait_for("complete", |status| status["state"] == "complete");
    assert!(place.is_at(&host));
    // Another one, while it runs.
    let name = host.name();
    let (folder, other) = (place.path().join("other"), Host::new(15));
    fs::create_dir(&folder).unwrap();
    fs::write(folder.join("f"), "x").unwrap();
    place.ok(&["send", "--detach", "other", &other.name()]);
    let begin = std::time::Instant::now();
    while !other.mirror("other/f").exists() {
        assert!(begin.elapsed().as_secs() < 60);
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
    all.signal(Signal::TERM);
    assert_eq!(all.ends().0, Some(0));
    let said = place.run(&["send", "lectures", &name, "--name", "lectures"]).stderr;
    assert!(String::from_utf8_lossy(&said).contains("there is a job lectures already"));
}

#[test]
fn a_job_has_one_process_at_a_time() {
    let place = Place::new();
    let off = Host::off(22);
    let mut job = place.send(&[&off], &[]);
    job.says("revision 1");
    let second = place.run(&["run", "lectures"]);
    let said = String::from_utf8_lossy(&second.stderr);
    assert_eq!(second.status.code(), Some(1), "{said}");
    assert!(said.contains(&format!("in use by process {}", job.child.id())), "{said}");
}

#[test]
fn a_command_of_the_users_that_does_not_end_holds_up_nothing_that_people_say() {
    let place = Place::new();
    let host = Host::new(23);
    let mut job = place.send(&[&host], &["--done", "touch began; exec sleep 600"]);
    let begin = std::time::Instant::now();
    while !place.path().join("began").exists() {
        assert!(begin.elapsed().as_secs() < 60);
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
    place.ok(&["pause", "lectures"]);
    job.says("the job is paused");
    job.signal(Signal::TERM);
    assert_eq!(job.ends().0, Some(130));
    assert_eq!(place.status()["state"], "paused");
}

#[test]
fn what_is_to_be_verified_of_a_job_that_is_paused_is_so_when_it_goes_on() {
    let place = Place::new();
    let host = Host::off(24);
    assert_eq!(place.send(&[&host], &["--detach"]).ends().0, Some(0));
    place.ok(&["pause", "lectures"]);
    let said = place.ok(&["verify", "lectures"]);
    assert!(said.contains("mtm resume lectures goes on with it"), "{said}");
    let status = place.status();
    assert_eq!((&status["state"], &status["hosts"][0]["verify"]), (&"paused".into(), &true.into()));
    let told = |place: &Place| String::from_utf8(place.run(&["status"]).stdout).unwrap();
    let line = format!("\n  to be verified: {}\n", host.name());
    assert!(told(&place).contains(&line), "{}", told(&place));
    place.ok(&["cancel", "lectures"]);
    assert!(!told(&place).contains(&line), "{}", told(&place));
    let said = place.run(&["verify", "lectures"]).stderr;
    assert!(String::from_utf8_lossy(&said).contains("is over"));
    assert_eq!(place.status()["state"], "cancelled");
}

#[test]
fn receivers_are_told_that_it_is_over_whatever_was_to_be_copied() {
    let place = Place::new();
    let (there, off) = (Host::new(25).answering(&[]), Host::off(26));
    fs::write(place.path().join("rules"), "*.tmp\n").unwrap();
    let mut job = place.send(&[&there, &off], &["--exclude-from", "rules"]);
    job.says("1 of 2 hosts");
    job.kill();
    fs::remove_file(place.path().join("rules")).unwrap();
    fs::remove_dir_all(place.tree()).unwrap();
    let said = place.ok(&["cancel", "lectures"]);
    assert!(there.heard_the_end(), "{said}");
}

#[test]
fn the_folder_of_state_of_the_configuration_file_is_that_of_all_commands() {
    let place = Place::new();
    let (config, elsewhere) = (place.path().join("config"), place.path().join("elsewhere"));
    fs::write(&config, format!("state-dir = {elsewhere:?}\n")).unwrap();
    let run = |words: &[&str]| {
        let mut command = place.command(words);
        let output =
            command.env_remove("MCP_STATE_DIR").env("MCP_CONFIG", &config).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    };
    run(&["send", "--detach", "lectures", "127.0.0.27"]);
    assert!(elsewhere.join("jobs/lectures/job").exists());
    assert!(run(&["status"]).contains("lectures"));
}

#[test]
fn a_job_is_paused_gets_hosts_and_loses_some_while_it_runs() {
    let place = Place::new();
    let (first, mut second, third) = (Host::new(16), Host::off(17), Host::new(18));
    let mut job = place.send(&[&first, &second], &["--name", "lectures"]);
    job.says("1 of 2 hosts has all of revision 1");
    place.ok(&["pause", "lectures"]);
    job.says("the job is paused");
    second.start();
    place.ok(&["hosts", "add", "lectures", &third.name()]);
    let status = place.status();
    assert_eq!((&status["state"], &status["complete"]), (&"paused".into(), &1.into()), "{status}");
    place.ok(&["resume", "lectures"]);
    job.says("3 of 3 hosts have all of revision 1");
    assert_eq!(job.ends().0, Some(0));
    assert!(place.is_at(&second) && place.is_at(&third));
    place.ok(&["hosts", "remove", "lectures", &first.name()]);
    let all = format!("{},{}", second.name(), third.name());
    for (words, why) in [
        (["hosts", "remove", "lectures", &first.name()], "is no host of the job"),
        (["hosts", "remove", "lectures", &all], "these are all hosts"),
        (["hosts", "add", "nothing", &all], "there is no job nothing"),
        (["hosts", "add", "lectures", "h[1-"], "h[1-"),
    ] {
        let output = place.run(&words);
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(!output.status.success() && said.contains(why), "{words:?}: {said}");
    }
}

#[test]
fn what_a_host_has_is_read_when_that_is_asked() {
    let place = Place::new();
    let host = Host::new(19);
    assert_eq!(place.send(&[&host], &[]).ends().0, Some(0));
    // Damaged, and all that is told of it is as it was.
    let video = host.mirror("lectures/autumn/01/video");
    let times = fs::metadata(&video).unwrap().modified().unwrap();
    fs::write(&video, vec![8; 300_000]).unwrap();
    fs::File::options().write(true).open(&video).unwrap().set_modified(times).unwrap();
    place.ok(&["resume", "lectures"]);
    assert_eq!(place.start(&["run", "lectures"]).ends().0, Some(0));
    assert!(!place.is_at(&host), "nobody has looked at it");
    let said = place.ok(&["verify", "lectures"]);
    assert!(said.contains("nobody runs the job now"), "{said}");
    assert_eq!(place.start(&["run", "lectures"]).ends().0, Some(0));
    assert!(place.is_at(&host));
    assert_eq!(place.status()["hosts"][0]["verify"], false);
}

#[test]
fn a_job_that_was_cancelled_sends_nothing_and_can_be_forgotten() {
    let place = Place::new();
    let (there, off) = (Host::new(20), Host::off(21));
    let mut job = place.send(&[&there, &off], &[]);
    job.says("1 of 2 hosts");
    place.ok(&["cancel", "lectures"]);
    let (code, said) = job.ends();
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains("the job lectures was cancelled"), "{said}");
    assert_eq!(place.status()["state"], "cancelled");
    assert!(!place.run(&["pause", "lectures"]).status.success());
    place.ok(&["cancel", "--forget", "lectures"]);
    assert_eq!(place.run(&["status"]).stdout, b"there is no job\n");
    // The name is free again.
    assert_eq!(place.send(&[&there], &[]).ends().0, Some(0));
}

#[test]
fn a_host_that_was_never_met_is_told_that_the_job_is_cancelled() {
    let place = Place::new();
    let (refusing, off) = (Host::new(25).refusing(), Host::off(26));
    let mut job = place.send(&[&refusing, &off], &[]);
    job.says("not here");
    place.ok(&["cancel", "lectures"]);
    assert_eq!(job.ends().0, Some(1));
    assert!(refusing.heard_the_end());
}

#[test]
fn the_users_own_command_is_told_of_the_end_and_of_who_is_late() {
    let place = Place::new();
    let (there, mut off) = (Host::new(22), Host::off(23));
    let log = place.path().join("log");
    let command = format!("echo $MTM_JOB $MTM_EVENT $MTM_HOST >> {}", log.display());
    let job = place.send(&[&there, &off], &["--done", &command, "--late", "1s"]);
    let begin = std::time::Instant::now();
    while fs::read_to_string(&log).unwrap_or_default().is_empty() {
        assert!(begin.elapsed().as_secs() < 60);
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
    off.start();
    let (code, said) = job.ends();
    assert_eq!(code, Some(0), "{said}");
    let log = fs::read_to_string(&log).unwrap();
    assert_eq!(log, format!("lectures late {}\nlectures complete\n", off.name()));
}

#[test]
fn what_is_left_of_a_job_without_a_file_that_can_be_read_hides_no_other() {
    let place = Place::new();
    let host = Host::new(24);
    assert_eq!(place.send(&[&host], &[]).ends().0, Some(0));
    let jobs = place.path().join("state/jobs");
    for (name, text) in
        [("a-killed", ""), ("b-other", "no database at all, but long enough to look like one")]
    {
        fs::create_dir(jobs.join(name)).unwrap();
        fs::write(jobs.join(name).join("job"), text).unwrap();
    }
    let output = place.run(&["status"]);
    let (shown, said) =
        (String::from_utf8(output.stdout).unwrap(), String::from_utf8(output.stderr).unwrap());
    assert_eq!(output.status.code(), Some(1));
    assert!(shown.starts_with("lectures: complete"), "{shown}");
    assert!(said.contains("a-killed") && said.contains("b-other"), "{said}");
    // The name of one that was killed before there was a job in it is free.
    place.ok(&["send", "--name", "a-killed", "--detach", "lectures", &host.name()]);
    place.ok(&["cancel", "--forget", "b-other"]);
    assert!(!jobs.join("b-other").exists());
}
