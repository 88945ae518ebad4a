//! Whole files over real sockets on loopback: one sender, three receivers.

use std::fs;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::thread::{self, JoinHandle};
use tcpxm::api::{ListenOptions, Listener, Sender, SenderOptions};
use tcpxm::config::{Content, Delivery, SessionConfig};
use tcpxm::trust::{ListenTrust, SenderTrust};
use transfer::blocks::BLOCK;
use transfer::destination::Root;
use transfer::message::{ToReceiver, encode};
use transfer::receive::{Failure, Received};
use transfer::send_file;
use transfer::source::Source;

type Receiving = JoinHandle<Result<Received, Failure>>;

/// A receiver of one file.
fn receiver(last: u8, folder: PathBuf) -> (SocketAddr, Receiving) {
    let addr = (Ipv4Addr::new(127, 0, 0, last), 0).into();
    let listener = Listener::bind(ListenOptions::new(addr, ListenTrust::Loopback)).unwrap();
    let addr = listener.local_addr();
    let work =
        move || transfer::receive_file(&listener.accept().unwrap(), &Root::open(&folder).unwrap());
    (addr, thread::spawn(work))
}

fn connect(len: u64, addrs: &[SocketAddr]) -> Sender {
    let session = SessionConfig {
        delivery: Delivery::Unordered,
        content: Content::Source { len: Some(len) },
        ..SessionConfig::default()
    };
    let bind = Some((Ipv4Addr::LOCALHOST, 0).into());
    Sender::connect(
        SenderOptions { session, bind, ..SenderOptions::new(SenderTrust::Loopback) },
        addrs,
    )
    .unwrap()
}

fn sample(path: &Path, len: u64) -> Vec<u8> {
    let data: Vec<u8> = (0..len).map(|i| (i.wrapping_mul(0x9e37_79b9) >> 13) as u8).collect();
    fs::write(path, &data).unwrap();
    data
}

#[test]
fn three_receivers_get_files_of_every_length() {
    for len in [0, 1, BLOCK - 1, BLOCK, BLOCK + 1, 9 * BLOCK + 7] {
        let dir = tempfile::tempdir().unwrap();
        let data = sample(&dir.path().join("data"), len);
        let folders: Vec<_> = (2..5).map(|i| dir.path().join(i.to_string())).collect();
        for folder in &folders {
            fs::create_dir(folder).unwrap();
        }
        let (addrs, threads): (Vec<_>, Vec<_>) =
            (2..5).zip(&folders).map(|(last, folder)| receiver(last, folder.clone())).unzip();
        let source = Source::open(&dir.path().join("data")).unwrap();
        let outcome = send_file(&connect(len, &addrs), &source, &[], &|_| ());
        assert_eq!(outcome.digest, Some(blake3::hash(&data)));
        for (member, thread) in outcome.members.iter().zip(threads) {
            assert_eq!(member.failure(), None, "{len} bytes");
            assert_eq!(member.report.arrived.total(), len);
            let received = thread.join().unwrap().unwrap();
            assert_eq!((received.digest, received.confirmed), (blake3::hash(&data), Ok(())));
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
    let source = Source::open(&dir.path().join("data")).unwrap();
    let outcome = send_file(&connect(len, &addrs), &source, &[], &|_| ());
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

#[test]
fn a_corrupted_digest_is_noticed_and_told() {
    use std::io::Write;
    let dir = tempfile::tempdir().unwrap();
    let (addr, thread) = receiver(2, dir.path().to_owned());
    let sender = connect(2 * BLOCK, &[addr]);
    let mut private = sender.member(0);
    let mut frames = Vec::new();
    let offer = ToReceiver::Offer { name: b"data".to_vec(), len: 2 * BLOCK, to: Vec::new() };
    encode(&offer, &mut frames).unwrap();
    encode(&ToReceiver::Digests { first_block: 1, values: vec![[1; 32]] }, &mut frames).unwrap();
    private.write_all(&frames).unwrap();
    while let Some(need) = sender.next_need() {
        sender.supply(need.start, vec![0; (need.end - need.start) as usize].into());
    }
    sender.finish();
    let reports = sender.wait();
    let told = reports[0].outcome.clone().unwrap().unwrap_err().to_string();
    assert!(told.contains("digest mismatch in block 1"), "{told}");
    let error = thread.join().unwrap().unwrap_err();
    assert_eq!(error.to_string(), "digest mismatch in block 1");
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0);
}
