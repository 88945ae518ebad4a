//! How a benchmark's sessions are sealed.

use std::collections::BTreeMap;
use std::sync::Arc;
use tcpxm::trust::{Identity, ListenKeys, ListenTrust, Secret, SenderKeys, SenderTrust};

/// How a session is sealed.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Trust {
    Secret,
    Keys,
    Plaintext,
}

impl Trust {
    pub(crate) fn send(self) -> SenderTrust {
        match self {
            Self::Secret => SenderTrust::Secret(secret()),
            Self::Plaintext => SenderTrust::Plaintext,
            Self::Keys => SenderTrust::Keys(SenderKeys {
                identity: identity(1),
                known: BTreeMap::new(),
                strict: false,
            }),
        }
    }

    pub(crate) fn listen(self) -> ListenTrust {
        match self {
            Self::Secret => ListenTrust::Secret(vec![secret()]),
            Self::Plaintext => ListenTrust::Plaintext,
            Self::Keys => ListenTrust::Keys(ListenKeys {
                identity: identity(2),
                authorized: [identity(1).public()].into(),
                refused: BTreeMap::new(),
            }),
        }
    }
}

fn identity(byte: u8) -> Arc<Identity> {
    Arc::new(Identity::generate([byte; 64]))
}

fn secret() -> Arc<Secret> {
    Arc::new(Secret::from_line(b"shared by the ends of this benchmark").expect("long enough"))
}
