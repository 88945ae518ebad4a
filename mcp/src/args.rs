//! The command line.

use crate::elsewhere;
use crate::kept::Kept;
use crate::rules::Rules;
use clap::{Args, CommandFactory, Parser, Subcommand};
use mcp_cli::Common;
use mcp_cli::parse::{parse, refuse_secret_file};
use std::ffi::OsString;
use std::path::PathBuf;
use tcpxm::config::Algorithm;

/// Begins the names of the variables.
const PREFIX: &str = "MCP";

/// Copies a file to many hosts in the time of one.
///
/// HOST is a name, an IPv4 address or an [IPv6 address], with ranges: node[01-16,20]; @GROUP stands
/// for all hosts of a group, @* for all that are in one. PATH is below
/// the folder that the host's daemon receives into, also with a slash before it; a trailing slash
/// means into that folder. Another port than the daemon's stands between two colons: HOST:PORT:PATH.
/// A comma separates hosts as a blank does; one that belongs to a path is written \,. There are no
/// users: files belong to the user that the daemon runs as.
#[derive(Debug, Parser)]
#[command(
    name = "mcp",
    version,
    arg_required_else_help = true,
    args_conflicts_with_subcommands = true,
    override_usage = "mcp [OPTIONS] SOURCE HOST[:PATH]...\n       mcp demo [OPTIONS] [FILE]\n       mcp digest [OPTIONS] PATH...\n       mcp key [OPTIONS] [--secret [FILE]]"
)]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) command: Option<Command>,
    #[command(flatten)]
    pub(crate) copy: Copy,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Copies a file to three receivers in this process, on loopback, and shows how it went.
    Demo(Demo),
    /// Shows this user's key, and makes it if there is none; or makes a secret for all hosts.
    Key(Key),
    /// Prints the digests of files and folders, to be compared with those that a copy tells.
    ///
    /// A file's is its BLAKE3, as b3sum prints it. A folder's is over the names and contents in it: permissions, times,
    /// owners, holes and hard links do not count. Symbolic links count with what they say; sockets, pipes and devices
    /// are left out. What cannot be read is named, and its PATH has no digest.
    Digest(Digest),
}

#[derive(Debug, Args)]
pub(crate) struct Key {
    /// Make a secret instead, in this new file; without FILE print one.
    #[arg(long, value_name = "FILE")]
    #[expect(clippy::option_option, reason = "not given, given without a file, given with one")]
    pub(crate) secret: Option<Option<PathBuf>>,
    #[command(flatten)]
    pub(crate) common: Common,
}

#[derive(Debug, Args)]
pub(crate) struct Digest {
    /// Files and folders; a symbolic link that is given is followed.
    #[arg(value_name = "PATH", required = true)]
    pub(crate) paths: Vec<PathBuf>,
    /// Leave symbolic links out, as a copy without -l or -a does.
    #[arg(long, value_parser = clap::builder::FalseyValueParser::new())]
    pub(crate) no_links: bool,
    #[command(flatten)]
    pub(crate) common: Common,
}

#[derive(Debug, Args)]
pub(crate) struct Copy {
    /// The file to copy, then the hosts that get it.
    #[arg(value_name = "SOURCE HOST[:PATH]")]
    pub(crate) words: Vec<OsString>,
    /// A file or folder to copy; then all other words are hosts. May be given more than once. A slash behind a
    /// folder means what is in it.
    #[arg(short, long, value_name = "SOURCE")]
    pub(crate) source: Vec<PathBuf>,
    /// Hosts that get no copy; ranges as above.
    #[arg(short = 'x', long, value_name = "HOST", value_delimiter = None)]
    pub(crate) exclude_host: Vec<String>,
    /// Read more hosts from this file, between blanks or line ends; # at a line's start or behind a
    /// blank begins a comment; - is standard input.
    #[arg(long, value_name = "FILE")]
    pub(crate) hosts: Option<PathBuf>,
    /// The groups of hosts that @GROUP stands for, a line NAME: HOSTS each [default: `ClusterShell`'s
    /// `groups` or `groups.d/local.cfg`].
    #[arg(long, value_name = "FILE")]
    pub(crate) host_groups: Option<PathBuf>,
    /// Write the hosts that failed to this file, as --hosts reads them; all of them until it is known, none if
    /// all have it.
    #[arg(long, value_name = "FILE")]
    pub(crate) retry_file: Option<PathBuf>,
    /// How the rate is found: by losses, as most do, or by what arrives, which bears lossy lines.
    #[arg(long, value_enum, default_value_t)]
    pub(crate) congestion: Congestion,
    /// The keys of hosts, new ones are added [default: `known_hosts` in /etc/mcp, for others than root in
    /// ~/.config/mcp].
    #[arg(long, value_name = "FILE")]
    pub(crate) known_hosts: Option<PathBuf>,
    /// Send only to hosts whose keys are known.
    #[arg(long, value_parser = clap::builder::FalseyValueParser::new())]
    pub(crate) strict: bool,
    /// Say as well what was listed, read and sent, and how much of it; with --json as `stats` of the summary.
    #[arg(long, value_parser = clap::builder::FalseyValueParser::new())]
    pub(crate) stats: bool,
    #[command(flatten, next_help_heading = "What is left out")]
    pub(crate) rules: Rules,
    /// Copy of SOURCE, a folder, only what this file lists, a path a line: with the folders above it, of a folder itself,
    /// with a / behind it what stands in it, with -r all below it; - is standard input.
    #[arg(long, value_name = "FILE")]
    pub(crate) files_from: Option<PathBuf>,
    /// Lines of --files-from, --exclude-from and --include-from end with a zero byte.
    #[arg(short = '0', long, value_parser = clap::builder::FalseyValueParser::new())]
    pub(crate) from0: bool,
    /// Leave out what is in folders where another file system is mounted, as rsync's -x does.
    #[arg(long, value_parser = clap::builder::FalseyValueParser::new())]
    pub(crate) one_file_system: bool,
    #[command(flatten, next_help_heading = "What is kept")]
    pub(crate) kept: Kept,
    #[command(flatten)]
    pub(crate) common: Common,
}

impl Copy {
    /// Options that say which keys hosts may have, where no host shows one.
    pub(crate) fn without_effect(&self) -> Vec<&'static str> {
        let given = [("--strict", self.strict), ("--known-hosts", self.known_hosts.is_some())];
        given.into_iter().filter_map(|(name, given)| given.then_some(name)).collect()
    }
}

/// Congestion control.
#[derive(Debug, Clone, core::marker::Copy, PartialEq, Eq, Default, clap::ValueEnum)]
pub(crate) enum Congestion {
    #[default]
    Cubic,
    Reno,
    Bbr,
}

impl From<Congestion> for Algorithm {
    fn from(congestion: Congestion) -> Self {
        match congestion {
            Congestion::Cubic => Self::Cubic,
            Congestion::Reno => Self::Reno,
            Congestion::Bbr => Self::Bbr,
        }
    }
}

#[derive(Debug, Args)]
pub(crate) struct Demo {
    /// The file to copy [default: this program itself].
    pub(crate) file: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) common: Common,
}

/// Reads the command line.
pub(crate) fn read(args: impl IntoIterator<Item = OsString>) -> Result<Cli, clap::Error> {
    let mut args: Vec<OsString> = args.into_iter().collect();
    let cli: Result<Cli, _> = parse(PREFIX, args.iter().cloned());
    let cli = cli.map_err(|error| elsewhere::explain(error, &mut Cli::command()))?;
    if let Some(Command::Key(_)) = cli.command {
        refuse_secret_file(&mut Cli::command(), &args)?;
    }
    // A subcommand's name wins over a file of that name, also behind options, where clap takes it
    // for a word.
    let words = &cli.copy.words;
    let Some(name) = words.first().filter(|_| cli.command.is_none() && cli.copy.source.is_empty())
    else {
        return Ok(cli);
    };
    if name == "help" {
        // It knows no options, and needs none.
        return parse(PREFIX, args.drain(..1).chain(words.iter().cloned()));
    }
    if Cli::command().find_subcommand(name).is_some()
        && let Some(at) = args.iter().skip(1).position(|arg| arg == name)
    {
        let name = args.remove(at + 1);
        args.insert(1, name);
        return read(args);
    }
    Ok(cli)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(line: &str) -> Result<Cli, clap::Error> {
        read(std::iter::once("mcp").chain(line.split_whitespace()).map(OsString::from))
    }

    fn demo(line: &str) -> Option<Demo> {
        match words(line).unwrap().command {
            Some(Command::Demo(demo)) => Some(demo),
            _ => None,
        }
    }

    #[test]
    fn the_definition_is_sound() {
        Cli::command().debug_assert();
    }

    #[test]
    fn the_demo_takes_file_and_options_in_any_order() {
        for line in [
            "demo --json f --group 239.255.0.1",
            "--json demo f --group 239.255.0.1",
            "--group 239.255.0.1 --json demo f",
        ] {
            let demo = demo(line).unwrap();
            assert!(demo.common.json && demo.common.group.is_some(), "{line}");
            assert_eq!(demo.file, Some(PathBuf::from("f")), "{line}");
        }
    }

    #[test]
    fn help_is_a_subcommand_too_wherever_it_stands() {
        for line in ["help", "--json help", "help demo", "--insecure-plaintext -q help demo"] {
            let help = words(line).unwrap_err();
            assert_eq!(help.kind(), clap::error::ErrorKind::DisplayHelp, "{line}: {help}");
            assert!(help.to_string().contains("three receivers"), "{line}");
        }
        for line in ["./help h", "-s help h", "f help"] {
            assert!(words(line).is_ok(), "{line}");
        }
    }

    #[test]
    fn a_secret_file_is_not_for_the_key() {
        for line in [
            "key --secret-file f",
            "key --secret-file=f -q",
            "--secret-file f key",
            "-q --secret-file f key",
        ] {
            let error = words(line).unwrap_err();
            assert!(
                error.use_stderr() && error.to_string().contains("mcp key --secret FILE"),
                "{error}"
            );
        }
        assert!(words("key --secret f").is_ok() && words("--secret-file f file host").is_ok());
    }

    #[test]
    fn what_needs_keys_is_named_where_there_are_none() {
        let of = |line: &str| words(line).unwrap().copy.without_effect();
        assert_eq!(of("f h --strict --known-hosts k"), ["--strict", "--known-hosts"]);
        assert_eq!(of("f h --known-hosts k"), ["--known-hosts"]);
        assert!(of("f h").is_empty());
    }

    #[test]
    fn a_configuration_file_holds_for_the_demo_too() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("mcp.toml");
        std::fs::write(&path, "json = true\nport = 9000\n").unwrap();
        for line in [
            format!("demo --config {}", path.display()),
            format!("--config {} demo", path.display()),
        ] {
            let demo = demo(&line).unwrap();
            assert!(demo.common.json && demo.common.port == 9000, "{line}");
        }
    }

    #[test]
    fn a_file_or_a_host_may_be_called_demo() {
        for line in ["./demo host", "file demo", "--json file demo", "-s demo demo", "-x demo f h"]
        {
            assert!(demo(line).is_none(), "{line}");
        }
    }

    #[test]
    fn sources_hosts_and_options_mix() {
        let copy = words("--port 9000 file h1 --rate 10M h2:p").unwrap().copy;
        assert_eq!(copy.words, ["file", "h1", "h2:p"]);
        assert_eq!((copy.common.port, copy.common.rate), (9000, Some(10_000_000)));
        assert!(words("--no-such-option f h").is_err());
        assert!(words("f h --port 0").is_err());
    }
}
