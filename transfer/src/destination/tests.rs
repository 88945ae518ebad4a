use super::*;
use crate::sink::FileSink;
use crate::sweep::{Swept, sweep};
use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::os::unix::net::UnixListener;
use tempfile::TempDir;

fn root() -> (TempDir, Root) {
    let dir = tempfile::tempdir().unwrap();
    let root = Root::open(dir.path()).unwrap();
    (dir, root)
}

/// Every file and folder below, relative, sorted.
fn tree(dir: &Path) -> Vec<String> {
    let mut found = Vec::new();
    let mut open = vec![dir.to_owned()];
    while let Some(folder) = open.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            found.push(path.strip_prefix(dir).unwrap().display().to_string());
            if path.is_dir() && !path.is_symlink() {
                open.push(path);
            }
        }
    }
    found.sort();
    found
}

fn put(root: &Root, to: &str, bytes: &[u8]) -> Result<PathBuf, SinkError> {
    let place = root.place(to.as_bytes(), b"name")?;
    let mut sink = FileSink::create(place, bytes.len() as u64)?;
    sink.put(0, bytes)?;
    Ok(sink.finish(blake3::hash(bytes))?.path)
}

#[test]
fn a_path_means_what_it_means_to_scp() {
    for (to, expected) in [
        ("", "name"),
        ("/", "name"),
        (".", "name"),
        ("folder", "folder/name"),
        ("folder/", "folder/name"),
        ("/folder", "folder/name"),
        ("folder/.", "folder/name"),
        ("other", "other"),
        ("/other", "other"),
        ("./other", "other"),
        ("folder//other", "folder/other"),
        ("new/", "new/name"),
        ("new/deep/other", "new/deep/other"),
        ("-rf", "-rf"),
        ("a b\n", "a b\n"),
    ] {
        let (dir, root) = root();
        fs::create_dir(dir.path().join("folder")).unwrap();
        let path = put(&root, to, b"bytes").unwrap();
        assert_eq!(path, dir.path().join(expected), "{to:?}");
        assert_eq!(fs::read(&path).unwrap(), b"bytes");
        let left: Vec<_> = tree(dir.path()).into_iter().filter(|p| p.contains(".mcp")).collect();
        assert!(left.is_empty(), "{left:?}");
    }
}

#[test]
fn nothing_leads_out_of_the_root() {
    let (dir, root) = root();
    let temporary = "a/.mcp-1-0123456789abcdef.part";
    for to in ["..", "../x", "a/../../x", "/..", "a/..", "x\0y", temporary] {
        let error = root.place(to.as_bytes(), b"name").unwrap_err();
        assert!(matches!(error, SinkError::Name { .. }), "{to:?}: {error}");
    }
    for long in ["x/".repeat(PATH_MAX), "x/".repeat(MAX_FOLDERS + 1)] {
        assert!(matches!(root.place(long.as_bytes(), b"n"), Err(SinkError::Path(_))));
    }
    assert!(tree(dir.path()).is_empty());
}

#[test]
fn what_is_no_file_is_refused_and_left_alone() {
    let (dir, root) = root();
    let at = |name: &str| dir.path().join(name);
    rustix::fs::mknodat(CWD, at("pipe"), FileType::Fifo, Mode::RWXU, 0).unwrap();
    let _socket = UnixListener::bind(at("socket")).unwrap();
    fs::write(at("file"), b"old").unwrap();
    symlink("file", at("link")).unwrap();
    fs::create_dir_all(at("folder/name")).unwrap();
    symlink("folder", at("linked")).unwrap();
    let before = tree(dir.path());
    for (to, why) in [
        ("pipe", "pipe is refused: it is a pipe"),
        ("socket", "socket is refused: it is a socket"),
        ("link", "link is refused: it is a symbolic link"),
        ("folder", "folder/name is refused: it is a folder"),
        ("linked", "linked is refused: it is a symbolic link"),
        ("linked/", "linked is refused: it is a symbolic link"),
        ("linked/x", "linked is refused: it is a symbolic link"),
        ("file/", "file is refused: it is not a folder"),
        ("file/x", "file is refused: it is not a folder"),
        ("pipe/x", "pipe is refused: it is a pipe"),
    ] {
        assert_eq!(root.place(to.as_bytes(), b"name").unwrap_err().to_string(), why);
    }
    assert_eq!(tree(dir.path()), before);
    assert_eq!(fs::read(at("file")).unwrap(), b"old");
}

/// Between the offer and the end, something comes to stand at the destination.
#[test]
fn what_came_to_stand_there_meanwhile_is_not_replaced() {
    type Change = fn(&Path);
    let changes: [(&str, Change); 3] = [
        ("out", |at| fs::create_dir(at.join("out")).unwrap()),
        ("out", |at| symlink("/etc/passwd", at.join("out")).unwrap()),
        ("new/out", |at| symlink("/tmp", at.join("new")).unwrap()),
    ];
    for (to, change) in changes {
        let (dir, root) = root();
        let sink = FileSink::create(root.place(to.as_bytes(), b"n").unwrap(), 0).unwrap();
        change(dir.path());
        let before: Vec<_> =
            tree(dir.path()).into_iter().filter(|name| !name.starts_with(".mcp")).collect();
        let error = sink.finish(blake3::hash(b"")).unwrap_err();
        assert!(matches!(error, SinkError::Refused { .. }), "{error}");
        assert_eq!(tree(dir.path()), before);
    }
}

#[test]
fn folders_are_created_at_the_end_and_only_for_a_file() {
    let (dir, root) = root();
    let place = root.place(b"a/b/c", b"n").unwrap();
    let sink = FileSink::create(place, 0).unwrap();
    assert_eq!(tree(dir.path()).len(), 1, "the temporary file alone");
    drop(sink);
    assert!(tree(dir.path()).is_empty());
    let place = root.place(b"a/b/c", b"n").unwrap();
    place.settle(|_| Err(Errno::IO)).unwrap_err();
    assert!(tree(dir.path()).is_empty(), "what was created went again");
    fs::create_dir(dir.path().join("a")).unwrap();
    place.settle(|_| Err(Errno::IO)).unwrap_err();
    assert_eq!(tree(dir.path()), ["a"], "what was there stays");
    put(&root, "a/b/c", b"1").unwrap();
    assert_eq!(tree(dir.path()), ["a", "a/b", "a/b/c"]);
}

/// Whoever moves the folder takes what is open in it along: it is neither reached nor reported.
#[test]
fn a_folder_that_is_moved_away_gets_no_file() {
    let (dir, root) = root();
    let outside = tempfile::tempdir().unwrap();
    fs::create_dir(dir.path().join("dir")).unwrap();
    let sink = FileSink::create(root.place(b"dir/out", b"n").unwrap(), 0).unwrap();
    fs::rename(dir.path().join("dir"), outside.path().join("dir")).unwrap();
    fs::create_dir(dir.path().join("dir")).unwrap();
    let error = sink.finish(blake3::hash(b"")).unwrap_err().to_string();
    assert!(error.contains("moved or replaced"), "{error}");
    assert_eq!(
        (tree(dir.path()), tree(outside.path())),
        (vec!["dir".to_owned()], vec!["dir".to_owned()])
    );
}

/// The sender was told that it has failed: the old file stays.
#[test]
fn what_is_not_wanted_any_more_replaces_nothing() {
    let (dir, root) = root();
    fs::write(dir.path().join("out"), b"old").unwrap();
    let sink = FileSink::create(root.place(b"out", b"n").unwrap(), 0).unwrap();
    let unwanted = || Err("the daemon is shutting down".to_owned());
    let error = sink.finish_if(blake3::hash(b""), unwanted).unwrap_err().to_string();
    assert!(error.contains("shutting down"), "{error}");
    assert_eq!(fs::read(dir.path().join("out")).unwrap(), b"old");
    assert_eq!(tree(dir.path()), ["out"]);
}

#[test]
fn two_to_the_same_path_are_never_mixed() {
    let (dir, root) = root();
    let sinks = [b"first".as_slice(), b"second"].map(|bytes| {
        let place = root.place(b"same", b"n").unwrap();
        let mut sink = FileSink::create(place, bytes.len() as u64).unwrap();
        sink.put(0, bytes).unwrap();
        (sink, bytes)
    });
    for (sink, bytes) in sinks {
        sink.finish(blake3::hash(bytes)).unwrap();
        assert_eq!(fs::read(dir.path().join("same")).unwrap(), bytes);
    }
    assert_eq!(tree(dir.path()), ["same"]);
}

#[test]
fn nobody_else_reads_a_file_before_it_is_whole() {
    let (dir, root) = root();
    let sink = FileSink::create(root.place(b"out", b"n").unwrap(), 0).unwrap();
    let mode = |name: &str| fs::metadata(dir.path().join(name)).unwrap().permissions().mode();
    assert_eq!(mode(&tree(dir.path())[0]) & 0o777, 0o600);
    sink.finish(blake3::hash(b"")).unwrap();
    assert_eq!(mode("out") & 0o777, 0o666 & !umask());
}

#[test]
fn a_sweep_takes_what_nobody_holds() {
    let (dir, root) = root();
    let left = ".mcp-1-0123456789abcdef.part";
    fs::create_dir_all(dir.path().join("a/b")).unwrap();
    symlink("/", dir.path().join("a/out")).unwrap();
    for name in [left, "a/.mcp-2-0123456789abcdef.part", "a/b/.mcp-3-00000000000000ff.part"] {
        fs::write(dir.path().join(name), b"x").unwrap();
    }
    for name in ["file", ".mcp-notes.part", "a/.mcp-1-0123456789abcdef.partial"] {
        fs::write(dir.path().join(name), b"x").unwrap();
    }
    fs::create_dir(dir.path().join("a/.mcp-9-0123456789abcdef.part")).unwrap();
    let sink = FileSink::create(root.place(b"a/out2", b"n").unwrap(), 5).unwrap();
    assert_eq!(sweep(&root, &|| false), Swept { removed: 3, failed: 0 });
    assert_eq!(sweep(&root, &|| false), Swept::default());
    drop(sink);
    let rest = [
        ".mcp-notes.part",
        "a",
        "a/.mcp-1-0123456789abcdef.partial",
        "a/.mcp-9-0123456789abcdef.part",
        "a/b",
        "a/out",
        "file",
    ];
    assert_eq!(tree(dir.path()), rest);
}

#[test]
fn a_sweep_bears_a_deep_tree() {
    let (dir, root) = root();
    let deep = "d/".repeat(1000);
    let mut at = root.dir.try_clone().unwrap();
    for _ in deep.split_terminator('/') {
        mkdirat(&at, "d", Mode::RWXU).unwrap();
        at = openat(&at, "d", FOLDER, Mode::empty()).unwrap();
    }
    fs::write(dir.path().join("d/.mcp-2-0123456789abcdef.part"), b"x").unwrap();
    assert_eq!(sweep(&root, &|| false), Swept { removed: 1, failed: 1 });
}
