//! A job is over, or a host is none of its receivers any more: they are told, so that what they keep for it ends.

use super::Work;
use anyhow::Result;
use mcp::mirror::{Copying, Stop};
use mtm::words::{self, JobId, ToReceiver};
use std::sync::Arc;
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread;
use std::time::Duration;

/// It is looked so often whether this process is to end.
const PAUSE: Duration = Duration::from_millis(100);

/// Tells these hosts that it is over with this job. Who is not reached finds out by silence.
pub(crate) fn say(copying: &Copying, job: JobId, names: Vec<String>) {
    let word = words::encode(&ToReceiver::Over { job });
    let hosts: Vec<(String, Vec<u8>)> =
        names.into_iter().map(|name| (name, word.clone())).collect();
    if !hosts.is_empty() {
        let _ = copying.tell(&hosts, &Stop::default()); // see above
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
        let tell = move || {
            say(&copying, job, names);
            let _ = over.send(()); // nobody may wait for it
        };
        // Without a thread they find out by silence.
        let _ = thread::Builder::new().name("over".to_owned()).spawn(tell);
        told
    }
}
