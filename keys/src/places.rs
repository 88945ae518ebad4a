//! Where the files stand: state (identities) and configuration (who may send, which hosts are
//! known), for root and for ordinary users (the XDG base directory specification).

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use thiserror::Error;

/// State of root.
const ROOT_STATE: &str = "/var/lib/mcp";
/// Configuration of root.
const ROOT_CONFIG: &str = "/etc/mcp";
/// Our folder in everybody else's.
const OURS: &str = "mcp";

/// What of the process's surroundings decides about places and rights.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Environment {
    /// The effective user.
    pub uid: u32,
    /// `HOME`.
    pub home: Option<PathBuf>,
    /// `XDG_STATE_HOME`.
    pub state_home: Option<PathBuf>,
    /// `XDG_CONFIG_HOME`.
    pub config_home: Option<PathBuf>,
    /// `CREDENTIALS_DIRECTORY`, where systemd puts a service's secrets.
    pub credentials: Option<PathBuf>,
    /// `USER`, or else `LOGNAME`.
    pub user: Option<String>,
}

/// There is no place. The fault of the caller's surroundings: a service without a home.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum PlaceError {
    /// Neither variable names a folder.
    #[error(
        "no place for keys: neither XDG_STATE_HOME nor HOME is an absolute path: name one with \
         --state-dir"
    )]
    State,
    /// Neither variable names a folder.
    #[error("no place for configuration: neither XDG_CONFIG_HOME nor HOME is an absolute path")]
    Config,
}

impl Environment {
    /// This process's.
    pub fn of_process() -> Self {
        Self::of(rustix::process::geteuid().as_raw(), |name| std::env::var_os(name))
    }

    /// Of a user, by a reader of variables.
    pub fn of(uid: u32, variable: impl Fn(&str) -> Option<OsString>) -> Self {
        // The specification wants a relative path to be ignored; an empty one counts as unset.
        let folder = |name| variable(name).map(PathBuf::from).filter(|folder| folder.is_absolute());
        let text = |name| variable(name)?.into_string().ok().filter(|text| !text.is_empty());
        Self {
            uid,
            home: folder("HOME"),
            state_home: folder("XDG_STATE_HOME"),
            config_home: folder("XDG_CONFIG_HOME"),
            credentials: folder("CREDENTIALS_DIRECTORY"),
            user: text("USER").or_else(|| text("LOGNAME")),
        }
    }

    /// The folder of identities: the one that was asked for, or the usual one.
    pub fn state_dir(&self, asked: Option<&Path>) -> Result<PathBuf, PlaceError> {
        match asked {
            Some(folder) => Ok(folder.to_owned()),
            None if self.uid == 0 => Ok(ROOT_STATE.into()),
            None => self.below(self.state_home.as_ref(), ".local/state").ok_or(PlaceError::State),
        }
    }

    /// The folder of `authorized_keys` and `known_hosts`.
    pub fn config_dir(&self) -> Result<PathBuf, PlaceError> {
        if self.uid == 0 {
            return Ok(ROOT_CONFIG.into());
        }
        self.below(self.config_home.as_ref(), ".config").ok_or(PlaceError::Config)
    }

    /// Our folder in the one that a variable names, or in the one that is usual at home.
    fn below(&self, named: Option<&PathBuf>, usual: &str) -> Option<PathBuf> {
        let usual = || self.home.as_ref().map(|home| home.join(usual));
        Some(named.cloned().or_else(usual)?.join(OURS))
    }
}

/// The identity of the user, in the folder of state.
pub fn identity(state: &Path) -> PathBuf {
    state.join("identity")
}

/// The identity of the host, in the folder of state.
pub fn host_identity(state: &Path) -> PathBuf {
    state.join("host-identity")
}

/// The key of connection ids, in the folder of state.
pub fn cid_key(state: &Path) -> PathBuf {
    state.join("cid-key")
}

/// The id of this installation of the daemon, in the folder of state.
pub fn instance(state: &Path) -> PathBuf {
    state.join("instance")
}

/// What a daemon knows of the mirror jobs that send to it, in the folder of state.
pub fn mirrors(state: &Path) -> PathBuf {
    state.join("mirrors")
}

/// Mirror jobs, each in a folder of its own, in the folder of state.
pub fn jobs(state: &Path) -> PathBuf {
    state.join("jobs")
}

/// Who may send, in the folder of configuration.
pub fn authorized_keys(config: &Path) -> PathBuf {
    config.join("authorized_keys")
}

/// Which hosts are known, in the folder of configuration.
pub fn known_hosts(config: &Path) -> PathBuf {
    config.join("known_hosts")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn environment(uid: u32, variables: &[(&str, &str)]) -> Environment {
        Environment::of(uid, |name| {
            variables.iter().find(|(n, _)| *n == name).map(|(_, value)| value.into())
        })
    }

    fn places(uid: u32, variables: &[(&str, &str)]) -> [Option<String>; 2] {
        let environment = environment(uid, variables);
        [environment.state_dir(None).ok(), environment.config_dir().ok()]
            .map(|place| place.map(|path| path.to_str().expect("UTF-8").to_owned()))
    }

    #[test]
    fn root_has_the_systems_folders_whatever_the_variables_say() {
        let system = ["/var/lib/mcp", "/etc/mcp"].map(|p| Some(p.to_owned()));
        assert_eq!(places(0, &[]), system);
        let variables = [("HOME", "/root"), ("XDG_STATE_HOME", "/x"), ("XDG_CONFIG_HOME", "/y")];
        assert_eq!(places(0, &variables), system);
    }

    #[test]
    fn users_have_theirs() {
        let home = ("HOME", "/home/u");
        let usual = ["/home/u/.local/state/mcp", "/home/u/.config/mcp"];
        assert_eq!(places(1000, &[home]), usual.map(|p| Some(p.to_owned())));
        let named = [home, ("XDG_STATE_HOME", "/s"), ("XDG_CONFIG_HOME", "/c")];
        assert_eq!(places(1000, &named), ["/s/mcp", "/c/mcp"].map(|p| Some(p.to_owned())));
        let relative = [home, ("XDG_STATE_HOME", "s"), ("XDG_CONFIG_HOME", "")];
        assert_eq!(places(1000, &relative), usual.map(|p| Some(p.to_owned())));
    }

    #[test]
    fn a_service_without_a_home_is_told_what_to_do() {
        assert_eq!(places(1000, &[("HOME", ".")]), [None, None]);
        let environment = environment(1000, &[]);
        let why = environment.state_dir(None).unwrap_err().to_string();
        assert!(why.ends_with("name one with --state-dir"), "{why}");
        let asked = Path::new("/srv/state");
        assert_eq!(environment.state_dir(Some(asked)), Ok(asked.to_owned()));
    }

    #[test]
    fn the_user_has_a_name_where_a_variable_says_it() {
        let user = |variables: &[_]| environment(7, variables).user;
        assert_eq!(user(&[("USER", "a"), ("LOGNAME", "b")]).as_deref(), Some("a"));
        assert_eq!(user(&[("USER", ""), ("LOGNAME", "b")]).as_deref(), Some("b"));
        assert_eq!(user(&[]), None);
    }
}
