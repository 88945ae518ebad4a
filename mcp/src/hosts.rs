//! Who gets a copy, and where there: `HOST[:PATH]`, with ranges, several between commas.

mod excluded;
pub(crate) mod groups;
mod home;
pub(crate) mod list;
mod ranges;

pub(crate) use groups::Groups;
pub(crate) use list::lines;

use excluded::Excluded;
use ranges::expand;
use std::collections::HashSet;
use std::net::Ipv6Addr;
use thiserror::Error;

/// Hosts that can be named, in one argument and in all; how many a session can have is the
/// transport's to say.
pub(crate) const MAX_HOSTS: u64 = 65_536;

/// Longest path, and part of one, in bytes, as Linux has them at the other end.
const PATH_MAX: usize = 4096;
/// See [`PATH_MAX`].
const NAME_MAX: usize = 255;

/// Opens the next alternative of a range.
const RANGE: char = '[';
/// Stands before what would otherwise end a path: a comma, in a list also a blank; and before itself.
const ESCAPE: char = '\\';

/// One host as it was typed, ranges resolved.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Target {
    /// All of it, as it can be typed again.
    pub(crate) text: String,
    /// Name or address, without brackets.
    pub(crate) host: String,
    pub(crate) port: Option<u16>,
    /// Who is logged in there, with `--ssh`.
    pub(crate) user: Option<String>,
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
    #[error("{0}: {1} is not an IPv6 address")]
    Address(String, String),
    #[error("{0}: there is more behind the address than :PATH or :PORT:PATH")]
    Behind(String),
    #[error("{0}: {1} is not a port between 1 and 65535")]
    Port(String, String),
    #[error("{0}: .. would lead out of the receiver's root")]
    Up(String),
    #[error(
        "{0}: .. is not read here, since a folder before it may be a symbolic link: write the path from / on"
    )]
    UpByName(String),
    #[error(
        "{0}: ~ stands for the home folder of who is logged in alone: write USER@HOST:~, or the path from / on"
    )]
    OtherHome(String),
    #[error("{0}: the path is longer than 4096 bytes, or a part of it than 255")]
    LongPath(String),
    #[error("{0}: {1} is not a range such as [01-16,20] or [0-6/2]")]
    Range(String, String),
    #[error("{0}: this range names {1} hosts, more than the {MAX_HOSTS} that one copy can name")]
    LargeRange(String, u64),
    #[error("{0}: with these there are more than the {MAX_HOSTS} hosts that one copy can name")]
    TooMany(String),
    #[error("{0}: {1:?} cannot be a part of a host's name or address")]
    Name(String, char),
    #[error(
        "{0}: there are no users here: what is copied belongs to the user that mcpd runs as on the host: write {1}, or \
         copy with --ssh, which logs in"
    )]
    User(String, String),
    #[error("{0}: {1}")]
    Group(String, String),
    /// Of this side, not of whoever has typed it.
    #[error("{0}")]
    GroupFile(String),
}

/// What is wrong, and with which of the texts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Misplaced {
    /// Its line in the list of hosts, if it stands there.
    pub(crate) line: Option<usize>,
    pub(crate) error: HostError,
}

/// Reads one argument where there are no groups.
pub(crate) fn parse(text: &str) -> Result<Vec<Target>, HostError> {
    parse_with(text, &Groups::default())
}

/// Reads one argument; a range gives many, and so do a group and a comma: outside of brackets it
/// separates hosts.
fn parse_with(text: &str, groups: &Groups) -> Result<Vec<Target>, HostError> {
    let mut all = Vec::new();
    let mut add = |targets: Vec<Target>| {
        all.extend(targets);
        let too_many = all.len() as u64 > MAX_HOSTS;
        if too_many { Err(HostError::TooMany(text.to_owned())) } else { Ok(()) }
    };
    for one in split_hosts(text) {
        if Groups::is_group(one) {
            let (hosts, rest) = groups.hosts(one)?;
            for host in hosts {
                add(parse_one(&(host + rest), groups)?)?;
            }
        } else {
            add(parse_one(one, groups)?)?;
        }
    }
    if all.is_empty() {
        return Err(HostError::NoHost(text.to_owned()));
    }
    Ok(all)
}

/// What stands between commas; an empty piece says nothing. In a path, where a bracket is nothing
/// but itself, a comma that is meant stands behind a backslash.
fn split_hosts(text: &str) -> Vec<&str> {
    let (mut pieces, mut begin) = (Vec::new(), 0);
    let (mut inside, mut path, mut escaped) = (false, false, false);
    for (at, c) in text.char_indices() {
        let plain = !std::mem::take(&mut escaped);
        match c {
            ESCAPE if path && plain => escaped = true,
            RANGE if !path => inside = true,
            ']' => inside = false,
            ':' if !inside => path = true,
            ',' if !inside && plain => {
                pieces.push(&text[begin..at]);
                (begin, path) = (at + 1, false);
            }
            _ => {}
        }
    }
    pieces.push(&text[begin..]);
    pieces.retain(|piece| !piece.is_empty());
    pieces
}

/// A path as it is meant.
fn unescape(path: &str) -> String {
    let (mut out, mut rest) = (String::with_capacity(path.len()), path.chars().peekable());
    while let Some(c) = rest.next() {
        let next = rest.peek().filter(|next| **next == ESCAPE || ends_a_path(**next));
        match (c, next.copied()) {
            (ESCAPE, Some(meant)) => {
                out.push(meant);
                rest.next();
            }
            _ => out.push(c),
        }
    }
    out
}

fn ends_a_path(c: char) -> bool {
    c == ',' || c.is_whitespace()
}

fn parse_one(text: &str, groups: &Groups) -> Result<Vec<Target>, HostError> {
    let (user, bare) = if groups.has_users() { split_user(text) } else { (None, text) };
    if bare.split('%').next().is_some_and(|addr| addr.parse::<Ipv6Addr>().is_ok()) {
        return Err(HostError::Bare(text.to_owned()));
    }
    let (pattern, rest, literal) = split_host(bare)?;
    let (port, path) = split_rest(text, rest)?;
    if pattern.is_empty() {
        return Err(HostError::NoHost(text.to_owned()));
    }
    let path = unescape(path);
    let path = if groups.has_users() { home::path(text, &path)? } else { path };
    if path.split('/').any(|part| part == "..") {
        return Err(HostError::Up(text.to_owned()));
    }
    if path.len() > PATH_MAX || path.split('/').any(|part| part.len() > NAME_MAX) {
        return Err(HostError::LongPath(text.to_owned()));
    }
    // Blanks and the like are a slip of the list's writer, and would be asked of every resolver.
    let strange = |c: &char| c.is_whitespace() || c.is_control() || "#/\\@,\u{feff}".contains(*c);
    match outside_brackets(pattern).find(strange) {
        Some('@') => return Err(no_user(text, pattern)),
        Some(c) => return Err(HostError::Name(text.to_owned(), c)),
        None => {}
    }
    let hosts = if literal { vec![pattern.to_owned()] } else { expand(text, pattern)? };
    let targets = hosts.into_iter().map(|host| {
        let before = user.map_or_else(String::new, |user| format!("{user}@"));
        let (open, close) = if literal { ("[", "]") } else { ("", "") };
        let text = format!("{before}{open}{host}{close}{rest}");
        Target { text, host, port, user: user.map(str::to_owned), path: path.clone() }
    });
    Ok(targets.collect())
}

/// The user before a host: one that can be meant, no option of ssh, and nothing that a list or a range would tear apart.
fn split_user(text: &str) -> (Option<&str>, &str) {
    let strange = |c: char| c.is_whitespace() || c.is_control() || ",:[]/\\#".contains(c);
    match text.split_once('@') {
        Some((user, host))
            if !user.is_empty() && !user.starts_with('-') && !user.contains(strange) =>
        {
            (Some(user), host)
        }
        _ => (None, text),
    }
}

/// `user@host`, which scp and rsync have.
fn no_user(text: &str, pattern: &str) -> HostError {
    match pattern.rfind('@').map(|at| at + 1) {
        Some(at) if at < pattern.len() => HostError::User(text.to_owned(), text[at..].to_owned()),
        _ => HostError::NoHost(text.to_owned()),
    }
}

fn outside_brackets(pattern: &str) -> impl Iterator<Item = char> {
    let mut inside = false;
    pattern.chars().filter(move |c| {
        inside = *c == RANGE || (inside && *c != ']');
        !inside
    })
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
    if let Some((inner, _)) = text.strip_prefix(RANGE).and_then(|t| t.split_once(']'))
        && inner.contains(':')
    {
        return Err(HostError::Address(text.to_owned(), inner.to_owned()));
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

/// The hosts that were given.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Given {
    /// In order, each once; without those that are excluded.
    pub(crate) targets: Vec<Target>,
    /// Exclusions that excluded none.
    pub(crate) idle: Vec<String>,
}

/// All hosts that are given and not excluded.
pub(crate) fn collect<'a>(
    hosts: impl IntoIterator<Item = (Option<usize>, &'a str)>,
    exclude: impl IntoIterator<Item = &'a str>,
    groups: &Groups,
) -> Result<Given, Misplaced> {
    let excluded = Excluded::read(exclude.into_iter().collect(), groups);
    let mut excluded = excluded.map_err(|error| Misplaced { line: None, error })?;
    let mut seen = HashSet::new();
    let mut targets = Vec::new();
    for (line, text) in hosts {
        for target in parse_with(text, groups).map_err(|error| Misplaced { line, error })? {
            if !excluded.has(&target) && seen.insert(target.text.clone()) {
                targets.push(target);
            }
        }
        if targets.len() as u64 > MAX_HOSTS {
            return Err(Misplaced { line, error: HostError::TooMany(text.to_owned()) });
        }
    }
    Ok(Given { targets, idle: excluded.idle() })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Without groups.
    fn collect<'a>(
        hosts: impl IntoIterator<Item = (Option<usize>, &'a str)>,
        exclude: impl IntoIterator<Item = &'a str>,
    ) -> Result<Vec<Target>, Misplaced> {
        super::collect(hosts, exclude, &Groups::default()).map(|given| given.targets)
    }

    #[test]
    fn an_exclusion_that_excludes_none_is_told() {
        let hosts = [(None, "node[1-3]:x"), (None, "other")];
        let exclude = ["node2", "node[3-9]", "noode1", "node1:y", "other:9:"];
        let given = super::collect(hosts, exclude, &Groups::default()).unwrap();
        assert_eq!(given.idle, ["noode1", "node1:y", "other:9:"]);
        let left: Vec<_> = given.targets.iter().map(|target| target.text.as_str()).collect();
        assert_eq!(left, ["node1:x", "other"]);
    }

    #[test]
    fn an_exclusion_with_a_user_is_of_that_user_alone() {
        let groups = Groups::new(None).with_users();
        let hosts = ["alice@h", "bob@h", "h", "bob@g"].map(|text| (None, text));
        for (out, left) in [
            ("bob@h", &["alice@h", "h", "bob@g"][..]),
            ("h", &["bob@g"]),
            ("bob@h,g", &["alice@h", "h"]),
        ] {
            let given = super::collect(hosts, [out], &groups).unwrap();
            let texts: Vec<_> = given.targets.iter().map(|target| target.text.as_str()).collect();
            assert_eq!((&texts[..], given.idle.len()), (left, 0), "-x {out}");
        }
        let given = super::collect(hosts, ["carol@h"], &groups).unwrap();
        assert_eq!((given.targets.len(), &given.idle[..]), (4, &["carol@h".to_owned()][..]));
    }

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
    fn a_user_stands_before_a_host_where_somebody_is_logged_in() {
        let groups = Groups::new(None).with_users();
        let parse = |text| parse_with(text, &groups);
        for (text, user, host, path) in [
            ("root@node:x", Some("root"), "node", "x"),
            ("node:~/x", None, "node", "x"),
            ("root@[fd77::1]:x", Some("root"), "fd77::1", "x"),
            ("node:a@b", None, "node", "a@b"),
            ("node", None, "node", ""),
        ] {
            let all = parse(text).unwrap();
            assert_eq!((all[0].user.as_deref(), &*all[0].host, &*all[0].path), (user, host, path));
            assert_eq!(all[0].text, text);
        }
        let texts: Vec<_> =
            parse("u@n[1-2]:d/").unwrap().into_iter().map(|target| target.text).collect();
        assert_eq!(texts, ["u@n1:d/", "u@n2:d/"]);
        for text in ["u@", "-o@n", "a b@n", "u@@n", "u@:x"] {
            assert!(parse(text).is_err(), "{text}");
        }
        assert!(super::parse("root@node").is_err());
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
    fn a_user_is_told_what_to_type_instead() {
        for (text, host) in [
            ("root@n1", "n1"),
            ("root@n1:", "n1:"),
            ("root@n[1-2]:9:a@b", "n[1-2]:9:a@b"),
            ("root@[fd77::1]:x", "[fd77::1]:x"),
            ("a@b@n1:/x", "n1:/x"),
        ] {
            let error = HostError::User(text.to_owned(), host.to_owned());
            assert_eq!(parse(text), Err(error.clone()));
            assert!(error.to_string().contains(&format!(": write {host}, or")), "{error}");
            assert!(parse(host).is_ok());
        }
        for text in ["root@", "root@:x", "n1,root@:x"] {
            assert!(matches!(parse(text), Err(HostError::NoHost(_))), "{text}");
        }
        assert_eq!(one("n1:a@b").2, "a@b", "in a path it is itself");
    }

    #[test]
    fn a_bad_address_is_not_called_a_bad_range() {
        for text in ["[fe80::zz%eth0]", "[fd77:::1]:x", "[10.0.0.1:9]"] {
            let error = parse(text).unwrap_err().to_string();
            assert!(error.ends_with("is not an IPv6 address"), "{error}");
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
    fn lists_are_read_as_other_systems_write_them() {
        let list = "\u{feff}n1\r\nn2\tn3  n4,n5\r\n\r\n\u{feff}n6 #n7\n# n8\nn9:a\\ b\\,c#d\n";
        let all = collect(lines(list), []).unwrap();
        let hosts: Vec<_> = all.iter().map(|target| target.host.as_str()).collect();
        assert_eq!(hosts, ["n1", "n2", "n3", "n4", "n5", "n6", "n9"]);
        assert_eq!(all[6].path, "a b,c#d");
        for (list, line, what) in [
            ("n1\n\nn[2-1] n3\n", 3, "range"),
            ("n1\nn2#first\n", 2, "'#'"),
            ("n1\nroot@n2\n", 2, "write n2"),
            ("n1\0\n", 1, "'\\0'"),
        ] {
            let wrong = collect(lines(list), []).unwrap_err();
            assert_eq!(wrong.line, Some(line), "{wrong:?}");
            assert!(wrong.error.to_string().contains(what), "{}", wrong.error);
        }
    }

    #[test]
    fn a_comma_separates_hosts_unless_it_is_escaped() {
        assert_eq!(names("a,b[1-2],c"), ["a", "b1", "b2", "c"]);
        assert_eq!(names("[fd77::1],[fd77::2]:x"), ["fd77::1", "fd77::2"]);
        assert_eq!(names("a,"), ["a"]);
        let all = parse("a:x/[1,b:9:y\\,z,c:\\d\\\\").unwrap();
        let each = all.iter().map(|t| (t.host.as_str(), t.port, t.path.as_str()));
        let expected = [("a", None, "x/[1"), ("b", Some(9), "y,z"), ("c", None, "\\d\\")];
        assert_eq!(each.collect::<Vec<_>>(), expected);
        // As a summary names whom to try again.
        let again: Vec<_> = all.iter().map(|target| target.text.clone()).collect();
        assert_eq!(parse(&again.join(",")), Ok(all));
        assert_eq!(parse(","), Err(HostError::NoHost(",".to_owned())));
    }

    #[test]
    fn a_large_range_is_told_from_what_is_none() {
        assert_eq!(names("n[1-1100]").len(), 1100);
        assert_eq!(names("r[0-255]n[0-255]").len(), 65_536);
        for (text, count) in [
            ("n[1-65537]", "65537"),
            ("n[1-1000]x[1-1000]", "1000000"),
            ("n[0-999999999999999999]x[0-999999999999999999]", "18446744073709551615"),
        ] {
            let error = parse(text).unwrap_err().to_string();
            assert!(error.contains("this range names") && error.contains(count), "{error}");
            assert!(error.contains("65536"), "{error}");
        }
        let lists = ["a[1-40000]", "b[1-40000]"].map(|text| (Some(1), text));
        let error = collect(lists, []).unwrap_err().error.to_string();
        assert!(error.contains("b[1-40000]") && error.contains("65536"), "{error}");
        let all = collect([(None, "n[1-65536]")], ["n[2-65536]"]).unwrap();
        assert_eq!(all.len(), 1);
    }

    #[test]
    fn an_exclusion_means_no_more_than_it_says() {
        let hosts = ["a:1:", "a:2:", "a:x", "b"];
        let left = |out| {
            let all = collect(hosts.map(|host| (None, host)), [out]).unwrap();
            all.into_iter().map(|target| target.text).collect::<Vec<_>>()
        };
        assert_eq!(left("a"), ["b"]);
        assert_eq!(left("a:2:"), ["a:1:", "a:x", "b"]);
        assert_eq!(left("a:x"), ["a:1:", "a:2:", "b"]);
    }

    proptest! {
        #[test]
        fn nothing_panics_and_what_is_read_reads_the_same_again(text in "[a-c0-2\\[\\]:,/.%\\\\-]{0,24}") {
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
