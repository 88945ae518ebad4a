//! The engine in the simulator: every scenario runs twice, and is held to what `sim::verify`
//! states (every byte right at every survivor, group share, 3 × the model's time, the same seed
//! the same packets). What stands here is what is special about each.

mod grid;
mod handshake;
mod holders;
mod lines;
mod members;
mod sessions;
