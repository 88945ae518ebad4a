//! `--ssh`: no daemon runs anywhere before, and none after.

use crate::copy::{Copy, Done};
use crate::network::{LEN, Lab, content, tree};
use crate::programs;
use crate::shell::{find, run, wait_for};
use rustix::process::{Pid, Signal, kill_process};
use std::fs::{self, File, Permissions};
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// A server listens, and what is to end has ended, within this.
const SOON: Duration = Duration::from_secs(10);
/// Nothing here takes longer.
const LIMIT: Duration = Duration::from_secs(60);
/// Hosts of the large copy.
const MANY: usize = 40;

/// OpenSSH's server on a host, with a root of its own for what is temporary.
struct Server(Child);

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// What a server is like.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Good,
    /// It knows another key than the user's.
    WrongKey,
    /// No mcpd is in the path there.
    Bare,
    /// Likewise, and its head(1) is `BusyBox`'s, which reads more than it is asked for.
    BusyBox,
    /// Likewise, and there is no space for one.
    Full,
    /// Its mcpd never comes to anything.
    Hangs,
}

fn keys(lab: &Lab) -> PathBuf {
    lab.dir.path().join("keys")
}

fn temporary(lab: &Lab, host: usize) -> PathBuf {
    lab.dir.path().join(format!("tmp{host}"))
}

/// The home of the user there: what the tester's own shell does at a login takes no part.
fn home(lab: &Lab, host: usize) -> PathBuf {
    lab.dir.path().join(format!("home{host}"))
}

/// Where a daemon there would keep what is to outlast it.
fn state(lab: &Lab, host: usize) -> PathBuf {
    lab.dir.path().join(format!("state{host}"))
}

/// Makes a program of a name in a folder of that host's own; gives what its path begins with.
fn script(lab: &Lab, host: usize, name: &str, line: &str) -> String {
    let folder = lab.dir.path().join(format!("bin{host}"));
    fs::create_dir_all(&folder).unwrap();
    let path = folder.join(name);
    fs::write(&path, format!("#!/bin/sh\n{line}\n")).unwrap();
    fs::set_permissions(&path, Permissions::from_mode(0o755)).unwrap();
    format!("{}:", folder.display())
}

/// Keys of the user, of somebody else and of the hosts.
fn prepare(lab: &Lab) {
    fs::create_dir(keys(lab)).unwrap();
    // The server gives up its rights in this folder (sshd(8)).
    fs::create_dir_all("/run/sshd").unwrap();
    for name in ["user", "other", "host"] {
        let path = keys(lab).join(name);
        let mut make = Command::new("ssh-keygen");
        make.args(["-q", "-t", "ed25519", "-N", "", "-f"]).arg(&path);
        assert!(make.status().unwrap().success());
    }
}

fn serve(lab: &Lab, host: usize, kind: Kind) -> Server {
    let keys = keys(lab);
    fs::create_dir(temporary(lab, host)).unwrap();
    fs::create_dir(home(lab, host)).unwrap();
    let user = if kind == Kind::WrongKey { "other" } else { "user" };
    let programs = programs::path("mcpd").parent().unwrap().display().to_string();
    let before = match kind {
        Kind::Good | Kind::WrongKey => format!("{programs}:"),
        Kind::Bare => String::new(),
        Kind::BusyBox => {
            let busybox = find("busybox").expect("busybox is missing (package busybox)");
            script(lab, host, "head", &format!("exec {} head \"$@\"", busybox.display()))
        }
        Kind::Full => {
            let full = "-c) echo \"head: the disk is full\" >&2; exit 1";
            // A user's shell may need it as well.
            script(
                lab,
                host,
                "head",
                &format!("case $1 in {full};; esac; exec /usr/bin/head \"$@\""),
            )
        }
        Kind::Hangs => script(lab, host, "mcpd", "exec sleep 60"),
    };
    let config = keys.join(format!("config{host}"));
    let lines = [
        format!("HostKey {}", keys.join("host").display()),
        format!("AuthorizedKeysFile {}", keys.join(format!("{user}.pub")).display()),
        format!(
            "SetEnv PATH={before}/usr/bin:/bin HOME={} TMPDIR={} MCPD_STATE_DIR={}",
            home(lab, host).display(),
            temporary(lab, host).display(),
            state(lab, host).display()
        ),
        "StrictModes no\nUsePAM no\nPidFile none\nPermitRootLogin yes".to_owned(),
    ];
    fs::write(&config, lines.join("\n")).unwrap();
    let log = keys.join(format!("log{host}"));
    let child = Command::new(find("ip").unwrap())
        .args(["netns", "exec", &lab.ns(host)])
        .arg(find("sshd").expect("sshd is missing (package openssh-server)"))
        .args(["-D", "-e", "-f"])
        .arg(config)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(File::create(&log).unwrap())
        .spawn()
        .unwrap();
    let mut server = Server(child);
    wait_for("the server listens", SOON, || {
        let ended = server.0.try_wait().unwrap();
        let said = fs::read_to_string(&log).unwrap();
        assert!(ended.is_none(), "{ended:?}: {said}");
        said.contains("Server listening")
    });
    server
}

/// Options of a user who has no configuration.
fn options(lab: &Lab) -> Vec<String> {
    let identity = format!("IdentityFile={}", keys(lab).join("user").display());
    let own = [
        "StrictHostKeyChecking=no",
        "UserKnownHostsFile=/dev/null",
        "LogLevel=ERROR",
        "IdentitiesOnly=yes",
        // Else a login takes a tenth of a second of both processors, since both ends are on this machine.
        "KexAlgorithms=curve25519-sha256",
    ];
    let all = own.map(str::to_owned).into_iter().chain([identity]);
    let all = all.flat_map(|option| ["--ssh-option".to_owned(), option]);
    ["--ssh".to_owned()].into_iter().chain(all).collect()
}

fn copy(lab: &Lab, args: &[String]) -> Done {
    Copy::start_trusting(lab, 0, &[], args).wait()
}

/// Names of the programs that run here; `proc` shows them. One that has ended, and that nobody has waited for, has no
/// command line any more (`proc_pid_cmdline(5)`).
fn running(proc: &Path) -> Vec<String> {
    let all = fs::read_dir(proc).unwrap().filter_map(Result::ok);
    all.filter(|entry| fs::read(entry.path().join("cmdline")).is_ok_and(|line| !line.is_empty()))
        .filter_map(|entry| fs::read_to_string(entry.path().join("comm")).ok())
        .map(|name| name.trim().to_owned())
        .filter(|name| ["mcpd", "ssh", "sh"].contains(&name.as_str()))
        .collect()
}

/// Five hosts: two are well, on one nobody listens, one does not let the user in, one has no mcpd until it is brought.
pub(super) fn five_hosts_of_which_two_are_well() {
    let lab = Lab::bridge(5);
    prepare(&lab);
    let proc = lab.dir.path().join("proc");
    fs::create_dir(&proc).unwrap();
    run(&format!("mount -t proc proc {}", proc.display()));
    let _servers = [
        serve(&lab, 1, Kind::Good),
        serve(&lab, 2, Kind::Good),
        serve(&lab, 4, Kind::WrongKey),
        serve(&lab, 5, Kind::Bare),
    ];
    let place = |host: usize| format!("{}:{}/", lab.v4(host), lab.folder(host).display());
    let mut args = options(&lab);
    args.push(lab.source(LEN).display().to_string());
    args.extend((1..=5).map(place));
    let done = copy(&lab, &args);
    assert_eq!(done.code, Some(3), "{done:#?}");
    for (host, why) in [
        (2, "ssh: connect to host"),
        (3, "Permission denied"),
        (
            4,
            "mcpd is not installed there, or not in the path of a command by ssh: --ssh-install brings it for this copy",
        ),
    ] {
        assert_eq!(done.text(host, "status"), "failed");
        assert!(done.text(host, "reason").contains(why), "{done:#?}");
    }
    assert_eq!(&done.modes()[..2], ["multicast", "multicast"], "{done:#?}");
    args.insert(0, "--ssh-install".to_owned());
    args.truncate(args.len() - 5);
    args.push(place(5));
    copy(&lab, &args).assert_ok();
    for host in [1, 2, 5] {
        let name = format!("source-{LEN}");
        assert!(fs::read(lab.folder(host).join(&name)).unwrap() == content(LEN));
        assert_eq!(tree(&lab.folder(host)), [name], "nothing else is left");
        assert!(!state(&lab, host).exists(), "nor anywhere else");
        assert!(tree(&home(&lab, host)).is_empty(), "nor at home");
    }
    assert!(tree(&lab.folder(3)).is_empty() && tree(&lab.folder(4)).is_empty());
    killed(&lab, &args, &proc);
    run(&format!("umount {}", proc.display()));
}

/// Whoever kills mcp has killed all that it has started; what has arrived is there to be gone on with.
fn killed(lab: &Lab, args: &[String], proc: &Path) {
    assert!(running(proc).is_empty(), "{:?}", running(proc));
    let args = [&["--rate".to_owned(), "50M".to_owned(), "-I".to_owned()], args].concat();
    let copy = Copy::start_trusting(lab, 0, &[], &args);
    let partial = || tree(&lab.folder(5)).iter().any(|name| name.ends_with(".partial"));
    wait_for("the copy has begun", SOON, partial);
    let before = lab.bytes(5).1; // by ssh the program
    wait_for("a part has arrived", SOON, || lab.bytes(5).1 > before + LEN / 8);
    assert!(running(proc).contains(&"mcpd".to_owned()));
    copy.kill();
    wait_for("all have ended", SOON, || running(proc).is_empty());
    assert!(partial());
    assert!(tree(&temporary(lab, 5)).is_empty(), "the program is gone with its folder");
}

/// A login that goes by way of another host, since this one's is not let in: the copy itself goes straight there.
pub(super) fn through_a_jump_host() {
    let lab = Lab::bridge(2);
    prepare(&lab);
    let _servers = [serve(&lab, 1, Kind::Good), serve(&lab, 2, Kind::Good)];
    lab.nft(2, "add table inet closed");
    lab.nft(2, "add chain inet closed in { type filter hook input priority 0 ; }");
    lab.nft(2, &format!("add rule inet closed in ip saddr {} tcp dport 22 drop", lab.v4(0)));
    let user = keys(&lab).join("user").display().to_string();
    let own = "-o StrictHostKeyChecking=no -o UserKnownHostsFile=/dev/null -o LogLevel=ERROR";
    let jump = format!("ProxyCommand=ssh {own} -i {user} -W %h:%p {}", lab.v4(1));
    let mut args = [options(&lab), vec!["--ssh-option".to_owned(), jump]].concat();
    args.push(lab.source(LEN).display().to_string());
    args.push(format!("{}:{}/", lab.v4(2), lab.folder(2).display()));
    copy(&lab, &args).assert_ok();
    let name = format!("source-{LEN}");
    assert!(fs::read(lab.folder(2).join(name)).unwrap() == content(LEN));
}

/// Ctrl-C while a host is logged in to and hangs: mcp ends at once, and leaves no ssh.
pub(super) fn interrupted_at_a_login() {
    let lab = Lab::bridge(1);
    prepare(&lab);
    let proc = lab.dir.path().join("proc");
    fs::create_dir(&proc).unwrap();
    run(&format!("mount -t proc proc {}", proc.display()));
    let _server = serve(&lab, 1, Kind::Hangs);
    let mut args = options(&lab);
    args.push(lab.source(1).display().to_string());
    args.push(format!("{}:{}/", lab.v4(1), lab.folder(1).display()));
    let copy = Copy::start_trusting(&lab, 0, &[], &args);
    let log = keys(&lab).join("log1");
    let accepted = || fs::read_to_string(&log).unwrap().contains("Accepted publickey");
    wait_for("it is logged in", SOON, accepted);
    kill_process(Pid::from_raw(copy.id()).unwrap(), Signal::INT).unwrap();
    let begin = Instant::now();
    let done = copy.wait();
    assert_eq!(done.code, Some(130), "{done:#?}");
    assert!(begin.elapsed() < SOON, "{:?}", begin.elapsed());
    assert!(!running(&proc).contains(&"ssh".to_owned()), "{:?}", running(&proc));
    assert!(tree(&lab.folder(1)).is_empty());
    run(&format!("umount {}", proc.display()));
}

/// One of many addresses of one host.
fn address(number: usize) -> String {
    format!("10.77.1.{}", number + 1)
}

/// A host as many: its server, and what copies a byte to each of its addresses.
fn many(lab: &Lab) -> (Server, Vec<String>) {
    prepare(lab);
    for number in 0..MANY {
        run(&format!("ip -n {} addr add {}/16 dev eth0", lab.ns(1), address(number)));
    }
    run(&format!("ip -n {} route add 10.77.1.0/24 dev eth0", lab.ns(0)));
    let server = serve(lab, 1, Kind::Good);
    let mut args = options(lab);
    args.push(lab.source(1).display().to_string());
    let folder = lab.folder(1).display().to_string();
    args.extend((0..MANY).map(|number| format!("{}:{folder}/{number}", address(number))));
    (server, args)
}

/// Many hosts begin within seconds: figure printed, and held against logins that do nothing, before it and after it: the
/// machine may be busier by then.
pub(super) fn forty_hosts() {
    let lab = Lab::bridge(1);
    let (_server, args) = many(&lab);
    let logins = || logins(&lab, &(0..MANY).map(address).collect::<Vec<_>>());
    let before = logins();
    let (folder, begin, mut there) = (lab.folder(1), Instant::now(), None);
    let copy = Copy::start_trusting(&lab, 0, &[], &args);
    let done = copy.wait_watched(LIMIT, || {
        let all = there.is_none() && tree(&folder).len() == MANY;
        there = there.or(all.then(|| begin.elapsed()));
    });
    done.assert_ok();
    let alone = before.max(logins());
    eprintln!(
        "{MANY} hosts by ssh: all have it after {there:?}, mcp ends after {:?}, logins alone take {alone:?}",
        done.took
    );
    // The daemons' start and the session come to the logins, all on the processors of this machine.
    let most = (alone * 2 + Duration::from_secs(3)).min(Duration::from_secs(30));
    assert!(done.took < most, "{:?}, logins alone {alone:?}", done.took);
    assert_eq!(tree(&lab.folder(1)).len(), MANY);
}

/// A process may have few open files: as many hosts as that is enough for have it, the others are named.
pub(super) fn few_files_may_be_open() {
    let lab = Lab::bridge(1);
    let (_server, args) = many(&lab);
    // Where more are allowed for the asking they are asked for.
    Copy::start_by(&lab, (0, &["prlimit", "--nofile=64:1024"]), &[], &args).wait().assert_ok();
    let done = Copy::start_by(&lab, (0, &["prlimit", "--nofile=64:64"]), &[], &args).wait();
    assert_eq!(done.code, Some(3), "{done:#?}");
    let (mut well, mut failed) = (0, 0);
    for host in 0..MANY {
        match done.text(host, "status") {
            "ok" => well += 1,
            _ => failed += usize::from(done.text(host, "reason").contains("open files")),
        }
    }
    assert!(well >= 5 && well + failed == MANY, "{done:#?}");
}

/// One that was logged in to and hangs holds the others up for a time that is bounded, and is told as what it is.
pub(super) fn one_that_hangs() {
    let lab = Lab::bridge(2);
    prepare(&lab);
    let _servers = [serve(&lab, 1, Kind::Good), serve(&lab, 2, Kind::Hangs)];
    let mut args = options(&lab);
    args.push(lab.source(1).display().to_string());
    args.extend((1..=2).map(|host| format!("{}:{}/", lab.v4(host), lab.folder(host).display())));
    let done = copy(&lab, &args);
    assert_eq!(done.code, Some(3), "{done:#?}");
    assert_eq!(done.text(0, "status"), "ok");
    let late = done.text(1, "reason").strip_prefix("mcpd has not said within ");
    let late = late.and_then(|rest| rest.split(' ').next()).and_then(|count| count.parse().ok());
    let late: u64 = late.unwrap_or_else(|| panic!("{done:#?}"));
    // Five seconds beyond --connect-timeout, on a machine that is slow just now up to what a host alone has.
    assert!((15..=40).contains(&late), "{done:#?}");
    assert!(done.took < Duration::from_secs(late + 10), "{:?}", done.took);
}

/// The program is brought also where head(1) reads more than it is asked for.
pub(super) fn a_small_host() {
    let lab = Lab::bridge(1);
    prepare(&lab);
    let _server = serve(&lab, 1, Kind::BusyBox);
    let mut args = options(&lab);
    args.extend(["--ssh-install".to_owned(), lab.source(1).display().to_string()]);
    args.push(format!("{}:{}/", lab.v4(1), lab.folder(1).display()));
    copy(&lab, &args).assert_ok();
    assert!(tree(&temporary(&lab, 1)).is_empty(), "the program is gone with its folder");
}

/// A host that does not take the program says why, however much of that is still to come.
pub(super) fn a_host_that_takes_no_program() {
    let lab = Lab::bridge(1);
    prepare(&lab);
    let _server = serve(&lab, 1, Kind::Full);
    let mut args = options(&lab);
    args.extend(["--ssh-install".to_owned(), lab.source(1).display().to_string()]);
    args.push(format!("{}:{}/", lab.v4(1), lab.folder(1).display()));
    let done = copy(&lab, &args);
    assert_eq!(done.code, Some(1), "{done:#?}");
    assert!(done.text(0, "reason").ends_with("head: the disk is full"), "{done:#?}");
    assert!(done.took < Duration::from_secs(15), "{:?}", done.took);
}

/// Is undone when this goes.
struct Mounted(&'static str);

impl Drop for Mounted {
    fn drop(&mut self) {
        run(&format!("umount {}", self.0));
    }
}

/// A configuration that is made for terminals: what it runs, forwards and asks for is not for a copy.
pub(super) fn a_configuration_for_terminals() {
    /// The system's (ssh(1)), which is there with the program.
    const CONFIG: &str = "/etc/ssh/ssh_config";
    let lab = Lab::bridge(2);
    prepare(&lab);
    let config = lab.dir.path().join("ssh_config");
    let lines = "RemoteCommand tmux\nRequestTTY force\nExitOnForwardFailure yes\nLocalForward 7777 127.0.0.1:1\n";
    fs::write(&config, lines).unwrap();
    run(&format!("mount --bind {} {CONFIG}", config.display()));
    let _mounted = Mounted(CONFIG);
    let _servers = [serve(&lab, 1, Kind::Good), serve(&lab, 2, Kind::Good)];
    let mut args = options(&lab);
    args.push(lab.source(1).display().to_string());
    args.extend((1..=2).map(|host| format!("{}:{}/", lab.v4(host), lab.folder(host).display())));
    copy(&lab, &args).assert_ok();
}

/// How long logins take that do nothing, fewer at a time than sshd(8) lets begin (`MaxStartups`): both ends' ciphers
/// run on this machine's processors.
fn logins(lab: &Lab, hosts: &[String]) -> Duration {
    let own: Vec<String> = options(lab).split_off(1);
    let options = own.chunks(2).flat_map(|pair| ["-o".to_owned(), pair[1].clone()]);
    let mut command = Command::new(find("ip").unwrap());
    command.args(["netns", "exec", &lab.ns(0), "xargs", "-P", "8", "-I", "{}", "ssh", "-T"]);
    command.args(options).args(["{}", "true"]).stdin(Stdio::piped());
    let begin = std::time::Instant::now();
    let mut child = command.spawn().unwrap();
    child.stdin.take().unwrap().write_all(hosts.join("\n").as_bytes()).unwrap();
    assert!(child.wait().unwrap().success());
    begin.elapsed()
}
