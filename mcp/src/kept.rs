//! What is kept of a source beside names and contents, as rsync's users type it.

use clap::Args;
use clap::builder::FalseyValueParser as Falsey;
use mcp_cli::parse::Typed;
use mcp_cli::say::plain;
use transfer::message::{Check, Keep, Sync};
use transfer::tree::owners::Chown;
use transfer::tree::scan::{self, Chmod};

/// The options.
#[derive(Debug, Args)]
#[expect(clippy::struct_excessive_bools, reason = "each is an option of its own")]
pub(crate) struct Kept {
    /// Keep what there is: -rlptgoDH.
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
    /// Copy devices, pipes and sockets as such, where the receiver allows it; else they are left out.
    #[arg(short = 'D', value_parser = Falsey::new())]
    pub(crate) all_specials: bool,
    /// Of these the devices alone.
    #[arg(long, value_parser = Falsey::new())]
    pub(crate) devices: bool,
    /// Of these the pipes and sockets alone.
    #[arg(long, value_parser = Falsey::new())]
    pub(crate) specials: bool,
    /// Tell other permissions than there are, as rsync's --chmod: D755,F644 or u+rwX,go-w.
    #[arg(long, value_name = "CHMOD", allow_hyphen_values = true, value_parser = chmod)]
    pub(crate) chmod: Vec<Chmod>,
    /// Tell another owner or group than there is, by name or number; keeps what is told.
    #[arg(long, value_name = "USER:GROUP", value_parser = chown)]
    pub(crate) chown: Option<Chown>,
    /// Keep access control lists, and permissions with them; else the group has what the list gives to it.
    #[arg(short = 'A', long, value_parser = Falsey::new())]
    pub(crate) acls: bool,
    /// Keep extended attributes: those of users, and as root, where the receiver allows it, capabilities and trusted.*.
    #[arg(short = 'X', long, value_parser = Falsey::new())]
    pub(crate) xattrs: bool,
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
    #[arg(short, long, value_parser = Falsey::new())]
    pub(crate) checksum: bool,
    /// Leave files that are newer there as they are.
    #[arg(short, long, value_parser = Falsey::new())]
    pub(crate) update: bool,
    /// Begin each file anew, also where an earlier copy was broken off, and leave nothing of it if this one is.
    #[arg(long, value_parser = Falsey::new())]
    pub(crate) no_resume: bool,
    /// Delete what stands in the folders that are copied and is not in SOURCE, where the receiver allows it, once all of
    /// SOURCE is in place there; what rules leave out stays, and nothing goes after an error.
    #[arg(long, value_parser = Falsey::new())]
    pub(crate) delete: bool,
    /// Delete nothing at a host where it would be more entries than this [default: 1000, or a tenth of those that stood
    /// there, whichever is more].
    #[arg(long, value_name = "N")]
    pub(crate) max_delete: Option<u64>,
    /// Change nothing: say what would be sent, changed and deleted, as -i does, and how much that is.
    #[arg(short = 'n', long, value_parser = Falsey::new())]
    pub(crate) dry_run: bool,
    /// Say of each entry that is changed what is, in rsync's letters, with the hosts before it where they differ.
    #[arg(short, long, value_parser = Falsey::new())]
    pub(crate) itemize_changes: bool,
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
    /// What was asked to be kept or compared, where there is nothing of that.
    pub(crate) fn without_effect(&self) -> Vec<&'static str> {
        let given = [
            ("-a", self.archive),
            ("-l", self.links),
            ("-p", self.perms),
            ("-t", self.times),
            ("-o", self.owner),
            ("-g", self.group_owner),
            ("-H", self.hard_links),
            ("-I", self.ignore_times),
            ("-c", self.checksum),
            ("-u", self.update),
            ("-A", self.acls),
            ("-X", self.xattrs),
            ("-D", self.all_specials),
            ("--devices", self.devices),
            ("--specials", self.specials),
            ("--numeric-ids", self.numeric_ids),
            ("--no-resume", self.no_resume),
        ];
        given.into_iter().filter_map(|(name, given)| given.then_some(name)).collect()
    }

    /// What was asked for that somebody relies on, such as permissions that keep others out, and that is not to be had
    /// where nothing of it is kept. To delete is that only if it was typed for this copy: not to do so keeps things.
    pub(crate) fn relied_on(&self, typed: &Typed) -> Option<&'static str> {
        let given = [
            ("--chmod", !self.chmod.is_empty()),
            ("--chown", self.chown.is_some()),
            ("--delete", self.delete && typed.has("delete")),
        ];
        given.into_iter().find_map(|(name, given)| given.then_some(name))
    }

    /// What of it cannot be meant, if anything: by its number nobody is found who has a name alone.
    pub(crate) fn fault(&self) -> Option<String> {
        let unknown = self.chown.as_ref().and_then(Chown::unknown).filter(|_| self.numeric_ids)?;
        Some(format!(
            "--chown {}: nobody has that name here, and with --numeric-ids no host is asked for it: give a number",
            plain(&String::from_utf8_lossy(unknown))
        ))
    }

    /// When a file that stands there already is taken for the source's.
    pub(crate) fn check(&self) -> Check {
        match self {
            // As with rsync, whose -I says nothing beside -c.
            Self { checksum: true, .. } => Check::Digest,
            Self { ignore_times: true, .. } => Check::None,
            _ => Check::Quick,
        }
    }

    /// What is to be kept.
    pub(crate) fn keep(&self) -> Keep {
        let (all, chown) = (self.archive, self.chown.as_ref());
        Keep {
            perms: all || self.perms || self.acls,
            times: all || self.times,
            owner: all || self.owner || chown.is_some_and(|chown| chown.user.is_some()),
            group: all || self.group_owner || chown.is_some_and(|chown| chown.group.is_some()),
            numeric_ids: self.numeric_ids,
            xattrs: self.xattrs,
            acls: self.acls,
        }
    }

    /// What is looked for at the source: names of owners only where they are kept.
    pub(crate) fn looked_for(&self) -> scan::Options {
        let (all, keep) = (self.archive, self.keep());
        scan::Options {
            links: all || self.links,
            hard_links: all || self.hard_links,
            atimes: false,
            owners: (keep.owner || keep.group || keep.acls) && !keep.numeric_ids,
            chmod: self.chmod.iter().fold(Chmod::NONE, |mut before, next| {
                before.then(next.clone());
                before
            }),
            chown: self.chown.clone().unwrap_or_default(),
            devices: all || self.all_specials || self.devices,
            specials: all || self.all_specials || self.specials,
            xattrs: keep.xattrs,
            acls: keep.acls,
            digests: self.checksum,
            deletes: self.delete,
            ..scan::Options::default()
        }
    }
}

fn chmod(text: &str) -> Result<Chmod, String> {
    Chmod::parse(text, transfer::destination::umask()).map_err(|error| error.to_string())
}

fn chown(text: &str) -> Result<Chown, String> {
    Chown::parse(text).ok_or_else(|| "it is no USER:GROUP, USER: or :GROUP".to_owned())
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
    fn a_name_that_nobody_has_goes_by_no_number() {
        let fault = |line: &str| {
            let words = std::iter::once("mcp").chain(line.split_whitespace());
            Line::try_parse_from(words).unwrap().kept.fault()
        };
        for line in ["--chown nobody-of-that-name", "--chown root:nobody-of-that-name"] {
            assert_eq!(fault(line), None, "a host may have it");
            let why = fault(&format!("{line} --numeric-ids")).unwrap();
            assert!(why.contains("--chown nobody-of-that-name: nobody has that name"), "{why}");
        }
        assert_eq!(fault("--chown root:7 --numeric-ids"), None);
    }

    #[test]
    fn names_of_owners_are_looked_for_only_where_they_are_kept() {
        let asks = |line: &str| {
            let words = std::iter::once("mcp").chain(line.split_whitespace());
            Line::try_parse_from(words).unwrap().kept.looked_for().owners
        };
        assert!(["-a", "-o", "-g", "-og", "-A"].into_iter().all(asks));
        assert!(!["", "-rlptHSX", "-aA --numeric-ids"].into_iter().any(asks));
    }
}
