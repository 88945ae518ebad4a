//! Trees that come to other file systems than the root's, and owners of folders that are named with a slash.

use super::mirrors;
use super::trees::daemons;
use crate::copy::{Done, copy};
use crate::judge;
use crate::mirror::Mirror;
use crate::network::{Lab, content, tree};
use crate::shell::run;
use std::fs::{self, File, FileTimes};
use std::os::unix::fs::{MetadataExt, chown, symlink};
use std::path::Path;
use std::time::{Duration, SystemTime};

/// An owner and a group that are nobody's here, where the namespace has as many.
const IDS: (u32, u32) = (1234, 1235);

fn archive(lab: &Lab, source: &str) -> Done {
    copy(lab, &[vec!["-a".to_owned(), source.to_owned()], lab.all()].concat())
}

fn age(path: &Path) {
    let time = SystemTime::UNIX_EPOCH + Duration::new(1_234_567_890, 5);
    File::open(path).unwrap().set_times(FileTimes::new().set_modified(time)).unwrap();
}

fn inode(path: &Path) -> (u64, u64) {
    let found = fs::symlink_metadata(path).unwrap();
    (found.dev(), found.ino())
}

/// A hard link cannot lead to another file system: the further names there are those of a second file. What is mounted
/// where a file is to be stays.
pub(super) fn other_file_systems_below_the_root() {
    let lab = Lab::bridge(2);
    let source = lab.dir.path().join("source");
    fs::create_dir_all(source.join("other")).unwrap();
    let bytes = content(3 << 20);
    fs::write(source.join("first"), &bytes).unwrap();
    age(&source.join("first"));
    symlink("first", source.join("link")).unwrap();
    for (name, of) in
        [("again", "first"), ("other/a", "first"), ("other/b", "first"), ("other/l", "link")]
    {
        fs::hard_link(source.join(of), source.join(name)).unwrap();
    }
    fs::write(source.join("mounted"), "a file").unwrap();
    let there = lab.folder(1).join("source");
    for name in ["other", "mounted"] {
        fs::create_dir_all(there.join(name)).unwrap();
        run(&format!("mount -t tmpfs tmpfs {}", there.join(name).display()));
    }
    // They have the mounts of the moment when they were started.
    let daemons = daemons(&lab, 2);
    let done = archive(&lab, &source.display().to_string());
    assert_eq!((done.code, done.text(1, "status")), (Some(3), "ok"), "{done:#?}");
    assert_eq!(judge::rsync(&source, &daemons[1].root.join("source")), "");
    let failures = done.hosts[0]["failures"].as_array().unwrap();
    assert_eq!(failures.len(), 1, "{done:#?}");
    assert_eq!(failures[0]["entry"], "source/mounted");
    assert_eq!(
        failures[0]["reason"], "source/mounted is refused: a file system is mounted there",
        "{done:#?}"
    );
    let told =
        "hard links are not kept where another file system is mounted below this host's folder";
    assert_eq!(done.messages.matches(told).count(), 1, "{done:#?}");
    assert_eq!(
        tree(&there),
        ["again", "first", "link", "mounted", "other", "other/a", "other/b", "other/l"]
    );
    for name in ["first", "again", "other/a", "other/b"] {
        assert!(fs::read(there.join(name)).unwrap() == bytes, "{name}");
        let found = fs::metadata(there.join(name)).unwrap();
        assert_eq!((found.mtime(), found.mtime_nsec()), (1_234_567_890, 5), "{name}");
    }
    assert_eq!(fs::read_link(there.join("other/l")).unwrap(), Path::new("first"));
    let inodes = ["first", "again", "other/a", "other/b"].map(|name| inode(&there.join(name)));
    assert!(inodes[0] == inodes[1] && inodes[2] == inodes[3] && inodes[0] != inodes[2]);
    // The next copy finds the second file as it should be.
    archive(&lab, &source.display().to_string());
    assert_eq!(
        inodes,
        ["first", "again", "other/a", "other/b"].map(|name| inode(&there.join(name)))
    );
    drop(daemons);
    for name in ["other", "mounted"] {
        run(&format!("umount {}", there.join(name).display()));
    }
}

/// With `--one-file-system` a folder where another is mounted is empty, but for what `--files-from` lists there, as with
/// rsync.
pub(super) fn what_is_listed_on_another_file_system() {
    let lab = Lab::bridge(1);
    let daemons = daemons(&lab, 1);
    let source = lab.dir.path().join("source");
    fs::create_dir_all(source.join("mount")).unwrap();
    run(&format!("mount -t tmpfs tmpfs {}", source.join("mount").display()));
    fs::create_dir_all(source.join("mount/dir/inner")).unwrap();
    for name in ["mount/file", "mount/dir/inner/file", "beside"] {
        fs::write(source.join(name), name).unwrap();
    }
    let (list, by_rsync) = (lab.dir.path().join("list"), lab.dir.path().join("by-rsync"));
    for listed in ["mount/file\n", "mount/dir\nbeside\n", "mount\n", "./\n"] {
        fs::write(&list, listed).unwrap();
        let of = format!("--files-from={}", list.display());
        let slashed = format!("{}/", source.display());
        let to = format!("{}:to/", lab.v4(1));
        copy(&lab, &["-a", "-r", "--one-file-system", &of, &slashed, &to]).assert_ok();
        run(&format!("rsync -ar -x {of} {slashed} {}/", by_rsync.display()));
        let ours = daemons[0].root.join("to");
        assert_eq!(tree(&ours), tree(&by_rsync), "{listed:?}");
        fs::remove_dir_all(ours).unwrap();
        fs::remove_dir_all(&by_rsync).unwrap();
    }
    run(&format!("umount {}", source.join("mount").display()));
}

/// The folder that a slash stands behind gives the destination its owner as well, but not the root of the daemon.
pub(super) fn owners_of_what_a_slash_stands_behind() {
    let lab = Lab::bridge(1);
    let daemons = daemons(&lab, 1);
    let source = lab.dir.path().join("source");
    fs::create_dir(&source).unwrap();
    fs::write(source.join("file"), "file").unwrap();
    // Where an ordinary user runs this the namespace has one user: then nothing can be told apart.
    if let Err(error) = chown(&source, Some(IDS.0), Some(IDS.1)) {
        let why = format!("owners are not tried: this namespace has one user alone: {error}");
        assert!(!std::env::var("CI").is_ok_and(|ci| ci == "true"), "{why}");
        eprintln!("{why}");
    }
    let given = fs::metadata(&source).unwrap();
    let with_slash = format!("{}/", source.display());
    let own = fs::metadata(&daemons[0].root).unwrap();
    for to in ["", ":new/place"] {
        let host = format!("{}{to}", lab.v4(1));
        copy(&lab, &["-a", "-I", &with_slash, &host]).assert_ok();
    }
    let of = |path: &Path| {
        let found = fs::metadata(path).unwrap();
        (found.uid(), found.gid())
    };
    assert_eq!(of(&daemons[0].root.join("new/place")), (given.uid(), given.gid()));
    assert_eq!(of(&daemons[0].root.join("new")), (own.uid(), own.gid()));
    assert_eq!(of(&daemons[0].root), (own.uid(), own.gid()));
    assert_eq!(judge::rsync(&source, &daemons[0].root.join("new/place")), "");
}

/// A folder of the same file system that was mounted in the tree of a mirror job, and is not any more, empties no mirror.
pub(super) fn a_mirror_of_what_was_mounted() {
    let lab = Lab::bridge(1);
    let _daemon = mirrors::daemon_with(&lab, 1, &[]);
    let (source, disk) = (lab.dir.path().join("source"), lab.dir.path().join("disk"));
    for (folder, file) in
        [(source.join("mnt"), source.join("index")), (disk.clone(), disk.join("film"))]
    {
        fs::create_dir_all(folder).unwrap();
        fs::write(file, "frames").unwrap();
    }
    let mounted = source.join("mnt");
    run(&format!("mount --bind {} {}", disk.display(), mounted.display()));
    let (mirror, mut sender) = Mirror::send(&lab, &source, &["--delete"]);
    sender.wait_complete(mirrors::LIMIT);
    let there = lab.folder(1).join("source/mnt");
    assert_eq!(fs::read(there.join("film")).unwrap(), b"frames");
    run(&format!("umount {}", mounted.display()));
    mirror.resume();
    let mut sender = mirror.run();
    sender.says("was a mounted file system and is none now", mirrors::LIMIT);
    assert!(there.join("film").exists());
    // Whoever knows better says so.
    mirror.resume_as_new();
    sender.wait_complete(mirrors::LIMIT);
    assert!(there.exists() && !there.join("film").exists());
}
