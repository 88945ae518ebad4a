//! The program on loopback, with senders in this process.

mod attributes;
mod commands;
mod daemon;
mod delete;
mod devices;
mod dry;
mod installations;
mod keys;
mod master;
mod memory;
mod mirrors;
mod modes;
mod once;
mod outputs;
mod pipes;
mod prefix;
mod receiving;
mod resume;
mod roots;
mod signals;
mod starter;
