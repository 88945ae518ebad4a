//! How words stand in a case: between blanks, those with blanks in them between single quotes; `%0A` is a byte by its
//! number. A backslash is itself, for patterns have many.

use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt;

/// The words of a line.
pub(super) fn words(line: &str) -> Vec<OsString> {
    let (mut all, mut word, mut quoted) = (Vec::new(), None::<String>, false);
    for c in line.chars() {
        match c {
            '\'' => {
                quoted = !quoted;
                word.get_or_insert_default();
            }
            c if c.is_whitespace() && !quoted => all.extend(word.take()),
            c => word.get_or_insert_default().push(c),
        }
    }
    assert!(!quoted, "a quote is open: {line}");
    all.extend(word);
    all.iter().map(|word| OsString::from_vec(bytes(word))).collect()
}

/// With the bytes that stand by their numbers.
fn bytes(word: &str) -> Vec<u8> {
    let mut parts = word.split('%');
    let mut all = parts.next().unwrap_or_default().as_bytes().to_vec();
    for part in parts {
        let number = part.get(..2).and_then(|number| u8::from_str_radix(number, 16).ok());
        all.push(number.unwrap_or_else(|| panic!("no number behind %: {word}")));
        all.extend_from_slice(&part.as_bytes()[2..]);
    }
    all
}

/// Bytes as a case has them, without blanks.
pub(super) fn shown(bytes: &[u8]) -> String {
    let one = |byte: &u8| match byte {
        b'!'..=b'~' if !b"%;|".contains(byte) => char::from(*byte).to_string(),
        byte => format!("%{byte:02X}"),
    };
    bytes.iter().map(one).collect()
}
