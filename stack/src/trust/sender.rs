//! Whom a sending session trusts, and how it proves itself.

use super::{Identity, PublicKey, Secret};
use crate::error::Reason;
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;

/// Whom a sender trusts. There is no default: an application says which it is.
#[derive(Debug, Clone)]
pub enum SenderTrust {
    /// Receivers on this very host, whoever they are: sealed with keys that are made for the session.
    Loopback,
    /// Whoever holds the same secret.
    Secret(Arc<Secret>),
    /// Each receiver that holds a secret of its own: what one of them gives away opens no way to another.
    Secrets(SenderSecrets),
    /// Receivers by their keys.
    Keys(SenderKeys),
    /// Everybody: nothing is sealed.
    Plaintext,
}

/// Secrets of single receivers.
#[derive(Debug, Clone)]
pub struct SenderSecrets {
    /// By their addresses.
    pub of: BTreeMap<SocketAddr, Arc<Secret>>,
    /// What all others must hold.
    pub others: Arc<Secret>,
}

/// Keys of this sender and of its receivers.
#[derive(Debug, Clone)]
pub struct SenderKeys {
    /// This sender's.
    pub identity: Arc<Identity>,
    /// What is known of receivers: one that shows another key is not served.
    pub known: BTreeMap<SocketAddr, PublicKey>,
    /// Receivers of whom nothing is known are not served either; else they are, and
    /// [`MemberReport::key`](crate::stats::MemberReport::key) says what they showed.
    pub strict: bool,
}

impl SenderTrust {
    /// Whether a receiver may be sent to that showed this key: if not, why.
    pub(crate) fn judge(&self, addr: SocketAddr, shown: Option<PublicKey>) -> Result<(), Reason> {
        let Self::Keys(keys) = self else { return Ok(()) };
        match (shown, keys.known.get(&addr)) {
            (Some(shown), Some(known)) if shown == *known => Ok(()),
            (Some(shown), Some(known)) => Err(Reason::HostKeyChanged { known: *known, shown }),
            (Some(shown), None) if keys.strict => Err(Reason::HostKeyUnknown(shown)),
            (Some(_), None) => Ok(()),
            // A daemon without a key listens on loopback alone.
            (None, None) if addr.ip().is_loopback() && !keys.strict => Ok(()),
            (None, _) => Err(Reason::NoHostKey),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn receivers_are_judged_by_what_is_known_of_them() {
        let key = |byte| Identity::generate([byte; 64]).public();
        let [a, b]: [SocketAddr; 2] = ["192.0.2.1:1", "192.0.2.2:1"].map(|s| s.parse().unwrap());
        let known = BTreeMap::from([(a, key(1))]);
        let identity = Arc::new(Identity::generate([9; 64]));
        let mut keys = SenderKeys { identity, known, strict: false };
        let trust = SenderTrust::Keys(keys.clone());
        assert_eq!(trust.judge(a, Some(key(1))), Ok(()));
        let changed = Reason::HostKeyChanged { known: key(1), shown: key(2) };
        assert_eq!(trust.judge(a, Some(key(2))), Err(changed));
        assert_eq!(trust.judge(b, Some(key(2))), Ok(()));
        assert_eq!(trust.judge(b, None), Err(Reason::NoHostKey));
        assert_eq!(trust.judge(a, None), Err(Reason::NoHostKey));
        let here = "127.0.0.1:1".parse().unwrap();
        assert_eq!(trust.judge(here, None), Ok(()));
        keys.strict = true;
        let trust = SenderTrust::Keys(keys);
        assert_eq!(trust.judge(b, Some(key(2))), Err(Reason::HostKeyUnknown(key(2))));
        assert_eq!(trust.judge(here, None), Err(Reason::NoHostKey));
    }
}
