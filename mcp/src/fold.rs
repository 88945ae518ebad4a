//! Many names in few words: node01 to node40 are `node[01-40]`, as they can be typed.

use std::collections::BTreeMap;

/// What names have in common that differ in one number: what stands before it, its digits, what stands
/// behind it.
type Pattern<'a> = (&'a str, usize, &'a str);

/// Names that differ in their last number only are one word, in the order of their first.
pub(crate) fn fold(names: &[String]) -> String {
    let mut order: Vec<Result<Pattern<'_>, &str>> = Vec::new();
    let mut numbers: BTreeMap<Pattern<'_>, Vec<u64>> = BTreeMap::new();
    for name in names {
        match split(name) {
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
    let words = order.into_iter().map(|word| match word {
        Err(name) => name.to_owned(),
        Ok(pattern) => {
            let (before, width, behind) = pattern;
            match &ranges(numbers.remove(&pattern).unwrap_or_default(), width)[..] {
                [one] if !one.contains('-') => format!("{before}{one}{behind}"),
                several => format!("{before}[{}]{behind}", several.join(",")),
            }
        }
    });
    words.collect::<Vec<_>>().join(" ")
}

/// A name around its last number, unless that is too long for one, or belongs to an address or a port.
fn split(name: &str) -> Option<(Pattern<'_>, u64)> {
    if name.contains([':', '[']) || name.parse::<std::net::IpAddr>().is_ok() {
        return None;
    }
    let end = name.rfind(|c: char| c.is_ascii_digit())? + 1;
    let digits = name[..end].bytes().rev().take_while(u8::is_ascii_digit).count();
    let start = end - digits;
    let number = name[start..end].parse().ok()?;
    // Of 7 and 07 only the second has a fixed width; 10 goes with 9.
    let width = if name[start..end].starts_with('0') && digits > 1 { digits } else { 0 };
    Some(((&name[..start], width, &name[end..]), number))
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
    use super::fold;

    fn names(text: &str) -> Vec<String> {
        text.split_whitespace().map(str::to_owned).collect()
    }

    #[test]
    fn what_is_folded_can_be_typed_again() {
        let all = names("node08 node09 node03 gate.example a1b2c a1b3c x9 x10 node11 x12");
        let folded = fold(&all);
        assert_eq!(folded, "node[03,08-09] gate.example a1b[2-3]c x[9-10,12] node11");
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
    fn what_is_no_numbered_name_stays() {
        for one in ["10.0.0.1", "[node7]:9", "2001:db8::1", "n99999999999999999999999", "plain"] {
            assert_eq!(fold(&names(one)), one);
        }
        assert_eq!(fold(&[]), "");
    }
}
