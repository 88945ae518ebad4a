//! One session: a file from a sender to its place.

use crate::prefix_file::Told;
use crate::report::{self, Line};
use crate::serve::{Settings, Shared};
use crate::trust::{self, Refused};
use mcp_cli::rights::Right;
use mcp_cli::say::plain;
use mcp_keys::Permit;
use std::collections::BTreeSet;
use std::io;
use std::sync::Arc;
use std::time::Instant;
use tcpxm::api::Receiver;
use tcpxm::stats::Foreign;
use tcpxm::trust::PublicKey;
use transfer::destination::Root;
use transfer::limits::{Allow, Limits};
use transfer::pipe::output::Opened;

/// What these rights are to a copy.
fn allowed(rights: &BTreeSet<Right>) -> Allow {
    Allow {
        owner: rights.contains(&Right::Owner),
        setuid: rights.contains(&Right::Setuid),
        delete: rights.contains(&Right::Delete),
        device: rights.contains(&Right::Device),
    }
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
    apart(&now, shared)?;
    if shared.change_root(&root, &now) {
        let path = plain(&root.path().display().to_string());
        report::say(format_args!("{path} is another folder by now: it was opened again"));
    }
    Ok(now)
}

/// Refuses a folder with the file in it that says how far files can be read: senders could replace it.
fn apart(root: &Root, shared: &Shared) -> Result<(), Refused> {
    let checked = shared.prefixes.as_ref().map_or(Ok(()), |told| told.check(root));
    checked.map_err(|error| Refused {
        here: format!("cannot receive into {}: {error}", root.path().display()),
        there: "this is no folder to receive into, as the log there says".to_owned(),
    })
}

/// Where a sender's files go, and within which limits: without an entry of its own those that `others` have.
fn within(
    permit: Option<(PublicKey, Permit)>,
    settings: Settings,
    shared: &Shared,
) -> Result<(Option<Root>, Limits), Refused> {
    let now = |root: Option<Root>| root.map(|root| now(root, shared)).transpose();
    let of_jobs =
        |root: &Option<Root>| root.as_ref().and_then(|root| shared.mirrors.of_session(root));
    let Settings { root, follow, allow: others, .. } = settings;
    let prefixes = shared.prefixes.as_ref().map(Told::prefixes);
    let Some((key, Permit { root: own, rate, size, allow, .. })) = permit else {
        let (allow, holders) = (allowed(&others), Arc::clone(&shared.holders));
        let (root, limits) = (now(root)?, Limits { allow, holders, prefixes, ..Limits::default() });
        let jobs = of_jobs(&root);
        return Ok((root, Limits { jobs, ..limits }));
    };
    let root = match own {
        // Whoever starts one that writes to standard output has all of it go there.
        Some(own) if root.is_some() => {
            let own = Root::open_with(&own, follow).map_err(|error| Refused {
                here: format!("cannot receive into {}: {error}", own.display()),
                there: format!("cannot receive into the folder of this key: {error}"),
            })?;
            apart(&own, shared)?;
            Some(own)
        }
        _ => now(root)?,
    };
    let (rate, holders) = (Some(shared.rate(key, rate)), Arc::clone(&shared.holders));
    let allow = allowed(&allow);
    let jobs = of_jobs(&root);
    Ok((root, Limits { size, rate, allow, holders, prefixes, jobs }))
}

/// Receives the session's file and says what became of it. Whether all of it is in place; `None` where the session was
/// refused or ended before it was to receive anything.
pub(crate) fn run(receiver: &Receiver, shared: &Shared, settings: Settings) -> Option<bool> {
    let (peer, begin) = (receiver.peer(), Instant::now());
    let limits = trust::permit(receiver, settings.permits.as_deref())
        .and_then(|permit| within(permit, settings, shared));
    let (root, limits) = match limits {
        Ok(limits) => limits,
        Err(Refused { here, there }) => {
            report::say(format_args!("session from {peer} refused: {}", plain(&here)));
            let _ = receiver.close(Err(there)); // it may be gone
            return None;
        }
    };
    let is_over = || receiver.over().is_some();
    let outcome = match root {
        // `None`: it was a word of a mirror job.
        Some(root) => transfer::receive_or_hear(receiver, &root, &limits).transpose()?,
        None => transfer::receive_to(receiver, &mut Opened::new(io::stdout(), &is_over), &limits),
    };
    if let Foreign { count, last: Some(last) } = receiver.foreign() {
        report::say(format_args!(
            "session from {peer}: {count} datagrams to its group came from elsewhere and were dropped, the \
             last from {last}"
        ));
    }
    let line = Line::new(peer, begin.elapsed(), &outcome);
    line.show(shared.lines.as_ref(), shared.settings().quiet);
    let taken = match outcome {
        Ok(taken) => taken,
        Err(failure) => return failure.begun.then_some(false),
    };
    if let Some(why) = &taken.spared {
        let path = plain(&taken.path.display().to_string());
        report::say(format_args!("{path}, from {peer}: {}", plain(why)));
    }
    if let Err(reason) = &taken.confirmed {
        report::say(format_args!("{peer} may not know that it has arrived: {reason}"));
    }
    for unset in &taken.unset {
        if shared.is_new(unset) {
            let path = plain(&taken.path.display().to_string());
            report::say(format_args!("{path} is complete and verified, but {unset} (said once)"));
        }
    }
    Some(line.is_ok())
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
        let root = Some(Root::open(dir.path()).unwrap());
        let key = Identity::generate([1; 64]).public();
        let none = BTreeSet::new();
        let all = BTreeSet::from([Right::Owner, Right::Setuid, Right::Delete, Right::Device]);
        for (options, [owner, setuid, delete, device]) in [
            ("", [false; 4]),
            ("allow=owner ", [true, false, false, false]),
            ("allow=setuid ", [false, true, false, false]),
            ("allow=delete ", [false, false, true, false]),
            ("allow=device ", [false, false, false, true]),
            ("size=1,allow=owner,setuid,delete,device ", [true; 4]),
        ] {
            let text = format!("{options}{key}");
            let list = AuthorizedKeys::parse(Path::new("list"), text.as_bytes()).unwrap();
            let permit = list.keys().next().map(|(key, permit)| (*key, permit.clone()));
            let settings = Settings {
                root: root.clone(),
                follow: false,
                quiet: true,
                permits: Some(Arc::new(list)),
                allow: all.clone(),
            };
            let shared = Shared::of(settings.clone());
            // What others may is not for who has an entry.
            let (_, limits) = within(permit, settings.clone(), &shared).unwrap();
            assert_eq!(limits.allow, Allow { owner, setuid, delete, device }, "{options}");
            for (others, may) in [(&none, false), (&all, true)] {
                let settings = Settings { allow: others.clone(), ..settings.clone() };
                let (_, limits) = within(None, settings, &shared).unwrap();
                let each = Allow { owner: may, setuid: may, delete: may, device: may };
                assert_eq!(limits.allow, each);
            }
        }
    }
}
