//! What of the source is not to be sent, and when it is not what it was.

use crate::{Host, Place};
use std::fs;
use std::process::{Command, Stdio};

#[test]
fn the_folder_of_state_below_the_source_is_left_out_and_stays_at_receivers() {
    let place = Place::new();
    let host = Host::new(61);
    // What stands under that name there is the host's own.
    fs::create_dir_all(host.mirror("state")).unwrap();
    for name in ["state/own", "extra"] {
        fs::write(host.mirror(name), "there").unwrap();
    }
    let mut job = place.start(&["send", "--delete", "--name", "lectures", "./", &host.name()]);
    job.says("state, the folder of state of this program, is left out");
    place.wait_for("complete", |status| status["state"] == "complete");
    assert_eq!(job.ends().0, Some(0));
    assert!(host.mirror("lectures/index").exists() && !host.mirror("extra").exists());
    let names = |path| fs::read_dir(host.mirror(path)).unwrap().count();
    assert_eq!(names("state"), 1, "its own alone");
}

#[test]
fn the_folder_of_state_itself_is_no_source() {
    let place = Place::new();
    let host = Host::new(62);
    fs::create_dir_all(place.path().join("state/jobs")).unwrap();
    std::os::unix::fs::symlink("state/jobs", place.path().join("link")).unwrap();
    for source in ["state", "state/", "state/jobs", "link"] {
        let said = place.run(&["send", "--name", "lectures", source, &host.name()]);
        let why = String::from_utf8_lossy(&said.stderr);
        assert_eq!(said.status.code(), Some(1), "{why}");
        assert!(why.contains("the folder of state of this program"), "{why}");
    }
    assert_eq!(place.run(&["status"]).stdout, b"there is no job\n");
}

/// The same command where a folder of the same file system is mounted in the tree, which nobody else sees.
fn bound(command: &Command) -> Command {
    let mut bound = Command::new("unshare");
    bound.args(["-rm", "sh", "-c", "mount --bind disk lectures/mnt && exec \"$@\"", "sh"]);
    bound.arg(command.get_program()).args(command.get_args());
    bound.envs(command.get_envs().filter_map(|(name, value)| Some((name, value?))));
    bound.current_dir(command.get_current_dir().unwrap());
    bound.stdin(Stdio::null());
    bound
}

#[test]
fn a_bind_mount_that_is_not_mounted_any_more_empties_no_mirror() {
    let place = Place::new();
    let host = Host::new(63);
    fs::create_dir(place.path().join("disk")).unwrap();
    fs::create_dir(place.tree().join("mnt")).unwrap();
    fs::write(place.path().join("disk/film"), "frames").unwrap();
    let mut probe = Command::new("true");
    if !bound(probe.current_dir(place.path())).status().is_ok_and(|status| status.success()) {
        return; // no mounts for us here
    }
    Place::grow_old();
    let words = ["send", "--delete", "lectures", &host.name()];
    let output = bound(&place.command(&words)).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert!(host.mirror("lectures/mnt/film").exists());
    place.ok(&["resume", "lectures"]);
    let mut job = place.start(&["run", "lectures"]);
    job.says("was a mounted file system and is none now");
    assert!(host.mirror("lectures/mnt/film").exists());
    // Whoever knows better says so.
    place.ok(&["resume", "--new-source", "lectures"]);
    assert_eq!(job.ends().0, Some(0));
    assert!(host.mirror("lectures/mnt").exists() && !host.mirror("lectures/mnt/film").exists());
}
