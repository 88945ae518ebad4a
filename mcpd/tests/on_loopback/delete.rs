//! What is not at the source is deleted, and what keeps it from that.

use crate::daemon::{Daemon, connect};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::inotify;
use std::fs;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::os::unix::fs::symlink;
use std::path::Path;
use std::sync::mpsc;
use std::thread;
use tcpxm::api::SenderOptions;
use tcpxm::trust::SenderTrust;
use tempfile::TempDir;
use transfer::filter::Filter;
use transfer::message::{Delete, Offer, Report};
use transfer::pipe::input::Input;
use transfer::send::Delivered;
use transfer::session::open_stream;
use transfer::tree::scan::{self, FilesFrom};
use transfer::tree::source::TreeSource;

const ALLOW: [&str; 2] = ["--allow", "delete"];

/// A source with two folders, and a root in which a copy of it and more stand.
struct Case {
    dir: TempDir,
    daemon: Daemon,
    filter: Filter,
    max: Option<u64>,
    links: bool,
}

impl Case {
    fn new(last: u8, options: &[&str]) -> Self {
        let dir = tempfile::tempdir().unwrap();
        for folder in ["source/a/b", "source/c", "root/source/a/b/gone", "root/beside"] {
            fs::create_dir_all(dir.path().join(folder)).unwrap();
        }
        let (source, root) = (dir.path().join("source"), dir.path().join("root"));
        for file in ["a/1", "a/b/2", "c/3", "4"] {
            fs::write(source.join(file), file).unwrap();
        }
        for file in [
            "beside/x",
            "source/extra",
            "source/a/extra.o",
            "source/a/b/gone/x",
            "source/a/b/gone/y.o",
        ] {
            fs::write(root.join(file), file).unwrap();
        }
        let daemon = Daemon::start(&root, last, options);
        Self { dir, daemon, filter: Filter::EMPTY, max: None, links: true }
    }

    fn rule(mut self, rule: &str) -> Self {
        self.filter
            .rule(rule.as_bytes(), false, &|_| Err(std::io::ErrorKind::NotFound.into()))
            .unwrap();
        self
    }

    fn at(&self, path: &str) -> std::path::PathBuf {
        self.dir.path().join(path)
    }

    fn options(&self) -> scan::Options {
        let filter = self.filter.clone();
        scan::Options { links: self.links, filter, deletes: true, ..scan::Options::default() }
    }

    /// Copies a source to a place below the root, and deletes.
    fn copy(&self, source: &str, to: &str) -> Delivered {
        let path = format!("{}/{source}", self.dir.path().display());
        let source = TreeSource::open(&[Path::new(&path)], self.options(), self.dir.path());
        self.send(self.daemon.addr, &source.unwrap(), to)
    }

    fn send(&self, addr: SocketAddr, source: &TreeSource, to: &str) -> Delivered {
        let delete = Some(Delete { max: self.max, one_file_system: false });
        let offer = Offer { to: to.into(), delete, ..Offer::default() };
        let outcome = transfer::send(&connect(addr, None), source, &[offer], &|_| ());
        assert!(outcome.failure.is_none(), "{:?}", outcome.failure);
        outcome.members.into_iter().next().unwrap()
    }

    /// All below the root that the source does not have, sorted, folders with a slash.
    fn extras(&self) -> Vec<String> {
        let mut extras = Vec::new();
        let mut open = vec![self.at("root")];
        while let Some(folder) = open.pop() {
            for entry in fs::read_dir(folder).unwrap() {
                let path = entry.unwrap().path();
                let is_folder = path.is_dir() && !path.is_symlink();
                let below = path.strip_prefix(self.at("root")).unwrap().display().to_string();
                let slash = if is_folder { "/" } else { "" };
                if self.at(&below).symlink_metadata().is_err() {
                    extras.push(format!("{below}{slash}"));
                }
                open.extend(is_folder.then_some(path));
            }
        }
        extras.sort();
        extras
    }
}

/// Everything that stands in the root and not in the source, before anything is copied.
const ALL: [&str; 7] = [
    "beside/",
    "beside/x",
    "source/a/b/gone/",
    "source/a/b/gone/x",
    "source/a/b/gone/y.o",
    "source/a/extra.o",
    "source/extra",
];

fn report(member: &Delivered) -> Report {
    member.said.report.unwrap()
}

#[test]
fn what_is_not_at_the_source_goes_from_the_folders_that_are_copied() {
    let case = Case::new(46, &ALLOW);
    let member = case.copy("source", "");
    assert_eq!(member.failure(), None);
    assert_eq!(case.extras(), ["beside/", "beside/x"]);
    assert_eq!((report(&member).deleted, report(&member).undeleted), (5, 0));
    assert_eq!(report(&member).arrived, 4 + 1, "the files, and the folder that was not there");
    // Once more there is nothing left to do.
    assert_eq!(report(&case.copy("source", "")).deleted, 0);
    // What it holds, into a folder that is named.
    fs::write(case.at("root/source/new"), "").unwrap();
    assert_eq!(report(&case.copy("source/", "source")).deleted, 1);
    assert_eq!(case.extras(), ["beside/", "beside/x"]);
    let (_, out, said) = case.daemon.terminate();
    assert!(out.lines().next().unwrap().contains("\"deleted\":5"), "{out}");
    assert!(!said.contains("nothing is deleted"), "{said}");
}

#[test]
fn what_is_not_allowed_is_told_once_and_nothing_is_deleted() {
    let case = Case::new(47, &["--allow", "owner,setuid"]);
    let member = case.copy("source", "");
    assert_eq!((member.failure(), case.extras()), (None, ALL.map(str::to_owned).to_vec()));
    let note = "nothing is deleted: this host allows no sender to delete (allow=delete)";
    assert_eq!(member.said.notes, [note]);
    let (_, _, said) = case.daemon.terminate();
    assert!(said.contains(note), "{said}");
}

#[test]
fn what_rules_leave_out_is_protected() {
    for (last, rule, kept) in [
        (48, "- *.o", &["source/a/b/gone/", "source/a/b/gone/y.o", "source/a/extra.o"][..]),
        (49, "P /source/extra", &["source/extra"]),
        (50, "-p *.o", &["source/a/extra.o"]),
        (51, "- gone/", &["source/a/b/gone/", "source/a/b/gone/x", "source/a/b/gone/y.o"]),
        (52, "-! */", &ALL[2..]),
    ] {
        let case = Case::new(last, &ALLOW).rule(rule);
        let member = case.copy("source", "");
        assert_eq!(member.failure(), None, "{rule}");
        assert_eq!(case.extras(), [&ALL[..2], kept].concat(), "{rule}");
    }
    // Hidden at the source, and free at the receiver.
    let case = Case::new(53, &ALLOW).rule("H c/");
    fs::create_dir_all(case.at("root/source/c/d")).unwrap();
    assert_eq!(report(&case.copy("source", "")).deleted, 7);
    assert!(!case.at("root/source/c").exists());
}

#[test]
fn above_the_bound_nothing_is_deleted_and_the_host_fails_with_the_numbers() {
    let mut case = Case::new(54, &ALLOW);
    case.max = Some(4);
    let member = case.copy("source", "");
    let why = member.failure().unwrap();
    assert!(why.contains("nothing is deleted: 5 entries") && why.contains("at most 4 "), "{why}");
    assert_eq!(case.extras(), ALL);
    assert_eq!((report(&member).deleted, report(&member).undeleted), (0, 5));
    assert_eq!(report(&member).failed, 0, "all of the source is there");
    case.max = Some(5);
    let member = case.copy("source", "");
    assert_eq!((member.failure(), report(&member).deleted), (None, 5));
    // What is said without a number.
    case.max = None;
    (0..1001).for_each(|n| fs::write(case.at(&format!("root/source/c/x{n}")), "").unwrap());
    let why = case.copy("source", "").failure().unwrap();
    assert!(why.contains("1001 entries") && why.contains("at most 1000 "), "{why}");
    fs::remove_file(case.at("root/source/c/x7")).unwrap();
    assert_eq!(report(&case.copy("source", "")).deleted, 1000);
    let (_, _, said) = case.daemon.terminate();
    assert!(said.contains("at most 4 may be deleted"), "{said}");
}

#[test]
fn nothing_goes_where_the_source_could_not_be_listed() {
    let case = Case::new(55, &ALLOW);
    let deep = vec!["d"; 130].join("/");
    fs::create_dir_all(case.at("source/deep").join(deep)).unwrap();
    let member = case.copy("source", "");
    assert!(member.failure().unwrap().contains("deeper than 128 folders"));
    assert_eq!(&case.extras(), &ALL);
    let note = &member.said.notes[0];
    assert!(note.starts_with("nothing is deleted: the source could not be listed whole"), "{note}");
    let (_, _, said) = case.daemon.terminate();
    assert!(said.contains("nothing is deleted: the source could not be listed whole"), "{said}");
}

/// A stream that ends once it is told to.
struct Open(mpsc::Receiver<()>);

impl Input for Open {
    fn read(&mut self, _: &mut [u8], is_over: &dyn Fn() -> bool) -> io::Result<Option<usize>> {
        let _ = self.0.recv();
        Ok(if is_over() { None } else { Some(0) })
    }
}

/// The daemon has begun a file here.
fn is_begun(folder: &Path) -> bool {
    let mut names = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name());
    names.any(|name| name.to_string_lossy().starts_with(".mcp-"))
}

#[test]
fn nothing_goes_while_another_session_writes_there() {
    let case = Case::new(74, &ALLOW);
    let addr = case.daemon.addr;
    thread::scope(|scope| {
        let (end, open) = mpsc::channel();
        let piped = scope.spawn(move || {
            let bind = Some((Ipv4Addr::LOCALHOST, 0).into());
            let options = SenderOptions { bind, ..SenderOptions::new(SenderTrust::Loopback) };
            let sender = open_stream(options, &[vec![addr]]).unwrap().sender;
            let to = "source/a/piped".into();
            let offer = Offer { to, stream: true, ..Offer::default() };
            let (outcome, _) = transfer::pipe::send(&sender, &mut Open(open), &[offer], &|_| ());
            outcome.members[0].failure()
        });
        let folder = case.at("root/source/a");
        let names = inotify::init(inotify::CreateFlags::empty()).unwrap();
        inotify::add_watch(&names, &folder, inotify::WatchFlags::CREATE).unwrap();
        let soon = Timespec { tv_sec: 20, tv_nsec: 0 };
        while !is_begun(&folder) {
            let told = poll(&mut [PollFd::new(&names, PollFlags::IN)], Some(&soon)).unwrap();
            assert_eq!(told, 1, "the stream was not begun");
            rustix::io::read(&names, &mut [0; 4096]).unwrap();
        }
        let member = case.copy("source", "");
        assert_eq!((member.failure(), report(&member).deleted), (None, 0));
        let why = "nothing is deleted: another session is writing below this folder";
        assert_eq!(member.said.notes, [why]);
        end.send(()).unwrap();
        assert_eq!(piped.join().unwrap(), None);
    });
    // What the other has brought is too much now.
    let member = case.copy("source", "");
    assert_eq!((member.failure(), report(&member).deleted), (None, 6));
    assert_eq!(case.extras(), ["beside/", "beside/x"]);
}

#[test]
fn an_empty_source_deletes_nothing() {
    for (last, source, to) in [(56, "empty/", "source"), (57, "source", "")] {
        let case = Case::new(last, &ALLOW);
        fs::create_dir(case.at("empty")).unwrap();
        if to.is_empty() {
            fs::remove_dir_all(case.at("source")).unwrap();
            fs::create_dir(case.at("source")).unwrap();
        }
        let before = case.extras();
        let member = case.copy(source, to);
        assert_eq!((member.failure(), case.extras()), (None, before));
        assert!(member.said.notes[0].contains("is empty"), "{:?}", member.said.notes);
    }
}

#[test]
fn nothing_goes_before_all_is_in_place() {
    let case = Case::new(58, &ALLOW).rule("P full");
    // A file does not replace a folder of which not all may go.
    fs::create_dir_all(case.at("root/source/4/full")).unwrap();
    let member = case.copy("source", "");
    assert_eq!(report(&member).failed, 1);
    assert_eq!(member.said.notes, ["nothing is deleted: an entry is not in place"]);
    assert!(ALL.iter().all(|extra| case.at("root").join(extra).exists()));
}

#[test]
fn links_go_and_what_they_lead_to_stays() {
    let case = Case::new(59, &ALLOW);
    fs::create_dir(case.at("outside")).unwrap();
    fs::write(case.at("outside/file"), "precious").unwrap();
    let outside = case.at("outside");
    for link in ["root/source/out", "root/source/a/b/gone/out"] {
        symlink(&outside, case.at(link)).unwrap();
    }
    symlink(outside.join("file"), case.at("root/source/c-file")).unwrap();
    let member = case.copy("source", "");
    assert_eq!((member.failure(), report(&member).deleted), (None, 8));
    assert_eq!(case.extras(), ["beside/", "beside/x"]);
    assert_eq!(fs::read(case.at("outside/file")).unwrap(), b"precious");
}

/// As rsync does it: the name is at the source.
#[test]
fn what_is_left_out_for_what_it_is_keeps_its_name_there() {
    let mut case = Case::new(60, &ALLOW);
    case.links = false;
    symlink("nowhere", case.at("source/extra")).unwrap();
    let member = case.copy("source", "");
    assert_eq!((member.failure(), report(&member).deleted), (None, 4));
    assert!(case.at("root/source/extra").exists());
}

/// As rsync does it: in folders of which the list says all.
#[test]
fn of_a_list_of_files_only_folders_count_that_it_has_whole() {
    for (last, list, recursive, gone) in [
        (61, "a", false, 0),
        (62, "a/", false, 1),
        (63, "a/b/2", false, 0),
        (64, "a", true, 4),
        (65, "a/b/", true, 3),
        (66, "./", false, 1),
        (67, "./", true, 5),
    ] {
        let case = Case::new(last, &ALLOW);
        let listed = FilesFrom::parse(list.as_bytes(), false, recursive).unwrap();
        let of = case.at("source");
        let source = TreeSource::listed(&of, listed, case.options(), case.dir.path()).unwrap();
        let member = case.send(case.daemon.addr, &source, "source");
        assert_eq!((member.failure(), report(&member).deleted), (None, gone), "{list} {recursive}");
    }
}

/// Whatever a sender says: what others have put beside it is not its business.
#[test]
fn right_below_the_root_folder_nothing_goes() {
    let case = Case::new(68, &ALLOW);
    let member = case.copy("source/", "");
    assert_eq!((member.failure(), report(&member).deleted), (None, 0));
    assert!(case.at("root/beside/x").exists() && case.at("root/source/extra").exists());
    assert!(member.said.notes[0].contains("right below this host's root folder"));
}

/// It is gone on with by a later copy.
#[test]
fn what_is_begun_by_another_session_stays() {
    let case = Case::new(69, &ALLOW);
    let names = [".mcp-0123456789abcdef.partial", ".mcp-0123456789abcdef.state"];
    for name in names {
        fs::write(case.at("root/source/a").join(name), "").unwrap();
    }
    assert_eq!(report(&case.copy("source", "")).deleted, 5);
    for name in names {
        assert!(case.at("root/source/a").join(name).exists(), "{name}");
    }
}
