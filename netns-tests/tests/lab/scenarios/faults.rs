//! Systems that fail in the middle: a clear failure or a verified file, and nothing in between.

use crate::copy::copy;
use crate::daemon::Daemon;
use crate::network::{LEN, Lab, content, tree, whole};
use crate::shell::{find, run};
use std::fs;
use std::path::{Path, PathBuf};

/// Length of the files that the injected errors are tried with: several blocks, quickly copied.
const SMALL: u64 = (3 << 20) + 17;

pub(super) fn disks_that_cannot_take_it() {
    let lab = Lab::bridge(4);
    let roots: Vec<_> = (1..=4).map(|host| lab.folder(host)).collect();
    run(&format!("mount -t tmpfs -o size=8m tmpfs {}", roots[0].display()));
    run(&format!("mount -t tmpfs tmpfs {}", roots[1].display()));
    let locked = roots[2].join("locked");
    fs::create_dir(&locked).unwrap();
    run(&format!("chmod 500 {}", locked.display()));
    // Root may write everywhere, unless it gives that right up.
    let setpriv = find("setpriv").unwrap().display().to_string();
    let humble = [&setpriv[..], "--bounding-set", "-dac_override,-dac_read_search"];
    let daemons = [
        Daemon::start(&lab, 1, &roots[0]),
        Daemon::start(&lab, 2, &roots[1]),
        Daemon::start_by(&lab, 3, &roots[2], &humble),
        Daemon::start(&lab, 4, &roots[3]),
    ];
    // As a disk with errors comes to be; a root that is so at its start ends a daemon. The file system as a whole, for
    // each daemon has mounts of its own.
    run(&format!("mount -o remount,ro {}", roots[1].display()));
    let mut args = vec![lab.source(LEN).display().to_string()];
    args.extend(lab.all());
    args[3].push_str(":locked/");
    let done = copy(&lab, &args);
    assert_eq!(done.code, Some(3), "{done:#?}");
    for (host, why) in
        [(0, "No space left on device"), (1, "Read-only file system"), (2, "Permission denied")]
    {
        assert!(done.text(host, "reason").contains(why), "{done:#?}");
    }
    assert_eq!(done.text(3, "status"), "ok");
    assert!(fs::read(roots[3].join(format!("source-{LEN}"))).unwrap() == content(LEN));
    assert_eq!((tree(&roots[0]).len(), tree(&roots[1]).len()), (0, 0));
    assert_eq!(tree(&roots[2]), ["locked"]);
    drop(daemons);
    run(&format!("umount {} {}", roots[0].display(), roots[1].display()));
}

/// As systemd does for a service with `ProtectSystem=strict`: all is read-only but for the second folder, which is
/// mounted over itself.
const PROTECTED: &str = "mount --bind \"$1\" \"$1\" && mount -o remount,bind,ro \"$1\" && \
    mount --bind \"$2\" \"$2\" && mount -o remount,bind,rw \"$2\" && shift 2 && exec \"$@\"";

/// What may be written is the folder above the root, or the root that stood there at the start.
pub(super) fn a_root_that_is_made_anew_under_a_service() {
    let lab = Lab::bridge(2);
    let [all, above, root] =
        ["", "mcp", "mcp/incoming"].map(|path| move |lab: &Lab, host| lab.folder(host).join(path));
    let unshare = find("unshare").unwrap().display().to_string();
    let start = |host: usize, writable: PathBuf| {
        fs::create_dir_all(root(&lab, host)).unwrap();
        let (all, writable) = (all(&lab, host), writable.display().to_string());
        let all = all.display().to_string();
        let by = [&unshare, "-m", "sh", "-c", PROTECTED, "sh", &all, &writable];
        Daemon::start_by(&lab, host, &root(&lab, host), &by)
    };
    let _daemons = [start(1, above(&lab, 1)), start(2, root(&lab, 2))];
    let mut args = vec![lab.source(SMALL).display().to_string()];
    args.extend(lab.all());
    copy(&lab, &args).assert_ok();
    for host in [1, 2] {
        fs::remove_dir_all(root(&lab, host)).unwrap();
        fs::create_dir(root(&lab, host)).unwrap();
    }
    let done = copy(&lab, &args);
    assert_eq!(done.text(0, "status"), "ok", "{done:#?}");
    assert_eq!(tree(&root(&lab, 1)), [format!("source-{SMALL}")]);
    assert!(done.text(1, "reason").contains("Read-only file system"), "{done:#?}");
    assert_eq!(tree(&root(&lab, 2)).len(), 0);
}

pub(super) fn an_old_file_survives_a_failure() {
    let lab = Lab::bridge(1);
    let root = lab.folder(1);
    run(&format!("mount -t tmpfs -o size=8m tmpfs {}", root.display()));
    let name = format!("source-{LEN}");
    fs::write(root.join(&name), b"old").unwrap();
    let daemon = Daemon::start(&lab, 1, &root);
    let done = copy(&lab, &[lab.source(LEN).display().to_string(), lab.v4(1)]);
    assert_eq!(done.code, Some(1), "{done:#?}");
    assert_eq!((tree(&root), fs::read(root.join(&name)).unwrap()), (vec![name], b"old".to_vec()));
    drop(daemon);
    run(&format!("umount {}", root.display()));
}

/// Lets the n-th call of one kind fail in the daemon, n = 1, 2, … until none is left to fail.
/// A copy that fails says what the system said, `told`.
fn sweep(calls: &str, (error, told): (&str, &str), most: usize) {
    let lab = Lab::bridge(1);
    let strace = find("strace").unwrap().display().to_string();
    let (name, expected) = (format!("source-{SMALL}"), content(SMALL));
    let source = lab.source(SMALL).display().to_string();
    let mut failures = 0;
    for n in 1..=most {
        let root = lab.folder(n + 100);
        fs::write(root.join(&name), b"old").unwrap();
        let trace = lab.dir.path().join(format!("strace{n}"));
        let trace_text = trace.display().to_string();
        let inject = format!("inject={calls}:error={error}:when={n}");
        let by = [
            &strace[..],
            "-D",
            "-f",
            "-qq",
            "-o",
            &trace_text,
            "-e",
            &format!("trace={calls}"),
            "-e",
            &inject,
        ];
        // The listener's own calls are over when it is ready: n counts from its start, so the
        // daemon may also not come up, which is as clear.
        let Some(mut daemon) = start(&lab, &root, &by) else { continue };
        let done = copy(&lab, &[source.clone(), lab.v4(1)]);
        daemon.terminate();
        let injected = fs::read_to_string(&trace).unwrap().contains("INJECTED");
        let bytes = fs::read(root.join(&name)).unwrap();
        assert_eq!(whole(&root), [name.as_str()], "n = {n}: {done:#?}");
        assert!(done.code != Some(0) || whole(&root) == tree(&root), "n = {n}: {done:#?}");
        if done.code == Some(0) {
            assert!(bytes == expected, "n = {n}: success, and a wrong file");
        } else {
            assert!(bytes == b"old", "n = {n}: failure, and the old file is gone");
            assert!(done.text(0, "reason").contains(told), "n = {n}: {done:#?}");
            assert!(done.messages.contains(told), "n = {n}: {done:#?}");
            failures += 1;
        }
        if !injected {
            assert_eq!(done.code, Some(0), "{done:#?}");
            assert!(failures > 0, "no call of {calls} failed a copy");
            return;
        }
    }
    panic!("after {most} calls of {calls} there are still more");
}

/// A traced daemon; `None` if the injected error ended it before it listened.
fn start(lab: &Lab, root: &Path, by: &[&str]) -> Option<Daemon> {
    let started = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        Daemon::start_by(lab, 1, root, by)
    }));
    started.ok()
}

pub(super) fn every_write_fails_once() {
    // Blocks are written by pwrite64; write is what its messages and its wake-ups go through.
    sweep("pwrite64", ("ENOSPC", "No space left on device"), 12);
    sweep("pwrite64", ("EFBIG", "File too large"), 12);
    sweep("pwrite64", ("EDQUOT", "quota exceeded"), 12);
    sweep("pwrite64", ("EIO", "Input/output error"), 12);
}

pub(super) fn every_fsync_fails_once() {
    sweep("fsync", ("EIO", "Input/output error"), 12);
}

pub(super) fn every_rename_fails_once() {
    sweep("rename,renameat,renameat2", ("EIO", "Input/output error"), 12);
}

pub(super) fn every_step_of_the_temporary_file_fails_once() {
    sweep("fallocate", ("ENOSPC", "No space left on device"), 4);
    sweep("fallocate", ("EFBIG", "File too large"), 4);
    sweep("flock", ("EIO", "Input/output error"), 4);
}

/// As FAT, network and user file systems do: what the bytes can do without is told once.
pub(super) fn a_file_system_without_permissions_and_reservation() {
    let lab = Lab::bridge(1);
    let strace = find("strace").unwrap().display().to_string();
    let source = lab.source(SMALL).display().to_string();
    for (round, refused) in [
        // FAT and CIFS; a user file system that answers as it likes, and cannot lengthen files.
        &["fchmod:error=EPERM", "fallocate:error=EOPNOTSUPP"][..],
        &["fchmod:error=ENOSYS", "fallocate:error=EINVAL", "ftruncate:error=EPERM"],
    ]
    .iter()
    .enumerate()
    {
        let root = lab.folder(round + 200);
        let injects: Vec<_> = refused.iter().map(|call| format!("inject={call}")).collect();
        let mut by = vec![&strace[..], "-D", "-f", "-qq", "-o", "/dev/null"];
        for inject in &injects {
            by.extend(["-e", inject]);
        }
        let mut daemon = Daemon::start_by(&lab, 1, &root, &by);
        for to in ["one", "two"] {
            copy(&lab, &[source.clone(), format!("{}:{to}", lab.v4(1))]).assert_ok();
            assert!(fs::read(root.join(to)).unwrap() == content(SMALL), "{refused:?}");
        }
        assert_eq!(tree(&root), ["one", "two"]);
        for what in ["does not take the file's permissions", "reserves no room"] {
            assert_eq!(daemon.log().matches(what).count(), 1, "{refused:?}: {}", daemon.log());
        }
        daemon.terminate();
    }
}
