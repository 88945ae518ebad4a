//! Both programs at a case's words.

use super::Group;
use super::case::{self, Case};
use super::{grow, look};
use crate::copy::Copy;
use crate::daemon::Daemon;
use crate::network::Lab;
use crate::shell::find;
use std::collections::{BTreeSet, HashSet};
use std::ffi::OsString;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

/// What the daemon lets be asked for: rsync(1) as root may do it all.
const ALLOWED: &str = "owner,setuid,delete";
/// Cases that run at once: for the most part both programs wait.
const AT_ONCE: usize = 4;

/// Runs every case of a group; fails with all that are not as they should be.
pub(crate) fn group(group: &Group) {
    let cases = case::cases(group.text);
    let names: HashSet<&str> = cases.iter().map(|case| case.name.as_str()).collect();
    assert_eq!(names.len(), cases.len(), "a name stands twice among {}", group.name);
    assert!(cases.len() >= group.least, "{} {}", cases.len(), group.name);
    let lab = Lab::bridge(1);
    let secret = lab.secret().display().to_string();
    let trust = ["--secret-file", secret.as_str(), "--allow", ALLOWED];
    let _daemon = Daemon::start_trusting(&lab, 1, &lab.folder(1), &[], &trust);
    let next = AtomicUsize::new(0);
    let some = || {
        let numbers = std::iter::repeat_with(|| next.fetch_add(1, Ordering::Relaxed));
        let own = numbers.map_while(|number| Some((number, cases.get(number)?)));
        own.filter_map(|(number, case)| play(&lab, number, case)).collect::<Vec<_>>()
    };
    let wrong: Vec<String> = thread::scope(|scope| {
        let all: Vec<_> = (0..AT_ONCE).map(|_| scope.spawn(some)).collect();
        all.into_iter().flat_map(|some| some.join().unwrap()).collect()
    });
    let differing = cases.iter().filter(|case| case.deviation.is_some()).count();
    eprintln!("{}: {} cases, {differing} of them differ on purpose", group.name, cases.len());
    assert!(wrong.is_empty(), "{} of {}:\n{}", wrong.len(), cases.len(), wrong.join("\n"));
}

/// What one program has done.
struct Played {
    tree: look::Tree,
    succeeds: bool,
    said: String,
}

/// Why a case is wrong, if it is.
fn play(lab: &Lab, number: usize, case: &Case) -> Option<String> {
    let from = lab.dir.path().join(format!("from{number}"));
    grow::grow(&from, &case.from);
    let rsync = rsync(&lab.dir.path().join(format!("rsync{number}")), &from, case);
    let ours = ours(lab, number, &from, case);
    let mut seen = look::differences(&rsync.tree, &ours.tree);
    match (rsync.succeeds, ours.succeeds) {
        (true, false) => _ = seen.insert("! fails".to_owned()),
        (false, true) => _ = seen.insert("! succeeds".to_owned()),
        _ => {}
    }
    let none = BTreeSet::new();
    let wanted = case.deviation.as_ref().map_or(&none, |deviation| &deviation.differences);
    // A deviation that is none is wrong, too.
    let idle = case.deviation.is_some() && wanted.is_empty();
    (seen != *wanted || idle).then(|| {
        let of =
            |set: &BTreeSet<String>| set.iter().fold(String::new(), |all, one| all + one + "\n");
        let (name, seen, wanted) = (&case.name, of(&seen), of(wanted));
        format!(
            "= {name}\nseen:\n{seen}wanted:\n{wanted}rsync ({}): {}ours ({}): {}",
            rsync.succeeds, rsync.said, ours.succeeds, ours.said
        )
    })
}

fn rsync(at: &Path, from: &Path, case: &Case) -> Played {
    grow::grow(at, &case.there);
    let mut to = at.as_os_str().to_owned();
    to.push("/");
    to.push(&case.to);
    let mut command = Command::new(find("rsync").expect("rsync is missing"));
    command.current_dir(from).args(&case.with).args(&case.rsync);
    command.args(end_of_options(case)).args(&case.of).arg(to);
    let output = command.output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    Played { tree: look::look(at), succeeds: output.status.success(), said: said + "\n" }
}

fn ours(lab: &Lab, number: usize, from: &Path, case: &Case) -> Played {
    let at: PathBuf = lab.folder(1).join(number.to_string());
    grow::grow(&at, &case.there);
    let mut to = OsString::from(format!("{}:{number}/", lab.v4(1)));
    to.push(&case.to);
    let mut words: Vec<OsString> = [&case.with[..], &case.ours].concat();
    if let [source] = &case.of[..] {
        words.extend(end_of_options(case));
        words.push(source.clone());
    } else {
        words.extend(case.of.iter().map(|source| {
            let mut word = OsString::from("--source=");
            word.push(source);
            word
        }));
    }
    words.push(to);
    let folder = from.to_str().unwrap();
    let secret = lab.secret().display().to_string();
    // What is durable cannot be seen here.
    let trust = ["--secret-file", secret.as_str(), "--sync=none"];
    let done = Copy::start_by(lab, (0, &["env", "-C", folder]), &trust, &words).wait();
    let said = format!("{}{:#?}\n", done.messages, done.hosts);
    Played { tree: look::look(&at), succeeds: done.code == Some(0), said }
}

/// Nothing behind it is an option: needed where a source looks like one.
fn end_of_options(case: &Case) -> Option<OsString> {
    case.of.iter().any(|source| source.as_bytes().starts_with(b"-")).then(|| "--".into())
}
