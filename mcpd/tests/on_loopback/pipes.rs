//! Streams: into a file, and into the standard output of one that is started for it.

use crate::daemon::{Daemon, connect, send, source};
use serde_json::Value;
use std::fs;
use std::io::{self, BufReader, Read};
use std::net::{Ipv4Addr, SocketAddr};
use std::process::ChildStderr;
use std::sync::mpsc;
use std::thread::{self, JoinHandle};
use tcpxm::api::{Sender, SenderOptions};
use tcpxm::trust::SenderTrust;
use transfer::message::Offer;
use transfer::pipe::input::Input;
use transfer::send::Delivered;
use transfer::session::open_stream;

pub(crate) const MIB: usize = 1 << 20;

/// Some bytes, then their end, or an error.
pub(crate) struct Bytes(io::Cursor<Vec<u8>>, Option<(io::ErrorKind, mpsc::Receiver<()>)>);

impl Bytes {
    pub(crate) fn new(len: usize) -> Self {
        let (_dir, path) = source(len);
        Self::of(fs::read(path).unwrap())
    }

    pub(crate) fn of(bytes: Vec<u8>) -> Self {
        Self(io::Cursor::new(bytes), None)
    }

    /// Where they end stands an error, as soon as that is told to come.
    pub(crate) fn failing(bytes: Vec<u8>, when: mpsc::Receiver<()>) -> Self {
        Self(io::Cursor::new(bytes), Some((io::ErrorKind::TimedOut, when)))
    }

    pub(crate) fn all(&self) -> &[u8] {
        self.0.get_ref()
    }
}

impl Input for Bytes {
    fn read(&mut self, buf: &mut [u8], is_over: &dyn Fn() -> bool) -> io::Result<Option<usize>> {
        if is_over() {
            return Ok(None);
        }
        match (self.0.read(buf)?, &self.1) {
            // Not before the session has begun, which would else be none that ends the daemon.
            (0, Some((kind, begun))) => {
                let _ = begun.recv();
                Err((*kind).into())
            }
            (read, _) => Ok(Some(read)),
        }
    }
}

pub(crate) fn open(addrs: &[SocketAddr]) -> Sender {
    let bind = Some((Ipv4Addr::LOCALHOST, 0).into());
    let options = SenderOptions { bind, ..SenderOptions::new(SenderTrust::Loopback) };
    let peers: Vec<_> = addrs.iter().map(|addr| vec![*addr]).collect();
    open_stream(options, &peers).unwrap().sender
}

/// What became of each, in order.
pub(crate) fn stream(to: &[(SocketAddr, &str)], input: &mut Bytes) -> Vec<Option<String>> {
    let addrs: Vec<SocketAddr> = to.iter().map(|(addr, _)| *addr).collect();
    let offer = |to: &str| Offer { to: to.into(), stream: true, ..Offer::default() };
    let offers: Vec<Offer> = to.iter().map(|(_, to)| offer(to)).collect();
    let (outcome, _) = transfer::pipe::send(&open(&addrs), input, &offers, &|_| ());
    outcome.members.iter().map(Delivered::failure).collect()
}

/// Reads what it writes, so many bytes at most.
pub(crate) fn reader(daemon: &mut Daemon, most: u64) -> JoinHandle<Vec<u8>> {
    let out = daemon.child.stdout.take().unwrap();
    thread::spawn(move || {
        let mut bytes = Vec::new();
        out.take(most).read_to_end(&mut bytes).unwrap();
        bytes
    })
}

/// How it ended, and what it said.
pub(crate) fn end(mut daemon: Daemon) -> (Option<i32>, String) {
    let mut said = String::new();
    let rest: Option<BufReader<ChildStderr>> = daemon.said.take();
    rest.unwrap().read_to_string(&mut said).unwrap();
    (daemon.child.wait().unwrap().code(), said)
}

/// The line of `--json`, which stands among the messages.
fn line(said: &str) -> Value {
    let line = said.lines().find(|line| line.starts_with('{'));
    serde_json::from_str(line.unwrap_or_else(|| panic!("{said}"))).unwrap()
}

#[test]
fn standard_output_gets_what_was_sent_and_nothing_else() {
    for len in [0, 1, MIB, 5 * MIB + 1] {
        let mut daemon = Daemon::to_stdout(61);
        let reading = reader(&mut daemon, u64::MAX);
        let mut input = Bytes::new(len);
        assert_eq!(stream(&[(daemon.addr, "-")], &mut input), [None]);
        assert!(reading.join().unwrap() == input.all(), "{len} bytes");
        let (code, said) = end(daemon);
        assert_eq!(code, Some(0), "{said}");
        let line = line(&said);
        assert_eq!((&line["status"], &line["path"]), (&"ok".into(), &"-".into()));
        assert_eq!(line["digest"], blake3_of(input.all()));
    }
}

fn blake3_of(bytes: &[u8]) -> String {
    let mut sink = transfer::blocks::Stack::new(bytes.len() as u64);
    for index in 0..transfer::blocks::count(bytes.len() as u64) {
        let range = transfer::blocks::range(index, bytes.len() as u64);
        let block = &bytes[range.start as usize..range.end as usize];
        sink.push(transfer::blocks::value(index, block, bytes.len() as u64));
    }
    sink.root().unwrap().to_hex().to_string()
}

#[test]
fn what_is_cut_off_is_a_failure_and_ends_with_a_whole_block() {
    let mut daemon = Daemon::to_stdout(62);
    let (has_begun, begun) = mpsc::channel();
    let mut out = daemon.child.stdout.take().unwrap();
    let reading = thread::spawn(move || {
        let mut bytes = vec![0; MIB];
        out.read_exact(&mut bytes).unwrap();
        has_begun.send(()).unwrap();
        out.read_to_end(&mut bytes).unwrap();
        bytes
    });
    let bytes = Bytes::new(3 * MIB + 5).all().to_vec();
    let mut input = Bytes::failing(bytes, begun);
    assert!(stream(&[(daemon.addr, "-")], &mut input)[0].is_some());
    let out = reading.join().unwrap();
    assert!(out.len().is_multiple_of(MIB) && input.all().starts_with(&out), "{}", out.len());
    let (code, said) = end(daemon);
    assert_eq!(code, Some(1), "{said}");
    let line = line(&said);
    assert_eq!(line["status"], "failed");
    assert!(line["reason"].as_str().unwrap().contains("cannot be read"), "{line}");
}

#[test]
fn what_has_no_place_is_refused_and_ends_nothing() {
    let root = tempfile::tempdir().unwrap();
    fs::create_dir(root.path().join("folder")).unwrap();
    let below = Daemon::start(root.path(), 63, &[]);
    let mut output = Daemon::to_stdout(64);
    let reading = reader(&mut output, u64::MAX);
    let (_dir, file) = source(10);
    for (addr, to, why) in [
        (below.addr, "-", "--to-stdout writes"),
        (below.addr, "folder", "folder is a folder"),
        (below.addr, "x/", "x is a folder"),
        (output.addr, "x", "has no place for x"),
        (output.addr, "", "has no place for the root folder"),
    ] {
        let said = stream(&[(addr, to)], &mut Bytes::new(9)).remove(0).unwrap();
        assert!(said.contains(why), "{to}: {said}");
    }
    for (addr, why) in [(below.addr, "--to-stdout writes"), (output.addr, "not a folder")] {
        let said = send(addr, &file, "-", None).unwrap();
        assert!(said.contains(why), "{said}");
    }
    assert!(connect(output.addr, None).wait_started().is_ok());
    let mut both = Bytes::new(2 * MIB);
    let mut done = vec![Some("busy --once".to_owned())];
    while done.iter().flatten().any(|why| why.contains("--once")) {
        both.0.set_position(0);
        done = stream(&[(output.addr, "-"), (below.addr, "./-")], &mut both);
    }
    assert_eq!(done, [None, None]);
    assert!(reading.join().unwrap() == both.all());
    assert!(fs::read(root.path().join("-")).unwrap() == both.all());
    assert_eq!(end(output).0, Some(0));
}

#[test]
fn a_reader_that_closes_it_fails_alone() {
    let [mut enough, mut all] = [65, 66].map(Daemon::to_stdout);
    let (some, whole) = (reader(&mut enough, 10), reader(&mut all, u64::MAX));
    let mut input = Bytes::new(40 * MIB);
    let done = stream(&[(enough.addr, "-"), (all.addr, "-")], &mut input);
    assert_eq!(done[0].as_deref(), Some("who reads its standard output has closed it"));
    assert_eq!(done[1], None);
    assert!(some.join().unwrap() == input.all()[..10] && whole.join().unwrap() == input.all());
    let (code, said) = end(enough);
    assert_eq!(code, Some(1), "it is not killed by SIGPIPE: {said}");
    assert_eq!(line(&said)["reason"], "who reads its standard output has closed it");
    assert_eq!(end(all).0, Some(0));
}
