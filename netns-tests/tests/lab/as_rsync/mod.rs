//! What the same words do: a table of cases, each run by rsync(1) and by the real programs, and what comes of it
//! compared entry by entry. Where the two differ on purpose the case says how, and `docs/rsync.md` says why.

mod case;
mod document;
mod grow;
mod look;
mod play;
mod text;

pub(crate) use play::group;

/// A group of cases: its name, its cases as text, and how many behaviours it has at least.
pub(crate) struct Group {
    pub(crate) name: &'static str,
    text: &'static str,
    least: usize,
}

pub(crate) const FILTERS: Group =
    Group { name: "filters", text: include_str!("cases/filters.txt"), least: 40 };
pub(crate) const SLASHES: Group =
    Group { name: "slashes", text: include_str!("cases/slashes.txt"), least: 25 };
pub(crate) const LINKS: Group =
    Group { name: "links", text: include_str!("cases/links.txt"), least: 20 };
pub(crate) const UPDATES: Group =
    Group { name: "updates", text: include_str!("cases/updates.txt"), least: 15 };
pub(crate) const DELETES: Group =
    Group { name: "deletes", text: include_str!("cases/deletes.txt"), least: 20 };

/// All of them.
const GROUPS: [&Group; 5] = [&FILTERS, &SLASHES, &LINKS, &UPDATES, &DELETES];

/// The document lists the same deviations as the cases.
pub(crate) fn the_document_lists_every_deviation() {
    document::compare(&GROUPS);
}

/// Whatever two trees differ in, it is seen: else no case could fail.
pub(crate) fn every_kind_of_difference_is_seen() {
    let dir = tempfile::tempdir().unwrap();
    let (one, other) = (dir.path().join("one"), dir.path().join("other"));
    let same = "d d 0700 @1; f d/same; l d/link to; f two; h d/three two";
    let trees = [
        (
            &one,
            "f kind; f mode 0600; f time @1.000000001; f content =a; l target a; f a; h b a; f lacks",
        ),
        (
            &other,
            "l kind a; f mode 0644; f time @1.000000002; f content =b; l target b; f a; f b =a; d more",
        ),
    ];
    for (at, own) in trees {
        grow::grow(at, &[case::entries(same), case::entries(own)].concat());
    }
    let seen = look::differences(&look::look(&one), &look::look(&other));
    let wanted = "+ more folder|- lacks file|~ a names a|~ b names b|~ content content b|~ kind content none\
        |~ kind kind link|~ kind mode none|~ kind target a|~ mode mode 0644|~ target target b\
        |~ time time 1.000000002";
    let wanted: Vec<&str> = wanted.split('|').collect();
    assert_eq!(seen.into_iter().collect::<Vec<_>>(), wanted);
    assert!(look::differences(&look::look(&one), &look::look(&one)).is_empty());
}
