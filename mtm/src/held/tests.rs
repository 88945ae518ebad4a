use super::*;

const DAY: u64 = 24 * 3600 * 1000;

fn known(job: u8, place: &str, heard: u64) -> Known {
    Known {
        job: [job; 16],
        master: Some(vec![job]),
        name: format!("job{job}"),
        host: "h1".to_owned(),
        place: place.into(),
        hello: Some(([10, 0, 0, 1], 9000).into()),
        instance: [9; 16],
        complete: None,
        heard,
    }
}

fn new() -> (tempfile::TempDir, Held) {
    let dir = tempfile::tempdir().unwrap();
    let held = Held::open(&dir.path().join("mirrors")).unwrap();
    (dir, held)
}

#[test]
fn a_place_is_of_one_job_until_that_is_over_or_its_master_is_gone() {
    let (dir, mut held) = new();
    held.begin(&known(1, "/srv/a", DAY)).unwrap();
    held.begin(&known(2, "/srv/ab", DAY)).unwrap();
    for place in ["/srv/a", "/srv", "/srv/a/b"] {
        let why = held.begin(&known(3, place, 2 * DAY)).unwrap_err();
        assert!(matches!(&why, HeldError::Taken { job, .. } if job == "job1"), "{why}");
        assert!(why.to_string().contains("24 hours ago"), "{why}");
    }
    held.begin(&known(1, "/srv/a", 2 * DAY)).unwrap();
    held.begin(&known(1, "/srv/c", 2 * DAY)).unwrap(); // it goes on elsewhere
    held.begin(&known(3, "/srv/a", 2 * DAY)).unwrap();
    assert!(matches!(held.over([3; 16], Some(b"other")), Err(HeldError::Foreign)));
    held.over([3; 16], Some(&[3])).unwrap();
    held.over([3; 16], None).unwrap(); // of what is not known
    held.begin(&known(4, "/srv/a", 2 * DAY)).unwrap();
    drop(held);
    // Seven days later nobody is left but who was heard since.
    let mut held = Held::open(&dir.path().join("mirrors")).unwrap();
    held.heard([2; 16], 3 * DAY).unwrap();
    held.heard([2; 16], DAY).unwrap();
    let left: Vec<_> = held.all(9 * DAY + 1).unwrap().into_iter().map(|known| known.name).collect();
    assert_eq!(left, ["job2"]);
    held.begin(&known(5, "/srv/a", 9 * DAY + 1)).unwrap();
    assert_eq!(held.drop_lease(Path::new("/srv")).unwrap(), 2);
    assert_eq!(held.all(0).unwrap(), []);
}

#[test]
fn the_job_of_a_master_is_none_of_another_one() {
    let (_dir, mut held) = new();
    held.begin(&known(1, "/srv/a", DAY)).unwrap();
    let other = Known { master: None, ..known(1, "/srv/a", DAY) };
    assert!(matches!(held.begin(&other), Err(HeldError::Foreign)));
}

#[test]
fn a_revision_is_complete_only_upon_one_that_was() {
    let (_dir, mut held) = new();
    let complete = |held: &mut Held| held.all(DAY).unwrap()[0].complete;
    held.begin(&known(1, "/srv/a", DAY)).unwrap();
    held.complete([1; 16], Some(1), 2).unwrap();
    assert_eq!(complete(&mut held), None);
    held.complete([1; 16], None, 2).unwrap();
    held.complete([1; 16], Some(3), 4).unwrap();
    assert_eq!(complete(&mut held), Some(2));
    held.complete([1; 16], Some(2), 4).unwrap();
    held.complete([1; 16], None, 3).unwrap(); // told late
    assert_eq!(complete(&mut held), Some(4));
    held.begin(&known(1, "/srv/a", DAY)).unwrap();
    assert_eq!(complete(&mut held), Some(4));
    let elsewhere = Known { instance: [8; 16], ..known(1, "/srv/a", DAY) };
    held.begin(&elsewhere).unwrap();
    assert_eq!(complete(&mut held), None, "another installation has nothing of it");
}
