//! The workspace in memory: the text of what is checked, and the names of everything.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io;
use std::path::Path;

/// Folders that hold nothing of the project's own, at any depth.
const SKIPPED: [&str; 2] = ["target", ".git"];
/// Extensions of the files whose text is looked at.
const READ: [&str; 5] = ["rs", "md", "toml", "txt", "service"];

/// Every file and folder by its path relative to the root, with `/` between components.
#[derive(Debug, Default)]
pub(super) struct Repo {
    texts: BTreeMap<String, String>,
    paths: BTreeSet<String>,
}

impl Repo {
    /// Reads the tree at `root`.
    pub(super) fn load(root: &Path) -> io::Result<Self> {
        let mut repo = Self::default();
        repo.walk(root, "")?;
        Ok(repo)
    }

    fn walk(&mut self, dir: &Path, prefix: &str) -> io::Result<()> {
        for entry in fs::read_dir(dir)? {
            let entry = entry?;
            let name = entry.file_name().to_string_lossy().into_owned();
            if SKIPPED.contains(&name.as_str()) {
                continue;
            }
            let path = format!("{prefix}{name}");
            if entry.file_type()?.is_dir() {
                self.walk(&entry.path(), &format!("{path}/"))?;
            } else if Path::new(&name)
                .extension()
                .is_some_and(|ext| READ.iter().any(|read| ext == *read))
            {
                self.texts.insert(path.clone(), fs::read_to_string(entry.path())?);
            }
            self.paths.insert(path);
        }
        Ok(())
    }

    /// Whether a file or folder stands there.
    pub(super) fn exists(&self, path: &str) -> bool {
        self.paths.contains(path)
    }

    /// Every path below a folder (given with its `/`), without that prefix.
    pub(super) fn below<'a>(&'a self, folder: &'a str) -> impl Iterator<Item = &'a str> {
        self.paths.iter().filter_map(move |path| path.strip_prefix(folder))
    }

    /// The text of one file.
    pub(super) fn text(&self, path: &str) -> Option<&str> {
        self.texts.get(path).map(String::as_str)
    }

    /// Every Rust source with its path.
    pub(super) fn rust(&self) -> impl Iterator<Item = (&str, &str)> {
        self.with_extension(".rs")
    }

    /// Every document with its path.
    pub(super) fn documents(&self) -> impl Iterator<Item = (&str, &str)> {
        self.with_extension(".md")
    }

    /// Every systemd unit with its path.
    pub(super) fn units(&self) -> impl Iterator<Item = (&str, &str)> {
        self.with_extension(".service")
    }

    fn with_extension(&self, end: &'static str) -> impl Iterator<Item = (&str, &str)> {
        self.texts
            .iter()
            .filter(move |(path, _)| path.ends_with(end))
            .map(|(path, text)| (path.as_str(), text.as_str()))
    }
}

#[cfg(test)]
impl Repo {
    /// A workspace of these files, and the folders above them.
    pub(super) fn of(files: &[(&str, &str)]) -> Self {
        let mut repo = Self::default();
        for (path, text) in files {
            repo.texts.insert((*path).to_owned(), (*text).to_owned());
            repo.paths.insert((*path).to_owned());
            for (end, _) in path.match_indices('/') {
                repo.paths.insert(path[..end].to_owned());
            }
        }
        repo
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn loads_texts_and_names_and_skips_what_is_built() {
        let dir = tempfile::tempdir().unwrap();
        for (path, text) in
            [("a/b.rs", "fn b() {}"), ("c.bin", "\0"), ("target/x.rs", "x"), ("a/target/y.rs", "y")]
        {
            let full = dir.path().join(path);
            fs::create_dir_all(full.parent().unwrap()).unwrap();
            fs::write(full, text).unwrap();
        }
        let repo = Repo::load(dir.path()).unwrap();
        assert_eq!(repo.rust().collect::<Vec<_>>(), [("a/b.rs", "fn b() {}")]);
        assert!(repo.exists("a") && repo.exists("a/b.rs") && repo.exists("c.bin"));
        assert!(!repo.exists("target") && !repo.exists("a/target/y.rs"));
        assert_eq!(repo.text("c.bin"), None);
        assert_eq!(repo.below("a/").collect::<Vec<_>>(), ["b.rs"]);
    }
}
