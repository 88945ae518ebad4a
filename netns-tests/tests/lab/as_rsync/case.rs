//! A case as data.
//!
//! ```text
//! = what is shown
//! from f s/a.o; d s/b        what stands where both programs are started: see below
//! there f s/a.o =old         what stands at the destination before; nothing, as a rule
//! with -a --exclude=*.o      words that both get; `rsync` and `ours` begin words of one alone
//! of s/                      the sources, of which ours gets several by --source
//! to new/                    below the destination; nothing, as a rule
//! differs LINKS-LEFT-OUT     one of the deviations of docs/rsync.md; the lines that follow say in what:
//! - PATH KIND                rsync alone has it
//! + PATH KIND                ours alone has it
//! ~ PATH ASPECT VALUE        the value is ours
//! ! fails                    ours alone fails, or `succeeds`
//! ```
//!
//! Entries stand between semicolons; folders above them are made. What is not said is 0755 for folders, 0644 for
//! files, and `@0` ([`super::grow::BASE`]); a file holds its own path.
//!
//! ```text
//! d PATH [MODE] [@SECONDS]
//! f PATH [=CONTENT] [MODE] [@SECONDS]
//! l PATH TARGET [@SECONDS]   a symbolic link
//! h PATH OTHER               a further name of a file or a symbolic link
//! ```

use super::text::words;
use std::collections::BTreeSet;
use std::ffi::OsString;
use std::os::unix::ffi::{OsStrExt, OsStringExt};

/// What is run and compared.
#[derive(Debug, Default)]
pub(super) struct Case {
    pub(super) name: String,
    pub(super) from: Vec<Entry>,
    pub(super) there: Vec<Entry>,
    pub(super) with: Vec<OsString>,
    pub(super) rsync: Vec<OsString>,
    pub(super) ours: Vec<OsString>,
    pub(super) of: Vec<OsString>,
    pub(super) to: OsString,
    pub(super) deviation: Option<Deviation>,
}

/// In what ours is to differ.
#[derive(Debug)]
pub(super) struct Deviation {
    /// As the document calls it.
    pub(super) key: String,
    pub(super) differences: BTreeSet<String>,
}

/// One name of a tree.
#[derive(Debug, Clone)]
pub(super) struct Entry {
    pub(super) path: OsString,
    pub(super) kind: Kind,
    /// Nanoseconds since the base.
    pub(super) time: i64,
}

/// What it is.
#[derive(Debug, Clone)]
pub(super) enum Kind {
    Folder { mode: u32 },
    File { content: Vec<u8>, mode: u32 },
    Link { target: OsString },
    Further { of: OsString },
}

/// The cases of a text.
pub(super) fn cases(text: &str) -> Vec<Case> {
    let mut all: Vec<Case> = Vec::new();
    for line in text.lines().filter(|line| !line.is_empty() && !line.starts_with('#')) {
        let (key, rest) = line.split_once(' ').unwrap_or((line, ""));
        if key == "=" {
            all.push(Case { name: rest.to_owned(), ..Case::default() });
            continue;
        }
        let case = all.last_mut().unwrap_or_else(|| panic!("no case has begun: {line}"));
        match key {
            "from" => case.from.extend(entries(rest)),
            "there" => case.there.extend(entries(rest)),
            "with" => case.with.extend(words(rest)),
            "rsync" => case.rsync.extend(words(rest)),
            "ours" => case.ours.extend(words(rest)),
            "of" => case.of.extend(words(rest)),
            "to" => case.to = words(rest).pop().unwrap(),
            "differs" => {
                let differences = BTreeSet::new();
                case.deviation = Some(Deviation { key: rest.to_owned(), differences });
            }
            "-" | "+" | "~" | "!" => {
                let deviation = case.deviation.as_mut();
                let deviation = deviation.unwrap_or_else(|| panic!("no deviation: {line}"));
                deviation.differences.insert(line.to_owned());
            }
            _ => panic!("what is this: {line}"),
        }
    }
    all
}

/// The entries of a line.
pub(super) fn entries(line: &str) -> Vec<Entry> {
    line.split(';').map(|entry| read(entry.trim())).collect()
}

fn read(text: &str) -> Entry {
    let mut words = words(text).into_iter();
    let mut word = || words.next().unwrap_or_else(|| panic!("a word is missing: {text}"));
    let (letter, path) = (word(), word());
    let mut kind = match letter.as_bytes() {
        b"d" => Kind::Folder { mode: 0o755 },
        b"f" => Kind::File { content: path.as_bytes().to_vec(), mode: 0o644 },
        b"l" => Kind::Link { target: word() },
        b"h" => Kind::Further { of: word() },
        _ => panic!("no letter of an entry: {text}"),
    };
    let mut time = 0;
    for word in words.map(OsString::into_vec) {
        match (word.first(), &mut kind) {
            (Some(b'@'), _) => time = nanoseconds(&word[1..]),
            (Some(b'='), Kind::File { content, .. }) => *content = word[1..].to_vec(),
            (Some(b'0'), Kind::File { mode, .. } | Kind::Folder { mode }) => {
                let digits = String::from_utf8(word).unwrap();
                *mode = u32::from_str_radix(&digits, 8).unwrap();
            }
            _ => panic!("what is this of an entry: {text}"),
        }
    }
    Entry { path, kind, time }
}

/// Of seconds, with up to nine digits behind the point.
fn nanoseconds(text: &[u8]) -> i64 {
    let text = str::from_utf8(text).unwrap();
    let (seconds, rest) = text.split_once('.').unwrap_or((text, "0"));
    let seconds: i64 = seconds.parse().unwrap();
    seconds * 1_000_000_000 + format!("{rest:0<9}").parse::<i64>().unwrap()
}
