//! A job is over, or a host is none of its receivers any more: they are told, so that what they keep for it ends.

use super::{Work, said};
use anyhow::Result;
use mcp::mirror::Copying;
use mtm::installation::Installation;
use mtm::words::{JobId, ToReceiver};
use std::sync::Arc;
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread;
use std::time::{Duration, Instant};

/// It is looked so often whether this process is to end.
const PAUSE: Duration = Duration::from_millis(100);
/// Receivers are told of the end of a job for so long: longer than those take that are there. `mtm cancel` waits for 30 s.
pub(crate) const SAYS_OVER: Duration = Duration::from_secs(15);

/// Tells these hosts that it is over with this job, in a thread; what is given back tells who was not reached, once all
/// were told. Those find out by silence.
pub(crate) fn say(
    copying: Arc<Copying>,
    (installation, job): (&Arc<Installation>, JobId),
    names: Vec<String>,
) -> mpsc::Receiver<Vec<String>> {
    let (over, told) = mpsc::channel();
    let word = move |host: &str| ToReceiver::Over { job, host: host.to_owned() };
    let word = said::word((installation, job), word);
    let tell = move || {
        let answers = if names.is_empty() { Ok(Vec::new()) } else { copying.tell(&names, &word) };
        let left = match answers {
            Ok(answers) => {
                let all = names.into_iter().zip(answers);
                all.filter(|(_, answer)| answer.is_err()).map(|(name, _)| name).collect()
            }
            Err(_) => names,
        };
        let _ = over.send(left); // nobody may wait for it
    };
    // Without a thread nobody is told.
    let _ = thread::Builder::new().name("over".to_owned()).spawn(tell);
    told
}

impl Work {
    /// Tells all receivers that the job has ended, until this process is to end; also those that were not met: a session
    /// may have begun there that this side has heard nothing of. Who is not reached within [`SAYS_OVER`] finds out by
    /// silence.
    pub(super) fn say_over(&self) -> Result<()> {
        let mut all = self.ledger.receivers()?;
        all.sort_by_key(|one| one.instance.is_none()); // those first that are likely to be there
        let told = self.say_over_to(all.into_iter().map(|one| one.name).collect());
        let until = Instant::now() + SAYS_OVER;
        while !self.watch.is_ended() && Instant::now() < until {
            match told.recv_timeout(PAUSE) {
                Err(RecvTimeoutError::Timeout) => {}
                Ok(_) | Err(RecvTimeoutError::Disconnected) => break,
            }
        }
        Ok(())
    }

    /// The same to these, while the job goes on without them; what is given back tells when all were told.
    pub(super) fn say_over_to(&self, names: Vec<String>) -> mpsc::Receiver<Vec<String>> {
        say(Arc::clone(&self.copying), (&self.installation, self.job.id), names)
    }
}
