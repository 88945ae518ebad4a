//! Streams over real sockets on loopback.

#![allow(clippy::disallowed_methods, reason = "tests hash by themselves, to compare")]

use std::fs;
use std::io::{self, Write};
use std::net::{Ipv4Addr, SocketAddr};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::mpsc;
use std::thread::{self, JoinHandle};
use std::time::Duration;
use tcpxm::api::{ListenOptions, Listener, Sender, SenderOptions};
use tcpxm::trust::{ListenTrust, SenderTrust};
use transfer::blocks::BLOCK;
use transfer::destination::Root;
use transfer::limits::Limits;
use transfer::message::Offer;
use transfer::pipe::input::Input;
use transfer::receive::{Failure, Received};
use transfer::send::Outcome;
use transfer::session::open_stream;

type Receiving<T> = JoinHandle<(Result<Received, Failure>, T)>;

fn listener(last: u8) -> Listener {
    let addr = (Ipv4Addr::new(127, 0, 1, last), 0).into();
    Listener::bind(ListenOptions::new(addr, ListenTrust::Loopback)).unwrap()
}

fn in_folder(last: u8, folder: PathBuf) -> (SocketAddr, Receiving<()>) {
    let listener = listener(last);
    let addr = listener.local_addr();
    let work = move || {
        let root = Root::open(&folder).unwrap();
        (transfer::receive(&listener.accept().unwrap(), &root, &Limits::default()), ())
    };
    (addr, thread::spawn(work))
}

fn in_output<W: Write + Send + 'static>(last: u8, mut out: W) -> (SocketAddr, Receiving<W>) {
    let listener = listener(last);
    let addr = listener.local_addr();
    let work = move || {
        let received =
            transfer::receive_to(&listener.accept().unwrap(), &mut out, &Limits::default());
        (received, out)
    };
    (addr, thread::spawn(work))
}

fn connect(addrs: &[SocketAddr]) -> Sender {
    let bind = Some((Ipv4Addr::LOCALHOST, 0).into());
    let options = SenderOptions { bind, ..SenderOptions::new(SenderTrust::Loopback) };
    let peers: Vec<_> = addrs.iter().map(|addr| vec![*addr]).collect();
    open_stream(options, &peers).unwrap().sender
}

fn offer(to: &str) -> Offer {
    Offer { to: to.into(), stream: true, ..Offer::default() }
}

/// Some bytes in pieces that fit no block, and then the end, or an error.
struct Pieces {
    left: Vec<u8>,
    end: Option<(io::ErrorKind, Box<dyn Fn() + Send>)>,
}

impl Input for Pieces {
    fn read(&mut self, buf: &mut [u8], is_over: &dyn Fn() -> bool) -> io::Result<Option<usize>> {
        let len = buf.len().min(self.left.len()).min(70_001);
        buf[..len].copy_from_slice(&self.left[..len]);
        self.left.drain(..len);
        match self.end {
            _ if is_over() => Ok(None),
            Some((kind, ref wait)) if len == 0 => {
                wait();
                Err(kind.into())
            }
            _ => Ok(Some(len)),
        }
    }
}

fn sample(len: u64) -> Vec<u8> {
    (0..len).map(|i| (i.wrapping_mul(0x9e37_79b9) >> 13) as u8).collect()
}

fn send(
    addrs: &[SocketAddr],
    to: &[&str],
    input: &mut dyn Input,
) -> (Outcome, Option<blake3::Hash>) {
    let offers: Vec<Offer> = to.iter().map(|to| offer(to)).collect();
    transfer::pipe::send(&connect(addrs), input, &offers, &|_| ())
}

fn entries(folder: &Path) -> usize {
    fs::read_dir(folder).unwrap().count()
}

#[test]
fn files_and_standard_outputs_get_streams_of_every_length() {
    for len in [0, 1, BLOCK - 1, BLOCK, BLOCK + 1, 4 * BLOCK, 4 * BLOCK + 1] {
        let (dir, data) = (tempfile::tempdir().unwrap(), sample(len));
        let (file, in_file) = in_folder(2, dir.path().to_owned());
        let (first, one) = in_output(3, Vec::new());
        let (second, other) = in_output(4, Vec::new());
        let mut input = Pieces { left: data.clone(), end: None };
        let (outcome, digest) = send(&[file, first, second], &["a/name", "-", "-"], &mut input);
        assert!(outcome.failure.is_none());
        assert_eq!(digest, Some(blake3::hash(&data)));
        for member in &outcome.members {
            assert_eq!(member.failure(), None, "{len} bytes");
            assert_eq!(member.report.arrived.total(), len);
        }
        let received = in_file.join().unwrap().0.unwrap();
        assert_eq!((received.digest, received.confirmed), (digest, Ok(())));
        assert!(fs::read(dir.path().join("a/name")).unwrap() == data, "{len} bytes");
        let arrived = fs::metadata(dir.path().join("a/name")).unwrap().permissions().mode();
        fs::write(dir.path().join("made here"), "").unwrap();
        let made = fs::metadata(dir.path().join("made here")).unwrap().permissions().mode();
        assert_eq!(arrived, made, "as of any new file");
        for thread in [one, other] {
            let (received, out) = thread.join().unwrap();
            assert!(received.is_ok() && out == data, "{len} bytes");
        }
    }
}

/// Gives its pieces one by one, of which empty ones are ends, as a terminal does; counts what it is asked for.
struct Ends<'a>(std::slice::Iter<'a, &'a [u8]>, usize);

impl Input for Ends<'_> {
    fn read(&mut self, buf: &mut [u8], _: &dyn Fn() -> bool) -> io::Result<Option<usize>> {
        self.1 += 1;
        let piece = self.0.next().expect("nothing is read after the last");
        buf[..piece.len()].copy_from_slice(piece);
        Ok(Some(piece.len()))
    }
}

/// What comes after the first end is nobody's: nothing is behind a block that is not whole, and one end is enough.
#[test]
fn a_stream_ends_where_its_input_ends_first() {
    let block = sample(BLOCK);
    let [first, second] = [&block[..70_001], &block[70_001..]];
    for (pieces, len, reads) in [
        ([&b"abc"[..], b"", b"def", b""], 3, 2),
        ([first, second, b"", b"more"], BLOCK as usize, 3),
        ([b"", b"more", b"", b""], 0, 1),
    ] {
        let (addr, receiving) = in_output(42, Vec::new());
        let mut input = Ends(pieces.iter(), 0);
        let (outcome, digest) = send(&[addr], &["-"], &mut input);
        let sent = &pieces.concat()[..len];
        assert_eq!((outcome.members[0].failure(), digest), (None, Some(blake3::hash(sent))));
        let (received, out) = receiving.join().unwrap();
        assert!(received.is_ok() && out == sent, "{len} bytes");
        assert_eq!(input.1, reads, "and is not read after that");
    }
}

#[test]
fn what_cannot_be_read_has_failed_everywhere() {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("file"), "old").unwrap();
    let (file, in_file) = in_folder(12, dir.path().to_owned());
    let (told, has_some) = mpsc::channel();
    let (output, in_output) = in_output(13, Heard(Vec::new(), told));
    let data = sample(2 * BLOCK + 9);
    // A session that is over before it has begun at a host is none there.
    let folder = dir.path().to_owned();
    let begun = move || {
        has_some.recv().unwrap();
        while entries(&folder) < 2 {
            thread::sleep(Duration::from_millis(2));
        }
    };
    let mut input =
        Pieces { left: data.clone(), end: Some((io::ErrorKind::TimedOut, Box::new(begun))) };
    let (outcome, digest) = send(&[file, output], &["file", "-"], &mut input);
    assert_eq!(digest, None);
    let why = outcome.failure.as_ref().unwrap().to_string();
    assert!(why.contains("cannot be read any further: timed out"), "{why}");
    assert!(outcome.members.iter().all(|member| member.failure().is_some()));
    assert!(in_file.join().unwrap().0.is_err());
    let (received, Heard(out, _)) = in_output.join().unwrap();
    assert!(
        received.is_err() && data.starts_with(&out) && out.len().is_multiple_of(BLOCK as usize)
    );
    assert_eq!(
        (entries(dir.path()), fs::read(dir.path().join("file")).unwrap()),
        (1, b"old".into())
    );
}

/// Keeps what it takes, and says so.
struct Heard(Vec<u8>, mpsc::Sender<()>);

impl Write for Heard {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let _ = self.1.send(());
        self.0.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Hands on what it takes only when it is told to; ends early if nobody does.
struct Gate(mpsc::Receiver<()>, u64);

impl Write for Gate {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.recv().map_err(|_| io::ErrorKind::BrokenPipe)?;
        self.1 += bytes.len() as u64;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Zeros without an end, until nobody wants them; counts them.
struct Zeros<'a>(&'a std::sync::atomic::AtomicU64, u64);

impl Input for Zeros<'_> {
    fn read(&mut self, buf: &mut [u8], is_over: &dyn Fn() -> bool) -> io::Result<Option<usize>> {
        if is_over() {
            return Ok(None);
        }
        let read = self.0.load(std::sync::atomic::Ordering::SeqCst);
        let len = buf.len().min((self.1 - read) as usize);
        buf[..len].fill(0);
        self.0.fetch_add(len as u64, std::sync::atomic::Ordering::SeqCst);
        Ok(Some(len))
    }
}

#[test]
fn a_slow_reader_holds_the_others_up_and_one_that_has_gone_does_not() {
    const LEN: u64 = 160 * BLOCK;
    let read = std::sync::atomic::AtomicU64::new(0);
    let (open, gate) = mpsc::channel();
    let (slow, in_slow) = in_output(22, Gate(gate, 0));
    let (quick, in_quick) = in_output(23, io::sink());
    let far = || read.load(std::sync::atomic::Ordering::SeqCst);
    let mut input = Zeros(&read, LEN);
    let outcome = thread::scope(|scope| {
        let sending = scope.spawn(|| send(&[slow, quick], &["-", "-"], &mut input).0);
        // It stands still once the windows are full, far from the end: what nobody takes is not read.
        let mut last = 0;
        loop {
            thread::sleep(Duration::from_millis(700));
            let now = far();
            if now > 0 && now == last {
                break;
            }
            last = now;
        }
        assert!(last < 60 * BLOCK, "{last} bytes were read for a reader that takes nothing");
        open.send(()).unwrap();
        drop(open); // its reader is gone after a block
        sending.join().unwrap()
    });
    let why = outcome.members[0].failure().unwrap();
    assert_eq!(why, "who reads its standard output has closed it");
    assert_eq!((outcome.members[1].failure(), far()), (None, LEN));
    let (received, Gate(_, taken)) = in_slow.join().unwrap();
    assert!(received.is_err() && taken == BLOCK, "{taken}");
    assert!(in_quick.join().unwrap().0.is_ok());
}

#[test]
fn who_reads_ends_when_nobody_is_left() {
    struct Never;
    impl Input for Never {
        fn read(&mut self, _: &mut [u8], is_over: &dyn Fn() -> bool) -> io::Result<Option<usize>> {
            while !is_over() {
                thread::sleep(Duration::from_millis(5));
            }
            Ok(None)
        }
    }
    let dir = tempfile::tempdir().unwrap();
    let (addr, receiving) = in_folder(32, dir.path().to_owned());
    let (outcome, digest) = send(&[addr], &["-"], &mut Never);
    let why = outcome.members[0].failure().unwrap();
    assert!(why.contains("--to-stdout"), "{why}");
    assert!(digest.is_none() && outcome.failure.is_none());
    assert!(receiving.join().unwrap().0.is_err());
}
