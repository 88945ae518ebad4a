//! Every path that a document names exists.

use super::repo::Repo;
use super::{Finding, markdown};

/// Endings that make a word a path even without a `/`.
const FILES: [&str; 6] = [".rs", ".md", ".toml", ".lock", ".sh", ".yml"];

/// Looks at every document.
pub(super) fn check(repo: &Repo) -> Vec<Finding> {
    let mut found = Vec::new();
    for (path, text) in repo.documents() {
        let folder = path.rsplit_once('/').map_or("", |(folder, _)| folder);
        for (line, text) in markdown::lines(text).0 {
            let spans = markdown::code_spans(text).filter(|span| is_path(repo, span));
            let links = markdown::links(text).filter_map(relative);
            for named in spans.flat_map(alternatives).chain(links.map(str::to_owned)) {
                if !stands(repo, folder, &named) {
                    found.push(Finding::new(path, line, format!("`{named}` does not exist")));
                }
            }
        }
    }
    found
}

/// Whether a code span names a path of this workspace.
fn is_path(repo: &Repo, span: &str) -> bool {
    let outside = span.starts_with('/') || span.starts_with('~') || span.contains("://");
    let plain = span.chars().all(|c| c.is_ascii_alphanumeric() || "_./-{},".contains(c));
    if outside || !plain || span.starts_with("target/") {
        return false;
    }
    let is_file = FILES.iter().any(|end| span.len() > end.len() && span.ends_with(end));
    match span.split_once('/') {
        Some((first, rest)) => {
            let ours = !first.contains('.') || first.starts_with('.');
            is_file || (ours && rest.is_empty()) || repo.exists(first)
        }
        None => is_file,
    }
}

/// The target of a link if it leads to a file here.
fn relative(target: &str) -> Option<&str> {
    let path = target.split('#').next().unwrap_or_default();
    (!path.is_empty() && !path.contains("://") && !path.starts_with("mailto:")).then_some(path)
}

/// `a/{b,c}.rs` written out.
fn alternatives(span: &str) -> Vec<String> {
    let Some((before, (inside, after))) =
        span.split_once('{').and_then(|(a, rest)| Some((a, rest.split_once('}')?)))
    else {
        return vec![span.to_owned()];
    };
    inside.split(',').flat_map(|one| alternatives(&format!("{before}{one}{after}"))).collect()
}

/// Whether a path exists, seen from the root or from the document's folder.
fn stands(repo: &Repo, folder: &str, named: &str) -> bool {
    let from_folder = normal(&format!("{folder}/{named}"));
    let from_root = normal(named);
    [from_root, from_folder].into_iter().flatten().any(|p| p.is_empty() || repo.exists(&p))
}

/// Without `.`, `..` and empty components; `None` if it leads out of the workspace.
fn normal(path: &str) -> Option<String> {
    let mut parts: Vec<&str> = Vec::new();
    for part in path.split('/') {
        match part {
            "" | "." => {}
            ".." => _ = parts.pop()?,
            part => parts.push(part),
        }
    }
    Some(parts.join("/"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(document: &str, text: &str) -> Vec<String> {
        let files = [("stack/src/lib.rs", ""), ("stack/src/net/mod.rs", ""), ("Cargo.toml", "")];
        let repo = Repo::of(&[files.as_slice(), &[(document, text)]].concat());
        check(&repo).into_iter().map(|f| f.what).collect()
    }

    #[test]
    fn what_exists_is_fine() {
        let text = "`stack/src/lib.rs`, `stack/`, `stack/src/net`, `Cargo.toml`, `docs/a.md`,\n\
                    [x](../stack/src/lib.rs#top) [y](a.md) [z](https://example.org/q.md) [r](..)\n\
                    `stack/src/{lib,net/mod}.rs`";
        assert_eq!(found("docs/a.md", text), [""; 0]);
    }

    #[test]
    fn what_does_not_is_found() {
        for (text, what) in [
            ("`stack/src/gone.rs`", "stack/src/gone.rs"),
            ("`gone/`", "gone/"),
            ("`stack/gone`", "stack/gone"),
            ("`Gone.toml`", "Gone.toml"),
            ("[x](gone.md)", "gone.md"),
            ("[x](../../a.md)", "../../a.md"),
            ("`stack/src/{lib,gone}.rs`", "stack/src/gone.rs"),
        ] {
            assert_eq!(found("docs/a.md", text), [format!("`{what}` does not exist")], "{text}");
        }
    }

    #[test]
    fn other_words_with_slashes_are_no_paths() {
        let text = "`Mbit/s` `239.255/16` `232.0.0.0/8` `/etc/x.toml` `~/a/` `std::io` `a b/c.rs`\n\
                    `target/release/mcp` `https://example.org/a.md` `--bin` `127.0.0.1/`\n\
                    ```\n`stack/gone.rs`\n```";
        assert_eq!(found("a.md", text), [""; 0]);
    }
}
