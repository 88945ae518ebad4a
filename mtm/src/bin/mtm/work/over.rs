//! A job is over, or a host is none of its receivers any more: they are told, so that what they keep for it ends.

use super::{Work, said};
use anyhow::Result;
use mcp::mirror::Copying;
use mtm::installation::Installation;
use mtm::words::{JobId, ToReceiver};
use std::sync::Arc;
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread;
use std::time::Duration;

/// It is looked so often whether this process is to end.
const PAUSE: Duration = Duration::from_millis(100);

/// Tells these hosts that it is over with this job. Who is not reached finds out by silence.
pub(crate) fn say(
    copying: &Copying,
    (installation, job): (&Arc<Installation>, JobId),
    names: &[String],
) {
    if !names.is_empty() {
        let over = said::word((installation, job), move |host| ToReceiver::Over {
            job,
            host: host.to_owned(),
        });
        let _ = copying.tell(names, &over); // see above
    }
}

impl Work {
    /// Tells the receivers that were met that the job has ended, until this process is to end.
    pub(super) fn say_over(&self) -> Result<()> {
        let met = self.ledger.receivers()?.into_iter().filter(|one| one.instance.is_some());
        let told = self.say_over_to(met.map(|one| one.name).collect());
        while !self.watch.is_ended() {
            match told.recv_timeout(PAUSE) {
                Err(RecvTimeoutError::Timeout) => {}
                Ok(()) | Err(RecvTimeoutError::Disconnected) => break,
            }
        }
        Ok(())
    }

    /// The same to these, while the job goes on without them; what is given back tells when all were told.
    pub(super) fn say_over_to(&self, names: Vec<String>) -> mpsc::Receiver<()> {
        let (over, told) = mpsc::channel();
        let (copying, job) = (Arc::clone(&self.copying), self.job.id);
        let installation = Arc::clone(&self.installation);
        let tell = move || {
            say(&copying, (&installation, job), &names);
            let _ = over.send(()); // nobody may wait for it
        };
        // Without a thread they find out by silence.
        let _ = thread::Builder::new().name("over".to_owned()).spawn(tell);
        told
    }
}
