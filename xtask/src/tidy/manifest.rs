//! As much of TOML as this workspace's manifests use: sections, keys, arrays of one item a line.

/// One `key = value`, or one item of an array that has its items on lines of their own.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Entry {
    pub(super) line: usize,
    /// Without its brackets: `workspace.dependencies`, `bin`.
    pub(super) section: String,
    pub(super) key: String,
    /// Without its comment; of an item, without its comma.
    pub(super) value: String,
    /// Whether a comment stands behind it.
    pub(super) commented: bool,
}

impl Entry {
    /// The value without the quotes of a string.
    pub(super) fn text(&self) -> &str {
        self.value.trim_matches('"')
    }
}

/// Everything in a manifest, in order.
pub(super) fn entries(text: &str) -> Vec<Entry> {
    let mut found = Vec::new();
    let mut section = String::new();
    let mut array: Option<String> = None;
    for (index, line) in text.lines().enumerate() {
        let (body, commented) = without_comment(line);
        let mut push = |key: &str, value: &str| {
            found.push(Entry {
                line: index + 1,
                section: section.clone(),
                key: key.to_owned(),
                value: value.to_owned(),
                commented,
            });
        };
        if let Some(key) = &array {
            if body.starts_with(']') {
                array = None;
            } else if !body.is_empty() {
                push(key, body.trim_end_matches(','));
            }
        } else if body.starts_with('[') {
            body.trim_matches(['[', ']']).clone_into(&mut section);
        } else if let Some((key, value)) = body.split_once('=') {
            match value.trim() {
                "[" => array = Some(key.trim().to_owned()),
                value => push(key.trim(), value),
            }
        }
    }
    found
}

/// The line up to a `#` that is not in a string, and whether there was one.
fn without_comment(line: &str) -> (&str, bool) {
    let mut quoted = false;
    for (at, c) in line.char_indices() {
        match c {
            '"' => quoted = !quoted,
            '#' if !quoted => return (line[..at].trim(), true),
            _ => {}
        }
    }
    (line.trim(), false)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_sections_keys_items_and_comments() {
        let text = "[workspace]\nmembers = [\n    \"a\", # the first\n    \"b\",\n]\n\n\
                    [[bin]]\nname = \"c#d\" # not the comment\n";
        let got: Vec<_> = entries(text)
            .into_iter()
            .map(|e| (e.line, e.section.clone(), e.key.clone(), e.text().to_owned(), e.commented))
            .collect();
        let want = [
            (3, "workspace", "members", "a", true),
            (4, "workspace", "members", "b", false),
            (8, "bin", "name", "c#d", true),
        ];
        assert_eq!(got, want.map(|(l, s, k, t, c)| (l, s.into(), k.into(), t.into(), c)));
    }
}
