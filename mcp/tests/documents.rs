//! What the documents tell people to type exists: every command and option in README and the documents on trees and
//! filters, as it stands there.

use std::fs;
use std::process::Command;

/// What says how to copy.
const DOCUMENTS: [&str; 3] = ["README.md", "docs/trees.md", "docs/filters.md"];

/// Behind it stands what there is not.
const NOT_YET: &str = "## What does not exist yet";

/// What is said of an option or a value that there is not. An option alone may lack its value, which is another fault.
const UNKNOWN: [&str; 2] = ["error: unexpected argument", "error: invalid value"];

/// What stands between backquotes, outside of blocks, and begins as a command or an option does.
fn typed(text: &str) -> Vec<String> {
    let prose = text.split("```").step_by(2);
    let spans = prose.flat_map(|prose| prose.split('`').skip(1).step_by(2));
    let spans = spans.map(|span| span.split_whitespace().collect::<Vec<_>>().join(" "));
    spans.filter(|span| span.starts_with("mcp ") || span.starts_with('-')).collect()
}

/// Reads the words and what follows from them, and does nothing else; what was said of those that it does not know. An
/// option may be that of a command.
fn fault(typed: &str) -> Option<String> {
    let commands: &[&[&str]] = if typed.starts_with('-') { &[&[], &["digest"]] } else { &[&[]] };
    let faults = commands.iter().map(|command| {
        let words = typed.split(' ').filter(|word| *word != "mcp");
        let mut mcp = Command::new(env!("CARGO_BIN_EXE_mcp"));
        let output = mcp.args(*command).args(words).arg("--help").output().unwrap();
        let said = String::from_utf8(output.stderr).unwrap();
        UNKNOWN.iter().any(|begin| said.starts_with(begin)).then_some(said)
    });
    faults.collect::<Option<Vec<_>>>().map(|all| all.concat())
}

#[test]
fn every_command_and_option_exists() {
    for name in DOCUMENTS {
        let text = fs::read_to_string(format!("{}/../{name}", env!("CARGO_MANIFEST_DIR"))).unwrap();
        let (there, not_yet) = text.split_once(NOT_YET).unwrap_or((&text, ""));
        let all = typed(there);
        assert!(all.len() > 9, "{name} names options and commands: {all:?}");
        for words in all {
            assert_eq!(fault(&words), None, "{name} says {words}");
        }
        for words in typed(not_yet) {
            assert!(fault(&words).is_some(), "{name} says that there is no {words} yet");
        }
    }
}

#[test]
fn what_does_not_exist_is_found() {
    let text = "`mcp key` and `--rate\n  9M`\n```sh\nmcp --no `-z`\n```\n`-y`, `node1`, `--ttl`";
    assert_eq!(typed(text), ["mcp key", "--rate 9M", "-y", "--ttl"]);
    for (words, so) in [
        ("mcp key --secret FILE", true),
        ("--rate 9M", true),
        ("--ttl", true),
        ("-rlptgoH", true),
        ("--rate fast", false),
        ("-y", false),
        ("mcp key --no-such", false),
    ] {
        assert_eq!(fault(words).is_none(), so, "{words}");
    }
}
