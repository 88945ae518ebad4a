//! A dry run tells what a copy would change, in the letters of rsync(1), and changes nothing.

use crate::daemon::{Daemon, connect};
use rustix::fs::{CWD, FileType, Mode, mknodat};
use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::Write;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, SystemTime};
use transfer::message::{Check, Delete, Keep, Offer};
use transfer::send::{Delivered, Itemized};
use transfer::shown::shown;
use transfer::source::Source;
use transfer::tree::scan;
use transfer::tree::source::TreeSource;

/// Everything that can be seen of a tree without changing it, by its path: inode, mode, owner, times of modification
/// and of change, length.
fn seen(root: &Path) -> BTreeMap<String, [i64; 9]> {
    let (mut all, mut open) = (BTreeMap::new(), vec![root.to_path_buf()]);
    while let Some(path) = open.pop() {
        let meta = path.symlink_metadata().unwrap();
        let of = [
            meta.ino().cast_signed(),
            i64::from(meta.mode()),
            i64::from(meta.uid()),
            i64::from(meta.gid()),
            meta.mtime(),
            meta.mtime_nsec(),
            meta.ctime(),
            meta.ctime_nsec(),
            meta.len().cast_signed(),
        ];
        if meta.is_dir() {
            open.extend(fs::read_dir(&path).unwrap().map(|entry| entry.unwrap().path()));
        }
        all.insert(path.display().to_string(), of);
    }
    all
}

/// A moment long ago, after so many seconds.
fn moment(secs: u64) -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_secs(1_000_000_000 + secs)
}

fn file(path: &Path, content: &[u8], secs: u64, mode: u32) {
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    let mut file = File::create(path).unwrap();
    file.write_all(content).unwrap();
    file.set_modified(moment(secs)).unwrap();
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
}

fn folder(path: &Path, secs: u64, mode: u32) {
    fs::create_dir_all(path).unwrap();
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
    File::open(path).unwrap().set_modified(moment(secs)).unwrap();
}

/// Two folders in which everything differs in some way, of which one is to become the other.
fn differing(dir: &Path) {
    let (source, there) = (dir.join("source"), dir.join("root/there"));
    for (number, (length, time, mode)) in
        (0..2).flat_map(|l| (0..2).flat_map(move |t| (0..2).map(move |m| (l, t, m)))).enumerate()
    {
        let (name, folder) = (format!("both/{number}"), format!("folders/{number}"));
        file(&source.join(&name), b"content", 5, 0o644);
        let content = if length == 0 { &b"CONTENT"[..] } else { b"more content" };
        file(&there.join(&name), content, 5 + time, if mode == 0 { 0o644 } else { 0o600 });
        self::folder(&source.join(&folder), 5, 0o755);
        self::folder(&there.join(&folder), 5 + time, if mode == 0 { 0o755 } else { 0o700 });
    }
    for name in ["new/a/b", "new/c", "same", "empty", "larger", "over a link", "two"] {
        let len = if name == "larger" { 3 << 20 } else { usize::from(name != "empty") };
        file(&source.join(name), &vec![7; len], 7, 0o640);
    }
    file(&there.join("same"), &[7], 7, 0o640);
    for (name, secs) in [("nothing", 7), ("nothing later", 8)] {
        file(&source.join(name), b"", 7, 0o640);
        file(&there.join(name), b"", secs, 0o640);
    }
    // Two names of one file at both ends.
    for (top, content) in [(&source, &b"as it is"[..]), (&there, b"as it was before")] {
        file(&top.join("pair"), content, 7 + content.len() as u64, 0o640);
        fs::hard_link(top.join("pair"), top.join("pair more")).unwrap();
    }
    file(&there.join("larger"), &vec![8; 2 << 20], 7, 0o640);
    symlink("to", source.join("new link")).unwrap();
    for (name, says) in [("link", "to"), ("other link", "elsewhere")] {
        symlink("to", source.join(name)).unwrap();
        symlink(says, there.join(name)).unwrap();
    }
    symlink("x", there.join("over a link")).unwrap();
    symlink("to", source.join("link over")).unwrap();
    file(&there.join("link over"), b"file", 3, 0o644);
    fs::hard_link(source.join("two"), source.join("two more")).unwrap();
    fs::hard_link(source.join("same"), source.join("same more")).unwrap();
    for name in ["extra", "both/extra", "extras/deep/x", "folders/0/y"] {
        file(&there.join(name), b"extra", 1, 0o644);
    }
    for (name, secs) in [("source", 20), ("root/there", 21)] {
        let top = dir.join(name);
        for below in ["both", "folders", "folders/0"] {
            File::open(top.join(below)).unwrap().set_modified(moment(9)).unwrap();
        }
        folder(&top, secs, 0o755);
    }
    for name in ["link", "other link"] {
        let both = [source.join(name), there.join(name)].map(|path| path.display().to_string());
        let touched = Command::new("touch").args(["-h", "-d", "@1000000000"]).args(both).status();
        assert!(touched.unwrap().success());
    }
}

/// Attributes and lists on files and folders of both, which are the same, differ, or are missing at either.
fn attributed(dir: &Path) {
    let list = |perm: u16| {
        let entries: [(u16, u16, u32); 5] = [
            (1, 6, u32::MAX),
            (2, perm, 1),
            (4, 4, u32::MAX),
            (16, 6, u32::MAX),
            (32, 4, u32::MAX),
        ];
        let entries = entries.iter().flat_map(|(tag, perm, id)| {
            [&tag.to_le_bytes()[..], &perm.to_le_bytes(), &id.to_le_bytes()].concat()
        });
        2_u32.to_le_bytes().into_iter().chain(entries).collect::<Vec<u8>>()
    };
    let (source, there) = (dir.join("source"), dir.join("root/there"));
    let user = |value: &str| ("user.a", value.as_bytes().to_vec());
    let access = |perm| ("system.posix_acl_access", list(perm));
    let default = |perm| ("system.posix_acl_default", list(perm));
    for (number, (here, stands)) in [
        (vec![user("1")], vec![user("1")]),
        (vec![user("1")], vec![user("2")]),
        (vec![user("1")], vec![]),
        (vec![], vec![user("1")]),
        (vec![access(6)], vec![access(6)]),
        (vec![access(6)], vec![access(4)]),
        (vec![access(6)], vec![]),
        (vec![], vec![access(6)]),
        (vec![default(6)], vec![default(4)]),
        (vec![access(6), user("1")], vec![default(6), user("2")]),
    ]
    .into_iter()
    .enumerate()
    {
        for (top, all) in [(&source, here), (&there, stands)] {
            let (path, below) =
                (top.join(format!("attrs/{number}")), top.join(format!("attrs/d{number}")));
            file(&path, b"content", 5, 0o644);
            folder(&below, 5, 0o755);
            for (name, value) in all {
                let set = |path| {
                    rustix::fs::setxattr(path, name, &value, rustix::fs::XattrFlags::empty())
                };
                set(&below).unwrap();
                if name != "system.posix_acl_default" {
                    set(&path).unwrap();
                }
            }
        }
    }
    for top in [source, there] {
        folder(&top.join("attrs"), 5, 0o755);
        File::open(&top).unwrap().set_modified(moment(20)).unwrap();
    }
}

struct Asked {
    keep: Keep,
    check: Check,
    update: bool,
    delete: bool,
    dry: bool,
}

const ALL: Keep = Keep {
    perms: true,
    times: true,
    owner: true,
    group: true,
    numeric_ids: false,
    xattrs: false,
    acls: false,
};

/// Copies what is in the source, and gives the lines that the letters come to.
fn copy(dir: &Path, daemon: &Daemon, to: &str, asked: &Asked) -> (Delivered, Vec<String>) {
    let options = scan::Options {
        links: true,
        hard_links: true,
        devices: true,
        specials: true,
        deletes: asked.delete,
        digests: asked.check == Check::Digest,
        xattrs: asked.keep.xattrs,
        acls: asked.keep.acls,
        ..scan::Options::default()
    };
    let path = format!("{}/source/", dir.display());
    let source = TreeSource::open(&[Path::new(&path)], options, &std::env::temp_dir()).unwrap();
    let Asked { keep, check, update, dry, .. } = *asked;
    let delete = asked.delete.then(Delete::default);
    let to = to.into();
    let offer = Offer { to, keep, check, update, delete, dry, itemize: true, ..Offer::default() };
    let outcome = transfer::send(&connect(daemon.addr, None), &source, &[offer], &|_| ());
    assert!(outcome.failure.is_none(), "{:?}", outcome.failure);
    if dry {
        let list = source.progress().span.min(2 << 20);
        let sent = outcome.sent.group_bytes + outcome.sent.unicast_bytes;
        // Who is refused at once may have listed nothing.
        assert!(sent == 0 || sent < list, "{sent} bytes were sent");
    }
    let member = outcome.members.into_iter().next().unwrap();
    let mut lines = Vec::new();
    let mut line = |entry: Itemized| {
        let Itemized { path, kind, to, changes, .. } = entry;
        let letters = changes[0].1.letters(kind);
        let name = match to {
            Some((to, true)) => format!("{} -> {}", shown(&path), shown(&to)),
            Some((to, false)) => format!("{} => {}", shown(&path), shown(&to)),
            None if kind == 'd' && path.is_empty() => "./".to_owned(),
            None if kind == 'd' => format!("{}/", shown(&path)),
            None => shown(&path),
        };
        lines.push(format!("{letters} {name}"));
        Ok(())
    };
    source.itemized(&[&member.said.changed], &mut line).unwrap();
    for (path, is_folder) in member.said.changed.gone() {
        lines.push(format!("*deleting   {}{}", shown(path), if *is_folder { "/" } else { "" }));
    }
    (member, lines)
}

/// What rsync(1) says of the same. To a folder it writes `>`, to another host `<`.
fn rsync(dir: &Path, to: &str, words: &[&str]) -> Vec<String> {
    let mut rsync = Command::new("rsync");
    rsync.args(["-n", "-i", "-r", "-l", "-H"]).args(words).current_dir(dir);
    let out = rsync.args(["source/", to]).output().unwrap();
    assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
    let text = String::from_utf8(out.stdout).unwrap();
    let lines = text.lines().filter(|line| !line.starts_with("created "));
    lines.map(|line| line.replacen('>', "<", usize::from(line.starts_with('>')))).collect()
}

fn case(last: u8, words: &[&str], asked: &Asked) -> Vec<String> {
    let mut all = Vec::new();
    let dir = tempfile::tempdir().unwrap();
    differing(dir.path());
    if asked.keep.acls {
        attributed(dir.path());
    }
    let root = dir.path().join("root");
    let daemon = Daemon::start(&root, last, &["--allow", "owner,setuid,delete"]);
    let before = seen(&root);
    for to in ["there", "nowhere/new"] {
        let (member, mut own) = copy(dir.path(), &daemon, to, asked);
        assert_eq!((member.failure(), seen(&root) == before), (None, true), "{to}");
        let mut told = rsync(dir.path(), &format!("root/{to}"), words);
        for line in own.iter_mut().chain(&mut told) {
            // Which name of a file is the first of them is chosen otherwise.
            let is_new = to != "there" && (line.contains(" same") || line.contains(" pair"));
            if line.contains(" two") || is_new {
                line.truncate(11);
            }
            // With -n rsync(1) still sees one file under both names, and so tells no first name of it.
            if let Some(short) = line.strip_suffix(" => pair") {
                *line = short.to_owned();
            }
        }
        // With -u rsync(1) before 3.5 leaves a symbolic link that is newer than the file that is to take its place.
        let differs =
            |line: &String| asked.update && to == "there" && line.ends_with(" over a link");
        own.retain(|line| !differs(line));
        told.retain(|line| !differs(line));
        own.sort();
        told.sort();
        let differ: Vec<_> = own
            .iter()
            .filter(|line| !told.contains(line))
            .map(|line| format!("here  {line}"))
            .chain(told.iter().filter(|line| !own.contains(line)).map(|l| format!("rsync {l}")))
            .collect();
        all.extend(
            (!differ.is_empty()).then(|| format!("{words:?} to {to}:\n{}", differ.join("\n"))),
        );
    }
    all
}

#[test]
fn letters_are_those_of_rsync() {
    let of = |keep, check| Asked { keep, check, update: false, delete: false, dry: true };
    let (none, mut all) = (Keep::default(), Vec::new());
    all.extend(case(70, &["-ptgo"], &of(ALL, Check::Quick)));
    all.extend(case(70, &["-ptgo", "--delete"], &Asked { delete: true, ..of(ALL, Check::Quick) }));
    all.extend(case(70, &["-ptgo", "-c"], &of(ALL, Check::Digest)));
    all.extend(case(70, &["-ptgo", "-I"], &of(ALL, Check::None)));
    all.extend(case(70, &["-ptgo", "-u"], &Asked { update: true, ..of(ALL, Check::Quick) }));
    all.extend(case(70, &["-t"], &of(Keep { times: true, ..none }, Check::Quick)));
    all.extend(case(70, &["-p"], &of(Keep { perms: true, ..none }, Check::Quick)));
    all.extend(case(70, &["-c"], &of(none, Check::Digest)));
    let lists = Keep { xattrs: true, acls: true, ..ALL };
    all.extend(case(70, &["-ptgoAX"], &of(lists, Check::Quick)));
    all.extend(case(70, &["-ptgoAX", "-c"], &of(lists, Check::Digest)));
    assert!(all.is_empty(), "{}", all.join("\n"));
}

#[test]
fn a_copy_tells_what_its_dry_run_has_told_and_leaves_nothing_to_tell() {
    let dir = tempfile::tempdir().unwrap();
    differing(dir.path());
    attributed(dir.path());
    let root = dir.path().join("root");
    let daemon = Daemon::start(&root, 71, &["--allow", "owner,setuid,delete"]);
    let keep = Keep { xattrs: true, acls: true, ..ALL };
    let asked = |dry| Asked { keep, check: Check::Quick, update: false, delete: true, dry };
    for to in ["there", "new/folder"] {
        let before = seen(&root);
        let (would, told) = copy(dir.path(), &daemon, to, &asked(true));
        assert!(seen(&root) == before, "{to}");
        let (was, done) = copy(dir.path(), &daemon, to, &asked(false));
        assert_eq!((would.failure(), was.failure()), (None, None));
        assert_eq!(told, done, "{to}");
        assert!(told.len() > 20, "{told:#?}");
        // The report of a dry run is that of the copy, but for links of which the first name came anew.
        let [would, was] = [would, was].map(|member| member.said.report.unwrap());
        assert_eq!((would.bytes, would.deleted), (was.bytes, was.deleted));
        assert_eq!(would, was, "{to}");
        let before = seen(&root);
        let (member, told) = copy(dir.path(), &daemon, to, &asked(true));
        assert_eq!((member.failure(), told), (None, Vec::new()), "{to}");
        assert!(seen(&root) == before, "{to}");
    }
    let (_, out, said) = daemon.terminate();
    assert!(out.lines().next().unwrap().contains("\"dry_run\":"), "{out}");
    assert!(said.contains("there: a dry run from 127.0.0.1"), "{said}");
}

#[test]
fn what_fails_in_the_end_is_not_told_as_changed() {
    let dir = tempfile::tempdir().unwrap();
    let (source, there) = (dir.path().join("source"), dir.path().join("root/there"));
    for name in ["a", "f", "large", "z"] {
        let len = if name == "large" { 3 << 20 } else { 1 };
        file(&source.join(name), &vec![7; len], 7, 0o644);
    }
    fs::hard_link(source.join("f"), source.join("f more")).unwrap();
    for name in ["f/x", "large/x"] {
        file(&there.join(name), b"in the way", 1, 0o644);
    }
    let daemon = Daemon::start(&dir.path().join("root"), 73, &["--allow", "owner,setuid"]);
    let asked = Asked { keep: ALL, check: Check::Quick, update: false, delete: false, dry: false };
    let (member, told) = copy(dir.path(), &daemon, "there", &asked);
    let failed: Vec<_> = member.failures().map(|failed| shown(&failed.path)).collect();
    assert_eq!(failed.iter().collect::<std::collections::BTreeSet<_>>().len(), 3, "{failed:?}");
    let files: Vec<_> = told.iter().filter(|line| line.starts_with("<f")).collect();
    assert_eq!(files, ["<f+++++++++ a", "<f+++++++++ z"], "{told:?}");
    assert!(!told.iter().any(|line| line.starts_with('h')), "{told:?}");
}

#[test]
fn what_a_copy_would_refuse_its_dry_run_refuses() {
    let dir = tempfile::tempdir().unwrap();
    differing(dir.path());
    let root = dir.path().join("root");
    fs::remove_file(root.join("there/larger")).unwrap();
    file(&root.join("there/larger/x"), b"in the way", 1, 0o644);
    fs::remove_dir_all(root.join("there/folders/0")).unwrap();
    file(&root.join("there/folders/0"), b"in the way", 1, 0o644);
    let daemon = Daemon::start(&root, 72, &[]);
    let before = seen(&root);
    let asked = Asked { keep: ALL, check: Check::Quick, update: false, delete: true, dry: true };
    let (member, told) = copy(dir.path(), &daemon, "there", &asked);
    assert!(seen(&root) == before);
    let failed: Vec<_> = member
        .failures()
        .map(|failed| format!("{}: {}", shown(&failed.path), failed.why))
        .collect();
    assert_eq!(
        failed,
        [
            "folders/0: there/folders/0 is refused: it is a file",
            "larger: there/larger is refused: it is a folder",
        ]
    );
    assert!(!told.iter().any(|line| line.contains("larger") || line.contains("deleting")));
    assert!(member.said.notes.iter().any(|note| note.contains("allow=delete")), "{member:?}");
    let (member, _) = copy(dir.path(), &daemon, "there/same", &asked);
    assert_eq!(member.failure().unwrap(), "there/same is refused: it is a file");
    let (member, _) = copy(dir.path(), &daemon, "../there", &asked);
    assert!(member.failure().unwrap().contains("refused"));
    assert!(seen(&root) == before);
}

/// Pipes and sockets at both ends, each of which is to become another, or to come anew.
fn specials(dir: &Path) {
    let (source, there) = (dir.join("source"), dir.join("root/there"));
    let pipe = |path: &Path, mode: u32| {
        mknodat(CWD, path, FileType::Fifo, Mode::RUSR, 0).unwrap();
        fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
    };
    for (top, mode) in [(&source, 0o640), (&there, 0o600)] {
        fs::create_dir_all(top).unwrap();
        pipe(&top.join("named"), mode);
        fs::hard_link(top.join("named"), top.join("named too")).unwrap();
        pipe(&top.join("same"), 0o600);
    }
    for name in ["new", "other", "over a file", "over a link"] {
        pipe(&source.join(name), 0o600);
    }
    for name in ["other", "further"] {
        drop(UnixListener::bind(there.join(name)).unwrap());
        fs::set_permissions(there.join(name), fs::Permissions::from_mode(0o600)).unwrap();
    }
    file(&there.join("over a file"), b"file", 1, 0o600);
    symlink("to", there.join("over a link")).unwrap();
    pipe(&source.join("first"), 0o600);
    fs::hard_link(source.join("first"), source.join("further")).unwrap();
    pipe(&there.join("extra"), 0o600);
    for top in [&source, &there] {
        let all = fs::read_dir(top).unwrap().map(|entry| entry.unwrap().path());
        let touched = Command::new("touch").args(["-h", "-d", "@1000000000"]).args(all).status();
        assert!(touched.unwrap().success());
        folder(top, 20, 0o755);
    }
}

#[test]
fn of_pipes_and_sockets_a_dry_run_tells_what_a_copy_does() {
    let dir = tempfile::tempdir().unwrap();
    specials(dir.path());
    let root = dir.path().join("root");
    let daemon = Daemon::start(&root, 78, &["--allow", "device,delete"]);
    let keep = Keep { owner: false, group: false, ..ALL };
    let asked = |dry| Asked { keep, check: Check::Quick, update: false, delete: true, dry };
    let before = seen(&root);
    let (would, mut told) = copy(dir.path(), &daemon, "there", &asked(true));
    assert!(seen(&root) == before);
    assert_eq!(would.failure(), None, "{would:?}");
    let (was, mut done) = copy(dir.path(), &daemon, "there", &asked(false));
    assert_eq!(was.failure(), None, "{was:?}");
    // A further name whose first name came anew is told by the copy alone.
    for lines in [&mut told, &mut done] {
        lines.retain(|line| !line.contains("named too"));
    }
    assert_eq!(told, done);
    let expected = [
        "cS+++++++++ first",
        "hf          further => first",
        "cS...p..... named",
        "cS+++++++++ new",
        "cS          other",
        "cS+++++++++ over a file",
        "cS+++++++++ over a link",
        "*deleting   extra",
    ];
    assert_eq!(told, expected);
    let (member, told) = copy(dir.path(), &daemon, "there", &asked(true));
    assert_eq!((member.failure(), told), (None, Vec::new()));
}

/// Attributes of a file that has other names are not set on those: it is sent.
#[test]
fn a_dry_run_foresees_that_a_file_with_other_names_is_sent_for_its_attributes() {
    let dir = tempfile::tempdir().unwrap();
    let (source, there) = (dir.path().join("source"), dir.path().join("root/there"));
    for (top, value) in [(&source, "1"), (&there, "2")] {
        for name in ["alone", "elsewhere", "the same"] {
            let path = top.join(name);
            file(&path, b"content", 5, 0o644);
            let value = if name == "the same" { "1" } else { value };
            let flags = rustix::fs::XattrFlags::empty();
            rustix::fs::setxattr(&path, "user.a", value.as_bytes(), flags).unwrap();
        }
        folder(top, 20, 0o755);
    }
    fs::create_dir(dir.path().join("root/other")).unwrap();
    for name in ["elsewhere", "the same"] {
        fs::hard_link(there.join(name), dir.path().join("root/other").join(name)).unwrap();
    }
    let daemon = Daemon::start(&dir.path().join("root"), 79, &[]);
    let keep = Keep { owner: false, group: false, xattrs: true, ..ALL };
    let asked = |dry| Asked { keep, check: Check::Quick, update: false, delete: false, dry };
    let (would, told) = copy(dir.path(), &daemon, "there", &asked(true));
    assert_eq!(told, [".f........x alone", "<f........x elsewhere"]);
    let (was, done) = copy(dir.path(), &daemon, "there", &asked(false));
    assert_eq!(told, done);
    assert_eq!(would.said.report.unwrap(), was.said.report.unwrap());
}
