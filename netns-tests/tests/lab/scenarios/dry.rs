//! A dry run says what hosts lack, those that agree in one line, and leaves all of them as they are.

use crate::daemon::Daemon;
use crate::network::Lab;
use crate::programs;
use crate::shell::{find, run};
use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::process::Command;

/// Inode, times of modification and of change, by path.
fn seen(root: &Path) -> BTreeMap<String, [i64; 5]> {
    let (mut all, mut open) = (BTreeMap::new(), vec![root.to_path_buf()]);
    while let Some(path) = open.pop() {
        let meta = path.symlink_metadata().unwrap();
        let times = [meta.mtime(), meta.mtime_nsec(), meta.ctime(), meta.ctime_nsec()];
        if meta.is_dir() {
            open.extend(fs::read_dir(&path).unwrap().map(|entry| entry.unwrap().path()));
        }
        let [a, b, c, d] = times;
        all.insert(path.display().to_string(), [meta.ino().cast_signed(), a, b, c, d]);
    }
    all
}

/// Runs `mcp` without `--json`: its exit code and what it writes.
fn mcp(lab: &Lab, args: &[&str]) -> (Option<i32>, String, String) {
    let secret = lab.secret().display().to_string();
    let out = Command::new(find("ip").unwrap())
        .args(["netns", "exec", &lab.ns(0)])
        .arg(programs::path("mcp"))
        .args(["--secret-file", &secret])
        .args(args)
        .output()
        .unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    (out.status.code(), text(out.stdout), text(out.stderr))
}

pub(super) fn hosts_that_agree_share_a_line() {
    let lab = Lab::bridge(3);
    let source = lab.dir.path().join("source");
    fs::create_dir_all(source.join("folder")).unwrap();
    for (name, len) in [("folder/all", 3000), ("folder/two", 200), ("one", 70), ("same", 5)] {
        fs::write(source.join(name), vec![1; len]).unwrap();
    }
    // What was written just now is sent, whatever stands there.
    run(&format!("find {} -exec touch -d 2020-01-01 {{}} +", source.display()));
    let secret = lab.secret().display().to_string();
    let trust = ["--secret-file", &secret, "--allow", "owner,setuid,delete"];
    let start = |host| Daemon::start_trusting(&lab, host, &lab.folder(host), &[], &trust);
    let daemons = [start(1), start(2), start(3)];
    for daemon in &daemons {
        let to = daemon.root.join("source");
        let copied = Command::new("cp").arg("-a").args([&source, &to]).status().unwrap();
        assert!(copied.success());
        fs::write(to.join("extra"), "extra").unwrap();
        fs::remove_file(to.join("folder/all")).unwrap();
    }
    fs::remove_file(daemons[0].root.join("source/folder/two")).unwrap();
    fs::write(daemons[1].root.join("source/folder/two"), "shorter").unwrap();
    fs::remove_file(daemons[2].root.join("source/one")).unwrap();
    fs::remove_file(daemons[2].root.join("source/extra")).unwrap();
    let before: Vec<_> = daemons.iter().map(|daemon| seen(&daemon.root)).collect();
    let [source, one, two, three] = [source.display().to_string(), lab.v4(1), lab.v4(2), lab.v4(3)];
    let args = ["-a", "-n", "--delete", &source, &one, &two, &three];
    let (code, out, said) = mcp(&lab, &args);
    assert_eq!((code, &*said), (Some(0), ""), "{out}");
    let lines: Vec<_> = out.lines().collect();
    // The time of a folder is another wherever something was removed from it or made in it.
    let of_files: Vec<_> = lines.iter().filter(|line| !line.contains(".d..t")).copied().collect();
    let (first, both) = (format!("{one}: "), format!("{one},{two}: "));
    assert_eq!(
        &of_files[..6],
        [
            "<f+++++++++ source/folder/all".to_owned(),
            format!("{first}<f+++++++++ source/folder/two"),
            format!("{two}: <f.st...... source/folder/two"),
            format!("{three}: <f+++++++++ source/one"),
            format!("{both}*deleting   source/extra"),
            "would be sent: 3 files, 3200 bytes to the group and 70 by unicast".to_owned(),
        ],
        "{out}"
    );
    assert!(of_files.len() - 5 <= 10, "{out}");
    assert_eq!(lines.last(), Some(&"a dry run, 3 of 3 hosts: nothing was changed"));
    let after: Vec<_> = daemons.iter().map(|daemon| seen(&daemon.root)).collect();
    assert!(before == after);
    // The copy itself, with -i, says the same before its table.
    let args = ["-a", "-i", "--delete", &source, &one, &two, &three];
    let (code, copied, _) = mcp(&lab, &args);
    assert_eq!(code, Some(0), "{copied}");
    let changes = |text: &str| {
        let is_change = |line: &&str| line.contains(" source");
        text.lines().filter(is_change).map(str::to_owned).collect::<Vec<_>>()
    };
    assert_eq!(changes(&copied), changes(&out));
    assert!(copied.contains("verified"), "{copied}");
    let args = ["-a", "-n", "--delete", &source, &one, &two, &three];
    let (_, out, _) = mcp(&lab, &args);
    assert_eq!(changes(&out), Vec::<String>::new());
    assert!(out.contains("nothing would be changed"), "{out}");
}
