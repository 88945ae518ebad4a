//! What the reader's end gives, and when.

use super::*;
use std::thread;

const NOW: Duration = Duration::ZERO;

fn begin(prefixes: &Arc<Prefixes>, path: &str, len: Option<u64>) -> Option<Arriving> {
    prefixes.begin(path.as_ref(), format!("{path}.partial").as_ref(), len)
}

fn shown(files: &[Prefix]) -> Vec<(&str, Option<u64>, u64, State)> {
    let shown = |file| {
        let Prefix { path, len, verified, state, .. }: &Prefix = file;
        (path.to_str().unwrap(), *len, *verified, *state)
    };
    files.iter().map(shown).collect()
}

#[test]
fn a_file_grows_and_ends_as_it_does() {
    let (prefixes, mut changes) = watch(NOW);
    let (whole, broken) = (begin(&prefixes, "/a", Some(9)), begin(&prefixes, "/b", Some(9)));
    let stream = begin(&prefixes, "/c", None).unwrap();
    let (whole, broken) = (whole.unwrap(), broken.unwrap());
    assert_eq!(
        shown(&changes.next().unwrap()),
        [
            ("/a", Some(9), 0, State::Arriving),
            ("/b", Some(9), 0, State::Arriving),
            ("/c", None, 0, State::Arriving)
        ]
    );
    whole.verified(4);
    whole.verified(9);
    broken.verified(5);
    broken.verified(3); // it only grows
    stream.verified(7);
    drop(broken);
    stream.complete();
    let files = changes.next().unwrap();
    assert_eq!(
        shown(&files),
        [
            ("/b", Some(9), 5, State::Failed),
            ("/c", Some(7), 7, State::Complete),
            ("/a", Some(9), 9, State::Arriving)
        ]
    );
    assert_eq!(files[0].partial.to_str(), Some("/b.partial"));
    // Another try of the same is in the place of the one that failed.
    let again = begin(&prefixes, "/b", Some(9)).unwrap();
    whole.complete();
    let files = changes.next().unwrap();
    assert_eq!(files.iter().filter(|file| file.path.ends_with("b")).count(), 1);
    assert_eq!(shown(&files)[2], ("/b", Some(9), 0, State::Arriving));
    // Who takes it over has begun before the other one has left.
    let later = begin(&prefixes, "/b", Some(9)).unwrap();
    drop(again);
    later.verified(1);
    assert_eq!(shown(&changes.next().unwrap())[2], ("/b", Some(9), 1, State::Arriving));
    drop(later);
    drop(prefixes);
    assert_eq!(shown(&changes.next().unwrap())[2], ("/b", Some(9), 1, State::Failed));
    assert_eq!(changes.next(), None);
    assert_eq!(changes.next(), None);
}

/// A list may pass a reader by: that another session has the file shows by the number, not by how far it is.
#[test]
fn tries_of_one_file_are_told_apart() {
    let (prefixes, mut changes) = watch(NOW);
    let mut attempt = || {
        let [file] = &changes.next().unwrap()[..] else { panic!("one file is told") };
        (file.attempt, file.verified, file.state)
    };
    let first = begin(&prefixes, "/a", Some(9)).unwrap();
    first.verified(5);
    let (one, verified, _) = attempt();
    assert_eq!(verified, 5);
    let second = begin(&prefixes, "/a", Some(9)).unwrap();
    drop(first);
    second.verified(6);
    let (two, verified, state) = attempt();
    assert_eq!((verified, state), (6, State::Arriving));
    assert_ne!(one, two);
    second.verified(9);
    second.complete();
    assert_eq!(attempt(), (two, 9, State::Complete), "it has its number to its end");
    // A process that comes later has other numbers.
    let (others, mut lists) = watch(NOW);
    let _again = begin(&others, "/a", Some(9)).unwrap();
    let later = lists.next().unwrap()[0].attempt;
    assert!(![one, two].contains(&later) && later < 1 << 53);
}

#[test]
fn memory_is_bounded() {
    let (prefixes, mut changes) = watch(NOW);
    let path = |number: usize| format!("/{number}");
    for number in 0..MAX_ENDED + 7 {
        begin(&prefixes, &path(number), Some(1)).unwrap().complete();
    }
    let files = changes.next().unwrap();
    assert_eq!((files.len(), files[0].path.to_str()), (MAX_ENDED, Some("/7")));
    let all: Vec<_> = (0..MAX_ARRIVING).map(|n| begin(&prefixes, &path(n), None)).collect();
    assert!(all.iter().all(Option::is_some));
    assert!(begin(&prefixes, "/more", None).is_none());
    drop(all);
    assert!(begin(&prefixes, "/more", None).is_some());
    assert_eq!(changes.next().unwrap().len(), MAX_ENDED);
}

/// However often something changes, there is one list in its time; and one that waits is woken.
#[test]
fn lists_come_at_a_pace() {
    let pace = Duration::from_millis(40);
    let (prefixes, changes) = watch(pace);
    let begun = Instant::now();
    let reader = thread::spawn(move || {
        let lists: Vec<(Duration, Vec<Prefix>)> =
            changes.map(|files| (begun.elapsed(), files)).collect();
        lists
    });
    let file = begin(&prefixes, "/a", None).unwrap();
    let mut changes = 0;
    while begun.elapsed() < 5 * pace {
        changes += 1;
        file.verified(changes);
    }
    file.complete();
    drop(prefixes);
    let lists = reader.join().unwrap();
    let bound = 7; // one at once, five in this time, and the last
    assert!((2..=bound).contains(&lists.len()) && changes > 100, "{} of {changes}", lists.len());
    // But for the last one, which does not wait, none comes before its time.
    for (number, (came, _)) in (0..).zip(&lists[..lists.len() - 1]) {
        assert!(*came >= pace * number, "list {number} after {came:?}");
    }
    let last = &lists.last().unwrap().1;
    assert_eq!(shown(last), [("/a", Some(changes), changes, State::Complete)]);
}

/// A list waits for a change, and there is none without.
#[test]
fn nothing_comes_where_nothing_changes() {
    let (prefixes, mut changes) = watch(NOW);
    let file = begin(&prefixes, "/a", None).unwrap();
    assert!(changes.next().is_some());
    let reader = thread::spawn(move || (changes.next(), Instant::now()));
    thread::sleep(Duration::from_millis(30));
    let begun = Instant::now();
    file.verified(1);
    let (files, came) = reader.join().unwrap();
    assert_eq!(files.unwrap()[0].verified, 1);
    assert!(came >= begun);
}
