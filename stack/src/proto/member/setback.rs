//! What came instead of an answer to a SYN. Most of it is not proven: a hint, which says why nobody answered if
//! nobody does.

use crate::error::{Reason, Unreachable};
use crate::proto::time::Instant;
use core::time::Duration;
use std::net::SocketAddr;

/// Each SYN that nobody takes gives one ICMP message, and no more are counted: with three, 750 ms after the
/// first SYN, it is neither chance nor a daemon that is just being restarted, and who forges them has to do so
/// for as long as the host itself has not answered.
const UNREACHABLE: u32 = 3;
/// After an answer that is not to be trusted, a better one may take so long.
const BETTER_ANSWER: Duration = Duration::from_secs(1);

/// How sure it is that nothing gets to an address.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Surety {
    /// An ICMP message says so, which anybody may send, and the application would rather wait.
    Waits,
    /// The same, and it is believed when it comes often enough.
    Counts,
    /// This host itself cannot send there.
    Certain,
}

/// See the module's description.
#[derive(Debug, Default)]
pub(crate) struct Setback {
    /// Why it may never answer: an answer of somebody else, an unsealed refusal, or an ICMP message.
    hint: Option<Reason>,
    /// When it fails for that.
    fails_at: Option<Instant>,
    /// SYNs that ICMP messages were about,
    unreachable: u32,
    /// and when the one behind the last of these is due: until then no further message counts.
    unreachable_until: Option<Instant>,
}

impl Setback {
    /// Whether nothing has come.
    pub(crate) fn is_none(&self) -> bool {
        self.hint.is_none()
    }

    /// When it is known that no answer will come.
    pub(crate) fn fails_at(&self) -> Option<Instant> {
        self.fails_at
    }

    /// Why no answer came, if something is known; told once.
    pub(crate) fn take_hint(&mut self) -> Option<Reason> {
        self.hint.take()
    }

    /// Somebody answered who is not who it should be. Anybody on the way can do that, so a better answer is
    /// waited for.
    pub(crate) fn distrust(&mut self, now: Instant, reason: Reason) {
        self.hint = Some(reason);
        self.fails_at.get_or_insert(now + BETTER_ANSWER);
    }

    /// It is said to refuse; `proven`: by itself.
    pub(crate) fn refused(&mut self, now: Instant, reason: Reason, proven: bool) {
        self.hint = Some(reason);
        if proven {
            self.fails_at = Some(now);
        }
    }

    /// Nothing gets there. `next_syn` is when the SYN is due again.
    pub(crate) fn unreachable(
        &mut self,
        now: Instant,
        why: Unreachable,
        next_syn: Option<Instant>,
        surety: Surety,
    ) {
        if self.unreachable_until != next_syn {
            self.unreachable_until = next_syn;
            self.unreachable += 1;
        }
        self.hint = Some(Reason::Unreachable(why));
        let often = self.unreachable >= UNREACHABLE && surety == Surety::Counts;
        if often || surety == Surety::Certain {
            self.fails_at = Some(self.fails_at.map_or(now, |at| at.min(now)));
        }
    }
}

/// Why a receiver never answered, by what came from each of its addresses: who answered and was not taken says
/// most; else each address is named with what is known of it.
pub(crate) fn combined(all: &[(SocketAddr, Option<Reason>)], waited: Duration) -> Reason {
    let is_network = |reason: &Reason| matches!(reason, Reason::Unreachable(_));
    let hints = || all.iter().filter_map(|(_, hint)| hint.as_ref());
    if let Some(said) = hints().find(|reason| !is_network(reason)) {
        return said.clone();
    }
    if hints().next().is_none() {
        return Reason::NeverAnswered(waited);
    }
    if let [(_, Some(only))] = all {
        return only.clone();
    }
    let each = all.iter().map(|(addr, hint)| match hint {
        Some(why) => format!("{}: {why}", addr.ip()),
        None => format!("{}: no answer", addr.ip()),
    });
    Reason::NoAddress(each.collect::<Vec<_>>().join("; "))
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Instant = Instant::from_nanos(7);

    const CLOSED: Unreachable = Unreachable::Port(9);

    #[test]
    fn messages_count_once_for_each_syn_and_what_this_host_knows_at_once() {
        let next = |n| Some(NOW + Duration::from_millis(n));
        for (surety, fails) in [(Surety::Counts, Some(NOW)), (Surety::Waits, None)] {
            let mut setback = Setback::default();
            for n in [1, 1, 1, 2, 2] {
                setback.unreachable(NOW, CLOSED, next(n), surety);
                assert_eq!(setback.fails_at(), None);
            }
            setback.unreachable(NOW, CLOSED, next(3), surety);
            assert_eq!(setback.fails_at(), fails);
            assert_eq!(setback.take_hint(), Some(Reason::Unreachable(CLOSED)));
        }
        let mut setback = Setback::default();
        setback.unreachable(NOW, Unreachable::NoFamily { v6: true }, next(1), Surety::Certain);
        assert_eq!(setback.fails_at(), Some(NOW));
    }

    #[test]
    fn a_better_answer_is_waited_for_once() {
        let mut setback = Setback::default();
        assert!(setback.is_none());
        setback.distrust(NOW, Reason::NoHostKey);
        setback.distrust(NOW + Duration::from_millis(900), Reason::NoHostKey);
        assert_eq!(setback.fails_at(), Some(NOW + BETTER_ANSWER));
        setback.refused(NOW, Reason::Refused("full".to_owned()), false);
        assert_eq!(setback.fails_at(), Some(NOW + BETTER_ANSWER));
        setback.refused(NOW, Reason::Version { theirs: 9, ours: 1 }, true);
        assert_eq!(setback.fails_at(), Some(NOW));
        assert!(!setback.is_none());
    }

    #[test]
    fn of_several_addresses_the_one_that_was_answered_from_tells_why() {
        let [a, b]: [SocketAddr; 2] = ["10.0.0.1:9", "[fd00::1]:9"].map(|s| s.parse().unwrap());
        let waited = Duration::from_secs(1);
        let why = |of_a: Option<Reason>, of_b| combined(&[(a, of_a), (b, of_b)], waited);
        assert_eq!(why(None, None), Reason::NeverAnswered(waited));
        let (closed, host) = (Reason::Unreachable(CLOSED), Reason::Unreachable(Unreachable::Host));
        assert_eq!(why(Some(closed.clone()), Some(Reason::NoHostKey)), Reason::NoHostKey);
        assert_eq!(
            why(None, Some(host)),
            Reason::NoAddress("10.0.0.1: no answer; fd00::1: no route to host".to_owned())
        );
        assert_eq!(combined(&[(a, Some(closed.clone()))], waited), closed);
        assert_eq!(combined(&[(a, None)], waited), Reason::NeverAnswered(waited));
    }
}
