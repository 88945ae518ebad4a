//! What is drawn on a terminal of 80 columns, and not without one.

use crate::receiver::Receiver;
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use rustix::termios::{Winsize, tcsetwinsize};
use std::fs::{File, OpenOptions};
use std::io::{Read, Write};
use std::net::Ipv4Addr;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use tcpxm::api::{ListenOptions, Listener};
use tcpxm::trust::ListenTrust;

const COLUMNS: u16 = 80;

/// A terminal with `mcp` on it.
struct Terminal {
    ours: File,
    child: Child,
    /// All that was drawn so far.
    drawn: String,
}

impl Terminal {
    /// Starts it in a session of its own, so that what is typed is for it.
    fn start(folder: &Path, variables: &[(&str, &str)], args: &[&str]) -> Self {
        let ours = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).unwrap();
        grantpt(&ours).unwrap();
        unlockpt(&ours).unwrap();
        let name = ptsname(&ours, Vec::new()).unwrap().into_string().unwrap();
        let size = Winsize { ws_row: 24, ws_col: COLUMNS, ws_xpixel: 0, ws_ypixel: 0 };
        tcsetwinsize(&ours, size).unwrap();
        let theirs = || Stdio::from(OpenOptions::new().read(true).write(true).open(&name).unwrap());
        let child = Command::new("setsid")
            .args(["--ctty", "--wait", env!("CARGO_BIN_EXE_mcp"), "--interface", "lo"])
            .args(args)
            .current_dir(folder)
            .env("TERM", "xterm")
            .env("MCP_STATE_DIR", folder.join("state"))
            .envs(variables.iter().copied())
            .stdin(theirs())
            .stdout(theirs())
            .stderr(theirs())
            .spawn()
            .unwrap();
        Self { ours: File::from(ours), child, drawn: String::new() }
    }

    /// Reads until something was drawn, or until its end.
    fn until(&mut self, what: &str) {
        let mut bytes = [0; 4096];
        while !self.drawn.contains(what) {
            match self.ours.read(&mut bytes) {
                Ok(0) | Err(_) => break, // EIO: nobody has it open any more
                Ok(len) => self.drawn.push_str(&String::from_utf8_lossy(&bytes[..len])),
            }
        }
        assert!(self.drawn.contains(what), "{what:?} was never drawn: {}", self.drawn);
    }

    fn enter(&mut self) {
        self.ours.write_all(b"\n").unwrap();
    }

    /// Reads to its end, and gives its exit code.
    fn end(&mut self) -> Option<i32> {
        let mut bytes = [0; 4096];
        while let Ok(len @ 1..) = self.ours.read(&mut bytes) {
            self.drawn.push_str(&String::from_utf8_lossy(&bytes[..len]));
        }
        self.child.wait().unwrap().code()
    }
}

/// The bar's lines: what stands between movements of the cursor, without blanks around it.
fn lines(drawn: &str) -> Vec<String> {
    let mut lines = vec![String::new()];
    let mut chars = drawn.chars();
    while let Some(c) = chars.next() {
        match c {
            '\u{1b}' => {
                // CSI sequences end with a letter (ECMA-48, 5.4).
                let end = chars.by_ref().find(char::is_ascii_alphabetic);
                assert_ne!(end, Some('m'), "a colour: {drawn:?}");
                lines.push(String::new());
            }
            '\r' | '\n' => lines.push(String::new()),
            c => lines.last_mut().unwrap().push(c),
        }
    }
    // Two lines of the bar follow each other without a sequence: the first is filled to the last column.
    let cut = |line: String| {
        let chars: Vec<char> = line.chars().collect();
        let pieces =
            chars.chunks(usize::from(COLUMNS)).map(|piece| piece.iter().collect::<String>());
        pieces
            .map(|piece| piece.trim_end().to_owned())
            .filter(|piece| !piece.is_empty())
            .collect::<Vec<_>>()
    };
    lines.into_iter().flat_map(cut).collect()
}

#[test]
fn two_lines_and_a_status_when_enter_is_pressed() {
    let receivers = [2, 3].map(Receiver::new);
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("file"), vec![7; 6 << 20]).unwrap();
    let hosts = receivers.each_ref().map(|receiver| receiver.host(""));
    for variables in [&[("LC_ALL", "C")][..], &[("LC_ALL", "C.UTF-8"), ("NO_COLOR", "1")]] {
        let args = ["--rate", "20M", "-I", "file", &hosts[0], &hosts[1]];
        let mut terminal = Terminal::start(folder.path(), variables, &args);
        terminal.until("by multicast");
        terminal.enter();
        terminal.until("MiB of 6.00 MiB, "); // the bar
        terminal.until(" of 2 done");
        assert_eq!(terminal.end(), Some(0), "{}", terminal.drawn);
        assert!(receivers.iter().all(|receiver| receiver.folder.path().join("file").exists()));
        let status = terminal
            .drawn
            .lines()
            .find(|line| line.contains("mcp: ") && line.contains("; 0 of 2 done"));
        assert!(status.is_some(), "{}", terminal.drawn);
        let bars: Vec<String> =
            lines(&terminal.drawn).into_iter().filter(|line| line.starts_with('[')).collect();
        assert!(bars.len() > 2, "{bars:?}");
        for bar in &bars {
            assert!(bar.is_ascii() && bar.len() < usize::from(COLUMNS), "{bar:?}");
            assert!(
                bar.contains("listing") || bar.contains("MiB") || bar.contains(" B of"),
                "{bar:?}"
            );
        }
    }
}

#[test]
fn one_that_takes_a_session_and_says_nothing_is_waited_for_by_name() {
    let addr = (Ipv4Addr::new(127, 0, 0, 7), 0).into();
    let listener = Listener::bind(ListenOptions::new(addr, ListenTrust::Loopback)).unwrap();
    let host = format!("127.0.0.7:{}:", listener.local_addr().port());
    // It is there, answers, and nobody reads what comes.
    let idle = std::thread::spawn(move || (listener.accept(), listener));
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("file"), vec![7; 6 << 20]).unwrap();
    let mut terminal = Terminal::start(folder.path(), &[], &["file", &host]);
    terminal.until(&format!("waits for {host} to compare, 2s"));
    terminal.enter();
    terminal.until(&format!("mcp: {host}: "));
    terminal.until(", still for ");
    terminal.ours.write_all(&[3]).unwrap(); // Ctrl-C
    assert_eq!(terminal.end(), Some(130), "{}", terminal.drawn);
    drop(idle.join());
}

#[test]
fn nothing_is_drawn_that_is_not_wanted() {
    let receiver = Receiver::new(8);
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("file"), vec![7; 2 << 20]).unwrap();
    for unwanted in ["--no-progress", "-q"] {
        let args = ["--rate", "20M", "-I", unwanted, "file", &receiver.host("")];
        let mut terminal = Terminal::start(folder.path(), &[], &args);
        assert_eq!(terminal.end(), Some(0), "{}", terminal.drawn);
        assert!(!terminal.drawn.contains(['\u{1b}', '[']), "{:?}", terminal.drawn);
    }
}
