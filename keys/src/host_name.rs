//! A host as `known_hosts` names it.

use mcp_cli::values::PORT;
use std::fmt;
use std::str::FromStr;
use thiserror::Error;

/// What no name has: it would end the word, or mean something in ssh's file of the same name, where
/// these are patterns, lists, marks and digests.
const FORBIDDEN: &str = "[]#,*?!|@\"'\\";

/// A text that names no host.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("{0:?} names no host: NAME, or [NAME]:PORT for another port than {PORT}")]
pub struct HostNameError(String);

/// The name or address that was typed, in lower case, and the port: `node07`, or `[node07]:8738`
/// where it is not 8737, as ssh writes them. Names are compared as they were typed: what a name
/// resolves to is for an attacker to say.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct HostName(String);

impl HostName {
    /// Of a name or an address without brackets, and a port.
    pub fn new(host: &str, port: u16) -> Result<Self, HostNameError> {
        let bad = |c: char| c.is_whitespace() || c.is_control() || FORBIDDEN.contains(c);
        if host.is_empty() || port == 0 || host.contains(bad) {
            return Err(HostNameError(host.to_owned()));
        }
        // Names are equal if they are in ASCII's letters (RFC 4343); others are not folded, for
        // some fold to ASCII.
        let host = host.to_ascii_lowercase();
        Ok(Self(if port == PORT { host } else { format!("[{host}]:{port}") }))
    }
}

impl FromStr for HostName {
    type Err = HostNameError;

    fn from_str(text: &str) -> Result<Self, HostNameError> {
        let Some(inside) = text.strip_prefix('[') else { return Self::new(text, PORT) };
        inside
            .split_once("]:")
            .and_then(|(host, port)| Some((host, port.parse().ok().filter(|_| is_digits(port))?)))
            .and_then(|(host, port)| Self::new(host, port).ok())
            .ok_or_else(|| HostNameError(text.to_owned()))
    }
}

/// Without the sign that numbers may have.
fn is_digits(text: &str) -> bool {
    text.bytes().all(|byte| byte.is_ascii_digit())
}

impl fmt::Display for HostName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn name(host: &str, port: u16) -> Option<String> {
        HostName::new(host, port).ok().map(|name| name.to_string())
    }

    #[test]
    fn names_are_written_as_ssh_writes_them() {
        assert_eq!(name("Node07.Example", 8737).as_deref(), Some("node07.example"));
        assert_eq!(name("node07", 8738).as_deref(), Some("[node07]:8738"));
        assert_eq!(name("FE80::1%eth0", 8737).as_deref(), Some("fe80::1%eth0"));
        assert_eq!(name("fe80::1", 22).as_deref(), Some("[fe80::1]:22"));
        // The sign for kelvins, whose small letter is an ordinary k.
        assert_ne!(name("\u{212a}2", 8737), name("k2", 8737));
        for bad in ["", "a b", "a\tb", "#a", "a,b", "[a", "*", "!a", "|1|x", "@cert", "a\u{a0}b"] {
            assert_eq!(name(bad, 8737), None, "{bad}");
        }
        assert_eq!(name("a", 0), None);
    }

    #[test]
    fn what_is_written_is_read() {
        let read = |text: &str| text.parse::<HostName>().ok().map(|name| name.to_string());
        assert_eq!(read("NODE"), name("node", 8737));
        assert_eq!(read("[node]:8737"), name("node", 8737));
        assert_eq!(read("[::1]:8738"), name("::1", 8738));
        for bad in ["[a]", "[a]:", "[a]:0", "[a]:+1", "[a]:65536", "[]:1", "[a]:1:2", "a]:1"] {
            assert_eq!(read(bad), None, "{bad}");
        }
    }

    proptest! {
        #[test]
        fn any_name_comes_back_from_its_text(host in ".{1,20}", port: u16) {
            if let Ok(name) = HostName::new(&host, port) {
                prop_assert_eq!(name.to_string().split_whitespace().count(), 1);
                prop_assert_eq!(name.to_string().parse(), Ok(name));
            }
            let _ = host.parse::<HostName>();
        }
    }
}
