//! The pieces of a set, in chunks: a change in the middle moves part of one chunk, however many
//! pieces there are.

use core::mem::replace;
use core::ops::Range;
use std::collections::VecDeque;

/// Pieces of one chunk, at most: it takes 4 KiB, of which a change moves half at most.
pub(super) const CHUNK: usize = 256;
/// Two neighbours that have no more than this between them become one, so that memory follows the
/// number of pieces: two neighbours have more than half a chunk between them. Less than a chunk, so that
/// not every second change parts and joins them.
const JOINED: usize = CHUNK / 4 * 3;

type Chunk = VecDeque<Range<u64>>;

/// A list of pieces. Up to [`CHUNK`] of them stand in one ring, as most sets' do.
#[derive(Debug, Clone, Default)]
pub(super) struct Pieces {
    /// All chunks but the last; none is empty.
    lower: VecDeque<Chunk>,
    /// The last chunk, which alone grows by appending; empty only if there is no piece at all.
    last: Chunk,
    /// A chunk to use again: a set that moves along allocates nothing.
    spare: Chunk,
    len: usize,
}

/// The place of a piece, or the end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Place {
    chunk: usize,
    at: usize,
}

impl Pieces {
    pub(super) fn len(&self) -> usize {
        self.len
    }

    /// Memory that this takes, in bytes, at most: chunks are not larger than [`CHUNK`].
    pub(super) fn bytes(&self) -> usize {
        let chunks = self.lower.len() * CHUNK + self.last.capacity() + self.spare.capacity();
        chunks * size_of::<Range<u64>>() + self.lower.capacity() * size_of::<Chunk>()
    }

    pub(super) fn first(&self) -> Option<&Range<u64>> {
        self.lower.front().unwrap_or(&self.last).front()
    }

    pub(super) fn last(&self) -> Option<&Range<u64>> {
        self.last.back()
    }

    pub(super) fn last_mut(&mut self) -> Option<&mut Range<u64>> {
        self.last.back_mut()
    }

    pub(super) fn get(&self, place: Place) -> Option<&Range<u64>> {
        self.chunk(place.chunk).get(place.at)
    }

    pub(super) fn get_mut(&mut self, place: Place) -> Option<&mut Range<u64>> {
        self.chunk_mut(place.chunk).get_mut(place.at)
    }

    /// The first piece for which `before` does not hold; it holds up to some piece and then no more.
    pub(super) fn find(&self, before: impl Fn(&Range<u64>) -> bool) -> Place {
        if self.lower.is_empty() {
            return Place { chunk: 0, at: self.last.partition_point(before) };
        }
        let chunk = self.lower.partition_point(|chunk| chunk.back().is_some_and(&before));
        Place { chunk, at: self.chunk(chunk).partition_point(before) }
    }

    /// The place behind the last piece.
    pub(super) fn end(&self) -> Place {
        Place { chunk: self.lower.len(), at: self.last.len() }
    }

    /// The place behind that of a piece.
    pub(super) fn next(&self, place: Place) -> Place {
        let (chunk, at) = (place.chunk, place.at + 1);
        if chunk < self.lower.len() && at == self.lower[chunk].len() {
            return Place { chunk: chunk + 1, at: 0 };
        }
        Place { chunk, at }
    }

    pub(super) fn push(&mut self, piece: Range<u64>) {
        if self.last.len() == CHUNK {
            let empty = self.empty_chunk();
            self.lower.push_back(replace(&mut self.last, empty));
        }
        self.last.push_back(piece);
        self.len += 1;
    }

    pub(super) fn pop_first(&mut self) -> Option<Range<u64>> {
        let chunk = self.lower.front_mut().unwrap_or(&mut self.last);
        let piece = chunk.pop_front()?;
        self.len -= 1;
        if chunk.is_empty() && !self.lower.is_empty() {
            self.drop_chunk(0);
        }
        Some(piece)
    }

    /// Puts a piece before that of a place.
    pub(super) fn insert(&mut self, place: Place, piece: Range<u64>) {
        let Place { mut chunk, mut at } = place;
        if self.chunk(chunk).len() == CHUNK {
            if at == 0 && chunk == 0 {
                // Pieces that come from the last to the first fill their chunks as well.
                let empty = self.empty_chunk();
                self.lower.push_front(empty);
            } else if at == 0 && self.lower[chunk - 1].len() < CHUNK {
                chunk -= 1;
                at = self.lower[chunk].len();
            } else if chunk == self.lower.len() && at == CHUNK {
                return self.push(piece);
            } else {
                self.split(chunk);
                if at > CHUNK / 2 {
                    chunk += 1;
                    at -= CHUNK / 2;
                }
            }
        }
        self.chunk_mut(chunk).insert(at, piece);
        self.len += 1;
    }

    /// Takes the pieces between two places out: at least one.
    pub(super) fn cut(&mut self, from: Place, to: Place) {
        let before = self.len;
        if from.chunk == to.chunk {
            self.len -= to.at - from.at;
            self.chunk_mut(from.chunk).drain(from.at..to.at);
        } else {
            self.len -= self.lower[from.chunk].len() - from.at + to.at;
            self.lower[from.chunk].truncate(from.at);
            self.chunk_mut(to.chunk).drain(..to.at);
            self.len -= self.lower.drain(from.chunk + 1..to.chunk).map(|c| c.len()).sum::<usize>();
        }
        debug_assert!(self.len < before);
        if !self.lower.is_empty() {
            // The higher one first, since the lower one's place does not change by that.
            if from.chunk != to.chunk {
                self.settle(from.chunk + 1);
            }
            self.settle(from.chunk);
        }
    }

    pub(super) fn iter(&self) -> Iter<'_> {
        Iter { pieces: self, next: Place { chunk: 0, at: 0 }, end: self.end(), left: self.len }
    }

    /// The pieces from a place on.
    pub(super) fn iter_from(&self, mut place: Place) -> impl Iterator<Item = &Range<u64>> {
        core::iter::from_fn(move || {
            let piece = self.get(place)?;
            place = self.next(place);
            Some(piece)
        })
    }

    fn chunk(&self, chunk: usize) -> &Chunk {
        if chunk == self.lower.len() { &self.last } else { &self.lower[chunk] }
    }

    fn chunk_mut(&mut self, chunk: usize) -> &mut Chunk {
        if chunk == self.lower.len() { &mut self.last } else { &mut self.lower[chunk] }
    }

    fn empty_chunk(&mut self) -> Chunk {
        let spare = core::mem::take(&mut self.spare);
        if spare.capacity() == 0 { VecDeque::with_capacity(CHUNK) } else { spare }
    }

    /// Parts a chunk in the middle.
    fn split(&mut self, chunk: usize) {
        let mut other = self.empty_chunk();
        other.extend(self.chunk_mut(chunk).drain(..CHUNK / 2));
        self.lower.insert(chunk, other);
    }

    /// Joins a chunk with a neighbour if both have few pieces, and drops it if it has none.
    fn settle(&mut self, chunk: usize) {
        if chunk > self.lower.len() {
            return;
        }
        let len = self.chunk(chunk).len();
        if len == 0 {
            self.drop_chunk(chunk);
            // Those that were apart are neighbours now.
            if self.len > 0 {
                self.settle(chunk.saturating_sub(1));
            }
            return;
        }
        if chunk < self.lower.len() && len + self.chunk(chunk + 1).len() <= JOINED {
            self.join(chunk);
        } else if chunk > 0 && len + self.lower[chunk - 1].len() <= JOINED {
            self.join(chunk - 1);
        }
    }

    /// Joins a chunk and the one behind it.
    fn join(&mut self, chunk: usize) {
        let mut moved = core::mem::take(&mut self.lower[chunk]);
        let upper = self.chunk_mut(chunk + 1);
        core::mem::swap(upper, &mut moved);
        upper.extend(moved.drain(..));
        self.lower[chunk] = moved;
        self.drop_chunk(chunk);
    }

    /// Takes an empty chunk out; not the only one.
    fn drop_chunk(&mut self, chunk: usize) {
        let dropped = if chunk < self.lower.len() {
            self.lower.remove(chunk)
        } else {
            self.lower.pop_back().map(|lower| replace(&mut self.last, lower))
        };
        self.spare = dropped.unwrap_or_default();
    }
}

/// Iterator over [`Pieces`], from both ends.
#[derive(Debug, Clone)]
pub(super) struct Iter<'a> {
    pieces: &'a Pieces,
    next: Place,
    end: Place,
    left: usize,
}

impl<'a> Iterator for Iter<'a> {
    type Item = &'a Range<u64>;

    fn next(&mut self) -> Option<&'a Range<u64>> {
        self.left = self.left.checked_sub(1)?;
        let piece = self.pieces.get(self.next);
        self.next = self.pieces.next(self.next);
        piece
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (self.left, Some(self.left))
    }
}

impl DoubleEndedIterator for Iter<'_> {
    fn next_back(&mut self) -> Option<Self::Item> {
        self.left = self.left.checked_sub(1)?;
        if self.end.at == 0 {
            self.end.chunk -= 1;
            self.end.at = self.pieces.lower[self.end.chunk].len();
        }
        self.end.at -= 1;
        self.pieces.get(self.end)
    }
}

impl ExactSizeIterator for Iter<'_> {}

#[cfg(test)]
impl Pieces {
    /// What the rest relies on, and that memory follows the number of pieces.
    pub(super) fn check(&self) {
        let lens: Vec<usize> = self.lower.iter().chain([&self.last]).map(VecDeque::len).collect();
        assert_eq!(lens.iter().sum::<usize>(), self.len);
        assert!(lens.iter().all(|len| *len <= CHUNK));
        assert!(lens.len() == 1 || lens.iter().all(|len| *len > 0));
        // A half that was split off may have a small neighbour; of the first one, pieces are taken
        // without a look at its neighbour.
        assert!(lens[1..].windows(2).all(|pair| pair[0] + pair[1] > CHUNK / 2), "{lens:?}");
        let chunks = self.lower.iter().chain([&self.last, &self.spare]);
        assert!(chunks.clone().all(|chunk| chunk.capacity() <= CHUNK));
        let held: usize = chunks.map(VecDeque::capacity).sum();
        assert!(held * size_of::<Range<u64>>() <= self.bytes());
    }
}
