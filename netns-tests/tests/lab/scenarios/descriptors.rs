//! What a program that one of ours starts would inherit.

use crate::copy::Copy;
use crate::network::{LEN, Lab};
use crate::shell::{run, wait_for};
use std::fs;
use std::path::Path;
use std::time::Duration;

const SOON: Duration = Duration::from_secs(15);

/// `O_CLOEXEC` as `proc_pid_fdinfo(5)` shows it among the flags, in octal: that of most processors.
const CLOSED: u32 = 0o2_000_000;

/// Descriptors beyond the standard three that stay open across exec(2), with what they are.
fn inherited(proc: &Path, process: i32) -> Vec<String> {
    let folder = proc.join(process.to_string());
    let mut found = Vec::new();
    for entry in fs::read_dir(folder.join("fdinfo")).unwrap() {
        let name = entry.unwrap().file_name();
        // One that was closed meanwhile is none.
        let Ok(info) = fs::read_to_string(folder.join("fdinfo").join(&name)) else { continue };
        let flags = info.lines().find_map(|line| line.strip_prefix("flags:")).unwrap().trim();
        let open = u32::from_str_radix(flags, 8).unwrap() & CLOSED == 0;
        if open && name.to_str().unwrap().parse::<u32>().unwrap() > 2 {
            found.push(format!(
                "{}: {:?}",
                name.display(),
                fs::read_link(folder.join("fd").join(&name))
            ));
        }
    }
    found
}

/// A hook or a shell that inherited a group's socket would keep the group's traffic flowing, and a lock would outlive
/// its owner.
pub(super) fn none_outlives_an_exec() {
    let lab = Lab::bridge(2);
    let daemons = lab.daemons();
    let mut args = ["--rate", "100M"].map(str::to_owned).to_vec();
    args.push(lab.source(LEN).display().to_string());
    args.extend(lab.all());
    // The system's own shows processes of another namespace.
    let proc = lab.folder(3);
    run(&format!("mount -t proc proc {}", proc.display()));
    let running = Copy::start(&lab, &args);
    wait_for("a third has arrived", SOON, || lab.bytes(1).1 > LEN / 3);
    // What whoever runs this left open is not theirs.
    let given = inherited(&proc, std::process::id().cast_signed());
    for process in [running.id(), daemons[0].id()] {
        let mut own = inherited(&proc, process);
        own.retain(|descriptor| !given.contains(descriptor));
        assert_eq!(own, Vec::<String>::new());
    }
    running.wait().assert_ok();
    run(&format!("umount {}", proc.display()));
}
