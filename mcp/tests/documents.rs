//! What the documents tell people to type exists: every command and option in README and the documents on hosts, trees,
//! filters, pipes, ssh, rsync and what is read while it arrives, as it stands there; in all documents the
//! commands in blocks of code.

use std::fs;
use std::process::Command;

/// What says how to copy, and how many options and commands it names at least.
const DOCUMENTS: [(&str, usize); 8] = [
    ("README.md", 10),
    ("docs/hosts.md", 8),
    ("docs/trees.md", 10),
    ("docs/filters.md", 10),
    ("docs/ssh.md", 6),
    ("docs/prefix.md", 3),
    ("docs/pipes.md", 10),
    ("docs/rsync.md", 8),
];

/// Options of other programs that they name.
const OTHERS: [(&str, &str); 3] =
    [("docs/pipes.md", "--to-stdout"), ("docs/pipes.md", "--root"), ("docs/rsync.md", "--mkpath")];

/// Behind it stands what there is not.
const NOT_YET: &str = "## What does not exist yet";

/// What is said of an option or a value that there is not. An option alone may lack its value, which is another fault.
const UNKNOWN: [&str; 2] = ["error: unexpected argument", "error: invalid value"];

/// It may take the word behind it, which asks for help here.
const LACKS: &str = "error: invalid value '--help'";

/// What stands between backquotes, outside of blocks, and begins as a command or an option does.
fn typed(text: &str) -> Vec<String> {
    let prose = text.split("```").step_by(2);
    let spans = prose.flat_map(|prose| prose.split('`').skip(1).step_by(2));
    let spans = spans.map(|span| span.split_whitespace().collect::<Vec<_>>().join(" "));
    spans.filter(|span| span.starts_with("mcp ") || span.starts_with('-')).collect()
}

/// What stands in blocks of code and is a command, alone or beside others, without its comment.
fn commands(text: &str) -> Vec<String> {
    let lines = text.split("```").skip(1).step_by(2).flat_map(str::lines);
    let lines = lines.map(|line| line.split(" #").next().unwrap_or_default());
    let pieces = lines.flat_map(|line| line.split(['|', '&', ';', '(', ')', '>']));
    let command = |piece: &str| {
        let (program, words) = piece.trim().split_once(char::is_whitespace)?;
        let is_ours = program.rsplit('/').next() == Some("mcp");
        let words = words.split_whitespace().collect::<Vec<_>>().join(" ");
        is_ours.then(|| format!("mcp {words}"))
    };
    pieces.filter_map(command).collect()
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
        let is_unknown = UNKNOWN.iter().any(|begin| said.starts_with(begin));
        (is_unknown && !said.starts_with(LACKS)).then_some(said)
    });
    faults.collect::<Option<Vec<_>>>().map(|all| all.concat())
}

#[test]
fn every_command_and_option_exists() {
    for (name, least) in DOCUMENTS {
        let text = fs::read_to_string(format!("{}/../{name}", env!("CARGO_MANIFEST_DIR"))).unwrap();
        let (there, not_yet) = text.split_once(NOT_YET).unwrap_or((&text, ""));
        let all = typed(there);
        assert!(all.len() >= least, "{name} names options and commands: {all:?}");
        for words in all {
            if OTHERS.contains(&(name, &words)) {
                assert!(fault(&words).is_some(), "{name} says that {words} is another's");
                continue;
            }
            assert_eq!(fault(&words), None, "{name} says {words}");
        }
        for words in typed(not_yet) {
            assert!(fault(&words).is_some(), "{name} says that there is no {words} yet");
        }
    }
}

#[test]
fn every_command_in_a_block_of_code_exists() {
    let root = format!("{}/..", env!("CARGO_MANIFEST_DIR"));
    let docs = fs::read_dir(format!("{root}/docs")).unwrap().map(|entry| entry.unwrap().path());
    let mut count = 0;
    for path in docs.chain([format!("{root}/README.md").into()]) {
        for words in commands(&fs::read_to_string(&path).unwrap()) {
            assert_eq!(fault(&words), None, "{} says {words}", path.display());
            count += 1;
        }
    }
    assert!(count >= 10, "{count}");
}

#[test]
fn what_does_not_exist_is_found() {
    let text = "`mcp key` and `--rate\n  9M`\n```sh\nmcp --no `-z`\n```\n`-y`, `node1`, `--ttl`";
    assert_eq!(typed(text), ["mcp key", "--rate 9M", "-y", "--ttl"]);
    let text = "`mcp a`\n```sh\ntar c . | bin/mcp - h:-  # mcp b\nx=$(mcp key) & mcp --no h\n./mcpd c\nmcp\n```\nmcp d";
    assert_eq!(commands(text), ["mcp - h:-", "mcp key", "mcp --no h"]);
    for (words, so) in [
        ("mcp key --secret FILE", true),
        ("--rate 9M", true),
        ("--ttl", true),
        ("--chmod", true),
        ("-rlptgoH", true),
        ("--rate fast", false),
        ("-y", false),
        ("mcp key --no-such", false),
    ] {
        assert_eq!(fault(words).is_none(), so, "{words}");
    }
}
