//! Names that are one on some file systems.

use super::trees::ALLOW;
use crate::copy::copy;
use crate::daemon::Daemon;
use crate::network::Lab;
use crate::shell::try_run;
use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

/// A folder whose file system folds names: a mounted exFAT, a folder of ext4 with the flag `casefold`. Without it an
/// NTFS is mounted by FUSE, which needs no more than /dev/fuse and the package ntfs-3g: ext4 folds only where the kernel
/// knows Unicode (`CONFIG_UNICODE`), and a loop device is not to be had in a user namespace.
const VARIABLE: &str = "FOLDING_FOLDER";
/// Bytes of the image of a file system, more than the scenario's files take.
const IMAGE: u64 = 64 << 20;
/// Most folding file systems take some of these pairs for one name, none takes all.
const PAIRS: [(&str, &str); 12] = [
    ("a", "A"),
    ("L", "l"),
    ("é", "e\u{301}"),
    ("É1", "é1"),
    ("ß", "SS"),
    ("\u{212a}", "k"),
    ("ς", "Σ"),
    ("ǅ", "ǆ"),
    ("ÿ", "Ÿ"),
    ("x", "x."),
    ("b\u{200d}", "b"),
    ("longfilename.txt", "LONGFI~1.TXT"),
];

/// A folder whose file system folds names, below which the receiver's root stands.
struct Ground {
    folder: PathBuf,
    mounted: bool,
}

impl Ground {
    /// As the variable says, or one that is mounted for this.
    fn new(lab: &Lab) -> Result<Self, String> {
        if let Some(folder) = std::env::var_os(VARIABLE) {
            return Ok(Self { folder: folder.into(), mounted: false });
        }
        let (image, folder) = (lab.dir.path().join("image"), lab.dir.path().join("folding"));
        fs::create_dir(&folder).unwrap();
        fs::File::create(&image).unwrap().set_len(IMAGE).unwrap();
        let (image, at) = (image.display(), folder.display());
        try_run(&format!("mkfs.ntfs -F -Q {image}"))?;
        try_run(&format!("lowntfs-3g -o ignore_case {image} {at}"))?;
        Ok(Self { folder, mounted: true })
    }
}

impl Drop for Ground {
    fn drop(&mut self) {
        if self.mounted {
            let unmounted = try_run(&format!("umount {}", self.folder.display()));
            if let Err(why) = unmounted {
                eprintln!("{why}");
            }
        }
    }
}

/// What each file holds: its path, and of one pair more than a batch of small ones takes.
fn content(path: &str) -> String {
    path.repeat(if path.ends_with(['L', 'l']) { 400_000 } else { 1 })
}

/// Writes them all; the paths of the files.
fn write(source: &Path) -> BTreeSet<String> {
    let mut all = BTreeSet::new();
    for folder in ["", "new/", "old/"] {
        fs::create_dir_all(source.join(folder)).unwrap();
        for name in PAIRS.iter().flat_map(|(one, other)| [one, other]) {
            let path = format!("{folder}{name}");
            fs::write(source.join(&path), content(&path)).unwrap();
            all.insert(path);
        }
    }
    for folder in ["D", "d"] {
        fs::create_dir(source.join(folder)).unwrap();
        let path = format!("{folder}/in");
        fs::write(source.join(&path), content(&path)).unwrap();
        all.insert(path);
    }
    all
}

/// Whatever folds there: each entry is in place with its own bytes, or is told as one that is not.
pub(super) fn nothing_replaces_another_entry_without_a_word() {
    let lab = Lab::bridge(1);
    let ground = match Ground::new(&lab) {
        Ok(ground) => ground,
        Err(why) => {
            assert!(!std::env::var("CI").is_ok_and(|ci| ci == "true"), "no names fold here: {why}");
            eprintln!("not run: no names fold here: {why}");
            return;
        }
    };
    let root = tempfile::tempdir_in(&ground.folder).unwrap();
    let secret = lab.secret().display().to_string();
    let trust = ["--secret-file", &secret, ALLOW[0], ALLOW[1]];
    let _daemon = Daemon::start_trusting(&lab, 1, root.path(), &[], &trust);
    let source = lab.dir.path().join("source");
    let all = write(&source);
    fs::create_dir_all(root.path().join("to/old")).unwrap();
    // The first puts them there, the others find them.
    let mut told = Vec::new();
    for _ in 0..3 {
        let args = ["-a", &format!("{}/", source.display()), &format!("{}:to/", lab.v4(1))];
        let done = copy(&lab, &args);
        let failures = done.hosts[0]["failures"].as_array().cloned().unwrap_or_default();
        let failed: BTreeSet<String> =
            failures.iter().map(|entry| entry["entry"].as_str().unwrap().to_owned()).collect();
        for entry in &failures {
            let why = entry["reason"].as_str().unwrap();
            let is_known = ["are one name", "takes for the same", "its folder is not in place"];
            assert!(is_known.iter().any(|known| why.contains(known)), "{entry}");
        }
        for path in all.iter().filter(|path| !failed.contains(*path)) {
            let there = fs::read_to_string(root.path().join("to").join(path));
            assert!(there.is_ok_and(|there| there == content(path)), "{path} of {failed:?}");
        }
        told.push(failed);
    }
    eprintln!("not in place: {:?}", told[0]);
    assert_eq!(told[0], told[1]);
    assert!(!told[0].is_empty());
}
