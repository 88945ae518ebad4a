//! What ssh is told to run, and what comes back.
//!
//! Nothing that a user has typed stands in the remote command, so that no shell there can take it for its own.

use super::watch::Stopped;
use serde::Deserialize;
use std::ffi::OsString;
use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

/// What the daemon is told: the rights of the user whom ssh logs in are the limit, no others of ours. Its root is
/// everything, as scp's is.
const DAEMON: &str =
    "--once --root / --follow-root --secret-file - --allow owner,setuid,delete,device -q";

/// Where a daemon has begun to listen: the line that `mcpd --once` prints.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub(super) struct Answer {
    /// By which ssh has reached it, unless it cannot tell.
    pub(super) address: Option<IpAddr>,
    /// UDP.
    pub(super) port: u16,
    /// Where it was started: the home of the user.
    pub(super) directory: String,
}

/// What a user's configuration may ask for that is for terminals, as scp(1) has it: else a command that is run, a port
/// that is forwarded, which only one login can, and a terminal would come between.
const NO_TERMINAL: [&str; 5] = [
    "ClearAllForwardings=yes",
    "ForwardAgent=no",
    "PermitLocalCommand=no",
    "RemoteCommand=none",
    "RequestTTY=no",
];

impl Answer {
    /// What nobody can be sent to there, if that is so.
    pub(super) fn fault(&self) -> Option<String> {
        let is_none = |ip: &IpAddr| {
            ip.is_unspecified() || ip.is_multicast() || *ip == IpAddr::V4(Ipv4Addr::BROADCAST)
        };
        if self.port == 0 {
            return Some("mcpd there says that it listens on port 0, which is none".to_owned());
        }
        let ip = self.address.filter(is_none)?;
        Some(format!(
            "mcpd there says that its host was reached by {ip}, which is no host's address"
        ))
    }
}

/// The words of ssh for one host. `options` are for `-o`; the first value that ssh(1) is given for one counts, and only
/// after these that of a configuration file.
pub(super) fn ssh(
    host: &str,
    user: Option<&str>,
    options: &[String],
    patience: Duration,
    command: String,
) -> Vec<OsString> {
    let mut words: Vec<String> = vec!["-x".to_owned()];
    let own = [
        // Of many hosts none can ask: whose password would it be?
        "BatchMode=yes".to_owned(),
        format!("ConnectTimeout={}", patience.as_secs().max(1)),
    ];
    let own = own.into_iter().chain(NO_TERMINAL.map(str::to_owned));
    for option in options.iter().cloned().chain(own) {
        words.extend(["-o".to_owned(), option]);
    }
    if let Some(user) = user {
        words.extend(["-l".to_owned(), user.to_owned()]);
    }
    words.extend(["--".to_owned(), host.to_owned(), command]);
    words.into_iter().map(OsString::from).collect()
}

/// The command for a host that has mcpd. `port`: a UDP port that a firewall lets through, else any.
pub(super) fn installed(port: Option<u16>) -> String {
    format!("exec mcpd {DAEMON} --listen :{}", port.unwrap_or(0))
}

/// The command for a host that gets it first, so many bytes on standard input, in a folder that goes with it.
pub(super) fn installing(port: Option<u16>, bytes: u64) -> String {
    // What head(1) reads beyond that is lost (BusyBox's reads 4096 bytes at a time), so that nothing is sent yet. A
    // shell that is ended by a signal leaves its EXIT trap out, also by SIGPIPE, where nobody reads any more.
    format!(
        "exec sh -c 'd=$(mktemp -d) || exit 1; trap \"rm -rf \\\"$d\\\"\" EXIT; trap \"exit 1\" HUP INT TERM PIPE; \
         head -c {bytes} > \"$d/mcpd\" && chmod 700 \"$d/mcpd\" || exit 1; \
         test $(wc -c < \"$d/mcpd\") -eq {bytes} || {{ echo \"mcpd: only a part of it has arrived\" >&2; exit 1; }}; \
         echo \"{{\\\"received\\\":{bytes}}}\"; \"$d/mcpd\" {DAEMON} --listen :{}'",
        port.unwrap_or(0)
    )
}

/// Whether a line says that a program of so many bytes is there.
pub(super) fn is_received(line: &str, bytes: u64) -> bool {
    line.trim_end() == format!("{{\"received\":{bytes}}}")
}

/// Reads a line of what came; `None` for what a shell's start may print.
pub(super) fn answer(line: &str) -> Option<Answer> {
    serde_json::from_str(line).ok()
}

/// Where a copy goes at a host, below its root `/`: what scp takes it for, relative to the home folder unless it
/// begins with a slash.
pub(super) fn place(path: &str, directory: &str) -> String {
    let whole = if path.starts_with('/') { path.to_owned() } else { format!("{directory}/{path}") };
    whole.trim_start_matches('/').to_owned()
}

/// Of whom the user had no more patience.
pub(super) const INTERRUPTED: &str = "interrupted";

/// Why there is no daemon, of a login that was ended from here.
pub(super) fn stopped(stopped: Stopped) -> String {
    match stopped {
        Stopped::Interrupted => INTERRUPTED.to_owned(),
        Stopped::Late(after) => format!(
            "mcpd has not said within {} s where it listens: the login, or what it starts there, hangs",
            after.as_secs()
        ),
    }
}

/// Why there is no daemon, from what ssh said at last and how it ended: 255 is ssh's own failure, 127 a shell's that
/// has not found the command, 126 one's that cannot run it (POSIX, 2.8.2), 2 a daemon's that does not know its options.
/// `brought`: the daemon was brought there.
pub(super) fn trouble(code: Option<i32>, said: &str, brought: bool) -> String {
    let lines = || said.lines().map(str::trim);
    let last = lines().rfind(|line| !line.is_empty());
    let own = lines().rfind(|line| line.starts_with("error:") || line.contains("mcpd:")).or(last);
    match (code, own) {
        (Some(255), _) => match last {
            Some(last) => format!("ssh: {}", last.strip_prefix("ssh: ").unwrap_or(last)),
            None => "ssh failed without a word (exit code 255)".to_owned(),
        },
        (Some(126 | 127), own) if brought => {
            let own = own.map(|own| format!(": {own}")).unwrap_or_default();
            format!("the mcpd beside this mcp, which was brought there, does not run there{own}")
        }
        (Some(127), _) => {
            "mcpd is not installed there, or not in the path of a command by ssh: --ssh-install brings it for this copy"
                .to_owned()
        }
        (Some(2), Some(own)) if own.starts_with("error:") && !brought => format!(
            "mcpd there is of another version than this mcp, and is to be of the same: {own}"
        ),
        (_, Some(own)) => format!("mcpd could not be started there: {own}"),
        (Some(code), None) => format!("mcpd could not be started there: exit code {code}"),
        (None, None) => "ssh was ended".to_owned(),
    }
}

/// Whether the same may go well a moment later: ssh was turned away before anybody was asked for a key, as a server
/// does on which too many logins are begun (`MaxStartups` in `sshd_config(5)`).
pub(super) fn may_pass(code: Option<i32>, said: &str) -> bool {
    /// What ssh's lines begin with then; after the login they begin otherwise (`Connection to ... closed`).
    const BEGINS: [&str; 4] = [
        "kex_exchange_identification: ",
        "ssh_exchange_identification: ",
        "Connection closed by ",
        "Connection reset by ",
    ];
    code == Some(255)
        && said.lines().any(|line| BEGINS.iter().any(|begin| line.trim().starts_with(begin)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;
    use std::path::PathBuf;
    use std::process::{Command, Stdio};

    #[test]
    fn what_the_user_says_comes_first_and_the_host_is_no_option() {
        let options = ["Port=2222".to_owned(), "BatchMode=no".to_owned()];
        let words =
            ssh("-oProxyCommand=x", Some("root"), &options, Duration::from_millis(500), "c".into());
        let words: Vec<_> = words.iter().map(|word| word.to_str().unwrap()).collect();
        assert_eq!(
            words.join(" "),
            "-x -o Port=2222 -o BatchMode=no -o BatchMode=yes -o ConnectTimeout=1 \
             -o ClearAllForwardings=yes -o ForwardAgent=no -o PermitLocalCommand=no -o RemoteCommand=none \
             -o RequestTTY=no -l root -- -oProxyCommand=x c"
        );
    }

    #[test]
    fn a_place_is_what_scp_takes_it_for() {
        for (path, place_) in [
            ("", "home/u/"),
            ("x", "home/u/x"),
            ("x/", "home/u/x/"),
            ("/x/y", "x/y"),
            ("//x", "x"),
            ("/", ""),
        ] {
            assert_eq!(place(path, "/home/u"), place_, "{path}");
        }
        assert_eq!(place("x", "/"), "x");
    }

    #[test]
    fn an_answer_is_told_from_what_a_shell_prints() {
        assert_eq!(answer("Welcome {to} this host"), None);
        let line = r#"{"address":"10.0.0.2","port":4321,"directory":"/root"}"#;
        let address = Some("10.0.0.2".parse().unwrap());
        assert_eq!(answer(line), Some(Answer { address, port: 4321, directory: "/root".into() }));
        let none = answer(r#"{"address":null,"port":1,"directory":"/"}"#).unwrap();
        assert_eq!(none.address, None);
    }

    #[test]
    fn each_kind_of_trouble_has_its_words() {
        for (code, said, why) in [
            (
                Some(255),
                "ssh: connect to host h port 22: Connection refused\r\n",
                "ssh: connect to host h port 22: Connection refused",
            ),
            (Some(255), "Host key verification failed.\n", "ssh: Host key verification failed."),
            (
                Some(127),
                "sh: mcpd: not found\n",
                "mcpd is not installed there, or not in the path of a command by ssh: --ssh-install brings it for this copy",
            ),
            (Some(1), "mcpd: no\n\n", "mcpd could not be started there: mcpd: no"),
            (Some(3), "", "mcpd could not be started there: exit code 3"),
            (Some(255), "", "ssh failed without a word (exit code 255)"),
            (
                Some(2),
                "error: unexpected argument '--follow-root' found\n\nFor more information, try '--help'.\n",
                "mcpd there is of another version than this mcp, and is to be of the same: \
                 error: unexpected argument '--follow-root' found",
            ),
            (Some(1), "mcpd: no\nbye\n", "mcpd could not be started there: mcpd: no"),
            (None, "", "ssh was ended"),
        ] {
            assert_eq!(trouble(code, said, false), why);
        }
    }

    #[test]
    fn what_was_brought_is_not_to_be_brought() {
        for (code, said, why) in [
            (127, "sh: 1: /tmp/x/mcpd: not found\n", ": sh: 1: /tmp/x/mcpd: not found"),
            (
                126,
                "sh: 1: /tmp/x/mcpd: Exec format error\n",
                ": sh: 1: /tmp/x/mcpd: Exec format error",
            ),
            (127, "", ""),
        ] {
            let begins = "the mcpd beside this mcp, which was brought there, does not run there";
            assert_eq!(trouble(Some(code), said, true), format!("{begins}{why}"));
        }
    }

    #[test]
    fn who_was_ended_from_here_is_told_why() {
        assert_eq!(stopped(Stopped::Interrupted), "interrupted");
        let late = stopped(Stopped::Late(Duration::from_secs(15)));
        assert!(late.starts_with("mcpd has not said within 15 s where it listens"), "{late}");
    }

    #[test]
    fn who_is_turned_away_before_the_login_may_come_again() {
        for said in [
            "kex_exchange_identification: Connection closed by remote host\r\n",
            "kex_exchange_identification: read: Connection reset by peer\nConnection reset by 10.0.0.1 port 22\n",
            "a banner\nConnection closed by UNKNOWN port 65535\r\n",
        ] {
            assert!(may_pass(Some(255), said), "{said}");
            assert!(!may_pass(Some(1), said) && !may_pass(None, said), "{said}");
        }
        for said in [
            "",
            "ssh: connect to host h port 22: Connection refused",
            "u@h: Permission denied (publickey).",
            "Connection to h closed by remote host.",
        ] {
            assert!(!may_pass(Some(255), said), "{said}");
        }
    }

    /// Shells that hosts have, as far as they are here, each as `sh` in a folder of its own.
    fn shells() -> Vec<tempfile::TempDir> {
        let path = std::env::var_os("PATH").unwrap();
        let all = ["sh", "dash", "bash", "busybox"];
        let find =
            |name| std::env::split_paths(&path).map(|dir| dir.join(name)).find(|p| p.exists());
        let folder = |shell: PathBuf| {
            let folder = tempfile::tempdir().unwrap();
            std::os::unix::fs::symlink(shell, folder.path().join("sh")).unwrap();
            folder
        };
        all.into_iter().filter_map(find).map(folder).collect()
    }

    #[test]
    fn what_is_broken_off_leaves_nothing_there() {
        let path = std::env::var("PATH").unwrap();
        for (shell, bytes) in shells().iter().flat_map(|shell| [(shell, 100), (shell, 1000)]) {
            let temporary = tempfile::tempdir().unwrap();
            let mut sh = Command::new(shell.path().join("sh"));
            sh.args(["-c", &installing(None, 1000)]).env("TMPDIR", temporary.path());
            sh.env("PATH", format!("{}:{path}", shell.path().display()));
            sh.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
            let mut sh = sh.spawn().unwrap();
            drop((sh.stdout.take(), sh.stderr.take()));
            sh.stdin.take().unwrap().write_all(&vec![b'x'; bytes]).unwrap(); // and ends
            let status = sh.wait().unwrap();
            let left = std::fs::read_dir(temporary.path()).unwrap().count();
            let shell = shell.path().join("sh").read_link().unwrap();
            assert_eq!((left, status.success()), (0, false), "{shell:?}, {bytes}: {status}");
        }
    }

    #[test]
    fn a_program_is_there_when_all_of_it_is() {
        assert!(is_received("{\"received\":12}\r\n", 12));
        assert!(!is_received("{\"received\":1}\n", 12) && !is_received("Welcome", 12));
    }

    #[test]
    fn what_cannot_be_sent_to_is_refused() {
        let of = |address: &str, port| {
            Answer { address: Some(address.parse().unwrap()), port, directory: "/".into() }.fault()
        };
        assert_eq!(of("10.0.0.1", 1), None);
        assert!(of("10.0.0.1", 0).unwrap().contains("port 0"));
        for address in ["0.0.0.0", "::", "224.0.0.1", "ff02::1", "255.255.255.255"] {
            assert!(of(address, 1).unwrap().contains(address));
        }
    }
}
