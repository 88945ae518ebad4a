//! Standard input as a source, and standard output as a PATH.

#[path = "common/receiver.rs"]
mod receiver;
#[path = "common/wait.rs"]
mod wait;

use receiver::Receiver;
use serde_json::Value;
use std::fs::Permissions;
use std::fs::{self, File};
use std::io::Write;
use std::net::Ipv4Addr;
use std::os::unix::fs::{FileExt, PermissionsExt};
use std::process::{Command, Output, Stdio};
use tcpxm::api::{Closer, ListenOptions, Listener};
use tcpxm::trust::ListenTrust;
use transfer::limits::Limits;
use wait::wait_until;

/// Runs it with this standard input.
fn fed(args: &[&str], input: impl Into<Stdio>) -> Output {
    let scratch = tempfile::tempdir().unwrap();
    let mut mcp = Command::new(env!("CARGO_BIN_EXE_mcp"));
    mcp.env("TMPDIR", scratch.path()).env_remove("MCP_GROUP").env_remove("MCP_JSON");
    let output = mcp.args(args).stdin(input).output().unwrap();
    assert_eq!(fs::read_dir(scratch.path()).unwrap().count(), 0, "{output:?}");
    output
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

fn lines(output: &Output) -> Vec<Value> {
    text(&output.stdout).lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[test]
fn a_pipe_becomes_a_file_everywhere() {
    let (one, other) = (Receiver::new(71), Receiver::new(72));
    let mut data = vec![0; 3 * (1 << 20) + 17];
    blake3::Hasher::new().finalize_xof().fill(&mut data);
    let (from, mut to) = std::io::pipe().unwrap();
    let output = std::thread::scope(|scope| {
        scope.spawn(|| {
            to.write_all(&data).unwrap();
            drop(to);
        });
        fed(&["--json", "-a", "-", &one.host("x"), &other.host("a/y")], from)
    });
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    let lines = lines(&output);
    let digest = blake3::hash(&data).to_hex().to_string();
    for (line, at) in
        lines.iter().zip([one.folder.path().join("x"), other.folder.path().join("a/y")])
    {
        assert_eq!((&line["status"], &line["digest"]), (&"ok".into(), &digest.clone().into()));
        assert!(fs::read(at).unwrap() == data);
    }
    assert_eq!(lines[2]["status"], "ok");
    assert!(text(&output.stderr).contains("-a without effect"), "{output:?}");
}

#[test]
fn what_cannot_be_read_is_this_sides_failure() {
    let host = Receiver::new(73);
    let output = fed(&["--json", "-", &host.host("x")], File::open("/").unwrap());
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    let lines = lines(&output);
    assert_eq!(lines[0]["status"], "failed");
    let why = lines[1]["reason"].as_str().unwrap();
    assert!(why.contains("cannot be read any further: Is a directory"), "{why}");
    assert_eq!(fs::read_dir(host.folder.path()).unwrap().count(), 0);
}

#[test]
fn what_has_no_name_or_no_end_is_usage() {
    let host = Receiver::new(74);
    let dir = tempfile::tempdir().unwrap();
    let folder = dir.path().to_str().unwrap();
    for (source, path, why) in [
        ("-", "", "standard input has no name"),
        ("-", "x/", "standard input has no name"),
        (folder, "-", "is no file"),
    ] {
        let output = fed(&[source, &host.host(path)], Stdio::null());
        assert_eq!(output.status.code(), Some(2), "{output:?}");
        assert!(text(&output.stderr).contains(why), "{output:?}");
    }
    fs::create_dir(host.folder.path().join("there")).unwrap();
    let file = dir.path().join("file");
    fs::write(&file, "x").unwrap();
    for (source, path, why) in [
        ("-", "there", "there is a folder"),
        (file.to_str().unwrap(), "-", "only mcpd --once --to-stdout writes"),
    ] {
        let output = fed(&[source, &host.host(path)], Stdio::null());
        assert_eq!(output.status.code(), Some(1), "{output:?}");
        assert!(text(&output.stdout).contains(why), "{output:?}");
    }
    // A file of that name is written as elsewhere.
    let output = fed(&[file.to_str().unwrap(), &host.host("./-")], Stdio::null());
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    assert_eq!(fs::read(host.folder.path().join("-")).unwrap(), b"x");
}

#[test]
fn what_a_stream_cannot_have_is_refused_and_the_rest_is_named() {
    let host = Receiver::new(75);
    for option in [
        &["--chmod", "F600"][..],
        &["--chown", "0:0"],
        &["--delete"],
        &["--late-join"],
        &["--min-hosts", "1"],
        &["--wait-lost", "9s"],
        &["--unicast-share", "9"],
    ] {
        let (from, mut to) = std::io::pipe().unwrap();
        to.write_all(b"secret").unwrap();
        drop(to);
        let output = fed(&[option, &["-", &host.host("x")]].concat(), from);
        assert_eq!(output.status.code(), Some(2), "{option:?}: {output:?}");
        assert!(text(&output.stderr).contains(option[0]), "{option:?}: {output:?}");
    }
    assert_eq!(fs::read_dir(host.folder.path()).unwrap().count(), 0);
    let output = fed(
        &["-AXD", "--devices", "--specials", "--numeric-ids", "--no-resume", "-", &host.host("x")],
        Stdio::null(),
    );
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    let named = "-A, -X, -D, --devices, --specials, --numeric-ids, --no-resume without effect";
    assert!(text(&output.stderr).contains(named), "{output:?}");
}

#[test]
fn rules_do_not_read_what_is_copied() {
    let host = Receiver::new(81);
    let file = tempfile::NamedTempFile::new().unwrap();
    let file = file.path().to_str().unwrap();
    for args in [
        &["--filter", "merge -", "-", &host.host("x")][..],
        &["--filter", "merge -", "--filter", ". -", file, &host.host("x")],
        &["--filter", ". -", "--exclude-from", "-", file, &host.host("x")],
    ] {
        let (from, mut to) = std::io::pipe().unwrap();
        to.write_all(b"- foo\n").unwrap();
        drop(to);
        let output = fed(args, from);
        assert_eq!(output.status.code(), Some(2), "{args:?}: {output:?}");
        assert!(text(&output.stderr).contains("standard input"), "{args:?}: {output:?}");
    }
    assert_eq!(fs::read_dir(host.folder.path()).unwrap().count(), 0);
}

#[test]
fn what_is_set_for_all_copies_is_not_for_a_stream() {
    let host = Receiver::new(82);
    let dir = tempfile::tempdir().unwrap();
    let [config, file] = ["config", "file"].map(|name| dir.path().join(name));
    fs::write(&file, "list\n").unwrap();
    let all = "delete = true\nmax-delete = 1\nretry = 2\nitemize-changes = true\n";
    fs::write(&config, format!("{all}files-from = {file:?}\n")).unwrap();
    let (config, file) = (config.to_str().unwrap(), file.to_str().unwrap());
    let output = fed(&["--config", config, "--json", "-", &host.host("x")], Stdio::null());
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    let row = &lines(&output)[0];
    assert!(row["deleted"].is_null() && row["changes"].is_null(), "{row}");
    fs::write(config, all).unwrap();
    let output = fed(&["--config", config, "--json", file, &host.host("y")], Stdio::null());
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    assert!(lines(&output)[0]["deleted"].is_null(), "{output:?}");
    for typed in [&["-i"][..], &["-n"], &["--retry=1"], &["--files-from", file]] {
        let output = fed(&[typed, &["-", &host.host("z")]].concat(), Stdio::null());
        assert_eq!(output.status.code(), Some(2), "{typed:?}: {output:?}");
    }
}

#[test]
fn a_closed_input_is_no_empty_one() {
    let host = Receiver::new(76);
    fs::write(host.folder.path().join("x"), "old").unwrap();
    let run = |input: &str| {
        let mut sh = Command::new("sh");
        sh.args(["-c", &format!("exec \"$@\" {input}"), "sh", env!("CARGO_BIN_EXE_mcp"), "--json"]);
        sh.args(["-", &host.host("x")]).output().unwrap()
    };
    let output = run("<&-");
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    let why = lines(&output)[0]["reason"].as_str().unwrap().to_owned();
    assert!(why.contains("standard input is closed"), "{why}");
    assert_eq!(fs::read(host.folder.path().join("x")).unwrap(), b"old");
    let output = run("</dev/null");
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    assert_eq!(fs::read(host.folder.path().join("x")).unwrap(), b"");
}

/// A receiver that hands a stream on to what it calls with each piece.
fn output(last: u8, mut each: impl FnMut(&[u8]) + Send + 'static) -> (String, Closer) {
    struct Each<F>(F);
    impl<F: FnMut(&[u8])> Write for Each<F> {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            (self.0)(bytes);
            Ok(bytes.len())
        }
        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }
    let addr = (Ipv4Addr::new(127, 0, 0, last), 0).into();
    let listener = Listener::bind(ListenOptions::new(addr, ListenTrust::Loopback)).unwrap();
    let (addr, closer) = (listener.local_addr(), listener.closer());
    std::thread::spawn(move || {
        while let Ok(session) = listener.accept() {
            let _ = transfer::receive_to(&session, &mut Each(&mut each), &Limits::default());
        }
    });
    (format!("{}:{}:-", addr.ip(), addr.port()), closer)
}

#[test]
fn a_file_that_changes_while_it_is_a_stream_arrives_nowhere() {
    /// More than what is read ahead of the slowest host: 16 MiB here, and 32 MiB that it holds at most
    /// (`EndpointConfig::recv_buffer_max`).
    const LEN: u64 = 64 << 20;
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("image.iso");
    for (len, what) in [(30 << 20, "is shorter"), (LEN + 1, "is longer"), (LEN, "is other bytes")] {
        fs::write(&path, vec![1; LEN as usize]).unwrap();
        let (file, mut calls) = (File::options().write(true).open(&path).unwrap(), 0);
        let (host, closer) = output(77, move |_| {
            calls += 1;
            if calls == 1 {
                file.set_len(len).unwrap();
                file.write_all_at(b"other", 3).unwrap();
            }
        });
        let beside = Receiver::new(78);
        let output =
            fed(&["--json", path.to_str().unwrap(), &host, &beside.host("copy")], Stdio::null());
        assert_eq!(output.status.code(), Some(1), "{what}: {output:?}");
        let lines = lines(&output);
        for line in &lines[..2] {
            assert_eq!(line["status"], "failed", "{what}: {line}");
        }
        let why = lines[2]["reason"].as_str().unwrap();
        assert!(why.contains("image.iso") && why.contains("changed"), "{what}: {why}");
        // The host takes away what it has begun once it has heard of it.
        wait_until(what, || fs::read_dir(beside.folder.path()).unwrap().count() == 0);
        closer.close();
    }
}

#[test]
fn a_file_as_a_stream_is_no_more_open_than_its_source() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("secret");
    fs::write(&path, "secret").unwrap();
    let (host, closer) = output(79, |_| ());
    let beside = Receiver::new(80);
    for mode in [0o600, 0o640, 0o750, 0o444, 0o6755] {
        fs::set_permissions(&path, Permissions::from_mode(mode)).unwrap();
        let (to, other) = (format!("{mode:o}-stream"), format!("{mode:o}-file"));
        let args = [path.to_str().unwrap(), &host, &beside.host(&to)];
        let output = fed(&args, Stdio::null());
        assert_eq!(output.status.code(), Some(0), "{output:?}");
        let output = fed(&[args[0], &beside.host(&other)], Stdio::null());
        assert_eq!(output.status.code(), Some(0), "{output:?}");
        let [stream, file] = [to, other].map(|name| {
            beside.folder.path().join(name).metadata().unwrap().permissions().mode() & 0o7777
        });
        assert_eq!(stream & !mode, 0, "{stream:o} of {mode:o}");
        assert_eq!(stream, file, "as any other copy of it");
    }
    closer.close();
}
