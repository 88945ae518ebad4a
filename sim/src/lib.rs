//! A deterministic network simulator for the transport's engine.
//!
//! The very [`Endpoint`](tcpxm::proto::endpoint::Endpoint)s that run over sockets run here over
//! modelled links, in virtual time. Every random choice is drawn from one seeded generator, so one
//! seed gives one run, packet for packet; [`Outcome::fingerprint`] says so in 32 bytes.
//!
//! ```no_run
//! use sim::{Link, Scenario};
//! let outcome = Scenario::new(7).receivers(8).bytes(8 << 20).link(Link::lan()).shared_loss(0.01).run();
//! assert!(outcome.receivers.iter().all(|r| r.intact));
//! ```
//!
//! The picture: each node has an uplink to, and a downlink from, one fabric, which copies group
//! datagrams to the nodes that joined. Loss on the sender's uplink is shared by all receivers,
//! loss on a downlink is that receiver's own.
//!
//! From the bottom: [`Loss`] and [`Link`] are the lines; the fabric knows who joined; the net puts
//! them together with faults; hosts drive one engine each; the world runs the one event queue;
//! [`Scenario`] describes, [`Outcome`] tells, [`model`] predicts, [`registry`] names.

mod agenda;
pub mod content;
mod dice;
pub mod expect;
mod fabric;
pub mod fault;
pub mod holding;
mod host;
mod link;
mod loss;
pub mod model;
mod net;
mod outcome;
pub mod parallel;
mod pause;
pub mod pick;
mod pool;
pub mod registry;
pub mod rival;
mod scenario;
pub mod seed;
pub mod sweep;
pub mod throughput;
pub mod trace;
pub mod verify;
mod world;

pub use dice::Dice;
pub use link::{Line, Link, Passage};
pub use loss::Loss;
pub use outcome::{Outcome, ReceiverOutcome, Traffic};
pub use scenario::Scenario;
pub use verify::verify;
