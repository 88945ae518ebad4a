//! Who came and may not send, or found no place: told in the log, but not more often than a reader can bear.

use crate::report::say;
use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};
use tcpxm::api::Listener;
use tcpxm::proto::event::Stranger;

/// Of one kind one line is said in this time; the next tells how many there were meanwhile.
const EVERY: Duration = Duration::from_secs(10);

/// Starts the thread that does it; it ends with the listener.
pub(crate) fn start(listener: &Arc<Listener>) -> io::Result<()> {
    let listener = Arc::clone(listener);
    thread::Builder::new().name("strangers".to_owned()).spawn(move || {
        let mut told = Told::default();
        while let Ok(stranger) = listener.next_stranger() {
            if let Some(line) = told.line(Instant::now(), &stranger) {
                say(line);
            }
        }
    })?;
    Ok(())
}

/// When each kind was last told, and how many came since.
#[derive(Debug, Default)]
struct Told(BTreeMap<&'static str, (Option<Instant>, u64)>);

impl Told {
    /// What to say of a stranger, if it is time.
    fn line(&mut self, now: Instant, stranger: &Stranger) -> Option<String> {
        let (kind, from, what) = match stranger {
            Stranger::Secret { from } => {
                ("secret", from, "a session was asked for with another secret, or none".to_owned())
            }
            Stranger::Key { from, key: Some(key) } => {
                ("key", from, format!("the key {} may not send here", key.fingerprint()))
            }
            Stranger::Key { from, key: None } => ("none", from, "a sender has no key".to_owned()),
            Stranger::Crowded { from } => (
                "crowded",
                from,
                "too many sessions are just being opened, in all or from there; it asks again"
                    .to_owned(),
            ),
            Stranger::Group { from } => (
                "group",
                from,
                "a session's group was sent to by another than its sender".to_owned(),
            ),
        };
        let (last, more) = self.0.entry(kind).or_default();
        if last.is_some_and(|last| now.duration_since(last) < EVERY) {
            *more += 1;
            return None;
        }
        *last = Some(now);
        let more = match std::mem::take(more) {
            0 => String::new(),
            more => format!(" ({more} more since this was last told)"),
        };
        Some(format!("{from}: {what}{more}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_line_in_a_while_and_none_is_forgotten() {
        let (mut told, now) = (Told::default(), Instant::now());
        let stranger = Stranger::Secret { from: ([192, 0, 2, 1], 7).into() };
        let first = told.line(now, &stranger).unwrap();
        assert!(first.starts_with("192.0.2.1:7: a session was asked for with another secret"));
        for _ in 0..3 {
            assert_eq!(told.line(now + EVERY / 2, &stranger), None);
        }
        let other = Stranger::Key { from: ([192, 0, 2, 2], 7).into(), key: None };
        assert!(told.line(now, &other).is_some(), "another kind");
        let later = told.line(now + EVERY, &stranger).unwrap();
        assert!(later.ends_with("(3 more since this was last told)"), "{later}");
    }
}
