//! What is copied: files and folders, as they were given.

use crate::args;
use crate::plan::Plan;
use crate::say::say;
use anyhow::Result;
use mcp_cli::say::plain;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use tcpxm::api::Sender;
use tcpxm::stats::Sent;
use transfer::message::{Check, Offer, Sync};
use transfer::send::{Delivered, Outcome};
use transfer::source::{Progress, Source};
use transfer::tree::scan;
use transfer::tree::source::{Counts, Omitted, TreeSource};

/// What is copied.
pub(crate) struct Payload {
    source: TreeSource,
    offer: Offer,
    quiet: bool,
}

/// What became of a copy.
pub(crate) struct Copied {
    pub(crate) members: Vec<Delivered>,
    pub(crate) sent: Sent,
    /// The digest of a file, or of a tree of which all was read.
    pub(crate) digest: Option<String>,
    pub(crate) failure: Option<String>,
    /// How far the source has come.
    pub(crate) come: Progress,
    pub(crate) counts: Counts,
    pub(crate) omitted: Omitted,
    /// It is a single file.
    pub(crate) one: bool,
}

impl Copied {
    /// Nothing was sent.
    pub(crate) fn nothing() -> Self {
        Self {
            members: Vec::new(),
            sent: Sent::default(),
            digest: None,
            failure: None,
            come: Progress::default(),
            counts: Counts::default(),
            omitted: Omitted::default(),
            one: true,
        }
    }
}

impl Payload {
    /// Opens the sources.
    pub(crate) fn open(plan: &Plan, options: &args::Copy) -> Result<Self> {
        let kept = &options.kept;
        let paths: Vec<&Path> = plan.sources.iter().map(PathBuf::as_path).collect();
        let looked_for = scan::Options {
            filter: plan.filter.clone(),
            one_file_system: options.one_file_system,
            ..kept.looked_for()
        };
        let aside = std::env::temp_dir();
        let source = match (&plan.listed, &paths[..]) {
            (Some(listed), [of]) => TreeSource::listed(of, listed.clone(), looked_for, &aside)?,
            _ => TreeSource::open(&paths, looked_for, &aside)?,
        };
        let one = source.single_file();
        // A single file is durable before it has its name. For a tree that costs a wait for the disk a file.
        let durable = if one.is_some() { Sync::File } else { Sync::Tree };
        let offer = Offer {
            to: Vec::new(),
            one,
            keep: kept.keep(),
            check: kept.check(),
            sync: kept.sync.map_or(durable, Into::into),
            resume: !kept.no_resume,
        };
        Ok(Self { source, offer, quiet: options.common.quiet })
    }

    /// Whether every file is read while it is listed.
    pub(crate) fn hashes(&self) -> bool {
        self.offer.check == Check::Digest
    }

    /// Sends it; `to` is where each host puts it. `progress` is told how far it has come.
    pub(crate) fn send(
        &self,
        sender: &Sender,
        to: &[Vec<u8>],
        progress: &dyn Fn(Progress),
    ) -> Copied {
        let offer = |to: &Vec<u8>| Offer { to: to.clone(), ..self.offer.clone() };
        let offers: Vec<Offer> = to.iter().map(offer).collect();
        let outcome = transfer::send(sender, &self.source, &offers, progress);
        let Outcome { members, sent, failure, nameless } = outcome;
        let omitted = self.source.omitted();
        if !self.quiet {
            omissions(omitted).iter().for_each(say);
            tell_notes(&members);
        }
        if let Some(why) = nameless {
            let why = format!("{:#}", anyhow::Error::from(why));
            say(format_args!(
                "entries that failed are told by their numbers alone: {}",
                plain(&why)
            ));
        }
        let digest = self.source.tree_digest();
        Copied {
            members,
            sent,
            digest: digest.map(|digest| digest.to_hex().to_string()),
            failure: failure.map(|failure| format!("{:#}", anyhow::Error::from(failure))),
            come: self.source.progress(),
            counts: self.source.counts(),
            omitted,
            one: self.offer.one.is_some(),
        }
    }
}

/// A number of things, by their name for one and for several.
fn number(count: u64, one: &str, several: &str) -> String {
    format!("{count} {}", if count == 1 { one } else { several })
}

/// What was left out on purpose.
fn omissions(omitted: Omitted) -> Vec<String> {
    // What is left out by rule was asked for.
    let Omitted { specials, symlinks, by_rule: _, sources_by_rule } = omitted;
    let mut all = Vec::new();
    if sources_by_rule > 0 {
        let (count, are) = (number(sources_by_rule, "source", "sources"), are(sources_by_rule));
        all.push(format!(
            "{count} {are} left out by the rules, with all that is in it: a folder must match none, or be taken by an \
             --include before"
        ));
    }
    if symlinks > 0 {
        let (count, are) = (number(symlinks, "symbolic link", "symbolic links"), are(symlinks));
        let them = if symlinks == 1 { "it" } else { "them" };
        all.push(format!("{count} {are} left out: -l or -a copies {them}"));
    }
    all.extend((specials > 0).then(|| specials_left_out(specials)));
    all
}

/// So many things were left out that are neither file, folder nor symbolic link.
pub(crate) fn specials_left_out(count: u64) -> String {
    let (one, several) = ("socket, pipe or device", "sockets, pipes or devices");
    format!("{} {} left out", number(count, one, several), are(count))
}

fn are(count: u64) -> &'static str {
    if count == 1 { "is" } else { "are" }
}

/// What hosts left out on purpose, each once.
fn tell_notes(members: &[Delivered]) {
    let mut notes: BTreeMap<&str, u64> = BTreeMap::new();
    for note in members.iter().flat_map(|member| &member.said.notes) {
        *notes.entry(note).or_default() += 1;
    }
    for (note, hosts) in notes {
        say(format_args!("{} (said by {})", plain(note), number(hosts, "host", "hosts")));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_thing_is_one_thing() {
        let of =
            |specials, symlinks| omissions(Omitted { specials, symlinks, ..Omitted::default() });
        assert_eq!(
            of(1, 1),
            [
                "1 symbolic link is left out: -l or -a copies it",
                "1 socket, pipe or device is left out"
            ]
        );
        assert_eq!(
            of(2, 3),
            [
                "3 symbolic links are left out: -l or -a copies them",
                "2 sockets, pipes or devices are left out"
            ]
        );
        assert!(of(0, 0).is_empty());
        assert_eq!(number(1, "host", "hosts"), "1 host");
    }
}
