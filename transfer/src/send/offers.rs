//! Offers to the members of a session. One of a mirror job says who sends it, which is shown over the association with
//! the member: it waits until there is one.

use super::couriers::Couriers;
use crate::jobs::Shows;
use crate::link::{Outgoing, PrivateStream};
use crate::message::{Offer, ToReceiver};
use std::io;

/// They.
pub(super) struct Offers<'a, W> {
    /// By the members' places.
    all: &'a [Offer],
    shows: Option<&'a Shows<'a>>,
    /// Members without an association, by their places.
    waiting: Vec<(usize, W)>,
}

impl<'a, W: PrivateStream> Offers<'a, W> {
    pub(super) fn new((all, shows): (&'a [Offer], Option<&'a Shows<'a>>)) -> Self {
        Self { all, shows, waiting: Vec::new() }
    }

    /// A member begins, at first or again.
    pub(super) fn begin<'scope, S: Outgoing<Stream = W>>(
        &mut self,
        session: &S,
        couriers: &mut Couriers<'scope, '_, W>,
        (index, stream): (usize, W),
    ) where
        W: 'scope,
    {
        self.waiting.retain(|(other, _)| *other != index);
        let Some(offer) = self.all.get(index) else { return };
        if self.shows.is_some() && offer.job.is_some() {
            self.waiting.push((index, stream));
        } else {
            bring(session, couriers, (index, stream), offer.clone());
        }
    }

    /// Offers it to those that have an association by now. Should a member forget it before it has heard this, and have
    /// another one, it refuses what is shown here, and is to be tried again.
    pub(super) fn advance<'scope, S: Outgoing<Stream = W>>(
        &mut self,
        session: &S,
        couriers: &mut Couriers<'scope, '_, W>,
    ) where
        W: 'scope,
    {
        for (index, stream) in std::mem::take(&mut self.waiting) {
            match (stream.try_binding(), self.all.get(index), self.shows) {
                (Ok(binding), Some(offer), Some(shows)) => {
                    let mut offer = offer.clone();
                    if let Some(job) = &mut offer.job {
                        job.shown = shows(&job.id, &binding);
                    }
                    bring(session, couriers, (index, stream), offer);
                }
                (Err(error), ..) if error.kind() == io::ErrorKind::WouldBlock => {
                    self.waiting.push((index, stream));
                }
                _ => {} // it is gone; its report says why
            }
        }
    }
}

fn bring<'scope, S: Outgoing>(
    session: &S,
    couriers: &mut Couriers<'scope, '_, S::Stream>,
    (index, stream): (usize, S::Stream),
    offer: Offer,
) where
    S::Stream: 'scope,
{
    if let Err(error) = couriers.begin(stream, &ToReceiver::Offer(offer)) {
        session.drop_member(index, &error.to_string());
    }
}
