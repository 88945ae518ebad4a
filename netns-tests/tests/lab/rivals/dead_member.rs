//! A member by unicast that dies beside four that hear the group, and what that costs these: nothing, whether its port
//! is closed from then on, as ICMP says of each datagram, or its host is silent.

use super::mbit;
use crate::copy::Copy;
use crate::daemon::Daemon;
use crate::network::Lab;
use crate::shell::{run, wait_for};
use std::time::{Duration, Instant};

/// Who hear the group, and who does not.
const MEMBERS: usize = 4;
const FIFTH: usize = MEMBERS + 1;
/// The line that all share, whose queue has room for some round trips.
const LINES: [&str; 2] = ["delay=1ms", "0.up:rate=100M,queue=250K"];
/// Bytes of the file; how many the group has brought when the fifth dies, and when it is measured no more.
const LEN: u64 = 112 << 20;
const BEFORE: u64 = 28 << 20;
const UNTIL: u64 = 92 << 20;
/// Copies of each kind, in turn.
const ROUNDS: usize = 5;
/// The group keeps so much of its rate.
const KEPT: f64 = 0.97;
/// No part of a copy takes longer.
const LONG: Duration = Duration::from_secs(60);

/// What becomes of the fifth.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fifth {
    /// There is none.
    Nobody,
    Killed,
    Unplugged,
}

const KINDS: [Fifth; 3] = [Fifth::Nobody, Fifth::Killed, Fifth::Unplugged];

/// What the group brings a member from the death on, in bytes per second.
fn rate(fifth: Fifth) -> f64 {
    let lab = Lab::lines(FIFTH, &LINES);
    let mut daemons: Vec<Daemon> = lab.daemons();
    lab.deafen(FIFTH);
    let mut args = vec![lab.source(LEN).display().to_string()];
    let hosts = if fifth == Fifth::Nobody { MEMBERS } else { FIFTH };
    args.extend(lab.all().into_iter().take(hosts));
    let copy = Copy::start(&lab, &args);
    wait_for("a part has arrived", LONG, || lab.bytes(1).1 >= BEFORE);
    match fifth {
        Fifth::Nobody => {}
        Fifth::Killed => daemons[FIFTH - 1].kill(),
        Fifth::Unplugged => drop(run(&format!("ip -n {} link set eth0 down", lab.ns(FIFTH)))),
    }
    let (begin, before) = (Instant::now(), lab.bytes(1).1);
    assert!(before < UNTIL / 2, "the machine is too busy: {before} bytes had arrived");
    wait_for("more has arrived", LONG, || lab.bytes(1).1 >= UNTIL);
    let rate = (lab.bytes(1).1 - before) as f64 / begin.elapsed().as_secs_f64();
    let done = copy.wait();
    assert_eq!(done.code, Some(if fifth == Fifth::Nobody { 0 } else { 3 }), "{done:#?}");
    assert_eq!(done.modes()[..MEMBERS], ["multicast"; MEMBERS], "{done:#?}");
    rate
}

fn median(mut all: [f64; ROUNDS]) -> f64 {
    all.sort_by(f64::total_cmp);
    all[ROUNDS / 2]
}

/// Prints the rate for each kind, round by round, and the medians beside each other.
pub(super) fn compare() {
    println!(
        "100 Mbit/s, four on the group; Mbit/s that reach one of them when a fifth, by unicast, dies:"
    );
    println!("{:<8}{:>12}{:>12}{:>12}", "round", "nobody", "killed", "unplugged");
    let mut rates = [[0.0; ROUNDS]; KINDS.len()];
    for round in 0..ROUNDS {
        for (of, fifth) in rates.iter_mut().zip(KINDS) {
            of[round] = rate(fifth);
        }
        let [nobody, killed, unplugged] = rates.map(|of| mbit(of[round]));
        println!("{round:<8}{nobody:>12.2}{killed:>12.2}{unplugged:>12.2}");
    }
    let [nobody, killed, unplugged] = rates.map(median);
    let kept = [killed / nobody, unplugged / nobody];
    println!("medians {:.2}, kept {:.3} and {:.3} of it", mbit(nobody), kept[0], kept[1]);
    assert!(kept.iter().all(|kept| *kept >= KEPT), "{KEPT} is to be kept");
}
