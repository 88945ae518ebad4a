//! What a job answers to receivers that say hello.

use crate::{Host, Place};
use mtm::installation::{Folder, Installation, Role};
use mtm::ledger::Ledger;
use mtm::words::{self, JobId, OfMaster, Said, ToMaster};
use std::net::{Ipv4Addr, SocketAddr};
use tcpxm::api::SenderOptions;
use tcpxm::seal::Binding;
use tcpxm::trust::SenderTrust;
use transfer::talk;

/// A receiver of this name says hello to that job, at this port.
fn hello(port: u16, job: JobId, host: &str) -> Option<OfMaster> {
    let installation = Installation::new(&[9; 32]);
    let word = |_: usize, binding: &Binding| {
        let shown = installation.shows(Role::Receiver(Folder::default()), &job, binding);
        let word =
            ToMaster::Hello { job, host: host.to_owned(), has: None, begun: None, last: None };
        words::encode(&Said { shown, word })
    };
    let options = SenderOptions::new(SenderTrust::Loopback);
    let at = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    let said = talk::say(options, &[vec![at]], &word).unwrap().remove(0);
    let said: Said<OfMaster> = words::decode(&said.answer.ok()?.word).unwrap();
    Some(said.word)
}

#[test]
fn of_another_job_nothing_is_said_whose_port_it_was() {
    let place = Place::new();
    let off = Host::off(51);
    let mut job = place.send(&[&off], &[]);
    job.says("revision 1");
    let ledger = Ledger::beside(&place.path().join("state/jobs/lectures/job")).unwrap();
    let port = ledger.listen().unwrap().unwrap().parse().unwrap();
    let id = ledger.job().unwrap().id;
    assert_eq!(hello(port, id, "nobody"), Some(OfMaster::Unknown), "no host of this job");
    let mut other = id;
    other[0] ^= 1;
    assert_eq!(hello(port, other, "nobody"), None, "that job may be paused, and goes on");
    let welcome = hello(port, id, &off.name());
    assert_eq!(welcome, Some(OfMaster::Welcome { channel: None }));
}
