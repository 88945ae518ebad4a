//! Who may send to a listener, and how it proves itself.

use super::{Identity, PublicKey, Secret};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// Who may send to a listener. There is no default: an application says which it is.
#[derive(Debug, Clone)]
pub enum ListenTrust {
    /// Whoever runs on this very host: sealed with keys that are made for each session.
    Loopback,
    /// Whoever holds one of these secrets. Nobody else is answered.
    Secret(Vec<Arc<Secret>>),
    /// Senders by their keys.
    Keys(ListenKeys),
    /// Everybody: nothing is sealed.
    Plaintext,
}

/// Keys of this receiver and of those who may send to it.
#[derive(Debug, Clone)]
pub struct ListenKeys {
    /// This receiver's.
    pub identity: Arc<Identity>,
    /// Who may send.
    pub authorized: BTreeSet<PublicKey>,
    /// Who may not, and is told a reason of its own.
    pub refused: BTreeMap<PublicKey, String>,
}

/// What a sender is told whose key no line of the host has.
pub fn not_authorized(key: &PublicKey) -> String {
    format!(
        "the key {} may not send to this host: it is not in its authorized_keys: whoever looks after the host \
         can add the line that mcp key shows at the sender",
        key.fingerprint()
    )
}

impl ListenTrust {
    /// Whether a sender may send that showed this key: if not, why, in words for it.
    pub(crate) fn admit(&self, shown: Option<PublicKey>) -> Result<(), String> {
        let Self::Keys(keys) = self else { return Ok(()) };
        match shown {
            Some(key) if keys.authorized.contains(&key) => Ok(()),
            Some(key) => {
                let own = keys.refused.get(&key).cloned();
                Err(own.unwrap_or_else(|| not_authorized(&key)))
            }
            None => Err("this host serves only senders with a key: mcp key makes one".to_owned()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_keys_that_are_listed_are_admitted() {
        let key = |byte| Identity::generate([byte; 64]).public();
        let identity = Arc::new(Identity::generate([9; 64]));
        let trust = ListenTrust::Keys(ListenKeys {
            identity,
            authorized: [key(1)].into(),
            refused: [(key(3), "late".to_owned())].into(),
        });
        assert_eq!(trust.admit(Some(key(1))), Ok(()));
        let why = trust.admit(Some(key(2))).unwrap_err();
        assert!(
            why.starts_with(&format!("the key {} may not send", key(2).fingerprint())),
            "{why}"
        );
        assert!(why.ends_with("can add the line that mcp key shows at the sender"), "{why}");
        assert!(trust.admit(None).is_err());
        assert_eq!(trust.admit(Some(key(3))), Err("late".to_owned()));
        assert_eq!(ListenTrust::Loopback.admit(None), Ok(()));
    }
}
