//! Many names in few words: node01 to node40 are `node[01-40]`, as they can be typed.

use std::collections::{BTreeMap, BTreeSet};
use std::net::Ipv4Addr;

/// Digits of the longest number that a range may have (see `hosts::ranges`).
const MAX_DIGITS: usize = 18;

/// What names have in common that differ in one number: what stands before and behind it, a path with it.
type Stem<'a> = (&'a str, &'a str);

/// A stem, and the width of its numbers: 0 unless they have leading zeros.
type Pattern<'a> = (Stem<'a>, usize);

/// Names that differ in their last number only are one word, in the order of their first.
pub(crate) fn fold(names: &[String]) -> String {
    words(names).join(" ")
}

/// The same, word by word; hosts may have ports and paths behind them, which stay.
pub(crate) fn words(names: &[String]) -> Vec<String> {
    let patterns = patterns(names);
    let mut numbers: BTreeMap<Pattern<'_>, Vec<u64>> = BTreeMap::new();
    let mut order = Vec::new();
    for (name, pattern) in names.iter().zip(patterns) {
        match pattern {
            Some((pattern, number)) => {
                let known = numbers.entry(pattern).or_default();
                if known.is_empty() {
                    order.push(Ok(pattern));
                }
                known.push(number);
            }
            None => order.push(Err(name)),
        }
    }
    let word = |word| match word {
        Err(name) => String::clone(name),
        Ok(pattern) => {
            let ((before, behind), width) = pattern;
            match &ranges(numbers.remove(&pattern).unwrap_or_default(), width)[..] {
                [one] if !one.contains('-') => format!("{before}{one}{behind}"),
                several => format!("{before}[{}]{behind}", several.join(",")),
            }
        }
    };
    order.into_iter().map(word).collect()
}

/// What stands before and behind the number in a name, if it can be folded with others.
pub(crate) fn stem(name: &str) -> Option<(&str, &str)> {
    split(name).map(|(stem, _)| stem)
}

/// Each name's pattern, and its number. Of 7 and 07 only the second has a fixed width; 10 goes with 09 if there
/// is one such, else with 9.
fn patterns(names: &[String]) -> Vec<Option<(Pattern<'_>, u64)>> {
    let split: Vec<_> = names.iter().map(|name| split(name)).collect();
    let padded = |digits: &str| digits.len() > 1 && digits.starts_with('0');
    let widths: BTreeSet<Pattern<'_>> = split
        .iter()
        .flatten()
        .filter(|(_, digits)| padded(digits))
        .map(|(stem, digits)| (*stem, digits.len()))
        .collect();
    let pattern = |(stem, digits): (_, &str)| {
        let pattern = (stem, digits.len());
        let width = if widths.contains(&pattern) { digits.len() } else { 0 };
        Some(((stem, width), digits.parse().ok()?))
    };
    split.into_iter().map(|split| split.and_then(pattern)).collect()
}

/// A name around its last number, and that number's digits, unless it is an address, or the number is too long
/// for a range.
fn split(name: &str) -> Option<(Stem<'_>, &str)> {
    let host = &name[..name.find(':').unwrap_or(name.len())];
    if host.contains('[') || host.parse::<Ipv4Addr>().is_ok() {
        return None;
    }
    let end = host.rfind(|c: char| c.is_ascii_digit())? + 1;
    let digits = host[..end].bytes().rev().take_while(u8::is_ascii_digit).count();
    let start = end - digits;
    (digits <= MAX_DIGITS).then(|| ((&name[..start], &name[end..]), &name[start..end]))
}

fn ranges(mut numbers: Vec<u64>, width: usize) -> Vec<String> {
    numbers.sort_unstable();
    numbers.dedup();
    let mut runs: Vec<(u64, u64)> = Vec::new();
    for number in numbers {
        match runs.last_mut() {
            Some((_, last)) if *last + 1 == number => *last = number,
            _ => runs.push((number, number)),
        }
    }
    let word = |(first, last)| {
        let first_word = format!("{first:0width$}");
        if first == last { first_word } else { format!("{first_word}-{last:0width$}") }
    };
    runs.into_iter().map(word).collect()
}

#[cfg(test)]
mod tests {
    use super::{fold, words};
    use proptest::prelude::*;

    fn names(text: &str) -> Vec<String> {
        text.split_whitespace().map(str::to_owned).collect()
    }

    #[test]
    fn what_is_folded_can_be_typed_again() {
        let all = names("node08 node09 node03 gate.example a1b2c a1b3c x9 x10 node11 x12");
        let folded = fold(&all);
        assert_eq!(folded, "node[03,08-09,11] gate.example a1b[2-3]c x[9-10,12]");
        let mut typed: Vec<String> = folded
            .split(' ')
            .flat_map(|word| crate::hosts::parse(word).unwrap())
            .map(|target| target.host)
            .collect();
        let mut all = all;
        typed.sort();
        all.sort();
        assert_eq!(typed, all);
    }

    #[test]
    fn ports_and_paths_stay_behind_their_hosts() {
        for (all, folded) in [
            ("n1:p n2:p n2:q n3:9:p n4:9:p", "n[1-2]:p n2:q n[3-4]:9:p"),
            ("n09: n10: n11: n100:", "n[09-11]: n100:"),
            ("n1:x[1]7 n2:x[1]7", "n[1-2]:x[1]7"),
            ("10.0.0.1:7 10.0.0.2:7 [fd77::1]:7 [fd77::2]:7", ""),
        ] {
            let folded = if folded.is_empty() { all } else { folded };
            assert_eq!(fold(&names(all)), folded);
        }
    }

    #[test]
    fn what_is_no_numbered_name_stays() {
        for one in ["10.0.0.1", "[node7]:9", "[fd77::1]", "n1234567890123456789", "plain"] {
            assert_eq!(fold(&names(one)), one);
        }
        assert_eq!(fold(&[]), "");
    }

    proptest! {
        #[test]
        fn whatever_is_folded_is_the_same_hosts(
            all in proptest::collection::btree_set("[ab]{0,1}(0{0,2}[0-9]{1,3}|[0-9]{17,20})[ab.]{0,1}(:[x1,]{0,2})?", 0..30)
        ) {
            let texts: Vec<_> =
                all.iter().flat_map(|text| crate::hosts::parse(text).unwrap_or_default()).collect();
            let folded = words(&texts.iter().map(|target| target.text.clone()).collect::<Vec<_>>());
            let mut again: Vec<_> =
                folded.iter().flat_map(|word| crate::hosts::parse(word).unwrap()).collect();
            let mut texts = texts;
            again.sort_by(|a, b| a.text.cmp(&b.text));
            texts.sort_by(|a, b| a.text.cmp(&b.text));
            texts.dedup();
            again.dedup();
            prop_assert_eq!(again, texts, "{:?}", folded);
        }
    }
}
