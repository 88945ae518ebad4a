//! Where jobs are: a folder each in `jobs`, in the folder of state, with the job's file in it.

use crate::args::{self, Here, usage};
use anyhow::{Context, Result, bail};
use mcp_keys::Drawn;
use mcp_keys::places::{self, Environment};
use mtm::installation::Installation;
use std::fs::DirBuilder;
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// The file, in the job's folder.
const FILE: &str = "job";
/// Longest name of a job, in bytes: receivers are told it.
const MAX_NAME: usize = 64;

/// The folder of all jobs.
#[derive(Debug, Clone)]
pub(crate) struct Jobs {
    folder: PathBuf,
}

impl Jobs {
    pub(crate) fn of(here: &Here) -> Result<Self> {
        match &here.state_dir {
            Some(state) => Self::in_state(Some(state)),
            None => Self::in_state(args::state_dir_of_file()?.as_deref()),
        }
    }

    /// In that folder of state, or the usual one.
    pub(crate) fn in_state(state: Option<&Path>) -> Result<Self> {
        let state = Environment::of_process().state_dir(state)?;
        let state = std::path::absolute(&state).context("the folder of state")?;
        Ok(Self { folder: places::jobs(&state) })
    }

    /// The folder of state.
    pub(crate) fn state(&self) -> &Path {
        self.folder.parent().unwrap_or(&self.folder)
    }

    /// Which installation this is to the receivers of its jobs; its key is made when it is first needed.
    pub(crate) fn installation(&self) -> Result<Arc<Installation>> {
        let drawn = Drawn::read_or_create(&places::instance(self.state()));
        let drawn = drawn.context("this installation's key")?;
        Ok(Arc::new(Installation::new(drawn.as_bytes())))
    }

    /// The file of a job, whether it is there or not.
    pub(crate) fn file(&self, name: &str) -> PathBuf {
        self.folder.join(name).join(FILE)
    }

    /// The file of a job that there is.
    pub(crate) fn find(&self, name: &str) -> Result<PathBuf> {
        check(name)?;
        let file = self.file(name);
        if !file.exists() {
            bail!(
                "there is no job {name} in {}: mtm status shows those that there are",
                self.folder.display()
            );
        }
        Ok(file)
    }

    /// Makes the folder of a new job.
    pub(crate) fn make(&self, name: &str) -> Result<PathBuf> {
        let folder = self.folder.join(name);
        let made = DirBuilder::new().recursive(true).mode(0o700).create(&folder);
        made.with_context(|| format!("cannot make the job's folder {}", folder.display()))?;
        Ok(self.file(name))
    }

    /// Names of all jobs.
    pub(crate) fn names(&self) -> Result<Vec<String>> {
        let list = match std::fs::read_dir(&self.folder) {
            Ok(list) => list,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => {
                return Err(error)
                    .with_context(|| format!("cannot list {}", self.folder.display()));
            }
        };
        let mut names = Vec::new();
        for entry in list {
            let name = entry?.file_name();
            if let Some(name) =
                name.to_str().filter(|name| check(name).is_ok() && self.file(name).exists())
            {
                names.push(name.to_owned());
            }
        }
        names.sort();
        Ok(names)
    }

    /// Removes all that is known of a job.
    pub(crate) fn remove(&self, name: &str) -> Result<()> {
        let folder = self.folder.join(name);
        std::fs::remove_dir_all(&folder)
            .with_context(|| format!("cannot remove {}", folder.display()))
    }

    /// A name that no job has, made of that of its source.
    pub(crate) fn free(&self, source: &Path) -> String {
        let base = source.file_name().map(|name| name.to_string_lossy().into_owned());
        let base: String = base.unwrap_or_default().chars().filter(|c| is_plain(*c)).collect();
        let base = base.trim_start_matches(['.', '-']);
        let base = &base[..base.len().min(MAX_NAME - 8)];
        let base = if base.is_empty() { "job" } else { base };
        let numbered = (2_u32..).map(|number| format!("{base}-{number}"));
        let mut names = std::iter::once(base.to_owned()).chain(numbered);
        names.find(|name| !self.file(name).exists()).unwrap_or_else(|| base.to_owned())
    }
}

/// The folders that a job with this file never sends: its own, that of all jobs, and that of state, which has them.
pub(crate) fn apart(file: &Path) -> Vec<&Path> {
    file.ancestors().skip(1).take(3).collect()
}

fn is_plain(c: char) -> bool {
    c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-')
}

/// Whether a job can be called so: it is a folder's name, and stands in command lines.
pub(crate) fn check(name: &str) -> Result<()> {
    let is_good = name.chars().all(is_plain)
        && name.starts_with(|c: char| c.is_ascii_alphanumeric() || c == '_')
        && name.len() <= MAX_NAME;
    if is_good {
        return Ok(());
    }
    Err(usage(&format!(
        "{name:?} cannot be a job's name: it has letters, digits, '.', '_' and '-', {MAX_NAME} at most, and begins with \
         neither '.' nor '-'"
    )))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_job_without_a_name_has_that_of_its_folder() {
        let dir = tempfile::tempdir().unwrap();
        let jobs = Jobs::in_state(Some(dir.path())).unwrap();
        assert_eq!(jobs.names().unwrap(), Vec::<String>::new());
        assert_eq!(jobs.free(Path::new("/srv/lectures/")), "lectures");
        assert_eq!(jobs.free(Path::new("/srv/.täg lich")), "tglich");
        assert_eq!(jobs.free(Path::new("/")), "job");
        std::fs::write(jobs.make("lectures").unwrap(), "").unwrap();
        assert_eq!(jobs.free(Path::new("/srv/lectures")), "lectures-2");
        assert_eq!(jobs.names().unwrap(), ["lectures"]);
        jobs.remove("lectures").unwrap();
        assert_eq!(jobs.free(Path::new("/srv/lectures")), "lectures");
    }

    #[test]
    fn names_lead_out_of_no_folder() {
        for good in ["a", "_x", "2026-11_lectures.v2"] {
            assert!(check(good).is_ok(), "{good}");
        }
        for bad in ["", ".", "..", ".x", "-x", "a/b", "a b", "ä", &"x".repeat(65)] {
            let why = check(bad).unwrap_err().to_string();
            assert!(why.contains("begins with neither '.' nor '-'"), "{bad}: {why}");
        }
    }
}
