//! The digest of a tree that was sent: from its list, and the digests of its files as they were read.

use super::TreeDigest;
use crate::blocks::{self, Stack, hashing};
use crate::source::SourceError;
use crate::tree::entry::{Entry, Kind};
use crate::tree::files::UNREAD;
use crate::tree::manifest::{PartReader, Record};
use crate::tree::spool::Spool;
use blake3::{Hash, OUT_LEN};
use std::collections::HashMap;

/// The digests of files by their entries' numbers. Nobody is held up if one cannot be put aside: it is not known then.
#[derive(Debug)]
pub(crate) struct Digests(Spool);

impl Digests {
    pub(crate) fn new(spool: Spool) -> Self {
        Self(spool)
    }

    /// The digest of an entry that was read.
    pub(crate) fn put(&mut self, entry: u64, digest: Hash) {
        let _ = self.0.write_at(digest.as_bytes(), entry * OUT_LEN as u64);
    }

    /// What was put, if it was.
    pub(crate) fn get(&self, entry: u64) -> Option<Hash> {
        let bytes = self.0.read(entry * OUT_LEN as u64, OUT_LEN).ok()?;
        let digest = bytes.try_into().ok()?;
        // Where nothing was written there are zeros, or there is no file.
        (digest != UNREAD).then(|| Hash::from_bytes(digest))
    }
}

/// The digest of a list of so many parts, if it is whole and the digests of all its files are known.
///
/// It is read twice: at first for the files that have further names, of which alone digests are kept by path.
pub(crate) fn of_list(
    parts: u64,
    part: impl Fn(u64) -> Result<Vec<u8>, SourceError>,
    digests: &Digests,
) -> Result<Option<Hash>, SourceError> {
    let mut first_names: HashMap<Hash, Option<First>> = HashMap::new();
    let mut is_whole = false;
    for number in 0..parts {
        let bytes = part(number)?;
        let mut reader = PartReader::new(number, &bytes)?;
        is_whole = reader.header().last;
        while let Some(record) = reader.next_record()? {
            if let Record::Entry(_, Entry { kind: Kind::Link { to }, .. }, _) = record {
                first_names.insert(hashing::of_name(&to), None);
            }
        }
    }
    if !is_whole {
        return Ok(None);
    }
    let mut summing = Summing { digest: TreeDigest::new(), way: Vec::new(), first_names, digests };
    for number in 0..parts {
        let bytes = part(number)?;
        let mut reader = PartReader::new(number, &bytes)?;
        while let Some(record) = reader.next_record()? {
            if summing.take(record).is_none() {
                return Ok(None);
            }
        }
    }
    Ok(summing.digest.finish())
}

struct Summing<'a> {
    digest: TreeDigest,
    /// The folders on the way down.
    way: Vec<Vec<u8>>,
    /// By what their paths hash to, which is shorter: a link's file comes before it.
    first_names: HashMap<Hash, Option<First>>,
    digests: &'a Digests,
}

/// What has further names.
enum First {
    File(Hash),
    /// And what it says.
    Symlink(Vec<u8>),
    Special,
}

impl Summing<'_> {
    /// `None`: a file's digest is not known.
    fn take(&mut self, record: Record) -> Option<()> {
        match record {
            Record::Root(_) => self.digest.contents(),
            Record::Whole | Record::Other(_) => {}
            Record::Leave => {
                self.way.pop();
                self.digest.leave();
            }
            Record::Entry(number, entry, _) => self.entry(number, entry)?,
        }
        Some(())
    }

    fn entry(&mut self, number: u64, Entry { name, kind, .. }: Entry) -> Option<()> {
        match kind {
            Kind::Dir => {
                self.digest.enter(&name);
                self.way.push(name);
            }
            Kind::Symlink { target } => {
                self.digest.symlink(&name, &target);
                self.note(&name, || First::Symlink(target));
            }
            // They do not count, nor does a further name of one.
            Kind::Special(_) => self.note(&name, || First::Special),
            Kind::Link { to } => match self.first_names.get(&hashing::of_name(&to))?.as_ref()? {
                First::File(digest) => self.digest.file(&name, *digest),
                First::Symlink(target) => self.digest.symlink(&name, target),
                First::Special => {}
            },
            Kind::File { len, data } => {
                let digest = match data {
                    // Nothing of it is ever read.
                    Some(data) if data.is_empty() => zeros(len)?,
                    _ if len == 0 => hashing::whole(&[]),
                    _ => self.digests.get(number)?,
                };
                self.note(&name, || First::File(digest));
                self.digest.file(&name, digest);
            }
        }
        Some(())
    }

    /// Remembers what has this name in the folder that it is in, if it has further ones.
    fn note(&mut self, name: &[u8], what: impl FnOnce() -> First) {
        if !self.first_names.is_empty() {
            let path: Vec<&[u8]> = self.way.iter().map(Vec::as_slice).chain([name]).collect();
            let path = hashing::of_name(&path.join(&b'/'));
            self.first_names.entry(path).and_modify(|known| *known = Some(what()));
        }
    }
}

/// The digest of a file that is one hole; `None` where its zeros would be hashed for longer than anybody waits.
fn zeros(len: u64) -> Option<Hash> {
    if blocks::count(len) > blocks::KEPT {
        return None;
    }
    let mut stack = Stack::new(len);
    (0..blocks::count(len)).for_each(|index| stack.push(blocks::zeros(index, len)));
    stack.root()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::blocks::{BLOCK, KEPT};
    use crate::tree::entry::Meta;
    use crate::tree::manifest::{Owner, PartWriter};

    /// The digest of a tree of one file that is one hole.
    fn of_a_hole(len: u64) -> Option<Hash> {
        let mut writer = PartWriter::new();
        let kind = Kind::File { len, data: Some(Vec::new()) };
        let entry = Entry { name: b"hole".to_vec(), meta: Meta::default(), kind };
        let owner = || Owner { uid: 0, gid: 0, user: Vec::new(), group: Vec::new() };
        writer.entry(&entry, None, owner);
        let (bytes, _) = writer.end(true);
        let digests = Digests::new(Spool::create(&std::env::temp_dir()).unwrap());
        of_list(1, |_| Ok(bytes.clone()), &digests).unwrap()
    }

    /// Nobody waits for hours until the zeros of a hundred TiB, of which not one is sent, are hashed.
    #[test]
    fn holes_are_hashed_as_far_as_that_takes_seconds() {
        assert_eq!(of_a_hole(3 * BLOCK + 1), Some(blake3::hash(&vec![0; 3 * BLOCK as usize + 1])));
        assert_eq!(of_a_hole((KEPT + 1) * BLOCK), None);
    }
}
