//! The socket-like interface: connect to a list, write once, and learn what became of each.
//!
//! [`Sender`] sends one byte sequence to many; [`Listener`] accepts one [`Receiver`] per sender.
//! Beside the data each pair has a private two-way stream: [`MemberStream`] at the sender,
//! [`ControlStream`] at the receiver. Calls block unless they begin with `try_`; each object also
//! takes a [`std::task::Waker`] for callers that must not block.
//!
//! Errors are [`std::io::Error`] with a [`Reason`] or a [`ConfigError`] inside.

#![allow(
    clippy::disallowed_methods,
    clippy::disallowed_types,
    reason = "the layer that touches the system"
)]

mod listener;
mod receiver;
mod sender;
mod sockets;
mod streams;

pub use listener::{Closer, ListenOptions, Listener};
pub use receiver::{Pulse, Receiver};
pub use sender::{Call, Sender, SenderOptions};
pub use streams::{ControlStream, MemberStream};

use crate::error::{ConfigError, Reason};
use crate::stats::MemberReport;
use core::fmt;
use std::io::{self, ErrorKind};
use std::net::SocketAddr;

/// Bytes copied under one hold of the lock, at most, so that a large write does not keep the
/// driver's thread from its deadlines.
const COPY: usize = 256 << 10;

/// Nobody is left to send to, and why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NoMemberLeft {
    /// The address that was connected to and what happened there, in the order of the list.
    pub reasons: Vec<(SocketAddr, Reason)>,
}

impl NoMemberLeft {
    fn new(reports: Vec<MemberReport>) -> Self {
        let failed = reports.into_iter().filter_map(|report| match report.outcome {
            Some(Err(reason)) => Some((report.addr, reason)),
            _ => None,
        });
        Self { reasons: failed.collect() }
    }

    fn into_error(self, kind: ErrorKind) -> io::Error {
        io::Error::new(kind, self)
    }
}

impl fmt::Display for NoMemberLeft {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("no receiver is left to send to")?;
        for (index, (addr, reason)) in self.reasons.iter().enumerate() {
            write!(f, "{} {addr}: {reason}", if index == 0 { ":" } else { ";" })?;
        }
        Ok(())
    }
}

impl core::error::Error for NoMemberLeft {}

/// The nearest kind of [`std::io::Error`]. Never `Interrupted`, which callers retry.
fn kind_of(reason: &Reason) -> ErrorKind {
    match reason {
        Reason::NeverAnswered(_)
        | Reason::Silent(_)
        | Reason::Lost { .. }
        | Reason::Stalled(_)
        | Reason::TooSlow { .. } => ErrorKind::TimedOut,
        Reason::Refused(_) | Reason::Unreachable(_) | Reason::NoAddress(_) => {
            ErrorKind::ConnectionRefused
        }
        Reason::Aborted(_) => ErrorKind::ConnectionAborted,
        Reason::Verdict(_) => ErrorKind::Other,
        Reason::TooLate | Reason::CannotRepeat | Reason::Forgotten(_) => ErrorKind::ConnectionReset,
        Reason::Protocol(_) => ErrorKind::InvalidData,
        Reason::Version { .. } => ErrorKind::Unsupported,
        Reason::HostKeyChanged { .. } | Reason::HostKeyUnknown(_) | Reason::NoHostKey => {
            ErrorKind::PermissionDenied
        }
        Reason::Cancelled(_) => ErrorKind::BrokenPipe,
    }
}

fn failed(reason: Reason) -> io::Error {
    io::Error::new(kind_of(&reason), reason)
}

fn misused(error: ConfigError) -> io::Error {
    io::Error::new(ErrorKind::InvalidInput, error)
}

/// A fresh seed for an engine.
fn seed() -> io::Result<[u8; 32]> {
    let mut seed = [0; 32];
    getrandom::fill(&mut seed).map_err(|e| io::Error::other(e.to_string()))?;
    Ok(seed)
}

#[cfg(test)]
mod tests {
    use super::*;
    use core::time::Duration;

    #[test]
    fn errors_carry_their_reason() {
        let reason = Reason::NeverAnswered(Duration::from_secs(1));
        let error = failed(reason.clone());
        assert_eq!(error.kind(), ErrorKind::TimedOut);
        let inner = error.into_inner().unwrap().downcast::<Reason>().unwrap();
        assert_eq!(*inner, reason);
        assert_ne!(failed(Reason::Cancelled("x".into())).kind(), ErrorKind::Interrupted);
    }

    #[test]
    fn nobody_left_names_each() {
        let a = SocketAddr::from(([192, 0, 2, 1], 1));
        let b = SocketAddr::from(([192, 0, 2, 2], 2));
        let reasons = vec![(a, Reason::TooLate), (b, Reason::Refused("full".into()))];
        let text = NoMemberLeft { reasons }.to_string();
        let [at, bt] = ["192.0.2.1:1: answered too late", "192.0.2.2:2: refused: full"];
        assert!(text.contains(at) && text.contains(bt), "{text}");
    }
}
