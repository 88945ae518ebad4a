//! What a receiver does not allow is left out, and told.

use super::trees::ALLOW;
use crate::copy::copy;
use crate::daemon::Daemon;
use crate::network::Lab;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

/// Set-user-ID bits to two hosts that allow none, and to one that does: all have it, and the two say what they left out.
pub(super) fn what_is_not_allowed_is_left_out_and_told() {
    let lab = Lab::bridge(3);
    let source = lab.dir.path().join("source");
    fs::create_dir(&source).unwrap();
    for name in ["one", "two"] {
        fs::write(source.join(name), "a program").unwrap();
        fs::set_permissions(source.join(name), PermissionsExt::from_mode(0o4755)).unwrap();
    }
    let secret = lab.secret().display().to_string();
    let start = |host: usize, allow: &[&str]| {
        let trust = [&["--secret-file", &secret][..], allow].concat();
        Daemon::start_trusting(&lab, host, &lab.folder(host), &[], &trust)
    };
    let daemons = [start(1, &[]), start(2, &[]), start(3, &ALLOW)];
    let mode = |root: &Path| {
        ["one", "two"].map(|name| {
            fs::metadata(root.join("source").join(name)).unwrap().permissions().mode() & 0o7777
        })
    };
    let to = [vec!["-a".to_owned(), source.display().to_string()], lab.all()].concat();
    let done = copy(&lab, &to);
    done.assert_ok();
    let told = "set-user-ID bits are not kept";
    assert_eq!(done.messages.matches(told).count(), 1, "once for all: {}", done.messages);
    assert!(done.messages.contains("(said by 2 hosts)"), "{}", done.messages);
    for host in 0..3 {
        let notes = done.hosts[host]["notes"].as_array();
        let says = notes.is_some_and(|notes| notes[0].as_str().unwrap().starts_with(told));
        assert_eq!(says, host < 2, "{done:#?}");
    }
    assert_eq!(
        daemons.each_ref().map(|daemon| mode(&daemon.root)),
        [[0o755; 2], [0o755; 2], [0o4755; 2]]
    );
    let quiet = copy(&lab, &[vec!["-qI".to_owned()], to].concat());
    quiet.assert_ok();
    assert_eq!(quiet.messages, "", "only failures are said");
}
