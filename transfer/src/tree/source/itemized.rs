//! What members say of entries that are changed, by names: the list is read beside what each has said.

use super::TreeSource;
use crate::send::{Changed, ChangedRecords, Itemized};
use crate::source::SourceError;
use crate::tree::change::Change;
use crate::tree::entry::Kind;
use crate::tree::manifest::{PartReader, each_path};
use std::io;

impl TreeSource {
    /// Tells of each entry that is changed at one of some members at least, in the order of the list.
    pub fn itemized(
        &self,
        of: &[&Changed],
        each: &mut dyn FnMut(Itemized) -> io::Result<()>,
    ) -> Result<(), SourceError> {
        let mut records: Vec<_> = of.iter().map(|changed| changed.records()).collect();
        let changes = taken(&mut records, 0)?;
        if !changes.is_empty() {
            let (path, kind, to, len) = (Vec::new(), 'd', None, 0);
            each(Itemized { path, kind, to, len, changes }).map_err(aside)?;
        }
        let parts = self.lock().outline.len();
        for number in 0..parts {
            let bytes = self.lock().part(number)?;
            each_path(PartReader::new(number, &bytes)?, |entry, way, told| {
                let changes = taken(&mut records, entry + 1)?;
                if changes.is_empty() {
                    return Ok(());
                }
                let ((kind, to, len), path) = (shown_as(told.kind), way.join(&b'/'));
                each(Itemized { path, kind, to, len, changes }).map_err(aside)
            })?;
        }
        Ok(())
    }
}

#[expect(clippy::needless_pass_by_value, reason = "for map_err")]
fn aside(error: io::Error) -> SourceError {
    SourceError::Aside(error.to_string())
}

/// What members say of one entry, by their places.
fn taken(
    records: &mut [ChangedRecords<'_>],
    place: u64,
) -> Result<Vec<(usize, Change)>, SourceError> {
    let mut changes = Vec::new();
    for (member, records) in records.iter_mut().enumerate() {
        changes.extend(records.take(place).map_err(aside)?.map(|change| (member, change)));
    }
    Ok(changes)
}

/// Its letter, where it leads and whether as a symbolic link, and its bytes.
fn shown_as(kind: Kind) -> (char, Option<(Vec<u8>, bool)>, u64) {
    match kind {
        Kind::Dir => ('d', None, 0),
        Kind::File { len, .. } => ('f', None, len),
        Kind::Symlink { target } => ('L', Some((target, true)), 0),
        Kind::Special(device) => (if device.is_device() { 'D' } else { 'S' }, None, 0),
        Kind::Link { to } => ('f', Some((to, false)), 0),
    }
}
