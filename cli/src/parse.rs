//! From the command line, the environment and the configuration file to a tool's options, in this
//! order of precedence.

use clap::error::{ContextKind, ContextValue, ErrorKind};
use clap::parser::ValueSource;
use clap::{Arg, ArgAction, ArgMatches, Command, CommandFactory, FromArgMatches};
use std::collections::BTreeSet;
use std::ffi::OsString;
use std::path::PathBuf;

/// Begins the variables of `mcp` and `mtm`, which share their configuration file as well.
pub const SENDERS: &str = "MCP";

/// Options that of these `mtm send` alone has: `mcp` passes over them in the file. The other way round there are none.
pub const OF_JOBS: [&str; 10] = [
    "name",
    "description",
    "detach",
    "done",
    "late",
    "listen",
    "announce",
    "exec",
    "exec-when",
    "exec-credential",
];

/// Reads a tool's options. `prefix` begins the name of each option's variable: with `MCP` the
/// option `--connect-timeout` is also `MCP_CONNECT_TIMEOUT`. What is wrong in the file named by
/// `--config` is an error of usage that names file and key.
pub fn parse<P: CommandFactory + FromArgMatches>(
    prefix: &str,
    args: impl IntoIterator<Item = OsString>,
) -> Result<P, clap::Error> {
    parse_typed(prefix, args).map(|(options, _)| options)
}

/// The same as [`parse`], where the configuration file may have tables of these names as well: what is in them is the
/// affair of who asks for it.
pub fn parse_beside<P: CommandFactory + FromArgMatches>(
    prefix: &str,
    args: impl IntoIterator<Item = OsString>,
    tables: &[&str],
) -> Result<P, clap::Error> {
    read(prefix, args, tables).map(|(options, _)| options)
}

/// Options that were typed, by their long names, in whatever way; the others, if they are set, are so by variables or
/// the configuration file, which are for all copies.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Typed(BTreeSet<String>);

impl Typed {
    /// Whether this one was.
    pub fn has(&self, long: &str) -> bool {
        self.0.contains(long)
    }

    fn of(command: &Command, matches: &ArgMatches) -> Self {
        let is_typed = |arg: &&Arg| {
            matches.value_source(arg.get_id().as_str()) == Some(ValueSource::CommandLine)
        };
        let typed = command.get_arguments().filter(is_typed).filter_map(Arg::get_long);
        Self(typed.map(str::to_owned).collect())
    }
}

/// The same as [`parse`], with what was typed, of the options that stand before a command.
pub fn parse_typed<P: CommandFactory + FromArgMatches>(
    prefix: &str,
    args: impl IntoIterator<Item = OsString>,
) -> Result<(P, Typed), clap::Error> {
    read(prefix, args, &[])
}

fn read<P: CommandFactory + FromArgMatches>(
    prefix: &str,
    args: impl IntoIterator<Item = OsString>,
    tables: &[&str],
) -> Result<(P, Typed), clap::Error> {
    let args: Vec<OsString> = args.into_iter().collect();
    let mut command = with_variables(P::command(), prefix);
    if let Some(path) = config_path(&args, prefix) {
        command = with_file(command, &path, (prefix, tables))?;
    }
    let matches = command.clone().try_get_matches_from(&args);
    let mut matches = matches.map_err(|error| of_variable(error, &mut command, &args, prefix))?;
    let typed = Typed::of(&command, &matches);
    let options = P::from_arg_matches_mut(&mut matches);
    options.map(|options| (options, typed)).map_err(|error| error.format(&mut command))
}

/// What stands for these options, by their long names, where they are not typed: in variables first, then in the
/// configuration file; for options whose values add up. What is wrong in the file is an error, as for [`parse`].
pub fn untyped<P: CommandFactory>(
    prefix: &str,
    args: &[OsString],
    longs: &[&'static str],
) -> Result<Vec<(&'static str, OsString)>, clap::Error> {
    let mut command = P::command();
    if let Some(path) = config_path(args, prefix) {
        command = with_file(command, &path, (prefix, &[]))?;
    }
    let by_variable = longs.iter().filter_map(|long| {
        let value = std::env::var_os(variable(prefix, long)).filter(|value| !value.is_empty())?;
        Some((*long, value))
    });
    let by_file = longs.iter().flat_map(|long| {
        let arg = command.get_arguments().find(|arg| arg.get_long() == Some(long));
        let values = arg.map(Arg::get_default_values).unwrap_or_default();
        values.iter().map(|value| (*long, value.clone().into()))
    });
    Ok(by_variable.chain(by_file).collect())
}

/// Whether a flag was asked for, on a command line that was not understood: among its words, by its variable, or in the
/// configuration file.
pub fn is_asked(args: &[OsString], prefix: &str, long: &str) -> bool {
    let text = std::env::var(variable(prefix, long)).unwrap_or_default().to_lowercase();
    // As clap's `FalseyValueParser` reads it.
    let by_variable = !["", "0", "f", "false", "n", "no", "off"].contains(&&*text);
    let by_file = || {
        let text = std::fs::read_to_string(config_path(args, prefix)?).ok()?;
        text.parse::<toml::Table>().ok()?.get(long)?.as_bool()
    };
    is_typed(args, &format!("--{long}")) || by_variable || by_file().unwrap_or(false)
}

/// Whether that option stands among the words of a command line.
pub fn is_typed(args: &[OsString], option: &str) -> bool {
    let words = args.iter().skip(1).take_while(|arg| *arg != "--");
    words.filter_map(|arg| arg.to_str()).any(|arg| {
        arg.strip_prefix(option).is_some_and(|rest| rest.is_empty() || rest.starts_with('='))
    })
}

/// Refuses `--secret-file` where a key is shown or made: it would be for nothing, and whoever types it means
/// something else. As a variable or in the configuration file, which are for all commands, it may stand.
pub fn refuse_secret_file(command: &mut Command, args: &[OsString]) -> Result<(), clap::Error> {
    if !is_typed(args, "--secret-file") {
        return Ok(());
    }
    let what =
        "--secret-file has no use with key: mcp key --secret FILE makes a secret in that file";
    Err(command.error(ErrorKind::ArgumentConflict, what))
}

/// The variable of a long option.
fn variable(prefix: &str, long: &str) -> String {
    format!("{prefix}_{}", long.replace('-', "_").to_uppercase())
}

/// Names the variable where a value that is wrong stands in one: nobody has typed the option that clap names.
fn of_variable(
    error: clap::Error,
    command: &mut Command,
    args: &[OsString],
    prefix: &str,
) -> clap::Error {
    let text = |kind| match error.get(kind) {
        Some(ContextValue::String(text)) => Some(text.as_str()),
        _ => None,
    };
    let option = text(ContextKind::InvalidArg).and_then(|arg| arg.split([' ', '=']).next());
    let (Some(option), Some(value)) = (option, text(ContextKind::InvalidValue)) else {
        return error;
    };
    let Some(long) = option.strip_prefix("--") else { return error };
    let name = variable(prefix, long);
    if is_typed(args, option) || std::env::var(&name).ok().as_deref() != Some(value) {
        return error;
    }
    let why = std::error::Error::source(&error).map(|why| format!(": {why}")).unwrap_or_default();
    command.error(error.kind(), format!("invalid value '{value}' in the variable {name}{why}"))
}

/// Gives every long option its variable, also in subcommands.
fn with_variables(command: Command, prefix: &str) -> Command {
    let variable = |name: &str| variable(prefix, name);
    command
        .mut_args(|arg| match arg.get_long().map(variable) {
            Some(name) if has_value(&arg) && !is_empty(&name) => arg.env(name),
            _ => arg,
        })
        .mut_subcommands(|sub| with_variables(sub, prefix))
}

/// An empty variable is none: it is how scripts and unit files take one back that was set before.
fn is_empty(variable: &str) -> bool {
    std::env::var_os(variable).is_some_and(|value| value.is_empty())
}

/// Says what to do, not how: a variable of that name, which anybody may have for something else, is not to make
/// `mcp key` write a file.
const ONLY_TYPED: &str = "secret";
/// What an option's value in a configuration file is to be.
const WANTED: &str = "is to be a text, a number, true or false, or a list of these";

/// Whether the environment and the file may set it: all but `--help`, `--version` and [`ONLY_TYPED`].
fn has_value(arg: &Arg) -> bool {
    arg.get_long() != Some(ONLY_TYPED)
        && matches!(
            arg.get_action(),
            ArgAction::Set | ArgAction::Append | ArgAction::SetTrue | ArgAction::Count
        )
}

/// The configuration file's name, which is needed before anything else can be read.
fn config_path(args: &[OsString], prefix: &str) -> Option<PathBuf> {
    let mut args = args.iter().skip(1).take_while(|arg| *arg != "--");
    while let Some(arg) = args.next() {
        if arg == "--config" {
            return args.next().map(PathBuf::from);
        }
        let joined = arg.to_str().and_then(|arg| arg.strip_prefix("--config="));
        if let Some(path) = joined {
            return Some(path.into());
        }
    }
    std::env::var_os(format!("{prefix}_CONFIG")).filter(|path| !path.is_empty()).map(PathBuf::from)
}

/// Puts a file's values below everything else that may set them. Tables of these names are left to others, and so is what
/// only another program has of those that share the file.
fn with_file(
    mut command: Command,
    path: &PathBuf,
    (prefix, tables): (&str, &[&str]),
) -> Result<Command, clap::Error> {
    let wrong = |command: &mut Command, what: String| {
        let text = format!("{}: {what}", path.display());
        command.error(ErrorKind::ValueValidation, text)
    };
    let text = match std::fs::read_to_string(path) {
        Ok(text) => text,
        Err(error) => return Err(wrong(&mut command, format!("cannot be read: {error}"))),
    };
    let table: toml::Table = match toml::from_str(&text) {
        Ok(table) => table,
        Err(error) => return Err(wrong(&mut command, error.to_string())),
    };
    for (key, value) in table {
        if tables.contains(&key.as_str()) {
            if value.is_table() {
                continue;
            }
            return Err(wrong(&mut command, format!("{key} is to be a table")));
        }
        let found = command
            .get_arguments()
            .find(|arg| arg.get_long() == Some(&key) && has_value(arg) && key != "config");
        let Some(arg) = found else {
            if prefix == SENDERS && OF_JOBS.contains(&key.as_str()) {
                continue;
            }
            return Err(wrong(&mut command, format!("{key} is not an option that it can set")));
        };
        let (id, flag) = (arg.get_id().clone(), !arg.get_action().takes_values());
        let values = match (value, flag) {
            (toml::Value::Boolean(value), true) => vec![value.to_string()],
            (toml::Value::Array(values), false) => match values.iter().map(plain).collect() {
                Some(values) => values,
                None => return Err(wrong(&mut command, format!("{key} {WANTED}"))),
            },
            (value, _) => match plain(&value) {
                Some(value) => vec![value],
                None => return Err(wrong(&mut command, format!("{key} {WANTED}"))),
            },
        };
        if let Err(error) = check(&command, &key, &values, flag) {
            return Err(wrong(&mut command, format!("{key}: {error}")));
        }
        command = with_default(command, id.as_str(), &values);
    }
    Ok(command)
}

/// Gives an option its default, also in every subcommand that has it.
fn with_default(command: Command, id: &str, values: &[String]) -> Command {
    let has = command.get_arguments().any(|arg| arg.get_id() == id);
    let command = if has {
        // A default does not count as given, and a required option would still be missing.
        command.mut_arg(id, |arg| arg.required(false).default_values(values.iter().cloned()))
    } else {
        command
    };
    command.mut_subcommands(|sub| with_default(sub, id, values))
}

fn plain(value: &toml::Value) -> Option<String> {
    match value {
        toml::Value::String(text) => Some(text.clone()),
        toml::Value::Integer(number) => Some(number.to_string()),
        toml::Value::Float(number) => Some(number.to_string()),
        toml::Value::Boolean(value) => Some(value.to_string()),
        _ => None,
    }
}

/// Reads the values as if they stood on the command line, alone, so that what is wrong is known
/// before it is a default, which clap trusts.
fn check(command: &Command, key: &str, values: &[String], flag: bool) -> Result<(), String> {
    let Some(arg) = command.get_arguments().find(|arg| arg.get_long() == Some(key)) else {
        return Ok(());
    };
    // A new one: what it wants or forbids beside it is not here.
    let mut new = Arg::new(key.to_owned()).long(key.to_owned()).num_args(1);
    new = new.value_parser(arg.get_value_parser().clone());
    new = new.value_delimiter(arg.get_value_delimiter());
    new = new.value_names(arg.get_value_names().unwrap_or_default().to_vec());
    new = new.action(if flag { ArgAction::Set } else { ArgAction::Append });
    let alone = Command::new("value").arg(new);
    let words = values.iter().map(|value| format!("--{key}={value}"));
    let read = alone.try_get_matches_from(std::iter::once("value".to_owned()).chain(words));
    read.map(drop).map_err(|error| {
        let text = error.to_string();
        let line = text.lines().next().unwrap_or_default();
        line.strip_prefix("error: ").unwrap_or(line).to_owned()
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::options::Common;
    use clap::Parser;
    use std::time::Duration;

    #[derive(Debug, Parser)]
    struct Tool {
        #[arg(long)]
        root: Option<String>,
        #[arg(long, short)]
        many: Vec<String>,
        #[arg(long)]
        secret: Option<String>,
        #[command(flatten)]
        common: Common,
    }

    fn read(args: &[&str]) -> Result<Tool, String> {
        let args = std::iter::once("tool").chain(args.iter().copied()).map(OsString::from);
        // A prefix that nobody's environment has.
        parse("MCP_CLI_TEST_NO_SUCH", args).map_err(|error| error.to_string())
    }

    fn with_config(text: &str, args: &[&str]) -> Result<Tool, String> {
        let path = std::env::temp_dir().join(format!(
            "mcp-cli-{}-{:?}.toml",
            std::process::id(),
            std::thread::current().id()
        ));
        std::fs::write(&path, text).unwrap();
        let path = path.to_str().unwrap();
        let tool = read(&[args, &["--config", path]].concat());
        std::fs::remove_file(path).unwrap();
        tool
    }

    #[test]
    fn defaults_are_the_published_ones() {
        let common = read(&[]).unwrap().common;
        assert_eq!((common.port, common.ttl), (8737, 1));
        assert_eq!((common.connect_timeout, common.patience()), (None, Duration::from_secs(10)));
        assert!(common.rate.is_none() && !common.json && !common.insecure_plaintext);
    }

    #[test]
    fn the_file_stands_below_the_command_line() {
        let file = "port = 9000\nrate = \"10M\"\njson = true\nverbose = 2\nmany = [\"a\", \"b\"]\nconnect-timeout = 1.5";
        let tool = with_config(file, &["--port", "9001"]).unwrap();
        let common = tool.common;
        assert_eq!((common.port, common.rate, common.verbose), (9001, Some(10_000_000), 2));
        assert_eq!(common.connect_timeout, Some(Duration::from_millis(1500)));
        assert!(common.json && tool.many == ["a", "b"] && tool.root.is_none());
        assert!(!with_config("json = false", &[]).unwrap().common.json);
    }

    #[test]
    fn what_is_not_typed_is_told_beside_what_is() {
        let path = std::env::temp_dir().join(format!("mcp-cli-{}-untyped", std::process::id()));
        std::fs::write(&path, "many = [\"a\", \"b\"]\nroot = \"r\"").unwrap();
        let args = ["tool", "--many", "c", "--config", path.to_str().unwrap()].map(OsString::from);
        let untyped = |args| untyped::<Tool>("MCP_CLI_TEST_NO_SUCH", args, &["root", "many"]);
        let expected = [("root", "r"), ("many", "a"), ("many", "b")].map(|(a, b)| (a, b.into()));
        assert_eq!(untyped(&args).unwrap(), expected);
        assert_eq!(untyped(&args[..3]).unwrap(), []);
        std::fs::remove_file(path).unwrap();
    }

    #[derive(Debug, Parser)]
    struct Demanding {
        #[arg(long)]
        root: String,
        #[arg(long)]
        config: Option<String>,
    }

    #[test]
    fn the_file_gives_what_is_required() {
        let path = std::env::temp_dir().join(format!("mcp-cli-{}-required", std::process::id()));
        std::fs::write(&path, "root = \"/srv\"").unwrap();
        let config = path.to_str().unwrap().to_owned();
        let read = |args: &[&str]| {
            let args = [&["tool", "--config", &config], args].concat();
            parse::<Demanding>("MCP_CLI_TEST_NO_SUCH", args.into_iter().map(OsString::from))
        };
        assert_eq!(read(&[]).unwrap().root, "/srv");
        assert_eq!(read(&["--root", "/other"]).unwrap().root, "/other");
        assert!(read(&[]).unwrap().config.is_some());
        std::fs::remove_file(path).unwrap();
    }

    #[test]
    fn what_is_wrong_in_the_file_is_named() {
        for (text, what) in [
            ("prot = 1", "prot is not an option"),
            ("port = 0", "port: "),
            ("rate = \"fast\"", "rate: "),
            ("port = { a = 1 }", "port is to be a text, a number"),
            ("port = ", "expected"),
            ("config = \"other\"", "config is not an option"),
            ("help = true", "help is not an option"),
            ("ttl = 256", "ttl: "),
            ("json = \"maybe\"", ""),
        ] {
            match with_config(text, &[]) {
                Err(error) => assert!(error.contains(what) && error.contains(".toml"), "{error}"),
                Ok(tool) => assert!(what.is_empty() && tool.common.json, "{text}"),
            }
        }
        assert!(read(&["--config", "/no/such/file"]).unwrap_err().contains("cannot be read"));
    }

    #[test]
    fn who_shares_a_file_passes_over_what_another_program_alone_has() {
        let path = std::env::temp_dir().join(format!("mcp-cli-{}-shared", std::process::id()));
        let read = |text: &str, prefix: &str| {
            std::fs::write(&path, text).unwrap();
            let command = with_file(Tool::command(), &path, (prefix, &[]));
            command.map(drop).map_err(|error| error.to_string())
        };
        let text = "root = \"r\"\nannounce = \"239.255.77.17:28738\"\nexec-when = \"all\"\n";
        assert_eq!(read(text, SENDERS), Ok(()));
        for (text, prefix, what) in [
            (text, "MCPD", "announce is not an option that it can set"),
            ("anounce = \"239.255.77.17\"", SENDERS, "anounce is not an option that it can set"),
            ("late = 1\nport = 0", SENDERS, "port: "),
        ] {
            let error = read(text, prefix).unwrap_err();
            assert!(error.contains(what), "{error}");
        }
        std::fs::remove_file(path).unwrap();
    }

    #[test]
    fn tables_of_others_are_left_alone_where_there_are_any() {
        let path = std::env::temp_dir().join(format!("mcp-cli-{}-tables", std::process::id()));
        let read = |text: &str, tables: &[&str]| {
            std::fs::write(&path, text).unwrap();
            let args = ["tool", "--config", path.to_str().unwrap()].map(OsString::from);
            let tool: Result<Tool, _> = parse_beside("MCP_CLI_TEST_NO_SUCH", args, tables);
            tool.map(|tool| tool.root).map_err(|error| error.to_string())
        };
        let text = "root = \"r\"\n[command.x]\nargv = [\"/bin/true\"]\nroot = 7\n";
        assert_eq!(read(text, &["command"]), Ok(Some("r".to_owned())));
        for (text, tables, what) in [
            (text, &[][..], "command is not an option that it can set"),
            ("[commands.x]", &["command"], "commands is not an option that it can set"),
            ("command = 1", &["command"], "command is to be a table"),
            ("[[command]]", &["command"], "command is to be a table"),
        ] {
            let error = read(text, tables).unwrap_err();
            assert!(error.contains(what) && error.contains("-tables: "), "{error}");
        }
        std::fs::remove_file(path).unwrap();
    }

    #[derive(Debug, Parser)]
    struct Wanting {
        #[arg(long)]
        first: bool,
        #[arg(short, long, requires = "first", conflicts_with = "third")]
        second: Option<u8>,
        #[arg(long)]
        third: bool,
        #[arg(long, value_delimiter = ',')]
        fourth: Vec<u8>,
        #[arg(long)]
        config: Option<PathBuf>,
    }

    #[test]
    fn an_option_of_the_file_is_read_alone() {
        let path = std::env::temp_dir().join(format!("mcp-cli-{}-wanting", std::process::id()));
        std::fs::write(&path, "second = 7\nfourth = \"1,2\"\n").unwrap();
        let read = |args: &str| {
            let args = format!("tool --config {} {args}", path.display());
            let args = args.split_whitespace().map(OsString::from);
            parse_typed::<Wanting>("MCP_CLI_TEST_NO_SUCH", args).unwrap()
        };
        let (options, typed) = read("");
        assert_eq!((options.second, options.first, options.third), (Some(7), false, false));
        assert_eq!(options.fourth, [1, 2]);
        assert!(!typed.has("second") && typed.has("config") && options.config.is_some());
        for line in ["--first -s8", "--second=8 --first"] {
            let (options, typed) = read(line);
            assert_eq!(options.second, Some(8), "{line}");
            assert!(typed.has("second") && typed.has("first") && !typed.has("third"), "{line}");
        }
        std::fs::write(&path, "second = 256\n").unwrap();
        let args = ["tool", "--config", path.to_str().unwrap()].map(OsString::from);
        let error = parse::<Wanting>("MCP_CLI_TEST_NO_SUCH", args).unwrap_err().to_string();
        assert!(error.contains("invalid value '256' for '--second <SECOND>'"), "{error}");
        std::fs::remove_file(path).unwrap();
    }

    #[test]
    fn every_option_has_a_variable() {
        let command = with_variables(Tool::command(), "MCP");
        let variable = |long: &str| {
            let arg = command.get_arguments().find(|arg| arg.get_long() == Some(long));
            arg.unwrap().get_env().unwrap().to_str().unwrap().to_owned()
        };
        assert_eq!(variable("connect-timeout"), "MCP_CONNECT_TIMEOUT");
        assert_eq!([variable("json"), variable("verbose")], ["MCP_JSON", "MCP_VERBOSE"]);
        let secret = command.get_arguments().find(|arg| arg.get_long() == Some("secret")).unwrap();
        assert_eq!(secret.get_env(), None, "what makes a file is typed");
        command.debug_assert();
    }

    #[test]
    fn a_secret_is_made_only_by_typing() {
        let error = with_config("secret = \"x\"", &[]).unwrap_err();
        assert!(error.contains("secret is not an option that it can set"), "{error}");
        assert_eq!(read(&["--secret", "x"]).unwrap().secret, Some("x".to_owned()));
    }

    #[test]
    fn what_is_typed_is_told_from_what_is_a_value() {
        let is = |line: &str| {
            let args: Vec<OsString> = line.split(' ').map(OsString::from).collect();
            is_typed(&args, "--secret-file")
        };
        assert!(is("mcp key --secret-file x") && is("mcp --secret-file=x key"));
        assert!(
            !is("mcp key --secret x")
                && !is("mcp key --secret-files")
                && !is("mcp -- --secret-file")
        );
    }
}
