//! What all receivers miss at once is an outage: the group goes on as soon as they are back.

use crate::asked::asked;
use crate::copy::{Copy, Done};
use crate::network::{Lab, content};
use crate::shell::{run, wait_for};
use std::fs;
use std::thread::sleep;
use std::time::Duration;

const MIB: u64 = 1 << 20;
/// Length of the file in MiB, unless `OUTAGES_MIB` says another, and Mbit/s of the sender's line.
const LEN_MIB: u64 = 32;
const RATE: u64 = 50;
/// Nobody is reached for so long.
const OUTAGE: Duration = Duration::from_secs(3);
/// Beside the outage a copy takes so much longer, at most, in milliseconds, unless `OUTAGES_MORE` says another: 600 by
/// release programs with the processors to themselves.
const MORE: u64 = 2500;
/// Of the bytes of a copy without an outage as many leave, at most.
const REPAIRED: f64 = 1.1;
/// No copy takes longer.
const LIMIT: Duration = Duration::from_secs(120);

fn len() -> u64 {
    asked("OUTAGES_MIB", LEN_MIB) * MIB
}

fn lab(receivers: usize) -> Lab {
    let lab = Lab::bridge(receivers);
    let ns = lab.ns(0);
    run(&format!(
        "ip netns exec {ns} tc qdisc add dev eth0 root tbf rate {RATE}mbit burst 64k limit 1M"
    ));
    lab
}

/// What comes to a host is dropped there: no sender gets an error for it, as where a line on the way is cut.
fn cut(lab: &Lab, host: usize) {
    lab.nft(host, "add table inet cut");
    lab.nft(
        host,
        "add chain inet cut in { type filter hook prerouting priority -300 ; policy drop ; }",
    );
}

fn mend(lab: &Lab, host: usize) {
    lab.nft(host, "delete table inet cut");
}

/// Copies without an outage, and with one of these hosts at half; of the bytes of the first copy the part that the
/// second one sent.
fn compare(lab: &Lab, hosts: &[usize]) -> f64 {
    let copy = |at_half: &dyn Fn()| -> (Done, u64) {
        let args = [&[lab.source(len()).display().to_string()][..], &lab.all()].concat();
        let (sent, arrived) = (lab.bytes(0).0, lab.bytes(1).1);
        let running = Copy::start(lab, &args);
        wait_for("half has arrived", LIMIT, || lab.bytes(1).1 - arrived >= len() / 2);
        at_half();
        let done = running.wait_watched(LIMIT, || {});
        done.assert_ok();
        assert!(done.modes().iter().all(|&mode| mode == "multicast"), "{done:#?}");
        (done, lab.bytes(0).0 - sent)
    };
    let (without, once) = copy(&|| ());
    for host in 1..=lab.all().len() {
        fs::remove_file(lab.folder(host).join(format!("source-{}", len()))).unwrap();
    }
    let (with, sent) = copy(&|| {
        for &host in hosts {
            cut(lab, host);
        }
        sleep(OUTAGE);
        for &host in hosts {
            mend(lab, host);
        }
    });
    let (before, after) = (without.took.as_secs_f64(), with.took.as_secs_f64());
    let part = sent as f64 / once as f64;
    eprintln!("outages: {after:.2} s, {before:.2} s without; {part:.3} of the bytes");
    for host in 1..=lab.all().len() {
        let file = lab.folder(host).join(format!("source-{}", len()));
        assert!(fs::read(file).unwrap() == content(len()), "{host}");
    }
    let more = Duration::from_millis(asked("OUTAGES_MORE", MORE)).as_secs_f64();
    assert!(
        after <= before + OUTAGE.as_secs_f64() + more,
        "{after} s, {before} s without: {with:#?}"
    );
    part
}

/// All three are cut off: nothing is sent meanwhile.
pub(super) fn that_all_share() {
    let lab = lab(3);
    let _daemons = lab.daemons();
    let part = compare(&lab, &[0, 1, 2, 3]);
    assert!(part <= REPAIRED, "{part} of the bytes");
}
