//! What a job that runs says to all of its receivers at once, and hears from them.

use super::{Running, Work};
use crate::announcer::{Announcer, News};
use crate::ear::{Hello, Host, Hosts};
use anyhow::Result;
use mtm::ledger::{Receiver, ReceiverId};
use mtm::plan::Lists;
use mtm::revision::Revision;
use mtm::words::{self, ChannelTold};
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Instant;

impl Work {
    /// Hears those that are receivers by now, as they are known by now.
    pub(super) fn listen(&self) -> Result<()> {
        let mut hosts = Hosts::new();
        for (place, one) in self.ledger.receivers()?.into_iter().enumerate() {
            let (id, instance, told) = (one.id, one.instance, self.channel_told(place));
            hosts.insert(one.name, Host { id, instance, told });
        }
        let names: Vec<String> = hosts.keys().cloned().collect();
        self.ear.set(hosts, self.copying.listen_trust(&names)?);
        Ok(())
    }

    /// What the receiver at this place of the roster is told of announcements.
    fn channel_told(&self, place: usize) -> Option<ChannelTold> {
        self.announcer.as_ref().map(|announcer| announcer.told(place))
    }

    /// The same as a word that goes with a session, of each receiver; of whom there is none it is told nothing.
    pub(super) fn told_with_session(&self) -> Result<BTreeMap<ReceiverId, Vec<u8>>> {
        if self.announcer.is_none() {
            return Ok(BTreeMap::new());
        }
        let all = self.ledger.receivers()?.into_iter().enumerate();
        let told = all.filter_map(|(place, one)| Some((one.id, self.channel_told(place)?)));
        Ok(told.map(|(id, told)| (id, words::encode(&told))).collect())
    }

    /// Receivers that are none any more do not read what is announced from now on.
    pub(super) fn renew(
        &mut self,
        before: &[(String, ReceiverId)],
        receivers: &[Receiver],
    ) -> Result<()> {
        // By its number: one that was removed and added again meanwhile is another one.
        let is_left = |(_, id): &(String, ReceiverId)| !receivers.iter().any(|one| one.id == *id);
        let Some(announcer) = &mut self.announcer else { return Ok(()) };
        // Its keys may be gone while the roster is known without it already.
        if before.iter().any(is_left) || self.ledger.channel()?.is_none() {
            announcer.renew(&mut self.ledger)?;
        }
        Ok(())
    }

    /// Announces what is lacking, if it is time.
    pub(super) fn announce(&mut self, now: Instant) -> Result<()> {
        let revision = self.ledger.revision();
        let is_due = self.announcer.as_ref().is_some_and(|a: &Announcer| a.is_due(revision, now));
        if !is_due || revision == 0 || self.not_before.is_some() {
            return Ok(());
        }
        let receivers = self.ledger.receivers()?;
        let mut lists = Lists::default();
        let lacks = receivers.iter().map(|receiver| lists.share(self.ledger.lacking(receiver.id)));
        let lacks: Vec<Arc<[u32]>> = lacks.collect();
        let lacking = (0..).zip(&lacks).filter(|(_, lacks)| !lacks.is_empty());
        let lacking: Vec<usize> = lacking.map(|(place, _)| place).collect();
        if lacking.is_empty() {
            return Ok(());
        }
        let tree = Arc::clone(&self.tree);
        let ids: Vec<ReceiverId> = lacking.iter().map(|place| receivers[*place].id).collect();
        let news = News {
            job: self.job.id,
            revision,
            group: self.group_of(&ids),
            entries: tree.union(lists.all()),
            tree: &tree,
            lacking,
            roster: receivers.len(),
            feedback: self.ear.told().1,
        };
        match &mut self.announcer {
            Some(announcer) => {
                announcer.is_told(revision, now);
                announcer.say(&mut self.ledger, &news)
            }
            None => Ok(()),
        }
    }

    /// The group by which these are served, or will be, as far as that is known: of the session that serves them all, else
    /// the one that sessions are to use.
    fn group_of(&self, ids: &[ReceiverId]) -> Option<SocketAddr> {
        let serves = |session: &&Running| {
            ids.iter().all(|id| session.hosts.iter().any(|(served, _)| served == id))
        };
        match self.running.values().find(serves) {
            Some(session) => session.group,
            None => self.copying.group().filter(|_| ids.len() > 1),
        }
    }

    /// A session is open. If it tries a group, that is announced to those that it serves, with what it carries.
    pub(super) fn opened(&mut self, number: u64, group: Option<SocketAddr>) -> Result<()> {
        let Some(session) = self.running.get_mut(&number) else { return Ok(()) };
        session.group = group;
        let (Some(announcer), Some(_)) = (&mut self.announcer, group) else { return Ok(()) };
        let receivers = self.ledger.receivers()?;
        let is_served = |one: &Receiver| session.hosts.iter().any(|(id, _)| *id == one.id);
        let served = (0..).zip(&receivers).filter(|(_, one)| is_served(one));
        let tree = Arc::clone(&session.tree);
        let news = News {
            job: self.job.id,
            revision: session.revision,
            group,
            entries: session.planned.entries.clone(),
            tree: &tree,
            lacking: served.map(|(place, _)| place).collect(),
            roster: receivers.len(),
            feedback: self.ear.told().1,
        };
        announcer.say(&mut self.ledger, &news)
    }

    /// A receiver is there: it is served, if it lacks anything.
    pub(super) fn hello(&mut self, hello: &Hello) -> Result<()> {
        if let (Some(announcer), Some(last)) = (&mut self.announcer, &hello.last)
            && announcer.shown(&mut self.ledger, last)?
        {
            self.listen()?;
        }
        // Another installation is met by its session.
        let is_same = |one: &&Receiver| one.id == hello.id && one.instance == Some(hello.instance);
        if self.ledger.receivers()?.iter().any(|one| is_same(&one)) {
            self.meet(hello.id, (hello.instance, [hello.has, hello.begun]))?;
        }
        let all = self.ledger.receivers()?;
        let newest = self.ledger.newest()?;
        let lacks = |one: &Receiver| {
            lacks_something(one, hello, newest) || !self.ledger.lacking(one.id).is_empty()
        };
        let lacks = all.iter().find(|one| one.id == hello.id).is_some_and(lacks);
        self.called(hello.id, lacks, Instant::now());
        Ok(())
    }
}

/// Whether a receiver that says hello may lack something of this revision. Which installation it is, and what it has, its
/// session tells: a hello is said by whoever may connect, so it counts only where it says the same as the ledger. The
/// tree is not even looked at then, as it would be for a session. Hosts that have everything say hello every few minutes,
/// and a tree that has changed is found by the looks that the hosts which lack something, or the end of the job, need.
fn lacks_something(receiver: &Receiver, hello: &Hello, newest: Revision) -> bool {
    let has_all = newest.number > 0
        && receiver.complete >= newest.number
        && receiver.instance == Some(hello.instance)
        && hello.has == Some(newest);
    !has_all || receiver.verify || receiver.late.is_some()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_has_all_by_its_own_words_and_by_the_ledger_lacks_nothing() {
        let (name, late, rate, exec) = ("h".to_owned(), None, None, None);
        let instance = Some([1; 16]);
        let known =
            Receiver { id: 1, name, instance, complete: 3, late, rate, verify: false, exec };
        let revision = |number| Revision::new(number, 5);
        let hello = |n: u8, has: Option<u32>| {
            let has = has.map(revision);
            Hello { id: 1, instance: [n; 16], has, begun: None, last: None }
        };
        assert!(!lacks_something(&known, &hello(1, Some(3)), revision(3)));
        for lacking in [hello(2, Some(3)), hello(1, Some(2)), hello(1, None)] {
            assert!(lacks_something(&known, &lacking, revision(3)), "{lacking:?}");
        }
        let all = hello(1, Some(4));
        assert!(lacks_something(&known, &all, revision(4)), "the tree has changed");
        assert!(lacks_something(&Receiver { verify: true, ..known.clone() }, &all, revision(3)));
        let other = Revision::new(3, 6);
        assert!(lacks_something(&known, &hello(1, Some(3)), other), "it was restored");
        let late = Some((0, "why".to_owned()));
        assert!(lacks_something(&Receiver { late, ..known }, &all, revision(3)));
    }
}
