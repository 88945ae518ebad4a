//! Where a sending session's group leaves this host: chosen before anybody has answered, and looked at again when it
//! is known who has, and when this host's addresses change.

use super::Endpoint;
use crate::config::Group;
use crate::proto::event::{Action, SessionId};
use crate::proto::member::Member;
use crate::proto::session::Session;
use std::net::{IpAddr, SocketAddr};

impl Endpoint {
    /// The next session whose sending has begun.
    pub(super) fn next_begun(&mut self) -> Option<Action> {
        let mut all = self.sessions.iter_mut();
        all.find_map(|(id, s)| s.takes_begin().then_some(Action::Begun { session: *id }))
    }

    /// Where the members of a session are that have answered and have no outcome yet.
    pub fn answered(&self, session: SessionId) -> Vec<SocketAddr> {
        let members = self.sessions.get(&session).into_iter().flat_map(Session::members);
        members.filter(|m| m.is_served()).map(Member::addr).collect()
    }

    /// This host has those addresses only that `has` says. To members whose answers came to another one it sends from
    /// where the system chooses from now on, and they follow once that is proven.
    pub fn keep_addresses(&mut self, session: SessionId, has: impl Fn(IpAddr) -> bool) {
        if let Some(session) = self.sessions.get_mut(&session) {
            session.keep_addresses(has);
        }
    }

    /// A session's group is this one from now on, or its datagrams come from another address of this host's: the
    /// members that joined the one before leave it and join this one, by the record JOIN. A session without a group
    /// gets none. The next datagrams to the group are this one's.
    pub fn move_group(&mut self, session: SessionId, group: Group, from: Option<IpAddr>) {
        if let Some(session) = self.sessions.get_mut(&session) {
            session.move_group(group, from);
        }
    }
}
