//! The command line.

use clap::error::{ContextKind, ContextValue, ErrorKind};
use clap::{Args, CommandFactory, Parser, Subcommand};
use mcp_cli::rights::Right;
use mcp_cli::{Common, parse, values};
use std::collections::BTreeSet;
use std::ffi::OsString;
use std::net::{IpAddr, SocketAddr};
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
    args_conflicts_with_subcommands = true
)]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) command: Option<Command>,
    /// The folder below which everything is received.
    #[arg(long, value_name = "DIR", required = true)]
    root: Option<PathBuf>,
    /// Follow symbolic links to folders: where --root, or a key's root, is one, and those below it that a destination
    /// names, as long as they lead to a folder below it. Else a folder that is a symbolic link is refused.
    #[arg(long)]
    pub(crate) follow_root: bool,
    /// Listen on this address only [default: every address of this host].
    #[arg(long, value_name = "ADDR[:PORT]", value_parser = listen)]
    pub(crate) listen: Option<Listen>,
    /// The keys of those who may send, each with its root, its rate (of all its sessions together), its size (of each
    /// session), its expiry and what it may ask for (allow=owner,setuid) [default: `authorized_keys` in /etc/mcp, for others than root in ~/.config/mcp].
    #[arg(long, value_name = "FILE")]
    pub(crate) authorized_keys: Option<PathBuf>,
    /// What may be asked for beside bytes by who has no entry there (with a secret, on loopback, in plaintext): owner
    /// (which user and group files belong to), setuid (the bits setuid and setgid); several between commas [default:
    /// nothing].
    #[arg(long, value_name = "RIGHT", value_delimiter = ',')]
    pub(crate) allow: Vec<Right>,
    #[command(flatten)]
    pub(crate) common: Common,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Shows this host's key, and makes it if there is none.
    Key(Key),
}

#[derive(Debug, Args)]
pub(crate) struct Key {
    #[command(flatten)]
    pub(crate) common: Common,
}

/// Reads the command line, the variables and the configuration file.
pub(crate) fn read(args: impl IntoIterator<Item = OsString>) -> Result<Cli, clap::Error> {
    let args: Vec<OsString> = args.into_iter().collect();
    let cli: Cli = parse::parse("MCPD", args.iter().cloned()).map_err(named_folder)?;
    if let Some(Command::Key(_)) = cli.command {
        parse::refuse_secret_file(&mut Cli::command(), &args)?;
    }
    Ok(cli)
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

/// An address, and perhaps a port of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Listen {
    ip: IpAddr,
    port: Option<u16>,
}

impl Listen {
    /// With `port` where it has none.
    pub(crate) fn addr(self, port: u16) -> SocketAddr {
        (self.ip, self.port.unwrap_or(port)).into()
    }
}

fn listen(text: &str) -> Result<Listen, String> {
    // Whatever port is assumed, an address with its own keeps it.
    let (one, two) = (values::addr(text, 1)?, values::addr(text, 2)?);
    let port = (one == two).then(|| one.port());
    if one.ip().is_multicast() {
        return Err(format!("{} is a group, not an address of this host", one.ip()));
    }
    Ok(Listen { ip: one.ip(), port })
}

impl Cli {
    /// The folder below which everything is received; clap asks for it where it is needed.
    pub(crate) fn root(&self) -> &Path {
        self.root.as_deref().unwrap_or(Path::new(""))
    }

    /// What may be asked for by who has no entry of its own.
    pub(crate) fn allowed(&self) -> BTreeSet<Right> {
        self.allow.iter().copied().collect()
    }

    /// Options that differ from another reading's and that hold from the start to the end.
    pub(crate) fn fixed_that_differ(&self, other: &Self) -> Vec<&'static str> {
        let (one, two) = (&self.common, &other.common);
        let differ = [
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
    fn a_port_of_its_own_is_kept() {
        let addr = |text| listen(text).map(|listen| listen.addr(7).to_string());
        assert_eq!(addr("10.0.0.1"), Ok("10.0.0.1:7".to_owned()));
        assert_eq!(addr("10.0.0.1:1"), Ok("10.0.0.1:1".to_owned()));
        assert_eq!(addr("127.0.0.1:0"), Ok("127.0.0.1:0".to_owned()));
        assert_eq!(addr("::"), Ok("[::]:7".to_owned()));
        assert_eq!(addr("[::1]:9"), Ok("[::1]:9".to_owned()));
        for bad in ["", "host", "239.255.0.1", "10.0.0.1:", "10.0.0.1:65536"] {
            assert!(listen(bad).is_err(), "{bad}");
        }
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
    fn a_secret_file_is_not_for_the_key() {
        let read = |line: &str| read(line.split(' ').map(OsString::from));
        assert!(
            read("mcpd key --secret-file f").unwrap_err().to_string().contains("--secret FILE")
        );
        assert!(read("mcpd --root / --secret-file f").is_ok() && read("mcpd key").is_ok());
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
        assert_eq!(of("", "--allow setuid,owner"), Ok(both.clone()));
        assert_eq!(of("", "--allow owner --allow setuid"), Ok(both.clone()));
        assert_eq!(of("allow = [\"owner\", \"setuid\"]", ""), Ok(both.clone()));
        assert_eq!(of("allow = \"owner,setuid\"", ""), Ok(both));
        assert_eq!(of("allow = [\"owner\"]", "--allow setuid"), Ok(vec![Right::Setuid]));
        for (text, line) in [("", "--allow delete"), ("allow = [\"owner\", \"delete\"]", "")] {
            let why = of(text, line).unwrap_err();
            assert!(why.contains("delete is reserved, and cannot be allowed yet"), "{why}");
        }
        let why = of("", "--allow all").unwrap_err();
        assert!(why.contains("there are owner and setuid"), "{why}");
    }

    #[test]
    fn what_says_how_to_send_is_named() {
        let cli = Cli::try_parse_from(["mcpd", "--root", "/", "--ttl", "2", "--rate", "1M"]);
        assert_eq!(cli.unwrap().without_effect(), ["--ttl", "--rate"]);
    }
}
