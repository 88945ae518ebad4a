//! The program on loopback, with senders in this process.

mod daemon;
mod receiving;
mod signals;
