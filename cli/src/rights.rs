//! What a daemon lets a sender ask for beside bytes: `--allow` and `allow=` in `authorized_keys`.

use std::collections::BTreeSet;
use std::fmt;
use std::str::FromStr;

/// One of them. Without it what is asked for is left out or refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Right {
    /// To say which user and group files belong to.
    Owner,
    /// To set the bits setuid and setgid.
    Setuid,
    /// To delete what the source does not have.
    Delete,
    /// To make devices, pipes and sockets.
    Device,
}

/// All there are, for messages.
const KNOWN: &str = "owner, setuid, delete and device";

impl Right {
    /// The word for it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Owner => "owner",
            Self::Setuid => "setuid",
            Self::Delete => "delete",
            Self::Device => "device",
        }
    }

    /// Whether a word is one.
    pub fn is_name(word: &str) -> bool {
        Self::from_str(word).is_ok()
    }
}

impl fmt::Display for Right {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Right {
    type Err = String;

    fn from_str(word: &str) -> Result<Self, String> {
        match word {
            "owner" => Ok(Self::Owner),
            "setuid" => Ok(Self::Setuid),
            "delete" => Ok(Self::Delete),
            "device" => Ok(Self::Device),
            _ => Err(format!("there is nothing called {word:?} to allow: there are {KNOWN}")),
        }
    }
}

/// Reads several, with commas between them.
pub fn rights(text: &str) -> Result<BTreeSet<Right>, String> {
    text.split(',').map(str::parse).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rights_are_read_by_their_names() {
        for right in [Right::Owner, Right::Setuid, Right::Delete, Right::Device] {
            assert_eq!(right.name().parse(), Ok(right));
            assert!(KNOWN.contains(right.name()) && Right::is_name(right.name()));
        }
        assert_eq!(rights("setuid,owner,owner"), Ok([Right::Owner, Right::Setuid].into()));
        assert_eq!(rights("delete"), Ok([Right::Delete].into()));
    }

    #[test]
    fn what_is_none_is_refused_with_what_there_is() {
        for word in ["", "Owner", " owner", "root", "all"] {
            assert!(!Right::is_name(word));
            let why = rights(word).unwrap_err();
            assert!(why.ends_with("to allow: there are owner, setuid, delete and device"), "{why}");
        }
    }
}
