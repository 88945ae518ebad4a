//! From whom an end trusts to what it seals with.

use super::{Credentials, FrameKey};
use crate::trust::{ListenTrust, NoiseKey, Secret, SenderSecrets, SenderTrust};
use std::net::SocketAddr;
use std::sync::Arc;

impl SenderTrust {
    /// What the handshake shows a receiver of this end, which made a key at its start.
    pub(crate) fn credentials(&self, made: &NoiseKey, receiver: SocketAddr) -> Credentials {
        match self {
            Self::Loopback => Credentials::Fresh(made.clone()),
            Self::Secret(secret) => Credentials::Secret(Arc::clone(secret), made.clone()),
            Self::Secrets(secrets) => {
                Credentials::Secret(Arc::clone(secrets.towards(receiver)), made.clone())
            }
            Self::Keys(keys) => Credentials::Identity(Arc::clone(&keys.identity)),
            Self::Plaintext => Credentials::Null,
        }
    }

    /// What authenticates datagrams to and from a receiver outside of an association.
    pub(crate) fn frame(&self, receiver: SocketAddr) -> FrameKey {
        frame_of(match self {
            Self::Secret(secret) => Some(secret),
            Self::Secrets(secrets) => Some(secrets.towards(receiver)),
            _ => None,
        })
    }

    /// Whether a good MAC on such a datagram proves that it is a friend's.
    pub(crate) fn frames_prove(&self) -> bool {
        matches!(self, Self::Secret(_) | Self::Secrets(_))
    }
}

impl SenderSecrets {
    fn towards(&self, receiver: SocketAddr) -> &Arc<Secret> {
        self.of.get(&receiver).unwrap_or(&self.others)
    }
}

/// With a secret that of its holders, else everybody's.
fn frame_of(secret: Option<&Secret>) -> FrameKey {
    secret.map_or_else(FrameKey::open, |secret| FrameKey::new(*secret.frame_key()))
}

/// One way in: what a SYN must be signed with, and what it is answered by.
#[derive(Debug, Clone)]
pub(crate) struct Door {
    pub(crate) frame: FrameKey,
    pub(crate) credentials: Credentials,
}

impl Door {
    /// Whether what was answered by the one can go on by the other.
    pub(crate) fn is_same(&self, other: &Self) -> bool {
        use Credentials::Identity;
        let same = match (&self.credentials, &other.credentials) {
            (Identity(own), Identity(other)) => own.public() == other.public(),
            (own, other) => own.suite() == other.suite(),
        };
        same && self.frame == other.frame
    }
}

impl ListenTrust {
    /// The ways in to an end that made a key at its start.
    pub(crate) fn doors(&self, made: &NoiseKey) -> Vec<Door> {
        let open = |credentials| vec![Door { frame: FrameKey::open(), credentials }];
        match self {
            Self::Loopback => open(Credentials::Fresh(made.clone())),
            Self::Keys(keys) => open(Credentials::Identity(Arc::clone(&keys.identity))),
            Self::Plaintext => open(Credentials::Null),
            Self::Secret(secrets) => secrets
                .iter()
                .map(|secret| Door {
                    frame: frame_of(Some(secret)),
                    credentials: Credentials::Secret(Arc::clone(secret), made.clone()),
                })
                .collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_secret_is_a_door_of_its_own() {
        let secret = |c: &str| Arc::new(Secret::from_line(c.repeat(32).as_bytes()).unwrap());
        let doors = ListenTrust::Secret(vec![secret("a"), secret("b")])
            .doors(&NoiseKey::from_private(&[5; 32]));
        let mut syn = [0; 40];
        doors[0].frame.sign_syn(&mut syn);
        assert!(doors[0].frame.is_syn(&syn) && !doors[1].frame.is_syn(&syn));
        assert!(doors[0].is_same(&doors[0].clone()) && !doors[0].is_same(&doors[1]));
    }
}
