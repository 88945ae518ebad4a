//! The folder that it receives into: what it may be, and what becomes of it meanwhile.

use crate::daemon::{Daemon, command, send, source};
use std::fs;
use std::os::unix::fs::symlink;

#[test]
fn a_folder_that_is_a_link_is_refused_unless_it_is_to_be_followed() {
    let dir = tempfile::tempdir().unwrap();
    let (root, link) = (dir.path().join("root"), dir.path().join("link"));
    fs::create_dir_all(root.join("folder")).unwrap();
    symlink("root", &link).unwrap();
    symlink("folder", root.join("inner")).unwrap();
    symlink("..", root.join("out")).unwrap();
    let (_dir, source) = source(1000);
    let busy = Daemon::start(&root, 61, &[]);
    assert!(send(busy.addr, &source, "inner/x", None).unwrap().contains("it is a symbolic link"));
    let taken = busy.addr.to_string();
    for path in [link.clone(), dir.path().join("link/")] {
        let output = command(&path, "127.0.0.1:0").output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(1), "{said}");
        assert!(said.contains("it is a symbolic link") && said.contains("--follow-root"), "{said}");
        // The variable does what the option does: then the address is what is wrong.
        let output = command(&path, &taken).env("MCPD_FOLLOW_ROOT", "true").output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(said.contains("Address already in use"), "{said}");
    }
    let daemon = Daemon::start(&link, 62, &["--follow-root"]);
    assert_eq!(send(daemon.addr, &source, "inner/x", None), None);
    assert!(root.join("folder/x").is_file());
    let why = send(daemon.addr, &source, "out/x", None).unwrap();
    assert!(why.contains("leads out of the root folder"), "{why}");
    assert!(!dir.path().join("x").exists());
}

#[test]
fn a_folder_that_is_made_anew_is_opened_again() {
    let dir = tempfile::tempdir().unwrap();
    let root = dir.path().join("root");
    fs::create_dir(&root).unwrap();
    let (_dir, source) = source(1000);
    let mut daemon = Daemon::start(&root, 63, &[]);
    assert_eq!(send(daemon.addr, &source, "x", None), None);
    fs::remove_dir_all(&root).unwrap();
    let why = send(daemon.addr, &source, "x", None).unwrap();
    assert!(
        why.contains("cannot receive into this host's folder: there is no such folder"),
        "{why}"
    );
    assert!(!why.contains("root"), "where it is is nobody's business: {why}");
    daemon.says("there is no such folder");
    fs::create_dir(&root).unwrap();
    assert_eq!(send(daemon.addr, &source, "x", None), None);
    assert!(root.join("x").is_file());
    daemon.says("it was opened again");
    // A link that takes its place is not followed.
    fs::rename(&root, dir.path().join("away")).unwrap();
    symlink("away", &root).unwrap();
    assert!(send(daemon.addr, &source, "y", None).unwrap().contains("it is a symbolic link"));
}
