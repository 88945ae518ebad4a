use super::*;
use crate::message::ToSender;
use crate::send::board::Board;
use crate::send::changed::Shelf;
use crate::send::ear;
use crate::send::tests::report;
use crate::source::{Grows, Progress};
use crate::tree::change::Change;
use std::io;

/// A source of entries that have names, of which this side could not read those of even numbers.
#[derive(Default)]
struct Names {
    board: Board,
    unlisted: u64,
    nameless: bool,
}

impl Source for Names {
    fn list(&self, _: &dyn Grows) -> Result<(), SourceError> {
        Ok(())
    }

    fn read(&self, _: u64) -> Result<Arc<[u8]>, SourceError> {
        Ok(Arc::default())
    }

    fn post_value(&self, _: u64) -> Result<(), SourceError> {
        Ok(())
    }

    fn board(&self) -> &Board {
        &self.board
    }

    fn progress(&self) -> Progress {
        Progress::default()
    }

    fn names(&self, entries: &BTreeSet<u64>) -> Result<BTreeMap<u64, Named>, SourceError> {
        if self.nameless {
            return Err(SourceError::Aside(io::Error::from(io::ErrorKind::NotFound).to_string()));
        }
        let named = |entry: &u64| {
            let unread = entry.is_multiple_of(2).then(|| "cannot be read: why".into());
            (*entry, Named { path: format!("{entry}").into_bytes().into(), unread })
        };
        Ok(entries.iter().map(named).collect())
    }

    fn unlisted(&self) -> Vec<(Vec<u8>, String)> {
        let entry = |n| (format!("u{n}").into_bytes(), "no".to_owned());
        (0..self.unlisted.min(5)).map(entry).collect()
    }

    fn unlisted_count(&self) -> u64 {
        self.unlisted
    }

    fn stop(&self) {}
}

fn said(failed: u64, words: &[(u64, &str)]) -> Said {
    let fail =
        |(entry, why): &(u64, &str)| ToSender::Failed { entry: *entry, why: (*why).to_owned() };
    let report = ToSender::Report(Report { failed, ..Report::default() });
    ear::heard(words.iter().map(fail).chain([report]))
}

fn delivered(source: &Names, said: Vec<Said>) -> Vec<Delivered> {
    of(source, said.into_iter().map(|said| (report(Ok(())), said, false))).0
}

#[test]
fn who_says_that_entries_failed_and_names_none_has_failed() {
    let members = delivered(&Names::default(), vec![said(2, &[]), said(1, &[]), said(0, &[])]);
    let why: Vec<_> = members.iter().map(Delivered::failure).collect();
    assert_eq!(why[0].as_deref(), Some("it says that 2 entries are not in place"));
    assert_eq!(why[1].as_deref(), Some("it says that 1 entry is not in place"));
    assert_eq!((&why[2], members[0].failed_entries()), (&None, 2));
}

#[test]
fn who_has_everything_has_not_failed_where_this_side_cannot_keep_what_it_says_of_it() {
    const COUNT: u64 = 10_000;
    let word = |n| ToSender::Changed(vec![(n, Change::default())]);
    let words = (0..COUNT).map(word).chain([ToSender::Report(Report::default())]);
    let said = ear::heard_on(&Shelf::full(), words);
    let members = delivered(&Names::default(), vec![said]);
    assert_eq!(members[0].failure(), None);
    let changed = &members[0].said.changed;
    let why = changed.lost().unwrap();
    assert!(why.contains("No space left") && why.contains("TMPDIR names another"), "{why}");
    let (mut records, mut kept) = (changed.records(), 0);
    while records.take(kept).unwrap().is_some() {
        kept += 1;
    }
    assert_eq!((changed.count(), kept + changed.unkept()), (COUNT, COUNT));
    assert!(kept > 0, "those before are known");
}

#[test]
fn the_senders_reason_stands_only_where_the_receiver_has_none_of_its_own() {
    let words = [(0, UNREAD_THERE), (1, UNREAD_THERE), (2, "no room")];
    let members = delivered(&Names::default(), vec![said(3, &words)]);
    let why: Vec<_> = members[0].failures().map(|failed| &*failed.why).collect();
    assert_eq!(why, ["cannot be read: why", UNREAD_THERE, "no room"]);
}

#[test]
fn all_that_is_not_in_place_is_counted_and_shared_by_all_members() {
    let source = Names { unlisted: 7, ..Names::default() };
    let words = [(1, "no room"), (3, "no room")];
    let members = delivered(&source, vec![said(2, &words), said(0, &[])]);
    assert!(Arc::ptr_eq(&members[0].unlisted, &members[1].unlisted));
    assert_eq!((members[0].failed_entries(), members[0].failures().count()), (9, 7));
    assert_eq!(
        members[0].failure().unwrap(),
        "9 entries are not in place: 1: no room; 3: no room; u0: no; 6 more"
    );
    assert!(members[1].failure().unwrap().starts_with("7 entries are not in place: u0"));
    assert!(members[0].said.failed.is_empty(), "they are held once");
}

#[test]
fn entries_that_cannot_be_named_have_their_numbers() {
    let source = Names { nameless: true, ..Names::default() };
    let member = (report(Ok(())), said(1, &[(4, "no room")]), false);
    let (members, nameless) = of(&source, [member].into_iter());
    assert!(nameless.is_some());
    assert_eq!(members[0].failure().unwrap(), "1 entry is not in place: entry 4: no room");
}
