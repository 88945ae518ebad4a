//! Names for people and programs that read text.

use std::fmt::Write as _;

/// A name as text. Names on Unix need not be UTF-8: of one that is not, each byte that is none is `\xNN`, and a
/// backslash is two, so that no two of them look the same.
pub fn shown(name: &[u8]) -> String {
    if let Ok(text) = std::str::from_utf8(name) {
        return text.to_owned();
    }
    let mut out = String::with_capacity(name.len() + 8);
    for chunk in name.utf8_chunks() {
        out.push_str(&chunk.valid().replace('\\', "\\\\"));
        for byte in chunk.invalid() {
            let _ = write!(out, "\\x{byte:02x}"); // to a string it cannot fail
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::shown;

    #[test]
    fn names_that_are_no_text_do_not_look_the_same() {
        assert_eq!(shown("a\\b/\u{e4}".as_bytes()), "a\\b/\u{e4}", "text stays as it is");
        assert_eq!(shown(b"a\\\xff/b"), "a\\\\\\xff/b");
        let others = [&b"\xe4"[..], b"\xf6", b"\\xe4\xe4", b"\xe4\\xe4", b"\xe4\xe4"];
        let mut all: Vec<_> = others.iter().map(|name| shown(name)).collect();
        all.sort();
        all.dedup();
        assert_eq!(all.len(), others.len(), "{all:?}");
    }
}
