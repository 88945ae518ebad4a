//! The workspace's manifest: no dependency that nobody uses, no member without its reason.

use super::repo::Repo;
use super::{Finding, manifest};
use std::collections::BTreeSet;

/// The workspace's manifest.
const ROOT: &str = "Cargo.toml";

/// The members' folders, each with its line in the root manifest and whether a comment stands there.
fn members(repo: &Repo) -> Vec<(String, usize, bool)> {
    manifest::entries(repo.text(ROOT).unwrap_or_default())
        .into_iter()
        .filter(|entry| entry.section == "workspace" && entry.key == "members")
        .map(|entry| (entry.text().to_owned(), entry.line, entry.commented))
        .collect()
}

/// The members' folders, with their manifests' entries.
pub(super) fn packages(repo: &Repo) -> Vec<(String, Vec<manifest::Entry>)> {
    members(repo)
        .into_iter()
        .filter_map(|(folder, _, _)| {
            let entries = manifest::entries(repo.text(&format!("{folder}/{ROOT}"))?);
            Some((folder, entries))
        })
        .collect()
}

/// Looks at the root manifest and its members'.
pub(super) fn check(repo: &Repo) -> Vec<Finding> {
    let mut found = Vec::new();
    for (folder, line, commented) in members(repo) {
        if !commented {
            let why = format!("member `{folder}` does not say why it exists: `\"{folder}\", # …`");
            found.push(Finding::new(ROOT, line, why));
        }
        if !repo.exists(&format!("{folder}/{ROOT}")) {
            found.push(Finding::new(ROOT, line, format!("member `{folder}` has no manifest")));
        }
    }
    let mut used = BTreeSet::new();
    for (folder, entries) in packages(repo) {
        let path = format!("{folder}/{ROOT}");
        for entry in &entries {
            match dependency(entry) {
                Some((name, true)) => _ = used.insert(name.to_owned()),
                Some((name, false)) => {
                    let why = format!("`{name}` does not take its version from the workspace");
                    found.push(Finding::new(&path, entry.line, why));
                }
                None => {}
            }
        }
        if !entries.iter().any(|e| e.section == "lints" && e.key == "workspace") {
            found.push(Finding::new(&path, 1, "does not inherit the workspace's lints"));
        }
    }
    for entry in manifest::entries(repo.text(ROOT).unwrap_or_default()) {
        if entry.section == "workspace.dependencies" && !used.contains(&entry.key) {
            let why = format!("no member uses `{}`", entry.key);
            found.push(Finding::new(ROOT, entry.line, why));
        }
    }
    found
}

/// The crate that an entry depends on, and whether its version is the workspace's.
fn dependency(entry: &manifest::Entry) -> Option<(&str, bool)> {
    if !entry.section.ends_with("dependencies") {
        return None;
    }
    let (name, attribute) = entry.key.split_once('.').unwrap_or((&entry.key, ""));
    let dense: String = entry.value.split_whitespace().collect();
    Some((name, attribute == "workspace" || dense.contains("workspace=true")))
}

#[cfg(test)]
mod tests {
    use super::*;

    const LINTS: &str = "[lints]\nworkspace = true\n";

    fn found(root: &str, member: &str) -> Vec<String> {
        let repo = Repo::of(&[("Cargo.toml", root), ("a/Cargo.toml", member)]);
        check(&repo).into_iter().map(|f| f.to_string()).collect()
    }

    #[test]
    fn a_workspace_in_order_is_fine() {
        let root = "[workspace]\nmembers = [\n    \"a\", # the one\n]\n\
                    [workspace.dependencies]\nx = \"1\"\ny = { version = \"2\" }\n";
        let member = format!(
            "[dependencies]\nx.workspace = true\n\
             [dev-dependencies]\ny = {{ workspace = true, features = [\"z\"] }}\n{LINTS}"
        );
        assert_eq!(found(root, &member), [""; 0]);
    }

    #[test]
    fn what_is_missing_is_named() {
        let root = "[workspace]\nmembers = [\n    \"a\",\n    \"b\", # gone\n]\n\
                    [workspace.dependencies]\nx = \"1\"\n";
        assert_eq!(
            found(root, "[dependencies]\nz = \"3\"\n"),
            [
                "Cargo.toml:3: member `a` does not say why it exists: `\"a\", # …`",
                "Cargo.toml:4: member `b` has no manifest",
                "a/Cargo.toml:2: `z` does not take its version from the workspace",
                "a/Cargo.toml:1: does not inherit the workspace's lints",
                "Cargo.toml:7: no member uses `x`",
            ]
        );
    }
}
