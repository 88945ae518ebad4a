//! Trees beside what people take today: loops that write the files, rsync's own daemons, tar through udpcast. All
//! write into memory, and take turns; each figure is the median of its turns.

use crate::copy::Copy;
use crate::network::Lab;
use crate::scenarios::trees::daemons;
use crate::shell::{find, run, wait_for};
use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// Receivers of all.
const RECEIVERS: usize = 4;
/// Turns of each, but for what takes minutes.
const TURNS: usize = 3;
/// Short files, of so many bytes, in folders of so many.
const FILES: usize = 100_000;
const LEN: usize = 1 << 10;
const FOLDER: usize = 1000;
/// What a machine has in many files.
const SHARE: &str = "/usr/share";
/// rsync's own port.
const RSYNC: u16 = 873;
/// What everybody gets through.
const LIMIT: Duration = Duration::from_secs(600);
/// What both ends of udpcast's are told.
const UDPCAST: [&str; 4] = ["--interface", "eth0", "--nokbd", "--portbase"];
const UDPCAST_PORT: &str = "9000";

/// The first word of the command line of such a loop.
const ROLE: &str = "--files";

/// If this process is such a loop: writes its files, each under another name first.
pub(crate) fn play() -> bool {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let [role, to] = &words[..] else { return false };
    if role != ROLE {
        return false;
    }
    write_files(Path::new(to));
    true
}

fn write_files(to: &Path) {
    let bytes: Vec<u8> = (0..LEN).map(|n| (n * 7) as u8).collect();
    for number in 0..FILES {
        let folder = to.join(format!("{}", number / FOLDER));
        if number % FOLDER == 0 {
            fs::create_dir_all(&folder).unwrap();
        }
        let (first, last) = (folder.join(format!(".{number}")), folder.join(format!("{number}")));
        File::create_new(&first).unwrap().write_all(&bytes).unwrap();
        fs::rename(first, last).unwrap();
    }
}

/// A command at a host of the lab.
fn at(lab: &Lab, host: usize, program: &Path, words: &[&str]) -> Child {
    Command::new(find("ip").unwrap())
        .args(["netns", "exec", &lab.ns(host)])
        .arg(program)
        .args(words)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .spawn()
        .unwrap()
}

fn tool(name: &str, package: &str) -> PathBuf {
    find(name).unwrap_or_else(|| panic!("{name} is missing (package {package})"))
}

/// All of them end well; how long that took.
fn all(begin: Instant, processes: Vec<Child>) -> Duration {
    for mut process in processes {
        assert!(process.wait().unwrap().success(), "a rival failed");
    }
    begin.elapsed()
}

/// Where each receiver's copies go, in memory.
struct Ground {
    lab: Lab,
    folders: Vec<PathBuf>,
    rsync: Vec<Child>,
}

impl Ground {
    fn new(lab: Lab) -> Self {
        run(&format!("mount -t tmpfs -o size=16g tmpfs {}", lab.dir.path().display()));
        let folders = (1..=RECEIVERS).map(|host| lab.folder(host)).collect();
        Self { lab, folders, rsync: Vec::new() }
    }

    /// Nothing is there any more.
    fn clear(&self) {
        for folder in &self.folders {
            for entry in fs::read_dir(folder).unwrap() {
                fs::remove_dir_all(entry.unwrap().path()).unwrap();
            }
        }
    }

    fn loops(&self) -> Duration {
        let own = std::env::current_exe().unwrap();
        let begin = Instant::now();
        let start = |to: &PathBuf| Command::new(&own).arg(ROLE).arg(to.join("small")).spawn();
        let loops = self.folders.iter().map(|to| start(to).unwrap()).collect();
        all(begin, loops)
    }

    fn mcp(&self, source: &Path) -> Duration {
        let mut args = vec!["-a".to_owned(), source.display().to_string()];
        args.extend((1..=RECEIVERS).map(|host| self.lab.v4(host)));
        let done = Copy::start(&self.lab, &args).wait_watched(LIMIT, || {});
        done.assert_ok();
        done.took
    }

    /// rsync's daemons, one at each receiver.
    fn rsync_daemons(&mut self) {
        let rsync = tool("rsync", "rsync");
        for (host, folder) in (1..).zip(&self.folders) {
            let file = self.lab.dir.path().join(format!("rsyncd{host}.conf"));
            let text = format!(
                "use chroot = no\nuid = 0\ngid = 0\n[m]\npath = {}\nread only = no\n",
                folder.display()
            );
            fs::write(&file, text).unwrap();
            let config = format!("--config={}", file.display());
            let words = ["--daemon", "--no-detach", config.as_str()];
            self.rsync.push(at(&self.lab, host, &rsync, &words));
        }
        let connects = |host: usize| {
            let addr = format!("{}:{RSYNC}", self.lab.v4(host));
            let try_it = format!("timeout 1 bash -c 'exec 3<>/dev/tcp/{}'", addr.replace(':', "/"));
            let mut probe = at(&self.lab, 0, Path::new("/bin/sh"), &["-c", &try_it]);
            probe.wait().is_ok_and(|status| status.success())
        };
        wait_for("rsync listens", LIMIT, || (1..=RECEIVERS).all(connects));
    }

    /// One client for each, all at once.
    fn rsync(&self, source: &Path) -> Duration {
        let (rsync, begin) = (tool("rsync", "rsync"), Instant::now());
        let source = source.display().to_string();
        let start = |host: usize| {
            let to = format!("rsync://{}/m/", self.lab.v4(host));
            at(&self.lab, 0, &rsync, &["-a", &source, &to])
        };
        let clients = (1..=RECEIVERS).map(start).collect();
        all(begin, clients)
    }

    fn udpcast(&self, source: &Path) -> Duration {
        let (send, receive) = (tool("udp-sender", "udpcast"), tool("udp-receiver", "udpcast"));
        let begin = Instant::now();
        let mut processes: Vec<Child> = (1..)
            .zip(&self.folders)
            .map(|(host, to)| {
                let unpack = format!("tar xf - -C {}", to.display());
                let words = [&UDPCAST[..], &[UDPCAST_PORT, "--pipe", &unpack]].concat();
                at(&self.lab, host, &receive, &words)
            })
            .collect();
        let (above, name) = (source.parent().unwrap(), source.file_name().unwrap());
        let pack = format!("tar cf - -C {} {}", above.display(), name.display());
        let count = RECEIVERS.to_string();
        let more = [UDPCAST_PORT, "--min-receivers", &count, "--full-duplex", "--pipe", &pack];
        processes.push(at(&self.lab, 0, &send, &[&UDPCAST[..], &more].concat()));
        all(begin, processes)
    }
}

impl Drop for Ground {
    fn drop(&mut self) {
        for daemon in &mut self.rsync {
            let _ = daemon.kill();
            let _ = daemon.wait();
        }
        let _ = crate::shell::try_run(&format!("umount -l {}", self.lab.dir.path().display()));
    }
}

fn median(mut all: Vec<Duration>) -> Duration {
    all.sort();
    all[all.len() / 2]
}

/// Takes turns; the ratio of the medians, which is to be below a bound.
fn compare(
    what: &str,
    turns: usize,
    most: f64,
    mut ours: impl FnMut() -> Duration,
    mut theirs: impl FnMut() -> Duration,
) {
    let (mut a, mut b) = (Vec::new(), Vec::new());
    for turn in 0..turns {
        if turn % 2 == 0 {
            b.push(theirs());
            a.push(ours());
        } else {
            a.push(ours());
            b.push(theirs());
        }
    }
    let spread = |all: &[Duration]| {
        let least = all.iter().min().unwrap().as_secs_f64();
        format!("{least:.2} to {:.2} s", all.iter().max().unwrap().as_secs_f64())
    };
    let (spread_a, spread_b) = (spread(&a), spread(&b));
    let ratio = median(a).as_secs_f64() / median(b).as_secs_f64();
    println!("{what}: mcp {spread_a}, rival {spread_b}: {ratio:.2} of at most {most}");
    assert!(ratio <= most, "{ratio:.2} is more than {most}");
}

/// What is there beforehand is not part of the time.
fn after(prepare: impl Fn(), run: impl Fn() -> Duration) -> impl FnMut() -> Duration {
    move || {
        prepare();
        run()
    }
}

/// Many short files, beside as many loops that only write them.
pub(super) fn small() {
    let ground = Ground::new(Lab::bridge(RECEIVERS));
    let _daemons = daemons(&ground.lab, RECEIVERS);
    let source = ground.lab.dir.path().join("small");
    write_files(&source);
    let clear = || ground.clear();
    compare(
        "100,000 files of 1 KiB to 4, beside 4 loops that write them",
        TURNS,
        3.0,
        after(clear, || ground.mcp(&source)),
        after(clear, || ground.loops()),
    );
}

/// A big tree, beside four rsyncs at once.
pub(super) fn share() {
    let mut ground = Ground::new(Lab::bridge(RECEIVERS));
    let _daemons = daemons(&ground.lab, RECEIVERS);
    ground.rsync_daemons();
    let (source, clear) = (Path::new(SHARE), || ground.clear());
    let (ours, theirs) = (|| ground.mcp(source), || ground.rsync(source));
    compare(
        "/usr/share to 4, beside 4 of rsync",
        TURNS,
        0.6,
        after(clear, ours),
        after(clear, theirs),
    );
    compare("the same, nothing changed", TURNS, 1.0, ours, theirs);
    let tar = || ground.udpcast(source);
    compare(
        "/usr/share to 4, beside tar into udpcast",
        TURNS,
        0.5,
        after(clear, ours),
        after(clear, tar),
    );
}

/// The same where the sender's line is what all wait for.
pub(super) fn share_over_a_line() {
    let lines = ["0.up:rate=200M,queue=500K", "delay=200us"];
    let mut ground = Ground::new(Lab::lines(RECEIVERS, &lines));
    let _daemons = daemons(&ground.lab, RECEIVERS);
    ground.rsync_daemons();
    let (source, clear) = (Path::new(SHARE), || ground.clear());
    let (ours, theirs) = (|| ground.mcp(source), || ground.rsync(source));
    let what = "/usr/share to 4 behind 200 Mbit/s, beside 4 of rsync";
    compare(what, 1, 0.3, after(clear, ours), after(clear, theirs));
}
