//! What is drawn on a terminal of 80 columns, and not without one.

use crate::receiver::Receiver;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use rustix::termios::{Winsize, tcsetwinsize};
use std::fs::{File, OpenOptions};
use std::io::{Read, Write};
use std::net::Ipv4Addr;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};
use tcpxm::api::{ListenOptions, Listener};
use tcpxm::trust::ListenTrust;

const COLUMNS: u16 = 80;
/// Nothing is to be silent for more than a second; how punctual a busy machine is nobody can say.
const SILENT: Duration = Duration::from_secs(3);
/// What is silent for so long has stopped.
const DEAD: Duration = Duration::from_secs(30);
/// Files that are copied while it is listened to, unless the variable says how many: a million take minutes.
const FILES: u32 = 2000;
const FILES_VARIABLE: &str = "TREE_FILES";

/// A terminal with `mcp` on it.
struct Terminal {
    ours: File,
    child: Child,
    /// All that was drawn so far.
    drawn: String,
    /// When something was drawn last, or it was started, and the longest time between two such moments.
    last: Instant,
    silence: Duration,
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
        let (drawn, last, silence) = (String::new(), Instant::now(), Duration::ZERO);
        Self { ours: File::from(ours), child, drawn, last, silence }
    }

    /// Reads what is drawn next; `false`: it has ended.
    fn read(&mut self) -> bool {
        let mut ready = [PollFd::new(&self.ours, PollFlags::IN)];
        let waits = Timespec::try_from(DEAD).unwrap();
        let drawn = poll(&mut ready, Some(&waits)).unwrap();
        assert!(drawn > 0, "nothing is drawn any more behind {}", self.drawn);
        let mut bytes = [0; 4096];
        let read = self.ours.read(&mut bytes);
        self.silence = self.silence.max(self.last.elapsed());
        self.last = Instant::now();
        match read {
            Ok(0) | Err(_) => false, // EIO: nobody has it open any more
            Ok(len) => {
                self.drawn.push_str(&String::from_utf8_lossy(&bytes[..len]));
                true
            }
        }
    }

    /// Reads until something was drawn, or until its end.
    fn until(&mut self, what: &str) {
        let begin = Instant::now();
        while !self.drawn.contains(what) && self.read() {
            let silence = self.silence;
            assert!(begin.elapsed() < DEAD, "{what:?} is not drawn, silent for {silence:?}");
        }
        assert!(self.drawn.contains(what), "{what:?} was never drawn: {}", self.drawn);
    }

    fn enter(&mut self) {
        self.ours.write_all(b"\n").unwrap();
    }

    /// Reads to its end, and gives its exit code.
    fn end(&mut self) -> Option<i32> {
        while self.read() {}
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
    // Nothing comes, nothing changes, and it is drawn all the same.
    terminal.until("to compare, 5s");
    assert!(terminal.silence < SILENT, "silent for {:?}", terminal.silence);
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

/// While it lists, hashes, copies, and waits for the disk.
#[test]
fn it_is_never_silent_for_long() {
    let files = std::env::var(FILES_VARIABLE).map_or(FILES, |text| text.parse().unwrap());
    let receiver = Receiver::new(9);
    let folder = tempfile::tempdir().unwrap();
    for number in 0..files {
        let inside = folder.path().join(format!("tree/{}", number / 1000));
        if number % 1000 == 0 {
            std::fs::create_dir_all(&inside).unwrap();
        }
        std::fs::write(inside.join(number.to_string()), number.to_string()).unwrap();
    }
    let host = receiver.host("");
    for options in [&["-a"][..], &["-a", "-c"]] {
        let args = [options, &["tree", &host]].concat();
        let begin = Instant::now();
        let mut terminal = Terminal::start(folder.path(), &[], &args);
        assert_eq!(terminal.end(), Some(0), "{}", terminal.drawn);
        let (took, silence) = (begin.elapsed(), terminal.silence);
        eprintln!("{options:?} of {files} files: {took:?}, silent for {silence:?} at most");
        assert!(silence < SILENT, "{options:?}: silent for {silence:?}");
    }
}
