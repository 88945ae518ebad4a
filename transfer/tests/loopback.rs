//! Whole files over real sockets on loopback: one sender, three receivers.

#![allow(clippy::disallowed_methods, reason = "tests hash by themselves, to compare")]

use std::fs;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};
use tcpxm::api::{ListenOptions, Listener, Sender, SenderOptions};
use tcpxm::trust::{ListenTrust, SenderTrust};
use transfer::blocks::BLOCK;
use transfer::destination::Root;
use transfer::limits::Limits;
use transfer::message::Offer;
use transfer::receive::{Failure, Received};
use transfer::session::open_session;
use transfer::tree::entry::{Entry, Kind, Meta};
use transfer::tree::files::Open;
use transfer::tree::scan;
use transfer::tree::scan::Skipped;
use transfer::tree::source::{Found, TreeSource};

type Receiving = JoinHandle<Result<Received, Failure>>;

/// A receiver of one session.
fn receiver(last: u8, folder: PathBuf) -> (SocketAddr, Receiving) {
    let addr = (Ipv4Addr::new(127, 0, 0, last), 0).into();
    let listener = Listener::bind(ListenOptions::new(addr, ListenTrust::Loopback)).unwrap();
    let addr = listener.local_addr();
    let work = move || {
        let root = Root::open(&folder).unwrap();
        transfer::receive(&listener.accept().unwrap(), &root, &Limits::default())
    };
    (addr, thread::spawn(work))
}

fn connect(addrs: &[SocketAddr]) -> Sender {
    let bind = Some((Ipv4Addr::LOCALHOST, 0).into());
    let options = SenderOptions { bind, ..SenderOptions::new(SenderTrust::Loopback) };
    let peers: Vec<_> = addrs.iter().map(|addr| vec![*addr]).collect();
    open_session(options, &peers).unwrap().sender
}

fn source(path: &Path) -> (TreeSource, Offer) {
    let source =
        TreeSource::open(&[path], scan::Options::default(), path.parent().unwrap()).unwrap();
    let offer = Offer { one: source.single_file(), ..Offer::default() };
    (source, offer)
}

fn sample(path: &Path, len: u64) -> Vec<u8> {
    let data: Vec<u8> = (0..len).map(|i| (i.wrapping_mul(0x9e37_79b9) >> 13) as u8).collect();
    fs::write(path, &data).unwrap();
    data
}

#[test]
fn three_receivers_get_files_of_every_length() {
    for len in [0, 1, 262_144, BLOCK - 1, BLOCK, BLOCK + 1, 9 * BLOCK + 7] {
        let dir = tempfile::tempdir().unwrap();
        let data = sample(&dir.path().join("data"), len);
        let folders: Vec<_> = (2..5).map(|i| dir.path().join(i.to_string())).collect();
        for folder in &folders {
            fs::create_dir(folder).unwrap();
        }
        let (addrs, threads): (Vec<_>, Vec<_>) =
            (2..5).zip(&folders).map(|(last, folder)| receiver(last, folder.clone())).unzip();
        let (source, offer) = source(&dir.path().join("data"));
        let outcome = transfer::send(&connect(&addrs), &source, &vec![offer; 3], &|_| ());
        for (member, thread) in outcome.members.iter().zip(threads) {
            assert_eq!(member.failure(), None, "{len} bytes");
            assert_eq!(member.report.arrived.total(), len);
            let received = thread.join().unwrap().unwrap();
            let digest = Some(blake3::hash(&data));
            assert_eq!((received.digest, received.confirmed), (digest, Ok(())));
            assert!(fs::read(received.path).unwrap() == data, "{len} bytes");
        }
    }
}

#[test]
fn a_receiver_that_cannot_store_it_fails_alone_and_says_why() {
    let (dir, len) = (tempfile::tempdir().unwrap(), 5 * BLOCK + 3);
    let data = sample(&dir.path().join("data"), len);
    let folders = ["2", "3", "4"].map(|name| dir.path().join(name));
    for folder in &folders {
        fs::create_dir(folder).unwrap();
    }
    fs::create_dir(folders[1].join("data")).unwrap(); // where the file is to stand
    let (addrs, threads): (Vec<_>, Vec<_>) =
        (2..5).zip(folders).map(|(last, folder)| receiver(last, folder)).unzip();
    let (source, offer) = source(&dir.path().join("data"));
    let outcome = transfer::send(&connect(&addrs), &source, &vec![offer; 3], &|_| ());
    let failures: Vec<_> = outcome.members.iter().map(transfer::send::Delivered::failure).collect();
    assert_eq!((&failures[0], &failures[2]), (&None, &None));
    let why = failures[1].as_deref().unwrap();
    assert_eq!(why, "data is refused: it is a folder");
    for (index, thread) in threads.into_iter().enumerate() {
        let received = thread.join().unwrap();
        assert_eq!(received.is_ok(), index != 1);
        if let Ok(received) = received {
            assert!(fs::read(received.path).unwrap() == data);
        }
    }
}

/// Opens nothing: nobody asks for it.
struct Nothing;

impl Open for Nothing {
    fn open(&self, _: &[u8]) -> std::io::Result<fs::File> {
        Err(std::io::ErrorKind::NotFound.into())
    }
}

/// The list ends in a part of its own where nothing was left to be listed: it has no entry.
#[test]
fn a_last_part_without_entries_is_taken() {
    let dir = tempfile::tempdir().unwrap();
    let kind = Kind::Dir;
    let folder =
        Entry { name: b"folder".to_vec(), meta: Meta { mode: 0o755, ..Meta::default() }, kind };
    let late = std::iter::once_with(|| {
        let begun = Instant::now();
        while begun.elapsed() < Duration::from_millis(150) {
            thread::yield_now();
        }
        Found::LeftOut(Skipped::Symlink)
    });
    let found = [Found::Entry(folder), Found::Leave].into_iter().chain(late);
    let source = TreeSource::new(Box::new(Nothing), Box::new(found), dir.path()).unwrap();
    let (addr, thread) = receiver(5, dir.path().to_owned());
    let outcome = transfer::send(&connect(&[addr]), &source, &[Offer::default()], &|_| ());
    assert_eq!(outcome.members[0].failure(), None);
    assert!(thread.join().unwrap().is_ok() && dir.path().join("folder").is_dir());
}

/// A tree with some large files and many small ones, which are told apart by their times alone.
fn make_tree(at: &Path) -> u64 {
    let mut len = 0;
    for (name, bytes) in [("large", 6 * BLOCK + 5), ("larger", 9 * BLOCK), ("medium", 300_000)] {
        fs::create_dir_all(at).unwrap();
        sample(&at.join(name), bytes);
        len += bytes;
    }
    for n in 0..100 {
        fs::write(at.join(format!("small {n:02}")), vec![n; 5000]).unwrap();
        len += 5000;
    }
    for file in fs::read_dir(at).unwrap() {
        let file = fs::File::options().write(true).open(file.unwrap().path()).unwrap();
        file.set_modified(std::time::UNIX_EPOCH + Duration::from_secs(1_000_000_000)).unwrap();
    }
    len
}

/// Copies a tree as it was, with its times.
fn copy_tree(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for file in fs::read_dir(from).unwrap() {
        let file = file.unwrap();
        let to = to.join(file.file_name());
        fs::copy(file.path(), &to).unwrap();
        let time = file.metadata().unwrap().modified().unwrap();
        fs::File::options().write(true).open(&to).unwrap().set_modified(time).unwrap();
    }
}

/// Two receivers have a folder under its former name, one of them with another file of the same length and time in it,
/// and one has nothing. Each has what was sent in the end, and few bytes go to who has them.
#[test]
fn a_folder_that_has_another_name_is_copied_where_it_stands_and_sent_where_it_does_not() {
    let dir = tempfile::tempdir().unwrap();
    let tree = dir.path().join("source/new");
    let len = make_tree(&tree);
    let folders: Vec<_> = (7..10).map(|i| dir.path().join(i.to_string())).collect();
    for (n, folder) in folders.iter().enumerate() {
        fs::create_dir(folder).unwrap();
        if n < 2 {
            copy_tree(&tree, &folder.join("old"));
        }
    }
    for (name, at) in [("larger", 4 * BLOCK as usize), ("small 07", 9)] {
        let path = folders[1].join("old").join(name);
        let (mut bytes, time) = (fs::read(&path).unwrap(), path.metadata().unwrap().modified());
        bytes[at] ^= 1;
        fs::write(&path, bytes).unwrap();
        fs::File::options().write(true).open(&path).unwrap().set_modified(time.unwrap()).unwrap();
    }
    let (addrs, threads): (Vec<_>, Vec<_>) =
        (7..10).zip(&folders).map(|(last, folder)| receiver(last, folder.clone())).unzip();
    let (source, offer) = source(&tree);
    let source = source.moved([(b"old".to_vec(), b"new".to_vec())]);
    let outcome = transfer::send(&connect(&addrs), &source, &vec![offer; 3], &|_| ());
    let arrived: Vec<u64> = outcome.members.iter().map(|m| m.report.arrived.total()).collect();
    for (member, thread) in outcome.members.iter().zip(threads) {
        assert_eq!(member.failure(), None);
        thread.join().unwrap().unwrap();
    }
    for folder in &folders {
        for file in fs::read_dir(&tree).unwrap() {
            let file = file.unwrap();
            let there = fs::read(folder.join("new").join(file.file_name())).unwrap();
            assert!(there == fs::read(file.path()).unwrap(), "{}", file.path().display());
        }
    }
    let list = 100 * (32 + 100); // digests, and entries
    assert!(arrived[0] < list && arrived[1] < list + BLOCK + 5000, "{arrived:?}");
    assert!(arrived[2] >= len);
}
