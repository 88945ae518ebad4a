//! The sample systemd unit names options that `mcpd` has, and places and secrets that it is given.

use super::Finding;
use super::repo::Repo;
use std::collections::BTreeSet;
use std::path::Path;

/// Where units stand.
const UNITS: &str = "packaging/systemd/";
/// Where the daemon's options are defined: its own, and those that every tool has.
const SOURCES: [&str; 2] = ["mcpd/src/", "cli/src/"];
/// Begins the name of each option's variable (`mcp_cli::parse`).
const PREFIX: &str = "MCPD_";

/// Looks at every unit.
pub(super) fn check(repo: &Repo) -> Vec<Finding> {
    let options = options(repo);
    let mut found = Vec::new();
    for (path, text) in repo.units().filter(|(path, _)| path.starts_with(UNITS)) {
        let lines: Vec<(usize, &str)> = (1..).zip(text.lines()).collect();
        for (line, text) in &lines {
            for name in named(text).filter(|name| !options.contains(name)) {
                let what = format!("mcpd has no option --{name}");
                found.push(Finding::new(path, *line, what));
            }
        }
        let given = |what| lines.iter().filter_map(move |(_, line)| line.strip_prefix(what));
        for (line, text) in &lines {
            for name in credentials(text) {
                if !given("LoadCredential=").any(|given| given.split(':').next() == Some(name)) {
                    let what = format!("no LoadCredential= brings {name}");
                    found.push(Finding::new(path, *line, what));
                }
            }
            if let Some(root) = text.strip_prefix("Environment=MCPD_ROOT=")
                && !given("ReadWritePaths=")
                    .flat_map(str::split_whitespace)
                    .any(|p| Path::new(root).starts_with(p))
            {
                let what = format!("no ReadWritePaths= lets it write below {root}");
                found.push(Finding::new(path, *line, what));
            }
        }
    }
    found
}

/// The long options that a line names, as words or by their variables.
fn named(line: &str) -> impl Iterator<Item = String> {
    let words = line.strip_prefix("ExecStart=").unwrap_or_default().split_whitespace();
    let words = words.filter_map(|word| word.strip_prefix("--")?.split('=').next());
    let is_name = |c: char| c.is_ascii_uppercase() || c.is_ascii_digit() || c == '_';
    let variables = line.split(PREFIX).skip(1).map(move |rest| {
        let end = rest.find(|c| !is_name(c)).unwrap_or(rest.len());
        rest[..end].to_ascii_lowercase().replace('_', "-")
    });
    words.map(str::to_owned).chain(variables)
}

/// What is read from the folder of credentials (systemd.unit(5), %d).
fn credentials(line: &str) -> impl Iterator<Item = &str> {
    line.split("%d/").skip(1).filter_map(|rest| rest.split_whitespace().next())
}

/// Every long option that clap's attributes define.
fn options(repo: &Repo) -> BTreeSet<String> {
    let sources = repo.rust().filter(|(path, _)| SOURCES.iter().any(|s| path.starts_with(s)));
    sources.flat_map(|(_, text)| options_of(text)).collect()
}

/// The long options of one source: an attribute `#[arg(…)]` with `long`, then its field.
fn options_of(text: &str) -> Vec<String> {
    let mut found = Vec::new();
    for arg in text.split("#[arg(").skip(1) {
        let Some((attribute, rest)) = arg.split_once(")]\n") else { continue };
        let long = attribute.split(',').map(str::trim).find_map(|part| {
            part.strip_prefix("long").filter(|rest| rest.is_empty() || rest.trim().starts_with('='))
        });
        let Some(long) = long else { continue };
        // Without a name of its own it has the field's.
        let mut fields = rest.lines().map(str::trim).filter(|l| !l.starts_with(['#', '/']));
        let field = fields.next().and_then(|line| line.split_once(':'));
        let field = field.and_then(|(name, _)| name.split_whitespace().next_back());
        let name = long.split('"').nth(1).or(field).unwrap_or_default();
        found.push(name.replace('_', "-"));
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    const ARGS: &str = "struct Cli {\n\
        /// The folder.\n    #[arg(long, value_name = \"DIR\")]\n    pub(crate) root: PathBuf,\n\
        #[arg(\n    short,\n    long = \"secret-file\",\n    value_name = \"FILE\",\n)]\n    file: F,\n\
        #[arg(value_name = \"LONG\")]\n    source: PathBuf,\n}\n";
    const COMMON: &str =
        "#[arg(short, long)]\n    /// Quiet: no.\n    #[expect(a::b)]\n    pub quiet: bool,\n";

    fn found(unit: &str) -> Vec<String> {
        let repo = Repo::of(&[
            ("mcpd/src/args.rs", ARGS),
            ("cli/src/options.rs", COMMON),
            ("mcp/src/args.rs", "#[arg(long)]\n    strict: bool,\n"),
            ("packaging/systemd/mcpd.service", unit),
        ]);
        check(&repo).into_iter().map(|f| format!("{}: {}", f.line, f.what)).collect()
    }

    #[test]
    fn what_mcpd_has_is_fine() {
        let unit = "ExecStart=/usr/bin/mcpd --quiet --root=/srv -v\n\
                    Environment=MCPD_SECRET_FILE=%d/secret\n# MCPD_QUIET, %S, %d\n\
                    Environment=MCPD_ROOT=/srv/mcp/in\nReadWritePaths=/a /srv/mcp\n\
                    LoadCredential=secret:/etc/mcp/secret\n";
        assert_eq!(found(unit), [""; 0]);
    }

    #[test]
    fn what_it_has_not_is_named() {
        let unit = "ExecStart=/usr/bin/mcpd --strict\n# or MCPD_SOURCE\n\
                    Environment=MCPD_SECRET_FILE=%d/other MCPD_FILE=x\n\
                    Environment=MCPD_ROOT=/srv\nReadWritePaths=/srv/incoming /s\n\
                    LoadCredential=secret:/etc/mcp/secret\n";
        assert_eq!(
            found(unit),
            [
                "1: mcpd has no option --strict",
                "2: mcpd has no option --source",
                "3: mcpd has no option --file",
                "3: no LoadCredential= brings other",
                "4: no ReadWritePaths= lets it write below /srv",
            ]
        );
    }
}
