//! One session from one sender to three receivers, through the library's API and real sockets.

use crate::content;
use crate::coverage::Coverage;
use std::io::{self, Read as _, Write as _};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};
use tcpxm::api::{ListenOptions, Listener, Receiver, Sender, SenderOptions};
use tcpxm::config::{Content, Delivery, Group, SessionConfig};
use tcpxm::net::interface::index_of;
use tcpxm::proto::event::ReadOutcome;
use tcpxm::stats::{Arrived, MemberReport, Mode, Sent};
use tcpxm::trust::{ListenTrust, SenderTrust};

/// Loopback addresses of the receivers.
const HOSTS: [Ipv4Addr; 3] =
    [Ipv4Addr::new(127, 0, 0, 2), Ipv4Addr::new(127, 0, 0, 3), Ipv4Addr::new(127, 0, 0, 4)];
/// Bytes of one call of `write` or `read`.
const CHUNK: usize = 256 << 10;
/// Ring of a stream session, bytes.
const RING: usize = 4 << 20;

/// A receiver that nobody has called after so long gives up.
const ACCEPT: Duration = Duration::from_secs(10);

/// What to send.
pub(crate) struct Run {
    /// Ordered: a stream, written and read in order. Unordered: a source, read at its offsets.
    pub(crate) delivery: Delivery,
    /// Bytes.
    pub(crate) len: u64,
    /// Decides the group, so that two runs at once do not meet.
    pub(crate) seed: u64,
}

/// What became of it.
pub(crate) struct Outcome {
    pub(crate) group: SocketAddr,
    pub(crate) sent: Sent,
    pub(crate) receivers: Vec<Received>,
}

/// What became of one receiver.
pub(crate) struct Received {
    pub(crate) addr: SocketAddr,
    /// From the sender's connect to the receiver's last byte.
    pub(crate) time: Duration,
    pub(crate) mode: Mode,
    pub(crate) arrived: Arrived,
    /// What the sender was told, and what the receiver itself found.
    pub(crate) verdict: Result<(), String>,
}

impl Run {
    /// Runs the session to its end.
    pub(crate) fn measure(&self) -> io::Result<Outcome> {
        let interface = index_of("lo")?;
        let listeners = HOSTS
            .iter()
            .map(|host| {
                Listener::bind(ListenOptions {
                    interface: Some(interface),
                    ..ListenOptions::new(
                        SocketAddr::new(IpAddr::V4(*host), 0),
                        ListenTrust::Loopback,
                    )
                })
            })
            .collect::<io::Result<Vec<Listener>>>()?;
        let addrs: Vec<SocketAddr> = listeners.iter().map(Listener::local_addr).collect();
        let group = self.group();
        let began = Instant::now();
        thread::scope(|scope| {
            let receivers: Vec<_> = listeners
                .iter()
                .map(|listener| scope.spawn(move || self.receive(listener, began)))
                .collect();
            let mut sender = Sender::connect(self.options(group, interface), &addrs)?;
            match self.delivery {
                Delivery::Ordered => self.write(&mut sender)?,
                Delivery::Unordered => supply(&sender),
            }
            let reports = sender.wait();
            let sent = sender.sent();
            let mut received = Vec::new();
            for (report, receiver) in reports.iter().zip(receivers) {
                let found = receiver.join().map_err(|_| io::Error::other("a receiver panicked"))?;
                received.push(together(report, found));
            }
            Ok(Outcome { group, sent, receivers: received })
        })
    }

    /// An address of the organisation's own scope (RFC 2365, 6.2), and a port of the dynamic range
    /// (RFC 6335, 6).
    fn group(&self) -> SocketAddr {
        let [a, b, c, high, low, ..] = self.seed.to_be_bytes();
        let port = 0xc000 | u16::from_be_bytes([high, low]);
        (Ipv4Addr::new(239, 192 + a % 4, b, c), port).into()
    }

    fn options(&self, group: SocketAddr, interface: u32) -> SenderOptions {
        let content = match self.delivery {
            Delivery::Ordered => Content::Stream { ring: RING },
            Delivery::Unordered => Content::Source { len: Some(self.len) },
        };
        SenderOptions {
            session: SessionConfig {
                group: Some(Group { addr: group, source: None }),
                delivery: self.delivery,
                content,
                ..SessionConfig::default()
            },
            interface: Some(interface),
            ..SenderOptions::new(SenderTrust::Loopback)
        }
    }

    /// Writes the stream.
    fn write(&self, sender: &mut Sender) -> io::Result<()> {
        let mut chunk = vec![0; CHUNK];
        let mut at = 0;
        while at < self.len {
            let take = chunk.len().min((self.len - at) as usize);
            content::fill(at, &mut chunk[..take]);
            sender.write_all(&chunk[..take])?;
            at += take as u64;
        }
        sender.finish();
        Ok(())
    }

    /// Takes one session, checks every byte, and gives the verdict; the time until the last byte.
    fn receive(&self, listener: &Listener, began: Instant) -> io::Result<(Duration, Receiver)> {
        let mut receiver = listener.accept_timeout(ACCEPT)?;
        let checked = match self.delivery {
            Delivery::Ordered => self.read_in_order(&mut receiver),
            Delivery::Unordered => self.read_any(&receiver),
        };
        let time = began.elapsed();
        let verdict = checked.as_ref().copied().map_err(ToString::to_string);
        receiver.close(verdict).map_err(io::Error::other)?;
        checked.map(|()| (time, receiver))
    }

    fn read_in_order(&self, receiver: &mut Receiver) -> io::Result<()> {
        let mut chunk = vec![0; CHUNK];
        let mut at = 0;
        loop {
            let len = receiver.read(&mut chunk)?;
            if len == 0 {
                return ended(at == self.len, at);
            }
            compare(at, &chunk[..len])?;
            at += len as u64;
        }
    }

    fn read_any(&self, receiver: &Receiver) -> io::Result<()> {
        let mut chunk = vec![0; CHUNK];
        let mut coverage = Coverage::default();
        loop {
            match receiver.read_at(&mut chunk)? {
                ReadOutcome::Data { offset, len } => {
                    compare(offset, &chunk[..len])?;
                    if !coverage.add(offset, offset + len as u64) {
                        return Err(wrong(format!("{len} bytes at {offset} were read before")));
                    }
                }
                ReadOutcome::Empty => {}
                ReadOutcome::End { len } => {
                    return ended(len == self.len && coverage.is_whole(len), len);
                }
            }
        }
    }
}

/// Answers every need until the session wants no more.
fn supply(sender: &Sender) {
    // The length was given with the session, so nothing more will be written; needs come until
    // every member is complete.
    sender.finish();
    while let Some(need) = sender.next_need() {
        let mut bytes = vec![0; (need.end - need.start) as usize];
        content::fill(need.start, &mut bytes);
        sender.supply(need.start, Arc::from(bytes));
    }
}

/// The sender's report and what the receiver found, in one.
fn together(report: &MemberReport, found: io::Result<(Duration, Receiver)>) -> Received {
    let reported = match &report.outcome {
        Some(outcome) => outcome.clone().map_err(|reason| format!("the sender says: {reason}")),
        None => Err("the sender has no verdict".to_owned()),
    };
    let (time, arrived, verdict) = match found {
        Ok((time, receiver)) => (time, receiver.arrived(), reported),
        Err(why) => (report.duration, report.arrived, Err(format!("the receiver says: {why}"))),
    };
    Received { addr: report.addr, time, mode: report.mode, arrived, verdict }
}

fn compare(offset: u64, bytes: &[u8]) -> io::Result<()> {
    if content::matches(offset, bytes) {
        Ok(())
    } else {
        Err(wrong(format!("{} bytes at {offset} are not what was sent", bytes.len())))
    }
}

fn ended(whole: bool, at: u64) -> io::Result<()> {
    if whole { Ok(()) } else { Err(wrong(format!("the session ended at {at}, not whole"))) }
}

fn wrong(why: String) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, why)
}
