//! What a job announces, and hears: as somebody sees it who has captured all of it, or holds the secret and no place in it.

use crate::host::Host;
use crate::job::{LONG, Place};
use mtm::announce::{Announcement, ChannelKey, Ignored, JobKey, MAX_ROSTER, Masters};
use mtm::installation::{Folder, Installation, Role};
use mtm::ledger::{Entry, Ledger};
use mtm::words::{self, Batch, JobId, OfMaster, Said, ToMaster};
use std::fs::{self, Permissions};
use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4, UdpSocket};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::PermissionsExt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};
use tcpxm::api::SenderOptions;
use tcpxm::seal::Binding;
use tcpxm::trust::{Identity, ListenTrust, Secret, SenderTrust};
use transfer::talk;

/// Somebody who hears all that is said to a group on this host.
struct Capture {
    group: SocketAddrV4,
    over: Arc<AtomicBool>,
    hearing: JoinHandle<Vec<Vec<u8>>>,
}

impl Capture {
    fn start() -> Self {
        let ip = Ipv4Addr::new(239, 255, 78, 9);
        // The group's own address keeps out what is said to the port otherwise.
        let socket = UdpSocket::bind((ip, 0)).unwrap();
        socket.join_multicast_v4(&ip, &Ipv4Addr::LOCALHOST).unwrap();
        socket.set_read_timeout(Some(Duration::from_millis(20))).unwrap();
        let group = SocketAddrV4::new(ip, socket.local_addr().unwrap().port());
        let over = Arc::<AtomicBool>::default();
        let is_over = Arc::clone(&over);
        let hearing = thread::spawn(move || {
            let (mut all, mut buf) = (Vec::new(), [0; 2048]);
            loop {
                match socket.recv(&mut buf) {
                    Ok(len) => all.push(buf[..len].to_vec()),
                    Err(_) if is_over.load(Ordering::SeqCst) => return all,
                    Err(_) => {} // nothing yet
                }
            }
        });
        Self { group, over, hearing }
    }

    fn end(self) -> Vec<Vec<u8>> {
        self.over.store(true, Ordering::SeqCst);
        self.hearing.join().unwrap()
    }
}

/// Whether these bytes stand somewhere in those.
fn has(bytes: &[u8], name: &[u8]) -> bool {
    bytes.windows(name.len()).any(|some| some == name)
}

/// BLAKE3 of the manifest, as `docs/mtm.md` says it.
fn manifest(entries: &[Entry]) -> [u8; 32] {
    let mut hasher = blake3::Hasher::new();
    for entry in entries {
        let path = entry.found.path.as_os_str().as_bytes();
        hasher.update(&(path.len() as u64).to_be_bytes()).update(path);
        hasher.update(&entry.found.size.to_be_bytes()).update(&entry.found.mtime.to_be_bytes());
        hasher.update(&entry.found.mode.to_be_bytes()).update(&[u8::from(entry.gone)]);
    }
    *hasher.finalize().as_bytes()
}

/// What of these was announced by a job, to a holder of the channel's key.
fn opened(datagrams: &[Vec<u8>], ledger: &Ledger) -> Vec<Announcement> {
    let channel = ledger.channel().unwrap().unwrap();
    let (master, mut masters) =
        (Identity::generate(*channel.identity).public(), Masters::default());
    let key = ChannelKey::new(*channel.channel);
    masters.tell(master, key, (channel.reserved.incarnation, 0));
    datagrams.iter().map(|datagram| masters.take(datagram).unwrap()).collect()
}

#[test]
fn what_is_announced_names_nothing_to_who_is_not_of_the_job() {
    let (place, hosts) = (Place::new(), [Host::new(61), Host::new(62)]);
    let capture = Capture::start();
    let (announce, group) = (capture.group.to_string(), "239.255.78.10:20001");
    let options = [
        &["--name", "springjob", "--description", "for-everybody", "--interface", "lo"][..],
        &["--announce", &announce, "--group", group],
    ];
    let job = place.send(&[&hosts[0], &hosts[1]], &options.concat());
    assert_eq!(job.ends().0, Some(0));
    let first = opened_so_far(&place);
    fs::write(place.tree().join("autumn/01/notes"), "second, and longer\n").unwrap();
    Place::settle();
    place.ok(&["resume", "springjob"]);
    assert_eq!(place.start(&["run", "springjob"]).ends().0, Some(0));
    let datagrams = capture.end();

    // Nothing that has a name is in any byte of it.
    let names = ["springjob", "for-everybody", "lectures", "autumn", "notes", "video", "index"];
    let names = names.map(str::to_owned).into_iter();
    let hosts = hosts.iter().flat_map(|host| [host.name(), host.addr().ip().to_string()]);
    for name in names.chain(hosts).chain(["mirror".to_owned(), "second".to_owned()]) {
        let told = datagrams.iter().any(|datagram| has(datagram, name.as_bytes()));
        assert!(!told, "{name} is told to everybody");
    }

    // Who holds the channel's key reads which job it is of, which version, by which group, and for whom.
    let ledger = Ledger::beside(&place.file("springjob")).unwrap();
    let (all, channel) = (opened(&datagrams, &ledger), ledger.channel().unwrap().unwrap());
    assert!(all.iter().all(|one| one.open.job == ledger.job().unwrap().id));
    let group: SocketAddr = group.parse().unwrap();
    assert!(all.iter().all(|one| one.open.group == Some(group)), "it was given");
    let entries = ledger.entries().unwrap();
    let second: Vec<Entry> = entries.iter().filter(|one| one.version == 2).cloned().collect();
    for (version, digest) in [(1, manifest(&first)), (2, manifest(&second))] {
        let of_it: Vec<_> = all.iter().filter(|one| one.open.version == version).collect();
        // Once before there is a session, once when there is.
        assert!(of_it.len() >= 2, "{version}: {}", of_it.len());
        for one in of_it {
            assert_eq!(one.open.digest, digest, "{version}");
            let allowed = (0..MAX_ROSTER).filter(|place| one.open.allowed.has(*place));
            assert_eq!(allowed.collect::<Vec<_>>(), [0, 1]);
        }
    }

    // The names he does not read: they are for who has the job's key.
    for one in &all {
        let wrong = JobKey::new(*channel.channel);
        assert_eq!(one.private(&wrong), Err(Ignored::NotOurs));
        let private = one.private(&JobKey::new(*channel.private)).unwrap();
        let batch: Batch = words::decode(&private).unwrap();
        assert!(batch.first.iter().any(|named| named.path.ends_with(b"notes")), "{batch:?}");
    }
}

/// Entries as they were announced first.
fn opened_so_far(place: &Place) -> Vec<Entry> {
    Ledger::beside(&place.file("springjob")).unwrap().entries().unwrap()
}

#[test]
fn a_session_that_draws_its_group_announces_it_and_one_by_unicast_none() {
    let (place, hosts) = (Place::new(), [Host::new(63), Host::new(64)]);
    let capture = Capture::start();
    let announce = ["--announce", &capture.group.to_string(), "--interface", "lo"];
    assert_eq!(place.send(&[&hosts[0], &hosts[1]], &announce).ends().0, Some(0));
    let ledger = Ledger::beside(&place.file("lectures")).unwrap();
    let drawn = opened(&capture.end(), &ledger);
    let groups: Vec<bool> = drawn.iter().map(|one| one.open.group.is_some()).collect();
    assert!(!groups[0] && groups[1], "{groups:?}: it is known once there is a session");
    let (place, capture) = (Place::new(), Capture::start());
    let announce = ["--announce", &capture.group.to_string(), "--interface", "lo", "--unicast"];
    assert_eq!(place.send(&[&hosts[0], &hosts[1]], &announce).ends().0, Some(0));
    let ledger = Ledger::beside(&place.file("lectures")).unwrap();
    let alone = opened(&capture.end(), &ledger);
    assert!(!alone.is_empty() && alone.iter().all(|one| one.open.group.is_none()));
}

/// Says hello to a job's master, as this installation.
fn hello(to: SocketAddr, secret: &Arc<Secret>, drawn: u8, (job, host): (JobId, &str)) -> Answered {
    let options = SenderOptions::new(SenderTrust::Secret(Arc::clone(secret)));
    let installation = Installation::new(&[drawn; 32]);
    let word = |_, binding: &Binding| {
        let shown = installation.shows(Role::Receiver(Folder::default()), &job, binding);
        let word =
            ToMaster::Hello { job, host: host.to_owned(), has: None, begun: None, last: None };
        words::encode(&Said { shown, word })
    };
    let answer = talk::say(options, &[vec![to]], &word).unwrap().remove(0).answer?;
    let Said { shown, word } = words::decode(&answer.word).unwrap();
    assert!(shown.master(&job, &answer.binding).is_some(), "it shows whose answer it is");
    Ok(word)
}

type Answered = Result<OfMaster, String>;

#[test]
fn who_holds_the_secret_and_is_not_on_the_list_learns_nothing_by_hello() {
    let place = Place::new();
    let line = "s".repeat(44);
    let secret = Arc::new(Secret::from_line(line.as_bytes()).unwrap());
    fs::write(place.path().join("secret"), line).unwrap();
    fs::set_permissions(place.path().join("secret"), Permissions::from_mode(0o600)).unwrap();
    let trust = ListenTrust::Secret(vec![Arc::clone(&secret)]);
    let there = Host::new(65).trusting(trust.clone());
    let mut off = Host::off(66).trusting(trust);
    let capture = Capture::start();
    let announce = capture.group.to_string();
    let options = ["--secret-file", "secret", "--announce", &announce, "--interface", "lo"];
    let mut job = place.send(&[&there, &off], &options);
    job.says("1 of 2 hosts");
    let ledger = Ledger::beside(&place.file("lectures")).unwrap();
    let (id, port) = (ledger.job().unwrap().id, ledger.listen().unwrap().unwrap());
    let master = SocketAddr::from((Ipv4Addr::LOCALHOST, port.parse().unwrap()));
    let hello = |drawn, job, host: &str| hello(master, &secret, drawn, (job, host));
    assert_eq!(hello(99, id, "node99:mirror"), Ok(OfMaster::Unknown), "it is not on the list");
    let why = hello(99, [9; 16], &there.name()).unwrap_err();
    assert!(why.contains("not answered"), "of no such job: {why}");
    // Its own receiver is known as that a moment after it has all of it.
    let begin = Instant::now();
    let is_known = |met: &Answered| matches!(met, Ok(OfMaster::Welcome { channel: Some(_) }));
    while !is_known(&hello(65, id, &there.name())) {
        assert!(begin.elapsed() < LONG, "it is not known as the installation that was met");
    }
    let why = hello(99, id, &there.name()).unwrap_err();
    assert!(why.contains("not answered"), "{why}");
    // Of one that was never met the name alone is known: it is told by its session.
    assert_eq!(hello(99, id, &off.name()), Ok(OfMaster::Welcome { channel: None }));
    off.start();
    assert_eq!(job.ends().0, Some(0));
    assert!(place.is_at(&off));
    drop(capture);
}
