//! What of the source is not to be sent, and when it is not what it was.

use crate::{Host, Place};
use std::fs;

#[test]
fn the_folder_of_state_below_the_source_is_left_out_and_stays_at_receivers() {
    let place = Place::new();
    let host = Host::new(61);
    // What stands under that name there is the host's own.
    fs::create_dir_all(host.mirror("state")).unwrap();
    for name in ["state/own", "extra"] {
        fs::write(host.mirror(name), "there").unwrap();
    }
    let mut job = place.start(&["send", "--delete", "--name", "lectures", "./", &host.name()]);
    job.says("state, the folder of state of this program, is left out");
    place.wait_for("complete", |status| status["state"] == "complete");
    assert_eq!(job.ends().0, Some(0));
    assert!(host.mirror("lectures/index").exists() && !host.mirror("extra").exists());
    let names = |path| fs::read_dir(host.mirror(path)).unwrap().count();
    assert_eq!(names("state"), 1, "its own alone");
}

#[test]
fn the_folder_of_state_itself_is_no_source() {
    let place = Place::new();
    let host = Host::new(62);
    fs::create_dir_all(place.path().join("state/jobs")).unwrap();
    std::os::unix::fs::symlink("state/jobs", place.path().join("link")).unwrap();
    for source in ["state", "state/", "state/jobs", "link"] {
        let said = place.run(&["send", "--name", "lectures", source, &host.name()]);
        let why = String::from_utf8_lossy(&said.stderr);
        assert_eq!(said.status.code(), Some(1), "{why}");
        assert!(why.contains("the folder of state of this program"), "{why}");
    }
    assert_eq!(place.run(&["status"]).stdout, b"there is no job\n");
}
