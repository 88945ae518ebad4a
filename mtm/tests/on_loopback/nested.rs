//! Several paths of one host in a job: none in another one, and none twice.

use crate::{Host, Place};
use std::fs;

#[test]
fn places_of_a_host_in_each_other_are_refused_before_there_is_a_job() {
    let (place, host) = (Place::new(), Host::off(71));
    let named = |path: &str| format!("{}:{}:{path}", host.addr().ip(), host.addr().port());
    for (paths, why) in [
        (["q/sub", "q"], "each of the two would delete"),
        (["q/lectures", "q/"], "each of the two would delete"),
        (["s", "./s"], "are one place of one host"),
    ] {
        let [one, two] = paths.map(named);
        let output = place.run(&["send", "--delete", "lectures/", &one, &two]);
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{paths:?}: {said}");
        assert!(said.contains(why), "{paths:?}: {said}");
    }
    assert!(!place.path().join("state/jobs/lectures").exists());

    place.ok(&["send", "--detach", "lectures/", &named("q"), &named("r")]);
    for (path, why) in [("q/sub", "each of the two would delete"), ("./q", "one place of one")] {
        let output = place.run(&["hosts", "add", "lectures", &named(path)]);
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(!output.status.success() && said.contains(why), "{path}: {said}");
    }
    place.ok(&["hosts", "add", "lectures", &format!("{},{}", named("q"), named("q-2"))]);
    assert_eq!(place.status()["hosts"].as_array().unwrap().len(), 3);
}

#[test]
fn beside_each_other_they_all_have_the_tree() {
    let (place, host) = (Place::new(), Host::new(72));
    let named = |path: &str| format!("{}:{}:{path}", host.addr().ip(), host.addr().port());
    let (code, said) =
        place.start(&["send", "--delete", "lectures", &named("q/sub"), &named("q")]).ends();
    assert_eq!(code, Some(0), "{said}");
    let index = |path: &str| fs::read(host.folder().join(path).join("lectures/index")).unwrap();
    assert_eq!(index("q"), index("q/sub"));
}
