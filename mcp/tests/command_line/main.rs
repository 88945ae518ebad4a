//! The command line on loopback: what is typed as with other tools, and whom to copy to once more.

mod retry;
mod slips;

use serde_json::Value;
use std::fs;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::process::{Command, Output, Stdio};
use std::thread;
use tcpxm::api::{Closer, ListenOptions, Listener};
use tcpxm::trust::ListenTrust;
use tempfile::TempDir;
use transfer::destination::Root;

/// A receiver that takes every session, one after another, until it is dropped.
struct Receiver {
    addr: SocketAddr,
    folder: TempDir,
    closer: Closer,
}

impl Receiver {
    fn new(last: u8) -> Self {
        let addr = (Ipv4Addr::new(127, 0, 0, last), 0).into();
        let listener = Listener::bind(ListenOptions::new(addr, ListenTrust::Loopback)).unwrap();
        let folder = tempfile::tempdir().unwrap();
        let (addr, closer) = (listener.local_addr(), listener.closer());
        let root = Root::open(folder.path()).unwrap();
        thread::spawn(move || {
            while let Ok(session) = listener.accept() {
                let _ = transfer::receive_file(&session, &root); // the sender reports it
            }
        });
        Self { addr, folder, closer }
    }

    /// As it is typed, with a path.
    fn host(&self, path: &str) -> String {
        format!("{}:{}:{path}", self.addr.ip(), self.addr.port())
    }

    /// What it has got, as names in its folder.
    fn has(&self) -> Vec<String> {
        let entries = fs::read_dir(self.folder.path()).unwrap();
        entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
    }
}

impl Drop for Receiver {
    fn drop(&mut self) {
        self.closer.close();
    }
}

/// A folder in which the command is run, with a file called `file`.
fn folder(bytes: &[u8]) -> (TempDir, PathBuf) {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("file"), bytes).unwrap();
    let path = dir.path().to_owned();
    (dir, path)
}

fn mcp(folder: &PathBuf) -> Command {
    // SIGINT ends it, even if these tests run in the background of a script, which has it ignored.
    let mut command = Command::new("env");
    command.args(["--default-signal=INT", env!("CARGO_BIN_EXE_mcp")]);
    command.args(["--interface", "lo"]).stdin(Stdio::null()).current_dir(folder);
    command.env("MCP_STATE_DIR", "/nonexistent/state"); // no key: on this host nobody asks for one
    command
}

fn lines(output: &Output) -> Vec<Value> {
    let text = String::from_utf8(output.stdout.clone()).unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn messages(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}
