//! The first page of README, typed by a stranger: three hosts that know each other's names and nothing else.

use crate::network::{Lab, content};
use crate::programs;
use crate::shell::{find, run, try_run, wait_for};
use std::fs::{self, File};
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

/// Where the commands stand.
const README: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../README.md");

/// The words before the block of commands.
const BEFORE: &str = "Between hosts";

/// The programs are built by now, in this test's own profile.
const BUILD: &str = "cargo build --release";

/// What the sender is called, and the receivers that the commands name.
const NAMES: [&str; 3] = ["login", "node01", "node02"];

/// Bytes of what is copied.
const LEN: u64 = 16 << 20;

/// A daemon listens within this.
const LIMIT: Duration = Duration::from_secs(20);

/// Stands for scp, which needs another daemon: copies into the folder that NAME: is here, with permissions.
const SCP: &str = r#"#!/bin/sh -e
[ "$1" = -p ] && shift
for to; do :; done
while [ $# -gt 1 ]; do cp --preserve=mode "$1" "$HOMES/${to%:}/"; shift; done
"#;

/// Who types a command.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Where {
    Sender,
    Receivers,
}

/// What is typed, and where: it stands behind each command.
#[derive(Debug)]
struct Line {
    command: String,
    at: Where,
}

/// The hosts, and a folder of its own for each, in which its commands are typed.
struct Page {
    lab: Lab,
    homes: PathBuf,
}

/// The daemons, killed in the end.
struct Started(Vec<Child>);

impl Drop for Started {
    fn drop(&mut self) {
        for child in &mut self.0 {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

pub(super) fn it_does_what_it_says() {
    let page = Page::new();
    let mut daemons = Started(Vec::new());
    let (mut table, mut built) = (String::new(), false);
    let before = page.lab.bytes(0).0;
    for Line { command, at } in lines(&fs::read_to_string(README).unwrap()) {
        match at {
            Where::Sender if command == BUILD => built = true,
            Where::Sender => table = page.typed(0, &command),
            Where::Receivers if command.contains("mcpd") => {
                daemons.0.extend((1..NAMES.len()).map(|host| page.daemon(host, &command)));
            }
            Where::Receivers => (1..NAMES.len()).for_each(|host| drop(page.typed(host, &command))),
        }
    }
    assert!(
        built && daemons.0.len() == 2,
        "who has no programs yet, or no daemon, gets no further"
    );
    assert!(table.contains("verified") && table.contains("2 of 2 hosts have it"), "{table}");
    // What the page says first: it is sent once for all.
    let sent = page.lab.bytes(0).0 - before;
    assert!(sent < LEN * 3 / 2, "{sent} bytes left the sender for a file of {LEN}: {table}");
    for name in &NAMES[1..] {
        let home = page.home(name);
        assert!(fs::read(home.join("incoming/isos/image.iso")).unwrap() == content(LEN), "{name}");
        let secret = fs::metadata(home.join("secret")).unwrap();
        assert_eq!(secret.permissions().mode() & 0o777, 0o600, "{name}");
    }
}

/// The commands of README's block that follows [`BEFORE`]. Each says where it is typed.
fn lines(readme: &str) -> Vec<Line> {
    let page = &readme[readme.find(BEFORE).expect("README says how to copy between hosts")..];
    let block = page.split("```").nth(1).and_then(|block| block.strip_prefix("sh\n"));
    let block = block.expect("the commands stand in a block called sh");
    block.lines().map(line).collect()
}

fn line(text: &str) -> Line {
    let (command, remark) = text.split_once(" # ").unwrap_or((text, ""));
    let at = [("at the sender", Where::Sender), ("on every receiver", Where::Receivers)];
    let at = at.into_iter().find(|(begin, _)| remark.trim_start().starts_with(begin));
    let (_, at) = at.unwrap_or_else(|| panic!("README does not say where this is typed: {text}"));
    Line { command: command.trim().to_owned(), at }
}

impl Page {
    /// Three hosts: the sender has built the programs and has a file, the receivers have nothing.
    fn new() -> Self {
        let lab = Lab::bridge(NAMES.len() - 1);
        let homes = lab.dir.path().join("homes");
        let page = Self { lab, homes };
        for name in NAMES {
            fs::create_dir_all(page.home(name)).unwrap();
        }
        let sender = page.home(NAMES[0]);
        fs::create_dir(sender.join("target")).unwrap();
        let built = programs::path("mcp").parent().unwrap().to_owned();
        symlink(built, sender.join("target/release")).unwrap();
        fs::write(sender.join("image.iso"), content(LEN)).unwrap();
        page.stands_for("scp", SCP);
        let names = (0..NAMES.len()).map(|host| format!("{} {}\n", page.lab.v4(host), NAMES[host]));
        let hosts = page.lab.dir.path().join("hosts");
        fs::write(&hosts, format!("127.0.0.1 localhost\n{}", names.collect::<String>())).unwrap();
        run(&format!("mount --bind {} /etc/hosts", hosts.display())); // in this namespace alone
        page
    }

    fn home(&self, name: &str) -> PathBuf {
        self.homes.join(name)
    }

    /// A program that is found before others of that name.
    fn stands_for(&self, name: &str, script: &str) {
        fs::create_dir_all(self.tools()).unwrap();
        let path = self.tools().join(name);
        fs::write(&path, script).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
    }

    fn tools(&self) -> PathBuf {
        self.lab.dir.path().join("tools")
    }

    /// A shell on a host, in its own folder. What hosts remember stays in this network's folder, not in this
    /// machine's.
    fn shell(&self, host: usize, command: &str) -> Command {
        let path = std::env::var("PATH").unwrap_or_default();
        let mut shell = Command::new(find("ip").unwrap());
        shell
            .args(["netns", "exec", &self.lab.ns(host), "sh", "-c", command])
            .current_dir(self.home(NAMES[host]))
            .env("PATH", format!("{}:{path}:/usr/sbin:/sbin", self.tools().display()))
            .env("HOMES", &self.homes)
            .env("MCP_STATE_DIR", self.lab.state(host))
            .env("MCPD_STATE_DIR", self.lab.state(host))
            .stdin(Stdio::null());
        shell
    }

    /// Types a command, which succeeds; what it prints.
    fn typed(&self, host: usize, command: &str) -> String {
        let output = self.shell(host, command).output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{}: {command}: {}: {said}", NAMES[host], output.status);
        String::from_utf8_lossy(&output.stdout).into_owned()
    }

    /// Types a command that goes on, and waits until it listens.
    fn daemon(&self, host: usize, command: &str) -> Child {
        let log = self.lab.dir.path().join(format!("{}.log", NAMES[host]));
        let said = || fs::read_to_string(&log).unwrap_or_default();
        let mut shell = self.shell(host, &format!("exec {command}"));
        let out = shell.stdout(Stdio::null()).stderr(File::create(&log).unwrap());
        let mut child = out.spawn().unwrap();
        wait_for("the daemon listens", LIMIT, || {
            let ended = child.try_wait().unwrap();
            assert!(ended.is_none(), "{command}: {ended:?}: {}", said());
            said().contains("listening on")
        });
        child
    }
}

impl Drop for Page {
    fn drop(&mut self) {
        let _ = try_run("umount /etc/hosts");
    }
}
