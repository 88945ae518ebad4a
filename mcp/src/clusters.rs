//! Several short options in one word, of which `-x` takes the rest as its value.

use crate::elsewhere;
use clap::error::ErrorKind;
use clap::{Arg, Command, Error};
use std::ffi::OsString;

/// Refuses a word in which `-x` takes what may be meant as options: rsync's `-x` has no value. `-axn` would be a real
/// copy to all hosts but `n`, where a copy that changes nothing was meant.
pub(crate) fn refuse_swallowed(args: &[OsString], command: &mut Command) -> Result<(), Error> {
    command.build();
    let Some((word, value)) = swallowed(args, command) else { return Ok(()) };
    let what = format!(
        "{word}: -x leaves out a host, here {value}, and rsync's -x is --one-file-system: write options before -x, \
         and its host as a word of its own: -x {value}"
    );
    Err(command.error(ErrorKind::ArgumentConflict, what))
}

/// The first such word, and the value in it.
fn swallowed(args: &[OsString], command: &Command) -> Option<(String, String)> {
    let mut words = args.iter().skip(1);
    while let Some(word) = words.next() {
        let word = word.to_string_lossy();
        if word == "--" {
            return None;
        }
        if let Some(long) = word.strip_prefix("--") {
            if find(command, |arg| arg.get_long() == Some(long)).is_some_and(takes_word) {
                words.next();
            }
            continue;
        }
        let letters = word.strip_prefix('-').unwrap_or_default();
        let with_value = letters.char_indices().find(|(_, letter)| {
            find(command, |arg| arg.get_short() == Some(*letter)).is_some_and(takes_word)
        });
        let Some((at, letter)) = with_value else { continue };
        match &letters[at + letter.len_utf8()..] {
            "" => drop(words.next()),
            value if letter == 'x' && is_options(at > 0, value, command) => {
                return Some((word.to_string(), value.to_owned()));
            }
            _ => {}
        }
    }
    None
}

/// Whether what stands behind `-x` in its word may be meant as options: other options stand `before` it, or each letter
/// is one, here or elsewhere.
fn is_options(before: bool, value: &str, command: &Command) -> bool {
    let is_known = |letter| {
        find(command, |arg| arg.get_short() == Some(letter)).is_some()
            || elsewhere::has_short(letter)
    };
    !value.starts_with('=') && (before || value.chars().all(is_known))
}

fn find(command: &Command, is: impl Fn(&Arg) -> bool) -> Option<&Arg> {
    command.get_arguments().find(|arg| is(arg))
}

/// Whether its value is the next word, if none stands in its own.
fn takes_word(arg: &Arg) -> bool {
    arg.get_num_args().is_some_and(|count| count.min_values() > 0)
}
