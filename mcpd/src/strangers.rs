//! Who came and may not send, or found no place: told in the log, but not more often than a reader can bear.

use crate::report::say;
use crate::serve::Shared;
use mcp_keys::AuthorizedKeys;
use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::net::IpAddr;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant, SystemTime};
use tcpxm::api::Listener;
use tcpxm::proto::event::Stranger;
use tcpxm::trust::PublicKey;

/// Of one kind one line is said in this time; the next tells how many there were meanwhile.
const EVERY: Duration = Duration::from_secs(10);
/// Addresses of these that are named,
const NAMED: usize = 3;
/// and that are told apart: a flood comes from as many as there are.
const COUNTED: usize = 1024;

/// Starts the thread that does it; it ends with the listener.
pub(crate) fn start(listener: &Arc<Listener>, shared: &Arc<Shared>) -> io::Result<()> {
    let (listener, shared) = (Arc::clone(listener), Arc::downgrade(shared));
    thread::Builder::new().name("strangers".to_owned()).spawn(move || {
        let mut told = Told::default();
        while let Ok(stranger) = listener.next_stranger() {
            let permits = shared.upgrade().and_then(|shared| shared.settings().permits);
            if let Some(line) = told.line(Instant::now(), &stranger, permits.as_deref()) {
                say(line);
            }
        }
    })?;
    Ok(())
}

/// When each kind was last told, and who came since.
#[derive(Debug, Default)]
struct Told(BTreeMap<&'static str, (Option<Instant>, Since)>);

/// Who came since something was last told.
#[derive(Debug, Default)]
struct Since {
    times: u64,
    from: BTreeSet<IpAddr>,
}

impl Since {
    fn count(&mut self, from: IpAddr) {
        self.times += 1;
        if self.from.len() < COUNTED {
            self.from.insert(from);
        }
    }

    /// In brackets; empty if there was nobody.
    fn words(&self) -> String {
        if self.times == 0 {
            return String::new();
        }
        let named: Vec<String> = self.from.iter().take(NAMED).map(ToString::to_string).collect();
        let least = if self.from.len() < COUNTED { "" } else { "at least " };
        let others = match self.from.len() - named.len() {
            0 => String::new(),
            1 => " and one other address".to_owned(),
            others => format!(" and {least}{others} other addresses"),
        };
        let named = named.join(", ");
        format!(" ({} more since this was last told, from {named}{others})", self.times)
    }
}

/// Why a key may not send, in words for whoever looks after this host.
fn refusal(key: &PublicKey, permits: Option<&AuthorizedKeys>) -> String {
    let refusal = permits.and_then(|permits| permits.permit(key, SystemTime::now()).err());
    refusal.map_or_else(
        || format!("the key {} may not send here", key.fingerprint()),
        |refusal| refusal.to_string(),
    )
}

impl Told {
    /// What to say of a stranger, if it is time.
    fn line(
        &mut self,
        now: Instant,
        stranger: &Stranger,
        permits: Option<&AuthorizedKeys>,
    ) -> Option<String> {
        let (kind, from) = match stranger {
            Stranger::Secret { from } => ("secret", from),
            Stranger::Key { from, key: Some(_) } => ("key", from),
            Stranger::Key { from, key: None } => ("none", from),
            Stranger::Crowded { from } => ("crowded", from),
            Stranger::Group { from } => ("group", from),
        };
        let (last, since) = self.0.entry(kind).or_default();
        if last.is_some_and(|last| now.duration_since(last) < EVERY) {
            since.count(from.ip().to_canonical());
            return None;
        }
        *last = Some(now);
        let what = match stranger {
            Stranger::Secret { .. } => {
                "a session was asked for with another secret, or none".to_owned()
            }
            Stranger::Key { key: Some(key), .. } => refusal(key, permits),
            Stranger::Key { key: None, .. } => "a sender has no key".to_owned(),
            Stranger::Crowded { .. } => {
                "too many sessions are just being opened, in all or from there; it asks again"
                    .to_owned()
            }
            Stranger::Group { .. } => {
                "a session's group was sent to by another than its sender".to_owned()
            }
        };
        Some(format!("{from}: {what}{}", std::mem::take(since).words()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::Path;
    use tcpxm::trust::Identity;

    fn secret(last: u8) -> Stranger {
        Stranger::Secret { from: ([192, 0, 2, last], 7).into() }
    }

    #[test]
    fn one_line_in_a_while_and_none_is_forgotten() {
        let (mut told, now) = (Told::default(), Instant::now());
        let first = told.line(now, &secret(1), None).unwrap();
        assert!(first.starts_with("192.0.2.1:7: a session was asked for with another secret"));
        for _ in 0..3 {
            assert_eq!(told.line(now + EVERY / 2, &secret(1), None), None);
        }
        let other = Stranger::Key { from: ([192, 0, 2, 2], 7).into(), key: None };
        assert!(told.line(now, &other, None).is_some(), "another kind");
        let later = told.line(now + EVERY, &secret(1), None).unwrap();
        assert!(later.ends_with("(3 more since this was last told, from 192.0.2.1)"), "{later}");
        let again = told.line(now + EVERY * 2, &secret(1), None).unwrap();
        assert!(again.ends_with("another secret, or none"), "{again}");
    }

    #[test]
    fn three_addresses_are_named_and_the_others_counted() {
        for (addresses, end) in [
            (2_u32, "(2 more since this was last told, from 10.0.0.0, 10.0.0.1)"),
            (4, "from 10.0.0.0, 10.0.0.1, 10.0.0.2 and one other address)"),
            (100, "from 10.0.0.0, 10.0.0.1, 10.0.0.2 and 97 other addresses)"),
            (5000, "from 10.0.0.0, 10.0.0.1, 10.0.0.2 and at least 1021 other addresses)"),
        ] {
            let (mut told, now) = (Told::default(), Instant::now());
            assert!(told.line(now, &secret(1), None).is_some());
            for n in 0..addresses {
                let from = ((0x0a00_0000 + n).to_be_bytes(), 7).into();
                assert_eq!(told.line(now, &Stranger::Secret { from }, None), None);
            }
            let line = told.line(now + EVERY, &secret(2), None).unwrap();
            assert!(line.starts_with("192.0.2.2:7: ") && line.ends_with(end), "{line}");
        }
    }

    #[test]
    fn of_a_key_the_line_is_told_that_would_let_it_in() {
        let permits = AuthorizedKeys::parse(Path::new("/etc/mcp/authorized_keys"), b"").unwrap();
        let key = Identity::generate([1; 64]).public();
        let stranger = Stranger::Key { from: ([192, 0, 2, 1], 7).into(), key: Some(key) };
        let line = Told::default().line(Instant::now(), &stranger, Some(&permits)).unwrap();
        let remedy =
            format!("it is not in /etc/mcp/authorized_keys: if it may, add this line there: {key}");
        assert!(line.ends_with(&remedy), "{line}");
    }
}
