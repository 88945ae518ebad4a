//! The application's side of sending sessions.

use super::{Endpoint, Owner};
use crate::config::SessionConfig;
use crate::error::{AddError, ConfigError, EndError, Reason};
use crate::proto::conn::ids::Ids;
use crate::proto::event::{ControlRead, MemberId, SessionId, SessionState};
use crate::proto::member::Member;
use crate::proto::session::Session;
use crate::proto::time::Instant;
use crate::seal::Binding;
use crate::stats::{MemberReport, Sent};
use crate::trust::SenderTrust;
use core::ops::Range;
use std::net::SocketAddr;
use std::sync::Arc;

impl Endpoint {
    /// Begins a session to `peers`: SYNs go out with the next [`Self::poll_transmit`].
    pub fn connect(
        &mut self,
        now: Instant,
        config: SessionConfig,
        trust: SenderTrust,
        peers: &[SocketAddr],
    ) -> Result<SessionId, ConfigError> {
        let peers: Vec<_> = peers.iter().map(|peer| vec![*peer]).collect();
        self.connect_any(now, config, trust, &peers)
    }

    /// The same to receivers of several addresses each, best first. They are tried one after the other, 250 ms
    /// apart (RFC 8305, 5), eight at most, without giving up those before; where somebody answers first whom
    /// `trust` takes, there the receiver is. No address may be that of two receivers.
    pub fn connect_any(
        &mut self,
        now: Instant,
        config: SessionConfig,
        trust: SenderTrust,
        peers: &[Vec<SocketAddr>],
    ) -> Result<SessionId, ConfigError> {
        self.now = now;
        let Self { owners, rng, key, .. } = self;
        let mut ids = Ids { rng, taken: &|id| owners.contains_key(&id) };
        let session =
            Session::new(now, config, (trust, key.clone()), peers, self.config.port, &mut ids)?;
        let id = SessionId(self.next_id);
        self.next_id += 1;
        for index in 0..session.len() {
            if let Some(member) = session.member(index) {
                self.owners.insert(member.conn().names().local_cid, Owner::Member(id, index));
            }
        }
        self.sessions.insert(id, session);
        Ok(id)
    }

    /// Adds a receiver to a session that runs, which it joins like one that answers late: of these addresses, best first,
    /// as [`Self::connect_any`] has them. It gets all of the source: what the group carries from now on by that, what it
    /// has passed alone, within [`SessionConfig::unicast_share`]. For a group to be there [`SessionConfig::late_join`]
    /// or a second receiver is needed at the beginning.
    pub fn add_member(
        &mut self,
        now: Instant,
        session: SessionId,
        addrs: &[SocketAddr],
    ) -> Result<MemberId, AddError> {
        self.now = now;
        let Self { sessions, owners, rng, .. } = self;
        let mut ids = Ids { rng, taken: &|id| owners.contains_key(&id) };
        let s = sessions.get_mut(&session).ok_or(AddError::Over)?;
        let index = s.add_member(now, addrs, &mut ids)?;
        let member = MemberId { session, index };
        if let Some(m) = s.member(index) {
            owners.insert(m.conn().names().local_cid, Owner::Member(session, index));
        }
        Ok(member)
    }

    /// How far it is; an unknown session is [`SessionState::Done`].
    pub fn session_state(&self, session: SessionId) -> SessionState {
        self.sessions.get(&session).map_or(SessionState::Done, Session::state)
    }

    /// Appends to a stream session's ring; gives the number of bytes taken, 0 when it is full.
    pub fn write(&mut self, now: Instant, session: SessionId, bytes: &[u8]) -> usize {
        self.now = now;
        self.sessions.get_mut(&session).map_or(0, |s| s.write(bytes))
    }

    /// A range that a source session wants from [`Self::supply`], each once until it is given up.
    pub fn next_need(&mut self, session: SessionId) -> Option<Range<u64>> {
        self.sessions.get_mut(&session)?.next_need()
    }

    /// Whether nothing more will be needed: every member has the whole source, or its outcome.
    pub fn is_satisfied(&self, session: SessionId) -> bool {
        self.sessions.get(&session).is_none_or(Session::is_satisfied)
    }

    /// A member that begins again from the first byte, since its host was restarted: each time once. Its
    /// private stream begins again as well, at both ends: what was said on it is lost, and what the
    /// application says to every member first is to be said again.
    pub fn next_renewed(&mut self, session: SessionId) -> Option<MemberId> {
        let index = self.sessions.get_mut(&session)?.next_renewed()?;
        Some(MemberId { session, index })
    }

    /// How often a member has begun again; 0 for one that does not exist.
    pub fn restarts(&self, member: MemberId) -> u32 {
        let session = self.sessions.get(&member.session);
        session.and_then(|session| session.member(member.index)).map_or(0, Member::restarts)
    }

    /// What tells the association with a member from all others: as soon as it has answered, and again another one once
    /// it has begun again.
    pub fn member_binding(&self, member: MemberId) -> Option<Binding> {
        let session = self.sessions.get(&member.session);
        session.and_then(|session| session.member(member.index))?.conn().binding()
    }

    /// How many replies said, in the name of a session's members, that they know nothing of it, and were not
    /// made by who holds the same secret: all dropped.
    pub fn forged_replies(&self, session: SessionId) -> u64 {
        self.sessions.get(&session).map_or(0, Session::forged)
    }

    /// Answers a need: `bytes` are the needed range, whole.
    pub fn supply(&mut self, now: Instant, session: SessionId, offset: u64, bytes: Arc<[u8]>) {
        self.now = now;
        if let Some(s) = self.sessions.get_mut(&session) {
            s.supply(offset, bytes);
        }
    }

    /// A source is known to exist up to there, and its length is not known yet.
    pub fn grow(&mut self, now: Instant, session: SessionId, to: u64) -> Result<(), EndError> {
        self.now = now;
        self.sessions.get_mut(&session).ok_or(EndError::Session)?.grow(now, to)
    }

    /// The length of a source becomes known; nothing beyond is needed any more.
    pub fn set_end(&mut self, now: Instant, session: SessionId, len: u64) -> Result<(), EndError> {
        self.now = now;
        self.sessions.get_mut(&session).ok_or(EndError::Session)?.set_end(len)
    }

    /// Nothing more will be written; members are completed, then closed.
    pub fn finish(&mut self, now: Instant, session: SessionId) {
        self.now = now;
        if let Some(s) = self.sessions.get_mut(&session) {
            s.finish();
        }
    }

    /// Ends the session now, for every member that has no outcome yet.
    pub fn abort(&mut self, now: Instant, session: SessionId, why: &str) {
        self.now = now;
        if let Some(s) = self.sessions.get_mut(&session) {
            s.abort(now, why);
        }
    }

    /// Ends the session for one member now, unless it has its outcome: one that is too slow for the
    /// others, say, whose stream it holds back.
    pub fn drop_member(&mut self, now: Instant, member: MemberId, why: &str) {
        self.now = now;
        if let Some(s) = self.sessions.get_mut(&member.session)
            && member.index < s.len()
        {
            s.drop_member(now, member.index, why);
        }
    }

    /// Ends the session for one member now, and shuts it out: the group gets another key, which this member
    /// is not told. One that is not to have what follows, say, because its key was stolen. What goes to
    /// the group before the others have the new key, about a second at most, it can still open; and
    /// one that has its outcome already is shut out as well.
    pub fn exclude(&mut self, now: Instant, member: MemberId, why: &str) {
        self.now = now;
        if let Some(s) = self.sessions.get_mut(&member.session)
            && member.index < s.len()
        {
            s.exclude(now, member.index, why);
        }
    }

    /// Number of members.
    pub fn members(&self, session: SessionId) -> usize {
        self.sessions.get(&session).map_or(0, Session::len)
    }

    /// What became of a member, or how it stands; `None` for one that does not exist.
    pub fn report(&self, now: Instant, member: MemberId) -> Option<MemberReport> {
        let session = self.sessions.get(&member.session)?;
        (member.index < session.len()).then(|| session.report(now, member.index))
    }

    /// What the session sent.
    pub fn sent(&self, session: SessionId) -> Sent {
        self.sessions.get(&session).map_or_else(Sent::default, Session::sent)
    }

    /// Writes to a member's private stream; gives the number of bytes taken.
    pub fn member_write(
        &mut self,
        now: Instant,
        member: MemberId,
        bytes: &[u8],
    ) -> Result<usize, Reason> {
        self.now = now;
        let Some(m) = self.member(member) else { return Err(unknown()) };
        match m.outcome() {
            Some(Err(reason)) => Err(reason.clone()),
            Some(Ok(())) => Err(Reason::Cancelled("the receiver has closed".to_owned())),
            None => Ok(m.conn_mut().control_mut().app_write(bytes)),
        }
    }

    /// Reads from a member's private stream. What arrived before the end can still be read after
    /// it.
    pub fn member_read(
        &mut self,
        now: Instant,
        member: MemberId,
        buf: &mut [u8],
    ) -> Result<ControlRead, Reason> {
        self.now = now;
        let Some(m) = self.member(member) else { return Err(unknown()) };
        match (m.conn_mut().control_mut().app_read(buf), m.outcome()) {
            (ControlRead::Empty, Some(Err(reason))) => Err(reason.clone()),
            (ControlRead::Empty, Some(Ok(()))) => Ok(ControlRead::End),
            (read, _) => Ok(read),
        }
    }

    fn member(&mut self, member: MemberId) -> Option<&mut Member> {
        self.sessions.get_mut(&member.session)?.member_mut(member.index)
    }

    /// Gives a session up: aborts it unless it is done, and frees it when its last datagrams are
    /// out. Reports are gone at once.
    pub fn forget(&mut self, now: Instant, session: SessionId) {
        self.now = now;
        if let Some(s) = self.sessions.get_mut(&session) {
            s.abort(now, "the sender gave up");
            s.forget();
        }
        self.reap(now);
    }
}

fn unknown() -> Reason {
    Reason::Cancelled("no such member".to_owned())
}
