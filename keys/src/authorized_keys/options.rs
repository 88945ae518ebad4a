//! The options before a key, with commas between them and values in quotes, as sshd has them.

use super::expiry;
use mcp_cli::rights::{Right, rights};
use mcp_cli::values;
use std::collections::BTreeSet;
use std::path::{Component, PathBuf};
use std::time::SystemTime;
use thiserror::Error;

/// The options there are, for messages.
const KNOWN: &str = "root, rate, size, expiry and allow";

/// What is wrong with a line's options.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum OptionFault {
    /// No such option, or a key of another kind.
    #[error("there is no option {0:?}: there are {KNOWN}; a key begins with mcp-ed25519")]
    Unknown(String),
    /// Kept for later.
    #[error("the option {0:?} is reserved, and cannot be used yet")]
    Reserved(String),
    /// The same one twice.
    #[error("the option {0:?} is given twice")]
    Twice(String),
    /// An option that says nothing.
    #[error(
        "the option {0:?} needs a value: {0}=VALUE, or {0}=\"VALUE\" if it holds blanks or commas"
    )]
    NoValue(String),
    /// A quotation that has no end.
    #[error("the value of {0:?} has a quotation mark before it and none behind it")]
    Unquoted(String),
    /// Something right behind a quotation.
    #[error("behind the value of {0:?} comes neither a comma nor a blank")]
    Behind(String),
    /// It says what cannot be.
    #[error("{0}={1:?}: {2}")]
    Value(&'static str, String, String),
}

/// What the options of one line say.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Options {
    pub(super) root: Option<PathBuf>,
    pub(super) rate: Option<u64>,
    pub(super) size: Option<u64>,
    pub(super) expiry: Option<SystemTime>,
    pub(super) allow: Option<BTreeSet<Right>>,
}

/// Reads the options at the start of a line, and gives the rest, which begins with a blank.
pub(super) fn split(line: &str) -> Result<(Options, &str), OptionFault> {
    let mut options = Options::default();
    let mut rest = line;
    loop {
        let end = rest.find(['=', ',', ' ', '\t']).unwrap_or(rest.len());
        let name = &rest[..end];
        rest = &rest[end..];
        let value = match rest.strip_prefix('=') {
            Some(behind) => {
                let (value, behind) = value(name, behind)?;
                rest = behind;
                Some(value)
            }
            None => None,
        };
        options.set(name, value)?;
        match rest.strip_prefix(',') {
            Some(next) => rest = next,
            None => return Ok((options, rest)),
        }
    }
}

/// The value at the start of a text, and what is behind it: a comma, a blank, or nothing.
fn value<'a>(name: &str, text: &'a str) -> Result<(String, &'a str), OptionFault> {
    let Some(quotation) = text.strip_prefix('"') else {
        let end = if name.eq_ignore_ascii_case("allow") { end_of_rights } else { end_of_word };
        let (value, behind) = text.split_at(end(text));
        return Ok((value.to_owned(), behind));
    };
    let mut value = String::new();
    let mut chars = quotation.char_indices().peekable();
    while let Some((at, c)) = chars.next() {
        match c {
            '"' => {
                let behind = &quotation[at + 1..];
                if !behind.is_empty() && !behind.starts_with([',', ' ', '\t']) {
                    return Err(OptionFault::Behind(name.to_owned()));
                }
                return Ok((value, behind));
            }
            // The only escape there is: any other backslash stands for itself (sshd(8)).
            '\\' if chars.next_if(|(_, next)| *next == '"').is_some() => value.push('"'),
            c => value.push(c),
        }
    }
    Err(OptionFault::Unquoted(name.to_owned()))
}

fn end_of_word(text: &str) -> usize {
    text.find([',', ' ', '\t']).unwrap_or(text.len())
}

/// Between rights a comma belongs to the value also without quotes: none of them is an option's name.
fn end_of_rights(text: &str) -> usize {
    let mut end = end_of_word(text);
    while let Some(next) = text[end..].strip_prefix(',')
        && Right::is_name(&next[..end_of_word(next)])
    {
        end += 1 + end_of_word(next);
    }
    end
}

impl Options {
    /// Takes one option. As with sshd, capital letters in its name make no difference.
    fn set(&mut self, name: &str, value: Option<String>) -> Result<(), OptionFault> {
        let lower = name.to_ascii_lowercase();
        let value = || {
            let given = value.filter(|value| !value.is_empty());
            given.ok_or_else(|| OptionFault::NoValue(lower.clone()))
        };
        let fresh = match lower.as_str() {
            "root" => put(&mut self.root, "root", value()?, root)?,
            "rate" => put(&mut self.rate, "rate", value()?, values::rate)?,
            "size" => put(&mut self.size, "size", value()?, values::size)?,
            "expiry" => put(&mut self.expiry, "expiry", value()?, expiry::parse)?,
            "allow" => put(&mut self.allow, "allow", value()?, rights)?,
            "command" => return Err(OptionFault::Reserved(lower)),
            _ => return Err(OptionFault::Unknown(name.to_owned())),
        };
        if fresh { Ok(()) } else { Err(OptionFault::Twice(lower)) }
    }
}

/// Reads a value to its place, and says whether nothing stood there.
fn put<T>(
    place: &mut Option<T>,
    name: &'static str,
    value: String,
    read: impl Fn(&str) -> Result<T, String>,
) -> Result<bool, OptionFault> {
    let read = read(&value).map_err(|why| OptionFault::Value(name, value, why))?;
    Ok(place.replace(read).is_none())
}

/// A root does not depend on where the daemon was started, and is what it looks like.
fn root(text: &str) -> Result<PathBuf, String> {
    let path = PathBuf::from(text);
    if !path.is_absolute() {
        return Err("a root is an absolute path".to_owned());
    }
    if path.components().any(|part| part == Component::ParentDir) {
        return Err("a root has no .. in it".to_owned());
    }
    Ok(path)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn values_stand_in_quotes_or_alone() {
        for (line, name, rest) in [
            (r#"root="/a b,c" key"#, "/a b,c", " key"),
            (r"root=/a	key", "/a", "\tkey"),
            (r#"root="/it\"s" key"#, "/it\"s", " key"),
            (r#"root="/a\b\\c" key"#, r"/a\b\\c", " key"),
            (r#"ROOT="/x""#, "/x", ""),
        ] {
            let (options, behind) = split(line).unwrap();
            assert_eq!((options.root, behind), (Some(name.into()), rest), "{line}");
        }
    }

    #[test]
    fn all_options_at_once() {
        let (options, rest) = split(r#"size=10G,rate="900M",expiry=2027-01-31,root=/r k"#).unwrap();
        assert_eq!(options.size, Some(10_000_000_000));
        assert_eq!(options.rate, Some(900_000_000));
        assert_eq!(options.root, Some("/r".into()));
        assert_eq!(options.expiry, Some(expiry::parse("2027-01-31").unwrap()));
        assert_eq!(rest, " k");
    }

    #[test]
    fn rights_stand_in_quotes_or_alone() {
        for (line, allowed, rest) in [
            ("allow=owner k", &[Right::Owner][..], " k"),
            ("allow=owner,setuid k", &[Right::Owner, Right::Setuid], " k"),
            (r#"allow="setuid,owner" k"#, &[Right::Owner, Right::Setuid], " k"),
            ("size=1,Allow=setuid,owner,root=/r,rate=1M k", &[Right::Owner, Right::Setuid], " k"),
            ("allow=owner", &[Right::Owner], ""),
            ("allow=owner,delete k", &[Right::Owner, Right::Delete], " k"),
            ("allow=owner,device k", &[Right::Owner, Right::Device], " k"),
        ] {
            let (options, behind) = split(line).unwrap();
            assert_eq!(
                options.allow.as_ref().unwrap(),
                &allowed.iter().copied().collect(),
                "{line}"
            );
            assert_eq!((behind, options.root.is_some()), (rest, line.contains("root")), "{line}");
        }
        let why = |line| split(line).unwrap_err().to_string();
        assert!(why("allow=all k").starts_with(r#"allow="all": there is nothing called "all""#));
        assert!(
            why(r#"allow="owner,x" k"#)
                .ends_with("to allow: there are owner, setuid, delete and device")
        );
        // What is no right is an option, and none that there is.
        assert_eq!(split("allow=owner,x k").unwrap_err(), OptionFault::Unknown("x".to_owned()));
        assert_eq!(split("allow k").unwrap_err(), OptionFault::NoValue("allow".to_owned()));
        assert_eq!(
            split("allow=owner,allow=setuid k").unwrap_err(),
            OptionFault::Twice("allow".to_owned())
        );
    }

    #[test]
    fn faults_are_named() {
        let of = str::to_owned;
        for (line, fault) in [
            ("no-pty k", OptionFault::Unknown(of("no-pty"))),
            ("ssh-ed25519 k", OptionFault::Unknown(of("ssh-ed25519"))),
            ("root=/a,,rate=1M k", OptionFault::Unknown(of(""))),
            ("root=/a, k", OptionFault::Unknown(of(""))),
            ("=x k", OptionFault::Unknown(of(""))),
            (r#"command="ls" k"#, OptionFault::Reserved(of("command"))),
            ("command k", OptionFault::Reserved(of("command"))),
            ("rate=1M,Rate=2M k", OptionFault::Twice(of("rate"))),
            ("root k", OptionFault::NoValue(of("root"))),
            (r#"root="" k"#, OptionFault::NoValue(of("root"))),
            (r#"root="/a k"#, OptionFault::Unquoted(of("root"))),
            (r#"root="/a\" k"#, OptionFault::Unquoted(of("root"))),
            (r#"root="/a"b k"#, OptionFault::Behind(of("root"))),
        ] {
            assert_eq!(split(line).unwrap_err(), fault, "{line}");
        }
        let why = |line| split(line).unwrap_err().to_string();
        assert_eq!(why("root=a k"), r#"root="a": a root is an absolute path"#);
        assert_eq!(why("root=/a/../b k"), r#"root="/a/../b": a root has no .. in it"#);
        assert!(why("rate=fast k").starts_with(r#"rate="fast": not a rate such as"#));
        assert!(why("size=10GB k").starts_with(r#"size="10GB": not a size such as"#));
        assert!(why("expiry=soon k").starts_with(r#"expiry="soon": not a day such as"#));
    }

    proptest! {
        #[test]
        fn a_quoted_root_comes_back(path in "/[^\\\\\"\u{0}-\u{1f}]{0,20}") {
            prop_assume!(!path.split('/').any(|part| part == ".."));
            let line = format!("root=\"{path}\" rest");
            let (options, rest) = split(&line).unwrap();
            prop_assert_eq!((options.root, rest), (Some(path.into()), " rest"));
        }

        #[test]
        fn no_text_makes_it_panic(
            text in ".{0,40}",
            near in "(root|rate|size|expiry|allow)[=\",\\\\ a/1M]{0,20}",
        ) {
            let _ = split(&text);
            if let Ok((_, rest)) = split(&near) {
                prop_assert!(near.ends_with(rest));
            }
        }
    }
}
