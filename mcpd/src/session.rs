//! One session: a file from a sender to its place.

use crate::report::{self, Line};
use crate::serve::{Settings, Shared};
use crate::trust::{self, Refused};
use mcp_cli::rights::Right;
use mcp_cli::say::plain;
use mcp_keys::Permit;
use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Instant;
use tcpxm::api::Receiver;
use tcpxm::stats::Foreign;
use tcpxm::trust::PublicKey;
use transfer::destination::Root;
use transfer::limits::{Allow, Limits};

/// What these rights are to a copy.
fn allowed(rights: &BTreeSet<Right>) -> Allow {
    Allow { owner: rights.contains(&Right::Owner), setuid: rights.contains(&Right::Setuid) }
}

/// The folder that stands by now where everything is received: it may have been made anew, and then it is that one from
/// here on.
fn now(root: Root, shared: &Shared) -> Result<Root, Refused> {
    let now = root.now().map_err(|error| Refused {
        here: format!("cannot receive into {}: {error}", root.path().display()),
        there: format!("cannot receive into this host's folder: {error}"),
    })?;
    if root.is_same(&now) {
        return Ok(root);
    }
    if shared.change_root(&root, &now) {
        let path = plain(&root.path().display().to_string());
        report::say(format_args!("{path} is another folder by now: it was opened again"));
    }
    Ok(now)
}

/// Where a sender's files go, and within which limits: without an entry of its own those that `others` have.
fn within(
    permit: Option<(PublicKey, Permit)>,
    settings: Settings,
    shared: &Shared,
) -> Result<(Root, Limits), Refused> {
    let Settings { root, follow, allow: others, .. } = settings;
    let Some((key, Permit { root: own, rate, size, allow, .. })) = permit else {
        let (allow, holders) = (allowed(&others), Arc::clone(&shared.holders));
        return Ok((now(root, shared)?, Limits { allow, holders, ..Limits::default() }));
    };
    let root = match own {
        None => now(root, shared)?,
        Some(own) => Root::open_with(&own, follow).map_err(|error| Refused {
            here: format!("cannot receive into {}: {error}", own.display()),
            there: format!("cannot receive into the folder of this key: {error}"),
        })?,
    };
    let (rate, holders) = (Some(shared.rate(key, rate)), Arc::clone(&shared.holders));
    Ok((root, Limits { size, rate, allow: allowed(&allow), holders }))
}

/// Receives the session's file and says what became of it.
pub(crate) fn run(receiver: &Receiver, shared: &Shared, settings: Settings) {
    let (peer, begin) = (receiver.peer(), Instant::now());
    let limits = trust::permit(receiver, settings.permits.as_deref())
        .and_then(|permit| within(permit, settings, shared));
    let (root, limits) = match limits {
        Ok(limits) => limits,
        Err(Refused { here, there }) => {
            report::say(format_args!("session from {peer} refused: {}", plain(&here)));
            let _ = receiver.close(Err(there)); // it may be gone
            return;
        }
    };
    let outcome = transfer::receive(receiver, &root, &limits);
    if let Foreign { count, last: Some(last) } = receiver.foreign() {
        report::say(format_args!(
            "session from {peer}: {count} datagrams to its group came from elsewhere and were dropped, the \
             last from {last}"
        ));
    }
    let line = Line::new(peer, begin.elapsed(), &outcome);
    line.show(shared.lines.as_ref(), shared.settings().quiet);
    let Ok(taken) = outcome else { return };
    if let Err(reason) = &taken.confirmed {
        report::say(format_args!("{peer} may not know that it has arrived: {reason}"));
    }
    for unset in &taken.unset {
        if shared.is_new(unset) {
            let path = plain(&taken.path.display().to_string());
            report::say(format_args!("{path} is complete and verified, but {unset} (said once)"));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use mcp_keys::AuthorizedKeys;
    use std::path::Path;
    use std::sync::Arc;
    use tcpxm::trust::Identity;

    #[test]
    fn an_entry_of_its_own_says_what_a_sender_may_ask_for() {
        let dir = tempfile::tempdir().unwrap();
        let root = Root::open(dir.path()).unwrap();
        let key = Identity::generate([1; 64]).public();
        let none = BTreeSet::new();
        let both = BTreeSet::from([Right::Owner, Right::Setuid]);
        for (options, owner, setuid) in [
            ("", false, false),
            ("allow=owner ", true, false),
            ("allow=setuid ", false, true),
            ("size=1,allow=owner,setuid ", true, true),
        ] {
            let text = format!("{options}{key}");
            let list = AuthorizedKeys::parse(Path::new("list"), text.as_bytes()).unwrap();
            let permit = list.keys().next().map(|(key, permit)| (*key, permit.clone()));
            let settings = Settings {
                root: root.clone(),
                follow: false,
                quiet: true,
                permits: Some(Arc::new(list)),
                allow: both.clone(),
            };
            let shared = Shared::of(settings.clone());
            // What others may is not for who has an entry.
            let (_, limits) = within(permit, settings.clone(), &shared).unwrap();
            assert_eq!(limits.allow, Allow { owner, setuid }, "{options}");
            for (others, may) in [(&none, false), (&both, true)] {
                let settings = Settings { allow: others.clone(), ..settings.clone() };
                let (_, limits) = within(None, settings, &shared).unwrap();
                assert_eq!(limits.allow, Allow { owner: may, setuid: may });
            }
        }
    }
}
