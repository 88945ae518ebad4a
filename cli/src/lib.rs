//! What the command-line tools share: their common [`options`], the environment and the
//! configuration file behind them ([`parse`]), which [`rights`] senders may have, how they speak ([`say`]), what they do when they
//! are interrupted ([`signals`]), whether they have a [`standard`] input and output, that they leave no [`dumps`], and
//! their [`exit`] codes.

#![deny(clippy::print_stderr, clippy::print_stdout)] // a closed pipe must not end in a panic

pub mod dumps;
pub mod exit;
pub mod listen;
pub mod options;
pub mod parse;
pub mod rights;
pub mod say;
pub mod signals;
pub mod standard;
pub mod values;

pub use exit::Exit;
pub use options::Common;
