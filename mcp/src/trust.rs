//! Whom a copy trusts: a secret, keys, or only this host; and what is said about it.

use crate::args;
use crate::hosts::Target;
use crate::say::say;
use mcp_cli::say::plain;
use mcp_keys::host_name::HostNameError;
use mcp_keys::known_hosts;
use mcp_keys::places::{self, Environment};
use mcp_keys::{HostName, KnownHosts, Secrets, identity_file, secret_file};
use std::collections::BTreeMap;
use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use tcpxm::error::{Reason, Unreachable};
use tcpxm::stats::MemberReport;
use tcpxm::trust::{Identity, ListenKeys, ListenTrust, PublicKey, Secret, SenderKeys, SenderTrust};
use thiserror::Error;
use zeroize::Zeroizing;

/// Why it is not clear whom to trust.
#[derive(Debug, Error)]
pub(crate) enum TrustError {
    /// The command line contradicts itself.
    #[error("{0}; see mcp --help")]
    Usage(&'static str),
    /// A file cannot be used.
    #[error("{0}")]
    Here(String),
}

/// What there is to trust by.
#[derive(Debug)]
pub(crate) enum Ground {
    /// The secret that both ends hold.
    Secret(Arc<Secret>),
    /// Secrets that daemons were given which were started for this copy alone, each its own.
    Started,
    /// This user's key, and those of hosts.
    Keys(Box<Keys>),
    /// Nothing: only this host is trusted.
    Nothing,
    /// Nothing is asked, and nothing is sealed.
    Plaintext,
}

/// This user's key, and those of hosts.
#[derive(Debug)]
pub(crate) struct Keys {
    identity: Arc<Identity>,
    known: KnownHosts,
    environment: Environment,
    path: PathBuf,
    strict: bool,
}

/// A secret for one copy and host, and the line that says it.
pub(crate) fn drawn() -> io::Result<(Arc<Secret>, Zeroizing<String>)> {
    let line = secret_file::line().map_err(io::Error::other)?;
    let secret = Secret::from_line(line.as_bytes()).map_err(io::Error::other)?;
    Ok((Arc::new(secret), line))
}

/// Finds what there is: a secret if one is given, else this user's key if there is one.
pub(crate) fn ground(options: &args::Copy) -> Result<Ground, TrustError> {
    let (common, strict) = (&options.common, options.strict);
    let environment = Environment::of_process();
    let here = |why: &dyn std::fmt::Display| TrustError::Here(why.to_string());
    match (&common.secret_file, common.insecure_plaintext) {
        (Some(_), true) => {
            Err(TrustError::Usage("--secret-file and --insecure-plaintext exclude each other"))
        }
        (None, true) => Ok(Ground::Plaintext),
        (Some(path), false) => {
            let secrets = Secrets::read(path, &environment).map_err(|error| here(&error))?;
            Ok(Ground::Secret(Arc::new(secrets.first().clone())))
        }
        (None, false) => {
            let Ok(state) = environment.state_dir(common.state_dir.as_deref()) else {
                return Ok(Ground::Nothing);
            };
            let identity = identity_file::read(&places::identity(&state));
            let Some(identity) = identity.map_err(|error| here(&error))? else {
                return Ok(Ground::Nothing);
            };
            let path = match &options.known_hosts {
                Some(path) => path.clone(),
                None => {
                    places::known_hosts(&environment.config_dir().map_err(|error| here(&error))?)
                }
            };
            let known = KnownHosts::read(&path, &environment).map_err(|error| here(&error))?;
            let identity = Arc::new(identity);
            let keys = Keys { identity, known, environment, path, strict };
            Ok(Ground::Keys(Box::new(keys)))
        }
    }
}

/// The name that a host's key is kept under.
fn name(target: &Target, port: u16) -> Result<HostName, HostNameError> {
    HostName::new(&target.host, target.port.unwrap_or(port))
}

/// The names that the key of one address is kept under.
fn names(targets: &[&Target], port: u16) -> Vec<HostName> {
    targets.iter().filter_map(|target| name(target, port).ok()).collect()
}

impl Ground {
    /// Why a host at this address cannot be sent to, if that is so.
    pub(crate) fn excludes(&self, target: &Target, port: u16, addr: SocketAddr) -> Option<String> {
        if let (Self::Keys(_), Err(error)) = (self, name(target, port)) {
            return Some(format!("its key cannot be looked up: {error}: name it otherwise"));
        }
        let far = matches!(self, Self::Nothing) && !addr.ip().to_canonical().is_loopback();
        far.then(|| {
            "without a secret or a key only this host can be sent to: mcp key --secret FILE makes a \
             secret for --secret-file on all hosts, mcp key makes a key"
                .to_owned()
        })
    }

    /// Why names of one address cannot be sent to, if their known keys say that they are several hosts.
    pub(crate) fn rivals(&self, targets: &[&Target], port: u16) -> Option<String> {
        let Self::Keys(keys) = self else { return None };
        keys.known.one_key(&names(targets, port)).err().map(|rivals| rivals.to_string())
    }

    /// For a session to these hosts, each with the names that were typed for its address.
    pub(crate) fn trust<'a>(
        &self,
        hosts: impl Iterator<Item = (SocketAddr, Vec<&'a Target>)>,
        port: u16,
    ) -> SenderTrust {
        match self {
            Self::Secret(secret) => SenderTrust::Secret(Arc::clone(secret)),
            // Whoever was started has a secret, which is told with the address.
            Self::Started | Self::Nothing => SenderTrust::Loopback,
            Self::Plaintext => SenderTrust::Plaintext,
            Self::Keys(keys) => {
                let key = |(addr, targets): (SocketAddr, Vec<&Target>)| {
                    // Rivals have no place in a session.
                    let key = keys.known.one_key(&names(&targets, port)).ok().flatten();
                    key.map(|key| (addr, *key))
                };
                let known: BTreeMap<SocketAddr, PublicKey> = hosts.filter_map(key).collect();
                let identity = Arc::clone(&keys.identity);
                SenderTrust::Keys(SenderKeys { identity, known, strict: keys.strict })
            }
        }
    }

    /// Who may connect to this side: hosts by the keys that are known of them.
    pub(crate) fn listen(&self, targets: &[Target], port: u16) -> ListenTrust {
        match self {
            Self::Secret(secret) => ListenTrust::Secret(vec![Arc::clone(secret)]),
            Self::Started | Self::Nothing => ListenTrust::Loopback,
            Self::Plaintext => ListenTrust::Plaintext,
            Self::Keys(keys) => {
                let names = targets.iter().filter_map(|target| name(target, port).ok());
                let authorized = names.filter_map(|name| keys.known.key(&name).copied()).collect();
                let (identity, refused) = (Arc::clone(&keys.identity), BTreeMap::new());
                ListenTrust::Keys(ListenKeys { identity, authorized, refused })
            }
        }
    }

    /// Why a host failed, as it is said beside its name; `targets` are all that were typed for its address. `port` is
    /// that of hosts which name none.
    pub(crate) fn why(
        &self,
        target: &Target,
        targets: &[&Target],
        (addr, port): (SocketAddr, u16),
        reason: &Reason,
    ) -> Option<String> {
        if let Self::Started = self {
            return started(target, addr, reason);
        }
        Some(match reason {
            Reason::NeverAnswered(_) => {
                let port = target.port.unwrap_or(port);
                let trust = match self {
                    Self::Secret(_) => "its secret is another",
                    Self::Plaintext => "its mcpd was not told --insecure-plaintext",
                    Self::Keys(_) | Self::Nothing | Self::Started => {
                        "it wants a secret (--secret-file) that this mcp was not given"
                    }
                };
                format!(
                    "no answer from {}, udp port {port}: nobody listens there, a firewall drops it, or {trust}",
                    target.host
                )
            }
            Reason::Version { theirs, ours } => version(*theirs, *ours),
            Reason::HostKeyChanged { shown, .. } => self.changed(target, targets, port, shown)?,
            Reason::HostKeyUnknown(shown) => self.unknown_key(target, port, shown)?,
            Reason::NoHostKey => {
                "it has no key to show who it is: mcpd makes one when it has authorized_keys"
                    .to_owned()
            }
            _ => return None,
        })
    }

    /// Of the names of an address it may be another than this one that has changed.
    fn changed(
        &self,
        target: &Target,
        targets: &[&Target],
        port: u16,
        shown: &PublicKey,
    ) -> Option<String> {
        let Self::Keys(keys) = self else { return None };
        let own = name(target, port).into_iter();
        let all = own.chain(names(targets, port));
        all.filter_map(|name| keys.known.check(&name, shown).err()).map(|c| c.to_string()).next()
    }

    fn unknown_key(&self, target: &Target, port: u16, shown: &PublicKey) -> Option<String> {
        let Self::Keys(keys) = self else { return None };
        keys.known.check_strictly(&name(target, port).ok()?, shown).err().map(|e| e.to_string())
    }

    /// Why a name does not count as served, though another name of its address was: with `--strict` each has
    /// to be known.
    pub(crate) fn unknown(
        &self,
        target: &Target,
        port: u16,
        report: &MemberReport,
    ) -> Option<String> {
        match self {
            Self::Keys(keys) if keys.strict => self.unknown_key(target, port, report.key.as_ref()?),
            _ => None,
        }
    }

    /// Keeps the keys of hosts that were met for the first time, under each name that was typed, and says so
    /// in one line.
    pub(crate) fn remember<'a>(
        &self,
        met: impl Iterator<Item = (&'a MemberReport, Vec<&'a Target>)>,
        (port, quiet): (u16, bool),
    ) {
        let Self::Keys(keys) = self else { return };
        let new: Vec<(HostName, PublicKey)> = met
            .filter_map(|(report, targets)| Some((names(&targets, port), report.key?)))
            .flat_map(|(names, key)| names.into_iter().map(move |name| (name, key)))
            .filter(|(name, _)| !keys.strict && keys.known.key(name).is_none())
            .collect();
        match known_hosts::add(&keys.path, &keys.environment, &new) {
            Ok(added) => {
                if !added.new.is_empty() && !quiet {
                    let names: Vec<String> = added.new.iter().map(ToString::to_string).collect();
                    say(format_args!(
                        "first contact, key kept in {}: {}",
                        plain(&keys.path.display().to_string()),
                        plain(&crate::fold::fold(&names))
                    ));
                }
                added.changed.iter().for_each(|changed| say(plain(&changed.to_string())));
            }
            Err(error) => {
                say(format_args!("cannot remember the keys of {} hosts: {error}", new.len()));
            }
        }
    }

    /// What is to be said before anything is sent.
    pub(crate) fn warn(&self, options: &args::Copy) {
        if let Self::Plaintext = self {
            say("not encrypted: whoever is on the way can read and alter what is sent");
        }
        let why = match self {
            Self::Keys(_) => return,
            Self::Secret(_) | Self::Started => "with a secret hosts have no keys",
            Self::Nothing => {
                "without a key of this user hosts are not asked for theirs (mcp key makes one)"
            }
            Self::Plaintext => "in plaintext hosts are not asked for keys",
        };
        let without = options.without_effect();
        if !without.is_empty() {
            say(format_args!("{} without effect: {why}", without.join(", ")));
        }
    }
}

fn version(theirs: u8, ours: u8) -> String {
    let which = if theirs > ours { "mcp here" } else { "mcpd there" };
    format!("that daemon speaks version {theirs}, this mcp version {ours}: upgrade {which}")
}

/// Why one failed that was started for this copy; its address is what it has said itself.
fn started(target: &Target, addr: SocketAddr, reason: &Reason) -> Option<String> {
    let (host, ip, port) = (&target.host, addr.ip(), addr.port());
    match reason {
        Reason::NeverAnswered(_) => Some(format!(
            "no answer from {host} at {ip}, udp port {port}, though ssh has reached it: a firewall drops it, or that \
             address means nothing here"
        )),
        // Nobody else is to start one there.
        Reason::Unreachable(Unreachable::Port(_)) => Some(format!(
            "nobody listens at {ip}, udp port {port}: the daemon there has ended, as it does when its ssh ends or is \
             cut off, or that address is another host's here"
        )),
        Reason::Unreachable(why @ Unreachable::Forbidden { .. }) => {
            Some(format!("{why}, or say by --port which one it lets through"))
        }
        Reason::Version { theirs, ours } => Some(version(*theirs, *ours)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    fn target(host: &str) -> Target {
        Target {
            text: host.to_owned(),
            host: host.to_owned(),
            port: None,
            user: None,
            path: String::new(),
        }
    }

    fn with_keys() -> Ground {
        let path = PathBuf::from("known_hosts");
        let known = KnownHosts::parse(std::path::Path::new("known_hosts"), b"").unwrap();
        let (identity, environment) =
            (Arc::new(Identity::generate([1; 64])), Environment::default());
        Ground::Keys(Box::new(Keys { identity, known, environment, path, strict: false }))
    }

    #[test]
    fn a_host_whose_key_cannot_be_looked_up_is_excluded() {
        let addr = "192.0.2.1:8737".parse().unwrap();
        let why = with_keys().excludes(&target("no*de"), 8737, addr).unwrap();
        assert!(why.starts_with("its key cannot be looked up: \"no*de\" names no host"), "{why}");
        assert_eq!(with_keys().excludes(&target("node"), 8737, addr), None);
        assert_eq!(Ground::Plaintext.excludes(&target("no*de"), 8737, addr), None);
    }

    #[test]
    fn silence_is_told_by_what_both_ends_would_need() {
        let why = |ground: Ground| {
            let (host, never) = (target("node"), Reason::NeverAnswered(Duration::ZERO));
            let addr = "192.0.2.1:8737".parse().unwrap();
            ground.why(&host, &[&host], (addr, 8737), &never).unwrap()
        };
        let begins =
            "no answer from node, udp port 8737: nobody listens there, a firewall drops it, or ";
        let secret = Secret::from_line(&[b'x'; 32]).unwrap();
        for (ground, ends) in [
            (Ground::Secret(Arc::new(secret)), "its secret is another"),
            (with_keys(), "it wants a secret (--secret-file) that this mcp was not given"),
            (Ground::Nothing, "it wants a secret (--secret-file) that this mcp was not given"),
            (Ground::Plaintext, "its mcpd was not told --insecure-plaintext"),
        ] {
            assert_eq!(why(ground), format!("{begins}{ends}"));
        }
    }

    #[test]
    fn of_a_daemon_that_was_started_the_address_is_told() {
        let (host, addr) = (target("node"), "10.0.0.7:4321".parse().unwrap());
        let why = |reason| Ground::Started.why(&host, &[&host], (addr, 8737), &reason);
        let silent = why(Reason::NeverAnswered(Duration::ZERO)).unwrap();
        assert!(silent.starts_with("no answer from node at 10.0.0.7, udp port 4321, though"));
        let ended = why(Reason::Unreachable(Unreachable::Port(4321))).unwrap();
        assert!(ended.starts_with("nobody listens at 10.0.0.7, udp port 4321: the daemon there"));
        assert!(ended.contains("has ended, as it does when its ssh ends"), "{ended}");
        assert_eq!(why(Reason::Unreachable(Unreachable::Host)), None);
        let wall = Unreachable::Forbidden { port: 4321, by: None, said: "prohibited" };
        let forbidden = why(Reason::Unreachable(wall)).unwrap();
        assert!(forbidden.contains("port 4321") && forbidden.contains("--port"), "{forbidden}");
        assert!(why(Reason::Version { theirs: 1, ours: 2 }).unwrap().contains("upgrade mcpd"));
    }
}
