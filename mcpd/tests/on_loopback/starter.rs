//! `--secret-file -`: what has started the daemon by a pipe says the secret, hears where it listens, and ends it.

use rustix::io::ioctl_fionread;
use rustix::process::{Pid, Signal, kill_process};
use std::io::{BufRead, BufReader, Read, Write};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// It ends within this once its input has.
const SOON: Duration = Duration::from_secs(10);

fn start(root: &Path) -> Child {
    start_beside(root, &[])
}

/// With these variables in its environment.
fn start_beside(root: &Path, variables: &[(&str, &str)]) -> Child {
    let mut command = Command::new(env!("CARGO_BIN_EXE_mcpd"));
    command.envs(variables.iter().copied());
    command.args(["--once", "--secret-file", "-", "--listen", "127.0.0.61:0"]);
    command.arg("--root").arg(root).current_dir(root);
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
}

fn ended(mut child: Child) -> (Option<i32>, String) {
    let begin = Instant::now();
    while child.try_wait().unwrap().is_none() {
        assert!(begin.elapsed() < SOON, "it does not end");
        std::thread::sleep(Duration::from_millis(5));
    }
    let mut said = String::new();
    child.stderr.take().unwrap().read_to_string(&mut said).unwrap();
    (child.wait().unwrap().code(), said)
}

fn secret() -> String {
    format!("{}=\n", "A".repeat(43)) // 32 bytes in base64
}

#[test]
fn it_says_where_it_listens_and_ends_with_its_input() {
    let root = tempfile::tempdir().unwrap();
    let mut child = start(root.path());
    let mut stdin = child.stdin.take().unwrap();
    stdin.write_all(secret().as_bytes()).unwrap();
    let mut line = String::new();
    let mut out = BufReader::new(child.stdout.take().unwrap());
    out.read_line(&mut line).unwrap();
    let told: serde_json::Value = serde_json::from_str(&line).unwrap();
    assert_eq!(told["address"], "127.0.0.61", "{line}");
    assert!(told["port"].as_u64().is_some_and(|port| port > 0), "{line}");
    let directory = root.path().canonicalize().unwrap();
    assert_eq!(told["directory"], directory.to_str().unwrap());
    kill_process(Pid::from_child(&child), Signal::HUP).unwrap(); // the secret is not asked for again
    std::thread::sleep(Duration::from_millis(50));
    assert!(child.try_wait().unwrap().is_none());
    drop(stdin);
    let (code, said) = ended(child);
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains("whoever has started this daemon is gone"), "{said}");
    assert!(!said.contains("panicked"), "{said}");
}

/// Of other daemons that the same user runs it takes nothing: neither what would keep it from starting, nor what is theirs.
#[test]
fn what_the_login_has_for_other_daemons_is_none_of_its() {
    let (root, dir) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let at = |name: &str| dir.path().join(name).to_str().unwrap().to_owned();
    let key = mcp_keys::identity_file::random().unwrap().public();
    std::fs::write(at("keys"), format!("{key}\n")).unwrap();
    std::fs::write(at("prefixes"), "of another daemon").unwrap();
    std::fs::write(at("list.toml"), format!("authorized-keys = {:?}", at("keys"))).unwrap();
    std::fs::write(at("plain.toml"), "insecure-plaintext = true").unwrap();
    for (variable, value) in [
        ("MCPD_AUTHORIZED_KEYS", at("keys")),
        ("MCPD_AUTHORIZED_KEYS", at("none")),
        ("MCPD_TO_STDOUT", "true".to_owned()),
        ("MCPD_INSECURE_PLAINTEXT", "true".to_owned()),
        ("MCPD_CONFIG", at("list.toml")),
        ("MCPD_CONFIG", at("plain.toml")),
        ("MCPD_CONFIG", at("none")),
        ("MCPD_PREFIX_FILE", at("prefixes")),
    ] {
        let mut child = start_beside(root.path(), &[(variable, &value)]);
        let mut stdin = child.stdin.take().unwrap();
        stdin.write_all(secret().as_bytes()).unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        assert!(line.contains("127.0.0.61"), "{variable}={value}: {line:?}, {}", ended(child).1);
        drop(stdin);
        assert_eq!(ended(child).0, Some(1));
    }
    assert_eq!(std::fs::read(at("prefixes")).unwrap(), b"of another daemon");
    let left = std::fs::read_dir(root.path()).unwrap().count();
    assert_eq!(left, 0, "nor does it make anything");
}

#[test]
fn what_is_no_secret_is_refused() {
    let root = tempfile::tempdir().unwrap();
    for text in ["", "\n", "no secret\n"] {
        let mut child = start(root.path());
        child.stdin.take().unwrap().write_all(text.as_bytes()).unwrap();
        let (code, said) = ended(child);
        assert_eq!(code, Some(1), "{text:?}: {said}");
        assert!(said.contains("standard input"), "{said}");
    }
}

/// Who says nothing keeps it no longer than a signal.
#[test]
fn a_signal_ends_it_while_it_waits_for_the_secret() {
    let root = tempfile::tempdir().unwrap();
    for (signal, code) in [(Signal::TERM, 1), (Signal::INT, 130)] {
        let mut child = start(root.path());
        let mut stdin = child.stdin.take().unwrap();
        stdin.write_all(b"A").unwrap();
        let begin = Instant::now();
        while ioctl_fionread(&stdin).unwrap() > 0 {
            assert!(begin.elapsed() < SOON, "it does not read");
            std::thread::sleep(Duration::from_millis(5));
        }
        kill_process(Pid::from_child(&child), signal).unwrap();
        let (ended, said) = ended(child);
        assert_eq!((ended, &*said), (Some(code), ""));
        drop(stdin); // not before
    }
}
