//! Whole files, and many that add to one at once.

use super::*;
use std::fs::Permissions;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::sync::Barrier;
use tcpxm::trust::Identity;

const PATH: &str = "/home/u/.config/mcp/known_hosts";

fn key(n: u8) -> PublicKey {
    Identity::generate([n; 64]).public()
}

fn host(name: &str) -> HostName {
    HostName::new(name, 8737).unwrap()
}

fn parse(text: &str) -> Result<KnownHosts, KnownHostsError> {
    KnownHosts::parse(Path::new(PATH), text.as_bytes())
}

fn environment() -> Environment {
    Environment { uid: rustix::process::geteuid().as_raw(), ..Environment::default() }
}

#[test]
fn a_host_is_known_new_or_another() {
    let text = format!("# mine\nnode07 {} a comment\r\n[Node07]:8738 {}\n", key(1), key(2));
    let known = parse(&text).unwrap();
    let other_port = HostName::new("NODE07", 8738).unwrap();
    assert_eq!(known.check(&host("node07"), &key(1)), Ok(Acquaintance::Known));
    assert_eq!(known.check(&other_port, &key(2)), Ok(Acquaintance::Known));
    assert_eq!(known.check(&host("node08"), &key(1)), Ok(Acquaintance::New));
    assert_eq!((known.key(&other_port), known.key(&host("node08"))), (Some(&key(2)), None));
    let changed = known.check(&host("node07"), &key(2)).unwrap_err();
    assert_eq!(
        changed.to_string(),
        format!(
            "the key of node07 has changed! Somebody may be listening in the middle, or the host was \
             installed anew. known: {} ({PATH}:2); shown: {}; if it is right, remove line 2 of {PATH}",
            key(1),
            key(2)
        )
    );
}

#[test]
fn strictly_new_ones_are_not_taken() {
    let known = parse(&format!("a {}\n", key(1))).unwrap();
    assert_eq!(known.check_strictly(&host("a"), &key(1)), Ok(()));
    let changed = known.check_strictly(&host("a"), &key(2)).unwrap_err();
    assert!(matches!(changed, StrictError::Changed(_)));
    let new = known.check_strictly(&host("b"), &key(2)).unwrap_err().to_string();
    assert!(new.starts_with("the key of b is not known, and --strict takes no new ones"), "{new}");
    // The line it names does what it says.
    let (_, line) = new.split_once(&format!("{PATH}: ")).unwrap();
    assert_eq!(parse(line).unwrap().check_strictly(&host("b"), &key(2)), Ok(()));
}

#[test]
fn names_of_one_address_have_one_key_or_are_rivals() {
    let text = format!("a {}\nb {}\nc {}\n", key(1), key(2), key(1));
    let known = parse(&text).unwrap();
    let one_key = |names: &[&str]| {
        let names: Vec<HostName> = names.iter().map(|name| host(name)).collect();
        known.one_key(&names).map(Option::<&PublicKey>::copied).map_err(|rivals| rivals.to_string())
    };
    assert_eq!(one_key(&["new"]), Ok(None));
    assert_eq!(one_key(&["new", "a", "newer", "c"]), Ok(Some(key(1))));
    let why = "the key of a or of b has changed! Both names lead to the same address, and \
        /home/u/.config/mcp/known_hosts has another key for each (lines 1 and 2): remove the line that is not right";
    assert_eq!(one_key(&["new", "a", "c", "b"]), Err(why.to_owned()));
}

#[test]
fn new_hosts_are_added_and_told() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("mcp").join("known_hosts");
    let environment = environment();
    assert_eq!(KnownHosts::read(&path, &environment).unwrap().key(&host("a")), None);
    let first = [(host("a"), key(1)), (host("b"), key(2)), (host("a"), key(1))];
    let added = add(&path, &environment, &first).unwrap();
    assert_eq!(added, Added { new: vec![host("a"), host("b")], changed: vec![] });
    // Somebody edits it by hand, and leaves out the last line's end.
    let text = format!("# first\na {}\nb {}", key(1), key(2));
    std::fs::write(&path, &text).unwrap();
    std::fs::set_permissions(&path, Permissions::from_mode(0o644)).unwrap();
    let then = [(host("b"), key(2)), (host("c"), key(3)), (host("a"), key(9)), (host("c"), key(4))];
    let added = add(&path, &environment, &then).unwrap();
    assert_eq!(added.new, [host("c")]);
    let changed: Vec<_> = added.changed.iter().map(|c| (c.host.clone(), c.line)).collect();
    assert_eq!(changed, [(host("a"), 2), (host("c"), 4)]);
    let now = std::fs::read_to_string(&path).unwrap();
    assert_eq!(now, format!("{text}\nc {}\n", key(3)));
    assert_eq!(path.metadata().unwrap().mode() & 0o777, 0o644);
    assert_eq!(path.parent().unwrap().read_dir().unwrap().count(), 1, "nothing else stays");
    assert_eq!(add(&path, &environment, &[]).unwrap(), Added::default());
}

#[test]
fn a_broken_file_is_not_added_to() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("known_hosts");
    std::fs::write(&path, "broken\n").unwrap();
    std::fs::set_permissions(&path, Permissions::from_mode(0o644)).unwrap();
    let shown = [(host("a"), key(1))];
    let refused = add(&path, &environment(), &shown).unwrap_err();
    assert!(matches!(refused, KnownHostsError::Line(LineFault { line: 1, .. })), "{refused}");
    assert_eq!(std::fs::read(&path).unwrap(), b"broken\n");
    std::fs::set_permissions(&path, Permissions::from_mode(0o666)).unwrap();
    let refused = add(&path, &environment(), &shown).unwrap_err().to_string();
    assert!(refused.contains("chmod go-w"), "{refused}");
    let below = path.join("known_hosts");
    assert!(matches!(add(&below, &environment(), &shown), Err(KnownHostsError::Write(_))));
}

#[test]
fn a_link_stays_a_link() {
    let folder = tempfile::tempdir().unwrap();
    let [file, link] = ["file", "link"].map(|name| folder.path().join(name));
    symlink(&file, &link).unwrap();
    for (n, name) in ["a", "b"].into_iter().enumerate() {
        add(&link, &environment(), &[(host(name), key(n as u8))]).unwrap();
    }
    assert!(link.is_symlink());
    assert_eq!(std::fs::read_to_string(&file).unwrap().lines().count(), 2);
}

#[test]
fn who_holds_the_lock_keeps_nobody_waiting_for_good() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("known_hosts");
    let holder = File::create(&path).unwrap();
    rustix::fs::flock(&holder, FlockOperation::LockExclusive).unwrap();
    let (sender, receiver) = std::sync::mpsc::channel();
    let to = path.clone();
    let adding = thread::spawn(move || {
        let added = add(&to, &environment(), &[(host("a"), key(1))]);
        let _ = sender.send(added.map_err(|error| error.to_string()));
    });
    let added = receiver.recv_timeout(PATIENCE * 10);
    drop(holder); // also if it waits for good: the thread ends
    adding.join().unwrap();
    let why = added.expect("it waits without end").unwrap_err();
    assert!(why.contains("another has had it locked for 2 seconds"), "{why}");
    assert!(why.contains(&format!("fuser {} says which process", path.display())), "{why}");
    // Then as ever.
    let added = add(&path, &environment(), &[(host("a"), key(1))]).unwrap();
    assert_eq!(added.new, [host("a")]);
}

#[test]
fn many_at_once_lose_nothing() {
    const THREADS: usize = 8;
    const ROUNDS: usize = 12;
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("known_hosts");
    let barrier = Barrier::new(THREADS);
    let name = |thread, round| host(&format!("node{thread}-{round}"));
    let work = |thread: usize| {
        barrier.wait();
        for round in 0..ROUNDS {
            // One host of its own, and one that all want.
            let shown = [(name(thread, round), key(1)), (name(99, round), key(2))];
            // On a slow disk one of them may find it locked for too long, and is told to try again.
            let added = loop {
                match add(&path, &environment(), &shown) {
                    Err(KnownHostsError::Write(WriteError::Locked(..))) => {}
                    added => break added.unwrap(),
                }
            };
            assert!(added.new.contains(&shown[0].0) && added.changed.is_empty());
        }
    };
    std::thread::scope(|scope| {
        for thread in 0..THREADS {
            scope.spawn(move || work(thread));
        }
    });
    let known = KnownHosts::read(&path, &environment()).unwrap();
    for round in 0..ROUNDS {
        assert_eq!(known.key(&name(99, round)), Some(&key(2)));
        for thread in 0..THREADS {
            assert_eq!(known.key(&name(thread, round)), Some(&key(1)), "{thread} {round}");
        }
    }
    let lines = std::fs::read_to_string(&path).unwrap().lines().count();
    assert_eq!(lines, THREADS * ROUNDS + ROUNDS);
}
