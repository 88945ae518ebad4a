//! Everything that reaches a host: this program itself, started again in the host, writes it down.

use crate::network::Lab;
use crate::shell::{find, wait_for};
use socket2::{Domain, Protocol, Socket, Type};
use std::fs::{self, File};
use std::io::{BufRead, BufReader, Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

/// The first word of the command line of such a process.
const ROLE: &str = "--capture";
/// Frames of every protocol (packet(7)).
const ETH_P_ALL: u16 = 3;
/// The longest that a device hands over at once: a train of segments, and its headers.
const FRAME: usize = 80 << 10;
/// What waits to be written down.
const WAITING: usize = 64 << 20;
/// What has reached the host is written down within this.
const LIMIT: Duration = Duration::from_secs(20);

/// A running capture; it ends when this is dropped.
pub(crate) struct Capture {
    child: Child,
    file: PathBuf,
}

impl Capture {
    /// Of a host's interfaces; from now on.
    pub(crate) fn start(lab: &Lab, host: usize) -> Self {
        let file = lab.dir.path().join(format!("capture{host}"));
        let mut command = Command::new(find("ip").unwrap());
        command.args(["netns", "exec", &lab.ns(host)]).arg(std::env::current_exe().unwrap());
        command.arg(ROLE).arg(&file).stdin(Stdio::null()).stdout(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let mut ready = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut ready).unwrap();
        assert_eq!(ready, "ready\n");
        Self { child, file }
    }

    /// What came, once it is so much.
    pub(crate) fn at_least(&self, bytes: u64) -> Vec<u8> {
        let len = || fs::metadata(&self.file).map_or(0, |data| data.len());
        wait_for("so much is captured", LIMIT, || len() >= bytes);
        fs::read(&self.file).unwrap()
    }
}

impl Drop for Capture {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Plays the part that the command line gives; `false` if it gives none.
pub(crate) fn play() -> bool {
    let args: Vec<_> = std::env::args_os().skip(1).collect();
    let [role, file] = &args[..] else { return false };
    if role != ROLE {
        return false;
    }
    capture(Path::new(file));
    true
}

fn capture(file: &Path) {
    let all = Protocol::from(i32::from(ETH_P_ALL.to_be()));
    let mut socket = Socket::new(Domain::PACKET, Type::RAW, Some(all)).unwrap();
    let _ = socket.set_recv_buffer_size(WAITING); // as much of it as the system allows
    let mut file = File::create(file).unwrap();
    println!("ready");
    let mut frame = vec![0; FRAME];
    loop {
        let len = socket.read(&mut frame).unwrap();
        file.write_all(&frame[..len]).unwrap();
    }
}

/// Whether these bytes stand in there.
pub(crate) fn holds(captured: &[u8], what: &str) -> bool {
    captured.windows(what.len()).any(|window| window == what.as_bytes())
}
