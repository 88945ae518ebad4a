//! Mirror jobs: a tree that reaches every host, however long it takes (seed MTM, "MTM work flow").
//!
//! A job is one tree and a list of receivers. What each of them has of each entry stands in the job's file, the
//! [`ledger`], which survives whatever happens to the sender. Who gets what of it in one session says [`plan`], when a
//! receiver that could not be reached is tried next says [`backoff`], and [`schedule`] keeps
//! all of them in mind; [`outcome`] is what is noted after a session. Which installation of a receiver it is about says
//! its [`installation`], which of it stood under other names before [`renames`]. All receivers are told at once by
//! [`announce`]. A command that they run at the end is [`exec`]. Which state of the tree is meant says its [`revision`].

pub mod announce;
pub mod backoff;
pub mod exec;
pub mod held;
pub mod installation;
pub mod ledger;
pub mod outcome;
pub mod plan;
pub mod renames;
pub mod revision;
pub mod schedule;
pub mod words;
