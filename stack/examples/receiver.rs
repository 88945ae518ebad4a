//! Writes what one sender sends to standard output:
//! `cargo run -p tcpxm --example receiver -- 0.0.0.0:8737 > file`

use std::io::{self, Write};
use tcpxm::api::{ListenOptions, Listener};
use tcpxm::trust::ListenTrust;

fn main() -> io::Result<()> {
    let addr = std::env::args().nth(1).unwrap_or_else(|| "0.0.0.0:8737".to_owned());
    let addr = addr.parse().map_err(io::Error::other)?;
    let listener = Listener::bind(ListenOptions::new(addr, ListenTrust::Loopback))?;
    eprintln!("listening on {}", listener.local_addr());

    // One receiver per sender; a daemon would accept in a loop. Groups are joined, and left, behind
    // the scenes.
    let mut receiver = listener.accept()?;
    eprintln!("{} sends", receiver.peer());
    let mut out = io::stdout().lock();
    let copied = io::copy(&mut receiver, &mut out).and_then(|_| out.flush());

    // The sender reports this verdict, not merely that the bytes have arrived.
    let verdict = copied.map_err(|e| e.to_string());
    eprintln!("{verdict:?}, {:?}", receiver.arrived());
    receiver.close(verdict).map_err(io::Error::other)
}
