//! A copy that goes on where an earlier one was broken off: the receiver holds the file's first part,
//! says so, and is sent the rest. Both ends in one process:
//! `cargo run -p tcpxm --example resumed`

#![expect(clippy::disallowed_methods, reason = "two ends in one process are two threads")]

use std::io;
use std::thread;
use tcpxm::api::{ListenOptions, Listener, Sender, SenderOptions};
use tcpxm::config::{Content, Delivery};
use tcpxm::proto::event::ReadOutcome;
use tcpxm::trust::{ListenTrust, SenderTrust};

/// Length of the file, and of what has arrived of it already, in bytes.
const LEN: u64 = 8 << 20;
const HELD: u64 = 5 << 20;

/// What stands at an offset of the file.
fn byte(offset: u64) -> u8 {
    (offset % 251) as u8
}

fn main() -> io::Result<()> {
    let listener =
        Listener::bind(ListenOptions::new(([127, 0, 0, 1], 0).into(), ListenTrust::Loopback))?;
    let to = listener.local_addr();
    let receiving = thread::spawn(move || receive(&listener));

    let mut options = SenderOptions::new(SenderTrust::Loopback);
    options.session.content = Content::Source { len: None }; // found out while it is read
    options.session.delivery = Delivery::Unordered; // each block to its place, as it comes
    options.session.declares = true; // nothing is sent that was not declared to be lacking
    let sender = Sender::connect(options, &[to])?;
    sender.finish();
    while let Some(need) = sender.next_need() {
        let end = need.end.min(LEN);
        if end < need.end {
            sender.set_end(LEN).map_err(io::Error::other)?;
        }
        if need.start < end {
            sender.supply(need.start, (need.start..end).map(byte).collect());
        }
    }
    for report in sender.wait() {
        println!(
            "{}: {:?}, {} of {LEN} bytes sent",
            report.addr,
            report.outcome,
            report.arrived.total()
        );
    }
    receiving.join().expect("the receiver does not panic")
}

fn receive(listener: &Listener) -> io::Result<()> {
    let receiver = listener.accept()?;
    let mut file: Vec<u8> = (0..HELD).map(byte).collect(); // the earlier copy
    receiver.have(&[0..HELD]).map_err(io::Error::other)?;
    receiver.lack(&[HELD..u64::MAX]).map_err(io::Error::other)?;
    let mut buf = vec![0; 64 << 10];
    loop {
        match receiver.read_at(&mut buf)? {
            ReadOutcome::Data { offset, len } => {
                let (from, to) = (offset as usize, offset as usize + len);
                file.resize(file.len().max(to), 0);
                file[from..to].copy_from_slice(&buf[..len]);
            }
            ReadOutcome::End { .. } => break,
            ReadOutcome::Empty => {}
        }
    }
    let whole = file.len() as u64 == LEN && (0..).zip(&file).all(|(at, b)| *b == byte(at));
    let verdict = if whole { Ok(()) } else { Err("the copy is not the file".to_owned()) };
    receiver.close(verdict).map_err(io::Error::other)
}
