//! What a host keeps of its jobs, as `mcpd` does.

use mtm::exec::ExitStatusWord;
use mtm::held::{Begun, Held, Known};
use mtm::revision::Revision;
use mtm::words::{JobId, OfReceiver, ToReceiver};
use std::path::{Path, PathBuf};
use transfer::message::OfJob;

/// Which installation it is, as it calls itself here.
const INSTANCE: [u8; 16] = [1; 16];

#[derive(Debug)]
pub(crate) struct Kept {
    held: Held,
    place: PathBuf,
    /// The revisions for which the command was run.
    pub(crate) ran: Vec<Revision>,
}

impl Kept {
    pub(crate) fn open(path: &Path) -> Self {
        Self { held: Held::open(path).unwrap(), place: PathBuf::new(), ran: Vec::new() }
    }

    pub(crate) fn begin(&mut self, job: &OfJob, place: &Path) {
        place.clone_into(&mut self.place);
        let known = Known {
            job: job.id,
            master: None,
            name: job.name.clone(),
            host: job.host.clone(),
            place: place.to_owned(),
            hello: None,
            peer: None,
            instance: INSTANCE,
            complete: Some(Revision::new(job.revision, job.edition)),
            heard: 1,
        };
        self.held.begin_after(&known, (job.line.0, &job.line.1)).unwrap();
    }

    pub(crate) fn has(&self, job: JobId, host: &str) -> [Option<Revision>; 2] {
        let of = (job, host);
        [self.held.has(of, INSTANCE).unwrap(), self.held.begun(of, INSTANCE).unwrap()]
    }

    pub(crate) fn end(&mut self, job: &OfJob, ok: bool) {
        if ok {
            let since = job.since.map(|since| (since, &job.line.1[..]));
            let revision = Revision::new(job.revision, job.edition);
            self.held.complete((job.id, &job.host), since, revision).unwrap();
        }
    }

    pub(crate) fn hear(&mut self, word: &ToReceiver) -> OfReceiver {
        match word {
            ToReceiver::Ask { job, host } => {
                let [revision, begun] = self.has(*job, host);
                OfReceiver::Has { revision, begun }
            }
            ToReceiver::Over { job, host } => {
                self.held.over((*job, host), None).unwrap();
                OfReceiver::Done
            }
            ToReceiver::Mex { job, host, revision, command, .. } => {
                let known = self.held.known((*job, host)).unwrap();
                if known.and_then(|known| known.complete) != Some(*revision) {
                    return OfReceiver::Incomplete;
                }
                let of = (*job, &*self.place);
                let status = ExitStatusWord::Exited(0);
                match self.held.begin_run(of, (*revision, command), None, 1).unwrap() {
                    Begun::New => {
                        self.held.end_run(of, *revision, (&status, b""), 1).unwrap();
                        self.ran.push(*revision);
                        OfReceiver::Ran { status, tail: Vec::new() }
                    }
                    Begun::Ended(status, tail) => OfReceiver::Ran { status, tail },
                    other => OfReceiver::Refused(format!("{other:?}")),
                }
            }
        }
    }
}
