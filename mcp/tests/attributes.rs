//! Extended attributes and access control lists, copied by the program to a receiver in this process.

#[path = "common/receiver.rs"]
mod receiver;

use receiver::Receiver;
use rustix::fs::{XattrFlags, getxattr, listxattr, removexattr, setxattr};
use serde_json::Value;
use std::collections::BTreeMap;
use std::fs::{self, File, FileTimes};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::time::{Duration, SystemTime};
use tcpxm::api::ListenOptions;
use tcpxm::trust::ListenTrust;
use transfer::limits::{Allow, Limits};
use transfer::tree::attrs::{ACCESS, Ace, CAPABILITY, DEFAULT, acl_bytes};

/// What may be started with the right to open raw sockets (`struct vfs_cap_data`, linux/capability.h).
const RAW_SOCKETS: [u8; 20] = [1, 0, 0, 2, 0, 0x20, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];

fn mcp(args: &[&str], source: &Path, host: &str) -> (Option<i32>, Value, Output) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_mcp"));
    command.args(["--interface", "lo", "--json"]).args(args).arg(source).arg(host);
    command.stdin(Stdio::null()).env("MCP_STATE_DIR", "/nonexistent/state");
    let output = command.output().unwrap();
    let first = output.stdout.split(|byte| *byte == b'\n').next().unwrap();
    (output.status.code(), serde_json::from_slice(first).unwrap_or_default(), output)
}

fn set(path: &Path, name: &[u8], value: &[u8]) {
    setxattr(path, name, value, XattrFlags::empty()).unwrap();
}

/// A list by which user 4242 may this much.
fn list(perm: u16) -> Vec<u8> {
    let none = u32::MAX;
    let entries =
        [(1, 7, none), (2, perm, 4242), (4, 4, none), (16, perm | 4, none), (32, 0, none)];
    acl_bytes(&entries.map(|(tag, perm, id)| Ace { tag, id, perm, name: Vec::new() }))
}

fn long_ago(path: &Path) {
    let time = SystemTime::UNIX_EPOCH + Duration::from_secs(1_000_000_000);
    File::open(path).unwrap().set_times(FileTimes::new().set_modified(time)).unwrap();
}

type Seen = (u32, i64, BTreeMap<Vec<u8>, Vec<u8>>);

/// Mode, time and attributes of everything.
fn seen(root: &Path) -> BTreeMap<String, Seen> {
    let (mut all, mut open) = (BTreeMap::new(), vec![root.to_owned()]);
    while let Some(path) = open.pop() {
        let meta = fs::metadata(&path).unwrap();
        let mut names = vec![0; 4096];
        let len = listxattr(&path, &mut names[..]).unwrap();
        let mut attrs = BTreeMap::new();
        for name in names[..len].split(|byte| *byte == 0).filter(|name| !name.is_empty()) {
            let mut value = vec![0; 4096];
            let len = getxattr(&path, name, &mut value[..]).unwrap();
            if name != b"security.selinux" {
                attrs.insert(name.to_vec(), value[..len].to_vec());
            }
        }
        let below = path.strip_prefix(root).unwrap().display().to_string();
        all.insert(below, (meta.mode(), meta.mtime(), attrs));
        if meta.is_dir() {
            open.extend(fs::read_dir(&path).unwrap().map(|entry| entry.unwrap().path()));
        }
    }
    all
}

fn tree(root: &Path) {
    fs::create_dir_all(root.join("folder/below")).unwrap();
    let files = ["plain", "attribute", "list", "read only", "folder/large", "folder/below/both"];
    for (n, name) in files.iter().enumerate() {
        fs::write(root.join(name), vec![n as u8; if n == 4 { 3_000_000 } else { 100 * n }])
            .unwrap();
    }
    for name in ["attribute", "read only", "folder/large", "folder/below/both", "folder"] {
        set(&root.join(name), b"user.name", name.as_bytes());
        set(&root.join(name), b"user.empty", b"");
    }
    for name in ["list", "folder/below/both", "folder"] {
        set(&root.join(name), ACCESS, &list(6));
    }
    set(&root.join("folder"), DEFAULT, &list(5));
    fs::set_permissions(root.join("read only"), PermissionsExt::from_mode(0o444)).unwrap();
    files.iter().chain(&["folder/below", "folder", ""]).for_each(|name| long_ago(&root.join(name)));
}

#[test]
fn attributes_and_lists_are_as_at_the_source_and_stay_so() {
    // Of folders that stand there the lists for what is created in them change as well.
    let receiver = allowing(41, Allow { owner: true, ..Allow::default() });
    let dir = tempfile::tempdir().unwrap();
    let source = dir.path().join("source");
    tree(&source);
    let (there, host) = (receiver.folder.path().join("source"), receiver.host(""));
    // What is made in the receiver's folder would get a list that the source does not have.
    set(receiver.folder.path(), DEFAULT, &list(7));
    let copy = || {
        let (code, object, output) = mcp(&["-aAX"], &source, &host);
        assert_eq!(code, Some(0), "{output:?}");
        assert_eq!(seen(&there), seen(&source));
        object
    };
    let first = copy();
    assert_eq!(first["notes"], Value::Null, "{first}");
    let entries = first["entries"].as_u64().unwrap();
    assert_eq!(copy()["unchanged"], entries);

    // What differs is set in place, and what is too much is removed, whichever side it is changed at.
    set(&source.join("attribute"), b"user.name", b"another");
    removexattr(source.join("read only"), "user.name").unwrap();
    set(&there.join("read only"), b"user.extra", b"x");
    set(&there.join("plain"), ACCESS, &list(7));
    removexattr(there.join("folder/large"), "user.empty").unwrap();
    removexattr(source.join("folder"), DEFAULT).unwrap();
    set(&source.join("folder/below"), DEFAULT, &list(1));
    set(&source.join("list"), ACCESS, &list(2));
    let inode = |name: &str| fs::metadata(there.join(name)).unwrap().ino();
    let names = ["attribute", "read only", "plain", "folder/large", "list"];
    let before = names.map(inode);
    assert_eq!(copy()["unchanged"], entries);
    assert_eq!(names.map(inode), before, "none was sent again");

    // Without being asked for they stay as they are, here and there.
    set(&source.join("plain"), b"user.later", b"x");
    let (code, ..) = mcp(&["-a"], &source, &host);
    assert_eq!(code, Some(0));
    assert!(!seen(&there)["plain"].2.contains_key(&b"user.later"[..]));
    assert!(seen(&there)["attribute"].2.contains_key(&b"user.name"[..]));
}

/// A receiver that allows senders so much.
fn allowing(last: u8, allow: Allow) -> Receiver {
    let limits = Limits { allow, ..Limits::default() };
    let listen = ListenOptions::new(([127, 0, 0, last], 0).into(), ListenTrust::Loopback);
    Receiver::within(listen, limits, || ())
}

/// What is set on one of several names is set on all of them, which may be anybody's.
#[test]
fn a_file_with_other_names_is_another_where_its_attributes_differ() {
    let receiver = Receiver::new(42);
    let dir = tempfile::tempdir().unwrap();
    let source = dir.path().join("file");
    fs::write(&source, "text").unwrap();
    long_ago(&source);
    let host = receiver.host("");
    assert_eq!(mcp(&["-aX"], &source, &host).0, Some(0));
    let there = receiver.folder.path();
    fs::hard_link(there.join("file"), there.join("of another")).unwrap();
    set(&source, b"user.a", b"1");
    assert_eq!(mcp(&["-aX"], &source, &host).0, Some(0));
    assert!(seen(there)["file"].2.contains_key(&b"user.a"[..]));
    assert!(seen(there)["of another"].2.is_empty());
}

/// Capabilities are as set-user-ID bits: they need leave, and bytes that were verified for them.
#[test]
fn capabilities_need_leave_and_verified_bytes() {
    let dir = tempfile::tempdir().unwrap();
    let source = dir.path().join("file");
    fs::write(&source, "good").unwrap();
    let name = CAPABILITY;
    if let Err(error) = setxattr(&source, name, &RAW_SOCKETS, XattrFlags::empty()) {
        assert!(!std::env::var("CI").is_ok_and(|ci| ci == "true"), "it was not tried: {error}");
        return eprintln!("capabilities are not tried: only root can set them: {error}");
    }
    long_ago(&source);
    let with = |last, setuid| allowing(last, Allow { setuid, ..Allow::default() });
    let (may, may_not) = (with(43, true), with(44, false));
    let of = |receiver: &Receiver| seen(receiver.folder.path())["file"].2.get(name).cloned();
    // Others of the same length and time stand there, and are not given what they were not sent for.
    for receiver in [&may, &may_not] {
        let path = receiver.folder.path().join("file");
        fs::write(&path, "evil").unwrap();
        long_ago(&path);
    }
    let (code, object, output) = mcp(&["-aX"], &source, &may.host(""));
    assert_eq!((code, &object["notes"]), (Some(0), &Value::Null), "{output:?}");
    assert_eq!(of(&may).unwrap(), RAW_SOCKETS);
    assert_eq!(fs::read(may.folder.path().join("file")).unwrap(), b"good");
    let inode = || fs::metadata(may.folder.path().join("file")).unwrap().ino();
    let before = inode();
    assert_eq!(mcp(&["-aX"], &source, &may.host("")).1["unchanged"], 1);
    assert_eq!((inode(), of(&may).unwrap()), (before, RAW_SOCKETS.to_vec()));

    let (code, object, output) = mcp(&["-aX"], &source, &may_not.host(""));
    assert_eq!(code, Some(0), "{output:?}");
    assert!(object["notes"][0].as_str().unwrap().contains("capabilities"), "{object}");
    assert_eq!(of(&may_not), None);
}
