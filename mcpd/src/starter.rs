//! `--secret-file -`: who has started this daemon by a pipe, as `mcp --ssh` does through ssh(1), gives it the secret as
//! the first line of standard input, reads from its output where it listens, and ends it by the end of that input.

use crate::args::Cli;
use anyhow::{Context, Result};
use mcp_keys::Secrets;
use serde::Serialize;
use std::ffi::OsString;
use std::fs::File;
use std::io::{self, Write};
use std::net::{IpAddr, SocketAddr};
use std::os::fd::AsFd;
use std::os::unix::fs::FileTypeExt;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use std::thread;
use std::time::Duration;
use tcpxm::api::Listener;
use transfer::pipe::input::{Input, Opened};

/// Stands for standard input.
const STDIN: &str = "-";
/// The first line, at most: a secret has 44 characters.
const MAX_LINE: u64 = 256;
/// What a sender is told whose session ends so.
pub(crate) const GONE: &str = "whoever has started this daemon is gone";

/// It is read once: what SIGHUP asks for again is the same.
static SECRET: OnceLock<Result<Secrets, String>> = OnceLock::new();

/// Whether there is one.
pub(crate) fn is_there(cli: &Cli) -> bool {
    cli.common.secret_file.as_deref() == Some(Path::new(STDIN))
}

/// Whether it is asked for by these words of a command line.
pub(crate) fn is_typed(args: &[OsString]) -> bool {
    let mut words = args.iter().skip(1).take_while(|word| *word != "--").peekable();
    while let Some(word) = words.next() {
        let apart = word == "--secret-file" && words.peek().is_some_and(|next| *next == STDIN);
        if apart || word == "--secret-file=-" {
            return true;
        }
    }
    false
}

/// Waits for the secret, as long as the daemon is not to end; whether it is there, or why there is none.
pub(crate) fn wait(is_over: &dyn Fn() -> bool) -> bool {
    let Some(secret) = read(&mut Opened(io::stdin()), is_over) else { return false };
    SECRET.get_or_init(|| secret);
    true
}

/// The secret that was waited for.
pub(crate) fn secret() -> Result<Secrets, String> {
    SECRET.get().cloned().unwrap_or_else(|| Err("standard input was not read".to_owned()))
}

/// Reads the first line; `None`: the daemon is to end before that.
fn read(input: &mut dyn Input, is_over: &dyn Fn() -> bool) -> Option<Result<Secrets, String>> {
    let (mut line, mut byte) =
        (zeroize::Zeroizing::new(Vec::with_capacity(MAX_LINE as usize)), [0]);
    while (line.len() as u64) < MAX_LINE {
        match input.read(&mut byte, is_over) {
            Ok(None) => return None,
            Ok(Some(0)) => break,
            Ok(Some(_)) if byte == *b"\n" => break,
            Ok(Some(_)) => line.push(byte[0]),
            Err(error) => {
                return Some(Err(format!("cannot read the secret from standard input: {error}")));
            }
        }
    }
    if line.len() as u64 == MAX_LINE {
        let why = "standard input: its first line is no secret: it is too long";
        return Some(Err(why.to_owned()));
    }
    let secret = Secrets::parse(Path::new("standard input"), &line);
    Some(secret.map_err(|error| error.to_string()))
}

/// Where the daemon listens, as one line.
#[derive(Debug, Serialize)]
struct Listening<'a> {
    /// By which this host was reached, if that is known.
    address: Option<IpAddr>,
    /// UDP.
    port: u16,
    /// What relative paths of the starter begin with.
    directory: &'a str,
}

/// Where it is told: standard output, unless that is for data.
pub(crate) fn output(cli: &Cli) -> Box<dyn Write> {
    if cli.to_stdout { Box::new(io::stderr()) } else { Box::new(io::stdout()) }
}

/// Whether who has started the daemon is still there.
#[derive(Debug)]
pub(crate) struct Starter(Arc<AtomicBool>);

impl Starter {
    /// Whether it has gone, and the daemon ends for that.
    pub(crate) fn is_gone(&self) -> bool {
        self.0.load(Ordering::SeqCst)
    }
}

/// Tells the starter where the daemon listens, and ends that, within this time, once the starter is gone.
pub(crate) fn meet(
    listener: &Listener,
    within: Duration,
    mut output: impl Write,
) -> Result<Starter> {
    let (closer, gone) = (listener.closer(), Arc::new(AtomicBool::new(false)));
    let is_gone = Arc::clone(&gone);
    let ended = move || {
        is_gone.store(true, Ordering::SeqCst);
        closer.shut_down(GONE, within);
    };
    watch(ended).context("cannot watch standard input")?;
    let told = tell(listener.local_addr(), &mut output);
    told.context("cannot say where this daemon listens")?;
    Ok(Starter(gone))
}

/// Says where the daemon listens.
fn tell(addr: SocketAddr, out: &mut impl Write) -> io::Result<()> {
    let directory = std::env::current_dir()?;
    let directory = directory.to_str().ok_or_else(|| {
        io::Error::new(io::ErrorKind::InvalidData, "the name of the home folder is no UTF-8")
    })?;
    let connection = std::env::var("SSH_CONNECTION").unwrap_or_default();
    let own = (!addr.ip().is_unspecified()).then(|| addr.ip());
    let listening =
        Listening { address: own.or_else(|| reached(&connection)), port: addr.port(), directory };
    writeln!(out, "{}", serde_json::to_string(&listening)?)?;
    out.flush()
}

/// The address by which a client has come: of `SSH_CONNECTION` (ssh(1)) the third word.
fn reached(connection: &str) -> Option<IpAddr> {
    let server = connection.split(' ').nth(2)?;
    server.split('%').next()?.parse().ok()
}

/// Calls `gone` once the starter is: when standard input ends. Of a file that is read from it says nothing.
fn watch(gone: impl FnOnce() + Send + 'static) -> io::Result<()> {
    let stdin = File::from(io::stdin().as_fd().try_clone_to_owned()?);
    let kind = stdin.metadata()?.file_type();
    if !kind.is_fifo() && !kind.is_socket() {
        return Ok(());
    }
    let wait = move || {
        // What comes is nobody's.
        let _ = io::copy(&mut io::stdin().lock(), &mut io::sink());
        gone();
    };
    thread::Builder::new().name("starter".to_owned()).spawn(wait).map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Read;

    struct Bytes<'a>(&'a [u8]);

    impl Input for Bytes<'_> {
        fn read(
            &mut self,
            buf: &mut [u8],
            is_over: &dyn Fn() -> bool,
        ) -> io::Result<Option<usize>> {
            if is_over() { Ok(None) } else { self.0.read(buf).map(Some) }
        }
    }

    #[test]
    fn the_secret_is_the_first_line_and_no_more_is_read() {
        let line = mcp_keys::secret_file::line().unwrap();
        let text = format!("{}\nmore", line.as_str());
        let mut input = Bytes(text.as_bytes());
        read(&mut input, &|| false).unwrap().unwrap();
        assert_eq!(input.0, b"more");
        let why = |text| read(&mut Bytes(text), &|| false).unwrap().unwrap_err();
        assert!(why(b"").contains("standard input"));
        assert!(why(&[b'x'; 10_000]).contains("too long"));
        assert!(read(&mut Bytes(text.as_bytes()), &|| true).is_none());
    }

    #[test]
    fn the_server_is_the_third_word() {
        assert_eq!(reached("10.0.0.1 5 10.0.0.2 22"), Some("10.0.0.2".parse().unwrap()));
        assert_eq!(reached("fe80::1%eth0 5 fe80::2%eth0 22"), Some("fe80::2".parse().unwrap()));
        assert_eq!((reached(""), reached("a b c d")), (None, None));
    }

    #[test]
    fn an_address_that_was_bound_is_told_before_any_other() {
        let mut out = Vec::new();
        tell("127.0.0.1:7".parse().unwrap(), &mut out).unwrap();
        let text = String::from_utf8(out).unwrap();
        assert!(text.starts_with(r#"{"address":"127.0.0.1","port":7,"directory":"/"#), "{text}");
        assert_eq!(text.lines().count(), 1);
    }
}
