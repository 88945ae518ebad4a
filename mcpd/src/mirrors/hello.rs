//! Says hello to the masters of the jobs that are known here: at the start, and from time to time, so that a host that
//! was off or cut off gets what it lacks at once.

use super::{Mine, Named, lock, name_of, now};
use mtm::held::Known;
use mtm::words::{self, OfMaster, ToMaster};
use std::collections::BTreeMap;
use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, PoisonError};
use std::thread;
use std::time::{Duration, Instant};
use tcpxm::api::SenderOptions;
use tcpxm::config::SessionConfig;
use tcpxm::trust::{ListenTrust, PublicKey, SenderKeys, SenderTrust};
use transfer::talk;

/// A master that was reached is told again after so long: it may have missed that this host was away.
const PERIOD: Duration = Duration::from_secs(300);
/// One that was not is tried again after so long, then after twice as long each time …
const FIRST: Duration = Duration::from_secs(1);
/// … up to this: it is one packet, and a host that was cut off wants what it lacks.
const LONGEST: Duration = Duration::from_secs(30);
/// A wait is shorter by up to this part of it, by chance: hosts that were started together do not come together.
const JITTER: f64 = 0.25;
/// Masters that are told at a time, at most: a session has room for so many (the transport's 1024).
const AT_A_TIME: usize = 512;
/// A master answers within this.
const ANSWER: Duration = Duration::from_secs(5);

/// When a master is told next, and how often it was not reached.
#[derive(Debug, Clone, Copy)]
struct Next {
    at: Instant,
    failures: u32,
}

/// Starts the thread; it ends with the process.
pub(super) fn start(mine: &Arc<Mine>) -> io::Result<()> {
    let mine = Arc::clone(mine);
    thread::Builder::new().name("hello".to_owned()).spawn(move || run(&mine))?;
    Ok(())
}

fn run(mine: &Mine) {
    let mut all: BTreeMap<Named, Next> = BTreeMap::new();
    let mut first = true;
    loop {
        let seen = *lock(&mine.news.0);
        let known = lock(&mine.held).all(now()).unwrap_or_default();
        let known: Vec<Known> = known.into_iter().filter(|known| known.hello.is_some()).collect();
        let begin = Instant::now();
        all.retain(|of, _| known.iter().any(|known| name_of(known) == *of));
        for known in &known {
            // One that has just begun was heard by its session.
            let at = if first { begin } else { begin + shorter(PERIOD) };
            all.entry(name_of(known)).or_insert(Next { at, failures: 0 });
        }
        for (of, at) in std::mem::take(&mut *lock(&mine.soon)) {
            if let Some(next) = all.get_mut(&of) {
                next.at = next.at.min(at);
            }
        }
        first = false;
        let due = |known: &&Known| all.get(&name_of(known)).is_some_and(|next| next.at <= begin);
        let due: Vec<&Known> = known.iter().filter(due).collect();
        if !due.is_empty() {
            let answered = say(mine, &due);
            for (known, answered) in due.iter().zip(answered) {
                let Some(next) = all.get_mut(&name_of(known)) else { continue };
                if answered {
                    let _ = lock(&mine.held).heard((known.job, &known.host), now()); // the lease is a little shorter
                    *next = Next { at: Instant::now() + shorter(PERIOD), failures: 0 };
                } else {
                    let wait =
                        FIRST.saturating_mul(1_u32.checked_shl(next.failures).unwrap_or(u32::MAX));
                    let at = Instant::now() + shorter(wait.min(LONGEST));
                    *next = Next { at, failures: (next.failures + 1).min(30) };
                }
            }
        }
        let next = all.values().map(|next| next.at).min();
        let left = next.map_or(PERIOD, |at| at.saturating_duration_since(Instant::now()));
        let news = lock(&mine.news.0);
        let waited = mine.news.1.wait_timeout_while(news, left, |news| *news == seen);
        drop(waited.unwrap_or_else(PoisonError::into_inner));
    }
}

/// Says hello to all of these at once; whether each has answered, and knows the job.
fn say(mine: &Mine, due: &[&Known]) -> Vec<bool> {
    let mut reached = vec![false; due.len()];
    let mut places: Vec<usize> = Vec::new();
    let mut addrs: Vec<SocketAddr> = Vec::new();
    // Of two places of one job the second comes next.
    for (index, known) in due.iter().enumerate().take(AT_A_TIME) {
        if let Some(addr) = known.hello.filter(|addr| !addrs.contains(addr)) {
            places.push(index);
            addrs.push(addr);
        }
    }
    let Some(trust) = trust(&lock(&mine.trust).clone(), due) else { return reached };
    let session =
        SessionConfig { connect_timeout: ANSWER, idle_timeout: ANSWER, ..SessionConfig::default() };
    let options = SenderOptions { session, ..SenderOptions::new(trust) };
    let words: Vec<Vec<u8>> = places.iter().map(|index| hello(mine, due[*index])).collect();
    let peers: Vec<Vec<SocketAddr>> = addrs.into_iter().map(|addr| vec![addr]).collect();
    let Ok(said) = talk::say(options, &peers, &words) else { return reached };
    for (index, said) in places.into_iter().zip(said) {
        let answer = said.answer.ok().and_then(|answer| words::decode(&answer).ok());
        let known = due[index];
        match answer {
            Some(OfMaster::Welcome { channel }) => {
                reached[index] = true;
                if let Some(told) = channel {
                    lock(&mine.announced).tell(name_of(known), told);
                }
            }
            // Who is asked there is the job's master, as its sessions were: this host is none of its receivers any more.
            Some(OfMaster::Unknown) => {
                let of = (known.job, &known.host[..]);
                let _ = lock(&mine.held).over(of, known.master.as_deref()); // it is asked again
            }
            None => {}
        }
    }
    reached
}

fn hello(mine: &Mine, known: &Known) -> Vec<u8> {
    words::encode(&ToMaster::Hello {
        job: known.job,
        host: known.host.clone(),
        instance: known.instance,
        has: known.complete,
        last: lock(&mine.announced).last(&name_of(known)),
    })
}

/// A master is trusted as it was when it sent: by the secret, or by its key.
fn trust(listen: &ListenTrust, due: &[&Known]) -> Option<SenderTrust> {
    Some(match listen {
        ListenTrust::Loopback => SenderTrust::Loopback,
        ListenTrust::Plaintext => SenderTrust::Plaintext,
        ListenTrust::Secret(secrets) => SenderTrust::Secret(Arc::clone(secrets.first()?)),
        ListenTrust::Keys(keys) => {
            let key = |known: &&Known| {
                let bytes: [u8; 32] = known.master.as_deref()?.try_into().ok()?;
                Some((known.hello?, PublicKey::from_bytes(bytes).ok()?))
            };
            let known = due.iter().filter_map(key).collect();
            let identity = Arc::clone(&keys.identity);
            SenderTrust::Keys(SenderKeys { identity, known, strict: true })
        }
    })
}

/// A wait, by chance a little shorter.
fn shorter(wait: Duration) -> Duration {
    let draw = f64::from(getrandom::u32().unwrap_or_default()) / f64::from(u32::MAX);
    wait.mul_f64(1.0 - JITTER * draw)
}
