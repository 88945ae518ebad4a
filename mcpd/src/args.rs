//! The command line.

use crate::commands::{self, Commands};
use crate::starter;
use clap::builder::FalseyValueParser;
use clap::error::{ContextKind, ContextValue, ErrorKind};
use clap::{Args, CommandFactory, Parser, Subcommand};
use mcp_cli::listen::Listen;
use mcp_cli::rights::Right;
use mcp_cli::{Common, parse};
use std::collections::BTreeSet;
use std::ffi::OsString;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

/// Receives files below a folder.
///
/// SIGTERM and SIGINT end it within a second, after its senders were told; SIGHUP reads secrets and keys again,
/// and sessions of whoever may not send any more end; it also reads the configuration file again and opens the
/// folder anew, for sessions that begin from then on; SIGUSR1 tells how many sessions are running.
#[derive(Debug, Parser)]
#[command(
    name = "mcpd",
    version,
    subcommand_negates_reqs = true,
    override_usage = "mcpd [OPTIONS] --root <DIR>\n       mcpd [OPTIONS] --once --to-stdout\n       mcpd <COMMAND>",
    args_conflicts_with_subcommands = true
)]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) command: Option<Command>,
    /// The folder below which everything is received.
    #[arg(long, value_name = "DIR")]
    root: Option<PathBuf>,
    /// Follow symbolic links to folders: where --root, or a key's root, is one, and those below it that a destination
    /// names, as long as they lead to a folder below it. Else a folder that is a symbolic link is refused.
    #[arg(long)]
    pub(crate) follow_root: bool,
    /// End with the first session that a sender begins and that is not refused. The exit code is its own: 0 if it has
    /// all that was sent, else 1, also where a signal comes before.
    #[arg(long)]
    pub(crate) once: bool,
    /// With --once: write what comes to standard output, each block of 1 MiB once it is verified. The sender names it by
    /// the PATH -, and sends standard input or one file. Whatever is lacking at the end is told by the exit code.
    #[arg(long, requires = "once")]
    pub(crate) to_stdout: bool,
    /// Keep in this file, which is replaced whole at most every 100 ms, one line of JSON for each file above 256 KiB that
    /// is being received: its path, that of the partial file, its length, how many bytes from its beginning are verified
    /// and can be read already, and whether it is arriving, complete or failed. It is for the daemon's user alone, and
    /// stands outside of the root.
    #[arg(long, value_name = "FILE", conflicts_with = "to_stdout")]
    pub(crate) prefix_file: Option<PathBuf>,
    /// Listen to announcements of mirror jobs to this group at all times, on --interface or all interfaces; port 8738
    /// unless another is said.
    #[arg(long, value_name = "ADDR[:PORT]", value_parser = mcp_cli::values::announcements)]
    pub(crate) announce: Option<SocketAddr>,
    /// Listen on this address only, or on this port of all of them; port 0: any [default: every address of this host].
    #[arg(long, value_name = "[ADDR][:PORT]", value_parser = Listen::parse)]
    pub(crate) listen: Option<Listen>,
    /// The keys of those who may send, each with its root, its rate (of all its sessions together), its size (of each
    /// session), its expiry and what it may ask for (allow=owner,setuid,delete,device) [default: `authorized_keys` in
    /// /etc/mcp, for others than root in ~/.config/mcp].
    #[arg(long, value_name = "FILE")]
    pub(crate) authorized_keys: Option<PathBuf>,
    /// What may be asked for beside bytes by who has no entry there (with a secret, on loopback, in plaintext): owner
    /// (which user and group files belong to), setuid (the bits setuid and setgid, and capabilities),
    /// delete (that what the source does not have is deleted), device (devices, pipes and sockets); several between
    /// commas [default: nothing].
    #[arg(long, value_name = "RIGHT", value_delimiter = ',')]
    pub(crate) allow: Vec<Right>,
    /// What masters of mirror jobs may have run, of the configuration file.
    #[arg(skip)]
    pub(crate) commands: Commands,
    #[command(flatten)]
    pub(crate) common: Common,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Shows this host's key, and makes it if there is none.
    Key(Key),
    /// Shows which folders belong to mirror jobs, or frees one.
    Leases(Leases),
    /// Reads the password of a command from standard input, one line, and prints its hash, as the configuration file has
    /// it (credential, in a table [command.NAME]).
    Credential,
}

#[derive(Debug, Args)]
pub(crate) struct Key {
    #[command(flatten)]
    pub(crate) common: Common,
}

#[derive(Debug, Args)]
pub(crate) struct Leases {
    /// This folder, and all below it, belongs to no job any more.
    #[arg(long, value_name = "PATH")]
    pub(crate) drop: Option<PathBuf>,
    /// Say nothing but what went wrong.
    #[arg(short, long, value_parser = FalseyValueParser::new())]
    pub(crate) quiet: bool,
    /// Print JSON lines on standard output.
    #[arg(long, value_parser = FalseyValueParser::new())]
    pub(crate) json: bool,
    /// Read options from this file: TOML, the keys are the long options' names.
    #[arg(id = "config", long = "config", value_name = "FILE")]
    _config: Option<PathBuf>, // is read before the others
    /// What is known of jobs stands here [default: /var/lib/mcp for root, else ~/.local/state/mcp].
    #[arg(long, value_name = "DIR")]
    pub(crate) state_dir: Option<PathBuf>,
}

/// Reads the command line, the variables and the configuration file. Of a daemon whose starter gives it the secret by a
/// pipe the command line is all: what the login has beside it is for other daemons.
pub(crate) fn read(args: impl IntoIterator<Item = OsString>) -> Result<Cli, clap::Error> {
    let args: Vec<OsString> = args.into_iter().collect();
    let alone = starter::is_typed(&args);
    let cli: Result<Cli, _> = if alone { Cli::try_parse_from(&args) } else { parse_whole(&args) };
    let mut cli = cli.map_err(named_folder)?;
    if alone && cli.common.config.is_some() {
        let why = "--config has no use with --secret-file -: type what stands there";
        return Err(Cli::command().error(ErrorKind::ArgumentConflict, why));
    }
    if let (None, Some(path)) = (&cli.command, &cli.common.config) {
        let wrong = |why| Cli::command().error(ErrorKind::ValueValidation, why);
        cli.commands = Commands::read(path).map_err(wrong)?;
    }
    if let Some(Command::Key(_)) = cli.command {
        parse::refuse_secret_file(&mut Cli::command(), &args)?;
    } else if cli.to_stdout && parse::is_typed(&args, "--root") {
        // Not by clap: as a variable or in the configuration file, which are for all daemons of a host, it may stand.
        let why = "--root has no use with --to-stdout, which writes to standard output alone";
        return Err(Cli::command().error(ErrorKind::ArgumentConflict, why));
    } else if cli.command.is_none() && cli.root.is_none() && !cli.to_stdout {
        // Not by clap: a root that stands in the configuration file is a default to it, and would be missing.
        let why = "the following required arguments were not provided:\n  --root <DIR>";
        return Err(Cli::command().error(ErrorKind::MissingRequiredArgument, why));
    }
    Ok(cli)
}

/// The options; the configuration file may have commands beside them.
fn parse_whole(args: &[OsString]) -> Result<Cli, clap::Error> {
    parse::parse_beside("MCPD", args.iter().cloned(), &[commands::TABLE])
}

/// A folder without `--root` is no command that is not known, nor one that other options are not for.
fn named_folder(error: clap::Error) -> clap::Error {
    let known = |word: &str| Cli::command().find_subcommand(word).is_some();
    match (error.kind(), error.get(ContextKind::InvalidSubcommand)) {
        (
            ErrorKind::InvalidSubcommand | ErrorKind::ArgumentConflict,
            Some(ContextValue::String(word)),
        ) if !known(word) => {
            let why = format!(
                "'{word}' is no command; a folder to receive into is given as --root {word}"
            );
            Cli::command().error(ErrorKind::InvalidSubcommand, why)
        }
        _ => error,
    }
}

impl Cli {
    /// The folder below which everything is received; clap asks for it where it is needed. `None`: it goes to standard
    /// output.
    pub(crate) fn root(&self) -> Option<&Path> {
        (!self.to_stdout).then(|| self.root.as_deref().unwrap_or(Path::new("")))
    }

    /// What may be asked for by who has no entry of its own.
    pub(crate) fn allowed(&self) -> BTreeSet<Right> {
        self.allow.iter().copied().collect()
    }

    /// Options that differ from another reading's and that hold from the start to the end.
    pub(crate) fn fixed_that_differ(&self, other: &Self) -> Vec<&'static str> {
        let (one, two) = (&self.common, &other.common);
        let differ = [
            ("once", self.once != other.once),
            ("to-stdout", self.to_stdout != other.to_stdout),
            ("prefix-file", self.prefix_file != other.prefix_file),
            ("announce", self.announce != other.announce),
            ("listen", self.listen != other.listen),
            ("port", one.port != two.port),
            ("interface", one.interface != two.interface),
            ("group", one.group != two.group),
            ("json", one.json != two.json),
            ("verbose", one.verbose != two.verbose),
            ("secret-file", one.secret_file != two.secret_file),
            ("state-dir", one.state_dir != two.state_dir),
            ("insecure-plaintext", one.insecure_plaintext != two.insecure_plaintext),
            ("authorized-keys", self.authorized_keys != other.authorized_keys),
        ];
        differ.into_iter().filter_map(|(name, differs)| differs.then_some(name)).collect()
    }

    /// Options that say how to send, and that were given to a program that only receives.
    pub(crate) fn without_effect(&self) -> Vec<&'static str> {
        let Common { ttl, rate, connect_timeout, .. } = &self.common;
        let given = [
            ("--ttl", *ttl != 1),
            ("--rate", rate.is_some()),
            ("--connect-timeout", connect_timeout.is_some()),
        ];
        given.into_iter().filter_map(|(name, given)| given.then_some(name)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_definition_is_sound() {
        Cli::command().debug_assert();
    }

    #[test]
    fn the_help_says_what_a_hangup_reads() {
        let help = Cli::command().render_long_help().to_string();
        let words: Vec<&str> = help.split_whitespace().collect();
        assert!(words.join(" ").contains("SIGHUP reads secrets and keys again"), "{help}");
    }

    #[test]
    fn a_folder_without_its_option_is_told_which_one_it_needs() {
        for line in ["mcpd there", "mcpd --port 7 there", "mcpd --secret-file s there"] {
            let error = read(line.split(' ').map(OsString::from)).unwrap_err();
            assert!(error.to_string().contains("--root there"), "{error}");
            assert_eq!(error.exit_code(), 2);
        }
        let error = read(["mcpd", "--root", "x", "key"].map(OsString::from)).unwrap_err();
        assert!(!error.to_string().contains("--root key"), "{error}");
    }

    #[test]
    fn standard_output_is_for_one_session_and_stands_for_the_folder() {
        let read = |line: &str| read(line.split(' ').map(OsString::from));
        assert_eq!(read("mcpd --once --to-stdout").unwrap().root(), None);
        assert_eq!(read("mcpd --once --root /x").unwrap().root(), Some(Path::new("/x")));
        assert!(read("mcpd --once --root /x --prefix-file f").is_ok());
        for line in [
            "mcpd --to-stdout",
            "mcpd --once",
            "mcpd --once --to-stdout --root /x",
            "mcpd --once --to-stdout --prefix-file f",
            "mcpd --root=/x --once --to-stdout",
        ] {
            assert_eq!(read(line).unwrap_err().exit_code(), 2, "{line}");
        }
        let dir = tempfile::tempdir().unwrap();
        let config = dir.path().join("mcpd.toml");
        std::fs::write(&config, "root = \"/x\"").unwrap();
        let line = format!("mcpd --once --to-stdout --config {}", config.display());
        assert_eq!(read(&line).unwrap().root(), None);
    }

    #[test]
    fn a_secret_file_is_not_for_the_key() {
        let read = |line: &str| read(line.split(' ').map(OsString::from));
        assert!(
            read("mcpd key --secret-file f").unwrap_err().to_string().contains("--secret FILE")
        );
        assert!(read("mcpd --root / --secret-file f").is_ok() && read("mcpd key").is_ok());
    }

    #[test]
    fn where_the_secret_comes_by_a_pipe_no_file_is_read() {
        let read = |line: &str| read(line.split(' ').map(OsString::from));
        for line in ["mcpd --once --root / --secret-file -", "mcpd --root / --secret-file=- -q"] {
            assert!(starter::is_there(&read(line).unwrap()), "{line}");
            let error = read(&format!("{line} --config /no/such/file")).unwrap_err();
            assert_eq!(error.exit_code(), 2);
            assert!(error.to_string().contains("--config has no use"), "{error}");
        }
        let error = read("mcpd --root / --secret-file f --config /no/such/file").unwrap_err();
        assert!(error.to_string().contains("cannot be read"), "{error}");
    }

    #[test]
    fn rights_are_typed_or_stand_in_the_file() {
        let dir = tempfile::tempdir().unwrap();
        let config = dir.path().join("mcpd.toml");
        let of = |text: &str, line: &str| {
            std::fs::write(&config, text).unwrap();
            let words = format!("mcpd --root / --config {} {line}", config.display());
            let cli = read(words.split_whitespace().map(OsString::from));
            cli.map(|cli| cli.allowed().into_iter().collect::<Vec<_>>()).map_err(|e| e.to_string())
        };
        let both = vec![Right::Owner, Right::Setuid];
        assert_eq!(of("", ""), Ok(Vec::new()));
        assert_eq!(of("", "--allow delete"), Ok(vec![Right::Delete]));
        assert_eq!(of("", "--allow setuid,owner"), Ok(both.clone()));
        assert_eq!(of("", "--allow owner --allow setuid"), Ok(both.clone()));
        assert_eq!(of("allow = [\"owner\", \"setuid\"]", ""), Ok(both.clone()));
        assert_eq!(of("allow = \"owner,setuid\"", ""), Ok(both));
        assert_eq!(of("allow = [\"owner\"]", "--allow setuid"), Ok(vec![Right::Setuid]));
        for (text, line) in [("", "--allow device"), ("allow = [\"device\"]", "")] {
            assert_eq!(of(text, line), Ok(vec![Right::Device]));
        }
        let why = of("", "--allow all").unwrap_err();
        assert!(why.contains("there are owner, setuid, delete and device"), "{why}");
    }

    #[test]
    fn commands_stand_in_the_file_beside_the_options() {
        let dir = tempfile::tempdir().unwrap();
        let config = dir.path().join("mcpd.toml");
        let of = |text: &str, line: &str| {
            std::fs::write(&config, text).unwrap();
            let words = format!("mcpd {line} --config {}", config.display());
            let cli = read(words.split_whitespace().map(OsString::from));
            cli.map(|cli| cli.commands.names()).map_err(|error| error.to_string())
        };
        let text = "quiet = true\n[command.x]\nargv = [\"/bin/true\"]";
        assert_eq!(of(text, "--root /"), Ok("x".to_owned()));
        assert_eq!(of(text, "key"), Ok("none".to_owned()), "it runs none");
        for (text, what) in [
            ("[command.x]", "mcpd.toml: command.x.argv is missing"),
            ("[commands.x]", "mcpd.toml: commands is not an option that it can set"),
            ("command = 1", "mcpd.toml: command is to be a table"),
        ] {
            let why = of(text, "--root /").unwrap_err();
            assert!(why.contains(what), "{why}");
        }
    }

    #[test]
    fn what_says_how_to_send_is_named() {
        let cli = Cli::try_parse_from(["mcpd", "--root", "/", "--ttl", "2", "--rate", "1M"]);
        assert_eq!(cli.unwrap().without_effect(), ["--ttl", "--rate"]);
    }
}
