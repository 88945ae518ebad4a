//! What the process says to the shell.

use std::process::ExitCode;

/// Exit codes, a contract with scripts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exit {
    /// Every host has it, verified.
    Ok,
    /// No host has it, or a failure on this side.
    Failed,
    /// The command line cannot be understood.
    Usage,
    /// Some hosts failed; the others have it.
    Partial,
    /// Interrupted from the keyboard.
    Interrupted,
}

impl Exit {
    /// For a copy that `ok` of `hosts` hosts have.
    pub fn of(ok: usize, hosts: usize) -> Self {
        match ok {
            0 => Self::Failed,
            _ if ok < hosts => Self::Partial,
            _ => Self::Ok,
        }
    }

    /// The same where hosts may have a part of what was copied: if any has, that is not nothing.
    pub fn of_entries(ok: usize, hosts: usize, placed: bool) -> Self {
        match Self::of(ok, hosts) {
            Self::Failed if placed => Self::Partial,
            exit => exit,
        }
    }

    /// The number that the shell sees.
    pub fn code(self) -> u8 {
        match self {
            Self::Ok => 0,
            Self::Failed => 1,
            Self::Usage => 2,
            Self::Partial => 3,
            Self::Interrupted => 130, // 128 + SIGINT, as shells report it
        }
    }

    /// The word for it in `--json`.
    pub fn status(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Partial => "partial",
            Self::Failed | Self::Usage | Self::Interrupted => "failed",
        }
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit.code())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_code_is_the_published_one() {
        let all = [Exit::Ok, Exit::Failed, Exit::Usage, Exit::Partial, Exit::Interrupted];
        assert_eq!(all.map(Exit::code), [0, 1, 2, 3, 130]);
        assert_eq!(all.map(Exit::status), ["ok", "failed", "failed", "partial", "failed"]);
    }

    #[test]
    fn the_code_follows_from_who_has_it() {
        let of = |ok, hosts| Exit::of(ok, hosts);
        assert_eq!(
            [of(3, 3), of(2, 3), of(1, 3), of(0, 3), of(0, 0), of(1, 1)],
            [Exit::Ok, Exit::Partial, Exit::Partial, Exit::Failed, Exit::Failed, Exit::Ok]
        );
    }
}
