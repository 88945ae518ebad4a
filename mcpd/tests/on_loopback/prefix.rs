//! `--prefix-file`: what it says can be read is there, and is what was sent.

use crate::daemon::{Daemon, connect, send, send_over, source};
use crate::pipes::{Bytes, stream};
use serde_json::Value;
use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, BufReader};
use std::net::Ipv4Addr;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant, SystemTime};
use tempfile::TempDir;

const MIB: u64 = 1 << 20;
/// Whatever is waited for comes within this.
const SOON: Duration = Duration::from_secs(20);

/// Where it stands, beside a root.
struct Place {
    dir: TempDir,
    root: PathBuf,
}

impl Place {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path().canonicalize().unwrap().join("root");
        fs::create_dir(&root).unwrap();
        Self { dir, root }
    }

    fn file(&self) -> PathBuf {
        self.dir.path().join("prefixes")
    }

    fn daemon(&self, last: u8, options: &[&str]) -> Daemon {
        let file = self.file().display().to_string();
        Daemon::start(&self.root, last, &[&["--prefix-file", &file], options].concat())
    }

    /// What it says now.
    fn lines(&self) -> Vec<Value> {
        let text = fs::read_to_string(self.file()).unwrap();
        assert!(text.is_empty() || text.ends_with('\n'), "it is replaced whole: {text}");
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    /// Waits until it says this of a single file; that line.
    fn says(&self, what: &dyn Fn(&Value) -> bool) -> Value {
        let until = Instant::now() + SOON;
        loop {
            let lines = self.lines();
            if let [line] = &lines[..]
                && what(line)
            {
                return line.clone();
            }
            assert!(Instant::now() < until, "it does not say so: {lines:?}");
            thread::sleep(Duration::from_millis(5));
        }
    }
}

fn verified(line: &Value) -> u64 {
    line["verified"].as_u64().unwrap()
}

fn path<'a>(line: &'a Value, key: &str) -> &'a Path {
    Path::new(line[key].as_str().unwrap())
}

/// Who reads a file while it arrives, as docs/prefix.md has it.
struct Reader<'a> {
    place: &'a Place,
    /// By final paths: of which try, what was opened first, and how far it was read.
    open: BTreeMap<PathBuf, (u64, File, u64)>,
    /// How often more could be read before the end.
    grown: usize,
}

impl<'a> Reader<'a> {
    fn new(place: &'a Place) -> Self {
        Self { place, open: BTreeMap::new(), grown: 0 }
    }

    /// Opens what this line is of; what stands under its name only if that is it.
    fn opened(&self, line: &Value) -> Option<File> {
        match File::open(path(line, "partial")) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                let is_it = |now: &Value| now["try"] == line["try"] && now["state"] == "complete";
                let complete = self.place.lines().iter().any(is_it);
                complete.then(|| File::open(path(line, "path")).unwrap())
            }
            opened => Some(opened.unwrap()),
        }
    }

    /// Reads all that is said to be there and counts, and compares it with the source.
    fn read(&mut self, lines: &[Value], source: &Path) {
        for line in lines {
            let (name, attempt) = (path(line, "path"), line["try"].as_u64().unwrap());
            if self.open.get(name).is_none_or(|(of, ..)| *of != attempt) {
                self.open.remove(name); // what was read of another try may be of another version
                let Some(file) = self.opened(line) else { continue };
                self.open.insert(name.to_owned(), (attempt, file, 0));
            }
            let (_, file, before) = self.open.get_mut(name).unwrap();
            let now = verified(line);
            assert!(now >= *before, "it only grows: {before}, then {line}");
            let [mut there, mut sent] = [(); 2].map(|()| vec![0; now as usize]);
            let read = file.read_exact_at(&mut there, 0);
            if !self.place.lines().iter().any(|now| now["try"] == attempt) {
                continue;
            }
            read.unwrap();
            File::open(source).unwrap().read_exact_at(&mut sent, 0).unwrap();
            assert!(there == sent, "what can be read is what was sent: {line}");
            self.grown += usize::from(now > *before && line["state"] == "arriving");
            *before = now;
        }
    }

    /// How far the one file was read.
    fn has(&self) -> u64 {
        self.open.values().map(|(_, _, read)| read).sum()
    }
}

/// Holds a sender up, so that the file is read in the middle of a copy.
fn slowly(place: &Place, read: u64) {
    let until = Instant::now() + Duration::from_millis(60);
    let has = || place.lines().iter().map(verified).sum::<u64>();
    while has() + 4 * MIB < read && Instant::now() < until {
        thread::sleep(Duration::from_millis(2));
    }
}

#[test]
fn each_prefix_can_be_read_and_is_what_was_sent() {
    let place = Place::new();
    let daemon = place.daemon(71, &[]);
    assert_eq!(place.lines().len(), 0);
    let (_dir, source) = source((20 * MIB + 7) as usize);
    let (mut reader, over) = (Reader::new(&place), AtomicBool::new(false));
    thread::scope(|scope| {
        let copy = scope.spawn(|| {
            let sender = connect(daemon.addr, None);
            let failure = send_over(&sender, &source, "to/name", &|p| slowly(&place, p.read));
            over.store(true, Ordering::SeqCst);
            failure
        });
        while !over.load(Ordering::SeqCst) {
            reader.read(&place.lines(), &source);
            thread::sleep(Duration::from_millis(10));
        }
        assert_eq!(copy.join().unwrap(), None);
    });
    let last = place.says(&|line| line["state"] == "complete");
    reader.read(std::slice::from_ref(&last), &source); // also of what was opened under its other name
    assert!(reader.grown >= 3, "it was read while it arrived: {} times", reader.grown);
    let name = place.root.join("to/name");
    assert_eq!((path(&last, "path"), verified(&last)), (&*name, 20 * MIB + 7));
    assert_eq!(last["length"], 20 * MIB + 7);
    assert!(!path(&last, "partial").exists());
    assert!(fs::read(&name).unwrap() == fs::read(&source).unwrap());
    // What is there already, by its time, is not received; and a small file is there at once.
    let long_ago = SystemTime::now() - Duration::from_secs(3600);
    for path in [&source, &name] {
        File::options().write(true).open(path).unwrap().set_modified(long_ago).unwrap();
    }
    assert_eq!(send(daemon.addr, &source, "to/name", None), None);
    let (_small, small) = crate::daemon::source(256 << 10);
    assert_eq!(send(daemon.addr, &small, "small", None), None);
    assert_eq!(daemon.terminate().0, Some(0));
    assert_eq!(place.lines(), [last], "and stays as it was");
    // The next one begins with nothing.
    let _daemon = place.daemon(71, &[]);
    assert_eq!(place.lines().len(), 0);
}

#[test]
fn what_breaks_off_has_failed_and_what_goes_on_begins_with_what_is_there() {
    let place = Place::new();
    let daemon = place.daemon(72, &[]);
    let (_dir, source) = source(24 << 20);
    let sender = connect(daemon.addr, None);
    let why = send_over(&sender, &source, "name", &|progress| {
        slowly(&place, progress.read);
        let has: u64 = place.lines().iter().map(verified).sum();
        if has >= 6 * MIB {
            sender.abort("that is all");
        }
    });
    assert!(why.is_some());
    let broken = place.says(&|line| line["state"] == "failed");
    let left = verified(&broken);
    assert!((6 * MIB..24 * MIB).contains(&left), "{broken}");
    let mut reader = Reader::new(&place);
    reader.read(std::slice::from_ref(&broken), &source);
    assert_eq!(reader.has(), left);
    // What is there counts though nothing of it is sent again.
    let (sender, seen) = (connect(daemon.addr, None), AtomicBool::new(false));
    let why = send_over(&sender, &source, "name", &|_| {
        let until = Instant::now() + Duration::from_millis(300);
        while !seen.load(Ordering::SeqCst) && Instant::now() < until {
            let sent = sender.sent();
            let came = sent.group_bytes + sent.unicast_bytes;
            let arriving = place.lines().into_iter().filter(|line| line["state"] == "arriving");
            let has = arriving.map(|line| verified(&line)).max().unwrap_or(0);
            seen.fetch_or(has >= left && has > came, Ordering::SeqCst);
            thread::sleep(Duration::from_millis(5));
        }
    });
    assert_eq!(why, None);
    assert!(seen.into_inner());
    let last = place.says(&|line| line["state"] == "complete");
    assert_eq!(verified(&last), 24 * MIB);
    assert_ne!(last["try"], broken["try"], "another session is another try");
    reader.read(&[last], &source);
    assert_eq!(reader.has(), 24 * MIB);
}

/// Where nothing stays of what has failed, a file of before has its name: with a line that is older than that, nobody
/// takes it for what was sent.
#[test]
fn a_file_of_before_is_not_read_for_one_that_has_failed() {
    let place = Place::new();
    let daemon = place.daemon(75, &[]);
    let before = vec![b'o'; 8 << 20];
    fs::write(place.root.join("name"), &before).unwrap();
    let (_dir, source) = source(4 << 20);
    let (fail, failing) = mpsc::channel();
    let mut input = Bytes::failing(fs::read(&source).unwrap(), failing);
    let old = thread::scope(|scope| {
        let copy = scope.spawn(|| stream(&[(daemon.addr, "name")], &mut input));
        let line = place.says(&|line| line["state"] == "arriving" && verified(line) > 0);
        fail.send(()).unwrap();
        assert!(copy.join().unwrap()[0].is_some());
        line
    });
    let failed = place.says(&|line| line["state"] == "failed");
    assert_eq!(failed["try"], old["try"]);
    assert!(!path(&old, "partial").exists() && path(&old, "path").exists());
    let mut reader = Reader::new(&place);
    reader.read(&[old.clone(), failed.clone()], &source);
    assert_eq!(reader.has(), 0);
    // Nor is a whole file of another try.
    let mut whole = Bytes::of(fs::read(&source).unwrap());
    assert_eq!(stream(&[(daemon.addr, "name")], &mut whole), [None]);
    let last = place.says(&|line| line["state"] == "complete");
    assert_ne!(last["try"], old["try"]);
    reader.read(&[old, failed], &source);
    assert_eq!(reader.has(), 0);
    reader.read(&[last], &source);
    assert_eq!(reader.has(), 4 * MIB);
}

/// A daemon that ends in the middle of a copy says so of its file, and what is sent to one that ends by itself is told
/// to its end.
#[test]
fn the_last_word_is_written_before_the_end() {
    let place = Place::new();
    let daemon = place.daemon(73, &[]);
    let (_dir, source) = source(24 << 20);
    let (sender, told) = (connect(daemon.addr, None), AtomicBool::new(false));
    let why = send_over(&sender, &source, "name", &|progress| {
        slowly(&place, progress.read);
        let has_begun = place.lines().iter().any(|line| verified(line) > 0);
        if has_begun && !told.swap(true, Ordering::SeqCst) {
            daemon.signal(rustix::process::Signal::TERM);
        }
    });
    assert!(why.is_some());
    assert_eq!(daemon.ended().0, Some(0));
    assert_eq!(place.lines()[0]["state"], "failed");
    let daemon = place.daemon(73, &["--once"]);
    assert_eq!(send(daemon.addr, &source, "name", None), None);
    assert_eq!(daemon.ended().0, Some(0));
    let lines = place.lines();
    assert_eq!((lines.len(), &lines[0]["state"]), (1, &"complete".into()));
}

#[test]
fn where_it_cannot_stand_the_daemon_does_not_start_and_later_the_copy_goes_on() {
    let place = Place::new();
    let inside = place.root.join("prefixes");
    for (file, why) in [
        (&*inside, "senders could replace it"),
        (Path::new("/dev/null"), "no file"),
        (&place.dir.path().join("none/file"), "its folder"),
    ] {
        let mut command = crate::daemon::command(&place.root, "127.0.0.74:0");
        let mut child = command.arg("--prefix-file").arg(file).spawn().unwrap();
        let said = child.stderr.take().map(BufReader::new);
        let daemon = Daemon { child, addr: (Ipv4Addr::LOCALHOST, 0).into(), said };
        let (code, _, said) = daemon.ended();
        assert_eq!(code, Some(1), "{said}");
        assert!(said.contains(why) && said.contains("--prefix-file"), "{said}");
    }
    let folder = place.dir.path().join("folder");
    fs::create_dir(&folder).unwrap();
    let file = folder.join("file").display().to_string();
    let mut daemon = Daemon::start(&place.root, 74, &["--prefix-file", &file]);
    fs::remove_dir_all(&folder).unwrap();
    let (_dir, source) = source(2 << 20);
    for name in ["one", "two"] {
        assert_eq!(send(daemon.addr, &source, name, None), None);
    }
    let said = daemon.says("--prefix-file");
    assert!(said.contains("goes on being tried"), "{said}");
    let (code, _, said) = daemon.terminate();
    assert_eq!(code, Some(0));
    assert!(!said.contains("--prefix-file"), "it is said once: {said}");
}

/// What the daemon refuses at its start is refused later as well, also where a root's name stays and leads elsewhere.
#[test]
fn no_later_root_has_it_in_itself() {
    let place = Place::new();
    let (link, deep) = (place.dir.path().join("link"), place.root.join("deep"));
    fs::create_dir(&deep).unwrap();
    let lead_to = |folder: &Path| {
        let _ = fs::remove_file(&link);
        std::os::unix::fs::symlink(folder, &link).unwrap();
    };
    lead_to(&place.root);
    let file = place.file().display().to_string();
    let mut daemon = Daemon::start(&link, 76, &["--follow-root", "--prefix-file", &file]);
    let (_dir, source) = source(1 << 20);
    assert_eq!(send(daemon.addr, &source, "first", None), None);
    lead_to(place.dir.path());
    daemon.signal(rustix::process::Signal::HUP);
    let said = daemon.says("the configuration ");
    assert!(said.contains("stays as it was: ") && said.contains(&file), "{said}");
    let why = send(daemon.addr, &source, "name", None).unwrap();
    assert!(why.contains("no folder to receive into"), "{why}");
    let said = daemon.says("refused");
    assert!(said.contains(&file), "{said}");
    lead_to(&deep);
    daemon.signal(rustix::process::Signal::HUP);
    daemon.says("read again");
    assert_eq!(send(daemon.addr, &source, "name", None), None);
    assert!(deep.join("name").exists() && !place.dir.path().join("name").exists());
    assert_eq!(daemon.terminate().0, Some(0));
}
