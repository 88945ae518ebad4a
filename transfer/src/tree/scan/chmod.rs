//! Other permissions than the source has: the grammar of rsync's `--chmod`.
//!
//! Clauses between commas, each for all, after `D` for folders alone, after `F` for everything else: an octal number, or
//! `[ugoa]*[+-=][rwxXst]*` as with chmod(1).

use thiserror::Error;

/// Twelve bits of a mode (inode(7)).
const BITS: u32 = 0o7777;
const EXECUTE: u32 = 0o111;
const SET_UID: u32 = 0o4000;
const SET_GID: u32 = 0o2000;
const STICKY: u32 = 0o1000;

/// It is no such text.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("{0:?} says no permissions: as in D755,F644 or u+rwX,go-w")]
pub struct ChmodError(String);

/// What is made of permissions, one step after the other.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Chmod(Vec<Clause>);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Clause {
    /// `Some(true)`: of folders alone; `Some(false)`: of everything else.
    folders: Option<bool>,
    /// Bits that stay.
    keep: u32,
    /// Bits that are set then.
    set: u32,
    /// The permission to execute is set on folders, and on what somebody may execute at the source.
    cautious: bool,
}

impl Chmod {
    /// Nothing is made of them.
    pub const NONE: Self = Self(Vec::new());

    /// Reads it; a clause that says nobody means all, but for the bits of the mask `umask`.
    pub fn parse(text: &str, umask: u32) -> Result<Self, ChmodError> {
        let clauses = text.split(',').map(|clause| read(clause, umask));
        let clauses = clauses.collect::<Option<Vec<_>>>();
        clauses.map(Self).ok_or_else(|| ChmodError(text.to_owned()))
    }

    /// What follows is done after it.
    pub fn then(&mut self, next: Self) {
        self.0.extend(next.0);
    }

    /// What is made of these permissions.
    pub fn of(&self, mode: u32, is_folder: bool) -> u32 {
        let may_execute = is_folder || mode & EXECUTE != 0;
        let asked = |clause: &&Clause| clause.folders.is_none_or(|folders| folders == is_folder);
        self.0.iter().filter(asked).fold(mode & BITS, |mode, clause| {
            let left = if clause.cautious && !may_execute { EXECUTE } else { 0 };
            mode & clause.keep | clause.set & !left
        })
    }
}

fn read(clause: &str, umask: u32) -> Option<Clause> {
    let (folders, rest) = match clause.as_bytes() {
        [b'D', ..] => (Some(true), &clause[1..]),
        [b'F', ..] => (Some(false), &clause[1..]),
        _ => (None, clause),
    };
    if !rest.is_empty() && rest.bytes().all(|byte| (b'0'..b'8').contains(&byte)) {
        let set = u32::from_str_radix(rest, 8).ok().filter(|set| *set <= BITS)?;
        return Some(Clause { folders, keep: 0, set, cautious: false });
    }
    let at = rest.find(['+', '-', '='])?;
    let (who, what) = (&rest[..at], &rest[at + 1..]);
    // One bit of each three, and the bits of `s` and `t`, that are meant.
    let (mut ones, mut special) = (0, 0);
    for letter in who.chars() {
        let (one, bits) = match letter {
            'u' => (0o100, SET_UID),
            'g' => (0o010, SET_GID),
            'o' => (0o001, 0),
            'a' => (0o111, SET_UID | SET_GID),
            _ => return None,
        };
        ones |= one;
        special |= bits;
    }
    let (mut perms, mut top, mut cautious) = (0, 0, false);
    for letter in what.chars() {
        match letter {
            'r' => perms |= 4,
            'w' => perms |= 2,
            'x' => perms |= 1,
            'X' => {
                perms |= 1;
                cautious = true;
            }
            's' => top |= if special == 0 { SET_UID } else { special },
            't' => top |= STICKY,
            _ => return None,
        }
    }
    let all = if ones == 0 { 0o111 } else { ones };
    let bits = (all * perms) & if ones == 0 { !umask } else { BITS };
    let set = bits | top;
    let (keep, set) = match &rest[at..=at] {
        "+" => (BITS, set),
        "-" => (BITS & !set, 0),
        // Bits that lend an identity stay, unless any such is said.
        _ => (BITS & !(all * 7) & !if top == 0 { 0 } else { special }, set),
    };
    Some(Clause { folders, keep, set, cautious })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::os::unix::fs::PermissionsExt;
    use std::process::Command;

    fn of(text: &str, mode: u32, is_folder: bool) -> u32 {
        Chmod::parse(text, 0o022).unwrap().of(mode, is_folder)
    }

    #[test]
    fn clauses_are_done_one_after_the_other() {
        assert_eq!(of("D755,F644", 0o700, true), 0o755);
        assert_eq!(of("D755,F644", 0o700, false), 0o644);
        assert_eq!(of("u+rwX,go-w", 0o466, false), 0o644);
        assert_eq!(of("u+rwX,go-w", 0o466, true), 0o744);
        assert_eq!(of("a-x,+X", 0o711, false), 0o711, "as somebody might at the source");
        assert_eq!(of("Dg+s,ug+w,Fo-w,+X", 0o446, true), 0o2777);
        assert_eq!(of("a+s", 0o644, false), 0o6644);
        assert_eq!(of("a-s", 0o7644, true), 0o1644);
        let mut both = Chmod::parse("a=", 0).unwrap();
        both.then(Chmod::parse("u=r", 0).unwrap());
        assert_eq!(both.of(0o7777, false) & 0o777, 0o400);
        assert_eq!(Chmod::NONE.of(0o4751, false), 0o4751);
    }

    #[test]
    fn what_is_none_is_refused() {
        for text in [
            "",
            "u",
            "8",
            "10000",
            "77777",
            "99999999999",
            "77777777777777777777",
            "u+y",
            "z+r",
            "u+r,",
            "DF+r",
            "u+r-w",
            "ü+r",
        ] {
            let error = Chmod::parse(text, 0).unwrap_err();
            assert!(error.to_string().contains("D755,F644"), "{text}");
        }
    }

    const TEXTS: [&str; 33] = [
        "D755,F644",
        "u+rwX,go-w",
        "a=rX",
        "ug=rwx,o=",
        "+x",
        "-w",
        "=r",
        "a-x,+X",
        "u+s",
        "g+s",
        "ug+s",
        "+s",
        "a+s",
        "o+t",
        "+t",
        "-t",
        "u-s",
        "g=s",
        "u=rws",
        "a=",
        "go=",
        "Dg+s,ug+w,Fo-w,+X",
        "F4755",
        "Da-s",
        "ug-s",
        "u=rwxX",
        "0",
        "a-s",
        "-s",
        "o=t",
        "=",
        "00644",
        "D0000755,F00640",
    ];

    /// Whether rsync(1) takes `s` of all for both bits, as chmod(1) does: from 3.5 on. Before it took one.
    fn rsync_is_3_5() -> bool {
        let told = Command::new("rsync").arg("--version").output().expect("rsync is missing");
        let told = String::from_utf8_lossy(&told.stdout).into_owned();
        let mut words = told.split_whitespace().skip_while(|word| *word != "version").skip(1);
        let version = words.next().expect("a version");
        let mut numbers = version.split('.').map_while(|number| number.parse::<u32>().ok());
        (numbers.next(), numbers.next()) >= (Some(3), Some(5))
    }

    /// Each text, of files and folders of all kinds of permissions, by rsync(1) itself.
    #[test]
    fn it_is_what_rsync_makes_of_it() {
        let dir = tempfile::tempdir().unwrap();
        let from = dir.path().join("from");
        let modes = [0o644, 0o755, 0o600, 0o4711, 0o2770, 0o1777, 0o7777, 0o400, 0o640, 0o651];
        for mode in modes {
            for (name, is_folder) in [(format!("d{mode:o}"), true), (format!("f{mode:o}"), false)] {
                let path = from.join(name);
                fs::create_dir_all(&from).unwrap();
                if is_folder {
                    fs::create_dir(&path).unwrap();
                } else {
                    fs::write(&path, "").unwrap();
                }
                // Owners could not list a folder that has less.
                fs::set_permissions(&path, PermissionsExt::from_mode(mode | 0o400)).unwrap();
            }
        }
        let (umask, mut wrong) = (crate::destination::umask(), Vec::new());
        let as_chmod = rsync_is_3_5();
        for (number, text) in TEXTS.into_iter().enumerate() {
            if !as_chmod && text.contains('a') && text.ends_with('s') {
                continue;
            }
            let to = dir.path().join(format!("to{number}"));
            let status = Command::new("rsync")
                .args(["-rp", &format!("--chmod={text}")])
                .args([format!("{}/", from.display()), to.display().to_string()])
                .status();
            assert!(status.expect("rsync is missing").success(), "{text}");
            let chmod = Chmod::parse(text, umask).unwrap();
            for mode in modes {
                for (kind, is_folder) in [("d", true), ("f", false)] {
                    let at = to.join(format!("{kind}{mode:o}"));
                    let found = fs::symlink_metadata(&at).unwrap().permissions().mode() & BITS;
                    let ours = chmod.of(mode | 0o400, is_folder);
                    if ours != found {
                        wrong.push(format!("{text} of {kind}{mode:o}: {ours:o}, {found:o}"));
                    }
                }
            }
        }
        assert!(wrong.is_empty(), "{wrong:#?}");
    }
}
