//! What is to be deleted once all of the list is in place: what was told of it, and the list itself, put aside.

use super::TreeSink;
use crate::filter::{Told, ToldRule};
use crate::message::{Delete, LEAST_BOUND};
use crate::shown::shown;
use crate::sink::SinkError;
use crate::tree::entry::Entry;
use crate::tree::extras::{Bound, Clearing, Deleted, Deletion, List};
use crate::tree::ground::{Ground, Why};

/// What is known of it until then.
pub(super) struct Deleting {
    asked: Delete,
    /// The sender may ask for it.
    allowed: bool,
    rules: Told,
    /// What the sender said in the end: by how many rules, or why nothing is to be deleted.
    word: Option<Result<u64, String>>,
    list: List,
}

impl Deleting {
    /// Why nothing is to be deleted, where so many entries failed.
    fn spares(&self, failed: u64) -> Option<Why> {
        if !self.allowed {
            return Some("this host allows no sender to delete (allow=delete)".to_owned());
        }
        match &self.word {
            Some(Err(why)) => Some(why.clone()),
            Some(Ok(rules)) if *rules == self.rules.len() => match failed {
                0 => self.list.lost().map(|why| format!("cannot put the list aside: {why}")),
                1 => Some("an entry is not in place".to_owned()),
                failed => Some(format!("{failed} entries are not in place")),
            },
            _ => Some("the sender did not say that its list is whole".to_owned()),
        }
    }
}

impl<G: Ground> TreeSink<G> {
    /// Deletes in the end, if that is asked for and `allowed`.
    pub(crate) fn deleting(self, asked: Option<Delete>, allowed: bool) -> Self {
        let deleting = |asked| Deleting {
            asked,
            allowed,
            rules: Told::default(),
            word: None,
            list: List::default(),
        };
        Self { deleting: asked.map(deleting), ..self }
    }

    /// Why nothing was deleted that was to be.
    pub(crate) fn spared(&self) -> Option<String> {
        self.spared.clone()
    }

    pub(super) fn take_rules(&mut self, rules: Vec<ToldRule>) -> Result<(), SinkError> {
        let Some(deleting) = &mut self.deleting else {
            return Err(SinkError::Protocol("rules where nothing is to be deleted"));
        };
        let wrong = |_| SinkError::Protocol("rules that are none, or too many");
        rules.into_iter().try_for_each(|rule| deleting.rules.push(rule).map_err(wrong))
    }

    pub(super) fn take_word(&mut self, word: Result<u64, String>) -> Result<(), SinkError> {
        let is_first = |deleting: &mut Deleting| deleting.word.replace(word).is_none();
        match self.deleting.as_mut().map(is_first) {
            Some(true) => Ok(()),
            _ => Err(SinkError::Protocol("a word of what is to be deleted that nobody waits for")),
        }
    }

    /// A part of the list was read.
    pub(super) fn keep_part(&mut self, bytes: &[u8]) {
        if let Some(deleting) = self.deleting.as_mut().filter(|deleting| deleting.allowed) {
            deleting.list.keep(bytes, || self.ground.spool());
        }
    }

    /// A folder that stands where this entry is to be goes for it, where that is asked for and may be. It is certain
    /// already that nothing of what it holds is at the source, whatever else is listed; rules are told before the list.
    /// Whether it is gone, or would be.
    pub(super) fn clear(&mut self, entry: &Entry) -> bool {
        let Some(deleting) = self.deleting.as_ref().filter(|deleting| deleting.allowed) else {
            return false;
        };
        if !self.progress.is_in_whole() {
            return false;
        }
        let most = deleting.asked.max.unwrap_or(LEAST_BOUND).saturating_sub(self.report.deleted);
        let (one_file_system, named) = (deleting.asked.one_file_system, self.itemizes.is_some());
        let clearing = Clearing { rules: &deleting.rules, most, one_file_system, named };
        let Some(Deleted { count, gone, notes, .. }) = self.ground.clear(entry, &clearing) else {
            return false;
        };
        self.report.deleted += count;
        self.gone.extend(gone);
        self.notes.extend(notes);
        true
    }

    /// Deletes what is to be, now that all entries have been put or have failed.
    pub(super) fn delete(&mut self) {
        let Some(deleting) = self.deleting.take() else { return };
        let shared = || {
            let why = "another session is writing below this folder";
            self.ground.is_shared().then(|| why.to_owned())
        };
        if let Some(why) = deleting.spares(self.report.failed).or_else(shared) {
            let note = format!("nothing is deleted: {why}");
            self.report.spared = true;
            self.spared = Some(note.clone());
            self.notes.push(note);
            return;
        }
        let Deleting { asked, rules, list, .. } = deleting;
        // In a dry run what is new does not stand there.
        let new = if self.dry { self.new } else { 0 };
        let brought = self.report.arrived.saturating_sub(new);
        // What has gone for entries was a part of what may.
        let most = asked.max.map(|most| most.saturating_sub(self.report.deleted));
        let bound = Bound { most, brought };
        let (one_file_system, named) = (asked.one_file_system, self.itemizes.is_some());
        let deletion = Deletion { list: &list, rules: &rules, bound, one_file_system, named };
        let Deleted { count, failed, failures, notes, gone } = self.ground.delete(&deletion);
        self.gone.extend(gone);
        self.report.deleted += count;
        self.report.undeleted = failures;
        self.notes.extend(notes);
        if let Some((path, why)) = failed.first() {
            let first =
                if path.is_empty() { why.clone() } else { format!("{}: {why}", shown(path)) };
            self.first_failure.get_or_insert(first);
        }
        self.undeleted = failed;
    }
}
