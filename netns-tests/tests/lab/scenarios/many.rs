//! Many sessions at a time through one port.

use crate::copy::Copy;
use crate::daemon::Daemon;
use crate::network::{Lab, content};
use std::fs;

/// Sessions at a time, half of them from each sender.
const SESSIONS: usize = 40;
/// Bytes of each file.
const EACH: u64 = 1 << 20;

fn run(group: Option<&str>) {
    // Hosts 0 and 2 send to host 1.
    let lab = Lab::bridge(2);
    let daemon = Daemon::start(&lab, 1, &lab.folder(1));
    let source = lab.source(EACH).display().to_string();
    let running: Vec<Copy> = (0..SESSIONS)
        .map(|number| {
            let mut args: Vec<String> = group
                .iter()
                .flat_map(|group| ["--group".to_owned(), (*group).to_owned()])
                .collect();
            args.extend([source.clone(), format!("{}:in/{number}", lab.v4(1))]);
            Copy::start_at(&lab, if number % 2 == 0 { 0 } else { 2 }, &args)
        })
        .collect();
    for copy in running {
        copy.wait().assert_ok();
    }
    for number in 0..SESSIONS {
        let file = daemon.root.join(format!("in/{number}"));
        assert!(fs::read(&file).unwrap() == content(EACH), "{}", file.display());
    }
}

pub(super) fn forty_sessions_with_their_own_groups() {
    run(None);
}

pub(super) fn forty_sessions_on_one_group() {
    run(Some("239.255.77.40"));
}
