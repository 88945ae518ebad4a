//! The link emulator as a program, in this process' own namespace.

use crate::shell::wait_for;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use std::fs::{self, File, OpenOptions};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

/// It is ready, or gone, within this.
const LIMIT: Duration = Duration::from_secs(20);

/// Of all that is random on the lines. It decides the dice; which frame meets which of them, the
/// clock does as well: bounds must hold for every seed.
pub(crate) fn seed() -> u64 {
    sim::seed::asked().unwrap_or(1)
}

/// Why there can be no emulator; `None` if there can.
pub(crate) fn forbidden() -> Option<String> {
    let device = OpenOptions::new().read(true).write(true).open("/dev/net/tun");
    device.err().map(|error| format!("/dev/net/tun cannot be opened: {error}"))
}

/// A running emulator; killed when it is dropped.
pub(crate) struct Emulator {
    child: Child,
    out: PathBuf,
}

impl Emulator {
    /// The device of a host, before it is moved there.
    pub(crate) fn tap(host: usize) -> String {
        format!("tap{host}")
    }

    /// Starts one with a port for each host and waits until its devices are there.
    pub(crate) fn start<S: AsRef<str>>(dir: &Path, hosts: usize, lines: &[S]) -> Self {
        let out = dir.join("emulate.out");
        let mut command = Command::new(env!("CARGO_BIN_EXE_emulate"));
        command.args(["--seed", &seed().to_string()]);
        for host in 0..hosts {
            command.args(["--tap", &Self::tap(host)]);
        }
        for line in lines {
            command.args(["--line", line.as_ref()]);
        }
        let child =
            command.stdin(Stdio::null()).stdout(File::create(&out).unwrap()).spawn().unwrap();
        let mut emulator = Self { child, out };
        wait_for("the emulator is ready", LIMIT, || {
            let ended = emulator.child.try_wait().unwrap();
            assert!(ended.is_none(), "the emulator ended: {ended:?}");
            emulator.said().contains("ready")
        });
        emulator
    }

    fn said(&self) -> String {
        fs::read_to_string(&self.out).unwrap_or_default()
    }

    /// Ends it and gives its counters.
    pub(crate) fn end(mut self) -> Value {
        kill_process(Pid::from_child(&self.child), Signal::INT).unwrap();
        wait_for("the emulator ends", LIMIT, || self.child.try_wait().unwrap().is_some());
        serde_json::from_str(self.said().lines().last().unwrap_or_default()).unwrap()
    }
}

impl Drop for Emulator {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
