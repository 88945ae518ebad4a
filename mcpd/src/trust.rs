//! Who may send to this daemon, and what: decided from its options and files, at the start and at SIGHUP.

use crate::args::Cli;
use crate::report::say;
use crate::starter;
use mcp_keys::authorized_keys::Refusal;
use mcp_keys::identity_file::IdentityFileError;
use mcp_keys::places::{self, Environment};
use mcp_keys::{AuthorizedKeys, Drawn, Permit, Secrets, identity_file};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::SystemTime;
use tcpxm::api::Receiver;
use tcpxm::trust::{Identity, ListenKeys, ListenTrust, PublicKey};
use thiserror::Error;

/// Why it cannot be said who may send.
#[derive(Debug, Error)]
pub(crate) enum TrustError {
    /// The options contradict each other.
    #[error("{0}; see mcpd --help")]
    Usage(String),
    /// A file cannot be used.
    #[error("{0}")]
    Here(String),
}

/// Who may send.
#[derive(Debug, Clone)]
pub(crate) struct Decided {
    pub(crate) listen: ListenTrust,
    /// With keys: what each may do.
    pub(crate) permits: Option<Arc<AuthorizedKeys>>,
    /// What is to be said at the start.
    pub(crate) notes: Vec<String>,
    /// When that was: a key that expires later is none of those refused.
    pub(crate) at: SystemTime,
}

/// Why a session is refused: in words for the log, and for its sender, who is told nothing of this host's disk.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Refused {
    pub(crate) here: String,
    pub(crate) there: String,
}

impl From<Refusal> for Refused {
    fn from(refusal: Refusal) -> Self {
        Self { here: refusal.to_string(), there: refusal.to_sender() }
    }
}

impl Decided {
    /// Nobody's keys are asked for.
    fn without_keys(listen: ListenTrust, notes: Vec<String>) -> Self {
        Self { listen, permits: None, notes, at: SystemTime::now() }
    }

    /// Whether other hosts may send: only then others than loopback are listened on.
    pub(crate) fn is_for_others(&self) -> bool {
        !matches!(self.listen, ListenTrust::Loopback)
    }
}

/// Said instead of listening for other hosts.
pub(crate) const NEITHER: &str = "without a secret or keys only loopback is listened on: give --listen 127.0.0.1, \
    or --secret-file FILE (mcp key --secret FILE makes one for all hosts), or put the keys of those who may \
    send (mcp key shows one) into authorized_keys";

/// Decides. `before`: this host's identity, if it has been read already, since keys are in force: then a list
/// that is not there is one that is gone, and for the caller to deal with, whether or not it was named.
pub(crate) fn decide(cli: &Cli, before: Option<&Arc<Identity>>) -> Result<Decided, TrustError> {
    let common = &cli.common;
    let environment = Environment::of_process();
    let here = |why: &dyn std::fmt::Display| TrustError::Here(why.to_string());
    let list = match &cli.authorized_keys {
        Some(path) => Some(path.clone()),
        // Whoever has started this one is trusted, whatever other daemons of this user go by.
        None if starter::is_there(cli) => None,
        None => environment.config_dir().ok().map(|dir| places::authorized_keys(&dir)),
    };
    let keys = list.map(|path| AuthorizedKeys::read(&path, &environment)).transpose();
    let keys = keys.map_err(|error| here(&error))?.flatten();
    if let (Some(path), None, None) = (&cli.authorized_keys, &keys, before) {
        return Err(TrustError::Here(format!("{}: there is no such file", path.display())));
    }
    let with_keys = |what: &str, keys: &AuthorizedKeys| {
        let list = keys.path().display();
        TrustError::Usage(format!(
            "{what} and {list} exclude each other: remove the one or the other"
        ))
    };
    match (&common.secret_file, common.insecure_plaintext, keys) {
        (Some(_), true, _) => Err(TrustError::Usage(
            "--secret-file and --insecure-plaintext exclude each other".to_owned(),
        )),
        (Some(_), _, Some(keys)) => Err(with_keys("--secret-file", &keys)),
        (_, true, Some(keys)) => Err(with_keys("--insecure-plaintext", &keys)),
        (Some(path), false, None) => {
            let secrets = if starter::is_there(cli) {
                starter::secret().map_err(TrustError::Here)?
            } else {
                Secrets::read(path, &environment).map_err(|error| here(&error))?
            };
            let all = secrets.all().map(|secret| Arc::new(secret.clone())).collect();
            Ok(Decided::without_keys(ListenTrust::Secret(all), Vec::new()))
        }
        (None, true, None) => {
            let what = "not encrypted: whoever reaches this port can write files here, and whoever is on the \
                        way can read and alter them";
            Ok(Decided::without_keys(ListenTrust::Plaintext, vec![what.to_owned()]))
        }
        (None, false, Some(keys)) => {
            let (identity, notes) = identity(cli, &environment, before)?;
            let at = SystemTime::now();
            let listen = ListenTrust::Keys(admitted(&keys, identity, at));
            Ok(Decided { listen, permits: Some(Arc::new(keys)), notes, at })
        }
        (None, false, None) => Ok(Decided::without_keys(ListenTrust::Loopback, Vec::new())),
    }
}

/// Who may send at that time, and who may not any more.
pub(crate) fn admitted(
    keys: &AuthorizedKeys,
    identity: Arc<Identity>,
    now: SystemTime,
) -> ListenKeys {
    let (mut authorized, mut refused) = (BTreeSet::new(), BTreeMap::new());
    for (key, _) in keys.keys() {
        match keys.permit(key, now) {
            Ok(_) => drop(authorized.insert(*key)),
            Err(why) => drop(refused.insert(*key, why.to_sender())),
        }
    }
    ListenKeys { identity, authorized, refused }
}

/// The list of keys is gone: nobody may send, nor may a session that was accepted by it and begins only now.
pub(crate) fn nobody(before: &ListenTrust, list: Option<&AuthorizedKeys>) -> Decided {
    let listen = match before {
        ListenTrust::Keys(keys) => {
            let identity = Arc::clone(&keys.identity);
            let (authorized, refused) = (BTreeSet::new(), BTreeMap::new());
            ListenTrust::Keys(ListenKeys { identity, authorized, refused })
        }
        other => other.clone(),
    };
    let permits = list.map(|list| Arc::new(list.emptied()));
    Decided { permits, ..Decided::without_keys(listen, Vec::new()) }
}

/// This host's identity. Where none can be kept, one for as long as this process runs.
fn identity(
    cli: &Cli,
    environment: &Environment,
    before: Option<&Arc<Identity>>,
) -> Result<(Arc<Identity>, Vec<String>), TrustError> {
    let here = |error: &dyn std::fmt::Display| TrustError::Here(error.to_string());
    let kept = match environment.state_dir(cli.common.state_dir.as_deref()) {
        Ok(state) => identity_file::read_or_create(&places::host_identity(&state)),
        Err(error) => return without_place(before, &error),
    };
    match kept {
        Ok((identity, _)) => {
            let note = format!("this host's key: {}", identity.public().fingerprint());
            Ok((Arc::new(identity), vec![note]))
        }
        // One that is there and cannot be used is not replaced.
        Err(IdentityFileError::Write(error)) => without_place(before, &error),
        Err(error) => Err(here(&error)),
    }
}

/// Where none can be kept: the one of before, or a new one.
fn without_place(
    before: Option<&Arc<Identity>>,
    why: &dyn std::fmt::Display,
) -> Result<(Arc<Identity>, Vec<String>), TrustError> {
    if let Some(before) = before {
        return Ok((Arc::clone(before), Vec::new()));
    }
    let identity = identity_file::random().map_err(|error| TrustError::Here(error.to_string()))?;
    let note =
        format!("this host's key is a new one at each start, and senders will say so: {why}");
    Ok((Arc::new(identity), vec![note]))
}

/// The key of this host's connection ids; without a place for it, what is to be said.
pub(crate) fn cid_key(cli: &Cli) -> (Option<tcpxm::trust::CidKey>, Option<String>) {
    let environment = Environment::of_process();
    let state = environment.state_dir(cli.common.state_dir.as_deref());
    let kept = state.map_err(|error| error.to_string()).and_then(|state| {
        Drawn::read_or_create(&places::cid_key(&state)).map_err(|error| error.to_string())
    });
    match kept {
        Ok(key) => (Some(tcpxm::trust::CidKey::new(*key.as_bytes())), None),
        Err(why) => {
            let what = format!("after a restart senders will have to find out by silence: {why}");
            (None, Some(what))
        }
    }
}

/// What a session may do: its sender's key and permit, or why it may nothing (any more).
pub(crate) fn permit(
    receiver: &Receiver,
    permits: Option<&AuthorizedKeys>,
) -> Result<Option<(PublicKey, Permit)>, Refused> {
    let Some(permits) = permits else { return Ok(None) };
    let no_key = || "the sender has shown no key".to_owned();
    let key = receiver.peer_key().ok_or_else(|| Refused { here: no_key(), there: no_key() })?;
    Ok(Some((key, permits.permit(&key, SystemTime::now())?.clone())))
}

/// Says what there is to say.
pub(crate) fn tell(notes: &[String], quiet: bool) {
    if !quiet {
        notes.iter().for_each(say);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::Path;

    #[test]
    fn without_its_list_nobody_may_anything() {
        let identity = Arc::new(Identity::generate([5; 64]));
        let (key, now) = (identity.public(), SystemTime::now());
        let list = AuthorizedKeys::parse(Path::new("list"), key.to_string().as_bytes()).unwrap();
        let before = ListenTrust::Keys(admitted(&list, identity, now));
        let decided = nobody(&before, Some(&list));
        let ListenTrust::Keys(keys) = decided.listen else { panic!("keys are asked for") };
        assert!(keys.authorized.is_empty());
        // A session that was accepted before looks here for its root and its limits.
        let why = decided.permits.unwrap().permit(&key, now).unwrap_err();
        assert!(matches!(why, Refusal::Unknown { .. }), "{why}");
    }
}
