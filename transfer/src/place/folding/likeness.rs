//! Whether two names of one folder may be one where names fold, by the names alone.
//!
//! File systems differ: FAT, exFAT and NTFS compare character by character by a table of upper case, and keep `ß` and
//! `SS`, the Kelvin sign and `k`, composed and decomposed letters apart; ext4, f2fs and tmpfs take all of these for
//! one (canonical decomposition and full case folding, without what is not shown); FAT knows no dots at an end, and
//! with some of its options no case beyond ASCII. What all of them agree on is [`Likeness::Same`]; what none of them
//! takes for one is [`Likeness::Distinct`]; of the rest the file system at hand is asked.

use unicode_normalization::UnicodeNormalization;

/// What two names of one folder are to each other where names fold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Likeness {
    /// One name, wherever names fold.
    Same,
    /// One name on some file systems, two on others.
    Perhaps,
    /// Two names, as far as the file systems that are known go.
    Distinct,
}

/// What two names of one folder are to each other where names fold.
#[must_use]
pub fn likeness(one: &[u8], other: &[u8]) -> Likeness {
    if one.eq_ignore_ascii_case(other) {
        Likeness::Same
    } else if key(one) == key(other) {
        Likeness::Perhaps
    } else {
        Likeness::Distinct
    }
}

/// What names that may be one have in common: compatibility decomposition and case of every kind, without what is not
/// shown, nor dots and spaces at the end. Bytes that are no UTF-8 stand for themselves.
#[must_use]
pub fn key(name: &[u8]) -> Vec<u8> {
    let mut all = folded(name);
    if str::from_utf8(name).is_err() {
        // Bytes between which nothing is left may be a character now. Each time there are fewer that are none.
        loop {
            let again = folded(&all);
            if again == all {
                break;
            }
            all = again;
        }
    }
    all
}

fn folded(name: &[u8]) -> Vec<u8> {
    let mut all = Vec::with_capacity(name.len());
    if name.is_ascii() {
        all.extend(name.iter().map(u8::to_ascii_lowercase));
    } else {
        for chunk in name.utf8_chunks() {
            let shown = chunk.valid().nfkd().filter(|c| !is_ignorable(*c));
            // `ẞ` has `ß` as its lower case, and that `SS` as its upper.
            let upper = shown.flat_map(char::to_lowercase).flat_map(char::to_uppercase);
            let lower = upper.flat_map(char::to_lowercase);
            // Lower case itself has two sigmas; which one is a matter of the place in a word. The iota below a letter
            // is a letter of its own in upper case, and behind other marks then: neither counts.
            let lower = lower.map(|c| if c == 'ς' { 'σ' } else { c });
            let lower = lower.filter(|c| !matches!(c, 'ι' | '\u{345}'));
            let mut bytes = [0; 4];
            for c in lower.nfkd() {
                all.extend_from_slice(c.encode_utf8(&mut bytes).as_bytes());
            }
            all.extend_from_slice(chunk.invalid());
        }
    }
    while let Some(b'.' | b' ') = all.last() {
        all.pop();
    }
    all
}

/// Whether a character is shown as nothing (`Default_Ignorable_Code_Point` in Unicode's `DerivedCoreProperties.txt`),
/// which ext4 leaves out where it compares.
fn is_ignorable(c: char) -> bool {
    matches!(
        u32::from(c),
        0xad | 0x34f
            | 0x61c
            | 0x115f..=0x1160
            | 0x17b4..=0x17b5
            | 0x180b..=0x180f
            | 0x200b..=0x200f
            | 0x202a..=0x202e
            | 0x2060..=0x206f
            | 0x3164
            | 0xfe00..=0xfe0f
            | 0xfeff
            | 0xffa0
            | 0xfff0..=0xfff8
            | 0x1_bca0..=0x1_bca3
            | 0x1_d173..=0x1_d17a
            | 0xe_0000..=0xe_0fff
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn what_all_agree_on_is_the_same_and_what_they_differ_on_is_asked() {
        use Likeness::{Distinct, Perhaps, Same};
        let pairs: [(&[u8], &[u8], Likeness); 19] = [
            (b"X", b"x", Same),
            (b"README.txt", b"ReadMe.TXT", Same),
            (b"\xffA", b"\xffa", Same),
            ("Straße".as_bytes(), "STRAßE".as_bytes(), Same),
            ("ärger".as_bytes(), "ÄRGER".as_bytes(), Perhaps), // FAT with utf8=1 keeps both
            ("straße".as_bytes(), "STRASSE".as_bytes(), Perhaps),
            ("ß".as_bytes(), "ẞ".as_bytes(), Perhaps),
            ("ς".as_bytes(), "Σ".as_bytes(), Perhaps),
            ("\u{212a}".as_bytes(), b"k", Perhaps), // the Kelvin sign
            ("é".as_bytes(), "e\u{301}".as_bytes(), Perhaps),
            ("É".as_bytes(), "e\u{301}".as_bytes(), Perhaps),
            ("a\u{200d}b".as_bytes(), b"ab", Perhaps),
            (b"a", b"a.", Perhaps),
            (b"A. .", b"a", Perhaps),
            (b"a", b"b", Distinct),
            (b"a", b".a", Distinct),
            ("é".as_bytes(), b"e", Distinct),
            ("中".as_bytes(), "文".as_bytes(), Distinct),
            (b"\xff", b"\xfe", Distinct),
        ];
        for (one, other, expected) in pairs {
            assert_eq!(likeness(one, other), expected, "{one:?} {other:?}");
            assert_eq!(likeness(other, one), expected, "{other:?} {one:?}");
        }
    }

    /// What is not shown stands between the two bytes of a letter.
    #[test]
    fn bytes_that_come_to_be_a_character_are_one() {
        let name = [195, 216, 156, 128];
        assert_eq!(key(&name), key("À".as_bytes()));
        assert_eq!(likeness(&name, "à".as_bytes()), Likeness::Perhaps);
    }

    proptest! {
        #[test]
        fn a_key_is_its_own(name in prop::collection::vec(any::<u8>(), 0..40), text in "\\PC{0,20}") {
            for name in [&name[..], text.as_bytes()] {
                let once = key(name);
                prop_assert_eq!(key(&once), once);
            }
        }

        /// Whatever a file system does to the case of names, it asks about what is that: nothing is called distinct.
        #[test]
        fn no_change_of_case_or_form_makes_names_distinct(text in "\\PC{1,20}") {
            let forms = [
                text.to_uppercase(),
                text.to_lowercase(),
                text.nfc().collect(),
                text.nfd().collect(),
                text.nfd().collect::<String>().to_uppercase(),
                format!("{text}. "),
            ];
            for form in forms {
                prop_assert_ne!(likeness(text.as_bytes(), form.as_bytes()), Likeness::Distinct, "{:?}", form);
            }
        }
    }
}
