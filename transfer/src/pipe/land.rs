//! Where the blocks of a stream go, in order, each once it is verified.

use crate::destination::Shown;
use crate::message::Offer;
use crate::tree::below::{Below, Slot};
use crate::tree::entry::{Entry, Kind, Meta};
use crate::tree::ground::{Ground, Why};
use std::io::{self, Write};

/// Permissions of a file that comes from a pipe, which has none: what the receiver's umask leaves of these, as of any
/// file that a program makes (open(2)).
const MODE: u32 = 0o666;
/// What of a file's mode is permissions, and no more (inode(7)).
const PERMISSIONS: u32 = 0o777;

/// Where a stream goes.
pub(crate) trait Land {
    /// Takes the next bytes.
    fn write(&mut self, bytes: &[u8], at: u64) -> Result<(), Why>;
    /// All of it is there, and verified.
    fn end(&mut self) -> Result<(), Why>;
}

/// A file, which gets its name at the end. Whatever ends it before, nothing of it stays.
pub(crate) struct InFile<'a> {
    below: Below<'a>,
    slot: Option<Slot>,
}

impl<'a> InFile<'a> {
    /// Below the folder that an offer names, under its name there.
    pub(crate) fn begin(mut below: Below<'a>, offer: &Offer) -> Result<Self, Why> {
        let name = offer.one.clone().unwrap_or_else(|| super::OUTPUT.to_vec());
        let mode = offer.mode.map_or(MODE, |mode| mode & PERMISSIONS);
        let meta = Meta { mode, ..Meta::default() };
        let entry = Entry { name, meta, kind: Kind::File { len: 0, data: None } };
        below.claim(&entry)?;
        below.look(&entry, None)?; // whether what stands there may be replaced
        let (slot, _) = below.begin(&below.here(), &entry)?;
        Ok(Self { below, slot: Some(slot) })
    }

    /// What the file system refused that the bytes can do without.
    pub(crate) fn unset(&self) -> Vec<String> {
        self.below.unset()
    }
}

/// How an offer of a stream is put below a root: it always comes anew, and nothing is kept of a source but
/// that a new file is no more open than that.
pub(crate) fn anew(offer: &Offer) -> Offer {
    let Offer { to, one, sync, stream, mode, .. } = offer.clone();
    Offer { to, one, sync, stream, mode, check: crate::message::Check::None, ..Offer::default() }
}

impl Land for InFile<'_> {
    fn write(&mut self, bytes: &[u8], at: u64) -> Result<(), Why> {
        let Some(slot) = &mut self.slot else { return Err("the file has ended".to_owned()) };
        slot.lengthen(at + bytes.len() as u64);
        self.below.write(slot, bytes, at)?;
        self.below.verified(slot, at + bytes.len() as u64);
        Ok(())
    }

    fn end(&mut self) -> Result<(), Why> {
        if let Some(slot) = self.slot.take() {
            self.below.keep(slot)?;
        }
        let unfinished = self.below.finish()?;
        unfinished.into_iter().next().map_or(Ok(()), |unfinished| Err(unfinished.why))
    }
}

/// A program's standard output.
pub(crate) struct InOutput<W>(pub(crate) W);

impl<W: Write> Land for InOutput<W> {
    fn write(&mut self, bytes: &[u8], _: u64) -> Result<(), Why> {
        self.0.write_all(bytes).map_err(|error| said(&error))
    }

    fn end(&mut self) -> Result<(), Why> {
        self.0.flush().map_err(|error| said(&error))
    }
}

fn said(error: &io::Error) -> Why {
    match error.kind() {
        io::ErrorKind::BrokenPipe => "who reads its standard output has closed it".to_owned(),
        _ => format!("cannot write to standard output: {error}"),
    }
}

/// Why an offer cannot go to the standard output of a daemon that writes there.
pub(crate) fn no_output(offer: &Offer) -> Option<Why> {
    if offer.to != super::OUTPUT {
        let asked = Shown::asked(&offer.to, offer.one.as_deref().unwrap_or_default());
        return Some(format!(
            "this mcpd writes to its standard output (--to-stdout), which is the PATH -: it has no place for {asked}"
        ));
    }
    (!offer.stream).then(|| {
        "to standard output goes standard input or one file, not a folder or several files"
            .to_owned()
    })
}

/// Why an offer cannot go below a daemon's root, whatever stands there.
pub(crate) fn no_file(offer: &Offer) -> Option<Why> {
    (offer.to == super::OUTPUT).then(|| {
        "the PATH - is standard output, to which only mcpd --once --to-stdout writes; a file of this name is ./-"
            .to_owned()
    })
}

/// Why an offer is no dry run: a stream has no list by which it could be told what would come of it.
pub(crate) fn no_dry_run(offer: &Offer) -> Option<Why> {
    (offer.stream && offer.dry).then(|| "of a stream a dry run has nothing to tell".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn offer(to: &str, stream: bool) -> Offer {
        Offer { to: to.into(), stream, ..Offer::default() }
    }

    #[test]
    fn a_daemon_has_one_kind_of_place() {
        assert_eq!(no_output(&offer("-", true)), None);
        assert!(no_output(&offer("-", false)).unwrap().contains("not a folder"));
        for to in ["", "x", "./-", "-/", "--"] {
            assert!(no_output(&offer(to, true)).unwrap().contains("--to-stdout"), "{to}");
            assert_eq!(no_file(&offer(to, true)), None, "{to}");
        }
        assert!(
            [true, false].map(|stream| no_file(&offer("-", stream))).iter().all(Option::is_some)
        );
    }

    #[test]
    fn a_stream_is_never_written_in_a_dry_run() {
        let refused = |dry, stream| no_dry_run(&Offer { dry, ..offer("x", stream) }).is_some();
        assert!(refused(true, true));
        assert!(!refused(true, false) && !refused(false, true));
    }

    #[test]
    fn of_what_a_source_has_its_mode_alone_is_taken_over() {
        let all = Offer {
            mode: Some(0o600),
            resume: true,
            update: true,
            keep: crate::message::Keep { perms: true, ..Default::default() },
            ..offer("x", true)
        };
        assert_eq!(anew(&all), Offer { mode: Some(0o600), ..anew(&offer("x", true)) });
    }

    #[test]
    fn who_closed_it_is_told_from_a_full_disk() {
        let closed = said(&io::ErrorKind::BrokenPipe.into());
        assert!(closed.contains("closed it"), "{closed}");
        let full = said(&io::ErrorKind::StorageFull.into());
        assert!(full.starts_with("cannot write"), "{full}");
    }
}
