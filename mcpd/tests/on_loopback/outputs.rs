//! Standard output that is no ordinary pipe with a reader behind it, and senders of streams that die or come twice.

use crate::daemon::{Daemon, to_stdout};
use crate::pipes::{Bytes, MIB, end, open, reader, stream};
use rustix::fs::{OFlags, fcntl_getfl, fcntl_setfl};
use rustix::process::{Pid, Signal, kill_process};
use std::io::{self, BufRead, BufReader, PipeReader, Read, pipe};
use std::net::SocketAddr;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};
use transfer::message::Offer;
use transfer::pipe::input::Input;
use transfer::send::Delivered;

/// Has the address that this test's own child is to send to for ever.
const FOR_EVER: &str = "MCPD_TEST_SENDS_TO";

/// A daemon whose reader is stuck ends within this once its sender has said that it ends: it looks four times a second.
const AT_ONCE: Duration = Duration::from_secs(5);

/// Waits until something was written, and takes no byte of it.
fn wait_for_some(from: &PipeReader) {
    let mut ready = [rustix::event::PollFd::new(from, rustix::event::PollFlags::IN)];
    assert_eq!(rustix::event::poll(&mut ready, None).unwrap(), 1);
}

/// Zeros without an end.
struct Zeros;

impl Input for Zeros {
    fn read(&mut self, buf: &mut [u8], is_over: &dyn Fn() -> bool) -> io::Result<Option<usize>> {
        buf.fill(0);
        Ok((!is_over()).then_some(buf.len()))
    }
}

/// Ends once somebody has been refused: the daemon is there until then.
struct Held {
    bytes: Bytes,
    refused: Arc<AtomicBool>,
}

impl Input for Held {
    fn read(&mut self, buf: &mut [u8], is_over: &dyn Fn() -> bool) -> io::Result<Option<usize>> {
        loop {
            match self.bytes.read(buf, is_over)? {
                Some(0) if !self.refused.load(Ordering::SeqCst) => thread::yield_now(),
                read => return Ok(read),
            }
        }
    }
}

#[test]
fn a_closed_output_is_refused_and_the_null_device_is_not() {
    let inner = to_stdout(67);
    let mut command = Command::new("sh");
    command.args(["-c", "exec \"$@\" >&-", "sh"]).arg(inner.get_program());
    command.args(inner.get_args()).env("MCPD_STATE_DIR", "/dev/null/state");
    let begun = Instant::now();
    let mut child = command.stdin(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
    let mut said = String::new();
    let mut lines = BufReader::new(child.stderr.take().unwrap());
    while lines.read_line(&mut said).unwrap() > 0 {
        if said.contains("listening on") {
            child.kill().unwrap();
        }
    }
    let code = child.wait().unwrap().code();
    assert_eq!(code, Some(1), "after {:?}: {said}", begun.elapsed());
    assert!(said.contains("standard output is closed"), "{said}");

    let nothing = Daemon::into_stdout(67, Stdio::null());
    assert_eq!(stream(&[(nothing.addr, "-")], &mut Bytes::new(MIB)), [None]);
    assert_eq!(end(nothing).0, Some(0));
}

#[test]
fn an_output_that_does_not_wait_is_waited_for() {
    let (mut from, to) = pipe().unwrap();
    fcntl_setfl(&to, fcntl_getfl(&to).unwrap() | OFlags::NONBLOCK).unwrap();
    let daemon = Daemon::into_stdout(68, to);
    let mut input = Bytes::new(3 * MIB + 17);
    let all = input.all().to_vec();
    let reading = thread::spawn(move || {
        wait_for_some(&from);
        thread::sleep(Duration::from_millis(100)); // until it is full
        let mut bytes = Vec::new();
        from.read_to_end(&mut bytes).unwrap();
        bytes
    });
    assert_eq!(stream(&[(daemon.addr, "-")], &mut input), [None]);
    let (code, said) = end(daemon);
    assert_eq!(code, Some(0), "{said}");
    assert!(reading.join().unwrap() == all);
}

#[test]
fn a_stuck_reader_holds_nothing_once_the_sender_has_ended() {
    let (from, to) = pipe().unwrap();
    let mut daemon = Daemon::into_stdout(69, to);
    let sender = open(&[daemon.addr]);
    let offer = Offer { to: "-".into(), stream: true, ..Offer::default() };
    let ended = thread::scope(|scope| {
        scope.spawn(|| transfer::pipe::send(&sender, &mut Zeros, &[offer], &|_| ()));
        wait_for_some(&from);
        sender.abort("that is all");
        let begun = Instant::now();
        while daemon.child.try_wait().unwrap().is_none() && begun.elapsed() < AT_ONCE {
            thread::sleep(Duration::from_millis(10));
        }
        let ended = daemon.child.try_wait().unwrap();
        drop(daemon.child.kill()); // or it is waited for below
        ended
    });
    assert_eq!(ended.and_then(|status| status.code()), Some(1), "{ended:?}");
    let (_, said) = end(daemon);
    assert!(said.contains("that is all"), "{said}");
    drop(from);
}

#[test]
fn a_sender_that_is_killed_is_a_failure_also_where_the_reader_is_stuck() {
    if let Some(to) = std::env::var_os(FOR_EVER) {
        let addrs: Vec<SocketAddr> =
            to.to_str().unwrap().split(' ').map(|addr| addr.parse().unwrap()).collect();
        let offer = Offer { to: "-".into(), stream: true, ..Offer::default() };
        let offers = vec![offer; addrs.len()];
        transfer::pipe::send(&open(&addrs), &mut Zeros, &offers, &|_| ());
        return;
    }
    let (from, to) = pipe().unwrap();
    let (mut stuck, mut read) = (Daemon::into_stdout(79, to), Daemon::to_stdout(80));
    let reading = reader(&mut read, u64::MAX);
    let mut sender = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", thread::current().name().unwrap()])
        .env(FOR_EVER, format!("{} {}", stuck.addr, read.addr))
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    wait_for_some(&from);
    kill_process(Pid::from_child(&sender), Signal::KILL).unwrap();
    sender.wait().unwrap();
    // A receiver gives up a sender that says nothing after 60 seconds (`EndpointConfig::idle_timeout`).
    let begun = Instant::now();
    while begun.elapsed() < Duration::from_secs(100) && stuck.child.try_wait().unwrap().is_none() {
        thread::sleep(Duration::from_millis(20));
    }
    assert_eq!(stuck.child.try_wait().unwrap().and_then(|status| status.code()), Some(1));
    let out = reading.join().unwrap();
    assert!(out.len().is_multiple_of(MIB), "{} bytes: no whole blocks", out.len());
    for daemon in [stuck, read] {
        let (code, said) = end(daemon);
        assert_eq!(code, Some(1), "{said}");
        assert!(said.contains("the session broke off"), "{said}");
    }
    drop(from);
}

#[test]
fn of_two_senders_one_has_the_output() {
    let mut daemon = Daemon::to_stdout(81);
    let reading = reader(&mut daemon, u64::MAX);
    let addr = daemon.addr;
    let inputs = [Bytes::new(6 * MIB + 1), Bytes::of(vec![7; 6 * MIB + 1])];
    let all = inputs.each_ref().map(|input| input.all().to_vec());
    let refused = Arc::new(AtomicBool::new(false));
    let sending = inputs.map(|bytes| {
        let mut input = Held { bytes, refused: Arc::clone(&refused) };
        thread::spawn(move || {
            let offer = Offer { to: "-".into(), stream: true, ..Offer::default() };
            let (outcome, _) = transfer::pipe::send(&open(&[addr]), &mut input, &[offer], &|_| ());
            input.refused.store(true, Ordering::SeqCst);
            outcome.members.first().and_then(Delivered::failure)
        })
    });
    let done = sending.map(|sending| sending.join().unwrap());
    let [one, other] = done.each_ref().map(Option::is_none);
    assert!(one != other, "{done:?}");
    let why = done.iter().flatten().next().unwrap();
    assert!(why.contains("--once"), "{why}");
    assert!(reading.join().unwrap() == all[usize::from(other)], "it is not that of the first");
    assert_eq!(end(daemon).0, Some(0));
}
