//! What an application is asked for whose receivers say what they lack: that, and nothing else.

use crate::hand::{App, Net, group, outcome, source, straight};
use core::ops::Range;
use core::time::Duration;
use tcpxm::config::{Delivery, SessionConfig};

const SECOND: Duration = Duration::from_secs(1);
const BLOCK: u64 = 1 << 20;

/// A session, and the blocks that it has asked for.
struct Asked {
    net: Net,
    app: App,
    blocks: Vec<u64>,
}

impl Asked {
    fn new(receivers: usize, blocks: u64, declares: bool) -> Self {
        let len = blocks * BLOCK;
        let mut net = Net::new(receivers, 0, straight());
        let config = SessionConfig { declares, ..source(len, Delivery::Unordered, Some(group())) };
        let mut app = App::new(&mut net, config, len);
        app.careless = true;
        let mut all = Self { net, app, blocks: Vec::new() };
        assert!(all.run(|all| all.app.ids.iter().all(Option::is_some)));
        all
    }

    /// Lets time pass until then, a minute at most; whether that came.
    fn run(&mut self, until: impl Fn(&Self) -> bool) -> bool {
        let end = self.net.now + SECOND * 60;
        while !until(self) {
            let (now, session) = (self.net.now, self.app.session);
            let sender = &mut self.net.nodes[0].endpoint;
            while let Some(need) = sender.next_need(session) {
                self.blocks.push(need.start / BLOCK);
                let len = usize::try_from(need.end - need.start).unwrap();
                sender.supply(now, session, need.start, vec![0; len].into());
            }
            (0..self.app.ids.len()).for_each(|n| self.app.take_at(&mut self.net, n));
            if now > end || !self.net.step() {
                return until(self);
            }
        }
        true
    }

    fn wait(&mut self, time: Duration) {
        let end = self.net.now + time;
        assert!(self.run(|all| all.net.now >= end));
    }

    /// A receiver says which of some blocks it lacks, and holds the others of `blocks`.
    fn declare(&mut self, n: usize, blocks: Range<u64>, lacks: impl Fn(u64) -> bool) {
        let (now, id) = (self.net.now, self.app.ids[n].unwrap());
        let endpoint = &mut self.net.nodes[n + 1].endpoint;
        for block in blocks {
            let range = block * BLOCK..(block + 1) * BLOCK;
            if lacks(block) {
                endpoint.lack(now, id, &[range]).unwrap();
            } else {
                endpoint.have(now, id, &[range]).unwrap();
            }
        }
    }

    /// Runs to a good end; gives what was asked for, in order.
    fn finish(mut self) -> Vec<u64> {
        let done = self.run(|all| all.app.done(&all.net));
        let n = self.app.ids.len();
        let ends: Vec<_> = (0..n).map(|n| outcome(&self.net, &self.app, n)).collect();
        assert!(done && ends.iter().all(|end| *end == Some(Ok(()))), "{ends:?} {:?}", self.app.got);
        self.blocks
    }
}

/// Of a source that has changed here and there, what has not changed is not read.
#[test]
fn what_nobody_lacks_is_not_asked_for() {
    let mut all = Asked::new(3, 100, true);
    (0..3).for_each(|n| all.declare(n, 0..100, |block| block % 10 == 3));
    assert!(all.run(|all| all.blocks.len() > 1));
    assert_eq!(all.blocks, [3, 13, 23, 33, 43], "four are read ahead of the first");
    assert_eq!(all.finish(), (0..10).map(|n| n * 10 + 3).collect::<Vec<_>>());
}

/// Each lacks something else, so that everything goes to one alone.
#[test]
fn what_one_lacks_is_asked_for_once() {
    let mut all = Asked::new(3, 90, true);
    (0..3).for_each(|n| all.declare(n, 0..90, |block| block % 9 == 3 * n as u64));
    let mut asked = all.finish();
    asked.sort_unstable();
    assert_eq!(asked, (0..30).map(|n| n * 3).collect::<Vec<_>>());
}

/// Also when it is not waited for any more.
#[test]
fn what_is_undeclared_is_not_asked_for() {
    let mut all = Asked::new(3, 40, true);
    all.wait(SECOND * 3);
    assert_eq!(all.blocks, [], "nobody has said anything");
    (0..3).for_each(|n| all.declare(n, 0..6, |block| block >= 2));
    all.wait(SECOND * 3);
    assert_eq!(all.blocks, [2, 3, 4, 5], "of the rest nobody has said anything");
    (0..3).for_each(|n| all.declare(n, 6..40, |block| n == 1 && block == 30));
    assert_eq!(all.finish(), [2, 3, 4, 5, 30]);
}

/// Reading ahead goes on with what is declared while it stands still.
#[test]
fn what_is_declared_piece_by_piece_is_asked_for_as_it_comes() {
    let mut all = Asked::new(3, 40, true);
    for block in 0..40 {
        (0..3).for_each(|n| all.declare(n, block..block + 1, |block| block % 3 == 0));
        all.wait(Duration::from_millis(3));
    }
    assert_eq!(all.finish(), (0..14).map(|n| n * 3).collect::<Vec<_>>());
}

/// Where everything is lacked, declaring changes nothing.
#[test]
fn a_source_that_all_lack_is_asked_for_in_order() {
    for receivers in [1, 3] {
        let plain = Asked::new(receivers, 40, false).finish();
        let mut all = Asked::new(receivers, 40, true);
        (0..receivers).for_each(|n| all.declare(n, 0..40, |_| true));
        let declared = all.finish();
        assert_eq!(declared, (0..40).collect::<Vec<_>>());
        assert_eq!(declared, plain);
    }
}
