//! The looks at the tree of a job that runs.

use super::{AGAIN, LOOKS, Looked, Work};
use crate::given::Given;
use crate::look::Look;
use crate::round::Tree;
use anyhow::{Context, Result};
use mcp::mirror::{Meant, Pinned};
use mcp_cli::say::plain;
use mtm::ledger::JobState;
use mtm::revision::Revision;
use std::os::unix::fs::MetadataExt;
use std::sync::Arc;
use std::time::{Duration, Instant};

impl Work {
    /// Whether the newest look says that nothing has changed since everything was sent.
    pub(super) fn is_confirmed(&self) -> bool {
        let after = |looked: &Looked| self.last_over.is_none_or(|over| looked.began >= over);
        self.looked.as_ref().is_some_and(|looked| looked.confirms && after(looked))
    }

    /// `last`: nobody lacks anything, as far as is known.
    pub(super) fn may_look(&self, now: Instant, last: bool) -> bool {
        let Some(looked) = self.looked else { return true };
        let took = looked.ended.saturating_duration_since(looked.began);
        // Whoever changes the tree all the time does not have it looked at without a pause.
        let pause = if last && looked.confirms { Duration::ZERO } else { took * LOOKS };
        looked.again.is_none_or(|again| now >= again) && now >= looked.ended + pause
    }

    /// Looks at the tree. `false`: it cannot be sent now, and the job waits.
    pub(super) fn look(&mut self) -> Result<bool> {
        match self.look_at() {
            Ok(Ok(())) => {
                if let JobState::Waiting(_) | JobState::Complete = self.ledger.state()? {
                    self.ledger.change_state(&JobState::Open)?;
                }
                Ok(true)
            }
            Ok(Err(why)) => {
                self.ledger.change_state(&JobState::Waiting(why.clone()))?;
                self.told.waits(&why);
                self.not_before = Some(Instant::now() + AGAIN);
                Ok(false)
            }
            Err(error) => Err(error),
        }
    }

    fn look_at(&mut self) -> Result<Result<(), String>> {
        let source = self.copying.source().to_owned();
        let shown = plain(&source.display().to_string());
        let pinned = Pinned { root: self.job.root, mounts: Vec::new() };
        match source.metadata() {
            Err(error) => return Ok(Err(format!("{shown} cannot be sent: {error}"))),
            Ok(meta) if !pinned.is_root((meta.dev(), meta.ino())) => {
                return Ok(Err(format!(
                    "{shown} is another folder than the job was given, as where a file system is not mounted: mtm \
                     resume --new-source {} takes it for the job's",
                    self.job.name
                )));
            }
            Ok(_) => {}
        }
        if let Err(error) = self.copying.check_source() {
            return Ok(Err(error.to_string()));
        }
        let walk = match self.copying.walk() {
            Ok(walk) => walk,
            Err(error) => return Ok(Err(error.to_string())),
        };
        let mut look = Look::at(walk);
        self.told.apart(&look.apart);
        if let Some(why) = look.doubt.take() {
            return Ok(Err(why));
        }
        let known = self.ledger.entries()?;
        if let Some(folder) = look.unmounted(&known) {
            return Ok(Err(format!(
                "{} was a mounted file system and is none now: mtm resume --new-source {} takes it as it is",
                plain(&folder.display().to_string()),
                self.job.name
            )));
        }
        if look.found.len() > 1 {
            self.is_filled()?;
        }
        look.keep(&known);
        let edition = getrandom::u64().context("the system gives no random numbers")?;
        let edition = Revision::edition_of(edition);
        let change = self.ledger.look_from(known, std::mem::take(&mut look.found), edition)?;
        self.forget_gone()?;
        if !change.is_none() || self.looked.is_none() {
            self.tree = Arc::new(Tree::of(&self.ledger, self.copying.deletes())?);
            self.told.tree(self.tree.amount(), self.ledger.revision());
        }
        if !change.is_none() {
            self.schedule.wake(Instant::now());
        }
        let failed = look.failed.first().map(|(path, why)| {
            let more = look.failed.len() - 1;
            let more = if more > 0 { format!("; {more} more") } else { String::new() };
            format!("of the source cannot be read: {}: {why}{more}", path.display())
        });
        if let Some(why) = &failed {
            self.told.waits(why);
        }
        self.ledger.set_trouble(failed.as_deref())?;
        let settles = if failed.is_some() { Some(AGAIN) } else { look.unsettled };
        let again = settles.map(|settles| look.began + settles);
        let confirms = change.is_none() && again.is_none();
        self.looked = Some(Looked { began: look.began, ended: Instant::now(), confirms, again });
        Ok(Ok(()))
    }

    /// The source has something: where it is empty again that was not said to be meant.
    fn is_filled(&mut self) -> Result<()> {
        let mut given = Given::of_json(&self.job.options)?;
        let meant = given.meant();
        if meant.empty {
            given.mean(Meant { empty: false, ..meant });
            self.job.options = given.to_json()?;
            self.ledger.set_options(&self.job.options)?;
            self.copying.mean(given.meant());
        }
        Ok(())
    }

    pub(super) fn forget_gone(&mut self) -> Result<()> {
        self.ledger.forget_former()?;
        if self.ledger.forget_gone(self.copying.deletes())? > 0 {
            self.tree = Arc::new(Tree::of(&self.ledger, self.copying.deletes())?);
        }
        Ok(())
    }
}
