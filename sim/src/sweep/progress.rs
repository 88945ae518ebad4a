//! What a sweep has done so far, in a file, a line a run: whoever ends it loses a run or two.

use super::{Job, Run};
use core::time::Duration;
use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

/// The runs done, in memory and in their file.
#[derive(Debug)]
pub(super) struct Progress {
    path: PathBuf,
    file: Mutex<File>,
    done: BTreeMap<Job, Run>,
}

impl Progress {
    /// Goes on with what this program did before in `folder`; another build begins anew.
    pub(super) fn open(folder: &Path) -> io::Result<Self> {
        let build = blake3::hash(&fs::read(std::env::current_exe()?)?);
        Self::of_build(folder, &build.to_hex().as_str()[..16])
    }

    fn of_build(folder: &Path, build: &str) -> io::Result<Self> {
        fs::create_dir_all(folder)?;
        let path = folder.join(format!("{build}.tsv"));
        let text = fs::read_to_string(&path).or_else(|e| match e.kind() {
            io::ErrorKind::NotFound => Ok(String::new()),
            _ => Err(e),
        })?;
        // a line that an interruption cut short is not taken, and does not stay
        let whole = text.rfind('\n').map_or(0, |at| at + 1);
        let done = text[..whole].lines().filter_map(read).collect();
        let mut file = OpenOptions::new().append(true).create(true).open(&path)?;
        file.set_len(whole as u64)?;
        file.flush()?;
        Ok(Self { path, file: Mutex::new(file), done })
    }

    /// Where it is kept.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Every run so far.
    pub(super) fn done(&self) -> &BTreeMap<Job, Run> {
        &self.done
    }

    /// Notes a run in the file, from any thread.
    pub(super) fn note(&self, job: &Job, run: &Run) -> io::Result<()> {
        let line = written(job, run);
        let mut file = self.file.lock().unwrap_or_else(PoisonError::into_inner);
        file.write_all(line.as_bytes())
    }

    /// Takes runs that were noted.
    pub(super) fn take(&mut self, runs: impl IntoIterator<Item = (Job, Run)>) {
        self.done.extend(runs);
    }
}

fn written((seed, name): &Job, run: &Run) -> String {
    let faults = run.faults.replace(['\n', '\t'], " ");
    format!("{name}\t{seed}\t{}\t{faults}\n", run.took.as_micros())
}

fn read(line: &str) -> Option<(Job, Run)> {
    let mut fields = line.splitn(4, '\t');
    let name = fields.next()?.to_owned();
    let seed = fields.next()?.parse().ok()?;
    let took = Duration::from_micros(fields.next()?.parse().ok()?);
    Some(((seed, name), Run { took, faults: fields.next()?.to_owned() }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_noted_is_there_again_and_another_build_begins_anew() {
        let folder = tempfile::tempdir().expect("a folder");
        let job = |seed| (seed, "deaf".to_owned());
        let good = Run { took: Duration::from_micros(70), faults: String::new() };
        let bad = Run { faults: "two\nlines\tof it".to_owned(), ..good.clone() };
        let progress = Progress::of_build(folder.path(), "one").expect("it opens");
        progress.note(&job(1), &good).expect("noted");
        progress.note(&job(2), &bad).expect("noted");
        progress.file.lock().expect("sound").write_all(b"deaf\t3\t1").expect("cut short");
        let again = Progress::of_build(folder.path(), "one").expect("it opens");
        assert_eq!(again.done().len(), 2);
        assert_eq!(again.done()[&job(1)], good);
        assert_eq!(again.done()[&job(2)].faults, "two lines of it");
        again.note(&job(3), &good).expect("noted");
        let third = Progress::of_build(folder.path(), "one").expect("it opens");
        assert_eq!(third.done()[&job(3)], good, "what was cut short does not spoil the next line");
        assert!(Progress::of_build(folder.path(), "two").expect("it opens").done().is_empty());
    }
}
