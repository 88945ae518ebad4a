//! What is kept of a source beside names and contents, as rsync's users type it.

use clap::Args;
use clap::builder::FalseyValueParser as Falsey;
use transfer::message::{Check, Keep, Sync};
use transfer::tree::scan;

/// The options.
#[derive(Debug, Args)]
#[expect(clippy::struct_excessive_bools, reason = "each is an option of its own")]
pub(crate) struct Kept {
    /// Keep what there is: -rlptgoH.
    #[arg(short, long, value_parser = Falsey::new())]
    pub(crate) archive: bool,
    /// Copy folders with what is in them: they always are.
    #[arg(short, long, value_parser = Falsey::new())]
    pub(crate) recursive: bool,
    /// Copy symbolic links as such; else they are left out.
    #[arg(short, long, value_parser = Falsey::new())]
    pub(crate) links: bool,
    /// Keep permissions; else a new file has the source's as far as the daemon's umask lets it.
    #[arg(short, long, value_parser = Falsey::new())]
    pub(crate) perms: bool,
    /// Keep modification times.
    #[arg(short, long, value_parser = Falsey::new())]
    pub(crate) times: bool,
    /// Keep owners, by their names, where the receiver allows it.
    #[arg(short, long, value_parser = Falsey::new())]
    pub(crate) owner: bool,
    /// Keep groups, by their names, where the receiver allows it.
    #[arg(short = 'g', long = "keep-group", value_parser = Falsey::new())]
    pub(crate) group_owner: bool,
    /// Keep hard links between files that are copied.
    #[arg(short = 'H', long, value_parser = Falsey::new())]
    pub(crate) hard_links: bool,
    /// Keep holes: they always are.
    #[arg(short = 'S', long, value_parser = Falsey::new())]
    pub(crate) sparse: bool,
    /// Owners and groups by their numbers.
    #[arg(long, value_parser = Falsey::new())]
    pub(crate) numeric_ids: bool,
    /// Send files again that have the same length and modification time there.
    #[arg(short = 'I', long, value_parser = Falsey::new())]
    pub(crate) ignore_times: bool,
    /// Go by the digests of files instead of their times: every file of the same length is read at both ends.
    #[arg(short, long, conflicts_with = "update", value_parser = Falsey::new())]
    pub(crate) checksum: bool,
    /// Leave files that are newer there as they are.
    #[arg(short, long, conflicts_with = "ignore_times", value_parser = Falsey::new())]
    pub(crate) update: bool,
    /// Begin each file anew, also where an earlier copy was broken off, and leave nothing of it if this one is.
    #[arg(long, value_parser = Falsey::new())]
    pub(crate) no_resume: bool,
    /// What is made durable before it is told to be there: each file before it gets its name (default of a single
    /// file), the tree as a whole (default of folders and of several), or nothing.
    #[arg(long, value_enum)]
    pub(crate) sync: Option<Durable>,
}

/// What is made durable.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Durable {
    File,
    Tree,
    None,
}

impl From<Durable> for Sync {
    fn from(durable: Durable) -> Self {
        match durable {
            Durable::File => Self::File,
            Durable::Tree => Self::Tree,
            Durable::None => Self::None,
        }
    }
}

impl Kept {
    /// When a file that stands there already is taken for the source's.
    pub(crate) fn check(&self) -> Check {
        match self {
            // As with rsync, whose -I says nothing beside -c.
            Self { checksum: true, .. } => Check::Digest,
            Self { ignore_times: true, .. } => Check::None,
            Self { update: true, .. } => Check::Update,
            _ => Check::Quick,
        }
    }

    /// What is to be kept.
    pub(crate) fn keep(&self) -> Keep {
        let all = self.archive;
        Keep {
            perms: all || self.perms,
            times: all || self.times,
            owner: all || self.owner,
            group: all || self.group_owner,
            numeric_ids: self.numeric_ids,
        }
    }

    /// What is looked for at the source: names of owners only where they are kept.
    pub(crate) fn looked_for(&self) -> scan::Options {
        let (all, keep) = (self.archive, self.keep());
        scan::Options {
            links: all || self.links,
            hard_links: all || self.hard_links,
            atimes: false,
            owners: (keep.owner || keep.group) && !keep.numeric_ids,
            digests: self.checksum,
            ..scan::Options::default()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        kept: Kept,
    }

    #[test]
    fn names_of_owners_are_looked_for_only_where_they_are_kept() {
        let asks = |line: &str| {
            let words = std::iter::once("mcp").chain(line.split_whitespace());
            Line::try_parse_from(words).unwrap().kept.looked_for().owners
        };
        assert!(["-a", "-o", "-g", "-og"].into_iter().all(asks));
        assert!(!["", "-rlptHS", "-a --numeric-ids"].into_iter().any(asks));
    }
}
