//! What a receiver does not allow is left out, and told.

use super::trees::ALLOW;
use crate::copy::{Copy, copy};
use crate::daemon::Daemon;
use crate::network::Lab;
use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};
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

/// Runs what follows with the users and groups of a folder (passwd(5), group(5)) in place of the host's.
const WITH_USERS: &str =
    "mount --bind \"$0/passwd\" /etc/passwd && mount --bind \"$0/group\" /etc/group && exec \"$@\"";
/// Numbers of a user and a group that both hosts know by one name, at the sender and at the receiver.
const HERE: (u32, u32) = (12_345, 12_346);
const THERE: (u32, u32) = (23_456, 23_457);

/// Of two hosts that give one name to different numbers: owners and groups go by the name, and by the number if that is
/// asked for.
pub(super) fn owners_go_by_name_or_by_number() {
    let lab = Lab::bridge(1);
    let source = lab.dir.path().join("source");
    fs::create_dir(&source).unwrap();
    fs::write(source.join("file"), "a stranger's").unwrap();
    // Where an ordinary user runs this the namespace has one user, and nothing can be told apart.
    if let Err(error) = chown(source.join("file"), Some(HERE.0), Some(HERE.1)) {
        eprintln!("owners are not tried: this namespace has one user alone: {error}");
        return;
    }
    let users = |name: &str, (uid, gid): (u32, u32)| {
        let folder = lab.dir.path().join(name);
        fs::create_dir(&folder).unwrap();
        let passwd = format!("root:x:0:0::/:/bin/sh\nstranger:x:{uid}:{gid}::/:/bin/sh\n");
        fs::write(folder.join("passwd"), passwd).unwrap();
        fs::write(folder.join("group"), format!("root:x:0:\nstrangers:x:{gid}:\n")).unwrap();
        folder.display().to_string()
    };
    let (here, there) = (users("users here", HERE), users("users there", THERE));
    let with = |users| ["sh", "-c", WITH_USERS, users];
    let secret = lab.secret().display().to_string();
    let trust = ["--secret-file", &secret];
    let allowed = [&trust[..], &ALLOW].concat();
    let daemon = Daemon::start_trusting(&lab, 1, &lab.folder(1), &with(&there), &allowed);
    for (options, to, expected) in
        [(&["-a"][..], "by-name", THERE), (&["-a", "--numeric-ids"], "by-number", HERE)]
    {
        let (from, host) = (source.display().to_string(), format!("{}:{to}/", lab.v4(1)));
        let args = [options, &[&from, &host]].concat();
        let done = Copy::start_by(&lab, (0, &with(&here)), &trust, &args).wait();
        done.assert_ok();
        assert_eq!(done.messages, "", "nothing is left out");
        let found = fs::metadata(daemon.root.join(to).join("source/file")).unwrap();
        assert_eq!((found.uid(), found.gid()), expected, "{options:?}");
    }
}
