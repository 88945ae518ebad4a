//! What a receiver says of what it holds, on its way to the sender: HAVE, LACK and AGAIN. What is to
//! be said waits here, merged, until the control conversation has room for it.

use crate::proto::conn::control::Control;
use crate::proto::ranges::RangeSet;
use crate::wire::{OffsetList, Record};
use core::ops::Range;

/// A range takes two bytes of a record at least (docs/wire.md, HAVE).
const LEAST_RANGE: usize = 2;

/// What is still to be said.
#[derive(Debug, Default)]
pub(crate) struct Declarations {
    have: RangeSet,
    lack: RangeSet,
    again: RangeSet,
}

impl Declarations {
    /// It holds a range.
    pub(crate) fn have(&mut self, range: Range<u64>) {
        self.lack.remove(range.clone());
        self.again.remove(range.clone());
        self.have.insert(range);
    }

    /// It lacks a range, as far as nothing else was said of it.
    pub(crate) fn lack(&mut self, range: Range<u64>) {
        self.lack.insert(range);
    }

    /// It takes a range back.
    pub(crate) fn again(&mut self, range: Range<u64>) {
        self.have.remove(range.clone());
        self.again.insert(range);
    }

    /// Whether everything has been said.
    pub(crate) fn is_empty(&self) -> bool {
        self.have.is_empty() && self.lack.is_empty() && self.again.is_empty()
    }

    /// Says as much as there is room for. What it holds comes first: what is undeclared after that may
    /// be said to be lacking in one range.
    pub(crate) fn say(&mut self, control: &mut Control) {
        say(&mut self.have, control, Word::Have);
        if self.have.is_empty() {
            say(&mut self.lack, control, Word::Lack);
        }
        if self.have.is_empty() && self.lack.is_empty() {
            say(&mut self.again, control, Word::Again);
        }
    }
}

/// Which of the three is said.
#[derive(Clone, Copy)]
enum Word {
    Have,
    Lack,
    Again,
}

impl Word {
    fn record(self, list: OffsetList<'_>) -> Record<'_> {
        match self {
            Self::Have => Record::Have(list),
            Self::Lack => Record::Lack(list),
            Self::Again => Record::Again(list),
        }
    }
}

fn say(set: &mut RangeSet, control: &mut Control, word: Word) {
    while !set.is_empty() {
        let room = control.record_room();
        // No more than may fit: this is asked for at every declaration, mostly with no room left.
        let ranges: Vec<Range<u64>> = set.iter().take(room / LEAST_RANGE).collect();
        let n = OffsetList::fit(&ranges, room);
        if n == 0 {
            return;
        }
        control.push(&word.record(OffsetList::Listed(&ranges[..n])));
        for range in &ranges[..n] {
            set.remove(range.clone());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Declarations;
    use crate::proto::conn::control::{Control, Notice};
    use core::ops::Range;

    /// Carries what one end says to the other, and gives what that understands.
    fn carry(from: &mut Control, to: &mut Control) -> Vec<Notice> {
        let mut buf = vec![0; 4096];
        while let Some(range) = from.take(buf.len()) {
            let len = (range.end - range.start) as usize;
            from.copy(&range, &mut buf[..len]);
            assert!(to.accept(range.start, &buf[..len]));
            from.on_acked(range);
        }
        let mut notices = Vec::new();
        to.decode(&mut notices).unwrap();
        let (next, edge) = to.window();
        from.on_report(next, edge);
        notices
    }

    fn all(
        notices: Vec<Notice>,
        pick: impl Fn(Notice) -> Option<Vec<Range<u64>>>,
    ) -> Vec<Range<u64>> {
        notices.into_iter().filter_map(pick).flatten().collect()
    }

    #[test]
    fn more_than_there_is_room_for_is_said_bit_by_bit() {
        let (mut here, mut there) = (Control::new(), Control::new());
        let mut said = Declarations::default();
        // Sizes that share no unit, so that each range takes many bytes.
        let range = |n: u64| n * 100_003..n * 100_003 + 50_001 + n % 7;
        (0..200_000).for_each(|n| said.have(range(n)));
        said.lack(0..1 << 40);
        let mut heard = Vec::new();
        for round in 0.. {
            said.say(&mut here);
            heard.extend(carry(&mut here, &mut there));
            if said.is_empty() {
                break;
            }
            assert!(round < 1000, "it goes on");
        }
        let lacks = all(heard.clone(), |n| if let Notice::Lack(r) = n { Some(r) } else { None });
        assert_eq!(lacks, [0..1 << 40]);
        let held = all(heard, |n| if let Notice::Have(r) = n { Some(r) } else { None });
        assert!(held.into_iter().eq((0..200_000).map(range)));
    }

    #[test]
    fn the_last_word_counts() {
        let (mut here, mut there) = (Control::new(), Control::new());
        let mut said = Declarations::default();
        said.have(0..100);
        said.again(20..30);
        said.lack(90..200);
        said.have(110..120);
        said.say(&mut here);
        let heard = carry(&mut here, &mut there);
        let held = all(heard.clone(), |n| if let Notice::Have(r) = n { Some(r) } else { None });
        assert_eq!(held, [0..20, 30..100, 110..120]);
        let rest = all(heard, |n| match n {
            Notice::Lack(r) | Notice::Again(r) => Some(r),
            _ => None,
        });
        assert_eq!(rest, [90..110, 120..200, 20..30]);
    }
}
