//! Our FIN in one conversation: wanted, sent, lost, acknowledged.

/// How far our FIN is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) enum Fin {
    /// More bytes may follow.
    #[default]
    Unwanted,
    /// It is to be sent, once everything before it has been.
    Due,
    InFlight,
    Acked,
}

impl Fin {
    /// Nothing more will be put in.
    pub(crate) fn want(&mut self) {
        if *self == Self::Unwanted {
            *self = Self::Due;
        }
    }

    /// It has left.
    pub(crate) fn on_sent(&mut self) {
        if *self == Self::Due {
            *self = Self::InFlight;
        }
    }

    /// What carried it was given up for lost.
    pub(crate) fn on_lost(&mut self) {
        if *self == Self::InFlight {
            *self = Self::Due;
        }
    }

    /// What carried it has arrived, though it may have been given up for lost before.
    pub(crate) fn on_acked(&mut self) {
        if *self != Self::Unwanted {
            *self = Self::Acked;
        }
    }

    /// Whether this side is to end, or has.
    pub(crate) fn is_wanted(self) -> bool {
        self != Self::Unwanted
    }

    /// Whether it is to be sent.
    pub(crate) fn is_due(self) -> bool {
        self == Self::Due
    }

    /// Whether the peer has it.
    pub(crate) fn is_acked(self) -> bool {
        self == Self::Acked
    }
}

#[cfg(test)]
mod tests {
    use super::Fin;

    type Step = fn(&mut Fin);
    const WANT: Step = Fin::want;
    const SENT: Step = Fin::on_sent;
    const LOST: Step = Fin::on_lost;
    const ACKED: Step = Fin::on_acked;

    fn after(steps: &[Step]) -> Fin {
        let mut fin = Fin::default();
        for step in steps {
            step(&mut fin);
        }
        fin
    }

    #[test]
    fn it_is_sent_once_and_again_only_when_it_was_lost() {
        assert!(!after(&[]).is_wanted() && !after(&[]).is_due());
        assert!(after(&[WANT]).is_due());
        assert!(!after(&[WANT, SENT]).is_due());
        assert!(!after(&[WANT, SENT, WANT]).is_due(), "wanted twice");
        assert!(after(&[WANT, SENT, LOST]).is_due());
        assert!(after(&[WANT, SENT, ACKED]).is_acked());
    }

    #[test]
    fn what_came_late_came() {
        assert!(after(&[WANT, SENT, LOST, ACKED]).is_acked());
        assert!(after(&[WANT, SENT, LOST, SENT, ACKED, LOST]).is_acked(), "a copy is lost");
        assert!(
            after(&[WANT, SENT, ACKED, SENT]).is_acked() && after(&[WANT, ACKED, WANT]).is_acked()
        );
    }

    #[test]
    fn before_it_is_wanted_nothing_happens_to_it() {
        for step in [SENT, LOST, ACKED] {
            assert_eq!(after(&[step]), Fin::Unwanted);
        }
    }
}
