//! Copies while strangers ask for sessions from everywhere.

use super::trust::Keyed;
use crate::copy::{Copy, Done};
use crate::daemon::Daemon;
use crate::flood::Flood;
use crate::network::{LEN, Lab};
use crate::shell::run;
use std::time::Duration;

/// SYNs a second to one of the receivers.
const RATES: [u32; 2] = [20_000, 50_000];
/// Longer than any copy here takes.
const LASTS: Duration = Duration::from_secs(60);
/// What a daemon may take more than without a flood, in KiB: its tables, buffers of one session, and what the
/// allocator keeps.
const MOST_KIB: u64 = 48 << 10;

/// The attacker is the last host; replies to its sources go there.
fn lead_back(lab: &Lab, receivers: usize) {
    for host in 1..=receivers {
        let (ns, attacker) = (lab.ns(host), lab.v4(receivers + 1));
        run(&format!("ip -n {ns} route add default via {attacker}"));
    }
}

fn check(lab: &Lab, daemons: &[Daemon], copy: &dyn Fn() -> Done) {
    let calm = copy();
    calm.assert_ok();
    // The system's own shows processes of another namespace.
    let proc = lab.folder(4);
    run(&format!("mount -t proc proc {}", proc.display()));
    let before: Vec<u64> = daemons.iter().map(|daemon| daemon.resident_kib(&proc)).collect();
    for rate in RATES {
        let (_, received) = lab.bytes(1);
        let flood = Flood::start(lab, 3, &[1], rate, LASTS);
        let flooded = copy();
        let arrived = lab.bytes(1).1 - received - LEN;
        let least = f64::from(rate) * flooded.took.as_secs_f64() * 1200.0 / 2.0;
        assert!(arrived as f64 >= least, "half of the flood arrives, at least: {arrived}");
        assert!(flood.end(), "the flood ended before the copy");
        flooded.assert_ok();
        assert!(flooded.took <= calm.took * 2, "{rate}: {:?}, {:?}", flooded.took, calm.took);
        for (daemon, before) in daemons.iter().zip(&before) {
            let now = daemon.resident_kib(&proc);
            assert!(now <= before + MOST_KIB, "{rate}: {now} KiB, {before} KiB before");
        }
    }
    run(&format!("umount {}", proc.display()));
}

pub(super) fn with_a_secret() {
    let lab = Lab::bridge(3);
    lead_back(&lab, 2);
    let daemons = [1, 2].map(|host| Daemon::start(&lab, host, &lab.folder(host)));
    let args = [lab.source(LEN).display().to_string(), lab.v4(1), lab.v4(2)];
    let args = [&args[..], &["--rate".to_owned(), "200M".to_owned()]].concat();
    check(&lab, &daemons, &|| Copy::start(&lab, &args).wait());
}

pub(super) fn with_keys() {
    let keyed = Keyed::new(3);
    lead_back(&keyed.lab, 2);
    keyed.authorize_own(1);
    keyed.authorize_own(2);
    let daemons = [keyed.daemon(1), keyed.daemon(2)];
    let source = keyed.lab.source(LEN);
    let hosts = [keyed.lab.v4(1), keyed.lab.v4(2)];
    check(&keyed.lab, &daemons, &|| keyed.start(&source, &hosts, &["--rate", "200M"]).wait());
}
