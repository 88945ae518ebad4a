//! The command line. `mtm send` has the options of a copy, with their variables (`MCP_…`) and configuration file.

use clap::{Args, CommandFactory, Parser, Subcommand};
use mcp::mirror::Options;
use mcp_cli::listen::Listen;
use mcp_cli::parse::{self, untyped};
use std::ffi::{OsStr, OsString};
use std::net::SocketAddr;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Begins the names of the variables: they are those of `mcp`.
pub(crate) const PREFIX: &str = parse::SENDERS;

/// Brings a tree to every host of a list, however long it takes.
///
/// A job is one folder and the hosts that are to have it. What each of them has of each entry stands in the job's file,
/// so that neither a host that is off for weeks nor the end of this program loses anything. Hosts receive by mcpd.
#[derive(Debug, Parser)]
#[command(name = "mtm", version, arg_required_else_help = true)]
pub(crate) struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Gives a job, and runs it until all hosts have all of the folder.
    Send(Box<Send>),
    /// Carries on all jobs that are open, until it is told to end; with JOB that one, until it is complete.
    Run(Run),
    /// Shows who lacks what, why, and since when.
    Status(Status),
    /// Sends nothing of a job until it is resumed.
    Pause(One),
    /// Goes on with a job that was paused, cancelled or complete: what has changed in the folder is sent.
    Resume(Resume),
    /// Ends a job: nothing of it is sent any more.
    Cancel(Cancel),
    /// Has all hosts read what they have: what is not as it should be is sent again.
    Verify(One),
    /// Adds hosts to a job, or removes them.
    Hosts(Hosts),
}

/// What `mtm send` takes beside the options of a copy.
#[derive(Debug, Args)]
pub(crate) struct Send {
    /// What the job is called [default: the folder's name].
    #[arg(long, value_name = "NAME")]
    pub(crate) name: Option<String>,
    /// What it is for.
    #[arg(long, value_name = "TEXT", default_value = "")]
    pub(crate) description: String,
    /// Write the job and return: mtm run carries it on.
    #[arg(long, value_parser = clap::builder::FalseyValueParser::new())]
    pub(crate) detach: bool,
    /// Run this command, by sh, when the job is complete and when a host has been late for as long as --late says; the
    /// variables `MTM_JOB`, `MTM_EVENT` (complete or late), `MTM_HOST` and `MTM_WHY` say what happened.
    #[arg(long, value_name = "COMMAND")]
    pub(crate) done: Option<String>,
    /// How long a host that lacks something may be late before it is told of: 90s, 15m, 12h, 7d.
    #[arg(long, value_name = "TIME", value_parser = long_time, requires = "done")]
    pub(crate) late: Option<Duration>,
    /// Where receivers say that they are there [default: every address of this host, a free port that the job keeps].
    #[arg(long, value_name = "[ADDR][:PORT]", value_parser = Listen::parse)]
    pub(crate) listen: Option<Listen>,
    /// Announce what is about to be sent to this group, which all receivers listen to (mcpd --announce); port
    /// 8738 unless another is said.
    #[arg(long, value_name = "ADDR[:PORT]", value_parser = mcp_cli::values::announcements)]
    pub(crate) announce: Option<SocketAddr>,
    #[command(flatten)]
    pub(crate) exec: Exec,
    #[command(flatten)]
    pub(crate) options: Options,
}

/// The command that receivers run.
#[derive(Debug, Clone, Default, Args)]
pub(crate) struct Exec {
    /// Have each host run this command of its own list (mcpd's configuration file, `[command.NAME]`) once it has all of
    /// the folder, and once for each later state of the folder. The exit code is 3 if it does not succeed everywhere.
    #[arg(long = "exec", value_name = "NAME", value_parser = command_name)]
    pub(crate) command: Option<String>,
    /// When a host runs it: each, once it has all of the folder; all, once all hosts have.
    #[arg(
        long = "exec-when",
        value_name = "WHEN",
        value_enum,
        default_value_t,
        requires = "command"
    )]
    pub(crate) when: When,
    /// The command's password is the first line of this file, which others cannot read. It is read each time, and kept
    /// nowhere else.
    #[arg(long = "exec-credential", value_name = "FILE", requires = "command")]
    pub(crate) credential: Option<PathBuf>,
}

/// When a host runs the command.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, clap::ValueEnum)]
pub(crate) enum When {
    /// Once it has all of the tree.
    #[default]
    Each,
    /// Once all hosts have.
    All,
}

#[derive(Debug, Args)]
pub(crate) struct Run {
    /// Run this job alone, in this process, until it is complete [default: all open ones, each in a process of its own].
    #[arg(value_name = "JOB")]
    pub(crate) job: Option<String>,
    #[command(flatten)]
    pub(crate) here: Here,
    /// Say nothing but what went wrong.
    #[arg(short, long)]
    pub(crate) quiet: bool,
    /// It was started in the surroundings of its job.
    #[arg(long, hide = true)]
    pub(crate) surrounded: bool,
    /// Only tell the receivers of a job that it is over.
    #[arg(long, hide = true, requires = "job")]
    pub(crate) over: bool,
    /// To this host, which is none of the job's any more, instead of all.
    #[arg(long, hide = true, requires = "over")]
    pub(crate) to: Vec<String>,
}

#[derive(Debug, Args)]
pub(crate) struct Status {
    /// The job, in full [default: all, in short].
    #[arg(value_name = "JOB")]
    pub(crate) job: Option<String>,
    /// Each entry with its status at each host.
    #[arg(long, requires = "job")]
    pub(crate) entries: bool,
    /// Print JSON lines.
    #[arg(long)]
    pub(crate) json: bool,
    #[command(flatten)]
    pub(crate) here: Here,
}

/// A job.
#[derive(Debug, Args)]
pub(crate) struct One {
    /// The job's name.
    #[arg(value_name = "JOB")]
    pub(crate) job: String,
    #[command(flatten)]
    pub(crate) here: Here,
}

#[derive(Debug, Args)]
pub(crate) struct Resume {
    #[command(flatten)]
    pub(crate) one: One,
    /// The folder that stands there now is the job's, also if it is another one than before, or empty.
    #[arg(long)]
    pub(crate) new_source: bool,
    /// With --delete: a session may delete so many entries at a host from now on.
    #[arg(long, value_name = "N")]
    pub(crate) max_delete: Option<u64>,
}

#[derive(Debug, Args)]
pub(crate) struct Cancel {
    #[command(flatten)]
    pub(crate) one: One,
    /// Remove its file as well: nothing is known of it any more.
    #[arg(long)]
    pub(crate) forget: bool,
}

#[derive(Debug, Args)]
pub(crate) struct Hosts {
    #[command(subcommand)]
    pub(crate) what: HostsCommand,
}

#[derive(Debug, Subcommand)]
pub(crate) enum HostsCommand {
    /// These get the folder as well.
    Add(Names),
    /// These do not; what they have stays there.
    Remove(Names),
}

#[derive(Debug, Args)]
pub(crate) struct Names {
    /// The job's name.
    #[arg(value_name = "JOB")]
    pub(crate) job: String,
    /// HOST[:PATH], as mtm send takes them.
    #[arg(value_name = "HOST", required = true)]
    pub(crate) hosts: Vec<String>,
    #[command(flatten)]
    pub(crate) here: Here,
}

/// Where jobs are.
#[derive(Debug, Args)]
pub(crate) struct Here {
    /// The folder of state [default: /var/lib/mcp for root, else ~/.local/state/mcp].
    #[arg(long, value_name = "DIR", env = "MCP_STATE_DIR")]
    pub(crate) state_dir: Option<PathBuf>,
}

// As a program of its own: its options come from the configuration file as well.
/// Gives a job, and runs it until all hosts have all of the folder.
#[derive(Debug, Parser)]
#[command(name = "mtm send", version, override_usage = "mtm send [OPTIONS] DIR HOST[:PATH]...")]
struct SendLine {
    #[command(flatten)]
    send: Send,
}

/// A command line that was read.
#[derive(Debug)]
pub(crate) enum Line {
    /// A job, with the words that it was given by.
    Send(Box<Send>, Vec<OsString>),
    Other(Command),
}

/// Reads a command line.
pub(crate) fn read(args: &[OsString]) -> Result<Line, clap::Error> {
    if args.get(1).is_some_and(|word| word == "send") {
        let words = args[2..].to_vec();
        return Ok(Line::Send(Box::new(send(&words)?), words));
    }
    let Cli { command } = Cli::try_parse_from(args)?;
    Ok(Line::Other(command))
}

/// Reads what stands behind `mtm send`.
pub(crate) fn send(words: &[OsString]) -> Result<Send, clap::Error> {
    let args: Vec<OsString> =
        std::iter::once("mtm send".into()).chain(words.iter().cloned()).collect();
    let SendLine { mut send } = parse::parse(PREFIX, args.iter().cloned())?;
    send.options.add(untyped::<SendLine>(PREFIX, &args, &Options::ADDING_UP)?);
    Ok(send)
}

/// Options that name files which a job reads while it runs, by their long names.
const FILES: [&str; 7] = [
    "config",
    "secret-file",
    "state-dir",
    "known-hosts",
    "exclude-from",
    "include-from",
    "exec-credential",
];

/// Options whose values name such a file by a path that is meant from the current folder, each with that path; `words`
/// stood behind `mtm send`. Lists of hosts are not among them: a job has its hosts in its own file.
pub(crate) fn relative_files(words: &[OsString]) -> Result<Vec<String>, clap::Error> {
    let args: Vec<OsString> =
        std::iter::once("mtm send".into()).chain(words.iter().cloned()).collect();
    let command = SendLine::command();
    let matches = command.clone().try_get_matches_from(&args)?;
    let with_rules = [&FILES[..], &["filter"]].concat();
    let mut values = untyped::<SendLine>(PREFIX, &args, &with_rules)?;
    for long in with_rules {
        let arg = command.get_arguments().find(|arg| arg.get_long() == Some(long));
        let typed = arg.and_then(|arg| matches.get_raw(arg.get_id().as_str()));
        values.extend(typed.into_iter().flatten().map(|value| (long, value.to_owned())));
    }
    let file = |long: &str, value: &OsString| match long {
        "filter" => merged(value.as_bytes()).map(|file| OsStr::from_bytes(file).to_owned()),
        _ => Some(value.clone()),
    };
    let relative = values.iter().filter_map(|(long, value)| {
        let file = file(long, value).filter(|file| Path::new(file).is_relative() && file != "-")?;
        Some(format!("--{long} {}", Path::new(&file).display()))
    });
    Ok(relative.collect())
}

/// The file that a rule of `--filter` has merged, if it does (rsync(1), "FILTER RULES").
fn merged(rule: &[u8]) -> Option<&[u8]> {
    let rest = rule.strip_prefix(b"merge").or_else(|| rule.strip_prefix(b"."))?;
    let at = rest.iter().position(|byte| matches!(byte, b' ' | b'_'))?;
    Some(&rest[at + 1..])
}

/// The folder of state that the configuration file names for all jobs, if it does.
pub(crate) fn state_dir_of_file() -> Result<Option<PathBuf>, clap::Error> {
    let values = untyped::<SendLine>(PREFIX, &["mtm".into()], &["state-dir"])?;
    Ok(values.into_iter().next().map(|(_, value)| value.into()))
}

/// An error of the command line that is found later.
pub(crate) fn usage(what: &str) -> anyhow::Error {
    mcp::mirror::Fault::Usage(format!("{what}; see mtm --help")).into()
}

fn command_name(text: &str) -> Result<String, String> {
    let why = "a command's name has letters, digits, '.', '_' and '-', at most 64";
    if mtm::exec::is_name(text) { Ok(text.to_owned()) } else { Err(why.to_owned()) }
}

fn long_time(text: &str) -> Result<Duration, String> {
    let bad = || "not a time such as 90s, 15m, 12h or 7d".to_owned();
    let unit = text.chars().last().ok_or_else(bad)?;
    let seconds: u64 = match unit {
        's' => 1,
        'm' => 60,
        'h' => 3600,
        'd' => 24 * 3600,
        _ => return Err(bad()),
    };
    let number: u64 = text[..text.len() - 1].parse().map_err(|_| bad())?;
    let time = number.checked_mul(seconds).filter(|time| *time > 0).ok_or_else(bad)?;
    Ok(Duration::from_secs(time))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::any::TypeId;

    #[test]
    fn each_option_that_names_a_file_is_known_for_one() {
        // They are read when the job is given, or not at all.
        let others = ["hosts", "host-groups", "source", "retry-file", "files-from"];
        for arg in SendLine::command().get_arguments() {
            let Some(long) = arg.get_long() else { continue };
            let is_file = arg.get_value_parser().type_id() == TypeId::of::<PathBuf>();
            assert_eq!(is_file, FILES.contains(&long) || others.contains(&long), "{long}");
        }
    }

    #[test]
    fn what_a_copy_has_no_option_for_is_known_to_it() {
        use clap::Args as _;
        let longs = |command: &clap::Command| -> Vec<String> {
            command.get_arguments().filter_map(clap::Arg::get_long).map(str::to_owned).collect()
        };
        let of_copies = longs(&Options::augment_args(clap::Command::new("mcp")));
        let mut own = longs(&SendLine::command());
        own.retain(|long| !of_copies.contains(long));
        assert_eq!(own, parse::OF_JOBS);
    }

    #[test]
    fn files_are_meant_from_the_folder_where_their_path_does_not_begin_at_the_root() {
        let of = |line: &str| {
            relative_files(&line.split(';').map(Into::into).collect::<Vec<OsString>>()).unwrap()
        };
        assert!(of("--delete;--secret-file;/s;--exclude-from=-;d;h;--hosts;l;-f;- x").is_empty());
        let found = of("--secret-file=s;-f;merge r;-f;. /q;--exec;x;--exec-credential;../c;d;h");
        assert_eq!(found, ["--secret-file s", "--exec-credential ../c", "--filter r"]);
    }

    #[test]
    fn the_definitions_are_sound() {
        Cli::command().debug_assert();
        SendLine::command().debug_assert();
    }

    #[test]
    fn times_are_as_long_as_people_wait() {
        let of = |text| long_time(text).map(|time| time.as_secs());
        assert_eq!(
            [of("90s"), of("15m"), of("12h"), of("7d")],
            [Ok(90), Ok(900), Ok(43_200), Ok(604_800)]
        );
        for bad in ["", "s", "0s", "7", "-1d", "1w", "99999999999999999d", "7ä"] {
            assert!(long_time(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_command_is_named_before_it_is_said_when() {
        let of = |line: &str| {
            let words: Vec<OsString> = line.split_whitespace().map(Into::into).collect();
            send(&words).map(|send| (send.exec.command, send.exec.when, send.exec.credential))
        };
        assert_eq!(of("d h").unwrap(), (None, When::Each, None));
        let all = of("d h --exec x --exec-when all --exec-credential f").unwrap();
        assert_eq!(all, (Some("x".to_owned()), When::All, Some("f".into())));
        for bad in
            ["--exec-when all", "--exec-credential f", "--exec a/b", "--exec x --exec-when y"]
        {
            assert!(of(&format!("d h {bad}")).is_err(), "{bad}");
        }
    }

    #[test]
    fn what_a_job_has_no_use_for_is_not_in_its_help() {
        let help = SendLine::command().render_long_help().to_string();
        assert!(help.contains("--exclude-host") && help.contains("--delete"), "{help}");
        for hidden in ["--ssh", "--retry", "--dry-run", "--files-from"] {
            let shown = help.lines().any(|line| line.trim_start().starts_with(hidden));
            assert!(!shown, "{hidden}: {help}");
        }
    }
}
