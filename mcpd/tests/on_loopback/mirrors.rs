//! Mirror jobs, whose masters are in this process: places that are one job's, hello, and announcements.

use crate::daemon::Daemon;
use crate::master::Master;
use mtm::announce::{Allowed, ChannelKey, JobKey, Open, Request, Reserved, Stamps, seal};
use mtm::revision::Revision;
use mtm::words::{self, Batch, ChannelTold, OfMaster, OfReceiver, Said, ToMaster, ToReceiver};
use rustix::process::Signal;
use std::cell::RefCell;
use std::fs;
use std::net::{Ipv4Addr, SocketAddr};
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};
use tcpxm::api::{ListenOptions, Listener, SenderOptions};
use tcpxm::net::channel::ChannelSpeaker;
use tcpxm::net::interface::index_of;
use tcpxm::trust::{Identity, ListenTrust, SenderTrust};
use tempfile::TempDir;
use transfer::message::{OfJob, Offer};
use transfer::send::Delivered;
use transfer::talk;
use transfer::tree::scan;
use transfer::tree::source::TreeSource;

/// Whatever is waited for comes within this, unless something is wrong.
pub(crate) const LONG: Duration = Duration::from_secs(60);

/// What the daemon is called in a job.
pub(crate) const HOST: &str = "node1:here";

/// A place with a root, a folder of state and a tree.
pub(crate) struct Place {
    dir: TempDir,
}

impl Place {
    pub(crate) fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        for name in ["root", "state", "tree"] {
            fs::create_dir(dir.path().join(name)).unwrap();
        }
        fs::write(dir.path().join("tree/file"), "content").unwrap();
        Self { dir }
    }

    pub(crate) fn at(&self, path: &str) -> PathBuf {
        self.dir.path().join(path)
    }

    pub(crate) fn daemon(&self, last: u8, options: &[&str]) -> Daemon {
        let (root, state) = (self.dir.path().join("root"), self.dir.path().join("state"));
        let state = ["--state-dir", state.to_str().unwrap()];
        Daemon::start(&root, last, &[&state, options].concat())
    }

    /// Sends the tree for a job; why it did not get there.
    fn send(&self, to: SocketAddr, path: &str, job: OfJob) -> Option<String> {
        self.send_by(&Master::new(1), to, path, job)
    }

    /// The same, as this master.
    pub(crate) fn send_by(
        &self,
        by: &Master,
        to: SocketAddr,
        path: &str,
        job: OfJob,
    ) -> Option<String> {
        self.deliver(by, to, path, job).failure()
    }

    /// The same; what came of it.
    pub(crate) fn deliver(&self, by: &Master, to: SocketAddr, path: &str, job: OfJob) -> Delivered {
        let tree = self.dir.path().join("tree");
        let source = TreeSource::open(&[&tree], scan::Options::default(), self.dir.path()).unwrap();
        let job = Some(Box::new(job));
        let offer = Offer { to: path.into(), job, ..Offer::default() };
        by.send(to, &source, offer)
    }

    /// What `mcpd leases` prints.
    pub(crate) fn leases(&self, options: &[&str]) -> (bool, String) {
        let mut command = Command::new(env!("CARGO_BIN_EXE_mcpd"));
        command.arg("leases").arg("--state-dir").arg(self.dir.path().join("state")).args(options);
        let output = command.output().unwrap();
        let said = if output.status.success() { output.stdout } else { output.stderr };
        (output.status.success(), String::from_utf8(said).unwrap())
    }
}

/// The revision of [`job`].
pub(crate) const ONE: Revision = Revision { number: 1, edition: 5 };

pub(crate) fn job(n: u8) -> OfJob {
    OfJob {
        id: [n; 16],
        name: format!("job{n}"),
        revision: ONE.number,
        edition: ONE.edition,
        below: b"tree".to_vec(),
        host: HOST.to_owned(),
        hello: None,
        ..OfJob::default()
    }
}

/// Says a word to a daemon.
fn say(to: SocketAddr, word: &ToReceiver) -> OfReceiver {
    Master::new(1).says(to, word)
}

#[test]
fn a_place_is_of_one_job_until_that_is_over() {
    let place = Place::new();
    let daemon = place.daemon(141, &[]);
    assert_eq!(place.leases(&[]), (true, String::new()));
    assert_eq!(place.send(daemon.addr, "here", job(1)), None);
    assert_eq!(place.send(daemon.addr, "here", job(1)), None, "it is its own");
    for path in ["here", "here/tree/below"] {
        let why = place.send(daemon.addr, path, job(2)).unwrap();
        assert!(why.contains("belongs to the job \"job1\""), "{why}");
    }
    assert_eq!(place.send(daemon.addr, "beside", job(2)), None);
    let (_, leases) = place.leases(&[]);
    let lines: Vec<&str> = leases.lines().collect();
    assert!(lines[1].contains("here/tree\tjob1\tnode1:here\trevision 1\t"), "{leases}");
    let (_, leases) = place.leases(&["--json"]);
    let lines: Vec<serde_json::Value> =
        leases.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let here = lines.iter().find(|line| line["name"] == "job1").unwrap();
    assert_eq!((lines.len(), &here["host"], &here["complete"]), (2, &HOST.into(), &1.into()));
    assert_eq!(here["job"], "01".repeat(16));
    assert!(here["place"].as_str().unwrap().ends_with("root/here/tree"), "{here}");
    assert!(humantime::parse_rfc3339(here["heard"].as_str().unwrap()).is_ok(), "{here}");
    let (ok, why) = place.leases(&["--rate", "1M"]);
    assert!(!ok && why.contains("unexpected argument '--rate'"), "{why}");
    let held = place.dir.path().join("root/beside");
    let held = held.to_str().unwrap();
    assert_eq!(place.leases(&["--drop", held, "-q"]), (true, String::new()));
    let (ok, why) = place.leases(&["--drop", held]);
    assert!(!ok && why.contains("no job has"), "{why}");
    let asked = say(daemon.addr, &ToReceiver::Ask { job: [1; 16], host: HOST.to_owned() });
    assert!(matches!(asked, OfReceiver::Has { revision: Some(ONE), begun: None }), "{asked:?}");
    let asked = say(daemon.addr, &ToReceiver::Ask { job: [3; 16], host: HOST.to_owned() });
    assert!(matches!(asked, OfReceiver::Has { revision: None, begun: None }), "{asked:?}");
    let over = ToReceiver::Over { job: [1; 16], host: HOST.to_owned() };
    assert_eq!(say(daemon.addr, &over), OfReceiver::Done);
    assert_eq!(place.leases(&[]), (true, String::new()));
    assert_eq!(place.send(daemon.addr, "here", job(2)), None);
    let options = SenderOptions::new(SenderTrust::Loopback);
    let nonsense = talk::say(options, &[vec![daemon.addr]], &|_, _| vec![9, 9]).unwrap().remove(0);
    let Said { shown: _, word: answer } = words::decode(&nonsense.answer.unwrap().word).unwrap();
    assert!(matches!(&answer, OfReceiver::Refused(why) if why.contains("version 9")), "{answer:?}");
}

#[test]
fn a_link_below_the_root_leads_around_no_lease() {
    let place = Place::new();
    let daemon = place.daemon(144, &["--follow-root"]);
    let root = place.dir.path().join("root");
    assert_eq!(place.send(daemon.addr, "here", job(1)), None);
    symlink("here", root.join("link")).unwrap();
    let made = fs::metadata(root.join("here/tree")).unwrap().modified().unwrap();
    for path in ["link", "link/tree/below", "link/../link/tree"] {
        let why = place.send(daemon.addr, path, job(2)).unwrap();
        let refused = why.contains("belongs to the job \"job1\"") || why.contains("names a folder");
        assert!(refused, "{path}: {why}");
    }
    let now = fs::metadata(root.join("here/tree")).unwrap().modified().unwrap();
    assert_eq!(now, made, "nothing was made there, even for a moment");
    assert_eq!(place.send(daemon.addr, "link", job(1)), None, "it is its own");
    let (_, leases) = place.leases(&[]);
    assert!(leases.contains("root/here/tree\tjob1"), "{leases}");
    let by_link = root.join("link/tree");
    assert!(place.leases(&["--drop", by_link.to_str().unwrap(), "-q"]).0);
    assert_eq!(place.leases(&[]), (true, String::new()));
}

#[test]
fn a_session_that_is_refused_leaves_no_lease() {
    let place = Place::new();
    let daemon = place.daemon(145, &[]);
    let root = place.dir.path().join("root");
    fs::create_dir(root.join("here")).unwrap();
    symlink("here", root.join("link")).unwrap();
    fs::write(root.join("file"), "x").unwrap();
    for (path, why) in [("link", "link is refused"), ("file", "file is refused")] {
        let told = place.send(daemon.addr, path, job(1)).unwrap();
        assert!(told.contains(why), "{told}");
        assert_eq!(place.leases(&[]), (true, String::new()));
    }
    // Of a job that was known the place stays.
    assert_eq!(place.send(daemon.addr, "here", job(1)), None);
    assert!(place.send(daemon.addr, "link", job(1)).is_some());
    assert!(place.leases(&[]).1.contains("root/here/tree\tjob1"));
}

/// A master that hears hello.
pub(crate) struct Hearing {
    own: Master,
    listener: Listener,
    told: RefCell<Option<ChannelTold>>,
}

impl Hearing {
    fn new() -> Self {
        Self::by(Master::new(1), ListenTrust::Loopback)
    }

    pub(crate) fn by(own: Master, trust: ListenTrust) -> Self {
        let at = ListenOptions::new((Ipv4Addr::LOCALHOST, 0).into(), trust);
        Self { own, listener: Listener::bind(at).unwrap(), told: RefCell::default() }
    }

    pub(crate) fn job(&self) -> OfJob {
        let told = self.told.borrow().as_ref().map(words::encode).unwrap_or_default();
        OfJob { hello: Some((None, self.listener.local_addr().port())), told, ..job(1) }
    }

    /// Hears one; how long it took, and what was said.
    pub(crate) fn hears(&self) -> (Duration, ToMaster) {
        let begin = Instant::now();
        let channel = self.told.borrow().clone();
        let (_, said) = self.answers(&self.own, OfMaster::Welcome { channel });
        (begin.elapsed(), said)
    }

    /// Hears one and has it answered by that master; which installation said what.
    pub(crate) fn answers(&self, by: &Master, answer: OfMaster) -> ([u8; 16], ToMaster) {
        let session = self.listener.accept_timeout(LONG).unwrap();
        let mut said = None;
        talk::hear(&session, |heard| {
            let binding = session.binding().unwrap();
            let Said { shown, word } = words::decode(heard).unwrap();
            let ToMaster::Hello { job, .. } = &word;
            let instance =
                shown.instance(job, &binding).expect("it shows which installation it is");
            let shown = by.shown(job, &binding);
            said = Some((instance, word));
            Some(words::encode(&Said { shown, word: answer }))
        })
        .unwrap();
        said.unwrap()
    }
}

#[test]
fn a_daemon_that_was_killed_says_hello_and_what_it_has() {
    let (place, master) = (Place::new(), Hearing::new());
    let mut daemon = place.daemon(142, &[]);
    assert_eq!(place.send(daemon.addr, "here", master.job()), None);
    daemon.child.kill().unwrap();
    daemon.child.wait().unwrap();
    let _daemon = place.daemon(142, &[]);
    let (took, ToMaster::Hello { job, host, has, .. }) = master.hears();
    assert_eq!((job, host.as_str(), has), ([1; 16], "node1:here", Some(ONE)));
    assert!(took < Duration::from_secs(5), "{took:?}");
}

#[test]
fn a_job_to_two_paths_of_a_daemon_has_both_and_says_hello_for_each() {
    let (place, master) = (Place::new(), Hearing::new());
    let mut daemon = place.daemon(144, &[]);
    let names = ["node1:here", "node1:there"];
    let job = |host: &str| OfJob { host: host.to_owned(), ..master.job() };
    let send = |daemon: &Daemon, host: &str, job| place.send(daemon.addr, &host[6..], job);
    for host in names {
        assert_eq!(send(&daemon, host, job(host)), None);
    }
    let (_, leases) = place.leases(&[]);
    assert_eq!(
        leases.lines().filter(|line| line.contains("\trevision 1\t")).count(),
        2,
        "{leases}"
    );
    let why = send(&daemon, "node1:here/tree/sub", job("node1:here/tree/sub")).unwrap();
    assert!(why.contains("\"node1:here\" of the same job"), "{why}");
    for host in names {
        let why = send(&daemon, host, self::job(2)).unwrap();
        assert!(why.contains("belongs to the job \"job1\""), "{why}");
    }
    daemon.child.kill().unwrap();
    daemon.child.wait().unwrap();
    let daemon = place.daemon(144, &[]);
    let mut said = names.map(|_| match master.hears().1 {
        ToMaster::Hello { host, has: Some(ONE), .. } => host,
        other @ ToMaster::Hello { .. } => panic!("{other:?}"),
    });
    said.sort();
    assert_eq!(said, names);
    // One of them is a receiver no more.
    let over = ToReceiver::Over { job: [1; 16], host: names[0].to_owned() };
    assert_eq!(say(daemon.addr, &over), OfReceiver::Done);
    let has = names.map(|host| {
        let asked = ToReceiver::Ask { job: [1; 16], host: host.to_owned() };
        matches!(say(daemon.addr, &asked), OfReceiver::Has { revision: Some(ONE), begun: None })
    });
    assert!(has[1]);
    assert_eq!(send(&daemon, names[0], self::job(2)), None);
    assert!(send(&daemon, names[1], self::job(2)).is_some());
}

/// What a master announces.
fn announcement(stamps: &mut Stamps, told: &ChannelTold, places: &[usize]) -> Vec<u8> {
    let open = Open {
        job: [1; 16],
        version: 1,
        group: None,
        digest: [0; 32],
        allowed: Allowed::of(places.iter().copied()),
    };
    let batch = Batch { roster: 10, entries: 2, bytes: 7, feedback: 1, first: Vec::new() };
    let keys = (ChannelKey::new(told.channel), JobKey::new(told.private));
    let stamp = stamps.next(|_| Ok::<_, ()>(())).unwrap();
    let said = (Request::Transfer, &open);
    seal(&Identity::generate([7; 64]), stamp, (&keys.0, &keys.1), said, &words::encode(&batch))
        .unwrap()
}

#[test]
fn an_announcement_that_counts_is_answered_and_no_other() {
    let (place, master) = (Place::new(), Hearing::new());
    let group =
        SocketAddr::from(([239, 255, 77, 9], 20_000 + (std::process::id() % 20_000) as u16));
    let text = group.to_string();
    let mut daemon = place.daemon(143, &["--announce", &text, "--interface", "lo"]);
    let told = ChannelTold {
        master: *Identity::generate([7; 64]).public().as_bytes(),
        channel: [1; 32],
        private: [2; 32],
        incarnation: 3,
        floor: 0,
        place: 4,
    };
    *master.told.borrow_mut() = Some(told.clone());
    assert_eq!(place.send(daemon.addr, "here", master.job()), None);
    let lo = index_of("lo").unwrap();
    let speaker = ChannelSpeaker::open(group, lo, 1).unwrap();
    let mut stamps = Stamps::resume(Reserved { incarnation: 3, below: 0 }, [5; 16]);
    let first = announcement(&mut stamps, &told, &[4]);
    speaker.say(&first).unwrap();
    let (_, ToMaster::Hello { has, last, .. }) = master.hears();
    assert_eq!((has, last), (Some(ONE), Some(first.clone())));

    speaker.say(&first).unwrap(); // repeated
    speaker.say(&announcement(&mut stamps, &told, &[3, 5])).unwrap(); // for others
    let mut forged = announcement(&mut stamps, &told, &[4]);
    *forged.last_mut().unwrap() ^= 1;
    speaker.say(&forged).unwrap();
    let mut other = Stamps::resume(Reserved { incarnation: 4, below: 100 }, [5; 16]);
    speaker.say(&announcement(&mut other, &told, &[4])).unwrap();
    speaker.say(b"nothing of the kind").unwrap();
    let counted =
        "1 malformed, 0 of strangers, 1 forged, 1 repeated, 1 of another incarnation, 1 for others";
    let begin = Instant::now();
    loop {
        daemon.signal(Signal::USR1);
        let said = daemon.says("announcements: ");
        if said.contains(counted) {
            assert!(said.contains(" 1 taken"), "{said}");
            break;
        }
        assert!(begin.elapsed() < LONG, "{said}");
    }
    let silence = master.listener.accept_timeout(Duration::from_millis(200));
    assert!(silence.is_err(), "none of these is answered");
    assert!(Path::new(&place.dir.path().join("state/mirrors")).exists());
}
