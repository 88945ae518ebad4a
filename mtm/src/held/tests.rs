use super::*;
use crate::exec::ExitStatusWord;
use crate::revision::Revision;
use proptest::prelude::*;

const DAY: u64 = 24 * 3600 * 1000;

fn known(job: u8, place: &str, heard: u64) -> Known {
    Known {
        job: [job; 16],
        master: Some(vec![job]),
        name: format!("job{job}"),
        host: "h1".to_owned(),
        place: place.into(),
        hello: Some(([10, 0, 0, 1], 9000).into()),
        peer: Some([10, 0, 0, 1].into()),
        instance: [9; 16],
        complete: None,
        heard,
    }
}

/// The revision of that number.
fn nth(number: u32) -> Revision {
    Revision::new(number, u64::from(number) + 100)
}

/// The editions of all revisions up to 9.
const LINE: [u64; 10] = [100, 101, 102, 103, 104, 105, 106, 107, 108, 109];

/// Since that one.
fn since(number: u32) -> (u32, &'static [u64]) {
    (number, &LINE[number as usize..])
}

fn new() -> (tempfile::TempDir, Held) {
    let dir = tempfile::tempdir().unwrap();
    let held = Held::open(&dir.path().join("mirrors")).unwrap();
    (dir, held)
}

#[test]
fn a_place_is_of_one_job_until_that_is_over_or_its_master_is_gone() {
    let (dir, mut held) = new();
    held.begin(&known(1, "/srv/a", DAY)).unwrap();
    held.begin(&known(2, "/srv/ab", DAY)).unwrap();
    for place in ["/srv/a", "/srv", "/srv/a/b"] {
        let why = held.begin(&known(3, place, 2 * DAY)).unwrap_err();
        assert!(matches!(&why, HeldError::Taken { job, .. } if job == "job1"), "{why}");
        assert!(why.to_string().contains("24 hours ago"), "{why}");
    }
    held.begin(&known(1, "/srv/a", 2 * DAY)).unwrap();
    held.begin(&known(1, "/srv/c", 2 * DAY)).unwrap(); // it goes on elsewhere
    held.begin(&known(3, "/srv/a", 2 * DAY)).unwrap();
    assert!(matches!(held.over(([3; 16], "h1"), Some(b"other")), Err(HeldError::Foreign)));
    held.over(([3; 16], "h1"), Some(&[3])).unwrap();
    held.over(([3; 16], "h1"), None).unwrap(); // of what is not known
    held.begin(&known(4, "/srv/a", 2 * DAY)).unwrap();
    drop(held);
    // Seven days later the place of a master that was not heard is free, and it is known still until another has it.
    let mut held = Held::open(&dir.path().join("mirrors")).unwrap();
    held.heard(([2; 16], "h1"), 3 * DAY).unwrap();
    let names = |held: &mut Held, now| {
        held.all(now).unwrap().into_iter().map(|known| known.name).collect::<Vec<_>>()
    };
    let late = 9 * DAY + 1;
    assert!(matches!(held.begin(&known(5, "/srv/ab", late)), Err(HeldError::Taken { .. })));
    assert_eq!(names(&mut held, late), ["job4", "job2", "job1"]);
    held.begin(&known(5, "/srv/a", late)).unwrap();
    assert_eq!(names(&mut held, late), ["job5", "job2", "job1"]);
    let alive = held.alive(370 * DAY).unwrap().into_iter().map(|known| known.name);
    assert_eq!(alive.collect::<Vec<_>>(), ["job5"], "after a year");
    assert_eq!(names(&mut held, 370 * DAY), ["job5", "job2", "job1"], "their places stay theirs");
    held.begin(&known(2, "/srv/ab", late)).unwrap();
    assert_eq!(held.drop_lease(Path::new("/srv")).unwrap(), 3);
    assert_eq!(held.all(0).unwrap(), []);
}

#[test]
fn no_place_of_a_job_is_in_another_one_of_it() {
    let (dir, mut held) = new();
    let of = |host: &str, place: &Path, heard| Known {
        host: host.to_owned(),
        ..known(1, place.to_str().unwrap(), heard)
    };
    let at = |path: &str| dir.path().join(path);
    std::fs::create_dir(at("q")).unwrap();
    std::os::unix::fs::symlink("q", at("mounted")).unwrap(); // stands for a second mount
    held.begin(&of("h:q/sub", &at("q/sub"), DAY)).unwrap();
    for place in [at("q"), at("q/sub/deep"), at("mounted/sub"), dir.path().to_owned()] {
        let why = held.begin(&of("h:q", &place, DAY)).unwrap_err();
        assert!(matches!(&why, HeldError::Nested { host, .. } if host == "h:q/sub"), "{why}");
        assert!(held.may_begin(&of("h:q", &place, DAY)).is_err(), "{}", place.display());
    }
    held.begin(&of("h:other", &at("q-2"), DAY)).unwrap();
    held.begin(&of("h:q/sub", &at("q"), DAY)).unwrap(); // by that name it goes on elsewhere
    held.begin(&of("h:./q", &at("q"), DAY)).unwrap(); // another name of the place
    let hosts = held.all(DAY).unwrap().into_iter().map(|known| known.host);
    assert_eq!(hosts.collect::<Vec<_>>(), ["h:./q", "h:other"]);
    // What was removed from the job, and was not reached since, keeps its place for as long as another job's.
    held.begin(&of("h:q/sub", &at("q/sub"), 9 * DAY)).unwrap();
    assert_eq!(held.all(9 * DAY).unwrap().len(), 2);
}

#[test]
fn a_clock_that_is_set_later_ends_no_lease() {
    let (_dir, mut held) = new();
    let today = 20_700 * DAY; // in 2026
    held.begin(&known(1, "/srv/a", 5)).unwrap();
    held.heard(([1; 16], "h1"), DAY).unwrap();
    for (now, heard) in [(DAY, DAY), (today, today), (today + DAY, today), (DAY, today)] {
        let all = held.alive(now).unwrap();
        assert_eq!((all.len(), all[0].heard), (1, heard), "at {now}");
        let other = held.may_begin(&known(2, "/srv/a", now));
        assert!(matches!(other, Err(HeldError::Taken { .. })), "at {now}");
    }
    // It starts in 1970 once more, and its master is heard.
    held.heard(([1; 16], "h1"), 2 * DAY).unwrap();
    held.begin(&known(1, "/srv/a", 3 * DAY)).unwrap();
    assert_eq!(held.alive(today + 300 * DAY).unwrap()[0].heard, today);
    // A clock that is a year ahead for a while says no hello meanwhile, and that is all.
    assert_eq!(held.alive(today + 400 * DAY).unwrap(), []);
    assert_eq!(held.alive(today + 2 * DAY).unwrap().len(), 1);
    assert!(held.may_begin(&known(2, "/srv/a", today + 8 * DAY)).is_ok(), "seven days have passed");
}

#[test]
fn the_job_of_a_master_is_none_of_another_one() {
    let (_dir, mut held) = new();
    held.begin(&known(1, "/srv/a", DAY)).unwrap();
    let other = Known { master: None, ..known(1, "/srv/a", DAY) };
    assert!(matches!(held.begin(&other), Err(HeldError::Foreign)));
    // One of before that was told has whichever comes next.
    held.begin(&Known { master: None, ..known(2, "/srv/b", DAY) }).unwrap();
    held.begin(&known(2, "/srv/b", DAY)).unwrap();
    assert_eq!(held.known(([2; 16], "h1")).unwrap().unwrap().master, Some(vec![2]));
    let other = Known { master: Some(vec![3]), ..known(2, "/srv/b", DAY) };
    assert!(matches!(held.begin(&other), Err(HeldError::Foreign)));
    assert!(matches!(held.over(([2; 16], "h1"), Some(&[3])), Err(HeldError::Foreign)));
}

#[test]
fn a_revision_is_complete_only_upon_one_that_was() {
    let (_dir, mut held) = new();
    let complete = |held: &mut Held| held.all(DAY).unwrap()[0].complete;
    held.begin(&known(1, "/srv/a", DAY)).unwrap();
    held.complete(([1; 16], "h1"), Some(since(1)), nth(2)).unwrap();
    assert_eq!(complete(&mut held), None);
    assert!(held.complete(([1; 16], "h1"), None, nth(2)).unwrap());
    assert!(!held.complete(([1; 16], "h1"), None, nth(2)).unwrap(), "it is not new any more");
    assert!(!held.complete(([1; 16], "h1"), Some(since(3)), nth(4)).unwrap());
    assert_eq!(complete(&mut held), Some(nth(2)));
    held.complete(([1; 16], "h1"), Some(since(2)), nth(4)).unwrap();
    held.complete(([1; 16], "h1"), None, nth(3)).unwrap(); // told late
    assert_eq!(complete(&mut held), Some(nth(4)));
    held.begin(&known(1, "/srv/a", DAY)).unwrap();
    assert_eq!(complete(&mut held), Some(nth(4)));
    held.begin(&Known { complete: Some(nth(4)), ..known(1, "/srv/a", DAY) }).unwrap();
    assert_eq!(complete(&mut held), Some(nth(4)));
    held.begin(&Known { complete: Some(nth(3)), ..known(1, "/srv/a", DAY) }).unwrap();
    assert_eq!(
        complete(&mut held),
        None,
        "its master was restored, and has another revision 4 to come"
    );
    held.complete(([1; 16], "h1"), None, nth(3)).unwrap();
    assert_eq!(complete(&mut held), Some(nth(3)));
    let elsewhere = Known { instance: [8; 16], ..known(1, "/srv/a", DAY) };
    held.begin(&elsewhere).unwrap();
    assert_eq!(complete(&mut held), None, "another installation has nothing of it");
}

#[test]
fn what_a_restored_master_has_lost_is_not_what_it_counts_now() {
    let (_dir, mut held) = new();
    let of = ([1; 16], "h1");
    let complete = |held: &mut Held| held.all(DAY).unwrap()[0].complete;
    let has = |held: &mut Held| held.has(of, [9; 16]).unwrap();
    let to = |revision| Known { complete: Some(revision), ..self::known(1, "/srv/a", DAY) };
    held.begin(&to(nth(4))).unwrap();
    assert!(held.complete(of, None, nth(4)).unwrap());
    held.begin(&to(nth(4))).unwrap();
    assert_eq!(complete(&mut held), Some(nth(4)), "it is the same");
    assert_eq!(held.begun(of, [9; 16]).unwrap(), None, "nothing of another one");
    // Another one of that number, of which changes since revision 1 are listed.
    let other = Revision::new(4, 7);
    held.begin(&to(other)).unwrap();
    assert_eq!((complete(&mut held), has(&mut held)), (None, Some(nth(4))));
    assert!(!held.complete(of, Some((1, &[101, 5, 6, 7])), other).unwrap());
    held.begin(&to(other)).unwrap();
    assert_eq!(has(&mut held), Some(nth(4)), "its master may not have heard it");
    assert_eq!(held.begun(of, [9; 16]).unwrap(), Some(other));
    assert!(held.complete(of, None, other).unwrap());
    assert_eq!((complete(&mut held), has(&mut held)), (Some(other), Some(other)));
    assert_eq!(held.begun(of, [9; 16]).unwrap(), None);
    // One that is higher by now, with the same changes: what is here is none of the revisions since then.
    let next = Revision::new(6, 9);
    held.begin(&to(next)).unwrap();
    assert_eq!(complete(&mut held), Some(other));
    assert!(!held.complete(of, Some((3, &[103, 104, 8, 9])), next).unwrap());
    assert!(!held.complete(of, Some((5, &[8, 9])), next).unwrap());
    assert_eq!(has(&mut held), Some(other));
    assert!(held.complete(of, Some((3, &[6, 7, 8, 9])), next).unwrap());
    // Its master has not lost that it was over.
    held.over(of, Some(&[1])).unwrap();
    assert_eq!(has(&mut held), Some(next));
    held.begin(&to(nth(2))).unwrap();
    assert_eq!((complete(&mut held), has(&mut held)), (None, Some(next)));
    assert!(held.complete(of, None, nth(2)).unwrap());
    assert_eq!(has(&mut held), Some(nth(2)));
    let elsewhere = Known { instance: [8; 16], ..to(nth(3)) };
    held.begin(&elsewhere).unwrap();
    assert_eq!(complete(&mut held), None);
    assert_eq!(held.has(of, [8; 16]).unwrap(), None);
}

#[test]
fn a_command_is_run_for_what_is_counted_after_the_master_was_restored() {
    let (_dir, mut held) = new();
    let of = ([1; 16], place());
    let run = |held: &mut Held, revision: Revision, at: u64| {
        let begun = held.begin_run(of, (revision, "a"), None, at).unwrap();
        held.end_run(of, revision, (&ExitStatusWord::Exited(0), b"x"), at).unwrap();
        begun
    };
    assert_eq!(run(&mut held, nth(4), 1), Begun::New);
    assert_eq!(run(&mut held, nth(5), 2), Begun::New);
    let other = Revision::new(4, 7);
    assert_eq!(run(&mut held, other, 3), Begun::New, "that for revision 5 was for a lost one");
    for past in [other, nth(4), nth(5)] {
        assert!(matches!(run(&mut held, past, 4), Begun::Ended(..)), "{past:?}");
    }
    // One at a time, whichever it is for.
    held.begin_run(of, (Revision::new(5, 8), "a"), None, 5).unwrap();
    assert_eq!(run(&mut held, Revision::new(4, 9), 6), Begun::Running);
}

#[test]
fn of_a_place_so_many_runs_are_kept() {
    let (_dir, mut held) = new();
    let of = ([1; 16], place());
    for number in 1..=300 {
        assert_eq!(held.begin_run(of, (nth(number), "a"), None, 5).unwrap(), Begun::New);
        held.end_run(of, nth(number), (&ExitStatusWord::Exited(0), b"x"), 5).unwrap();
    }
    let known = (1..=300).filter(|number| held.run(of, nth(*number)).unwrap().is_some());
    assert_eq!(known.collect::<Vec<_>>(), (45..=300).collect::<Vec<_>>());
}

#[test]
fn a_job_has_a_place_for_each_name_of_this_host() {
    let (_dir, mut held) = new();
    let named = |host: &str, place: &str| Known { host: host.to_owned(), ..known(1, place, DAY) };
    held.begin(&named("h:a", "/srv/a")).unwrap();
    held.begin(&named("h:b", "/srv/b")).unwrap();
    for place in ["/srv/a", "/srv/b"] {
        assert!(matches!(held.begin(&known(2, place, DAY)), Err(HeldError::Taken { .. })));
    }
    let job = [1; 16];
    held.complete((job, "h:b"), None, nth(2)).unwrap();
    held.heard((job, "h:a"), 2 * DAY).unwrap();
    let all = |held: &mut Held| -> Vec<_> {
        let all = held.all(2 * DAY).unwrap().into_iter();
        all.map(|known| (known.host, known.complete, known.heard / DAY)).collect()
    };
    let of = |host: &str, complete, heard| (host.to_owned(), complete, heard);
    assert_eq!(all(&mut held), [of("h:a", None, 2), of("h:b", Some(nth(2)), 1)]);
    assert_eq!(held.known((job, "h:c")).unwrap(), None, "which of them is not said");
    held.over((job, "h:c"), Some(&[1])).unwrap();
    assert!(matches!(held.over((job, "h:a"), None), Err(HeldError::Foreign)));
    held.over((job, "h:a"), Some(&[1])).unwrap();
    assert_eq!(all(&mut held), [of("h:b", Some(nth(2)), 1)]);
    // By another name, and then by that elsewhere.
    assert_eq!(held.known((job, "h:c")).unwrap().unwrap().host, "h:b");
    held.begin(&named("h2:b", "/srv/b")).unwrap();
    assert_eq!(all(&mut held), [of("h2:b", Some(nth(2)), 1)]);
    held.begin(&named("h2:b", "/srv/c")).unwrap();
    assert_eq!(all(&mut held), [of("h2:b", None, 1)]);
    held.begin(&known(2, "/srv/b", DAY)).unwrap();
}

#[test]
fn what_was_known_by_older_tables_is_known() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("mirrors");
    schema::make_version_2(&Connection::open(&path).unwrap()).unwrap();
    let mut held = Held::open(&path).unwrap();
    let known = held.known(([1; 16], "h1")).unwrap().unwrap();
    let four = Revision::new(4, Revision::UNKNOWN);
    let expected = Known { complete: Some(four), peer: None, ..self::known(1, "/srv/a", DAY) };
    assert_eq!(known, expected);
    let ended = Begun::Ended(ExitStatusWord::Exited(0), b"x".to_vec());
    assert_eq!(held.run(([1; 16], Path::new("/srv/a")), four).unwrap(), Some(ended.clone()));
    // Of a job that was over the place was not kept.
    let of = ([2; 16], Path::new("/srv/b"));
    assert_eq!(held.begin_run(of, (four, "c"), None, 5).unwrap(), ended);
    assert_eq!(
        held.begin_run(of, (nth(4), "c"), None, 5).unwrap(),
        ended,
        "which one it was is not known"
    );
    let three = Revision::new(3, Revision::UNKNOWN);
    assert_eq!(held.begin_run(of, (three, "c"), None, 5).unwrap(), Begun::Later);
    assert_eq!(held.begin_run(of, (nth(5), "c"), None, 5).unwrap(), Begun::New);
    let [running] = &held.running().unwrap()[..] else { panic!("one runs") };
    assert_eq!((running.process.clone(), running.revision), (None, nth(5)));
}

fn place() -> &'static Path {
    Path::new("/srv/a")
}

#[test]
fn a_command_is_run_once_for_a_revision() {
    let (_dir, mut held) = new();
    let job = [1; 16];
    let job = (job, place());
    let begin = |held: &mut Held, revision, command| {
        held.begin_run(job, (nth(revision), command), None, 5).unwrap()
    };
    assert_eq!(held.run(job, nth(1)).unwrap(), None);
    assert_eq!(begin(&mut held, 1, "a"), Begun::New);
    assert_eq!(begin(&mut held, 1, "a"), Begun::Running);
    assert_eq!(begin(&mut held, 2, "a"), Begun::Running, "one at a time");
    assert_eq!(begin(&mut held, 1, "b"), Begun::Other("a".to_owned()));
    let ended = (ExitStatusWord::Exited(1), b"tail".to_vec());
    assert!(held.end_run(job, nth(1), (&ended.0, &ended.1), 6).unwrap());
    let ended = Begun::Ended(ended.0, ended.1);
    assert_eq!(begin(&mut held, 1, "a"), ended);
    assert!(
        !held.end_run(job, nth(1), (&ExitStatusWord::Unknown, b""), 7).unwrap(),
        "it has ended"
    );
    assert_eq!(held.run(job, nth(1)).unwrap(), Some(ended));
    assert_eq!(begin(&mut held, 2, "b"), Begun::New);
    let past = Begun::Ended(ExitStatusWord::Exited(1), Vec::new());
    assert_eq!(begin(&mut held, 1, "a"), past, "without what it wrote");
    for other in [([2; 16], place()), (job.0, Path::new("/srv/b"))] {
        assert_eq!(held.begin_run(other, (nth(1), "a"), None, 5).unwrap(), Begun::New, "{other:?}");
    }
}

#[test]
fn what_was_interrupted_is_unknown_and_stays_so_when_its_job_is_over() {
    let (dir, mut held) = new();
    held.begin(&known(1, "/srv/a", DAY)).unwrap();
    let job = ([1; 16], place());
    held.begin_run(job, (nth(3), "a"), Some("daemon"), DAY).unwrap();
    held.note_process(job, nth(3), "process").unwrap();
    drop(held);
    let mut held = Held::open(&dir.path().join("mirrors")).unwrap();
    assert_eq!(held.run(job, nth(3)).unwrap(), Some(Begun::Running), "opening it says nothing");
    let interrupted = Interrupted {
        job: job.0,
        place: place().to_owned(),
        revision: nth(3),
        command: "a".to_owned(),
        daemon: Some("daemon".to_owned()),
        process: Some("process".to_owned()),
    };
    assert_eq!(held.running().unwrap(), std::slice::from_ref(&interrupted));
    held.interrupt_runs(&[interrupted], DAY).unwrap();
    assert_eq!(held.running().unwrap(), []);
    held.over(([1; 16], "h1"), Some(&[1])).unwrap();
    assert_eq!(held.known(([1; 16], "h1")).unwrap(), None);
    let unknown = Begun::Ended(ExitStatusWord::Unknown, Vec::new());
    assert_eq!(held.begin_run(job, (nth(3), "a"), None, DAY).unwrap(), unknown);
}

proptest! {
    /// Whatever is asked for in whatever order, no revision of a job begins twice; one that may be another one is that.
    #[test]
    fn no_revision_begins_twice(
        steps in prop::collection::vec((0_u8..4, 0_u8..3, (0_u32..5, 0_u64..3)), 0..40)
    ) {
        let (_dir, mut held) = new();
        let mut begun = std::collections::BTreeSet::new();
        for (what, job, (number, edition)) in steps {
            let revision = Revision::new(number, edition);
            let id = ([job; 16], place());
            match what {
                0 | 1 => {
                    let answer = held.begin_run(id, (revision, "c"), None, 1).unwrap();
                    if answer == Begun::New {
                        prop_assert!(begun.insert((job, revision)));
                        let unknown = Revision::new(number, Revision::UNKNOWN);
                        let is_same = edition == Revision::UNKNOWN
                            && begun.iter().any(|(of, one)| (*of, one.number) == (job, number) && *one != revision);
                        prop_assert!(!is_same && (edition == 0 || !begun.contains(&(job, unknown))));
                    }
                }
                2 => drop(held.end_run(id, revision, (&ExitStatusWord::Flooded, b"x"), 2).unwrap()),
                _ => held.interrupt_runs(&held.running().unwrap(), 3).unwrap(),
            }
        }
    }
}
