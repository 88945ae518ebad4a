//! What a session does as one of a mirror job.

use super::{ReceiveError, Received};
use crate::destination::Root;
use crate::holders::{Holder, Holders, InJob};
use crate::jobs::{self, Jobs};
use crate::limits::Limits;
use crate::link::Incoming;
use crate::message::{OfJob, Offer};
use crate::tree::ground::Why;
use std::path::PathBuf;
use std::sync::Arc;

/// The mirror job that a session is for, if it is for one and somebody deals with these.
pub(super) struct ForJob<'a>(Option<Of<'a>>);

struct Of<'a> {
    jobs: &'a dyn Jobs,
    job: &'a OfJob,
    from: jobs::From,
    root: &'a Root,
    holders: &'a Arc<Holders>,
    /// Until it is one of the job's sessions.
    holder: Option<Holder>,
    /// Where the job may be.
    place: PathBuf,
    in_job: Option<InJob>,
    begun: bool,
}

impl<'a> ForJob<'a> {
    pub(super) fn new<R: Incoming>(
        receiver: &R,
        (root, limits): (&'a Root, &'a Limits),
        offer: &'a Offer,
    ) -> Self {
        let (Some(jobs), Some(job), false) = (&limits.jobs, &offer.job, offer.dry) else {
            return Self(None);
        };
        let from = super::from(receiver);
        let (sender, peer) = (receiver.sender(), receiver.peer().to_string());
        let holder = Some(Holder { sender, peer, pulse: receiver.pulse() });
        let (holders, place) = (&limits.holders, PathBuf::new());
        let (jobs, in_job, begun) = (&**jobs, None, false);
        Self(Some(Of { jobs, job, from, root, holders, holder, place, in_job, begun }))
    }

    /// Whether it may go where these names lead from the root, by no symbolic link. What an earlier session of the job has
    /// begun is out of the way then.
    pub(super) fn may_begin(&mut self, way: &[Vec<u8>]) -> Result<(), Why> {
        let Some(of) = &mut self.0 else { return Ok(()) };
        let place = jobs::place(of.root, way, &of.job.below);
        of.place = place.map_err(|error| error.to_string())?;
        of.jobs.may_begin(&of.from, of.job, &of.place)?;
        let (holders, id) = (of.holders, of.job.id);
        of.in_job = of.holder.take().map(|holder| InJob::begin(holders, id, holder));
        Ok(())
    }

    /// It goes there, and is not refused any more: from now on that place is the job's.
    pub(super) fn begin(&mut self) -> Result<(), Why> {
        let Some(of) = &mut self.0 else { return Ok(()) };
        of.jobs.begin(&of.from, of.job, &of.place)?;
        of.begun = true;
        Ok(())
    }

    /// This is what came of it.
    pub(super) fn end(self, taken: &Result<Received, ReceiveError>) {
        let Some(of) = self.0.filter(|of| of.begun) else { return };
        let complete = |taken: &Received| taken.failure.is_none() && taken.spared.is_none();
        of.jobs.end(of.job, taken.as_ref().is_ok_and(complete));
    }
}
