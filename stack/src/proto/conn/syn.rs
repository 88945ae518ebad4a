//! A SYN beside an association's own, to another address of the same peer. Which of them is answered first is the
//! association's from then on; whatever else the association holds is the same with either.

use super::handshake::Opening;
use super::life::Life;
use super::{Conn, Names};
use crate::proto::time::Instant;
use core::mem;

/// A SYN that waits for its answer.
#[derive(Debug)]
pub(crate) struct Syn {
    names: Names,
    life: Life,
}

impl Syn {
    /// One that is due at once.
    pub(crate) fn new(names: Names, opening: Opening) -> Self {
        Self { names, life: Life::initiator(opening) }
    }

    /// Its addresses and names.
    pub(crate) fn names(&self) -> &Names {
        &self.names
    }

    /// When it is to be sent, or repeated.
    pub(crate) fn deadline(&self) -> Option<Instant> {
        self.life.opening_deadline()
    }
}

impl Conn {
    /// Takes another SYN for its own, and gives its own for that. Only while neither has been answered.
    pub(crate) fn swap_syn(&mut self, other: &mut Syn) {
        mem::swap(&mut self.names, &mut other.names);
        mem::swap(&mut self.life, &mut other.life);
    }
}
