//! What a job was given, as its file keeps it: the words that were typed, where, and with which variables, so that
//! whoever carries it on reads the same.

use crate::args::{self, PREFIX, Send};
use anyhow::{Context, Result, bail};
use mcp::mirror::Meant;
use mcp_cli::say::plain;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};

/// It.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Given {
    /// What stood behind `mtm send`.
    words: Vec<Text>,
    /// The folder that relative paths are meant from.
    folder: Text,
    /// Variables that options have.
    variables: BTreeMap<String, Text>,
    /// What was said since.
    #[serde(default, skip_serializing_if = "Later::is_none")]
    later: Later,
}

/// What was said of a job after it was given.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
struct Later {
    /// The source may be empty.
    #[serde(default)]
    empty: bool,
    #[serde(default)]
    max_delete: Option<u64>,
}

impl Later {
    fn is_none(&self) -> bool {
        *self == Self::default()
    }
}

/// Text where it is one, else bytes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
enum Text {
    Text(String),
    Bytes(Vec<u8>),
}

impl Text {
    fn of(text: &OsStr) -> Self {
        match text.to_str() {
            Some(text) => Self::Text(text.to_owned()),
            None => Self::Bytes(text.as_bytes().to_vec()),
        }
    }

    fn get(&self) -> OsString {
        match self {
            Self::Text(text) => text.into(),
            Self::Bytes(bytes) => OsString::from_vec(bytes.clone()),
        }
    }
}

impl Given {
    /// What this process was given.
    pub(crate) fn of_process(words: &[OsString]) -> Result<Self> {
        let folder = std::env::current_dir().context("cannot tell the current folder")?;
        let own = |name: &OsStr| name.to_str().is_some_and(is_own);
        let variables = std::env::vars_os().filter(|(name, _)| own(name));
        let variables = variables
            .map(|(name, value)| (name.to_string_lossy().into_owned(), Text::of(&value)))
            .collect();
        let words = words.iter().map(|word| Text::of(word)).collect();
        let (folder, later) = (Text::of(folder.as_os_str()), Later::default());
        Ok(Self { words, folder, variables, later })
    }

    pub(crate) fn to_json(&self) -> Result<String> {
        serde_json::to_string(self).context("cannot write what the job was given")
    }

    pub(crate) fn of_json(text: &str) -> Result<Self> {
        serde_json::from_str(text).context("the job's file does not say what it was given")
    }

    /// The folder that relative paths are meant from.
    pub(crate) fn folder(&self) -> PathBuf {
        self.folder.get().into()
    }

    /// The folder is there, or nothing is meant from it. This process must have the variables.
    ///
    /// # Errors
    ///
    /// It is gone, and an option names a file from it.
    pub(crate) fn check_folder(&self) -> Result<()> {
        if self.folder().is_dir() {
            return Ok(());
        }
        let words: Vec<OsString> = self.words.iter().map(Text::get).collect();
        // What is not understood is told when it is read.
        let files = args::relative_files(&words).unwrap_or_default();
        if files.is_empty() {
            return Ok(());
        }
        let folder = plain(&self.folder().display().to_string());
        bail!(
            "the folder {folder}, where the job was given, is gone, and {} is meant from it: make the folder again, with \
             the file in it, or mtm cancel ends the job",
            plain(&files.join(", "))
        )
    }

    /// Gives a process the same surroundings; the folder is / where the one that there was is gone.
    pub(crate) fn surround(&self, command: &mut std::process::Command) {
        for (name, _) in std::env::vars_os() {
            if name.to_str().is_some_and(is_own) {
                command.env_remove(name);
            }
        }
        command.envs(self.variables.iter().map(|(name, value)| (name, value.get())));
        let folder = self.folder();
        command.current_dir(if folder.is_dir() { &folder } else { Path::new("/") });
    }

    /// Whether this process has them.
    pub(crate) fn is_here(&self) -> bool {
        let words: Vec<OsString> = self.words.iter().map(Text::get).collect();
        // This process may itself be in a folder that is gone.
        Self::of_process(&words).is_ok_and(|here| Self { later: self.later, ..here } == *self)
    }

    /// What was said of it since.
    pub(crate) fn meant(&self) -> Meant {
        Meant { empty: self.later.empty, max_delete: self.later.max_delete }
    }

    /// That is said of it.
    pub(crate) fn mean(&mut self, meant: Meant) {
        self.later = Later { empty: meant.empty, max_delete: meant.max_delete };
    }

    /// The file of the groups of hosts that the job was given with, if one was said; else that of this process.
    pub(crate) fn host_groups(&self) -> Result<Option<PathBuf>> {
        let words: Vec<OsString> =
            std::iter::once("mtm send".into()).chain(self.words.iter().map(Text::get)).collect();
        let own = |name: &str| self.variables.get(name).map(|file| PathBuf::from(file.get()));
        let is_typed = mcp_cli::parse::is_typed(&words, "--host-groups");
        let of_job =
            own("MCP_HOST_GROUPS").filter(|file| !file.as_os_str().is_empty() && !is_typed);
        if of_job.is_some() {
            return Ok(of_job.map(|file| self.folder().join(file)));
        }
        let send = args::send(&words[1..]).context("what the job was given")?;
        Ok(send.options.host_groups().map(|file| self.folder().join(file)))
    }

    /// Reads the options, of a job from `source` to `hosts`; this process must have the same surroundings.
    pub(crate) fn read(&self, source: &Path, hosts: Vec<String>) -> Result<Send> {
        let words: Vec<OsString> = self.words.iter().map(Text::get).collect();
        let send = args::send(&words);
        let mut send = send.map_err(|error| {
            let text = error.to_string();
            let line = text.lines().next().unwrap_or_default().to_owned();
            anyhow::anyhow!("what the job was given is not understood any more: {line}")
        })?;
        send.options.instead(source, hosts);
        Ok(send)
    }
}

/// Whether a variable is an option's.
fn is_own(name: &str) -> bool {
    name.strip_prefix(PREFIX).is_some_and(|rest| rest.starts_with('_'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_given_is_read_again_whatever_its_bytes() {
        let words = ["--delete", "/srv/lectures", "h1"].map(OsString::from).to_vec();
        let words = [words, vec![OsString::from_vec(vec![0xff, b'x'])]].concat();
        let given = Given::of_process(&words).unwrap();
        let again = Given::of_json(&given.to_json().unwrap()).unwrap();
        assert_eq!(again, given);
        assert!(again.is_here());
        assert_eq!(again.words.last().unwrap().get(), words[3]);
        assert!(Given::of_json("{}").is_err());
    }

    #[test]
    fn hosts_are_those_of_the_ledger() {
        let words = ["--delete", "d", "h[1-2]", "--hosts", "/no/such"].map(OsString::from);
        let given = Given::of_process(&words).unwrap();
        let send = given.read(Path::new("/srv/d"), vec!["h7:x".to_owned()]).unwrap();
        assert!(send.options.deletes());
        let (copying, hosts) = mcp::mirror::Copying::new(send.options, "mtm").unwrap();
        assert_eq!((copying.source(), hosts), (Path::new("/srv/d"), vec!["h7:x".to_owned()]));
    }
}
