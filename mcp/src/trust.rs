//! Whom a copy trusts: a secret, keys, or only this host; and what is said about it.

use crate::args;
use crate::hosts::Target;
use crate::say::say;
use mcp_cli::say::plain;
use mcp_keys::known_hosts::{self, ChangedKey};
use mcp_keys::places::{self, Environment};
use mcp_keys::{HostName, KnownHosts, Secrets, identity_file};
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use tcpxm::error::Reason;
use tcpxm::stats::MemberReport;
use tcpxm::trust::{Identity, PublicKey, Secret, SenderKeys, SenderTrust};
use thiserror::Error;

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
fn name(target: &Target, port: u16) -> Option<HostName> {
    HostName::new(&target.host, target.port.unwrap_or(port)).ok()
}

impl Ground {
    /// Why a host at this address cannot be sent to, if that is so.
    pub(crate) fn excludes(&self, addr: SocketAddr) -> Option<String> {
        let far = matches!(self, Self::Nothing) && !addr.ip().to_canonical().is_loopback();
        far.then(|| {
            "without a secret or a key only this host can be sent to: mcp key --secret FILE makes a \
             secret for --secret-file on all hosts, mcp key makes a key"
                .to_owned()
        })
    }

    /// For a session to these hosts.
    pub(crate) fn trust<'a>(
        &self,
        hosts: impl Iterator<Item = (SocketAddr, &'a Target)>,
        port: u16,
    ) -> SenderTrust {
        match self {
            Self::Secret(secret) => SenderTrust::Secret(Arc::clone(secret)),
            Self::Nothing => SenderTrust::Loopback,
            Self::Plaintext => SenderTrust::Plaintext,
            Self::Keys(keys) => {
                let key = |(addr, target)| Some((addr, *keys.known.key(&name(target, port)?)?));
                let known: BTreeMap<SocketAddr, PublicKey> = hosts.filter_map(key).collect();
                let identity = Arc::clone(&keys.identity);
                SenderTrust::Keys(SenderKeys { identity, known, strict: keys.strict })
            }
        }
    }

    /// Why a host failed, as it is said beside its name.
    pub(crate) fn why(&self, target: &Target, port: u16, reason: &Reason) -> Option<String> {
        let port = target.port.unwrap_or(port);
        Some(match reason {
            Reason::NeverAnswered(_) => {
                let secret = match self {
                    Self::Secret(_) => ", a firewall drops it, or its secret is another",
                    _ => ", or a firewall drops it",
                };
                format!(
                    "no answer from {}, udp port {port}: nobody listens there{secret}",
                    target.host
                )
            }
            Reason::Version { theirs, ours } => {
                let which = if theirs > ours { "mcp here" } else { "mcpd there" };
                format!(
                    "that daemon speaks version {theirs}, this mcp version {ours}: upgrade {which}"
                )
            }
            Reason::HostKeyChanged { shown, .. } => self.changed(target, port, shown)?,
            Reason::HostKeyUnknown(shown) => {
                let Self::Keys(keys) = self else { return None };
                let name = HostName::new(&target.host, port).ok()?;
                keys.known.check_strictly(&name, shown).err()?.to_string()
            }
            Reason::NoHostKey => {
                "it has no key to show who it is: mcpd makes one when it has authorized_keys"
                    .to_owned()
            }
            _ => return None,
        })
    }

    fn changed(&self, target: &Target, port: u16, shown: &PublicKey) -> Option<String> {
        let Self::Keys(keys) = self else { return None };
        let name = HostName::new(&target.host, port).ok()?;
        keys.known.check(&name, shown).err().as_ref().map(ChangedKey::to_string)
    }

    /// Keeps the keys of hosts that were met for the first time, and says so in one line.
    pub(crate) fn remember<'a>(
        &self,
        met: impl Iterator<Item = (&'a MemberReport, &'a Target)>,
        (port, quiet): (u16, bool),
    ) {
        let Self::Keys(keys) = self else { return };
        let new: Vec<(HostName, PublicKey)> = met
            .filter_map(|(report, target)| Some((name(target, port)?, report.key?)))
            .filter(|(name, _)| keys.known.key(name).is_none())
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
    pub(crate) fn warn(&self) {
        if let Self::Plaintext = self {
            say("not encrypted: whoever is on the way can read and alter what is sent");
        }
    }
}
