//! The numbers of a master's announcements: none is used twice, whatever happens to the master.

use super::Stamp;

/// So many are reserved at once: at an announcement a second the disk is written to four times an hour.
pub const RESERVED: u64 = 1024;

/// What stands on the disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Reserved {
    /// Random; a new one begins at 0.
    pub incarnation: u64,
    /// No number from this one on has been used.
    pub below: u64,
}

/// The numbers that one master has left.
#[derive(Debug)]
pub struct Stamps {
    reserved: Reserved,
    next: u64,
}

impl Stamps {
    /// Of what stands on the disk. What was reserved before may have been used.
    pub fn resume(reserved: Reserved) -> Self {
        Self { reserved, next: reserved.below }
    }

    /// The next one. `keep` is to put it on the disk, and to return once it is safe there.
    ///
    /// # Errors
    ///
    /// Those of `keep`: then nothing is to be announced.
    pub fn next<E>(&mut self, keep: impl FnOnce(Reserved) -> Result<(), E>) -> Result<Stamp, E> {
        let Reserved { incarnation, below } = self.reserved;
        if self.next >= below {
            let more = Reserved { incarnation, below: below.saturating_add(RESERVED) };
            keep(more)?;
            self.reserved = more;
        }
        let counter = self.next;
        self.next += 1;
        Ok(Stamp { incarnation, counter })
    }

    /// A receiver says which one it took last. Whether this master never sent that, as far as it knows: its disk holds an
    /// older state, and it is to go on as another incarnation ([`Self::begin_anew`]).
    pub fn is_outdated_by(&self, taken: Stamp) -> bool {
        taken.incarnation == self.reserved.incarnation && taken.counter >= self.next
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
        *self = Self::resume(reserved);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeSet;

    const NEW: Reserved = Reserved { incarnation: 1, below: 0 };

    #[test]
    fn nothing_is_announced_that_is_not_reserved() {
        let mut stamps = Stamps::resume(NEW);
        assert_eq!(stamps.next(|_| Err("the disk is full")), Err("the disk is full"));
        let first = stamps.next(|_| Ok::<_, ()>(())).unwrap();
        assert_eq!(first, Stamp { incarnation: 1, counter: 0 });
        let second = stamps.next(|_| Err("it is reserved already")).unwrap();
        assert_eq!(second.counter, 1);
    }

    #[test]
    fn a_master_of_an_older_state_goes_on_as_another() {
        let mut kept = NEW;
        let mut stamps = Stamps::resume(NEW);
        let mut next = |stamps: &mut Stamps| {
            stamps.next(|reserved| {
                kept = reserved;
                Ok::<_, ()>(())
            })
        };
        let taken = next(&mut stamps).unwrap();
        assert!(!stamps.is_outdated_by(taken));
        let mut restored = Stamps::resume(NEW);
        assert!(restored.is_outdated_by(taken));
        restored.begin_anew(2, |_| Ok::<_, ()>(())).unwrap();
        assert!(!restored.is_outdated_by(taken));
        assert_eq!(next(&mut restored), Ok(Stamp { incarnation: 2, counter: 0 }));
        assert_eq!(kept, Reserved { incarnation: 2, below: RESERVED });
    }

    proptest! {
        /// It is killed at any moment, also between a reservation and its use.
        #[test]
        fn no_number_is_used_twice(lives in prop::collection::vec((0_u64..3000, any::<bool>()), 1..6)) {
            let (mut disk, mut used) = (NEW, BTreeSet::new());
            for (sent, fails) in lives {
                let mut stamps = Stamps::resume(disk);
                for _ in 0..sent {
                    let stamp = stamps.next(|more| {
                        disk = more;
                        Ok::<_, ()>(())
                    });
                    prop_assert!(used.insert(stamp.unwrap()));
                }
                if fails {
                    disk.below += RESERVED; // it was killed once the disk had it
                }
            }
        }
    }
}
