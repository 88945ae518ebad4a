//! Who masters and receivers of mirror jobs are to each other: by the keys of their installations where all have one
//! secret, by those that are listed where they have keys; and hello in either case.

use crate::daemon::Daemon;
use crate::master::Master;
use crate::mirrors::{HOST, Hearing, LONG, ONE, Place, job};
use mtm::revision::Revision;
use mtm::words::{self, Met, OfMaster, OfReceiver, ToMaster, ToReceiver};
use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};
use tcpxm::trust::{Identity, ListenKeys, ListenTrust, Secret, SenderKeys, SenderTrust};
use transfer::message::OfJob;

fn ask() -> ToReceiver {
    ToReceiver::Ask { job: [1; 16], host: HOST.to_owned() }
}

fn over() -> ToReceiver {
    ToReceiver::Over { job: [1; 16], host: HOST.to_owned() }
}

fn secret(letter: char) -> (String, Arc<Secret>) {
    let line = letter.to_string().repeat(44);
    let secret = Secret::from_line(line.as_bytes()).unwrap();
    (line, Arc::new(secret))
}

impl Place {
    /// A daemon with these secrets.
    fn with_secrets(&self, last: u8, letters: &[char]) -> Daemon {
        let file: PathBuf = self.at("secret");
        let lines: Vec<String> = letters.iter().map(|letter| secret(*letter).0).collect();
        fs::write(&file, lines.join("\n")).unwrap();
        fs::set_permissions(&file, Permissions::from_mode(0o600)).unwrap();
        self.daemon(last, &["--secret-file", file.to_str().unwrap()])
    }
}

/// A master with that secret.
fn with_secret(drawn: u8, letter: char) -> Master {
    Master::trusting(drawn, SenderTrust::Secret(secret(letter).1))
}

fn hearing(own: &Master, letter: char) -> Hearing {
    Hearing::by(own.clone(), ListenTrust::Secret(vec![secret(letter).1]))
}

fn refused(answer: OfReceiver) -> String {
    let OfReceiver::Refused(why) = answer else { panic!("{answer:?}") };
    why
}

fn kill(daemon: &mut Daemon) {
    daemon.child.kill().unwrap();
    daemon.child.wait().unwrap();
}

#[test]
fn with_the_same_secret_another_installation_is_another_master() {
    let (place, own, other) = (Place::new(), with_secret(1, 's'), with_secret(2, 's'));
    let daemon = place.with_secrets(145, &['s']);
    assert_eq!(place.send_by(&own, daemon.addr, "here", job(1)), None);
    let why = place.send_by(&other, daemon.addr, "here", job(1)).unwrap();
    assert!(why.contains("another master's"), "{why}");
    for word in [ask(), over()] {
        let why = refused(other.says(daemon.addr, &word));
        assert!(why.contains("another master's"), "{why}");
    }
    let asked = own.says(daemon.addr, &ask());
    assert_eq!(asked, OfReceiver::Has { revision: Some(ONE), begun: None });
    assert_eq!(own.says(daemon.addr, &over()), OfReceiver::Done);
    assert_eq!(place.send_by(&other, daemon.addr, "here", job(1)), None, "it was over");
}

#[test]
fn what_was_shown_on_another_association_counts_for_nothing() {
    let (place, own) = (Place::new(), with_secret(1, 's'));
    let daemon = place.with_secrets(146, &['s']);
    assert_eq!(place.send_by(&own, daemon.addr, "here", job(1)), None);
    // As somebody says it who has heard it, or who sits between the two.
    let copied = own.shown(&[1; 16], &[9; 32]);
    let thief = with_secret(2, 's').showing(copied);
    for word in [ask(), over()] {
        let why = refused(thief.says(daemon.addr, &word));
        assert!(why.contains("does not show which installation"), "{why}");
    }
    let why = place.send_by(&thief, daemon.addr, "here", job(1)).unwrap();
    assert!(why.contains("does not show which installation"), "{why}");
    assert_eq!(own.says(daemon.addr, &ask()), OfReceiver::Has { revision: Some(ONE), begun: None });
}

#[test]
fn a_receiver_shows_the_same_installation_until_it_is_installed_anew() {
    let (place, own) = (Place::new(), with_secret(1, 's'));
    let mut daemon = place.with_secrets(147, &['s']);
    let delivered = place.deliver(&own, daemon.addr, "here", job(1));
    let Met { shown, word: has } = words::decode(&delivered.said.shown).unwrap();
    assert_eq!(has, [None; 2], "it knew nothing of the job");
    let instance = shown.instance(&[1; 16], &delivered.said.binding.unwrap());
    let which = |daemon: &Daemon| Some(own.asks(daemon.addr, &ask()).unwrap().0);
    assert!(instance.is_some() && which(&daemon) == instance);
    let key = place.at("state/instance");
    assert_eq!(key.metadata().unwrap().permissions().mode() & 0o777, 0o600);
    kill(&mut daemon);
    let mut daemon = place.with_secrets(147, &['s']);
    assert_eq!(which(&daemon), instance);
    kill(&mut daemon);
    fs::remove_file(key).unwrap();
    let daemon = place.with_secrets(147, &['s']);
    let (_, answer) = own.asks(daemon.addr, &ask()).unwrap();
    assert_eq!(answer, OfReceiver::Has { revision: None, begun: None });
    assert_ne!(which(&daemon), instance);
}

/// Who holds the secret can take the port of a master that is off. He can say nothing in its name.
#[test]
fn only_its_master_makes_a_receiver_forget_a_job() {
    let (place, own) = (Place::new(), with_secret(1, 's'));
    let master = hearing(&own, 's');
    let mut daemon = place.with_secrets(148, &['s']);
    assert_eq!(place.send_by(&own, daemon.addr, "here", master.job()), None);
    let known = own.asks(daemon.addr, &ask()).unwrap().0;
    kill(&mut daemon);
    let _daemon = place.with_secrets(148, &['s']);
    let thief = with_secret(2, 's');
    let (instance, _) = master.answers(&thief, OfMaster::Unknown);
    assert_eq!(instance, known, "hello shows which installation it is");
    // It was no answer: it says hello again, and has its place still.
    let (_, ToMaster::Hello { job, .. }) = master.answers(&own, OfMaster::Unknown);
    assert_eq!(job, [1; 16]);
    let begin = Instant::now();
    while place.leases(&[]) != (true, String::new()) {
        assert!(begin.elapsed() < LONG, "its master has said that there is no such job");
        thread::sleep(Duration::from_millis(5));
    }
}

#[test]
fn while_secrets_are_exchanged_hello_is_said_under_each() {
    let (place, own) = (Place::new(), with_secret(1, 'o'));
    let master = hearing(&own, 'o');
    let mut daemon = place.with_secrets(149, &['n', 'o']);
    assert_eq!(place.send_by(&own, daemon.addr, "here", master.job()), None);
    kill(&mut daemon);
    let _daemon = place.with_secrets(149, &['n', 'o']);
    let (_, ToMaster::Hello { has, .. }) = master.hears();
    assert_eq!(has, Some(ONE));
}

#[test]
fn with_keys_a_daemon_that_was_killed_says_hello_and_is_served() {
    let (place, identity) = (Place::new(), Arc::new(Identity::generate([6; 64])));
    let list = place.at("list");
    fs::write(&list, format!("{}\n", identity.public())).unwrap();
    let options = ["--authorized-keys", list.to_str().unwrap()];
    let keys = SenderKeys { identity: Arc::clone(&identity), known: [].into(), strict: false };
    let own = Master::trusting(1, SenderTrust::Keys(keys));
    let mut daemon = place.daemon(150, &options);
    let met = place.deliver(&own, daemon.addr, "beside", job(2));
    assert_eq!(met.failure(), None);
    let authorized = met.report.key.into_iter().collect();
    let trust = ListenKeys { identity, authorized, refused: [].into() };
    let master = Hearing::by(own.clone(), ListenTrust::Keys(trust));
    assert_eq!(place.send_by(&own, daemon.addr, "here", master.job()), None);
    kill(&mut daemon);
    let daemon = place.daemon(150, &options);
    let (took, ToMaster::Hello { job, has, .. }) = master.hears();
    assert_eq!((job, has), ([1; 16], Some(ONE)));
    assert!(took < Duration::from_secs(5), "{took:?}");
    fs::write(place.at("tree/file"), "newer content").unwrap();
    let two = Revision::new(2, 6);
    let next = OfJob { revision: 2, edition: 6, ..master.job() };
    assert_eq!(place.send_by(&own, daemon.addr, "here", next), None);
    assert_eq!(own.says(daemon.addr, &ask()), OfReceiver::Has { revision: Some(two), begun: None });
    // The listed key is its master's, whatever else is shown under it.
    let same = own.showing(with_secret(2, 's').shown(&[1; 16], &[9; 32]));
    assert_eq!(same.says(daemon.addr, &over()), OfReceiver::Done);
}
