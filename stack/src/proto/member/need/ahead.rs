//! Where from some place on something is still to be sent to a member: what of a source is to be at hand.

use super::Need;

impl Need {
    /// The first byte at or after `from` that is to be sent to it alone.
    pub(crate) fn first_alone_from(&self, from: u64) -> Option<u64> {
        let sets = [&self.unsent, &self.again];
        sets.into_iter().filter_map(|set| set.first_from(from)).map(|piece| piece.start).min()
    }

    /// The first byte at or after `from` that the group, which stands at `cursor`, is to carry for it: what
    /// it lacks of what lies ahead, and of what has been passed, what it is owed. `follows` as for
    /// [`Self::lacks_from`].
    pub(crate) fn first_shared_from(&self, from: u64, cursor: u64, follows: bool) -> Option<u64> {
        let passed = self.shared_from(from).filter(|piece| piece.start < cursor);
        let ahead = || self.lacks_from(from.max(cursor), follows);
        passed.or_else(ahead).map(|piece| piece.start)
    }
}
