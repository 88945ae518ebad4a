//! What is copied: a file, or a tree of files.

use crate::args;
use crate::say::say;
use anyhow::{Context, Result};
use mcp_cli::say::plain;
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use tcpxm::api::Sender;
use tcpxm::config::{Content, Delivery, SessionConfig};
use tcpxm::stats::{MemberReport, Sent};
use transfer::message::{Check, Report, Sync, TreeOffer};
use transfer::send::Answer;
use transfer::source::Source;
use transfer::tree::owners::Owners;
use transfer::tree::scan::{self, Skipped, Walk};
use transfer::tree::send::{self, Said};
use transfer::tree::source::{Found, TreeSource};

/// What is copied.
pub(crate) enum Payload {
    File(Source),
    Tree(Box<Tree>),
}

/// A tree that is copied.
pub(crate) struct Tree {
    walk: Walk,
    source: TreeSource,
    offer: TreeOffer,
}

/// What became of one host's copy.
pub(crate) struct Copied {
    pub(crate) report: MemberReport,
    /// It said itself why it takes nothing.
    pub(crate) refused: bool,
    /// Why it does not have all of it.
    pub(crate) failure: Option<String>,
    /// Of a tree: its count, and which entries are not in place, and why.
    pub(crate) tree: Option<(Report, Vec<(String, String)>)>,
}

/// What became of a copy.
pub(crate) struct Outcome {
    pub(crate) members: Vec<Copied>,
    pub(crate) sent: Sent,
    /// The digest of a file, or of a tree of which all was read.
    pub(crate) digest: Option<String>,
    pub(crate) failure: Option<String>,
    /// Length of what was copied, in bytes.
    pub(crate) len: u64,
}

impl Payload {
    /// Opens the sources.
    pub(crate) fn open(sources: &[PathBuf], options: &args::Copy) -> Result<Self> {
        let kept = &options.kept;
        let one = sources.len() == 1;
        let is_dir = |path: &PathBuf| std::fs::metadata(path).is_ok_and(|meta| meta.is_dir());
        match sources {
            [only] if !is_dir(only) && !kept.is_any() => Ok(Self::File(Source::open(only)?)),
            _ => {
                let paths: Vec<&Path> = sources.iter().map(PathBuf::as_path).collect();
                let links = kept.links || kept.archive;
                let hard_links = kept.hard_links || kept.archive;
                let walk = Walk::new(&paths, scan::Options { links, hard_links, atimes: false })?;
                let source = TreeSource::new(Box::new(walk.opener()), &std::env::temp_dir())?;
                let one = one && !is_dir(&sources[0]);
                let offer = TreeOffer {
                    to: Vec::new(),
                    one,
                    keep: kept.keep(),
                    check: if kept.ignore_times { Check::None } else { Check::Quick },
                    sync: kept.sync.map_or(Sync::Tree, Into::into),
                };
                Ok(Self::Tree(Box::new(Tree { walk, source, offer })))
            }
        }
    }

    /// Length of a file in bytes; of a tree it shows at its end.
    pub(crate) fn len(&self) -> u64 {
        match self {
            Self::File(source) => source.len(),
            Self::Tree(_) => 0,
        }
    }

    /// The session that carries it.
    pub(crate) fn session(&self, config: SessionConfig) -> SessionConfig {
        match self {
            Self::File(source) => SessionConfig {
                delivery: Delivery::Unordered,
                content: Content::Source { len: Some(source.len()) },
                ..config
            },
            Self::Tree(_) => send::session(config),
        }
    }

    /// Sends it; `to` is where each host puts it.
    pub(crate) fn send(self, sender: &Sender, to: &[Vec<u8>]) -> Outcome {
        match self {
            Self::File(source) => send_file(sender, &source, to),
            Self::Tree(tree) => tree.send(sender, to),
        }
    }
}

/// Nothing was sent.
pub(crate) fn nothing(len: u64) -> Outcome {
    Outcome { members: Vec::new(), sent: Sent::default(), digest: None, failure: None, len }
}

fn send_file(sender: &Sender, source: &Source, to: &[Vec<u8>]) -> Outcome {
    let outcome = transfer::send_file(sender, source, to, &|_| ());
    let digest = outcome.digest.map(|digest| digest.to_hex().to_string());
    let members = outcome.members.into_iter().map(|member| {
        let unread = digest.is_none().then(|| "the source was not read to its end".to_owned());
        Copied {
            refused: matches!(member.answer, Answer::Refused(_)),
            failure: member.failure().or(unread),
            report: member.report,
            tree: None,
        }
    });
    let members = members.collect();
    let failure = outcome.failure.map(|failure| format!("{:#}", anyhow::Error::from(failure)));
    Outcome { members, sent: outcome.sent, digest, failure, len: source.len() }
}

impl Tree {
    fn send(self, sender: &Sender, to: &[Vec<u8>]) -> Outcome {
        let offer = |to: &Vec<u8>| TreeOffer { to: to.clone(), ..self.offer.clone() };
        let offers: Vec<TreeOffer> = to.iter().map(offer).collect();
        let mut owners = Owners::default();
        let mut owner = |uid, gid| owners.of(uid, gid);
        let (mut specials, mut symlinks) = (0_u64, 0_u64);
        let skipped = |what| match what {
            Skipped::Special => specials += 1,
            Skipped::Symlink => symlinks += 1,
        };
        let walk = Listing { walk: self.walk, skipped };
        let sent = send::send_tree(sender, &self.source, &offers, walk, &mut owner);
        tell_skipped(specials, symlinks);
        let unlisted: Vec<(String, String)> =
            self.source.unlisted().into_iter().map(named).collect();
        let names = Names::of(&self.source, sent.members.iter().map(|member| &member.said));
        let names = names.unwrap_or_else(|error| {
            say(plain(&error.to_string()));
            Names::default()
        });
        tell_notes(sent.members.iter().map(|member| &member.said));
        let whole = sent.failure.is_none();
        let members = sent.members.into_iter().map(|member| {
            let failures = names.failures(&member.said).into_iter().chain(unlisted.clone());
            copied(member.report, &member.said, failures.collect(), whole)
        });
        let members = members.collect();
        let failure = sent.failure.map(|failure| format!("{:#}", anyhow::Error::from(failure)));
        let digest = self.source.tree_digest().map(|digest| digest.to_hex().to_string());
        Outcome { members, sent: sent.sent, digest, failure, len: self.source.bytes_read() }
    }
}

/// A walk as the list takes it.
struct Listing<F> {
    walk: Walk,
    skipped: F,
}

impl<F: FnMut(Skipped)> Iterator for Listing<F> {
    type Item = Found;

    fn next(&mut self) -> Option<Found> {
        loop {
            return Some(match self.walk.next()? {
                scan::Found::Root(meta) => Found::Root(meta),
                scan::Found::Enter(entry) | scan::Found::Item(entry, _) => Found::Entry(entry),
                scan::Found::Leave => Found::Leave,
                scan::Found::Failed { path, error } => Found::Failed(path, error.to_string()),
                scan::Found::Skipped { what, .. } => {
                    (self.skipped)(what);
                    continue;
                }
            });
        }
    }
}

fn tell_skipped(specials: u64, symlinks: u64) {
    if symlinks > 0 {
        say(format_args!("{symlinks} symbolic links are left out: -l or -a copies them"));
    }
    if specials > 0 {
        say(format_args!("{specials} sockets, pipes or devices are left out"));
    }
}

/// What hosts left out on purpose, each once.
fn tell_notes<'a>(said: impl Iterator<Item = &'a Said>) {
    let mut notes: BTreeMap<&str, u64> = BTreeMap::new();
    for note in said.flat_map(|said| &said.notes) {
        *notes.entry(note).or_default() += 1;
    }
    for (note, hosts) in notes {
        say(format_args!("{} (said by {hosts} hosts)", plain(note)));
    }
}

fn named((path, why): (Vec<u8>, String)) -> (String, String) {
    (String::from_utf8_lossy(&path).into_owned(), why)
}

/// What the entries that failed are called, and why this side could not read them.
#[derive(Default)]
struct Names {
    paths: BTreeMap<u64, Vec<u8>>,
    unread: BTreeMap<u64, String>,
}

impl Names {
    fn of<'a>(source: &TreeSource, said: impl Iterator<Item = &'a Said>) -> Result<Self> {
        let failed: BTreeSet<u64> =
            said.flat_map(|said| said.failed.iter().map(|(entry, _)| *entry)).collect();
        let paths = source.paths(&failed).context("cannot name the entries that failed")?;
        let unread = source.failed().into_iter().map(|(entry, why)| (entry, why.to_string()));
        Ok(Self { paths, unread: unread.collect() })
    }

    fn failures(&self, said: &Said) -> Vec<(String, String)> {
        let name = |(entry, why): &(u64, String)| {
            let path = self.paths.get(entry).map(|path| String::from_utf8_lossy(path).into_owned());
            let why = self.unread.get(entry).unwrap_or(why).clone();
            (path.unwrap_or_else(|| format!("entry {entry}")), why)
        };
        said.failed.iter().map(name).collect()
    }
}

/// Entries that are named where a host's failure is told in one line.
const NAMED: usize = 3;

fn copied(
    report: MemberReport,
    said: &Said,
    failures: Vec<(String, String)>,
    whole: bool,
) -> Copied {
    let refused = said.refused.is_some();
    let failure = match (&said.refused, &report.outcome, said.report) {
        (Some(why), _, _) => Some(why.clone()),
        (None, Some(Err(reason)), _) => Some(transfer::send::in_own_words(reason)),
        (None, None, _) => Some("the session ended without its verdict".to_owned()),
        (None, Some(Ok(())), None) => Some("it did not say what became of the tree".to_owned()),
        (None, Some(Ok(())), Some(_)) if !whole => {
            Some("the tree was not read to its end".to_owned())
        }
        (None, Some(Ok(())), Some(_)) => in_words(&failures),
    };
    Copied { report, refused, failure, tree: said.report.map(|report| (report, failures)) }
}

/// Which entries are not in place, in one line.
fn in_words(failures: &[(String, String)]) -> Option<String> {
    let named: Vec<String> =
        failures.iter().take(NAMED).map(|(path, why)| format!("{path}: {why}")).collect();
    let more = failures.len() - named.len();
    let more = if more > 0 { format!("; {more} more") } else { String::new() };
    (!failures.is_empty())
        .then(|| format!("{} entries are not in place: {}{more}", failures.len(), named.join("; ")))
}
