//! Under which names entries stood before, as a sender says: who holds a file under its former name copies it, and needs
//! none of its bytes. Nothing of it is believed: what is copied counts once its digest has matched.

use std::collections::HashMap;

/// Two paths from the root of the transfer: under the first one stood what stands under the second one now. Of a folder
/// it says the same of all that is below it.
pub type Pair = (Vec<u8>, Vec<u8>);

/// Pairs of one session, at most.
pub const MOST: usize = 1 << 16;
/// Bytes of their paths, at most.
pub const MOST_BYTES: usize = 16 << 20;
/// Bytes of the two paths of a pair, at most: it fits a message. A path that the system takes has 4096 at most.
pub const MOST_OF_ONE: usize = 16 << 10;
/// Former names of a file that are looked for, at most: each is a system call or two.
const TRIED: usize = 16;

/// The first of these pairs that there is room for in a session.
pub fn bounded(pairs: impl IntoIterator<Item = Pair>) -> Vec<Pair> {
    let mut room = Room::default();
    let fits = |pair: &Pair| pair.0.len() + pair.1.len() <= MOST_OF_ONE;
    pairs.into_iter().filter(fits).take_while(|pair| room.take(pair)).collect()
}

/// How much of the room is taken.
#[derive(Debug, Default)]
struct Room {
    pairs: usize,
    bytes: usize,
}

impl Room {
    /// Takes it for one more; `false`: there is none.
    fn take(&mut self, (from, to): &Pair) -> bool {
        self.pairs += 1;
        self.bytes = self.bytes.saturating_add(from.len() + to.len());
        self.pairs <= MOST && self.bytes <= MOST_BYTES
    }
}

/// What a receiver was told.
#[derive(Debug, Default)]
pub struct Moved {
    /// By the names that they have now.
    from: HashMap<Vec<u8>, Vec<Vec<u8>>>,
    room: Room,
}

impl Moved {
    /// Takes a pair; `false`: there is no room for it.
    #[must_use]
    pub fn add(&mut self, (from, to): Pair) -> bool {
        let pair = (from, to);
        if !self.room.take(&pair) {
            return false;
        }
        let (from, to) = pair;
        self.from.entry(to).or_default().push(from);
        true
    }

    /// Nothing was told.
    pub fn is_empty(&self) -> bool {
        self.from.is_empty()
    }

    /// Under which names a file that has this path now may have stood: first those that were said of itself, then those
    /// that follow from the folders that it is in, the lowest first.
    pub fn before<'a>(&'a self, path: &'a [u8]) -> impl Iterator<Item = Vec<u8>> + 'a {
        let folders = path.iter().enumerate().rev().filter(|(_, byte)| **byte == b'/');
        let ends = std::iter::once(path.len()).chain(folders.map(|(at, _)| at));
        let said = ends.flat_map(move |end| {
            let from = self.from.get(&path[..end]).map(Vec::as_slice).unwrap_or_default();
            from.iter().map(move |from| [from, &path[end..]].concat())
        });
        said.filter(move |from| from != path).take(TRIED)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn pair(from: &str, to: &str) -> Pair {
        (from.into(), to.into())
    }

    fn told(pairs: &[(&str, &str)]) -> Moved {
        let mut moved = Moved::default();
        assert!(pairs.iter().all(|(from, to)| moved.add(pair(from, to))));
        moved
    }

    fn before(moved: &Moved, path: &str) -> Vec<String> {
        moved.before(path.as_bytes()).map(|from| String::from_utf8(from).unwrap()).collect()
    }

    #[test]
    fn what_was_said_of_a_file_itself_comes_before_what_follows_from_its_folders() {
        let moved =
            told(&[("a", "b"), ("x", "b/c"), ("a/old", "b/c/f"), ("y", "b/c/f"), ("b", "b")]);
        assert_eq!(before(&moved, "b/c/f"), ["a/old", "y", "x/f", "a/c/f"]);
        assert_eq!(before(&moved, "b/cc/f"), ["a/cc/f"]);
        assert_eq!(before(&moved, "b"), ["a"]);
        assert_eq!(before(&moved, "bb/f"), [""; 0]);
    }

    #[test]
    fn there_is_room_for_so_many_pairs_and_bytes_and_no_more() {
        let mut moved = Moved::default();
        assert!((0..MOST).all(|n| moved.add((Vec::new(), n.to_le_bytes().to_vec()))));
        assert!(!moved.add(pair("a", "b")));
        let mut moved = Moved::default();
        let long = || (vec![b'x'; MOST_OF_ONE / 2], vec![b'y'; MOST_OF_ONE / 2]);
        assert!((0..MOST_BYTES / MOST_OF_ONE).all(|_| moved.add(long())));
        assert!(!moved.add(pair("a", "b")));
        let many = bounded((0..).map(|n| (Vec::new(), u64::to_le_bytes(n).to_vec())));
        assert_eq!(many.len(), MOST);
        let much = bounded((0..2000).map(|_| long()));
        assert_eq!(much.len(), MOST_BYTES / MOST_OF_ONE);
        assert_eq!(bounded([(vec![0; MOST_OF_ONE], vec![0]), pair("a", "b")]), [pair("a", "b")]);
    }

    fn path() -> impl Strategy<Value = Vec<u8>> {
        prop::collection::vec(prop::sample::select(&[b'a', b'b', b'/'][..]), 0..7)
    }

    proptest! {
        /// Each former name is that of a pair, with what is behind the folder.
        #[test]
        fn nothing_is_looked_for_that_was_not_said(
            pairs in prop::collection::vec((path(), path()), 0..20),
            path in path(),
        ) {
            let mut moved = Moved::default();
            for pair in &pairs {
                prop_assert!(moved.add(pair.clone()));
            }
            let before: Vec<_> = moved.before(&path).collect();
            prop_assert!(before.len() <= TRIED);
            for from in &before {
                let says = |(old, new): &Pair| {
                    let rest = path.strip_prefix(&new[..]);
                    let rest = rest.filter(|rest| rest.is_empty() || rest.starts_with(b"/"));
                    rest.is_some_and(|rest| [old, rest].concat() == *from)
                };
                prop_assert!(pairs.iter().any(says) && *from != path);
            }
            let said = pairs.iter().filter(|(old, new)| *new == path && *old != path).count();
            prop_assert!(before.len() >= said.min(TRIED));
        }
    }
}
