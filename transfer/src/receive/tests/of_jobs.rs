//! Sessions of mirror jobs: which place is asked for, and when it is the job's.

use super::*;
use crate::jobs::{From, Jobs};
use crate::message::OfJob;
use std::os::unix::fs::symlink;
use std::path::Path;

/// A word about a place.
type Word = (&'static str, PathBuf);

/// What was asked and said of which place, in its order. `refuses`: nobody gets one.
#[derive(Debug, Default)]
struct Noted {
    said: Mutex<Vec<Word>>,
    refuses: bool,
}

impl Noted {
    fn note(&self, what: &'static str, place: &Path) {
        self.said.lock().unwrap().push((what, place.to_owned()));
    }
}

impl Jobs for Noted {
    fn may_begin(&self, _: &From, _: &OfJob, place: &Path) -> Result<(), String> {
        self.note("may", place);
        if self.refuses { Err("it belongs to another job".to_owned()) } else { Ok(()) }
    }

    fn begin(&self, _: &From, _: &OfJob, place: &Path) -> Result<(), String> {
        self.note("begin", place);
        Ok(())
    }

    fn shows(&self, _: &From, _: &OfJob) -> Vec<u8> {
        Vec::new()
    }

    fn end(&self, _: &OfJob, _: bool) {
        self.note("end", Path::new(""));
    }

    fn hear(&self, _: &From, _: &[u8]) -> Vec<u8> {
        Vec::new()
    }
}

/// A session of a job that offers something to this path, and then breaks off: what was said of places, and why it was
/// refused if it was.
fn session(root: &Root, (to, below): (&str, &str), refuses: bool) -> (Vec<Word>, Option<String>) {
    let job = Some(Box::new(OfJob { below: below.into(), ..OfJob::default() }));
    let offer = ToReceiver::Offer(Offer { to: to.into(), job, ..Offer::default() });
    let fake = Fake::new(Vec::new(), Ok(0), said(&[offer]));
    let noted = Arc::new(Noted { refuses, ..Noted::default() });
    let limits = Limits { jobs: Some(noted.clone()), ..Limits::default() };
    let _ = receive_over(&fake, (Place::Below(root), &limits)); // there is no list
    let why = fake.answers().into_iter().find_map(|answer| match answer {
        ToSender::Refuse(why) => Some(why),
        _ => None,
    });
    let places = noted.said.lock().unwrap().clone();
    (places, why)
}

fn folder() -> (tempfile::TempDir, PathBuf) {
    let dir = tempfile::tempdir().unwrap();
    let real = dir.path().canonicalize().unwrap().join("root");
    fs::create_dir_all(real.join("L/x")).unwrap();
    symlink("L", real.join("Ln")).unwrap();
    symlink("../Ln/x", real.join("L/again")).unwrap();
    (dir, real)
}

#[test]
fn the_place_is_where_it_is_written_whatever_links_lead_there() {
    let (dir, real) = folder();
    let by_link = dir.path().join("by-link");
    symlink("root", &by_link).unwrap();
    for root in [&real, &by_link] {
        let root = Root::open_with(root, true).unwrap();
        for to in ["L/x/src", "Ln/x/src", "Ln/again/./src/"] {
            for (below, place) in [("", "L/x/src"), ("tree", "L/x/src/tree")] {
                let (said, refused) = session(&root, (to, below), false);
                let place = real.join(place);
                let expected = [("may", place.clone()), ("begin", place), ("end", PathBuf::new())];
                assert_eq!((&said[..], refused), (&expected[..], None), "{to}");
            }
        }
    }
}

#[test]
fn a_link_that_comes_on_the_way_once_the_place_was_found_is_not_followed() {
    let (_dir, real) = folder();
    let root = Root::open_with(&real, true).unwrap();
    let is_over = || false;
    let offer = Offer { to: "Ln/x/src".into(), ..Offer::default() };
    let holder = Holder { sender: [1; 32], peer: String::new(), pulse: Box::new(Gone) };
    let swap = &mut |_: &[Vec<u8>]| {
        fs::rename(real.join("L"), real.join("moved")).unwrap();
        fs::create_dir_all(real.join("other/x")).unwrap();
        symlink("other", real.join("L")).unwrap();
        Ok(())
    };
    let led = Below::new_if(&root, &offer, &Limits::default(), (holder, &is_over), swap);
    assert_eq!(led.err().unwrap(), "L is refused: it is a symbolic link");
    assert!(!real.join("other/x/src").exists());
}

#[test]
fn what_is_refused_has_no_place_and_has_made_nothing() {
    let (_dir, real) = folder();
    fs::write(real.join("L/file"), "x").unwrap();
    let root = Root::open(&real).unwrap();
    let whys = [
        ("Ln/x", "Ln is refused"),
        ("L/file/x", "L/file is refused"),
        ("L/../x", "names a folder"),
    ];
    for (to, why) in whys {
        let (said, refused) = session(&root, (to, ""), false);
        assert!(refused.is_some_and(|refused| refused.contains(why)), "{to}");
        assert!(said.iter().all(|(what, _)| *what == "may"), "{said:?}");
    }
    for below in ["..", "a/b"] {
        let (said, refused) = session(&root, ("L/x", below), false);
        assert!(refused.is_some() && said.is_empty(), "{said:?}");
    }
    let before = fs::metadata(real.join("L/x")).unwrap().modified().unwrap();
    let (said, refused) = session(&root, ("L/x/new", ""), true);
    assert_eq!((said.len(), refused.as_deref()), (1, Some("it belongs to another job")));
    let now = fs::metadata(real.join("L/x")).unwrap().modified().unwrap();
    assert_eq!(now, before);
}
