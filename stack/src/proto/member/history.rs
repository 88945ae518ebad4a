//! What is to be told of a member: its outcome, and how its data travelled.

use crate::error::Reason;
use crate::proto::time::Instant;
use crate::stats::{Arrived, Mode, ModeReason, Transition};
use core::time::Duration;

/// Changes of mode kept for the report.
const MAX_TRANSITIONS: usize = 64;

/// The history.
#[derive(Debug)]
pub(crate) struct History {
    /// The mode it had before it was gone.
    last_mode: Mode,
    outcome: Option<Result<(), Reason>>,
    ended_at: Option<Instant>,
    arrived: Arrived,
    transitions: Vec<Transition>,
}

impl History {
    pub(crate) fn new(mode: Mode) -> Self {
        Self {
            last_mode: mode,
            outcome: None,
            ended_at: None,
            arrived: Arrived::default(),
            transitions: Vec::new(),
        }
    }

    /// Its outcome, once it has one.
    pub(crate) fn outcome(&self) -> Option<&Result<(), Reason>> {
        self.outcome.as_ref()
    }

    /// When it had its outcome.
    pub(crate) fn ended_at(&self) -> Option<Instant> {
        self.ended_at
    }

    /// Bytes as it counted them.
    pub(crate) fn arrived(&self) -> Arrived {
        self.arrived
    }

    /// It told how its bytes arrived.
    pub(crate) fn told(&mut self, arrived: Arrived) {
        self.arrived = arrived;
    }

    /// The mode it has, or had before it was gone.
    pub(crate) fn mode(&self, mode: Mode) -> Mode {
        if mode == Mode::Gone { self.last_mode } else { mode }
    }

    /// Every change of mode.
    pub(crate) fn transitions(&self) -> &[Transition] {
        &self.transitions
    }

    /// It has this outcome, unless it has one.
    pub(crate) fn end(&mut self, now: Instant, outcome: Result<(), Reason>) {
        if self.outcome.is_none() {
            self.outcome = Some(outcome);
            self.ended_at = Some(now);
        }
    }

    /// It went to a mode from another one, or is told of in the one that it has, so long after the session began; why, in
    /// a few words and in full.
    pub(crate) fn moved(
        &mut self,
        at: Duration,
        (from, to): (Mode, Mode),
        (why, reason): (&'static str, Option<ModeReason>),
    ) {
        if to == Mode::Gone {
            // Until it was promoted it was served by unicast.
            self.last_mode = if from == Mode::Trial { Mode::Unicast } else { from };
        }
        if self.transitions.len() < MAX_TRANSITIONS {
            self.transitions.push(Transition { at, mode: to, why, reason });
        }
    }
}
