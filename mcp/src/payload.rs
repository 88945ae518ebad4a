//! What is copied: files and folders, as they were given.

use crate::args;
use crate::itemized::Estimate;
use crate::pipes::Stream;
use crate::plan::Plan;
use crate::progress::Origin;
use crate::say::say;
use anyhow::{Context, Result, bail};
use mcp_cli::say::plain;
use mcp_cli::standard;
use std::cell::Cell;
use std::collections::{BTreeMap, HashSet};
use std::fs::File;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use tcpxm::api::Sender;
use tcpxm::stats::Sent;
use transfer::filter::Filter;
use transfer::jobs::Shows;
use transfer::message::{Check, Delete, OfJob, Offer, Sync};
use transfer::pipe::{
    self,
    input::{Input, Opened, Whole},
};
use transfer::send::{Changed, Delivered, Itemized, Outcome};
use transfer::source::{Progress, Source, SourceError};
use transfer::tree::scan;
use transfer::tree::source::{Counts, Omitted, TreeSource};

/// What is copied.
pub(crate) struct Payload {
    what: What,
    offer: Offer,
    quiet: bool,
    /// Of a mirror job: what shows who sends it.
    shows: Option<Arc<Shows<'static>>>,
}

/// Where its bytes come from.
enum What {
    Tree(Box<TreeSource>),
    /// It is read once.
    Stream(Mutex<Box<dyn Input>>),
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
    /// With `-i` or `-n`: what would need to be sent.
    pub(crate) estimate: Estimate,
    /// Entries that were deleted, at all hosts together.
    pub(crate) deleted: u64,
}

impl Copied {
    /// With what its members have deleted.
    fn counted(self) -> Self {
        let reports = self.members.iter().filter_map(|member| member.said.report);
        let deleted = reports.map(|report| report.deleted).sum();
        Self { deleted, ..self }
    }

    /// After an earlier try, of which counts what was sent and deleted; and if this one has reached nobody, and so has
    /// read nothing, also what it has read.
    pub(crate) fn after(self, earlier: Self) -> Self {
        let (now, before) = (self.sent, earlier.sent);
        let sent = Sent {
            group_bytes: now.group_bytes + before.group_bytes,
            unicast_bytes: now.unicast_bytes + before.unicast_bytes,
            repaired_bytes: now.repaired_bytes + before.repaired_bytes,
            datagrams: now.datagrams + before.datagrams,
            datagram_bytes: now.datagram_bytes + before.datagram_bytes,
        };
        let (estimate, deleted) =
            (self.estimate + earlier.estimate, self.deleted + earlier.deleted);
        let read = if self.members.is_empty() { earlier } else { self };
        Self { sent, estimate, deleted, ..read }
    }

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
            estimate: Estimate::default(),
            deleted: 0,
        }
    }
}

impl Payload {
    /// Opens the sources.
    pub(crate) fn open(plan: &Plan, options: &args::Copy) -> Result<Self> {
        match &plan.stream {
            Some(stream) => Self::open_stream(stream, options),
            None => Self::open_tree(plan, options),
        }
    }

    fn open_stream(stream: &Stream, options: &args::Copy) -> Result<Self> {
        let (input, one, mode): (Box<dyn Input>, _, _) = match stream {
            Stream::Stdin if standard::is_closed(io::stdin()) => {
                bail!("standard input is closed: there is nothing to send")
            }
            Stream::Stdin => (Box::new(Opened(io::stdin())), None, None),
            Stream::File(path) => {
                let (input, mode) = open_whole(path).with_context(|| {
                    format!("cannot read {}", plain(&path.display().to_string()))
                })?;
                let name = path.file_name().map(|name| name.as_bytes().to_vec());
                (Box::new(input), name, Some(mode))
            }
        };
        let sync = options.kept.sync.map_or(Sync::File, Into::into);
        let offer = Offer { one, sync, stream: true, mode, ..Offer::default() };
        let what = What::Stream(Mutex::new(input));
        Ok(Self { what, offer, quiet: options.common.quiet, shows: None })
    }

    /// Paths that were listed, and why that may not be all of the tree, if so.
    pub(crate) fn listed(&self) -> Result<(HashSet<Vec<u8>>, Option<String>)> {
        let What::Tree(source) = &self.what else { return Ok((HashSet::new(), None)) };
        let mut listed = HashSet::new();
        source.each_listed(|path| {
            listed.insert(path.to_vec());
        })?;
        Ok((listed, source.doubt()))
    }

    /// Whether it is read once, from its beginning to its end.
    pub(crate) fn is_stream(&self) -> bool {
        matches!(self.what, What::Stream(_))
    }

    fn open_tree(plan: &Plan, options: &args::Copy) -> Result<Self> {
        let paths: Vec<&Path> = plan.sources.iter().map(PathBuf::as_path).collect();
        let looked_for = looked_for(options, &plan.filter);
        let aside = std::env::temp_dir();
        let source = match (&plan.listed, &paths[..]) {
            (Some(listed), [of]) => TreeSource::listed(of, listed.clone(), looked_for, &aside)?,
            _ => TreeSource::open(&paths, looked_for, &aside)?,
        };
        let offer = offer(options, source.single_file());
        Ok(Self::of_tree(source, offer, options.common.quiet))
    }

    /// Of a tree that is open, as it is offered; `quiet`: nothing is said of what was left out.
    pub(crate) fn of_tree(source: TreeSource, offer: Offer, quiet: bool) -> Self {
        Self { what: What::Tree(Box::new(source)), offer, quiet, shows: None }
    }

    /// The same for a mirror job: this shows who sends it.
    pub(crate) fn showing(self, shows: Arc<Shows<'static>>) -> Self {
        Self { shows: Some(shows), ..self }
    }

    /// What entries are changed at these members is told, entry by entry.
    pub(crate) fn itemized(
        &self,
        members: &[&Changed],
        each: &mut dyn FnMut(Itemized) -> io::Result<()>,
    ) -> Result<(), SourceError> {
        match &self.what {
            What::Tree(source) => source.itemized(members, each),
            What::Stream(_) => Ok(()), // it comes anew
        }
    }

    /// What it is, to be shown.
    pub(crate) fn origin(&self) -> Origin {
        match (&self.what, &self.offer.one) {
            (What::Tree(_), _) => Origin::Tree { hashes: self.offer.check == Check::Digest },
            (What::Stream(_), None) => Origin::Stream("standard input"),
            (What::Stream(_), Some(_)) => Origin::Stream("the file"),
        }
    }

    /// Sends it; `to` is where each host puts it, and for which mirror job. `progress` is told how far it has come.
    pub(crate) fn send(
        &self,
        sender: &Sender,
        to: &[(Vec<u8>, Option<OfJob>)],
        progress: &dyn Fn(Progress),
    ) -> Copied {
        let offer = |(to, job): &(Vec<u8>, Option<OfJob>)| Offer {
            to: to.clone(),
            job: job.clone().map(Box::new),
            ..self.offer.clone()
        };
        let offers: Vec<Offer> = to.iter().map(offer).collect();
        match &self.what {
            What::Tree(source) => self.send_tree(source, sender, &offers, progress),
            What::Stream(input) => {
                let mut input = input.lock().unwrap_or_else(PoisonError::into_inner);
                self.send_stream(&mut **input, sender, &offers, progress)
            }
        }
    }

    fn send_stream(
        &self,
        input: &mut dyn Input,
        sender: &Sender,
        offers: &[Offer],
        progress: &dyn Fn(Progress),
    ) -> Copied {
        let come = Cell::new(Progress::default());
        let (outcome, digest) = pipe::send(sender, input, offers, &|now| {
            come.set(now);
            progress(now);
        });
        let Outcome { members, sent, failure, .. } = outcome;
        if !self.quiet {
            tell_notes(&members);
        }
        let read = u64::from(digest.is_some());
        Copied {
            members,
            sent,
            digest: digest.map(|digest| digest.to_hex().to_string()),
            failure: failure.map(|failure| format!("{:#}", anyhow::Error::from(failure))),
            come: come.get(),
            counts: Counts { files: 1, read, ..Counts::default() },
            ..Copied::nothing()
        }
        .counted()
    }

    fn send_tree(
        &self,
        source: &TreeSource,
        sender: &Sender,
        offers: &[Offer],
        progress: &dyn Fn(Progress),
    ) -> Copied {
        let outcome = match &self.shows {
            Some(shows) => transfer::send_for_job(sender, source, (offers, &**shows), progress),
            None => transfer::send(sender, source, offers, progress),
        };
        let Outcome { members, sent, failure, nameless } = outcome;
        let mut omitted = source.omitted();
        if !self.offer.keep.perms {
            omitted.lists = 0; // as little as permissions are
        }
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
        let digest = source.tree_digest();
        Copied {
            members,
            sent,
            digest: digest.map(|digest| digest.to_hex().to_string()),
            failure: failure.map(|failure| format!("{:#}", anyhow::Error::from(failure))),
            come: source.progress(),
            counts: source.counts(),
            omitted,
            one: self.offer.one.is_some(),
            ..Copied::nothing()
        }
        .counted()
    }
}

/// What a tree is looked at for.
pub(crate) fn looked_for(options: &args::Copy, filter: &Filter) -> scan::Options {
    scan::Options {
        filter: filter.clone(),
        one_file_system: options.one_file_system,
        ..options.kept.looked_for()
    }
}

/// How a tree is offered, or a single file of this name.
pub(crate) fn offer(options: &args::Copy, one: Option<Vec<u8>>) -> Offer {
    let kept = &options.kept;
    // A single file is durable before it has its name. For a tree that costs up to three times the time: docs/trees.md
    // has what was measured, by number of files.
    let durable = if one.is_some() { Sync::File } else { Sync::Tree };
    Offer {
        one,
        keep: kept.keep(),
        check: kept.check(),
        update: kept.update,
        sync: kept.sync.map_or(durable, Into::into),
        resume: !kept.no_resume,
        delete: kept
            .delete
            .then_some(Delete { max: kept.max_delete, one_file_system: options.one_file_system }),
        dry: kept.dry_run,
        itemize: kept.dry_run || kept.itemize_changes,
        ..Offer::default() // `send` knows when it has begun
    }
}

/// A file that is to be sent as a stream, and its mode.
fn open_whole(path: &Path) -> io::Result<(Whole, u32)> {
    let file = File::open(path)?;
    let mode = file.metadata()?.mode();
    // The hosts are told of it as well, and where it stands is not their affair.
    let name = path.file_name().unwrap_or(path.as_os_str()).to_string_lossy().into_owned();
    Ok((Whole::new(file, name)?, mode))
}

/// A number of things, by their name for one and for several.
fn number(count: u64, one: &str, several: &str) -> String {
    format!("{count} {}", if count == 1 { one } else { several })
}

/// What was left out on purpose.
fn omissions(omitted: Omitted) -> Vec<String> {
    // What is left out by rule was asked for.
    let Omitted { specials, symlinks, by_rule: _, sources_by_rule, lists } = omitted;
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
    if lists > 0 {
        let (count, are) =
            (number(lists, "access control list", "access control lists"), are(lists));
        all.push(format!("{count} {are} not kept: -A keeps them"));
    }
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
        let lists = omissions(Omitted { lists: 2, ..Omitted::default() });
        assert_eq!(lists, ["2 access control lists are not kept: -A keeps them"]);
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
