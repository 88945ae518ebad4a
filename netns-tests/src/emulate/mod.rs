//! A switch whose cables have a rate, a queue, a delay, and faults; between TAP devices, so that
//! real kernels and real programs talk through it.
//!
//! ```text
//! TAP 0 ── up ──┐        ┌── down ── TAP 1
//!               ├ switch ┤
//! TAP 0 ── down ┘        └── up ──── TAP 1   (and so on for every port)
//! ```
//!
//! [`hub`] is the switch with its lines, in which time and frames are parameters; [`lines`] reads
//! what a line is to be like; [`frame`] knows addresses and ECN; [`tap`] is the loop over devices.
//! The lines are the simulator's ([`sim::Line`]): what is measured here and there is the same.

pub mod frame;
pub mod hub;
pub mod lines;
pub mod tap;
