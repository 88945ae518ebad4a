//! Logins that have not said yet where their daemons listen, and when one of them is given up.

use super::lock;
use std::process::Child;
use std::sync::{Arc, Condvar, Mutex};
use std::time::{Duration, Instant};

/// Beyond what ssh may take to connect: a host on which a shell needs longer to start a program is taken to hang.
const START: Duration = Duration::from_secs(30);
/// Likewise where other hosts are ready, which wait for it,
const OTHERS_WAIT: Duration = Duration::from_secs(5);
/// unless these have needed long themselves: it may need so many times as long as the slowest of them.
const TIMES: u32 = 3;
/// To bring the program there may take longer: at least this many bytes a second.
const INSTALL_RATE: u64 = 256 << 10;

/// Why a login was ended from here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stopped {
    /// After this time.
    Late(Duration),
    /// The user has had enough.
    Interrupted,
}

/// What a login has time for.
#[derive(Debug, Clone, Copy)]
pub(super) struct Patience(Duration);

impl Patience {
    /// ssh may take so long to connect; then so many bytes are brought there.
    pub(super) fn new(connect: Duration, bytes: u64) -> Self {
        Self(connect + Duration::from_secs(bytes / INSTALL_RATE))
    }

    /// How long a login may take; `slowest`: what the slowest has taken of those that have come to anything.
    fn limit(self, slowest: Option<Duration>) -> Duration {
        let alone = self.0 + START;
        slowest.map_or(alone, |slowest| alone.min(self.0.max(slowest * TIMES) + OTHERS_WAIT))
    }
}

#[derive(Debug)]
struct Begun {
    at: Instant,
    child: Arc<Mutex<Child>>,
    stopped: Option<Stopped>,
}

#[derive(Debug, Default)]
struct State {
    begun: Vec<Begun>,
    slowest: Option<Duration>,
    over: bool,
}

/// All logins of one copy.
#[derive(Debug)]
pub(super) struct Watch {
    patience: Patience,
    state: Mutex<State>,
    /// It is told when it is over.
    ends: Condvar,
}

impl Watch {
    pub(super) fn new(patience: Patience) -> Self {
        Self { patience, state: Mutex::default(), ends: Condvar::new() }
    }

    /// A login is begun.
    pub(super) fn begin(&self, child: &Arc<Mutex<Child>>) {
        let begun = Begun { at: Instant::now(), child: Arc::clone(child), stopped: None };
        lock(&self.state).begun.push(begun);
    }

    /// It has said where its daemon listens, is `ready`, or will not; says whether it was ended from here.
    pub(super) fn end(&self, child: &Arc<Mutex<Child>>, ready: bool) -> Option<Stopped> {
        let mut state = lock(&self.state);
        let at = state.begun.iter().position(|begun| Arc::ptr_eq(&begun.child, child))?;
        let begun = state.begun.swap_remove(at);
        if ready && begun.stopped.is_none() {
            state.slowest = state.slowest.max(Some(begun.at.elapsed()));
        }
        begun.stopped
    }

    /// Ends those that take too long; when it is `over`, all.
    pub(super) fn look(&self, over: bool) {
        let mut state = lock(&self.state);
        state.over |= over;
        if over {
            self.ends.notify_all();
        }
        let (over, limit) = (state.over, self.patience.limit(state.slowest));
        for begun in state.begun.iter_mut().filter(|begun| begun.stopped.is_none()) {
            let late = (begun.at.elapsed() > limit).then_some(Stopped::Late(limit));
            begun.stopped = if over { Some(Stopped::Interrupted) } else { late };
            if begun.stopped.is_some() {
                let _ = lock(&begun.child).kill(); // whoever waits for its line is told by its end
            }
        }
    }

    /// Waits before a login is begun again; `false`: there is to be none.
    pub(super) fn pause(&self, pause: Duration) -> bool {
        let waited = self.ends.wait_timeout_while(lock(&self.state), pause, |state| !state.over);
        drop(waited);
        !lock(&self.state).over
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::process::Command;

    const fn seconds(count: u64) -> Duration {
        Duration::from_secs(count)
    }

    #[test]
    fn who_is_late_follows_from_the_others() {
        let patience = Patience::new(seconds(10), 0);
        for (slowest, limit) in [(None, 40), (Some(1), 15), (Some(5), 20), (Some(30), 40)] {
            assert_eq!(patience.limit(slowest.map(seconds)), seconds(limit), "{slowest:?}");
        }
        let bringing = Patience::new(seconds(10), 20 * INSTALL_RATE);
        assert_eq!(bringing.limit(None), seconds(60));
        assert_eq!(bringing.limit(Some(seconds(1))), seconds(35));
    }

    /// A process that is there until it is ended.
    fn child() -> Arc<Mutex<Child>> {
        Arc::new(Mutex::new(Command::new("sleep").arg("60").spawn().unwrap()))
    }

    #[test]
    fn why_a_login_was_ended_is_known() {
        let watch = Watch::new(Patience(Duration::ZERO));
        let (ready, late, interrupted) = (child(), child(), child());
        watch.begin(&ready);
        watch.look(false);
        assert_eq!(watch.end(&ready, true), None);
        watch.begin(&late);
        lock(&watch.state).begun[0].at -= START;
        watch.look(false);
        watch.begin(&interrupted);
        assert!(watch.pause(Duration::ZERO));
        let begin = Instant::now();
        let waits = std::thread::scope(|scope| {
            let waits = scope.spawn(|| watch.pause(seconds(600)));
            watch.look(true);
            waits.join().unwrap()
        });
        assert!(!waits && begin.elapsed() < seconds(300), "who waits is told at once");
        watch.look(false);
        assert!(!watch.pause(seconds(60)), "nothing is begun after the end");
        assert!(matches!(watch.end(&late, false), Some(Stopped::Late(_))));
        assert_eq!(watch.end(&interrupted, true), Some(Stopped::Interrupted));
        for child in [&late, &interrupted] {
            assert!(!lock(child).wait().unwrap().success());
        }
        lock(&ready).kill().unwrap();
        lock(&ready).wait().unwrap();
    }
}
