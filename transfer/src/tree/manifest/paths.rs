//! Goes through a part entry by entry, by the whole path of each.

use super::{PartError, PartReader, Record};
use crate::tree::entry::{Entry, Kind};

/// Calls `each` for every entry of a part, in the list's order: its number, the names on the way to it and its own, and
/// what is told of it. Ends with the first error, of the part or of `each`.
pub(crate) fn each_path<E: From<PartError>>(
    mut reader: PartReader<'_>,
    mut each: impl FnMut(u64, &[Vec<u8>], Entry) -> Result<(), E>,
) -> Result<(), E> {
    let mut way = reader.header().way.clone();
    while let Some(record) = reader.next_record()? {
        match record {
            Record::Root(_) | Record::Whole | Record::Other(_) => {}
            Record::Leave => drop(way.pop()),
            Record::Entry(number, entry, _) => {
                let is_folder = entry.kind == Kind::Dir;
                way.push(entry.name.clone());
                each(number, &way, entry)?;
                if !is_folder {
                    way.pop();
                }
            }
        }
    }
    Ok(())
}
