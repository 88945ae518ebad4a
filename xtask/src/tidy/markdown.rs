//! As much of Markdown as the checks need: prose, code spans, links and fenced blocks.

/// One line of a fenced block.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Fenced<'a> {
    pub(super) line: usize,
    /// The word after the fence, empty if there is none.
    pub(super) language: &'a str,
    pub(super) text: &'a str,
}

/// The lines outside of fenced blocks, each with its number, and those inside.
pub(super) fn lines(text: &str) -> (Vec<(usize, &str)>, Vec<Fenced<'_>>) {
    let (mut prose, mut fenced) = (Vec::new(), Vec::new());
    let mut open = None;
    for (index, text) in text.lines().enumerate() {
        let line = index + 1;
        match (open, text.trim_start().strip_prefix("```")) {
            (None, Some(language)) => open = Some(language.trim()),
            (Some(_), Some(_)) => open = None,
            (Some(language), None) => fenced.push(Fenced { line, language, text }),
            (None, None) => prose.push((line, text)),
        }
    }
    (prose, fenced)
}

/// What stands between single backticks.
pub(super) fn code_spans(line: &str) -> impl Iterator<Item = &str> {
    let closed = line.matches('`').count() / 2;
    line.split('`').skip(1).step_by(2).take(closed)
}

/// The targets of `[…](target)`.
pub(super) fn links(line: &str) -> impl Iterator<Item = &str> {
    line.split("](").skip(1).filter_map(|rest| rest.split_once(')').map(|(target, _)| target))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fences_split_the_text() {
        let (prose, fenced) = lines("a\n```sh\nb\n```\nc\n```\nd\n```\n");
        assert_eq!(prose, [(1, "a"), (5, "c")]);
        assert_eq!(
            fenced,
            [
                Fenced { line: 3, language: "sh", text: "b" },
                Fenced { line: 7, language: "", text: "d" }
            ]
        );
    }

    #[test]
    fn spans_and_links_are_found() {
        assert_eq!(code_spans("a `b c` d `e` ` f").collect::<Vec<_>>(), ["b c", "e"]);
        assert_eq!(links("[a](b.md) and [c](d#e), (f)").collect::<Vec<_>>(), ["b.md", "d#e"]);
    }
}
