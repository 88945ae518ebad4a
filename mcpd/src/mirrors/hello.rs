//! Says hello to the masters of the jobs that are known here: at the start, and from time to time, so that a host that
//! was off or cut off gets what it lacks at once.

use super::{Mine, Named, lock, name_of, now};
use mtm::backoff;
use mtm::held::Known;
use mtm::installation::Role;
use mtm::words::{self, OfMaster, Said, ToMaster};
use std::collections::BTreeMap;
use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, PoisonError};
use std::thread;
use std::time::{Duration, Instant};
use tcpxm::api::SenderOptions;
use tcpxm::config::SessionConfig;
use tcpxm::seal::Binding;
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
        let known = mine.alive().unwrap_or_default();
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
        // Whoever is being served is heard by its session.
        for of in lock(&mine.served).keys() {
            if let Some(next) = all.get_mut(of).filter(|next| next.at <= begin) {
                next.at = begin + shorter(PERIOD);
            }
        }
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

/// Says hello to all of these at once; whether each has answered, and knows the job. While secrets are exchanged a
/// master may have another one than the first: who does not answer is told under the next one.
fn say(mine: &Mine, due: &[&Known]) -> Vec<bool> {
    let mut reached = vec![false; due.len()];
    let listen = lock(&mine.trust).clone();
    for trust in trusts(&listen, due) {
        let left: Vec<usize> = (0..due.len()).filter(|index| !reached[*index]).collect();
        if left.is_empty() {
            break;
        }
        let some: Vec<&Known> = left.iter().map(|index| due[*index]).collect();
        for (index, answered) in left.into_iter().zip(say_by(mine, trust, &some)) {
            reached[index] = answered;
        }
    }
    reached
}

/// The same to those that are trusted so.
fn say_by(mine: &Mine, trust: SenderTrust, due: &[&Known]) -> Vec<bool> {
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
    let session =
        SessionConfig { connect_timeout: ANSWER, idle_timeout: ANSWER, ..SessionConfig::default() };
    let options = SenderOptions { session, ..SenderOptions::new(trust) };
    let word = |at: usize, binding: &Binding| hello(mine, due[places[at]], binding);
    let peers: Vec<Vec<SocketAddr>> = addrs.into_iter().map(|addr| vec![addr]).collect();
    let Ok(said) = talk::say(options, &peers, &word) else { return reached };
    for (index, said) in places.iter().zip(said) {
        let known = due[*index];
        match answer(known, said) {
            Some(OfMaster::Welcome { channel }) => {
                reached[*index] = true;
                if let Some(told) = channel {
                    lock(&mine.announced).tell(name_of(known), told);
                }
            }
            // It is the job's master: this host is none of its receivers any more.
            Some(OfMaster::Unknown) => {
                reached[*index] = true;
                let of = (known.job, &known.host[..]);
                let over = lock(&mine.held).over(of, known.master.as_deref());
                if over.is_ok() {
                    lock(&mine.announced).forget(&name_of(known)); // else it is asked again
                }
            }
            None => {}
        }
    }
    reached
}

/// What the job's master has answered; whoever else listens there has nothing to say.
fn answer(known: &Known, said: talk::Said) -> Option<OfMaster> {
    let answer = said.answer.ok()?;
    let Said { shown, word } = words::decode(&answer.word).ok()?;
    let who = said.report.key.or_else(|| shown.master(&known.job, &answer.binding))?;
    let master = known.master.as_deref();
    // In a file of before masters showed keys with a secret there is none.
    master.is_none_or(|master| master == who.as_bytes()).then_some(word)
}

fn hello(mine: &Mine, known: &Known, binding: &Binding) -> Vec<u8> {
    let role = Role::Receiver(known.instance);
    let shown = mine.installation.shows(role, &known.job, binding);
    let of = (known.job, &known.host[..]);
    // What cannot be read is told by the next session.
    let [has, begun] = super::has_of(&lock(&mine.held), of, known.instance).unwrap_or_default();
    let word = ToMaster::Hello {
        job: known.job,
        host: known.host.clone(),
        has,
        begun,
        last: lock(&mine.announced).last(&name_of(known)),
    };
    words::encode(&Said { shown, word })
}

/// A master is trusted as it was when it sent: by a secret, or by its key.
fn trusts(listen: &ListenTrust, due: &[&Known]) -> Vec<SenderTrust> {
    match listen {
        ListenTrust::Loopback => vec![SenderTrust::Loopback],
        ListenTrust::Plaintext => vec![SenderTrust::Plaintext],
        ListenTrust::Secret(secrets) => {
            secrets.iter().map(|secret| SenderTrust::Secret(Arc::clone(secret))).collect()
        }
        ListenTrust::Keys(keys) => {
            let key = |known: &&Known| {
                let bytes: [u8; 32] = known.master.as_deref()?.try_into().ok()?;
                Some((known.hello?, PublicKey::from_bytes(bytes).ok()?))
            };
            let known = due.iter().filter_map(key).collect();
            let identity = Arc::clone(&keys.identity);
            vec![SenderTrust::Keys(SenderKeys { identity, known, strict: true })]
        }
    }
}

/// A wait, by chance a little shorter.
fn shorter(wait: Duration) -> Duration {
    wait.mul_f64(1.0 - JITTER * backoff::draw())
}
