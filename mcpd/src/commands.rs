//! The commands that masters of mirror jobs may have run here, each by its name: the tables `[command.NAME]` of the
//! configuration file. What is not on this list is run for nobody.

use crate::credential::Hash;
use mcp_cli::values;
use mcp_keys::private::{self, MAX_LIST, Rule};
use mtm::exec::is_name;
use nix::unistd::User;
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use toml::{Table, Value};

/// What the tables are below.
pub(crate) const TABLE: &str = "command";

/// How long a command may take that does not say it: what reloads or restarts a service is done by then.
const TIMEOUT: Duration = Duration::from_secs(600);

/// The list.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Commands(BTreeMap<String, Arc<Entry>>);

/// A command.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Entry {
    /// The program, by its path from the root on, and its arguments.
    pub(crate) argv: Vec<String>,
    /// User and group that it runs as, if they are others than the daemon's.
    pub(crate) ids: Option<(u32, u32)>,
    /// How long it may take.
    pub(crate) timeout: Duration,
    /// Of its password, if it has one.
    pub(crate) credential: Option<Hash>,
}

impl Commands {
    /// Those of a configuration file; what is wrong there is told with the file's name and the key. Who can write the
    /// file says what is run here: it is read only where that is root or this user.
    pub(crate) fn read(path: &Path) -> Result<Self, String> {
        let shown = path.display();
        let text = std::fs::read_to_string(path);
        let text = text.map_err(|error| format!("{shown}: cannot be read: {error}"))?;
        let commands = Self::parse(&text).map_err(|why| format!("{shown}: {why}"))?;
        if commands == Self::default() {
            return Ok(commands);
        }
        let uid = rustix::process::geteuid().as_raw();
        let read = private::read(path, Rule::Unforged { uid }, MAX_LIST);
        let bytes = read.map_err(|error| format!("commands: {error}"))?;
        let text = std::str::from_utf8(&bytes).map_err(|error| format!("{shown}: {error}"))?;
        Self::parse(text).map_err(|why| format!("{shown}: {why}"))
    }

    /// Reads the text of a configuration file, all of which but these tables is for others.
    fn parse(text: &str) -> Result<Self, String> {
        let table: Table = toml::from_str(text).map_err(|error| error.to_string())?;
        let Some(all) = table.get(TABLE) else { return Ok(Self::default()) };
        let all = all.as_table().ok_or_else(|| format!("{TABLE} is to be a table"))?;
        let one = |(name, value): (&String, &Value)| {
            let key = format!("{TABLE}.{name}");
            if !is_name(name) {
                return Err(format!(
                    "{key}: a command's name has letters, digits, '.', '_' and '-', at most 64"
                ));
            }
            let table = value.as_table().ok_or_else(|| format!("{key} is to be a table"))?;
            Ok((name.clone(), Arc::new(Entry::of(&key, table)?)))
        };
        all.iter().map(one).collect::<Result<_, _>>().map(Self)
    }

    /// The command of that name.
    pub(crate) fn find(&self, name: &str) -> Option<&Arc<Entry>> {
        self.0.get(name)
    }

    /// Their names, in words.
    pub(crate) fn names(&self) -> String {
        let names: Vec<&str> = self.0.keys().map(String::as_str).collect();
        if names.is_empty() { "none".to_owned() } else { names.join(", ") }
    }
}

impl Entry {
    fn of(key: &str, table: &Table) -> Result<Self, String> {
        let (mut argv, mut ids, mut timeout, mut credential) = (None, None, TIMEOUT, None);
        for (name, value) in table {
            let wrong = |why: &str| format!("{key}.{name}: {why}");
            let text = || value.as_str().ok_or_else(|| wrong("it is to be a text"));
            match name.as_str() {
                "argv" => argv = Some(words(value).map_err(wrong)?),
                "user" => ids = user(text()?).map_err(|why| wrong(&why))?,
                "timeout" => {
                    let text = value.as_integer().map_or_else(
                        || text().map(str::to_owned),
                        |seconds| Ok(seconds.to_string()),
                    )?;
                    timeout = values::time(&text).map_err(|why| wrong(&why))?;
                }
                "credential" => credential = Some(Hash::parse(text()?).map_err(wrong)?),
                _ => {
                    return Err(wrong(
                        "a command has argv, user, timeout and credential, and nothing else",
                    ));
                }
            }
        }
        let argv = argv.ok_or_else(|| format!("{key}.argv is missing: the program to run"))?;
        Ok(Self { argv, ids, timeout, credential })
    }
}

/// A program and its arguments.
fn words(value: &Value) -> Result<Vec<String>, &'static str> {
    let words = value.as_array().map(|words| words.iter().map(Value::as_str).collect());
    let Some(Some(words)) = words else { return Err("it is to be a list of texts") };
    let words: Vec<&str> = words;
    if !words.first().is_some_and(|program| program.starts_with('/')) {
        return Err("its first word is to be a program's path, which begins with /");
    }
    if words.iter().any(|word| word.contains('\0')) {
        return Err("no word can have a zero byte");
    }
    Ok(words.into_iter().map(str::to_owned).collect())
}

/// User and group of that name; `None` where the daemon is that user.
fn user(name: &str) -> Result<Option<(u32, u32)>, String> {
    let user = User::from_name(name).map_err(|error| error.to_string())?;
    let user = user.ok_or_else(|| format!("there is no user {name}"))?;
    let (uid, gid) = (user.uid.as_raw(), user.gid.as_raw());
    match rustix::process::geteuid().as_raw() {
        0 => Ok(Some((uid, gid))),
        own if own == uid => Ok(None),
        _ => Err(format!("only root can run a command as {name}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    fn why(text: &str) -> String {
        Commands::parse(text).unwrap_err()
    }

    #[test]
    fn a_command_is_read_with_its_defaults() {
        let text = "root = \"/srv\"\n[command.reload]\nargv = [\"/bin/true\", \"a b\"]\n";
        let commands = Commands::parse(text).unwrap();
        let reload = commands.find("reload").unwrap();
        assert_eq!((&reload.argv[..], reload.ids), (&["/bin/true".into(), "a b".into()][..], None));
        assert_eq!((reload.timeout, &reload.credential), (Duration::from_secs(600), &None));
        assert_eq!((commands.find("other"), commands.names().as_str()), (None, "reload"));
        assert_eq!(Commands::parse("root = \"/srv\"").unwrap(), Commands::default());
    }

    #[test]
    fn a_time_is_read_as_options_have_it() {
        let of = |time: &str| {
            let text = format!("[command.x]\nargv = [\"/x\"]\ntimeout = {time}");
            Commands::parse(&text).map(|commands| commands.find("x").unwrap().timeout.as_millis())
        };
        assert_eq!(of("\"2m\""), Ok(120_000));
        assert_eq!(of("\"500ms\""), Ok(500));
        assert_eq!((of("30"), of("86400")), (Ok(30_000), Ok(86_400_000)));
        for bad in ["\"soon\"", "86401", "-1", "[1]", "0"] {
            assert!(of(bad).unwrap_err().starts_with("command.x.timeout: "), "{bad}");
        }
    }

    #[test]
    fn what_is_wrong_is_told_with_its_key() {
        for (text, what) in [
            ("command = 1", "command is to be a table"),
            ("[command]\nx = 1", "command.x is to be a table"),
            ("[command.\"a b\"]", "command.a b: a command's name"),
            ("[command.x]", "command.x.argv is missing"),
            ("[command.x]\nargv = []", "command.x.argv: its first word"),
            ("[command.x]\nargv = [\"true\"]", "command.x.argv: its first word"),
            ("[command.x]\nargv = \"/bin/true\"", "command.x.argv: it is to be a list"),
            ("[command.x]\nargv = [\"/x\", 1]", "command.x.argv: it is to be a list"),
            ("[command.x]\nargv = [\"/x\", \"\\u0000\"]", "command.x.argv: no word"),
            ("[command.x]\nargv = [\"/x\"]\nshell = true", "command.x.shell: a command has argv"),
            ("[command.x]\nuser = 7", "command.x.user: it is to be a text"),
            ("[command.x]\nuser = \"no such user\"", "command.x.user: there is no user"),
            ("[command.x]\ncredential = \"secret\"", "command.x.credential: this is no hash"),
        ] {
            assert!(why(text).starts_with(what), "{text}: {}", why(text));
        }
        assert!(!why("[command.x]\ncredential = \"hunter2\"").contains("hunter2"));
    }

    #[test]
    fn a_file_that_others_can_write_says_of_no_command() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("mcpd.toml");
        let with = |text: &str, mode: u32| {
            std::fs::write(&path, text).unwrap();
            std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).unwrap();
            Commands::read(&path).map(|commands| commands.names())
        };
        let text = "[command.x]\nargv = [\"/bin/true\"]";
        assert_eq!(with(text, 0o644), Ok("x".to_owned()));
        assert_eq!(with("quiet = true", 0o666), Ok("none".to_owned()));
        let why = with(text, 0o666).unwrap_err();
        assert!(why.contains("others can write it") && why.contains("mcpd.toml"), "{why}");
    }
}
