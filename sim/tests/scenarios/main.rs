//! The engine in the simulator: every scenario runs twice, and is held to what `sim::verify`
//! states (every byte right at every survivor, group share, 3 × the model's time, the same seed
//! the same packets). What stands here is what is special about each.
//!
//! Every scenario has a fixed seed, or that of `TEST_SEED`: what passes passes always, until the
//! code draws otherwise. So that it does then as well, no bound here is missed by chance with a
//! probability of more than 10⁻⁹, as is stated beside it; what `sim::verify` states holds for all
//! seeds but those of which `sim/known-failing.txt` tells (`cargo xtask sweep`).

mod grid;
mod handshake;
mod holders;
mod late;
mod lines;
mod lost;
mod members;
mod paths;
mod sessions;
mod spoilers;
