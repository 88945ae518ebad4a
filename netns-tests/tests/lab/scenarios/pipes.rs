//! Streams from one program's standard output into others' standard input, at three hosts.

use crate::asked::asked;
use crate::copy::Copy;
use crate::daemon::memory_kib;
use crate::network::Lab;
use crate::programs;
use crate::shell::{find, run, wait_for};
use std::fs::{self, File};
use std::io::Read;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

/// A daemon is ready within this, and ends within it after its session.
const SOON: Duration = Duration::from_secs(20);
/// The longest stream takes no longer.
const LONG: Duration = Duration::from_secs(900);
/// Memory that either program may take for a stream of any length, in KiB.
const MOST: u64 = 64 << 10;
/// Says how many GiB the long stream has.
const GIB: &str = "MCP_PIPE_GIB";
/// Names another folder to be sent, such as all of /usr/share.
const FOLDER: &str = "MCP_PIPE_FOLDER";

/// An `mcpd` that writes to its standard output; killed when it is dropped.
struct Output {
    child: Child,
    log: PathBuf,
}

impl Output {
    fn start(lab: &Lab, host: usize) -> Self {
        let log = lab.dir.path().join(format!("output{host}.log"));
        let child = Command::new(find("ip").unwrap())
            .args(["netns", "exec", &lab.ns(host)])
            .arg(programs::path("mcpd"))
            .args(["--once", "--to-stdout", "--secret-file"])
            .arg(lab.secret())
            .arg("--state-dir")
            .arg(lab.state(host))
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(File::create(&log).unwrap())
            .spawn()
            .unwrap();
        let output = Self { child, log };
        wait_for("the daemon listens", SOON, || output.said().contains("listening on"));
        output
    }

    fn said(&self) -> String {
        fs::read_to_string(&self.log).unwrap_or_default()
    }

    /// Another program reads it.
    fn into(&mut self, reader: &mut Command) -> Child {
        let out = self.child.stdout.take().unwrap();
        reader.stdin(out).stdout(Stdio::piped()).spawn().unwrap()
    }

    /// Its exit code, once it has ended by itself.
    fn code(&mut self) -> Option<i32> {
        let mut status = None;
        wait_for("the daemon ends with its session", SOON, || {
            status = self.child.try_wait().unwrap();
            status.is_some()
        });
        status.unwrap().code()
    }
}

impl Drop for Output {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn to_output(lab: &Lab) -> Vec<String> {
    let to = lab.all().into_iter().map(|host| format!("{host}:-"));
    std::iter::once("-".to_owned()).chain(to).collect()
}

/// A folder of some thousand files and links that every system has.
fn of_the_system() -> PathBuf {
    std::env::var_os(FOLDER).map_or_else(|| "/usr/share/doc".into(), PathBuf::from)
}

pub(super) fn a_folder_into_tar_at_three_hosts() {
    let lab = Lab::bridge(3);
    let mut outputs: Vec<Output> = (1..=3).map(|host| Output::start(&lab, host)).collect();
    let mut readers: Vec<Child> = (1..=3)
        .zip(&mut outputs)
        .map(|(host, output)| {
            let mut tar = Command::new(find("tar").unwrap());
            output.into(tar.args(["xf", "-", "-C"]).arg(lab.folder(host)))
        })
        .collect();
    let before = lab.bytes(0).0;
    let mut tar = Command::new(find("tar").unwrap());
    let tar = tar.arg("cf").arg("-").arg("-C").arg(of_the_system()).arg(".");
    let mut tar = tar.stdout(Stdio::piped()).spawn().unwrap();
    let input = tar.stdout.take().unwrap();
    let done = Copy::start_fed(&lab, &to_output(&lab), input.into()).wait_watched(LONG, || {});
    done.assert_ok();
    assert!(tar.wait().unwrap().success());
    let len = done.hosts[0]["multicast_bytes"].as_u64().unwrap()
        + done.hosts[0]["unicast_bytes"].as_u64().unwrap();
    let sent = lab.bytes(0).0 - before;
    assert!(sent < len * 3 / 2, "{sent} bytes left the sender for a stream of {len}");
    for (host, (output, reader)) in (1..=3).zip(outputs.iter_mut().zip(&mut readers)) {
        assert_eq!(output.code(), Some(0), "{}", output.said());
        assert!(reader.wait().unwrap().success(), "tar at host {host}");
        let diff = Command::new(find("diff").unwrap())
            .args(["-r", "--no-dereference"])
            .args([of_the_system(), lab.folder(host)])
            .output()
            .unwrap();
        assert!(diff.status.success(), "{}", String::from_utf8_lossy(&diff.stdout));
    }
}

pub(super) fn memory_does_not_follow_the_length() {
    let gib = asked(GIB, 2_u64);
    let lab = Lab::bridge(3);
    let mut outputs: Vec<Output> = (1..=3).map(|host| Output::start(&lab, host)).collect();
    let mut readers: Vec<Child> = outputs
        .iter_mut()
        .map(|output| output.into(Command::new(find("wc").unwrap()).arg("-c")))
        .collect();
    let mut head = Command::new(find("head").unwrap());
    let head = head.args(["-c", &format!("{gib}G"), "/dev/zero"]).stdout(Stdio::piped());
    let mut head = head.spawn().unwrap();
    let input = head.stdout.take().unwrap();
    let copy = Copy::start_fed(&lab, &to_output(&lab), input.into());
    // The system's own shows processes of another namespace.
    let proc = lab.folder(1);
    run(&format!("mount -t proc proc {}", proc.display()));
    let mut ids = vec![copy.id()];
    ids.extend(outputs.iter().map(|output| output.child.id().cast_signed()));
    let mut peaks = vec![0; ids.len()];
    let done = copy.wait_watched(LONG, || {
        for (peak, id) in peaks.iter_mut().zip(&ids) {
            *peak = memory_kib(&proc, *id, "VmHWM").unwrap_or(0).max(*peak);
        }
    });
    run(&format!("umount {}", proc.display()));
    done.assert_ok();
    assert!(head.wait().unwrap().success());
    println!("{gib} GiB in {:?}, peaks in KiB, mcp's first: {peaks:?}", done.took);
    assert!(peaks.iter().all(|peak| (1..=MOST).contains(peak)), "{peaks:?} KiB");
    for (output, reader) in outputs.iter_mut().zip(&mut readers) {
        assert_eq!(output.code(), Some(0), "{}", output.said());
        let mut count = String::new();
        reader.stdout.take().unwrap().read_to_string(&mut count).unwrap();
        assert_eq!(count.trim(), (gib << 30).to_string());
        assert!(reader.wait().unwrap().success());
    }
}

pub(super) fn one_reader_that_has_seen_enough() {
    const LEN: u64 = 256 << 20;
    let lab = Lab::bridge(3);
    let mut outputs: Vec<Output> = (1..=3).map(|host| Output::start(&lab, host)).collect();
    let mut readers: Vec<Child> = (1..=3)
        .zip(&mut outputs)
        .map(|(host, output)| match host {
            2 => output.into(Command::new(find("head").unwrap()).args(["-c", "10"])),
            _ => output.into(Command::new(find("wc").unwrap()).arg("-c")),
        })
        .collect();
    let input = File::open(lab.source(LEN)).unwrap();
    let done = Copy::start_fed(&lab, &to_output(&lab), input.into()).wait();
    assert_eq!(done.code, Some(3), "{done:#?}");
    assert_eq!(done.text(1, "reason"), "who reads its standard output has closed it");
    let codes: Vec<_> = outputs.iter_mut().map(Output::code).collect();
    assert_eq!(codes, [Some(0), Some(1), Some(0)]);
    for (host, reader) in readers.iter_mut().enumerate() {
        let mut count = Vec::new();
        reader.stdout.take().unwrap().read_to_end(&mut count).unwrap();
        if host == 1 {
            assert_eq!(count.len(), 10);
        } else {
            assert_eq!(done.text(host, "status"), "ok", "{done:#?}");
            assert_eq!(String::from_utf8(count).unwrap().trim(), LEN.to_string());
        }
        assert!(reader.wait().unwrap().success());
    }
}
