//! The numbers of a master's announcements: none is used twice, whatever happens to the master.

use thiserror::Error;

/// So many are reserved at once: at an announcement a second the disk is written to four times an hour.
pub const RESERVED: u64 = 1024;

/// Which announcement of a master's it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Stamp {
    /// Of the master's state, as receivers were told: a master that finds that it was restored has a new one.
    pub incarnation: u64,
    /// Grows with each announcement of an incarnation.
    pub counter: u64,
    /// Random, of the process that announces: one that was restored, and does not know it, has another.
    pub life: [u8; 16],
}

/// A stamp that nothing has been sent with; for one [`super::seal`].
#[derive(Debug)]
pub struct Unused(pub(super) Stamp);

/// What stands on the disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Reserved {
    /// Random; a new one begins at 0.
    pub incarnation: u64,
    /// No number from this one on has been used.
    pub below: u64,
}

/// There is no number for an announcement.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum NoStamp<E> {
    /// It could not be reserved: the fault of the disk.
    #[error("no number could be reserved for an announcement: {0}")]
    Kept(E),
    /// All are used: the master is to begin anew.
    #[error("all numbers of this incarnation are used")]
    Exhausted,
}

/// The numbers that one master has left. One process at a time may have those of a master: whoever has them holds a lock,
/// from before it reads what is reserved until it announces no more.
#[derive(Debug)]
pub struct Stamps {
    reserved: Reserved,
    life: [u8; 16],
    /// The first number of this life.
    first: u64,
    next: u64,
}

impl Stamps {
    /// Of what stands on the disk, for a new life; `life` is random. What was reserved before may have been used.
    pub fn resume(reserved: Reserved, life: [u8; 16]) -> Self {
        Self { reserved, life, first: reserved.below, next: reserved.below }
    }

    /// The next one. `keep` is to put it on the disk, and to return once it is safe there.
    ///
    /// # Errors
    ///
    /// Nothing is to be announced then.
    pub fn next<E>(
        &mut self,
        keep: impl FnOnce(Reserved) -> Result<(), E>,
    ) -> Result<Unused, NoStamp<E>> {
        let Reserved { incarnation, below } = self.reserved;
        if self.next >= below {
            let below = below.checked_add(RESERVED).ok_or(NoStamp::Exhausted)?;
            let more = Reserved { incarnation, below };
            keep(more).map_err(NoStamp::Kept)?;
            self.reserved = more;
        }
        let counter = self.next;
        self.next += 1;
        Ok(Unused(Stamp { incarnation, counter, life: self.life }))
    }

    /// What stands on the disk by now.
    pub fn reserved(&self) -> Reserved {
        self.reserved
    }

    /// The number from which on a receiver is to take announcements that is told of this master now.
    pub fn floor(&self) -> u64 {
        self.next
    }

    /// A receiver shows the announcement that it took last, which this master has signed. Whether another life sent it
    /// with a number that this one has for its own: the disk holds an older state, and the master is to go on as another
    /// incarnation ([`Self::begin_anew`]).
    pub fn is_outdated_by(&self, taken: Stamp) -> bool {
        taken.incarnation == self.reserved.incarnation
            && taken.life != self.life
            && taken.counter >= self.first
    }

    /// Goes on as another incarnation; `incarnation` is random. `keep` as in [`Self::next`].
    ///
    /// # Errors
    ///
    /// Those of `keep`: then it is as before.
    pub fn begin_anew<E>(
        &mut self,
        incarnation: u64,
        keep: impl FnOnce(Reserved) -> Result<(), E>,
    ) -> Result<(), E> {
        let reserved = Reserved { incarnation, below: 0 };
        keep(reserved)?;
        *self = Self::resume(reserved, self.life);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeSet;

    const NEW: Reserved = Reserved { incarnation: 1, below: 0 };

    const KEPT: fn(Reserved) -> Result<(), ()> = |_| Ok(());

    #[test]
    fn nothing_is_announced_that_is_not_reserved() {
        let mut stamps = Stamps::resume(NEW, [1; 16]);
        let full = stamps.next(|_| Err("the disk is full")).unwrap_err();
        assert_eq!(full, NoStamp::Kept("the disk is full"));
        let first = stamps.next(KEPT).unwrap().0;
        assert_eq!(first, Stamp { incarnation: 1, counter: 0, life: [1; 16] });
        let second = stamps.next(|_| Err("it is reserved already")).unwrap();
        assert_eq!((second.0.counter, stamps.floor()), (1, 2));
        let mut last = Stamps::resume(Reserved { below: u64::MAX - 5, ..NEW }, [1; 16]);
        assert_eq!(last.next(KEPT).unwrap_err(), NoStamp::Exhausted);
    }

    /// It is noticed whatever the restored one has sent by then.
    #[test]
    fn a_master_of_an_older_state_goes_on_as_another() {
        let mut disk = NEW;
        let mut before = Stamps::resume(disk, [1; 16]);
        let mut taken = Vec::new();
        for _ in 0..RESERVED + 500 {
            let keep = |more| {
                disk = more;
                Ok::<_, ()>(())
            };
            taken.push(before.next(keep).unwrap().0);
        }
        let copy = Reserved { below: RESERVED, ..NEW };
        let mut restored = Stamps::resume(copy, [2; 16]);
        for _ in 0..RESERVED {
            restored.next(KEPT).unwrap();
        }
        assert!(restored.is_outdated_by(*taken.last().unwrap()));
        assert!(!restored.is_outdated_by(taken[0]), "from before the copy was made");
        let after = Stamps::resume(disk, [3; 16]);
        assert!(
            taken.iter().all(|taken| !after.is_outdated_by(*taken)),
            "it was only started anew"
        );
        restored.begin_anew(2, KEPT).unwrap();
        assert!(taken.iter().all(|taken| !restored.is_outdated_by(*taken)));
        let next = restored.next(KEPT).unwrap().0;
        assert_eq!(next, Stamp { incarnation: 2, counter: 0, life: [2; 16] });
    }

    proptest! {
        /// It is killed at any moment, also between a reservation and its use.
        #[test]
        fn no_number_is_used_twice(lives in prop::collection::vec((0_u64..3000, any::<bool>()), 1..6)) {
            let (mut disk, mut used) = (NEW, BTreeSet::new());
            for (sent, fails) in lives {
                let mut stamps = Stamps::resume(disk, [7; 16]);
                for _ in 0..sent {
                    let keep = |more| {
                        disk = more;
                        Ok::<_, ()>(())
                    };
                    prop_assert!(used.insert(stamps.next(keep).unwrap().0));
                }
                if fails {
                    disk.below += RESERVED; // it was killed once the disk had it
                }
            }
        }
    }
}
