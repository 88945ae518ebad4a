//! What there is to hash below some paths, in the order of their digests.

use std::collections::VecDeque;
use std::ffi::OsStr;
use std::ops::Range;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use transfer::blocks::{self, Value};
use transfer::tree::digest::read_block;
use transfer::tree::entry::Kind;
use transfer::tree::scan::{Found, Opener, Options, Skipped, Stamp, Walk};

/// One step on the way through a path.
#[derive(Debug)]
pub(super) enum Task {
    /// It is a folder that is given with a slash behind it.
    Contents,
    Enter(Vec<u8>),
    Leave,
    Symlink(Vec<u8>, Vec<u8>),
    /// A block of a file.
    Block(Arc<File>, u64),
    /// Something has no digest: its path, unless the reason says that, and why.
    Failed(PathBuf, String),
    /// Something is left out that is neither file, folder nor link.
    Special,
    /// The path is done.
    End,
}

/// A file that is hashed.
#[derive(Debug)]
pub(super) struct File {
    pub(super) name: Vec<u8>,
    pub(super) len: u64,
    /// As people know it.
    shown: PathBuf,
    opener: Opener,
    /// From the root of the walk.
    path: Vec<u8>,
    stamp: Stamp,
    data: Option<Vec<Range<u64>>>,
    /// One of its blocks could not be hashed: no other is looked at.
    failed: AtomicBool,
}

/// A step that is done.
#[derive(Debug)]
pub(super) enum Done {
    Step(Task),
    /// The value of a block.
    Value(Arc<File>, u64, Value),
    /// A block of a file that failed already.
    Nothing,
}

/// Does a step; `buf` is room for a block.
pub(super) fn work(task: Task, buf: &mut Vec<u8>) -> Done {
    let Task::Block(file, index) = task else { return Done::Step(task) };
    if file.failed.load(Ordering::Relaxed) {
        return Done::Nothing;
    }
    let of = (&file.path[..], &file.stamp);
    match read_block(&file.opener, of, file.data.as_deref(), index, buf) {
        Ok(value) => Done::Value(file, index, value),
        Err(_) if file.failed.swap(true, Ordering::Relaxed) => Done::Nothing,
        Err(error) => Done::Step(Task::Failed(file.shown.clone(), error.to_string())),
    }
}

/// All steps, path by path.
pub(super) struct Tasks<'a> {
    paths: std::slice::Iter<'a, PathBuf>,
    options: Options,
    now: Option<Below<'a>>,
    /// Come before anything else.
    pending: VecDeque<Task>,
    /// Of these blocks the next one is the next step.
    blocks: Option<(Arc<File>, Range<u64>)>,
}

/// A path that is walked.
struct Below<'a> {
    given: &'a Path,
    walk: Walk,
    opener: Opener,
    contents: bool,
    way: Vec<Vec<u8>>,
}

impl<'a> Tasks<'a> {
    pub(super) fn new(paths: &'a [PathBuf], links: bool) -> Self {
        let options = Options { links, ..Options::default() };
        let (pending, paths) = (VecDeque::new(), paths.iter());
        Self { paths, options, now: None, pending, blocks: None }
    }

    /// The next path, if there is one.
    fn begin(&mut self) -> Option<Task> {
        let given = self.paths.next()?;
        match Walk::new(&[given], self.options.clone()) {
            Ok(walk) => {
                let (opener, way) = (walk.opener(), Vec::new());
                let mut now = Below { given, walk, opener, contents: false, way };
                let first = now.walk.next();
                // Only of a folder whose contents are meant something is told before its entries.
                now.contents = match &first {
                    Some(Found::Root(..)) => true,
                    Some(Found::Failed { path, .. }) => path.is_empty(),
                    _ => false,
                };
                let now = self.now.insert(now);
                let step = first.and_then(|found| now.step(found, &mut self.blocks));
                self.pending.extend(step);
            }
            Err(error) => {
                // That names the path.
                self.pending.push_back(Task::Failed(PathBuf::new(), error.to_string()));
                self.pending.push_back(Task::End);
            }
        }
        self.next()
    }
}

impl Iterator for Tasks<'_> {
    type Item = Task;

    fn next(&mut self) -> Option<Task> {
        loop {
            if let Some(task) = self.pending.pop_front() {
                return Some(task);
            }
            if let Some((file, left)) = &mut self.blocks
                && let Some(index) = left.next()
            {
                return Some(Task::Block(Arc::clone(file), index));
            }
            self.blocks = None;
            let Some(now) = &mut self.now else { return self.begin() };
            let Some(found) = now.walk.next() else {
                self.now = None;
                return Some(Task::End);
            };
            self.pending.extend(now.step(found, &mut self.blocks));
        }
    }
}

impl Below<'_> {
    /// What is to be done for that, if it is no file; one has blocks.
    fn step(&mut self, found: Found, blocks: &mut Option<(Arc<File>, Range<u64>)>) -> Option<Task> {
        Some(match found {
            Found::Root(..) => Task::Contents,
            Found::Enter(entry, _) => {
                self.way.push(entry.name.clone());
                Task::Enter(entry.name)
            }
            Found::Leave => {
                self.way.pop();
                Task::Leave
            }
            Found::Failed { path, error } => Task::Failed(self.shown(&path), error.to_string()),
            Found::Skipped { what: Skipped::Special, .. } => Task::Special,
            // No rules are given to it, and it deletes nothing.
            Found::Skipped {
                what: Skipped::Symlink | Skipped::ByRule | Skipped::SourceByRule | Skipped::Apart,
                ..
            }
            | Found::Whole
            | Found::Doubt(_) => return None,
            Found::Item(entry, stamp) => match entry.kind {
                Kind::Symlink { target } => Task::Symlink(entry.name, target),
                Kind::File { len, data } => {
                    let path = self.way.iter().chain([&entry.name]).cloned().collect::<Vec<_>>();
                    let path = path.join(&b'/');
                    let (shown, opener) = (self.shown(&path), self.opener.clone());
                    let failed = AtomicBool::new(false);
                    let name = entry.name;
                    let file = File { name, len, shown, opener, path, stamp, data, failed };
                    // Of an empty one as well: whether it is empty shows when it is read.
                    *blocks = Some((Arc::new(file), 0..blocks::count(len).max(1)));
                    return None;
                }
                // Neither is told as an item: further names are not asked for.
                Kind::Special(_) => Task::Special,
                Kind::Dir | Kind::Link { .. } => return None,
            },
        })
    }

    /// A path of the walk as people know it: behind the one that was given.
    fn shown(&self, path: &[u8]) -> PathBuf {
        let below = if self.contents {
            path
        } else {
            path.splitn(2, |byte| *byte == b'/').nth(1).unwrap_or_default()
        };
        match below {
            b"" => self.given.to_owned(),
            below => self.given.join(OsStr::from_bytes(below)),
        }
    }
}
