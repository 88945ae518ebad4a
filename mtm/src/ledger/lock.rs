//! One process at a time has a job.

use super::LedgerError;
use rustix::fs::{FlockOperation, flock};
use rustix::io::Errno;
use std::ffi::OsString;
use std::fs::{File, OpenOptions};
use std::io::{Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

/// The lock of a job, held as long as this lives. It is not on the file itself: whoever closes that loses the
/// database's locks on it (fcntl(2)).
#[derive(Debug)]
pub(super) struct Lock {
    _file: File,
}

impl Lock {
    /// Takes the lock of the job in this file.
    pub(super) fn take(job: &Path) -> Result<Self, LedgerError> {
        let path = beside(job);
        let placed = |error| LedgerError::Place { path: path.clone(), error };
        let open = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .open(&path);
        let mut file = open.map_err(placed)?;
        if let Err(error) = flock(&file, FlockOperation::NonBlockingLockExclusive) {
            if error != Errno::WOULDBLOCK {
                return Err(placed(error.into()));
            }
            let mut holder = String::new();
            let read = (&file).take(32).read_to_string(&mut holder);
            let holder = read.ok().map(|_| holder.trim().to_owned()).filter(|pid| !pid.is_empty());
            let holder =
                holder.map_or_else(|| "another process".to_owned(), |pid| format!("process {pid}"));
            return Err(LedgerError::InUse { path: job.to_owned(), holder });
        }
        file.set_len(0).map_err(placed)?;
        writeln!(file, "{}", std::process::id()).map_err(placed)?;
        Ok(Self { _file: file })
    }
}

fn beside(job: &Path) -> PathBuf {
    let mut name = OsString::from(job);
    name.push(".lock");
    name.into()
}
