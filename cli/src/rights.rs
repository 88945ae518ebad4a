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
}

/// All there are, for messages.
const KNOWN: &str = "owner and setuid";

/// Kept for later. They are refused: one that were taken without effect would get it by an upgrade.
const RESERVED: [&str; 2] = ["delete", "device"];

impl Right {
    /// The word for it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Owner => "owner",
            Self::Setuid => "setuid",
        }
    }

    /// Whether a word is one, or kept for one.
    pub fn is_name(word: &str) -> bool {
        RESERVED.contains(&word) || Self::from_str(word).is_ok()
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
            _ if RESERVED.contains(&word) => {
                Err(format!("{word} is reserved, and cannot be allowed yet: there are {KNOWN}"))
            }
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
        for right in [Right::Owner, Right::Setuid] {
            assert_eq!(right.name().parse(), Ok(right));
            assert!(KNOWN.contains(right.name()) && Right::is_name(right.name()));
        }
        assert_eq!(rights("setuid,owner,owner"), Ok([Right::Owner, Right::Setuid].into()));
    }

    #[test]
    fn what_is_none_is_told_apart_from_what_is_none_yet() {
        for word in RESERVED {
            assert!(Right::is_name(word));
            let why = rights(&format!("owner,{word}")).unwrap_err();
            assert_eq!(
                why,
                format!(
                    "{word} is reserved, and cannot be allowed yet: there are owner and setuid"
                )
            );
        }
        for word in ["", "Owner", " owner", "root", "all"] {
            assert!(!Right::is_name(word));
            let why = rights(word).unwrap_err();
            assert!(why.ends_with("to allow: there are owner and setuid"), "{why}");
        }
    }
}
