//! `--prefix-file`: which files are being received, and how far each can be read, as a file that other programs poll
//! (docs/prefix.md).

use crate::report::say;
use anyhow::{Context, Result, bail};
use mcp_cli::say::plain;
use serde::Serialize;
use std::fs::{self, OpenOptions};
use std::io::{self, ErrorKind, Write};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf, absolute};
use std::sync::Arc;
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread;
use std::time::{Duration, Instant};
use transfer::destination::Root;
use transfer::prefix::{Prefix, Prefixes, State, watch};
use transfer::shown::shown;

/// It is replaced no more often.
const PACE: Duration = Duration::from_millis(100);
/// Nobody but the daemon's user can read what arrives, and this is of use to nobody else.
const MODE: u32 = 0o600;

/// The writer's end: what is written last has been written.
#[derive(Debug)]
pub(crate) struct Written(mpsc::Receiver<()>);

impl Written {
    /// Waits until then for that. Nobody may have the other end any more.
    pub(crate) fn wait(&self, until: Instant) {
        let left = until.saturating_duration_since(Instant::now());
        if self.0.recv_timeout(left) == Err(RecvTimeoutError::Timeout) {
            say("the file of --prefix-file may not say how the last sessions ended");
        }
    }
}

/// What sessions tell of, and where that is written.
#[derive(Debug)]
pub(crate) struct Told {
    prefixes: Arc<Prefixes>,
    place: Arc<Place>,
}

impl Told {
    /// For a session.
    pub(crate) fn prefixes(&self) -> Arc<Prefixes> {
        Arc::clone(&self.prefixes)
    }

    /// Refuses a root below which the file stands.
    pub(crate) fn check(&self, root: &Root) -> Result<(), String> {
        let path = plain(&self.place.path.display().to_string());
        self.place.check(root).map_err(|error| format!("{path} (--prefix-file): {error}"))
    }
}

/// Empties the file, and starts the thread that writes it from now on.
pub(crate) fn start(path: &Path, roots: &[&Root]) -> Result<(Told, Written)> {
    let named = || format!("cannot write {} (--prefix-file)", plain(&path.display().to_string()));
    let place = Arc::new(Place::new(path, roots).with_context(named)?);
    place.replace(b"").with_context(named)?;
    let (prefixes, changes) = watch(PACE);
    let (done, written) = mpsc::channel();
    let told = Told { prefixes, place: Arc::clone(&place) };
    let work = move || {
        let mut failed = false;
        for files in changes {
            let replaced = place.replace(&lines(&files));
            if let (Err(error), false) = (&replaced, failed) {
                let path = plain(&place.path.display().to_string());
                say(format_args!(
                    "cannot write {path} (--prefix-file), which goes on being tried: {error}"
                ));
            }
            failed |= replaced.is_err(); // a disk that is full now and then fills no log
        }
        let _ = done.send(());
    };
    let started = thread::Builder::new().name("prefix-file".to_owned()).spawn(work);
    started.context("cannot start a thread")?;
    Ok((told, Written(written)))
}

/// Where it stands, and what it is written as before it takes that name.
#[derive(Debug)]
struct Place {
    path: PathBuf,
    beside: PathBuf,
}

impl Place {
    /// Refuses what must not be replaced, and what senders could replace.
    fn new(path: &Path, roots: &[&Root]) -> Result<Self> {
        let path = absolute(path)?;
        let (Some(folder), Some(name)) = (path.parent(), path.file_name()) else {
            bail!("it is no name of a file");
        };
        match fs::symlink_metadata(&path) {
            Ok(meta) if meta.is_file() => {}
            Ok(_) => bail!("what stands there is no file: name another"),
            Err(error) if error.kind() == ErrorKind::NotFound => {}
            Err(error) => return Err(error.into()),
        }
        let folder = folder.canonicalize().context("its folder")?;
        // The same each time: what a killed daemon has left of it goes with the next.
        let beside = [b".", name.as_bytes(), b".new"].concat();
        let beside = folder.join(std::ffi::OsStr::from_bytes(&beside));
        let place = Self { path: folder.join(name), beside };
        roots.iter().try_for_each(|root| place.check(root))?;
        Ok(place)
    }

    /// Refuses a root below which it stands, but where nothing stands outside.
    fn check(&self, root: &Root) -> Result<()> {
        if root.is_whole() {
            return Ok(());
        }
        let root = root.path().canonicalize()?;
        if self.path.starts_with(&root) {
            bail!(
                "it is below {}, where senders could replace it: name one elsewhere",
                plain(&root.display().to_string())
            );
        }
        Ok(())
    }

    /// Puts this in its place. Whoever reads it has the one before or this, whole.
    fn replace(&self, bytes: &[u8]) -> io::Result<()> {
        match fs::remove_file(&self.beside) {
            Err(error) if error.kind() != ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let open = OpenOptions::new().write(true).create_new(true).mode(MODE).open(&self.beside);
        let written = open.and_then(|mut file| file.write_all(bytes));
        let replaced = written.and_then(|()| fs::rename(&self.beside, &self.path));
        if replaced.is_err() {
            let _ = fs::remove_file(&self.beside);
        }
        replaced
    }
}

/// One file.
#[derive(Debug, Serialize)]
struct Line {
    path: String,
    partial: String,
    #[serde(rename = "try")]
    attempt: u64,
    length: Option<u64>,
    verified: u64,
    state: &'static str,
    /// Of paths that are no text.
    #[serde(skip_serializing_if = "Option::is_none")]
    path_hex: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    partial_hex: Option<String>,
}

impl Line {
    fn new(file: &Prefix) -> Self {
        let Prefix { path, partial, attempt, len, verified, state } = file;
        let text = |path: &Path| shown(path.as_os_str().as_bytes());
        Self {
            path: text(path),
            partial: text(partial),
            attempt: *attempt,
            length: *len,
            verified: *verified,
            state: match state {
                State::Arriving => "arriving",
                State::Complete => "complete",
                State::Failed => "failed",
            },
            path_hex: hex(path),
            partial_hex: hex(partial),
        }
    }
}

/// The bytes of a path that is no text; `None` of any other.
fn hex(path: &Path) -> Option<String> {
    let bytes = path.to_str().is_none().then(|| path.as_os_str().as_bytes())?;
    let digits = bytes.iter().flat_map(|byte| [byte >> 4, byte & 15]);
    digits.map(|digit| char::from_digit(digit.into(), 16)).collect()
}

fn lines(files: &[Prefix]) -> Vec<u8> {
    let mut out = Vec::new();
    for line in files.iter().map(Line::new) {
        if let Ok(line) = serde_json::to_string(&line) {
            out.extend_from_slice(line.as_bytes());
            out.push(b'\n');
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::ffi::OsStr;
    use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};

    fn file(path: &[u8], len: Option<u64>, verified: u64, state: State) -> Prefix {
        let path: Arc<Path> = Path::new(OsStr::from_bytes(path)).into();
        let partial = path.with_extension("partial").into();
        Prefix { path, partial, attempt: 1 << 52, len, verified, state }
    }

    #[test]
    fn a_line_says_where_how_far_and_how_it_stands() {
        let files = [
            file("/a \"\u{e4}\"\n".as_bytes(), Some(9), 9, State::Complete),
            file(b"/\xff", None, 1 << 40, State::Arriving),
            file(b"/c", Some(5), 0, State::Failed),
        ];
        let text = String::from_utf8(lines(&files)).unwrap();
        let expected = [
            r#"{"path":"/a \"ä\"\n","partial":"/a \"ä\"\n.partial","try":4503599627370496,"length":9,"verified":9,"state":"complete"}"#,
            r#"{"path":"/\\xff","partial":"/\\xff.partial","try":4503599627370496,"length":null,"verified":1099511627776,"state":"arriving","path_hex":"2fff","partial_hex":"2fff2e7061727469616c"}"#,
            r#"{"path":"/c","partial":"/c.partial","try":4503599627370496,"length":5,"verified":0,"state":"failed"}"#,
            "",
        ];
        assert_eq!(text, expected.join("\n"));
    }

    #[test]
    fn it_is_replaced_whole_and_nothing_stays_beside_it() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("file");
        fs::write(dir.path().join(".file.new"), "left by one that was killed").unwrap();
        let place = Place::new(&path, &[]).unwrap();
        place.replace(b"one").unwrap();
        let before = fs::File::open(&path).unwrap();
        place.replace(b"two").unwrap();
        assert_eq!(io::read_to_string(before).unwrap(), "one");
        assert_eq!(fs::read(&path).unwrap(), b"two");
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, MODE);
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
        // Where it cannot stand, nothing is left either.
        fs::remove_file(&path).unwrap();
        fs::create_dir(&path).unwrap();
        assert!(place.replace(b"three").is_err());
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
    }

    #[test]
    fn what_must_not_be_replaced_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let inside = dir.path().join("root/deep");
        fs::create_dir_all(&inside).unwrap();
        symlink(dir.path().join("gone"), dir.path().join("link")).unwrap();
        symlink(&inside, dir.path().join("way")).unwrap();
        let root = Root::open(&dir.path().join("root")).unwrap();
        let why = |path: &Path| format!("{:#}", Place::new(path, &[&root]).unwrap_err());
        for name in ["root/file", "root/deep/file", "way/file", "root/../root/file"] {
            let why = why(&dir.path().join(name));
            assert!(why.contains("senders could replace it"), "{name}: {why}");
        }
        for path in [dir.path(), &dir.path().join("link"), Path::new("/dev/null")] {
            assert!(why(path).contains("no file"), "{}", path.display());
        }
        assert!(why(&dir.path().join("none/file")).contains("No such file"));
        for path in ["/", "..", ""] {
            assert!(Place::new(Path::new(path), &[]).is_err(), "{path}");
        }
        assert!(Place::new(&dir.path().join("root-file"), &[&root]).is_ok());
        let whole = Root::open(Path::new("/")).unwrap();
        assert!(Place::new(&inside.join("file"), &[&whole]).is_ok());
    }

    /// What is written last is waited for; and where nothing has changed, that was at the start.
    #[test]
    fn it_is_empty_at_first_and_stays_where_nothing_changes() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("file");
        fs::write(&path, "of before").unwrap();
        let (told, written) = start(&path, &[]).unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"");
        let inode = fs::metadata(&path).unwrap().ino();
        drop(told);
        written.wait(Instant::now() + Duration::from_secs(20));
        assert_eq!(fs::metadata(&path).unwrap().ino(), inode);
    }
}
