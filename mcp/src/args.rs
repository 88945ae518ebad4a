//! The command line.

use crate::clusters;
use crate::deletion;
use crate::elsewhere;
use crate::kept::{Durable, Kept};
use crate::late::LateHosts;
use crate::pipes::Stream;
use crate::plan::Plan;
use crate::rules::Rules;
use crate::slow::SlowHosts;
use clap::error::ErrorKind;
use clap::{Args, CommandFactory, Parser, Subcommand};
use mcp_cli::Common;
use mcp_cli::parse::{Typed, is_typed, parse, parse_typed, refuse_secret_file, untyped};
use std::ffi::OsString;
use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::time::Duration;
use tcpxm::config::Algorithm;

/// Begins the names of the variables.
pub(crate) const PREFIX: &str = mcp_cli::parse::SENDERS;

/// Copies a file to many hosts in the time of one.
///
/// HOST is a name, an IPv4 address or an [IPv6 address], with ranges: node[01-16,20]; @GROUP stands
/// for all hosts of a group, @* for all that are in one. PATH is below
/// the folder that the host's daemon receives into, also with a slash before it; a trailing slash
/// means into that folder. Another port than the daemon's stands between two colons: HOST:PORT:PATH.
/// A comma separates hosts as a blank does; one that belongs to a path is written \,. Files belong to
/// the user that the daemon runs as; only with --ssh is somebody logged in: USER@HOST.
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
    /// The file to copy, then the hosts that get it; - is standard input, and as a PATH a host's standard output.
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
    /// Try the hosts that failed again, up to N times, after 2, 4, 8 ... 30 seconds.
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub(crate) retry: u32,
    /// How the rate is found: by losses, as most do, or by what arrives, which bears lossy lines.
    #[arg(long, value_enum, default_value_t)]
    pub(crate) congestion: Congestion,
    #[command(flatten)]
    pub(crate) slow_hosts: SlowHosts,
    /// When only hosts are left that do not answer any more, wait for them for so long; they go on with what they lack
    /// when they are back [default: 0s].
    #[arg(long, value_name = "TIME", value_parser = mcp_cli::values::time)]
    pub(crate) wait_lost: Option<Duration>,
    #[command(flatten)]
    pub(crate) late_hosts: LateHosts,
    /// Start a daemon for this copy alone on each host, by ssh: HOST may be USER@HOST, PATH is relative to the home
    /// folder unless it begins with a slash, and none of mcp's keys or secrets is needed.
    #[arg(long, value_parser = clap::builder::FalseyValueParser::new())]
    pub(crate) ssh: bool,
    /// With --ssh: bring mcpd to each host first, into a temporary folder that goes with the copy.
    #[arg(long, value_parser = clap::builder::FalseyValueParser::new())]
    pub(crate) ssh_install: bool,
    /// With --ssh: an option for ssh's -o. May be given more than once.
    #[arg(long, value_name = "OPTION")]
    pub(crate) ssh_option: Vec<String>,
    /// With --ssh: hosts that are logged in to at a time.
    #[arg(long, value_name = "N", default_value_t = NonZeroUsize::new(32).unwrap_or(NonZeroUsize::MIN))]
    pub(crate) ssh_parallel: NonZeroUsize,
    /// The keys of hosts, new ones are added [default: `known_hosts` in /etc/mcp, for others than root in
    /// ~/.config/mcp].
    #[arg(long, value_name = "FILE")]
    pub(crate) known_hosts: Option<PathBuf>,
    /// Send only to hosts whose keys are known.
    #[arg(long, value_parser = clap::builder::FalseyValueParser::new())]
    pub(crate) strict: bool,
    /// Use no group, whatever --group says: each host by unicast.
    #[arg(long, value_parser = clap::builder::FalseyValueParser::new())]
    pub(crate) unicast: bool,
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
    /// What was given for this copy, not for all by the environment or the file.
    #[arg(skip)]
    pub(crate) typed: Typed,
}

impl Copy {
    /// With `--ssh`: the UDP port that daemons are to listen on whose hosts name none; `None`: any.
    pub(crate) fn started_port(&self) -> Option<u16> {
        self.typed.has("port").then_some(self.common.port)
    }

    /// Takes back what variables or the configuration file ask of all copies and this one cannot have; where it is typed
    /// there is no plan.
    pub(crate) fn settle(&mut self, plan: &Plan) {
        let is_stream = plan.stream.is_some();
        self.kept.itemize_changes &= !is_stream;
        self.kept.delete &= !is_stream && !deletion::are_files(&plan.sources);
        if is_stream {
            (self.late_hosts.late_join, self.late_hosts.min_hosts) = (false, None);
            self.wait_lost = None;
        }
        if plan.stream == Some(Stream::Stdin) {
            self.retry = 0;
        }
    }

    /// What a mirror job has: all of `-aAX`, and nothing that variables or the configuration file ask of copies and that it
    /// has no use for.
    pub(crate) fn settle_for_a_job(&mut self) {
        let kept = &mut self.kept;
        (kept.archive, kept.acls, kept.xattrs) = (true, true, true);
        (kept.dry_run, kept.itemize_changes, kept.no_resume) = (false, false, false);
        kept.update = false;
        // A job tries each host until it has all.
        (self.late_hosts.late_join, self.late_hosts.min_hosts) = (false, None);
        // What is told to be done is on the disk.
        kept.sync = kept.sync.filter(|sync| *sync != Durable::None);
        (self.ssh, self.ssh_install, self.retry, self.stats) = (false, false, 0, false);
        (self.retry_file, self.files_from) = (None, None);
        (self.source, self.ssh_option) = (Vec::new(), Vec::new());
    }

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
    let cli: Result<(Cli, _), _> = parse_typed(PREFIX, args.iter().cloned());
    let (mut cli, typed) = cli.map_err(|error| elsewhere::explain(error, &mut Cli::command()))?;
    cli.copy.typed = typed;
    if let Some(Command::Key(_)) = cli.command {
        refuse_secret_file(&mut Cli::command(), &args)?;
    }
    if cli.command.is_none() {
        clusters::refuse_swallowed(&args, &mut Cli::command())?;
        cli.copy.rules.add_untyped(untyped::<Cli>(PREFIX, &args, &Rules::OPTIONS)?);
    }
    let for_ssh = ["ssh-install", "ssh-option"].into_iter().find(|long| cli.copy.typed.has(long));
    if let Some(long) = for_ssh.filter(|_| !cli.copy.ssh) {
        let what = format!("--{long} has a use only with --ssh");
        return Err(Cli::command().error(ErrorKind::MissingRequiredArgument, what));
    }
    if let Some(what) = cli.copy.slow_hosts.fault(cli.copy.typed.has("slow-limit"))
        && cli.command.is_none()
    {
        return Err(Cli::command().error(ErrorKind::MissingRequiredArgument, what));
    }
    if cli.copy.ssh && is_typed(&args, "--secret-file") {
        // As a variable or in the configuration file it is for copies to daemons that run already.
        let what = "--secret-file has no use with --ssh, which draws a secret for each copy";
        return Err(Cli::command().error(ErrorKind::ArgumentConflict, what));
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
    use crate::standard_input::StandardInput;

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
    fn a_daemon_that_is_started_gets_the_port_that_was_typed_and_no_secret_file() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("mcp.toml");
        std::fs::write(&path, "port = 9000\nsecret-file = \"s\"\n").unwrap();
        let port = |line: &str| words(line).unwrap().copy.started_port();
        assert_eq!(port("--ssh f h"), None);
        assert_eq!(port(&format!("--ssh f h --config {}", path.display())), None);
        assert_eq!(port("--ssh f h --port 9000"), Some(9000));
        assert_eq!(port("--port=8737 --ssh f h"), Some(8737));
        for line in ["--ssh --secret-file s f h", "f h --secret-file=s --ssh"] {
            let error = words(line).unwrap_err();
            assert!(
                error.use_stderr() && error.to_string().contains("no use with --ssh"),
                "{error}"
            );
        }
    }

    #[test]
    fn what_is_for_ssh_is_refused_without_it_where_it_is_typed() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("mcp.toml");
        std::fs::write(&path, "ssh-install = true\nssh-option = \"Port=1\"\n").unwrap();
        let copy = words(&format!("f h --config {}", path.display())).unwrap().copy;
        assert!(!copy.ssh && copy.ssh_install);
        for line in ["f h --ssh-install", "f h --ssh-option=Port=1", "--ssh-option Port=1 f h"] {
            let error = words(line).unwrap_err();
            assert!(error.use_stderr() && error.to_string().contains("only with --ssh"), "{error}");
        }
        assert!(words("--ssh --ssh-install --ssh-option Port=1 f h").is_ok());
        std::fs::write(&path, "ssh = true\n").unwrap();
        assert!(words(&format!("f h --ssh-install --config {}", path.display())).is_ok());
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
    fn a_configuration_file_is_shared_with_mirror_jobs() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("mcp.toml");
        std::fs::write(&path, "announce = \"239.255.77.17:28738\"\nport = 9000\n").unwrap();
        let line = format!("f h --config {}", path.display());
        assert_eq!(words(&line).unwrap().copy.common.port, 9000);
        let known = Copy::augment_args(clap::Command::new("mtm"));
        let known: Vec<_> = known.get_arguments().filter_map(clap::Arg::get_long).collect();
        for arg in Cli::command().get_arguments() {
            assert!(arg.get_long().is_none_or(|long| known.contains(&long)), "{arg}");
        }
    }

    #[test]
    fn rules_of_a_configuration_file_stand_behind_those_that_are_typed() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("mcp.toml");
        let config = "exclude = [\"prot\", \"late\"]\ninclude = \"*.c\"\nfilter = [\"P keep\"]\n";
        std::fs::write(&path, config).unwrap();
        let out = |typed: &str, file: &[u8]| {
            let line = format!("a/ h --config {} {typed}", path.display());
            let rules = words(&line).unwrap().copy.rules;
            rules
                .filter(false, &StandardInput::default())
                .unwrap()
                .of_target(file, false)
                .leaves_out()
        };
        for typed in
            ["", "--exclude e2", "--filter hide_x", "--exclude e2 --include y --filter -_x"]
        {
            assert!(out(typed, b"prot") && out(typed, b"keep") && !out(typed, b"x.c"), "{typed}");
        }
        assert!(out("--exclude e2", b"e2") && out("--exclude *.c", b"x.c"));
        assert!(!out("--include prot", b"prot") && out("--include prot", b"late"));
        // They are forgotten by a rule of the file alone: what is typed comes first.
        assert!(out("--filter !", b"prot"));
    }

    #[test]
    fn a_file_or_a_host_may_be_called_demo() {
        for line in ["./demo host", "file demo", "--json file demo", "-s demo demo", "-x demo f h"]
        {
            assert!(demo(line).is_none(), "{line}");
        }
    }

    #[test]
    fn x_swallows_no_other_options() {
        // As rsync -axn SOURCE HOST, where x and n have no values: it would be a copy to all hosts but n.
        for line in ["-axn", "-axvn", "-axi", "-axH", "-xan", "-xavz", "-vxnode7"] {
            for line in [format!("{line} --delete a/ h:d"), format!("a/ h:d --exclude x {line}")] {
                let error = words(&line).map(|_| line.clone()).unwrap_err();
                assert!(error.use_stderr() && error.exit_code() == 2, "{line}: {error}");
                assert!(error.to_string().contains("--one-file-system"), "{line}: {error}");
            }
        }
        for (line, host) in [
            ("-xnode7 f h", "node7"),
            ("-x n f h", "n"),
            ("-x=an f h", "an"),
            ("-ax n f h", "n"),
            ("-xn[1-3] f h", "n[1-3]"),
            ("-f -axn -x h2 f h", "h2"),
            ("--filter -axn -x h2 f h", "h2"),
            ("-xh2 -- f h -axn", "h2"),
        ] {
            assert_eq!(words(line).unwrap().copy.exclude_host, [host], "{line}");
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
