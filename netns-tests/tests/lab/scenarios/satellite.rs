//! Mirror jobs over a satellite: a line to all that is long and slow, and one from each that is slower by far.

use super::mirrors::{LIMIT, MIB, amount, assert_equal, daemon_with, grow};
use super::trees::seeded;
use crate::asked::asked;
use crate::daemon::Daemon;
use crate::mirror::Mirror;
use crate::network::Lab;
use crate::shell::wait_for;
use std::time::{Duration, Instant};

/// Receivers, files and MiB, unless `SATELLITE_RECEIVERS`, `SATELLITE_FILES` and `SATELLITE_MIB` say others.
const RECEIVERS: usize = 4;
const FILES: u64 = 50;
const TREE_MIB: u64 = 8;
/// A tree that has stood for so long is not one that may be changing just now, of which a second session would tell.
const SETTLES: Duration = Duration::from_millis(150);
/// Bits a second that the line to the satellite carries, and what of a frame of 1514 bytes is payload by IPv6
/// (docs/wire.md): 1400 bytes.
const LINE_RATE: f64 = 10e6;
const PAYLOAD: f64 = 1400.0 / 1514.0;
/// Of that the tree's bytes get at least so much while its second half is sent …
const MEANWHILE: f64 = 0.9;
/// … and so much of the time until the last verdict, beside …
const FILLED: f64 = 0.75;
/// … seconds for handshakes, for finding the rate, and for the verdict: about 20 round trips.
const AROUND: f64 = 11.0;

/// There and back takes 560 ms.
const LONG: [&str; 2] = ["delay=140ms,queue=1M", "up:rate=64K"];

/// A job over a satellite.
struct Job<'a> {
    lab: &'a Lab,
    name: &'a str,
    hosts: Vec<String>,
    /// Options of the daemons, and of the job.
    options: (&'a [&'a str], &'a [&'a str]),
    /// By which interface the sender's part of the satellite leaves.
    interface: &'a str,
}

impl Job<'_> {
    /// All have the tree, in the time that the line needs for it.
    fn run(&self) -> Vec<Daemon> {
        let (lab, (of_daemons, of_job)) = (self.lab, self.options);
        let (seed, _printed) = seeded(self.name);
        let tree =
            grow(lab.dir.path().join("tree"), seed, (asked("SATELLITE_FILES", FILES), bytes()));
        let grown = Instant::now();
        let daemons = (1..=receivers()).map(|host| daemon_with(lab, host, of_daemons)).collect();
        let bytes = amount(&tree.root).1;
        wait_for("the tree is settled", LIMIT, || grown.elapsed() > SETTLES);
        let options = [&["--rate", "10M"], of_job].concat();
        let begin = Instant::now();
        let (mirror, mut running) = Mirror::send_to(lab, &self.hosts, &tree.root, &options);
        let reach = |share: f64| {
            let so_far = || lab.bytes_by(0, self.interface).0 as f64 >= share * bytes as f64;
            wait_for("the tree is on its way", LIMIT, so_far);
            begin.elapsed().as_secs_f64()
        };
        let (some, most) = (reach(0.5), reach(1.0));
        mirror.wait_for("the last verdict", LIMIT, |status| status["complete"] == receivers());
        let last = begin.elapsed().as_secs_f64();
        let took = running.wait_complete(LIMIT).took.as_secs_f64();
        let needs = bytes as f64 * 8.0 / (LINE_RATE * PAYLOAD);
        let filled = needs * 0.5 / (most - some);
        eprintln!(
            "{}: {bytes} bytes, {needs:.1} s of the line: half is sent after {some:.1} s, as much as all of it after \
             {most:.1} s, the last verdict is there after {last:.1} s: {:.3} of the line, {filled:.3} meanwhile; the \
             job ends after {took:.1} s",
            self.name,
            needs / last,
        );
        assert!(filled >= MEANWHILE, "{filled} of the line while it is sent");
        assert!(last - AROUND <= needs / FILLED, "{last} s for what takes {needs} s on the line");
        assert_equal(lab, 1..=receivers(), &tree.root);
        daemons
    }
}

fn receivers() -> usize {
    asked("SATELLITE_RECEIVERS", RECEIVERS)
}

/// The tree's, about.
fn bytes() -> u64 {
    asked("SATELLITE_MIB", TREE_MIB) * MIB
}

/// The receivers' lines, and the sender's.
fn lab() -> Lab {
    Lab::lines(receivers(), &[&LONG[..], &["0.up:rate=10M"]].concat())
}

pub(super) fn by_ipv4() {
    let lab = lab();
    let announced = ["--announce", "239.77.0.1"];
    let options = (&announced[..], &announced[..]);
    let hosts = lab.all();
    Job { lab: &lab, name: "satellite::by_ipv4", hosts, options, interface: "eth0" }.run();
}

pub(super) fn by_ipv6() {
    let lab = lab();
    let announced = ["--announce", "ff15::7701"];
    let options = (&announced[..], &announced[..]);
    let hosts = (1..=receivers()).map(|host| format!("[{}]", lab.v6(host))).collect();
    Job { lab: &lab, name: "satellite::by_ipv6", hosts, options, interface: "eth0" }.run();
}

/// The group comes by one interface, on which nothing can be answered, and all else goes by another.
pub(super) fn a_one_way_link() {
    let sky = format!("{}.up:rate=10M", Lab::in_the_sky(receivers(), 0));
    let lab = Lab::one_way(receivers(), &[&LONG[..], &["0.up:rate=10M", &sky]].concat());
    for host in 1..=receivers() {
        // What comes by the satellite has an address of its network, so that a strict filter lets it pass.
        for on in ["all", "eth0", "sky"] {
            lab.set(host, &format!("ipv4/conf/{on}/rp_filter"), 1);
        }
    }
    let both = ["--interface", "sky", "--announce", "239.77.0.1"];
    let hosts = lab.all();
    let options = (&both[..], &both[..]);
    let before = lab.bytes(0).0;
    let job =
        Job { lab: &lab, name: "satellite::a_one_way_link", hosts, options, interface: "sky" };
    let daemons = job.run();
    let ground = lab.bytes(0).0 - before;
    eprintln!("{ground} bytes left the sender on the ground");
    assert!(ground <= bytes() / 8, "{ground} bytes left the sender on the ground");
    for daemon in daemons {
        let log = daemon.log();
        assert!(!log.contains("rp_filter"), "{log}");
    }
}
