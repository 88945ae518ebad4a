//! The states of one TCP conversation, either end, as one table (RFC 9293, 3.3.2, figure 5).
//!
//! An association carries two conversations, data and control; one handshake opens both, each ends
//! by its own FINs. The table only says what follows; whoever feeds it does what the step means.

/// RFC 9293, 3.3.2.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum State {
    Closed,
    SynSent,
    SynReceived,
    Established,
    FinWait1,
    FinWait2,
    CloseWait,
    Closing,
    LastAck,
    TimeWait,
}

/// What can happen to a conversation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Input {
    /// Active open: our SYN is sent.
    Connect,
    /// A SYN arrived and is answered (the listener's side).
    Syn,
    /// The answer to our SYN arrived.
    SynAck,
    /// The third message arrived and is proven.
    Proof,
    /// Our FIN is sent.
    Close,
    /// Our FIN is acknowledged.
    FinAcked,
    /// The peer's FIN arrived, and everything before it.
    Fin,
    /// The quiet time after the end has passed.
    Quiet,
    /// RST in either direction, or a time-out: over at once.
    Abort,
}

/// Every step there is: in a state, on an input, to a state. Simultaneous open does not occur: a
/// listener never sends a SYN of its own.
pub(crate) const STEPS: &[(State, Input, State)] = {
    use Input as I;
    use State as S;
    &[
        (S::Closed, I::Connect, S::SynSent),
        (S::Closed, I::Syn, S::SynReceived),
        (S::SynSent, I::SynAck, S::Established),
        (S::SynReceived, I::Proof, S::Established),
        (S::Established, I::Close, S::FinWait1),
        (S::Established, I::Fin, S::CloseWait),
        (S::FinWait1, I::FinAcked, S::FinWait2),
        (S::FinWait1, I::Fin, S::Closing),
        (S::FinWait2, I::Fin, S::TimeWait),
        (S::CloseWait, I::Close, S::LastAck),
        (S::Closing, I::FinAcked, S::TimeWait),
        (S::LastAck, I::FinAcked, S::Closed),
        (S::TimeWait, I::Quiet, S::Closed),
    ]
};

impl State {
    /// The state that follows, or `None` when the input means nothing in this state (a duplicate,
    /// or a peer's mistake) and is to be ignored.
    pub(crate) fn next(self, input: Input) -> Option<Self> {
        if input == Input::Abort {
            return (self != Self::Closed).then_some(Self::Closed);
        }
        STEPS.iter().find(|(s, i, _)| *s == self && *i == input).map(|(_, _, to)| *to)
    }

    /// Takes the step if there is one; says whether there was.
    pub(crate) fn step(&mut self, input: Input) -> bool {
        self.next(input).map(|to| *self = to).is_some()
    }

    /// Whether nothing of ours is left to be acknowledged, nor anything to come.
    pub(crate) fn is_over(self) -> bool {
        matches!(self, Self::Closed | Self::TimeWait)
    }
}

#[cfg(test)]
mod tests {
    use super::{Input, STEPS, State};

    const STATES: [State; 10] = [
        State::Closed,
        State::SynSent,
        State::SynReceived,
        State::Established,
        State::FinWait1,
        State::FinWait2,
        State::CloseWait,
        State::Closing,
        State::LastAck,
        State::TimeWait,
    ];

    #[test]
    fn no_step_is_given_twice() {
        for (n, (s, i, _)) in STEPS.iter().enumerate() {
            assert!(!STEPS[n + 1..].iter().any(|(s2, i2, _)| s == s2 && i == i2), "{s:?} {i:?}");
        }
    }

    #[test]
    fn every_state_is_reached_from_closed_and_leads_back_to_it() {
        let mut reached = vec![State::Closed];
        while let Some((_, _, to)) =
            STEPS.iter().find(|(s, _, to)| reached.contains(s) && !reached.contains(to))
        {
            reached.push(*to);
        }
        assert_eq!(reached.len(), STATES.len());
        for s in STATES {
            let mut here = s;
            for _ in 0..STATES.len() {
                here = STEPS.iter().find(|(x, _, _)| *x == here).map_or(here, |(_, _, to)| *to);
                if here == State::Closed {
                    break;
                }
            }
            assert_eq!(here, State::Closed, "from {s:?}");
        }
    }

    #[test]
    fn both_ends_of_a_close_end_closed() {
        // RFC 9293, 3.6, figure 12: A closes first.
        let (mut a, mut b) = (State::Established, State::Established);
        assert!(a.step(Input::Close) && b.step(Input::Fin));
        assert!(a.step(Input::FinAcked));
        assert_eq!((a, b), (State::FinWait2, State::CloseWait));
        assert!(b.step(Input::Close) && a.step(Input::Fin) && b.step(Input::FinAcked));
        assert_eq!((a, b), (State::TimeWait, State::Closed));
        assert!(a.step(Input::Quiet));
        // Figure 13: both at once.
        let (mut a, mut b) = (State::Established, State::Established);
        for s in [&mut a, &mut b] {
            assert!(s.step(Input::Close) && s.step(Input::Fin) && s.step(Input::FinAcked));
            assert_eq!(*s, State::TimeWait);
        }
    }

    #[test]
    fn an_input_without_a_step_changes_nothing() {
        let mut s = State::Established;
        assert!(!s.step(Input::Syn) && !s.step(Input::FinAcked) && !s.step(Input::Quiet));
        assert_eq!(s, State::Established);
        assert!(s.step(Input::Abort) && !s.step(Input::Abort));
    }
}
