use super::runs::Mark;
use super::*;
use crate::exec::{self, ExitStatusWord};
use crate::revision::Revision;
use proptest::prelude::*;
use std::collections::BTreeMap;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use tempfile::TempDir;

fn job() -> Job {
    Job {
        id: [7; 16],
        name: "lectures".to_owned(),
        description: "archive of the autumn".to_owned(),
        source: PathBuf::from("/srv/lectures"),
        root: (u64::MAX, 2),
        created: 1_700_000_000_000,
        options: "{}".to_owned(),
    }
}

pub(super) fn found(path: &str, size: u64) -> Found {
    Found {
        path: path.into(),
        kind: Kind::File,
        size,
        mtime: 5,
        ctime: 6,
        mode: 0o644,
        uid: 0,
        gid: 0,
        node: (1, size),
        mount: None,
    }
}

pub(super) fn new() -> (TempDir, PathBuf, Ledger) {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("job");
    let ledger = Ledger::create(&path, &job()).unwrap();
    (dir, path, ledger)
}

/// Which installation answers.
const ONE: [u8; 16] = [1; 16];

/// A receiver that has answered.
pub(super) fn met(ledger: &mut Ledger, name: &str) -> (ReceiverId, [u8; 16]) {
    let id = ledger.add_receiver(name).unwrap();
    ledger.meet(id, ONE).unwrap();
    (id, ONE)
}

/// What `sqlite3` prints of the view, in the order of entries and receivers.
fn view(path: &Path) -> Vec<(String, u32, String, String, u32, Option<String>)> {
    let db = Connection::open_with_flags(path, OpenFlags::SQLITE_OPEN_READ_ONLY).unwrap();
    let sql = "SELECT entry, version, receiver, status, failures, reason FROM status
               ORDER BY entry, receiver";
    let mut all = db.prepare(sql).unwrap();
    let rows = all.query_map([], |row| {
        Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?, row.get(4)?, row.get(5)?))
    });
    rows.unwrap().collect::<Result<_, _>>().unwrap()
}

#[test]
fn what_was_noted_is_there_when_it_is_opened_again_and_others_can_read_it() {
    let (_dir, path, mut ledger) = new();
    assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    let change = ledger.look([found("a", 1), found("b", 2), found("c", 3)], 7).unwrap();
    assert_eq!(change, Change { new: 3, changed: 0, gone: 0 });
    let host = met(&mut ledger, "host1:/mirror");
    let other = met(&mut ledger, "host2");
    assert_eq!(ledger.add_receiver("host2").unwrap(), other.0);
    ledger.note(host, 1, &[(0..=1, Outcome::Done), (2..=2, Outcome::Sent)]).unwrap();
    let full = || Outcome::Failed("no room".to_owned());
    ledger.note(other, 1, &[(1..=1, full()), (1..=1, Outcome::Sent), (1..=1, full())]).unwrap();
    ledger.set_late(other.0, Some((1_700_000_000_001, "the disk is full"))).unwrap();
    ledger.set_state(&JobState::Paused("the source is not mounted".to_owned())).unwrap();

    let refused = Ledger::open(&path).unwrap_err();
    assert!(
        matches!(&refused, LedgerError::InUse { holder, .. } if *holder == format!("process {}", std::process::id()))
    );
    let row = |entry: &str, receiver: &str, status: &str, failures, reason: Option<&str>| {
        let own = |text: &str| text.to_owned();
        (own(entry), 1, own(receiver), own(status), failures, reason.map(own))
    };
    let rows = [
        row("a", "host1:/mirror", "done", 0, None),
        row("a", "host2", "pending", 0, None),
        row("b", "host1:/mirror", "done", 0, None),
        row("b", "host2", "failed", 2, Some("no room")),
        row("c", "host1:/mirror", "sent", 0, None),
        row("c", "host2", "pending", 0, None),
    ];
    assert_eq!(view(&path), rows);

    drop(ledger);
    let ledger = Ledger::open(&path).unwrap();
    assert_eq!(view(&path), rows);
    assert_eq!(ledger.job().unwrap(), job());
    assert_eq!(ledger.state().unwrap(), JobState::Paused("the source is not mounted".to_owned()));
    assert_eq!((ledger.lacking(host.0), ledger.lacking(other.0)), (vec![2], vec![0, 1, 2]));
    let standing = Standing { done: 2, sent: 1, ..Standing::default() };
    assert_eq!(ledger.standing(host.0), standing);
    let late = &ledger.receivers().unwrap()[1].late;
    assert_eq!(*late, Some((1_700_000_000_001, "the disk is full".to_owned())));
}

#[test]
fn what_changes_is_pending_again_and_what_does_not_stays_done() {
    let (_dir, path, mut ledger) = new();
    let host = met(&mut ledger, "host");
    ledger.look([found("a", 1), found("b", 2), found("c", 3)], 7).unwrap();
    ledger.note_complete(host, 1).unwrap();
    assert_eq!(ledger.receivers().unwrap()[0].complete, 1);
    assert!(ledger.look([found("c", 3), found("a", 1), found("b", 2)], 7).unwrap().is_none());
    assert_eq!((ledger.revision(), ledger.lacking(host.0)), (1, vec![]));

    let moved = Found { node: (9, 1), mount: Some(true), ..found("a", 1) };
    let change = ledger.look([moved.clone(), found("b", 20), found("d", 4)], 7).unwrap();
    assert_eq!(change, Change { new: 1, changed: 1, gone: 1 });
    assert_eq!((ledger.revision(), ledger.lacking(host.0)), (2, vec![1, 2, 3]));
    assert_eq!(ledger.entries().unwrap()[0].found, moved, "mounted anew, it is the same");
    assert_eq!(ledger.number_of(Path::new("d")).unwrap(), Some(3));

    // A session of the old tree ends late.
    ledger.note(host, 1, &[(0..=2, Outcome::Done)]).unwrap();
    assert_eq!(ledger.lacking(host.0), [1, 2, 3]);
    ledger.note(host, 2, &[(1..=3, Outcome::Done)]).unwrap();
    ledger.note(host, 1, &[(0..=2, Outcome::Announced)]).unwrap();
    assert!(ledger.lacking(host.0).is_empty(), "what is done stays done");
    assert_eq!(ledger.forget_gone(true).unwrap(), 1);

    // The number is free for another.
    ledger.look([moved, found("b", 20), found("d", 4), found("e", 5)], 7).unwrap();
    assert_eq!(ledger.number_of(Path::new("e")).unwrap(), Some(2));
    assert_eq!(ledger.lacking(host.0), [2]);
    drop(ledger);
    let ledger = Ledger::open(&path).unwrap();
    assert_eq!((ledger.revision(), ledger.lacking(host.0)), (3, vec![2]));
}

#[test]
fn nothing_is_forgotten_that_one_is_yet_to_delete() {
    let (_dir, _path, mut ledger) = new();
    let (one, two) = (met(&mut ledger, "1"), met(&mut ledger, "2"));
    ledger.look([found("a", 1), found("b", 2)], 7).unwrap();
    ledger.look([found("a", 1)], 7).unwrap();
    ledger.note_complete(one, 2).unwrap();
    assert_eq!(ledger.forget_gone(true).unwrap(), 0);
    ledger.remove_receiver(two.0).unwrap();
    assert_eq!(ledger.forget_gone(true).unwrap(), 1);
    assert!(!ledger.note(two, 2, &[(0..=0, Outcome::Done)]).unwrap(), "it is none any more");
    assert_ne!(ledger.add_receiver("3").unwrap(), two.0, "what is told late of one is no other's");
}

#[test]
fn another_installation_has_nothing() {
    let (_dir, path, mut ledger) = new();
    let host = ledger.add_receiver("host").unwrap();
    ledger.look([found("a", 1), found("b", 2)], 7).unwrap();
    let done = [(0..=0, Outcome::Done)];
    assert!(!ledger.note((host, ONE), 1, &done).unwrap(), "it has not answered");
    assert!(!ledger.meet(host, ONE).unwrap());
    assert!(ledger.note((host, ONE), 1, &done).unwrap());
    assert_eq!(ledger.lacking(host), [1]);
    ledger.note_complete((host, ONE), 1).unwrap();
    assert!(!ledger.meet(host, ONE).unwrap());
    assert!(ledger.meet(host, [2; 16]).unwrap());
    assert!(!ledger.note((host, ONE), 1, &done).unwrap(), "of the one that is no more");
    assert!(!ledger.note_complete((host, ONE), 1).unwrap());
    assert_eq!(ledger.lacking(host), [0, 1]);
    drop(ledger);
    let ledger = Ledger::open(&path).unwrap();
    assert_eq!(ledger.lacking(host), [0, 1]);
    assert_eq!((ledger.receivers().unwrap()[0].complete, ledger.standing(host).pending), (0, 2));
}

/// A session of one revision ends, or a receiver is verified, while another revision is announced already.
#[test]
fn what_is_told_of_an_older_revision_counts_for_what_has_not_changed_since() {
    let (_dir, _path, mut ledger) = new();
    let host = met(&mut ledger, "host");
    ledger.look([found("a", 1), found("b", 2)], 7).unwrap();
    ledger.look([found("a", 1), found("b", 20)], 7).unwrap();
    ledger.note(host, 2, &[(0..=1, Outcome::Announced)]).unwrap();
    ledger.note(host, 1, &[(0..=1, Outcome::Done)]).unwrap();
    assert_eq!(ledger.lacking(host.0), [1]);
    ledger.note_complete(host, 2).unwrap();
    ledger.note(host, 1, &[(0..=1, Outcome::Lost)]).unwrap();
    assert_eq!(ledger.lacking(host.0), [0]);
    let never = ledger.note(host, 3, &[(0..=1, Outcome::Done)]);
    assert!(matches!(never, Err(LedgerError::Revision(3))));
}

#[test]
fn a_name_that_is_found_twice_is_one_entry() {
    let (_dir, _path, mut ledger) = new();
    let change = ledger.look([found("a", 1), found("c", 3), found("c", 4)], 7).unwrap();
    assert_eq!(change, Change { new: 2, changed: 0, gone: 0 });
    assert_eq!(ledger.entries().unwrap()[1].found.size, 3);
}

#[test]
fn what_an_interrupted_try_has_left_is_made_a_job() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("job");
    std::fs::write(&path, "").unwrap();
    assert!(matches!(Ledger::open(&path), Err(LedgerError::Foreign)));
    drop(Ledger::create(&path, &job()).unwrap());
    assert_eq!(Ledger::open(&path).unwrap().job().unwrap(), job());
}

#[test]
fn by_another_name_it_is_the_same_job() {
    let (dir, path, _ledger) = new();
    let other = dir.path().join("other");
    std::os::unix::fs::symlink(&path, &other).unwrap();
    assert!(matches!(Ledger::open(&other), Err(LedgerError::InUse { .. })));
}

#[test]
fn what_a_file_cannot_say_is_damage() {
    for change in [
        "DELETE FROM job",
        "UPDATE job SET revision = 0",
        "INSERT INTO runs VALUES (1, 1, 1, 1, 'done', 0, NULL)",
        "UPDATE runs SET revision = 9",
    ] {
        let (_dir, path, mut ledger) = new();
        let host = met(&mut ledger, "host");
        ledger.look([found("a", 1), found("b", 2)], 7).unwrap();
        ledger.note_complete(host, 1).unwrap();
        ledger.db.execute_batch(change).unwrap();
        drop(ledger);
        assert!(matches!(Ledger::open(&path), Err(LedgerError::Damaged(_))), "{change}");
    }
}

#[test]
fn names_that_are_no_text_are_kept_byte_by_byte() {
    use std::os::unix::ffi::OsStrExt;
    let (_dir, path, mut ledger) = new();
    let odd = PathBuf::from(std::ffi::OsStr::from_bytes(b"caf\xe9"));
    ledger.look([Found { path: odd.clone(), ..found("", 1) }], 7).unwrap();
    drop(ledger);
    let ledger = Ledger::open(&path).unwrap();
    assert_eq!(ledger.entries().unwrap()[0].found.path, odd);
    assert_eq!(ledger.number_of(&odd).unwrap(), Some(0));
}

#[test]
fn what_is_no_job_of_ours_is_refused_and_left_as_it_is() {
    let dir = tempfile::tempdir().unwrap();
    let (other, text) = (dir.path().join("other"), dir.path().join("text"));
    Connection::open(&other).unwrap().execute_batch("CREATE TABLE notes (a)").unwrap();
    let before = std::fs::read(&other).unwrap();
    assert!(matches!(Ledger::open(&other), Err(LedgerError::Foreign)));
    assert!(matches!(Ledger::create(&other, &job()), Err(LedgerError::Foreign)));
    assert!(std::fs::read(&other).unwrap() == before);
    std::fs::write(&text, "a list of things to do, much longer than a header").unwrap();
    assert!(matches!(Ledger::open(&text), Err(LedgerError::Database(_))));
    assert!(matches!(Ledger::open(&dir.path().join("none")), Err(LedgerError::Place { .. })));
    let (_dir, path, ledger) = new();
    ledger.db.pragma_update(None, "user_version", 99).unwrap();
    drop(ledger);
    assert!(matches!(Ledger::open(&path), Err(LedgerError::Newer(99))));
    assert!(matches!(Ledger::create(&path, &job()), Err(LedgerError::Newer(99))));
    let (_dir, path, ledger) = new();
    drop(ledger);
    assert!(matches!(Ledger::create(&path, &job()), Err(LedgerError::Place { .. })), "it is there");
}

#[test]
fn what_became_of_a_command_is_noted_once_for_each_revision() {
    let (_dir, path, mut ledger) = new();
    let [one, two] = ["h1", "h2"].map(|name| ledger.add_receiver(name).unwrap());
    let exec = |ledger: &Ledger| -> Vec<Option<(u32, exec::Outcome)>> {
        ledger.receivers().unwrap().into_iter().map(|receiver| receiver.exec).collect()
    };
    let ran = |code| exec::Outcome::Ran(ExitStatusWord::Exited(code));
    assert!(!ledger.note_exec((one, [1; 16]), 1, &ran(0)).unwrap(), "it was not met");
    ledger.meet(one, [1; 16]).unwrap();
    ledger.meet(two, [2; 16]).unwrap();
    assert!(ledger.note_exec((one, [1; 16]), 1, &ran(0)).unwrap());
    assert!(!ledger.note_exec((one, [1; 16]), 1, &ran(7)).unwrap());
    assert!(!ledger.note_exec((one, [9; 16]), 2, &ran(7)).unwrap(), "another installation");
    assert!(ledger.note_exec((two, [2; 16]), 1, &exec::Outcome::Dnpwd).unwrap());
    drop(ledger);
    let mut ledger = Ledger::open(&path).unwrap();
    assert_eq!(exec(&ledger), [Some((1, ran(0))), Some((1, exec::Outcome::Dnpwd))]);
    assert_eq!(ledger.forget_dnpwd().unwrap(), 1);
    assert_eq!(exec(&ledger), [Some((1, ran(0))), None]);
    assert!(ledger.note_exec((one, [1; 16]), 2, &ran(7)).unwrap());
    assert!(!ledger.note_exec((one, [1; 16]), 1, &ran(0)).unwrap(), "it comes late");
    assert_eq!(exec(&ledger)[0], Some((2, ran(7))));
    ledger.meet(one, [3; 16]).unwrap();
    assert_eq!(exec(&ledger)[0], None, "the new one has run nothing");
    ledger.db.execute("UPDATE receivers SET exec_revision = 1, exec_status = 'x'", []).unwrap();
    assert!(matches!(ledger.receivers(), Err(LedgerError::Damaged(_))));
}

#[test]
fn a_file_of_the_first_version_is_brought_to_the_newest() {
    let (_dir, path, mut ledger) = new();
    ledger.add_receiver("h1").unwrap();
    ledger.look([found("a", 1)], 7).unwrap();
    for column in ["exec_revision", "exec_status"] {
        ledger.db.execute(&format!("ALTER TABLE receivers DROP COLUMN {column}"), []).unwrap();
    }
    ledger.db.execute("DROP TABLE former", []).unwrap();
    ledger.db.execute("ALTER TABLE entries DROP COLUMN mount", []).unwrap();
    ledger.db.execute("DROP TABLE editions", []).unwrap();
    ledger.db.execute("ALTER TABLE receivers DROP COLUMN lost", []).unwrap();
    ledger.db.pragma_update(None, "user_version", 1).unwrap();
    drop(ledger);
    let mut ledger = Ledger::open(&path).unwrap();
    assert_eq!(ledger.receivers().unwrap()[0].exec, None);
    assert!(ledger.former().unwrap().is_empty());
    assert_eq!(ledger.entries().unwrap()[0].found.mount, None);
    assert_eq!(ledger.newest().unwrap(), Revision::new(1, Revision::UNKNOWN));
    let mounted = Found { mount: Some(true), ..found("a", 1) };
    assert!(ledger.look([mounted.clone()], 7).unwrap().is_none(), "it is the same");
    assert_eq!(ledger.entries().unwrap()[0].found, mounted);
    ledger.forget_devices().unwrap();
    assert_eq!(ledger.entries().unwrap()[0].found.mount, None);
}

#[test]
fn who_reads_a_job_while_it_is_written_reads_one_moment_of_it() {
    const REVISIONS: u64 = 200;
    let (_dir, path, mut ledger) = new();
    let host = met(&mut ledger, "h1");
    ledger.look([found("f", 0)], 7).unwrap();
    let writes = std::thread::spawn(move || {
        for n in 1..=REVISIONS {
            ledger.look([found("f", n)], 7).unwrap();
            ledger.note(host, ledger.revision(), &[(0..=0, Outcome::Done)]).unwrap();
        }
    });
    while !writes.is_finished() {
        Ledger::beside(&path).unwrap();
    }
    writes.join().unwrap();
}

/// One receiver's state of each entry, by itself: (revision, status, failures).
type Model = Vec<Option<(u32, Status, u32)>>;

fn mark_model(model: &mut Model, entry: usize, version: u32, revision: u32, mark: Mark) {
    let before = model[entry];
    let (known, told) = (before.is_some_and(|(known, ..)| known >= version), revision >= version);
    if known && !told {
        return; // it is told of an older version
    }
    let same = before.filter(|_| known);
    let newest = same.map_or(revision, |(known, ..)| known.max(revision));
    let failures = same.map_or(0, |(_, _, failures)| failures);
    let is_done = same.is_some_and(|(_, status, _)| status == Status::Done);
    let step = |status| Some((newest, if is_done { Status::Done } else { status }, failures));
    model[entry] = match mark {
        Mark::Pending => None,
        Mark::Done => Some((newest, Status::Done, 0)),
        Mark::Announced => step(Status::Announced),
        Mark::Sent => step(Status::Sent),
        Mark::Failed(_) => Some((newest, Status::Failed, failures + 1)),
    };
}

fn marks() -> impl Strategy<Value = Mark> {
    prop_oneof![
        Just(Mark::Pending),
        Just(Mark::Announced),
        Just(Mark::Sent),
        Just(Mark::Done),
        Just(Mark::Failed(1)),
    ]
}

proptest! {
    /// Runs say of each entry what a table with a row for each would, and are as few as can be.
    #[test]
    fn runs_are_a_table_of_all_entries(
        steps in prop::collection::vec((0_u32..24, 0_u32..24, marks(), 0_u32..3, any::<bool>()), 1..60),
    ) {
        let mut runs = Runs::default();
        let mut model: Model = vec![None; 24];
        let mut versions: BTreeMap<u32, u32> = (0..24).map(|entry| (entry, 1)).collect();
        let mut newest = 1;
        for (a, b, mark, late, changes) in steps {
            if changes {
                newest += 1;
                versions.insert(a, newest);
            }
            let revision = (newest - late.min(newest - 1)).max(1);
            let (first, last) = (a.min(b), a.max(b));
            let before = runs.clone();
            let bounds = runs.mark(first..=last, revision, mark, &versions);
            for entry in first..=last {
                mark_model(&mut model, entry as usize, versions[&entry], revision, mark);
            }
            for (entry, want) in model.iter().enumerate() {
                let version = versions[&(entry as u32)];
                let want = want.filter(|(known, ..)| *known >= version);
                let got = runs.state(entry as u32, version);
                prop_assert_eq!(got.map(|s| (s.status, s.failures)), want.map(|(_, s, f)| (s, f)));
            }
            let all: Vec<_> = runs.within(0..=u32::MAX).collect();
            prop_assert!(all.windows(2).all(|w| w[0].1.last < w[1].0), "they overlap");
            prop_assert!(all.windows(2).all(|w| {
                let says = |run: &runs::Run| (run.revision, run.state);
                w[0].1.last + 1 < w[1].0 || says(&w[0].1) != says(&w[1].1)
            }), "two could be one");
            // What is written within the bounds makes the file what memory is.
            let outside = |runs: &Runs| -> Vec<_> {
                runs.within(0..=u32::MAX).filter(|(at, _)| !bounds.contains(at)).collect()
            };
            prop_assert_eq!(outside(&before), outside(&runs));
        }
    }
}

/// One pair in twenty is otherwise, anywhere.
#[test]
fn a_job_of_many_entries_and_receivers_is_compact() {
    const ENTRIES: u32 = 20_000;
    const RECEIVERS: u32 = 20;
    let (dir, path, mut ledger) = new();
    let tree = (0..ENTRIES).map(|n| {
        let path = format!("term-{}/course-{}/lecture-{n:06}.mp4", n / 5000, n / 100);
        found(&path, u64::from(n))
    });
    ledger.look(tree, 7).unwrap();
    let mut odd = 0;
    for n in 0..RECEIVERS {
        let host = met(&mut ledger, &format!("host{n}"));
        ledger.note_complete(host, 1).unwrap();
        let mut at = n;
        let mut outcomes = Vec::new();
        while at < ENTRIES {
            outcomes.push((at..=at, Outcome::Lost));
            at += 10 + (at.wrapping_mul(2_654_435_761) >> 28); // 10 to 25, so 17.5 on average: 5.7 %
        }
        odd += outcomes.len();
        ledger.note(host, 1, &outcomes).unwrap();
        assert_eq!(ledger.lacking(host.0).len(), outcomes.len());
    }
    assert!(odd as f64 >= f64::from(ENTRIES * RECEIVERS) * 0.05);
    drop(ledger);
    let size = std::fs::metadata(&path).unwrap().len();
    drop(dir);
    // 64 MiB for 100,000 entries and 100 receivers, of which an entry takes 180 bytes with its name.
    let most =
        u64::from(ENTRIES) * 180 + (64 << 20) / 100 * u64::from(ENTRIES * RECEIVERS) / 100_000;
    assert!(size <= most, "{size} of {most}");
}

#[test]
fn others_say_what_is_to_be_done_while_one_runs_the_job() {
    let (_dir, path, mut ledger) = new();
    ledger.look([found("a", 1)], 7).unwrap();
    let one = met(&mut ledger, "host1");
    assert!(!ledger.has_changed().unwrap(), "by others");
    assert_eq!(Ledger::holder(&path), Some(format!("process {}", std::process::id())));
    let mut other = Ledger::beside(&path).unwrap();
    assert_eq!(other.receivers().unwrap(), ledger.receivers().unwrap());
    let two = other.add_receiver("host2").unwrap();
    other.set_state(&JobState::Paused(String::new())).unwrap();
    other.set_verify(None, true).unwrap();
    assert!(ledger.has_changed().unwrap() && !ledger.has_changed().unwrap());
    ledger.refresh().unwrap();
    assert_eq!(ledger.lacking(two), [0]);
    assert_eq!(ledger.state().unwrap(), JobState::Paused(String::new()));
    ledger.set_verify(Some(two), false).unwrap();
    let verify: Vec<bool> = other.receivers().unwrap().iter().map(|one| one.verify).collect();
    assert_eq!(verify, [true, false]);
    // What comes late of a receiver that is none any more is not noted, and is no error.
    other.remove_receiver(one.0).unwrap();
    assert!(!ledger.note(one, 1, &[(0..=0, Outcome::Done)]).unwrap());
    assert!(!ledger.meet(one.0, [9; 16]).unwrap());
    ledger.refresh().unwrap();
    assert_eq!((ledger.lacking(one.0), ledger.receivers().unwrap().len()), (vec![], 1));
    drop(ledger);
    assert_eq!(Ledger::holder(&path), None);
}

#[test]
fn reasons_are_counted_for_what_fails_now() {
    let (_dir, _path, mut ledger) = new();
    ledger.look([found("a", 1), found("b", 1), found("c", 1)], 7).unwrap();
    let host = met(&mut ledger, "host1");
    let failed = |why: &str| Outcome::Failed(why.to_owned());
    ledger.note(host, 1, &[(0..=1, failed("no room")), (2..=2, failed("no name"))]).unwrap();
    let counted = |all: &[(&str, u64)]| -> Vec<(String, u64)> {
        all.iter().map(|(why, count)| ((*why).to_owned(), *count)).collect()
    };
    assert_eq!(ledger.failures(host.0).unwrap(), counted(&[("no room", 2), ("no name", 1)]));
    ledger.look([found("a", 2), found("b", 1), found("c", 1)], 7).unwrap();
    assert_eq!(ledger.failures(host.0).unwrap().len(), 2);
    ledger.note(host, 2, &[(2..=2, Outcome::Done)]).unwrap();
    assert_eq!(ledger.failures(host.0).unwrap(), counted(&[("no room", 1)]));
}

#[test]
fn what_a_job_announces_by_is_kept_and_not_shown() {
    let (_dir, path, mut ledger) = new();
    assert_eq!(ledger.channel().unwrap(), None);
    let reserved = crate::announce::Reserved { incarnation: u64::MAX, below: 5 };
    let key = |n| zeroize::Zeroizing::new([n; 32]);
    let identity = zeroize::Zeroizing::new([1; 64]);
    let channel = Channel { identity, channel: key(2), private: key(3), reserved };
    ledger.set_channel(&channel).unwrap();
    let more = crate::announce::Reserved { below: 1029, ..reserved };
    ledger.reserve(more).unwrap();
    drop(ledger);
    let kept = Ledger::open(&path).unwrap().channel().unwrap().unwrap();
    assert_eq!(kept, Channel { reserved: more, ..channel });
    assert!(!format!("{kept:?}").contains("3, 3"), "{kept:?}");
}
