//! What the shell is told.

use crate::copy::copy;
use crate::network::Lab;

pub(super) fn exit_codes() {
    let lab = Lab::bridge(1);
    let daemons = lab.daemons();
    let source = lab.source(1000).display().to_string();
    let (source, host) = (source.as_str(), lab.v4(1));
    let up = format!("{host}:../x");
    let cases: &[(&[&str], i32)] = &[
        (&[source, &host], 0),
        (&["/no/such/file", &host], 1),
        (&["/dev/null", &host], 1),
        (&["--interface", "nosuch0", source, &host], 1),
        (&["--no-such-option", source, &host], 2),
        (&[source, "node[3-1]"], 2),
        (&[source, "node[1-"], 2),
        (&[source, &up], 2),
        (&[source], 2),
        (&["--rate", "fast", source, &host], 2),
        (&["--group", "10.0.0.1", source, &host], 2),
        (&[source, &host, "no-such.invalid"], 3),
    ];
    for (args, code) in cases {
        let done = copy(&lab, args);
        assert_eq!(done.code, Some(*code), "{args:?}: {done:#?}");
        assert!(*code == 0 || !done.messages.is_empty(), "{args:?} fails without a word");
    }
    assert!(daemons[0].root.join("source-1000").exists());
}
