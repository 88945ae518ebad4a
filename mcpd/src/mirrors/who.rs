//! Who a master is here, and who this daemon is to it.

use mtm::installation::{Folder, Installation, Role, Shown};
use mtm::words::{self, JobId, OfReceiver, Said};
use std::path::Path;
use std::sync::Arc;
use transfer::jobs::{From, Jobs};
use transfer::message::OfJob;

/// Said to who sends for a job and does not show who that is.
const NOBODY: &str = "it does not show which installation it is";

/// Who speaks of a job, as it is known for sure: by the key that is listed here, or by that of its installation, which it
/// shows. Only where everybody has the same secret the second counts: a key of one's own making says nothing beside one
/// that somebody else has listed.
pub(super) fn master(from: &From, shown: Option<&Shown>, job: &JobId) -> Result<From, String> {
    let installation = shown.and_then(|shown| shown.master(job, &from.binding));
    let from = From { installation: installation.filter(|_| from.key.is_none()), ..*from };
    if from.who().is_some() { Ok(from) } else { Err(NOBODY.to_owned()) }
}

/// This installation, as it is known to those that send below one folder.
#[derive(Debug, Clone)]
pub(super) struct Own {
    installation: Arc<Installation>,
    pub(super) folder: Folder,
}

impl Own {
    pub(super) fn new(installation: &Arc<Installation>, root: &Path) -> Self {
        let place = std::path::absolute(root).unwrap_or_else(|_| root.to_owned());
        let (installation, folder) = (Arc::clone(installation), installation.folder(&place));
        Self { installation, folder }
    }

    /// What shows it to who is at the other end.
    pub(super) fn shown(&self, from: &From, job: &JobId) -> Shown {
        self.installation.shows(Role::Receiver(self.folder), job, &from.binding)
    }

    /// An answer, with what shows whose it is.
    pub(super) fn says(&self, from: &From, job: &JobId, word: OfReceiver) -> Vec<u8> {
        words::encode(&Said { shown: self.shown(from, job), word })
    }
}

/// A daemon that cannot keep what it knows of jobs: to them it is a host that has no places of theirs.
#[derive(Debug)]
pub(super) struct Placeless(pub(super) Own);

impl Jobs for Placeless {
    fn may_begin(&self, _: &From, _: &OfJob, _: &Path) -> Result<(), String> {
        Ok(())
    }

    fn begin(&self, _: &From, _: &OfJob, _: &Path) -> Result<(), String> {
        Ok(())
    }

    fn shows(&self, from: &From, job: &OfJob) -> Vec<u8> {
        words::encode(&words::Met { shown: self.0.shown(from, &job.id), word: [None; 2] })
    }

    fn end(&self, _: &OfJob, _: bool) {}

    fn hear(&self, from: &From, _: &[u8]) -> Vec<u8> {
        let why = "this daemon has no place to keep what it knows of mirror jobs".to_owned();
        self.0.says(from, &JobId::default(), OfReceiver::Refused(why))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tcpxm::trust::Identity;

    #[test]
    fn a_listed_key_counts_before_one_that_is_shown_and_either_has_to_be_there() {
        let (job, binding) = ([1; 16], [2; 32]);
        let listed = Identity::generate([1; 64]).public();
        let own = Installation::new(&[1; 32]);
        let from =
            |key| From { key, installation: None, binding, peer: ([127, 0, 0, 1], 1).into() };
        let shown = own.shows(Role::Master, &job, &binding);
        let who = |key, shown| master(&from(key), shown, &job).ok().and_then(|from| from.who());
        assert_eq!(who(Some(listed), Some(&shown)), Some(listed));
        assert_eq!(who(Some(listed), None), Some(listed));
        assert_eq!(who(None, Some(&shown)), Some(own.public()));
        assert_eq!(who(None, None), None);
        let elsewhere = own.shows(Role::Master, &job, &[3; 32]);
        assert_eq!(who(None, Some(&elsewhere)), None, "it was heard on another association");
    }
}
