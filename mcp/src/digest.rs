//! `mcp digest`: the digests of files and folders, as a copy tells them.
//!
//! Files are read by all processors, large ones in blocks of 1 MiB: [`tasks`] says what there is to do, [`mod@in_order`]
//! brings the results back in that order.

mod in_order;
mod tasks;

use crate::args;
use crate::payload::specials_left_out;
use crate::progress::Phase;
use crate::say::say;
use anyhow::{Context, Result};
use in_order::in_order;
use mcp_cli::Exit;
use mcp_cli::say::plain;
use serde::Serialize;
use std::io::{self, Write};
use std::ops::ControlFlow;
use std::path::Path;
use std::sync::Arc;
use std::thread;
use tasks::{Done, Task, Tasks};
use transfer::blocks::Stack;
use transfer::tree::digest::TreeDigest;

/// Entries without a digest that `reason` names.
const NAMED: usize = 3;

/// Prints what is asked for; what has no digest is named, and the others follow.
pub(crate) fn run(options: &args::Digest) -> Result<Exit> {
    let (mut paths, mut out) = (options.paths.iter(), io::stdout().lock());
    let (mut sum, mut exit, mut broken) = (Sum::default(), Exit::Ok, Ok(()));
    let reading = |path: &Path| {
        Phase::start(format!("reading {}", plain(&path.display().to_string())), &options.common)
    };
    let mut phase = options.paths.first().map(|path| reading(path));
    let threads = thread::available_parallelism().map_or(1, Into::into);
    in_order(Tasks::new(&options.paths, !options.no_links), threads, tasks::work, |done| {
        if !sum.take(done) {
            return ControlFlow::Continue(());
        }
        let (Some(path), sum) = (paths.next(), std::mem::take(&mut sum)) else {
            return ControlFlow::Break(());
        };
        drop(phase.take()); // what is shown goes before anything is said
        if sum.specials > 0 && !options.common.quiet {
            let (shown, specials) = (path.display().to_string(), sum.specials);
            say(format_args!("{}: {}", plain(&shown), specials_left_out(specials)));
        }
        let result = sum.finish(path);
        if result.digest.is_none() {
            exit = Exit::Failed;
        }
        broken = show(&mut out, &result, options.common.json);
        phase = paths.as_slice().first().map(|path| reading(path));
        if broken.is_ok() { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
    });
    drop(phase);
    match broken.and_then(|()| out.flush()) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            Err(error).context("cannot write the digests")
        }
        _ => Ok(exit), // who closed it has seen enough
    }
}

/// What there is to say of a path; in `--json` one line.
#[derive(Debug, Serialize)]
struct Line {
    path: String,
    digest: Option<String>,
    /// Files, folders and symbolic links, as a copy counts them.
    entries: u64,
    /// Bytes of files that were read, holes included.
    bytes: u64,
    /// Why there is no digest.
    reason: Option<String>,
}

/// What is known of a path while it is walked.
#[derive(Default)]
struct Sum {
    digest: TreeDigest,
    /// The file whose blocks come.
    file: Option<(Arc<tasks::File>, Stack)>,
    bytes: u64,
    specials: u64,
    failed: u64,
    named: Vec<String>,
}

impl Sum {
    /// Takes the next step; `true` at the end of the path.
    fn take(&mut self, done: Done) -> bool {
        match done {
            Done::Value(file, index, value) => self.block(&file, index, value),
            Done::Nothing => {}
            Done::Step(task) => match task {
                Task::Contents => self.digest.contents(),
                Task::Enter(name) => self.digest.enter(&name),
                Task::Leave => self.digest.leave(),
                Task::Symlink(name, target) => self.digest.symlink(&name, &target),
                Task::Failed(path, why) => self.fail(&path, &why),
                Task::Special => self.specials += 1,
                Task::End => return true,
                Task::Block(..) => {} // its value comes instead
            },
        }
        false
    }

    fn block(&mut self, file: &Arc<tasks::File>, index: u64, value: transfer::blocks::Value) {
        if index == 0 {
            self.file = Some((Arc::clone(file), Stack::new(file.len)));
        }
        let count = transfer::blocks::count(file.len);
        // A file of which a block failed is left behind where it stands.
        let Some((of, stack)) = self.file.as_mut().filter(|(of, _)| Arc::ptr_eq(of, file)) else {
            return;
        };
        if count > 0 {
            stack.push(value);
        }
        let range = transfer::blocks::range(index, of.len);
        self.bytes += range.end - range.start;
        if index + 1 >= count
            && let Some(root) = self.file.take().and_then(|(_, stack)| stack.root())
        {
            self.digest.file(&file.name, root);
        }
    }

    fn fail(&mut self, path: &Path, why: &str) {
        let named = !path.as_os_str().is_empty();
        let line = if named { format!("{}: {why}", path.display()) } else { why.to_owned() };
        say(plain(&line));
        self.failed += 1;
        if self.named.len() < NAMED {
            self.named.push(line);
        }
    }

    fn finish(self, path: &Path) -> Line {
        let (entries, bytes) = (self.digest.entries(), self.bytes);
        let more = self.failed - self.named.len() as u64;
        let more = if more > 0 { format!("; {more} more") } else { String::new() };
        let reason = (self.failed > 0).then(|| self.named.join("; ") + &more);
        let digest = self.digest.finish().filter(|_| reason.is_none());
        let digest = digest.map(|digest| digest.to_hex().to_string());
        Line { path: path.to_string_lossy().into_owned(), digest, entries, bytes, reason }
    }
}

fn show(out: &mut impl Write, line: &Line, json: bool) -> io::Result<()> {
    if json {
        return writeln!(out, "{}", serde_json::to_string(line)?);
    }
    let Some(digest) = &line.digest else { return Ok(()) };
    let (mark, path) = escaped(&line.path);
    writeln!(out, "{mark}{digest}  {path}")
}

/// As b3sum and the tools of its kind write a name that has more than one line: with a mark before the digest.
fn escaped(path: &str) -> (&'static str, String) {
    if !path.contains(['\\', '\n', '\r']) {
        return ("", path.to_owned());
    }
    ("\\", path.replace('\\', "\\\\").replace('\n', "\\n").replace('\r', "\\r"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_of_several_lines_takes_one() {
        assert_eq!(escaped("a b"), ("", "a b".to_owned()));
        assert_eq!(escaped("a\nb\\n\r"), ("\\", "a\\nb\\\\n\\r".to_owned()));
    }
}
