//! The lines of a list of keys that say something, neither blank nor comments, and what is wrong with one.

use crate::authorized_keys::OptionFault;
use crate::host_name::HostNameError;
use crate::quote::quoted;
use std::fmt;
use std::path::{Path, PathBuf};
use tcpxm::trust::PublicKeyError;
use thiserror::Error;

/// A line of a list that is wrong: nothing of the list holds.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("{}:{line}: {fault}: {list} until that line is right", quoted(path))]
pub struct LineFault {
    /// The file.
    pub path: PathBuf,
    /// Counted from 1.
    pub line: usize,
    /// What is wrong with it.
    pub fault: Fault,
    /// What does not hold for it.
    list: List,
}

/// What is wrong with a line.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum Fault {
    /// Bytes that are no text.
    #[error("it is not UTF-8")]
    Encoding,
    /// Text that would steer a terminal.
    #[error("{0:?} is a control character")]
    Control(char),
    /// The options cannot be read, or one is unknown.
    #[error(transparent)]
    Option(#[from] OptionFault),
    /// The first word is no host.
    #[error(transparent)]
    Host(#[from] HostNameError),
    /// The key is none.
    #[error(transparent)]
    Key(#[from] PublicKeyError),
    /// The key stands in an earlier line.
    #[error("the same key stands in line {0}: keep one of the two")]
    Twice(usize),
    /// The host has another key in an earlier line.
    #[error("line {0} says another key of the same host: remove the one that is not right")]
    Contradiction(usize),
}

/// What a list is of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum List {
    Authorized,
    Known,
}

/// What a fault in it means.
impl fmt::Display for List {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Authorized => "no key of this file is taken",
            Self::Known => "no host of this file is known",
        })
    }
}

impl List {
    /// Gives each line that says something to `take`, with its number, until one is wrong.
    pub(crate) fn read(
        self,
        path: &Path,
        bytes: &[u8],
        mut take: impl FnMut(&str, usize) -> Result<(), Fault>,
    ) -> Result<(), LineFault> {
        for (line, text) in numbered(bytes) {
            text.and_then(|text| take(text, line)).map_err(|fault| {
                let path = path.to_owned();
                LineFault { path, line, fault, list: self }
            })?;
        }
        Ok(())
    }
}

/// Every such line with its number, counted from 1, without blanks around it. A line ends with LF
/// or CR LF; what begins with `#` is a comment and may be anything.
fn numbered(bytes: &[u8]) -> impl Iterator<Item = (usize, Result<&str, Fault>)> + '_ {
    let lines = bytes.split(|byte| *byte == b'\n').zip(1..);
    lines.map(|(line, number)| (number, line.trim_ascii())).filter_map(|(number, line)| {
        if line.is_empty() || line[0] == b'#' {
            return None;
        }
        Some((number, checked(line)))
    })
}

/// The line as text that can be shown.
fn checked(line: &[u8]) -> Result<&str, Fault> {
    let text = str::from_utf8(line).map_err(|_| Fault::Encoding)?;
    match text.chars().find(|c| c.is_control() && *c != '\t') {
        Some(control) => Err(Fault::Control(control)),
        None => Ok(text),
    }
}

#[cfg(test)]
mod tests;
