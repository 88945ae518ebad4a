//! `mcp digest`, by the program: of files what b3sum prints, of folders names and contents and nothing else.

mod common;

use common::{file, run, text};
use serde_json::Value;
use std::fs::{self, File, FileTimes, Permissions};
use std::os::unix::fs::{FileExt, PermissionsExt, symlink};
use std::path::Path;
use std::time::SystemTime;

/// The digests that it prints, in order, without what stands behind them.
fn digests(args: &[&str]) -> Vec<String> {
    let output = run(&[&["digest"], args].concat());
    assert!(output.status.success(), "{output:?}");
    text(&output.stdout).lines().map(|line| line.split_once("  ").unwrap().0.to_owned()).collect()
}

fn digest(path: &Path) -> String {
    digests(&[path.to_str().unwrap()]).remove(0)
}

fn tree(at: &Path) {
    fs::create_dir_all(at.join("a/b")).unwrap();
    fs::create_dir(at.join("a.d")).unwrap();
    for n in 0..600_u32 {
        let path = at.join(["", "a", "a/b", "a.d"][n as usize % 4]).join(format!("f{n}"));
        fs::write(path, vec![n as u8; n as usize % 70]).unwrap();
    }
    file(&at.join("a/large"), 3_333_333);
    fs::hard_link(at.join("a/large"), at.join("a/b/again")).unwrap();
    symlink("../nowhere", at.join("a/b/link")).unwrap();
    let sparse = File::create(at.join("sparse")).unwrap();
    sparse.set_len(9 << 20).unwrap();
    sparse.write_all_at(b"data", 5 << 20).unwrap();
}

/// A copy of a tree that keeps names and contents, and nothing else.
fn copied(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    let mut entries: Vec<_> = fs::read_dir(from).unwrap().map(Result::unwrap).collect();
    entries.sort_by_key(|entry| std::cmp::Reverse(entry.file_name())); // listed in another order
    for entry in entries {
        let (kind, to) = (entry.file_type().unwrap(), to.join(entry.file_name()));
        if kind.is_dir() {
            copied(&entry.path(), &to);
        } else if kind.is_symlink() {
            symlink(fs::read_link(entry.path()).unwrap(), to).unwrap();
        } else {
            fs::write(&to, fs::read(entry.path()).unwrap()).unwrap();
            let long_ago = FileTimes::new().set_modified(SystemTime::UNIX_EPOCH);
            File::open(&to).unwrap().set_times(long_ago).unwrap();
            fs::set_permissions(&to, Permissions::from_mode(0o600)).unwrap();
        }
    }
}

#[test]
fn of_files_it_is_what_b3sum_prints() {
    let dir = tempfile::tempdir().unwrap();
    let mut expected = String::new();
    let mut args = vec!["digest".to_owned()];
    for (name, len) in [("empty", 0), ("small", 5), ("a\nname\\", 9), ("large", (19 << 20) + 77)] {
        let path = dir.path().join(name);
        file(&path, len);
        let hash = blake3::hash(&fs::read(&path).unwrap());
        let shown = path.to_str().unwrap();
        let escaped = shown.replace('\\', "\\\\").replace('\n', "\\n");
        let mark = if escaped == shown { "" } else { "\\" };
        expected.push_str(&[mark, hash.to_hex().as_str(), "  ", &escaped, "\n"].concat());
        args.push(shown.to_owned());
    }
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    let output = run(&args);
    assert!(output.status.success() && output.stderr.is_empty(), "{output:?}");
    assert_eq!(text(&output.stdout), expected);
}

#[test]
fn of_a_folder_only_names_and_contents_count() {
    let dir = tempfile::tempdir().unwrap();
    let (one, other) = (dir.path().join("one"), dir.path().join("other"));
    tree(&one);
    copied(&one, &other);
    let whole = digest(&one);
    let slash = format!("{}/", other.display());
    symlink(&other, dir.path().join("followed")).unwrap();
    let followed = dir.path().join("followed").display().to_string();
    assert_eq!(digests(&[other.to_str().unwrap(), &slash, &followed]), [&whole[..]; 3]);

    // Without links it is that of the tree without them, which is another.
    let without = digests(&["--no-links", one.to_str().unwrap()]).remove(0);
    fs::remove_file(other.join("a/b/link")).unwrap();
    assert_eq!(digest(&other), without);
    assert_ne!(without, whole);
    symlink("../nowhere", other.join("a/b/link")).unwrap();
    assert_eq!(digest(&other), whole);

    let changes: [fn(&Path); 5] = [
        |at| fs::rename(at.join("a/f1"), at.join("a/f1x")).unwrap(),
        |at| fs::rename(at.join("a/f5"), at.join("f5")).unwrap(),
        |at| {
            File::options()
                .write(true)
                .open(at.join("sparse"))
                .unwrap()
                .write_all_at(b"x", 9)
                .unwrap();
        },
        |at| drop(fs::create_dir(at.join("empty"))),
        |at| {
            fs::remove_file(at.join("a/b/link")).unwrap();
            fs::write(at.join("a/b/link"), "../nowhere").unwrap();
        },
    ];
    let mut seen = vec![whole];
    for change in changes {
        change(&other);
        let now = digest(&other);
        assert!(!seen.contains(&now));
        seen.push(now);
    }
}

#[test]
fn what_cannot_be_read_is_named_and_the_others_follow() {
    let dir = tempfile::tempdir().unwrap();
    let at = |name: &str| dir.path().join(name).display().to_string();
    fs::create_dir_all(dir.path().join("bad/in")).unwrap();
    fs::create_dir(dir.path().join("good")).unwrap();
    fs::write(dir.path().join("good/file"), "x").unwrap();
    // No receiver gives such a name, so no copy of it can have this digest.
    let refused = ".mcp-1-0123456789abcdef.part";
    fs::write(dir.path().join("bad/in").join(refused), "").unwrap();
    fs::write(dir.path().join("bad/file"), "y").unwrap();
    let paths = [at("missing"), at("good"), at("bad"), "/proc/version".to_owned(), at("good/file")];
    let paths: Vec<&str> = paths.iter().map(String::as_str).collect();
    let output = run(&[&["digest"], &paths[..]].concat());
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    let (printed, said) = (text(&output.stdout), text(&output.stderr));
    let lines: Vec<&str> = printed.lines().collect();
    assert!(lines.len() == 2 && lines[0].ends_with(paths[1]) && lines[1].ends_with(paths[4]));
    assert!(said.contains(&format!("{}: ", paths[0])), "{said}");
    assert!(said.contains(&format!("{}/in/{refused}: ", paths[2])), "{said}");
    assert!(said.contains("/proc/version says that it has 0 bytes and holds more"), "{said}");

    let output = run(&[&["digest", "--json"], &paths[..]].concat());
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    let objects: Vec<Value> =
        text(&output.stdout).lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(objects.len(), 5);
    for ((object, path), good) in objects.iter().zip(&paths).zip([false, true, false, false, true])
    {
        assert_eq!(object["path"], *path);
        assert_eq!(
            (object["digest"].is_string(), object["reason"].is_null()),
            (good, good),
            "{object}"
        );
    }
    let counted = |of: &Value| (of["entries"].as_u64().unwrap(), of["bytes"].as_u64().unwrap());
    assert_eq!((counted(&objects[1]), counted(&objects[4])), ((2, 1), (1, 1)));
    assert_eq!(objects[4]["digest"], blake3::hash(b"x").to_hex().as_str());
}

#[test]
fn a_path_is_needed_and_a_file_may_be_called_digest() {
    assert_eq!(run(&["digest"]).status.code(), Some(2));
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("digest");
    fs::write(&path, "x").unwrap();
    assert_eq!(digest(&path), blake3::hash(b"x").to_hex().as_str());
}
