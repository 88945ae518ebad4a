//! Sends standard input to every receiver that is named, at once:
//! `cargo run -p tcpxm --example sender -- HOST:PORT... < file`

use std::io;
use std::net::ToSocketAddrs;
use tcpxm::api::{Sender, SenderOptions};
use tcpxm::config::Group;
use tcpxm::trust::SenderTrust;

fn main() -> io::Result<()> {
    // The first address of every name.
    let mut peers = Vec::new();
    for name in std::env::args().skip(1) {
        peers.extend(name.to_socket_addrs()?.next());
    }
    // A group of the administratively scoped range. Who does not hear it is served by unicast;
    // without a group, everybody is.
    let mut options = SenderOptions::new(SenderTrust::Loopback);
    options.session.group = Some(Group { addr: ([239, 255, 42, 42], 8737).into(), source: None });

    // Returns at once: those who answer begin, those who never do fail later, alone.
    let sender = Sender::connect(options, &peers)?;
    // One write for all. It blocks while the slowest is a whole ring behind.
    io::copy(&mut io::stdin().lock(), &mut &sender)?;
    sender.finish();
    // An outcome for each: what the receiver itself said, or why it has none.
    for report in sender.wait() {
        let outcome = report.outcome.unwrap_or(Ok(()));
        eprintln!("{}: {outcome:?} by {}, {:?}", report.addr, report.mode.name(), report.arrived);
    }
    Ok(())
}
