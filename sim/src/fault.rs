//! What goes wrong on purpose, when, and to whom.

use crate::trace::{Kind, Peek};
use core::time::Duration;

/// Whom a fault strikes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Who {
    /// One receiver, by its index.
    Receiver(usize),
    /// All of them.
    All,
}

/// A fault that strikes at a stated time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// Group datagrams no longer arrive.
    CutGroup(Who),
    /// They do again.
    RestoreGroup(Who),
    /// From now on the fabric forgets a membership so long after it was last reported: its queries reach nobody.
    Forget(Duration),
    /// The line to this receiver loses so many of a thousand datagrams from now on, each by itself.
    Lose(usize, u16),
    /// The way to it carries IP packets of at most so many bytes from now on, without a word.
    Narrow(Who, usize),
    /// The receiver's process dies and is started anew at once: it knows nothing of any session, and keeps
    /// nothing but its key of connection ids.
    Restart(usize),
    /// The receiver dies: nothing goes in or out any more, its engine stands still.
    Kill(usize),
    /// The receiver's process is gone; its host says that nobody listens (ICMP port unreachable).
    Stop(usize),
    /// It is started anew there.
    Start(usize),
    /// Nothing passes the line, either way.
    Cut(Who),
    /// It does again.
    Mend(Who),
    /// A NAT gives this node (0 is the sender) another address and port: what is sent to those before goes nowhere.
    Rebind(usize),
    /// The sender's process stands still: what comes waits in its socket, as far as there is room.
    Pause,
    /// It goes on.
    Resume,
}

impl Fault {
    /// Whether it is the death of this node.
    pub(crate) fn kills(self, node: usize) -> bool {
        matches!(self, Self::Kill(receiver) | Self::Stop(receiver) if receiver + 1 == node)
    }
}

/// A datagram on its way into the fabric. Node 0 is the sender, node `i + 1` is receiver `i`.
#[derive(Debug, Clone, Copy)]
pub struct Passing<'a> {
    /// The node it comes from.
    pub from: usize,
    /// The node it goes to, `None` for the group.
    pub to: Option<usize>,
    /// The datagram, without UDP and IP headers.
    pub bytes: &'a [u8],
}

/// Loses certain datagrams: of those that match, `count` after the first `skip`.
#[derive(Debug, Clone, Copy)]
pub struct DropRule {
    /// What is lost, in a few words, for the trace.
    pub what: &'static str,
    /// The datagrams meant.
    pub matches: fn(&Passing<'_>) -> bool,
    /// So many that match still pass.
    pub skip: u32,
    /// So many after them are lost.
    pub count: u32,
}

impl DropRule {
    /// The first `count` SYNs to the first receiver: the first handshake message.
    pub const fn syn(count: u32) -> Self {
        Self { what: "SYN", matches: is_syn, skip: 0, count }
    }

    /// The first `count` SYN-ACKs of the first receiver: the second handshake message.
    pub const fn syn_ack(count: u32) -> Self {
        Self { what: "SYN-ACK", matches: is_syn_ack, skip: 0, count }
    }

    /// Every datagram to the group that makes an IP packet of more than 1400 bytes.
    pub const fn long_to_group() -> Self {
        Self { what: "long to the group", matches: is_long_to_group, skip: 0, count: u32::MAX }
    }

    /// The first `count` handshake ACKs to the first receiver: the third handshake message.
    pub const fn third(count: u32) -> Self {
        Self { what: "third message", matches: is_third, skip: 0, count }
    }
}

fn is_long_to_group(p: &Passing<'_>) -> bool {
    p.to.is_none() && p.bytes.len() > 1400 - 28
}

/// Whether it is a handshake datagram between those nodes, and with which SYN and ACK flags.
fn handshake(p: &Passing<'_>, from: usize, to: usize) -> Option<(bool, bool)> {
    let peek = Peek::of(p.bytes)?;
    let between = p.from == from && p.to == Some(to);
    (between && peek.kind == Kind::Handshake).then(|| (peek.syn(), peek.ack()))
}

fn is_syn(p: &Passing<'_>) -> bool {
    handshake(p, 0, 1) == Some((true, false))
}

fn is_syn_ack(p: &Passing<'_>) -> bool {
    handshake(p, 1, 0) == Some((true, true))
}

fn is_third(p: &Passing<'_>) -> bool {
    handshake(p, 0, 1) == Some((false, true))
}

/// The rules of a run, with how often each has matched.
#[derive(Debug)]
pub(crate) struct Dropping(Vec<(DropRule, u32)>);

impl Dropping {
    pub(crate) fn new(rules: &[DropRule]) -> Self {
        Self(rules.iter().map(|rule| (*rule, 0)).collect())
    }

    /// The name of the rule that loses this datagram. Every rule counts every datagram.
    pub(crate) fn strikes(&mut self, passing: &Passing<'_>) -> Option<&'static str> {
        let mut struck = None;
        for (rule, matched) in &mut self.0 {
            if *matched < rule.skip + rule.count && (rule.matches)(passing) {
                *matched += 1;
                if *matched > rule.skip {
                    struck = Some(rule.what);
                }
            }
        }
        struck
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::trace::tests::datagram;

    const SYN: u8 = 0x02;
    const ACK: u8 = 0x10;

    #[test]
    fn a_rule_loses_the_ones_it_says_and_no_more() {
        let rule = DropRule { what: "any", matches: |p| p.from == 0, skip: 1, count: 2 };
        let mut dropping = Dropping::new(&[rule]);
        let mut strikes =
            |from| dropping.strikes(&Passing { from, to: None, bytes: &[] }).is_some();
        let struck: Vec<bool> = [0, 1, 0, 1, 0, 0].map(&mut strikes).to_vec();
        assert_eq!(struck, [false, false, true, false, true, false]);
    }

    #[test]
    fn each_handshake_message_is_told_from_the_others() {
        let messages = [(0, 1, SYN), (1, 0, SYN | ACK), (0, 1, ACK)];
        let rules = [DropRule::syn(9), DropRule::syn_ack(9), DropRule::third(9)];
        for (r, rule) in rules.into_iter().enumerate() {
            for (m, (from, to, flags)) in messages.into_iter().enumerate() {
                let bytes = datagram(0, flags, 0, 1);
                let passing = |to| Passing { from, to: Some(to), bytes: &bytes };
                assert_eq!((rule.matches)(&passing(to)), r == m, "{} on message {m}", rule.what);
                assert!(!(rule.matches)(&passing(2)), "to another node");
            }
            assert!(!(rule.matches)(&Passing { from: 0, to: Some(1), bytes: &[] }), "a short one");
        }
    }
}
