//! `cargo xtask ci`: what CI runs. `cargo xtask tidy`: its checks of the code's shape alone.
//! `cargo xtask sweep`: many seeds of every simulated scenario.

mod ci;
mod deny;
mod sweep;
mod tidy;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// The subcommands; the documents are checked against this list too.
const SUBCOMMANDS: [(&str, &str); 3] = [
    ("ci", "format, lints, tidy, dependencies, docs, examples, a slice of the sweep, floor"),
    ("sweep", "every scenario with up to a thousand seeds; --slice [NUMBER]: a few of them"),
    ("tidy", "layers, sizes, open fields, documents, words, manifests, known failures, units"),
];

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = args.iter().map(String::as_str).collect();
    let done = match words.as_slice() {
        ["ci"] => ci::run(&root()),
        ["sweep", options @ ..] => sweep::run(&root(), options),
        ["tidy"] => tidy::run(&root()),
        _ => {
            eprintln!("usage: cargo xtask <command>");
            for (name, what) in SUBCOMMANDS {
                eprintln!("  {name:6}{what}");
            }
            return ExitCode::from(2);
        }
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(why) => {
            eprintln!("xtask: {why}");
            ExitCode::FAILURE
        }
    }
}

/// The workspace's folder: the parent of this package's.
fn root() -> PathBuf {
    // Cargo says at run time where the package is, which stays true when the tree is moved.
    let package = std::env::var_os("CARGO_MANIFEST_DIR")
        .map_or_else(|| PathBuf::from(env!("CARGO_MANIFEST_DIR")), PathBuf::from);
    package.parent().map_or(package.clone(), Path::to_path_buf)
}
