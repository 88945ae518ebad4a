//! How a session is opened that carries a copy.

use crate::pipe::RING;
use std::io;
use std::net::SocketAddr;
use tcpxm::api::{Sender, SenderOptions};
use tcpxm::config::{Content, Delivery, SessionConfig};
use tcpxm::error::ConfigError;

/// An open session, and why it has no group though one was asked for.
pub struct Opened {
    /// The session.
    pub sender: Sender,
    /// What made the group one that nobody can use; the session goes on by unicast.
    pub refused: Option<String>,
}

/// Opens a session to these receivers, each of which may have several addresses, for [`crate::send()`]: members say what they lack, and it ends where its source
/// does. A group that cannot be used at all (link-local, well known) is no reason not to copy.
///
/// # Errors
/// What the system or the configuration refuses, as [`Sender::connect_any`] says it.
pub fn open_session(options: SenderOptions, peers: &[Vec<SocketAddr>]) -> io::Result<Opened> {
    let session = SessionConfig {
        delivery: Delivery::Unordered,
        content: Content::Source { len: None },
        declares: true,
        ..options.session
    };
    open(SenderOptions { session, ..options }, peers)
}

/// The same for [`crate::pipe::send()`]: the bytes are held until every member has them. Nobody can come late to what is
/// gone, so it begins when all have answered or failed.
///
/// # Errors
/// As [`open_session`].
pub fn open_stream(options: SenderOptions, peers: &[Vec<SocketAddr>]) -> io::Result<Opened> {
    let session = SessionConfig {
        delivery: Delivery::Ordered,
        content: Content::Stream { ring: RING },
        declares: false,
        start_wait: options.session.connect_timeout,
        ..options.session
    };
    open(SenderOptions { session, ..options }, peers)
}

fn open(options: SenderOptions, peers: &[Vec<SocketAddr>]) -> io::Result<Opened> {
    match Sender::connect_any(options.clone(), peers) {
        Err(error) if is_about_the_group(&error) => {
            let session = SessionConfig { group: None, ..options.session };
            let sender = Sender::connect_any(SenderOptions { session, ..options }, peers)?;
            Ok(Opened { sender, refused: Some(error.to_string()) })
        }
        connected => {
            let sender = connected?;
            let refused = sender.group_unusable().map(str::to_owned);
            Ok(Opened { sender, refused })
        }
    }
}

/// Whether it would be another thing without a group.
fn is_about_the_group(error: &io::Error) -> bool {
    let inner = error.get_ref().and_then(|inner| inner.downcast_ref::<ConfigError>());
    matches!(inner, Some(ConfigError::Group(..)))
}
