//! Who gets a copy, and where there: `HOST[:PATH]`, with ranges.

use std::collections::HashSet;
use std::fmt::Write as _;
use std::net::Ipv6Addr;
use thiserror::Error;

/// Hosts of one copy, at most (as many as a session can have); also bounds what a range expands to.
pub(crate) const MAX_HOSTS: usize = 1024;

/// Longest path, and part of one, in bytes, as Linux has them at the other end.
const PATH_MAX: usize = 4096;
/// See [`PATH_MAX`].
const NAME_MAX: usize = 255;

/// Opens the next alternative of a range.
const RANGE: char = '[';

/// One host as it was typed, ranges resolved.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Target {
    /// All of it, as it can be typed again.
    pub(crate) text: String,
    /// Name or address, without brackets.
    pub(crate) host: String,
    pub(crate) port: Option<u16>,
    /// Below the receiver's root; empty for the root itself.
    pub(crate) path: String,
}

/// A host, a range or a path that cannot be meant.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub(crate) enum HostError {
    #[error("{0}: a host is missing before the path")]
    NoHost(String),
    #[error("{0}: an IPv6 address stands in brackets: [{0}]")]
    Bare(String),
    #[error("{0}: there is more behind the address than :PATH or :PORT:PATH")]
    Behind(String),
    #[error("{0}: {1} is not a port between 1 and 65535")]
    Port(String, String),
    #[error("{0}: .. would lead out of the receiver's root")]
    Up(String),
    #[error("{0}: the path is longer than 4096 bytes, or a part of it than 255")]
    LongPath(String),
    #[error("{0}: {1} is not a range such as [01-16,20] or [0-6/2]")]
    Range(String, String),
    #[error("{0}: more than {MAX_HOSTS} hosts")]
    TooMany(String),
}

/// Reads one argument; a range gives many.
pub(crate) fn parse(text: &str) -> Result<Vec<Target>, HostError> {
    if text.split('%').next().is_some_and(|addr| addr.parse::<Ipv6Addr>().is_ok()) {
        return Err(HostError::Bare(text.to_owned()));
    }
    let (pattern, rest, literal) = split_host(text)?;
    let (port, path) = split_rest(text, rest)?;
    if pattern.is_empty() {
        return Err(HostError::NoHost(text.to_owned()));
    }
    if path.split('/').any(|part| part == "..") {
        return Err(HostError::Up(text.to_owned()));
    }
    if path.len() > PATH_MAX || path.split('/').any(|part| part.len() > NAME_MAX) {
        return Err(HostError::LongPath(text.to_owned()));
    }
    let hosts = if literal { vec![pattern.to_owned()] } else { expand(text, pattern)? };
    let targets = hosts.into_iter().map(|host| {
        let mut text = if literal { format!("[{host}]") } else { host.clone() };
        text.push_str(rest);
        Target { text, host, port, path: path.to_owned() }
    });
    Ok(targets.collect())
}

/// Host, what stands behind it, and whether the host is an IPv6 address in brackets.
fn split_host(text: &str) -> Result<(&str, &str, bool), HostError> {
    if let Some((inner, rest)) = text.strip_prefix(RANGE).and_then(|t| t.split_once(']'))
        && inner.split('%').next().is_some_and(|addr| addr.parse::<Ipv6Addr>().is_ok())
    {
        if !rest.is_empty() && !rest.starts_with(':') {
            return Err(HostError::Behind(text.to_owned()));
        }
        return Ok((inner, rest, true));
    }
    let mut inside = false;
    for (at, c) in text.char_indices() {
        match c {
            '[' => inside = true,
            ']' => inside = false,
            ':' if !inside => return Ok((&text[..at], &text[at..], false)),
            _ => {}
        }
    }
    Ok((text, "", false))
}

/// `:PATH` or `:PORT:PATH`: a number is a port only when a second colon follows.
fn split_rest<'a>(text: &str, rest: &'a str) -> Result<(Option<u16>, &'a str), HostError> {
    let rest = rest.strip_prefix(':').unwrap_or(rest);
    match rest.split_once(':') {
        Some((port, path)) if !port.is_empty() && port.bytes().all(|b| b.is_ascii_digit()) => {
            match port.parse() {
                Ok(0) | Err(_) => Err(HostError::Port(text.to_owned(), port.to_owned())),
                Ok(number) => Ok((Some(number), path)),
            }
        }
        _ => Ok((None, rest)),
    }
}

/// Resolves every range of a pattern, the first changing slowest.
fn expand(text: &str, pattern: &str) -> Result<Vec<String>, HostError> {
    let mut hosts = vec![String::new()];
    let mut rest = pattern;
    while let Some((before, after)) = rest.split_once(RANGE) {
        let bad = |what: &str| HostError::Range(text.to_owned(), format!("[{what}"));
        let (inner, behind) = after.split_once(']').ok_or_else(|| bad(after))?;
        let many = alternatives(inner).ok_or_else(|| bad(&format!("{inner}]")))?;
        if before.contains(']') {
            return Err(bad(before));
        }
        if hosts.len().saturating_mul(many.len()) > MAX_HOSTS {
            return Err(HostError::TooMany(text.to_owned()));
        }
        hosts = hosts
            .iter()
            .flat_map(|host| many.iter().map(move |one| format!("{host}{before}{one}")))
            .collect();
        rest = behind;
    }
    if rest.contains(']') {
        return Err(HostError::Range(text.to_owned(), rest.to_owned()));
    }
    for host in &mut hosts {
        host.push_str(rest);
    }
    Ok(hosts)
}

/// What stands between brackets: numbers, and first-last with an optional /step, between commas. A
/// leading zero asks for numbers of that width. `None`: not that, or too many.
fn alternatives(inner: &str) -> Option<Vec<String>> {
    let mut all = Vec::new();
    for part in inner.split(',') {
        let (ends, step) = match part.split_once('/') {
            Some((ends, step)) => (ends, number(step).filter(|step| *step > 0)?),
            None => (part, 1),
        };
        let (first, last) = ends.split_once('-').unwrap_or((ends, ends));
        let (from, to) = (number(first)?, number(last)?);
        if from > to || (to - from) / step >= MAX_HOSTS as u64 {
            return None;
        }
        let width = if first.starts_with('0') { first.len() } else { 1 };
        for value in (from..=to).step_by(usize::try_from(step).ok()?) {
            let mut one = String::new();
            let _ = write!(one, "{value:0width$}"); // to a string it cannot fail
            all.push(one);
        }
    }
    (all.len() <= MAX_HOSTS).then_some(all)
}

fn number(text: &str) -> Option<u64> {
    let plain = !text.is_empty() && text.len() <= 18 && text.bytes().all(|b| b.is_ascii_digit());
    text.parse().ok().filter(|_| plain)
}

/// Reads a list of hosts: one a line, `#` begins a comment.
pub(crate) fn lines(text: &str) -> impl Iterator<Item = &str> {
    text.lines()
        .map(|line| line.split('#').next().unwrap_or_default().trim())
        .filter(|l| !l.is_empty())
}

/// All hosts, in the order given, each once; without those whose name is excluded.
pub(crate) fn collect<'a>(
    hosts: impl IntoIterator<Item = &'a str>,
    exclude: impl IntoIterator<Item = &'a str>,
) -> Result<Vec<Target>, HostError> {
    let mut out = Vec::new();
    for text in exclude {
        out.extend(parse(text)?);
    }
    // What an exclusion does not say, port or path, may be any.
    let is_out = |target: &Target| {
        out.iter().any(|ex: &Target| {
            ex.host == target.host
                && (ex.port.is_none() || ex.port == target.port)
                && (ex.path.is_empty() || ex.path == target.path)
        })
    };
    let mut seen = HashSet::new();
    let mut all = Vec::new();
    for text in hosts {
        for target in parse(text)? {
            if !is_out(&target) && seen.insert(target.text.clone()) {
                all.push(target);
            }
        }
        if all.len() > MAX_HOSTS {
            return Err(HostError::TooMany(text.to_owned()));
        }
    }
    Ok(all)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn one(text: &str) -> (String, Option<u16>, String) {
        let mut all = parse(text).unwrap();
        assert_eq!(all.len(), 1, "{text}");
        let target = all.remove(0);
        assert_eq!(target.text, text);
        (target.host, target.port, target.path)
    }

    fn names(text: &str) -> Vec<String> {
        parse(text).unwrap().into_iter().map(|target| target.host).collect()
    }

    #[test]
    fn host_port_and_path_are_told_apart() {
        for (text, host, port, path) in [
            ("node", "node", None, ""),
            ("node:", "node", None, ""),
            ("node:dir/file", "node", None, "dir/file"),
            ("node:/dir/", "node", None, "/dir/"),
            ("node:8738", "node", None, "8738"),
            ("node:8738:", "node", Some(8738), ""),
            ("node:8738:a:b", "node", Some(8738), "a:b"),
            ("node:a:b", "node", None, "a:b"),
            ("node::x", "node", None, ":x"),
            ("10.0.0.1:x", "10.0.0.1", None, "x"),
            ("[fd77::1]", "fd77::1", None, ""),
            ("[fd77::1]:x", "fd77::1", None, "x"),
            ("[fe80::1%eth0]:9:x", "fe80::1%eth0", Some(9), "x"),
            ("node:a..b/...", "node", None, "a..b/..."),
        ] {
            assert_eq!(one(text), (host.to_owned(), port, path.to_owned()), "{text}");
        }
    }

    #[test]
    fn ranges_are_resolved() {
        assert_eq!(names("n[1-3]"), ["n1", "n2", "n3"]);
        assert_eq!(names("n[08-10,20]x"), ["n08x", "n09x", "n10x", "n20x"]);
        assert_eq!(names("[0-6/2].lan"), ["0.lan", "2.lan", "4.lan", "6.lan"]);
        assert_eq!(names("r[1-2]n[1-2]"), ["r1n1", "r1n2", "r2n1", "r2n2"]);
        let ported = parse("n[1-2]:9:p").unwrap();
        assert_eq!(ported[1].text, "n2:9:p");
        assert_eq!((ported[1].port, ported[1].path.as_str()), (Some(9), "p"));
    }

    #[test]
    fn what_cannot_be_meant_is_refused() {
        for text in [
            "",
            ":x",
            "fd77::1",
            "[fd77::1]x",
            "n:0:x",
            "n:65536:x",
            "n:..",
            "n:a/../b",
            "n:9:..",
            "n[",
            "n]",
            "n[]",
            "n[3-1]",
            "n[a-b]",
            "n[1-2",
            "n[1-]",
            "n[1-2/0]",
            "n[1,]",
            "n[1-99999]",
            "n[1-1000]x[1-1000]",
            "n[99999999999999999999]",
            "n[1-2]]",
            "n[-1]",
            &format!("n:{}", "x/".repeat(3000)),
            &format!("n:{}", "x".repeat(256)),
        ] {
            assert!(parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn lists_have_comments_and_each_host_is_there_once() {
        let list = "n1\n# all\n  n2:x # two\n\nn[1-3]\n";
        let all = collect(lines(list), ["n3"]).unwrap();
        let texts: Vec<_> = all.iter().map(|target| target.text.as_str()).collect();
        assert_eq!(texts, ["n1", "n2:x", "n2"]);
    }

    #[test]
    fn an_exclusion_means_no_more_than_it_says() {
        let hosts = ["a:1:", "a:2:", "a:x", "b"];
        let left = |out| {
            let all = collect(hosts, [out]).unwrap();
            all.into_iter().map(|target| target.text).collect::<Vec<_>>()
        };
        assert_eq!(left("a"), ["b"]);
        assert_eq!(left("a:2:"), ["a:1:", "a:x", "b"]);
        assert_eq!(left("a:x"), ["a:1:", "a:2:", "b"]);
    }

    proptest! {
        #[test]
        fn nothing_panics_and_what_is_read_reads_the_same_again(text in "[a-c0-2\\[\\]:,/.%-]{0,24}") {
            for target in parse(&text).unwrap_or_default() {
                prop_assert_eq!(parse(&target.text), Ok(vec![target]));
            }
        }

        #[test]
        fn padding_keeps_its_width(from in 0..50u32, count in 1..40u32) {
            let to = from + count - 1;
            let all = names(&format!("n[{from:04}-{to:04}]"));
            prop_assert_eq!(all.len(), count as usize);
            prop_assert!(all.iter().all(|name| name.len() == 5));
        }
    }
}
