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
