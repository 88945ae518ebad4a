//! A command that receivers run once they have a tree (seed MTM, "Command execution request"): the password that comes
//! with its name, and how it has ended.

use core::fmt;
use core::str::FromStr;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use thiserror::Error;
use zeroize::Zeroizing;

/// Bytes of a command's name, at most: it is a table's name in a file, and stands in each line of a log.
pub const MAX_NAME: usize = 64;

/// Bytes of a password, at most: a line that somebody types, or a program makes.
pub const MAX_CREDENTIAL: usize = 1024;

/// Bytes of a command's output that are told, at most: its last words say why it has failed.
pub const MAX_TAIL: usize = 4096;

/// Whether a command may be called that: letters, digits, `.`, `_` and `-`, at most [`MAX_NAME`] of them.
pub fn is_name(name: &str) -> bool {
    let fits = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
    (1..=MAX_NAME).contains(&name.len()) && name.chars().all(fits)
}

/// A password. It is overwritten when it is dropped, and never shown.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Credential(Zeroizing<String>);

impl Credential {
    /// This one.
    pub fn new(text: String) -> Self {
        Self(Zeroizing::new(text))
    }

    /// As it is typed.
    pub fn as_bytes(&self) -> &[u8] {
        self.0.as_bytes()
    }
}

impl fmt::Debug for Credential {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Credential")
    }
}

impl Serialize for Credential {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for Credential {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        String::deserialize(from).map(Self::new)
    }
}

/// The first line of what stands in a file, or was typed, as a password.
///
/// # Errors
///
/// It is empty, too long, or no text: what is wrong, without the password.
pub fn first_line(bytes: &[u8]) -> Result<Credential, &'static str> {
    let line = bytes.split(|byte| *byte == b'\n').next().unwrap_or_default();
    let line = line.strip_suffix(b"\r").unwrap_or(line);
    match core::str::from_utf8(line) {
        Ok("") => Err("its first line is empty, and is to be the password"),
        Ok(text) if text.len() > MAX_CREDENTIAL => Err("a password has at most 1024 bytes"),
        Ok(text) => Ok(Credential::new(text.to_owned())),
        Err(_) => Err("the password is no text in UTF-8"),
    }
}

/// How a command has ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum ExitStatusWord {
    /// By itself, with this code.
    Exited(u8),
    /// By this signal (signal(7)).
    Signalled(u8),
    /// It took longer than its host lets it.
    TimedOut,
    /// It wrote more than its host lets it.
    Flooded,
    /// It could not be started, and why.
    NotStarted(String),
    /// Its host, or the daemon there, ended before it did: whether it has done its work is not known.
    Unknown,
}

impl ExitStatusWord {
    /// Whether it has done what it was to do.
    pub fn is_success(&self) -> bool {
        *self == Self::Exited(0)
    }
}

/// As files have it, and people read it.
impl fmt::Display for ExitStatusWord {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Exited(code) => write!(f, "exited {code}"),
            Self::Signalled(signal) => write!(f, "signalled {signal}"),
            Self::TimedOut => f.write_str("timed out"),
            Self::Flooded => f.write_str("flooded"),
            Self::NotStarted(why) => write!(f, "not started: {why}"),
            Self::Unknown => f.write_str("unknown"),
        }
    }
}

/// Text that names no way to end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("this is not how a command ends")]
pub struct StatusError;

impl FromStr for ExitStatusWord {
    type Err = StatusError;

    fn from_str(text: &str) -> Result<Self, StatusError> {
        let number = |text: &str| text.parse().map_err(|_| StatusError);
        if let Some(code) = text.strip_prefix("exited ") {
            return number(code).map(Self::Exited);
        }
        if let Some(signal) = text.strip_prefix("signalled ") {
            return number(signal).map(Self::Signalled);
        }
        if let Some(why) = text.strip_prefix("not started: ") {
            return Ok(Self::NotStarted(why.to_owned()));
        }
        match text {
            "timed out" => Ok(Self::TimedOut),
            "flooded" => Ok(Self::Flooded),
            "unknown" => Ok(Self::Unknown),
            _ => Err(StatusError),
        }
    }
}

/// What a master knows of a command at a receiver, once it knows it for good.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// It was run, and has ended so.
    Ran(ExitStatusWord),
    /// The receiver has no such command, or the password is another one (DNPWD).
    Dnpwd,
}

impl Outcome {
    /// Whether the command has done what it was to do.
    pub fn is_success(&self) -> bool {
        matches!(self, Self::Ran(status) if status.is_success())
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ran(status) => status.fmt(f),
            Self::Dnpwd => f.write_str("dnpwd"),
        }
    }
}

impl FromStr for Outcome {
    type Err = StatusError;

    fn from_str(text: &str) -> Result<Self, StatusError> {
        if text == "dnpwd" { Ok(Self::Dnpwd) } else { text.parse().map(Self::Ran) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn status() -> impl Strategy<Value = ExitStatusWord> {
        prop_oneof![
            any::<u8>().prop_map(ExitStatusWord::Exited),
            any::<u8>().prop_map(ExitStatusWord::Signalled),
            Just(ExitStatusWord::TimedOut),
            Just(ExitStatusWord::Flooded),
            any::<String>().prop_map(ExitStatusWord::NotStarted),
            Just(ExitStatusWord::Unknown),
        ]
    }

    proptest! {
        #[test]
        fn what_a_file_has_of_an_end_is_read_again(status in status()) {
            let outcome = Outcome::Ran(status.clone());
            prop_assert_eq!(outcome.to_string().parse(), Ok(outcome.clone()));
            prop_assert_eq!(status.to_string().parse(), Ok(status.clone()));
            prop_assert_eq!(outcome.is_success(), status == ExitStatusWord::Exited(0));
        }

        #[test]
        fn any_text_is_an_end_or_none(text in any::<String>()) {
            if let Ok(outcome) = text.parse::<Outcome>() {
                prop_assert_eq!(outcome.to_string().parse(), Ok(outcome));
            }
        }
    }

    #[test]
    fn a_refusal_is_no_success() {
        assert_eq!("dnpwd".parse(), Ok(Outcome::Dnpwd));
        assert!(!Outcome::Dnpwd.is_success());
        for bad in ["", "exited", "exited 256", "exited -1", "signalled x", "dnpwd "] {
            assert_eq!(bad.parse::<Outcome>(), Err(StatusError), "{bad}");
        }
    }

    #[test]
    fn a_password_is_never_shown() {
        let credential = Credential::new("hunter2".to_owned());
        assert_eq!(format!("{credential:?}"), "Credential");
        assert_eq!(credential.as_bytes(), b"hunter2");
    }

    #[test]
    fn a_password_is_the_first_line() {
        let of = |text: &str| first_line(text.as_bytes()).map(|c| c.as_bytes().to_vec());
        for text in ["a b", "a b\n", "a b\r\n", "a b\nc\n"] {
            assert_eq!(of(text), Ok(b"a b".to_vec()), "{text}");
        }
        let long = "x".repeat(MAX_CREDENTIAL);
        assert!(of(&long).is_ok() && of(&format!("{long}x")).is_err());
        assert!(of("").is_err() && of("\nx").is_err() && first_line(&[0xff]).is_err());
    }

    #[test]
    fn names_are_plain() {
        assert!(is_name("reload-web_2.x") && is_name(&"a".repeat(MAX_NAME)));
        for bad in ["", "a b", "a/b", "ä", "a\n", &"a".repeat(MAX_NAME + 1)] {
            assert!(!is_name(bad), "{bad}");
        }
    }
}
