//! One session: a file from a sender to its place.

use crate::report::{self, Line};
use crate::serve::Shared;
use mcp_cli::say::plain;
use std::time::Instant;
use tcpxm::api::Receiver;
use transfer::destination::Root;

/// Receives the session's file and says what became of it.
pub(crate) fn run(receiver: &Receiver, root: &Root, shared: &Shared) {
    let (peer, begin) = (receiver.peer(), Instant::now());
    let outcome = transfer::receive_file(receiver, root);
    let line = Line::new(peer, root, begin.elapsed(), &outcome);
    line.show(shared.lines.as_ref(), shared.settings().quiet);
    if let Ok(received) = &outcome {
        for unset in received.unset.iter().map(ToString::to_string) {
            if shared.is_new(&unset) {
                let path = plain(&received.path.display().to_string());
                report::say(format_args!(
                    "{path} is complete and verified, but {unset} (said once)"
                ));
            }
        }
        if let Some(error) = &received.undurable {
            report::say(format_args!(
                "{}: the file is verified, but a power failure may still take its name: {error}",
                plain(&received.path.display().to_string())
            ));
        }
        if let Err(reason) = &received.confirmed {
            report::say(format_args!("{peer} may not know that it has arrived: {reason}"));
        }
    }
}
