//! One session: a file from a sender to its place.

use crate::report::{self, Line};
use crate::serve::{Settings, Shared};
use crate::trust::{self, Refused};
use mcp_cli::say::plain;
use mcp_keys::Permit;
use std::time::Instant;
use tcpxm::api::Receiver;
use tcpxm::stats::Foreign;
use tcpxm::trust::PublicKey;
use transfer::destination::Root;
use transfer::limits::Limits;

/// Where a sender's files go, and within which limits.
fn allow(
    permit: Option<(PublicKey, Permit)>,
    root: Root,
    shared: &Shared,
) -> Result<(Root, Limits), Refused> {
    let Some((key, Permit { root: own, rate, size, .. })) = permit else {
        return Ok((root, Limits::default()));
    };
    let root = match own {
        None => root,
        Some(own) => Root::open(&own).map_err(|error| Refused {
            here: format!("cannot receive into {}: {error}", own.display()),
            there: format!("cannot receive into the folder of this key: {error}"),
        })?,
    };
    Ok((root, Limits { size, rate: Some(shared.rate(key, rate)) }))
}

/// Receives the session's file and says what became of it.
pub(crate) fn run(receiver: &Receiver, shared: &Shared) {
    let (peer, begin) = (receiver.peer(), Instant::now());
    let Settings { root, permits, .. } = shared.settings();
    let allowed =
        trust::permit(receiver, permits.as_deref()).and_then(|permit| allow(permit, root, shared));
    let (root, limits) = match allowed {
        Ok(allowed) => allowed,
        Err(Refused { here, there }) => {
            report::say(format_args!("session from {peer} refused: {}", plain(&here)));
            let _ = receiver.close(Err(there)); // it may be gone
            return;
        }
    };
    let outcome = transfer::receive_file_within(receiver, &root, limits);
    if let Foreign { count, last: Some(last) } = receiver.foreign() {
        report::say(format_args!(
            "session from {peer}: {count} datagrams to its group came from elsewhere and were dropped, the \
             last from {last}"
        ));
    }
    let line = Line::new(peer, &root, begin.elapsed(), &outcome);
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
