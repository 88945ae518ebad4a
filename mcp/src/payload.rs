//! What is copied: files and folders, as they were given.

use crate::args;
use crate::say::say;
use anyhow::Result;
use mcp_cli::say::plain;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use tcpxm::api::Sender;
use tcpxm::stats::Sent;
use transfer::message::{Offer, Sync};
use transfer::send::{Delivered, Outcome};
use transfer::source::{Progress, Source};
use transfer::tree::scan;
use transfer::tree::source::{Omitted, TreeSource};

/// What is copied.
pub(crate) struct Payload {
    source: TreeSource,
    offer: Offer,
}

/// What became of a copy.
pub(crate) struct Copied {
    pub(crate) members: Vec<Delivered>,
    pub(crate) sent: Sent,
    /// The digest of a file, or of a tree of which all was read.
    pub(crate) digest: Option<String>,
    pub(crate) failure: Option<String>,
    /// Length of what was copied, in bytes.
    pub(crate) len: u64,
}

impl Copied {
    /// Nothing was sent.
    pub(crate) fn nothing() -> Self {
        let (members, sent) = (Vec::new(), Sent::default());
        Self { members, sent, digest: None, failure: None, len: 0 }
    }
}

impl Payload {
    /// Opens the sources.
    pub(crate) fn open(sources: &[PathBuf], options: &args::Copy) -> Result<Self> {
        let kept = &options.kept;
        let paths: Vec<&Path> = sources.iter().map(PathBuf::as_path).collect();
        let links = kept.links || kept.archive;
        let hard_links = kept.hard_links || kept.archive;
        let looked_for = scan::Options { links, hard_links, atimes: false };
        let source = TreeSource::open(&paths, looked_for, &std::env::temp_dir())?;
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
        Ok(Self { source, offer })
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
        tell_omitted(self.source.omitted());
        tell_notes(&outcome.members);
        let Outcome { members, sent, failure } = outcome;
        let digest = self.source.tree_digest();
        Copied {
            members,
            sent,
            digest: digest.map(|digest| digest.to_hex().to_string()),
            failure: failure.map(|failure| format!("{:#}", anyhow::Error::from(failure))),
            len: self.source.progress().len,
        }
    }
}

fn tell_omitted(Omitted { specials, symlinks }: Omitted) {
    if symlinks > 0 {
        say(format_args!("{symlinks} symbolic links are left out: -l or -a copies them"));
    }
    if specials > 0 {
        say(format_args!("{specials} sockets, pipes or devices are left out"));
    }
}

/// What hosts left out on purpose, each once.
fn tell_notes(members: &[Delivered]) {
    let mut notes: BTreeMap<&str, u64> = BTreeMap::new();
    for note in members.iter().flat_map(|member| &member.said.notes) {
        *notes.entry(note).or_default() += 1;
    }
    for (note, hosts) in notes {
        say(format_args!("{} (said by {hosts} hosts)", plain(note)));
    }
}
