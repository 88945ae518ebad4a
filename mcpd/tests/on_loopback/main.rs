//! The program on loopback, with senders in this process.

mod daemon;
mod keys;
mod memory;
mod receiving;
mod resume;
mod roots;
mod signals;
