//! Wildcards over the bytes of a path, as rsync(1) knows them.
//!
//! - `?` is any byte but `/`.
//! - `*` is any number of bytes but `/`; two or more of them are any number of bytes.
//! - `[…]` is one byte of a class, never `/`: `[!…]` and `[^…]` are those not in it, `a-z` is a range, `[:alpha:]` a
//!   class of POSIX, and a `]` that comes first is a member.
//! - `\` takes the next byte as it is.
//!
//! A pattern that does not end where a class or an escape does matches nothing.

use super::steps::Steps;

/// What a part of a pattern stands for.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Token {
    Byte(u8),
    /// Any byte but `/`.
    Any,
    Class(Box<Class>),
    /// Any number of bytes but `/`.
    Star,
    /// Any number of bytes.
    Stars,
}

/// A pattern with wildcards.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Glob {
    /// `None` if it is not complete: then it matches nothing.
    tokens: Option<Box<[Token]>>,
}

impl Glob {
    /// Whether these bytes would be taken as wildcards at all: else all of them stand for themselves, `\` as well.
    pub(super) fn has_wildcards(pattern: &[u8]) -> bool {
        pattern.iter().any(|byte| matches!(byte, b'*' | b'?' | b'['))
    }

    pub(super) fn new(pattern: &[u8]) -> Self {
        Self { tokens: tokens(pattern).map(Vec::into_boxed_slice) }
    }

    /// Whether it matches all of these bytes. Takes no more steps than the pattern's length times the square of theirs;
    /// where that are more than there are left, it ends and says nothing.
    ///
    /// After a failure it is enough to try the last `*` anew, one byte further, since whatever an earlier one within
    /// the same component would take instead the last can take as well; and only a `/` of the pattern matches a `/`,
    /// so that an earlier `*` of another component has no choice. Where the last `*` would have to take a `/`, the
    /// last `**` is tried anew instead.
    pub(super) fn matches(
        &self,
        text: impl IntoIterator<Item = u8, IntoIter: Clone>,
        steps: &Steps,
    ) -> bool {
        let Some(tokens) = &self.tokens else { return false };
        let mut rest = text.into_iter();
        let mut at = 0;
        // Where to go on after a failure: the token behind the star, and what was left when it had taken so much.
        let mut star: Option<(usize, _)> = None;
        let mut stars: Option<(usize, _)> = None;
        loop {
            if !steps.take(1) {
                return false;
            }
            match tokens.get(at) {
                Some(Token::Star) => {
                    at += 1;
                    star = Some((at, rest.clone()));
                    continue;
                }
                Some(Token::Stars) => {
                    at += 1;
                    star = None;
                    stars = Some((at, rest.clone()));
                    continue;
                }
                token => {
                    let mut next = rest.clone();
                    match (token, next.next()) {
                        (None, None) => return true,
                        (Some(token), Some(byte)) if token.is(byte) => {
                            at += 1;
                            rest = next;
                            continue;
                        }
                        _ => {}
                    }
                }
            }
            let more = retry(&mut star, |byte| byte != b'/').or_else(|| {
                star = None;
                retry(&mut stars, |_| true)
            });
            let Some(more) = more else { return false };
            (at, rest) = more;
        }
    }
}

/// Lets a star take one byte more, if it may.
fn retry<I: Iterator<Item = u8> + Clone>(
    star: &mut Option<(usize, I)>,
    takes: impl Fn(u8) -> bool,
) -> Option<(usize, I)> {
    let (_, rest) = star.as_mut()?;
    rest.next().is_some_and(takes).then(|| star.clone())?
}

impl Token {
    fn is(&self, byte: u8) -> bool {
        match self {
            Self::Byte(own) => byte == *own,
            Self::Any => byte != b'/',
            Self::Class(class) => byte != b'/' && class.has(byte),
            Self::Star | Self::Stars => false,
        }
    }
}

/// `None` if it ends within a class or behind a `\`.
fn tokens(pattern: &[u8]) -> Option<Vec<Token>> {
    let mut tokens = Vec::new();
    let mut rest = pattern;
    while let [byte, behind @ ..] = rest {
        rest = behind;
        tokens.push(match byte {
            b'?' => Token::Any,
            b'*' => {
                let more = rest.iter().take_while(|byte| **byte == b'*').count();
                rest = &rest[more..];
                if more == 0 { Token::Star } else { Token::Stars }
            }
            b'[' => Token::Class(Box::new(Class::parse(&mut rest)?)),
            b'\\' => Token::Byte(take(&mut rest)?),
            byte => Token::Byte(*byte),
        });
    }
    Some(tokens)
}

fn take(rest: &mut &[u8]) -> Option<u8> {
    let (byte, behind) = rest.split_first()?;
    *rest = behind;
    Some(*byte)
}

/// A set of bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Class([u64; 4]);

impl Class {
    fn has(&self, byte: u8) -> bool {
        self.0[usize::from(byte >> 6)] >> (byte & 63) & 1 == 1
    }

    fn add(&mut self, byte: u8) -> u8 {
        self.0[usize::from(byte >> 6)] |= 1 << (byte & 63);
        byte
    }

    fn extend(&mut self, bytes: impl Iterator<Item = u8>) {
        for byte in bytes {
            self.add(byte);
        }
    }

    /// What stands behind a `[`, to its `]`.
    fn parse(rest: &mut &[u8]) -> Option<Self> {
        let mut class = Self([0; 4]);
        let negated = matches!(rest, [b'!' | b'^', ..]);
        if negated {
            take(rest)?;
        }
        // The byte that a range may begin with.
        let mut from: Option<u8> = None;
        let mut first = true;
        loop {
            let byte = take(rest)?;
            from = match (byte, from) {
                (b']', _) if !first => break,
                (b'\\', _) => Some(class.add(take(rest)?)),
                (b'-', Some(from)) if matches!(rest, [next, ..] if *next != b']') => {
                    let to = match take(rest)? {
                        b'\\' => take(rest)?,
                        byte => byte,
                    };
                    class.extend(from..=to);
                    None
                }
                (b'[', _) if rest.first() == Some(&b':') => match named(rest).ok()? {
                    Some(is) => {
                        class.extend((0..=u8::MAX).filter(is));
                        None
                    }
                    None => Some(class.add(byte)),
                },
                (byte, _) => Some(class.add(byte)),
            };
            first = false;
        }
        if negated {
            class.0.iter_mut().for_each(|word| *word = !*word);
        }
        Some(class)
    }
}

/// Whether a byte belongs to a class.
type Is = fn(&u8) -> bool;

/// There is no class of that name, or it has no end.
struct NoClass;

/// What `[:name:]` stands for, taken from behind its `[`; `None`, and nothing taken, if it is no such thing but a `[`
/// and a `:`.
fn named(rest: &mut &[u8]) -> Result<Option<Is>, NoClass> {
    let end = rest.iter().position(|byte| *byte == b']').ok_or(NoClass)?;
    let [b':', name @ .., b':'] = &rest[..end] else { return Ok(None) };
    let is: Is = match name {
        b"alnum" => u8::is_ascii_alphanumeric,
        b"alpha" => u8::is_ascii_alphabetic,
        b"blank" => |byte| matches!(byte, b' ' | b'\t'),
        b"cntrl" => u8::is_ascii_control,
        b"digit" => u8::is_ascii_digit,
        b"graph" => u8::is_ascii_graphic,
        b"lower" => u8::is_ascii_lowercase,
        b"print" => |byte| matches!(byte, b' '..=b'~'),
        b"punct" => u8::is_ascii_punctuation,
        // With the vertical tab, which Rust's own leaves out.
        b"space" => |byte| matches!(byte, b' ' | b'\t'..=b'\r'),
        b"upper" => u8::is_ascii_uppercase,
        b"xdigit" => u8::is_ascii_hexdigit,
        _ => return Err(NoClass),
    };
    *rest = &rest[end + 1..];
    Ok(Some(is))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn is(pattern: &str, text: &str) -> bool {
        Glob::new(pattern.as_bytes()).matches(text.bytes(), &Steps::endless())
    }

    #[test]
    fn wildcards_stand_for_what_they_say() {
        for (pattern, text) in [
            ("a*x", "ax"),
            ("a*x", "abcx"),
            ("a**x", "a/b/x"),
            ("*", ""),
            ("**", "a/b"),
            ("***", "a/b"),
            ("a/*/x", "a/b/x"),
            ("?", "a"),
            (".*", ".a"),
            ("*", ".a"),
            ("[!y]", "x"),
            ("[^y]", "x"),
            ("[]a]", "]"),
            ("[!]a]", "x"),
            ("[a-c]", "b"),
            ("[a-]", "-"),
            ("[-a]", "-"),
            ("[a-\\c]", "b"),
            ("[\\]]", "]"),
            ("[[:digit:]x]", "7"),
            ("[[:x]", ":"),
            ("a\\*", "a*"),
            ("**a*b/*c", "x/ab/aab/qc"),
            ("*a*b", "aab"),
        ] {
            assert!(is(pattern, text), "{pattern} {text}");
        }
        for (pattern, text) in [
            ("a*x", "a/x"),
            ("?", "/"),
            ("?", ""),
            ("[!y]", "/"),
            ("[!y]", "y"),
            ("[a-c]", "d"),
            ("[c-a]", "b"),
            ("[a", "a"),
            ("[[:nothing:]a]", "a"),
            ("a\\", "a\\"),
            ("a\\*", "ab"),
            ("*/", "a"),
            ("[]", "]"),
        ] {
            assert!(!is(pattern, text), "{pattern} {text}");
        }
    }

    /// By trying everything that a star can take.
    fn naive(tokens: &[Token], text: &[u8]) -> bool {
        match tokens {
            [] => text.is_empty(),
            [token @ (Token::Star | Token::Stars), rest @ ..] => (0..=text.len())
                .take_while(|n| *token == Token::Stars || !text[..*n].contains(&b'/'))
                .any(|n| naive(rest, &text[n..])),
            [token, rest @ ..] => {
                text.first().is_some_and(|byte| token.is(*byte)) && naive(rest, &text[1..])
            }
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2000))]
        #[test]
        fn matches_what_trying_everything_finds(
            pattern in "([ab/?]|\\*|\\*\\*|\\[ab\\]|\\[!a\\]){0,8}",
            text in "[ab/]{0,10}",
        ) {
            let glob = Glob::new(pattern.as_bytes());
            let expected = naive(glob.tokens.as_ref().unwrap(), text.as_bytes());
            prop_assert_eq!(glob.matches(text.bytes(), &Steps::endless()), expected);
        }

        #[test]
        fn any_bytes_are_a_pattern(pattern: Vec<u8>, text: Vec<u8>) {
            Glob::new(&pattern).matches(text.iter().copied(), &Steps::endless());
        }
    }

    #[test]
    fn many_stars_end_soon() {
        // A matcher that tries everything would take 2^100 steps.
        let pattern = "*a".repeat(100) + "b";
        assert!(!is(&pattern, &"a".repeat(4000)));
        let pattern = "**a".repeat(100) + "b";
        assert!(!is(&pattern, &"a/".repeat(2000)));
    }
}
