//! One sending session.

use super::sockets::Opener;
use super::streams::MemberStream;
use super::{COPY, NoMemberLeft, kind_of, misused, seed};
use crate::config::{EndpointConfig, Group, SessionConfig};
use crate::error::{AddError, ConfigError, EndError};
use crate::net::clock::Clock;
use crate::net::driver::departure::{Chosen, Departure, Leaving};
use crate::net::driver::{Driver, Joins};
use crate::net::group::{Family, check_group, is_source_specific};
use crate::net::interface::{self, Route};
use crate::net::shared::{Handle, Key};
use crate::net::socket::UdpSocket;
use crate::net::vrf;
use crate::proto::endpoint::Endpoint;
use crate::proto::event::{MemberId, SessionId, SessionState};
use crate::proto::time::Instant;
use crate::stats::{MemberReport, ModeReason, Sent};
use crate::trust::SenderTrust;
use core::ops::Range;
use core::sync::atomic::{AtomicBool, Ordering};
use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, ErrorKind, Write};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::task::Waker;
use std::time::Duration;

/// How to send.
#[derive(Debug, Clone)]
pub struct SenderOptions {
    /// Whom it trusts, and how it proves itself.
    pub trust: SenderTrust,
    /// The session. A source-specific group (232/8, `ff3x::/32`) without a source gets this host's
    /// address.
    pub session: SessionConfig,
    /// Send multicast through the interface with this index; `None`: the one that leads to most of
    /// the receivers.
    pub interface: Option<u32>,
    /// Routers that multicast may pass, plus one.
    pub ttl: u32,
    /// Local address and port; `None` for the system's choice.
    pub bind: Option<SocketAddr>,
}

impl SenderOptions {
    /// Sends to those whom it trusts, with the defaults.
    pub fn new(trust: SenderTrust) -> Self {
        Self { trust, session: SessionConfig::default(), interface: None, ttl: 1, bind: None }
    }
}

/// What a session asks of its application.
#[derive(Debug)]
pub enum Call {
    /// A range that [`Sender::supply`] shall give.
    Need(Range<u64>),
    /// The receiver at this place of the list was restarted, knows nothing of the session any more, and
    /// begins again from the first byte. This is its private stream from now on: what was said on the one
    /// before is to be said again.
    Renewed(usize, MemberStream),
}

/// The same, as the engine says it.
enum Next {
    Need(Range<u64>),
    Renewed(MemberId, u32),
    Nothing,
}

/// Sends one byte sequence to a list of receivers. All methods take `&self`: one thread may write
/// while others serve the members' streams.
///
/// Dropped before [`Sender::finish`], it aborts the session; after it, the drop waits up to 3 s for
/// what is still on its way.
#[derive(Debug)]
pub struct Sender {
    handle: Handle,
    session: SessionId,
    opener: Opener,
    local: SocketAddr,
    group: Option<Group>,
    route: Option<Route>,
    /// Why the group that was asked for is not used.
    unusable: Option<String>,
    /// Without a secret or keys only this host is sent to.
    only_loopback: bool,
    finished: AtomicBool,
}

impl Sender {
    /// Begins a session. It returns as soon as the SYNs are on their way; `InvalidInput` with a
    /// [`ConfigError`](crate::error::ConfigError) when it cannot begin.
    pub fn connect(options: SenderOptions, peers: &[SocketAddr]) -> io::Result<Self> {
        let peers: Vec<_> = peers.iter().map(|peer| vec![*peer]).collect();
        Self::connect_any(options, &peers)
    }

    /// The same to receivers of several addresses each, best first: a name's, in the order of RFC 8305, 4, say.
    /// They are tried one after the other, 250 ms apart (RFC 8305, 5), eight at most, without giving up those
    /// before; where somebody answers first who is trusted, there the receiver is
    /// ([`MemberReport::addr`]). No address may be that of two receivers.
    pub fn connect_any(options: SenderOptions, peers: &[Vec<SocketAddr>]) -> io::Result<Self> {
        let vrf = options.interface.and_then(vrf::of);
        Self::connect_by(move |addr| UdpSocket::bind_in(vrf.as_deref(), addr), options, peers)
    }

    fn connect_by(
        bind: impl Fn(SocketAddr) -> io::Result<UdpSocket> + Send + Sync + 'static,
        options: SenderOptions,
        peers: &[Vec<SocketAddr>],
    ) -> io::Result<Self> {
        let mut all: Vec<SocketAddr> = peers.iter().flatten().copied().collect();
        if let (SenderTrust::Loopback, Some(other)) =
            (&options.trust, all.iter().find(|peer| !peer.ip().to_canonical().is_loopback()))
        {
            return Err(misused(ConfigError::NotLoopback(*other)));
        }
        let mut session = options.session;
        let chosen = match (session.group.and_then(|group| group.source), options.interface) {
            (Some(_), _) => Chosen::Source,
            (None, Some(_)) => Chosen::Interface,
            (None, None) => Chosen::Nothing,
        };
        let lone = peers.len() == 1 && !session.late_join;
        let (route, unusable) = match choose_route(&mut session, options.interface, peers)? {
            // For one peer it is not used: the engine is told of it for its report.
            _ if lone => (None, None),
            Ok(route) => (route, None),
            Err(why) => {
                session.group = None;
                (None, Some(why))
            }
        };
        let group = session.group.filter(|_| !lone);
        session.group_from = route.map(|route| route.source).or(session.group_from);
        let opener = Opener::new(bind, options.bind);
        all.extend(group.map(|group| group.addr));
        let mut sockets = opener.open(&all, &BTreeSet::new(), None)?;
        let families = sockets.iter().map(UdpSocket::family).collect();
        if let Some(route) = route {
            let family = Family::of(route.source);
            for socket in sockets.iter_mut().filter(|socket| socket.family() == family) {
                socket.set_multicast(route, options.ttl)?;
            }
        }
        let unbound = SocketAddr::from((Ipv4Addr::UNSPECIFIED, 0));
        let local = sockets.first().map_or(unbound, UdpSocket::local);
        let config = EndpointConfig { port: local.port(), ..EndpointConfig::default() };
        let clock = Clock::start();
        let only_loopback = matches!(options.trust, SenderTrust::Loopback);
        let mut endpoint = Endpoint::new(config, seed()?);
        let session =
            endpoint.connect_any(clock.now(), session, options.trust, peers).map_err(misused)?;
        let leaving = group.zip(route);
        let leaving = leaving.map(|(group, route)| Leaving::new(group, route, options.ttl, chosen));
        let departure = Some(Departure::new(session, leaving));
        let handle = Driver::spawn(endpoint, clock, sockets, Joins::default(), departure)?;
        handle.lock().families = families;
        let finished = AtomicBool::new(false);
        Ok(Self { handle, session, opener, local, group, route, unusable, only_loopback, finished })
    }

    /// Adds a receiver while the session runs, of these addresses, best first; its place in the list. It gets all of the
    /// source: from now on by the group, if there is one ([`SessionConfig::late_join`]), and what that has passed alone.
    /// `InvalidInput` with an [`AddError`] where that cannot be: of a stream, whose beginning is gone, or when the
    /// session is over; any other error where no socket can be opened for an address of a family that was not sent to
    /// before. Without that family here the receiver fails alone, as at the beginning.
    ///
    /// It needs the source from the first byte. Where [`Sender::next_need`] has given `None` already and the session is not
    /// over, it is to be called again, until it gives `None` again: what of the source is not held any more is needed once
    /// more, and the new receiver waits for that.
    pub fn add_member(&self, addrs: &[SocketAddr]) -> io::Result<usize> {
        let refused = |error: AddError| io::Error::new(ErrorKind::InvalidInput, error);
        let elsewhere = |addr: &&SocketAddr| !addr.ip().to_canonical().is_loopback();
        if let Some(other) = addrs.iter().find(elsewhere).filter(|_| self.only_loopback) {
            return Err(refused(AddError::NotLoopback(*other)));
        }
        self.opener.open_further(&self.handle, self.local.port(), addrs)?;
        let added = self.handle.act(|engine, now| engine.add_member(now, self.session, addrs));
        added.map(|member| member.index).map_err(refused)
    }

    /// The group that is tried, with the source that a source-specific one is joined with; `None`
    /// if none was asked for, multicast cannot leave towards it, or there is one peer only.
    /// Once sending has begun it may be another one, that leaves towards most of those that have answered.
    pub fn group(&self) -> Option<Group> {
        self.moved().map_or(self.group, |(group, _)| Some(group))
    }

    /// Where the group's datagrams leave this host; `None` without a group.
    pub fn route(&self) -> Option<Route> {
        self.moved().map_or(self.route, |(_, route)| Some(route))
    }

    /// The group and its route, if they were chosen anew since the session began: those that have answered are
    /// elsewhere, or the address that it was sent from was taken away.
    pub fn moved(&self) -> Option<(Group, Route)> {
        self.handle.lock().departed.moved
    }

    /// Addresses that this host does not have any more, and how many receivers know it by each, which cannot answer
    /// until it is back, or until they have followed to another address of this host; what is lost meanwhile is sent
    /// again then. An address stays listed until it is back. A change wakes who waits.
    pub fn lost_addresses(&self) -> BTreeMap<IpAddr, usize> {
        self.handle.lock().departed.lost.clone()
    }

    /// Why the group that was asked for is not used, if it is not.
    pub fn group_unusable(&self) -> Option<&str> {
        self.unusable.as_deref()
    }

    /// Waits until sending has begun; the reasons when every receiver has failed before.
    pub fn wait_started(&self) -> io::Result<()> {
        let reports = self.handle.wait(None, |inner, now| {
            match inner.endpoint.session_state(self.session) {
                SessionState::Connecting => None,
                SessionState::Sending | SessionState::Finishing => Some(Vec::new()),
                SessionState::Done => Some(self.collect(&inner.endpoint, now)),
            }
        })?;
        let left = NoMemberLeft::new(reports.clone());
        match left.reasons.first() {
            Some((_, reason)) if left.reasons.len() == reports.len() => {
                let kind = kind_of(reason);
                Err(left.into_error(kind))
            }
            _ => Ok(()),
        }
    }

    /// Waits for a range that [`Sender::supply`] shall give (sessions with a seekable source);
    /// `None` when nothing will be needed any more, unless a receiver is added ([`Sender::add_member`]).
    pub fn next_need(&self) -> Option<Range<u64>> {
        let need = self.handle.wait(None, |inner, _| {
            let need = inner.endpoint.next_need(self.session);
            let done = inner.endpoint.is_satisfied(self.session);
            need.map(Some).or_else(|| done.then_some(None))
        });
        need.ok().flatten()
    }

    /// Waits for what the session asks of its application next, as [`Sender::next_need`] does, and for
    /// members that begin again; `None` when nothing will be needed any more. For applications that use
    /// members' private streams, which begin again as well.
    pub fn next_call(&self) -> Option<Call> {
        self.await_call(None).ok().flatten()
    }

    /// The same, for so long at most: `TimedOut` if nothing was asked until then.
    pub fn next_call_within(&self, limit: Duration) -> io::Result<Option<Call>> {
        match self.await_call(Some(limit)) {
            Err(e) if e.kind() == ErrorKind::TimedOut => Err(e),
            other => Ok(other.ok().flatten()),
        }
    }

    fn await_call(&self, limit: Option<Duration>) -> io::Result<Option<Call>> {
        let next = self.handle.wait(limit, |inner, _| {
            let engine = &mut inner.endpoint;
            if let Some(member) = engine.next_renewed(self.session) {
                return Some(Next::Renewed(member, engine.restarts(member)));
            }
            let need = engine.next_need(self.session).map(Next::Need);
            need.or_else(|| engine.is_satisfied(self.session).then_some(Next::Nothing))
        });
        Ok(match next? {
            Next::Need(range) => Some(Call::Need(range)),
            Next::Renewed(member, restarts) => {
                let stream = MemberStream::new(self.handle.clone(), member, restarts);
                Some(Call::Renewed(member.index, stream))
            }
            Next::Nothing => None,
        })
    }

    /// A range that is needed now.
    pub fn try_next_need(&self) -> Option<Range<u64>> {
        self.handle.ask(|engine, _| engine.next_need(self.session))
    }

    /// Answers a need: `bytes` are all of the range that begins at `offset`.
    pub fn supply(&self, offset: u64, bytes: Arc<[u8]>) {
        self.handle.act(|engine, now| engine.supply(now, self.session, offset, bytes));
    }

    /// The source exists up to there, in bytes, and how much follows is not known yet: until more is
    /// said to exist nothing beyond is asked for or sent. Receivers that are asked what they hold
    /// ([`SessionConfig::declares`]) are waited for anew, as long as they were at the beginning, but for those
    /// that have not declared all that existed before. For a source without a length; it cannot shrink, nor
    /// grow behind its end.
    pub fn grow(&self, to: u64) -> Result<(), EndError> {
        self.handle.act(|engine, now| engine.grow(now, self.session, to))
    }

    /// The length of the source becomes known, in bytes: needs beyond are taken back, and the one
    /// that it falls into ends there. It cannot end before bytes that were supplied, nor twice.
    pub fn set_end(&self, len: u64) -> Result<(), EndError> {
        self.handle.act(|engine, now| engine.set_end(now, self.session, len))
    }

    /// Writes what there is room for (sessions with a stream), or gives `WouldBlock`; `BrokenPipe`
    /// with the reasons when no receiver is left, or after [`Sender::finish`].
    pub fn try_write(&self, bytes: &[u8]) -> io::Result<usize> {
        if bytes.is_empty() {
            return Ok(0);
        }
        let written = self.handle.act(|engine, now| self.write_engine(engine, now, bytes));
        written.unwrap_or_else(|| Err(self.handle.nothing_yet()))
    }

    fn write_all_of_it(&self, bytes: &[u8]) -> io::Result<usize> {
        if bytes.is_empty() {
            return Ok(0);
        }
        let written = self
            .handle
            .wait(None, |inner, now| self.write_engine(&mut inner.endpoint, now, bytes))?;
        self.handle.wake.wake();
        written
    }

    /// `None` while the ring is full.
    fn write_engine(
        &self,
        engine: &mut Endpoint,
        now: Instant,
        bytes: &[u8],
    ) -> Option<io::Result<usize>> {
        if engine.session_state(self.session) == SessionState::Done {
            let left = NoMemberLeft::new(self.collect(engine, now));
            return Some(Err(left.into_error(ErrorKind::BrokenPipe)));
        }
        if self.finished.load(Ordering::Acquire) {
            return Some(Err(io::Error::new(ErrorKind::BrokenPipe, "written after finish")));
        }
        match engine.write(now, self.session, &bytes[..bytes.len().min(COPY)]) {
            0 => None,
            len => Some(Ok(len)),
        }
    }

    /// Nothing more will be written: every receiver is completed, then closed. Returns at once. The
    /// end of a seekable source is known, so its session may be finished at the very beginning;
    /// then nobody's end waits for anybody else's.
    pub fn finish(&self) {
        self.handle.act(|engine, now| {
            self.finished.store(true, Ordering::Release);
            engine.finish(now, self.session);
        });
    }

    /// Ends the session for one receiver, unless it has its outcome; the others go on. For one that
    /// holds a stream back, or whose end is not worth waiting for.
    pub fn drop_member(&self, index: usize, why: &str) {
        let member = MemberId { session: self.session, index };
        self.handle.act(|engine, now| engine.drop_member(now, member, why));
    }

    /// Ends the session for one receiver, and shuts it out: the group gets another key, which this receiver is
    /// not told. For one that is not to have what follows, because its key was stolen, say. What goes to the
    /// group before the others have the new key, about a second at most, it can still open.
    pub fn exclude(&self, index: usize, why: &str) {
        let member = MemberId { session: self.session, index };
        self.handle.act(|engine, now| engine.exclude(now, member, why));
    }

    /// Waits until every receiver has its outcome. Call [`Sender::finish`] first.
    pub fn wait(&self) -> Vec<MemberReport> {
        let done = self.handle.wait(None, |inner, now| {
            let done = inner.endpoint.session_state(self.session) == SessionState::Done;
            done.then(|| self.collect(&inner.endpoint, now))
        });
        done.unwrap_or_else(|_| self.reports())
    }

    /// How every receiver stands, in the order of the list.
    pub fn reports(&self) -> Vec<MemberReport> {
        self.handle.ask(|engine, now| self.collect(engine, now))
    }

    fn collect(&self, engine: &Endpoint, now: Instant) -> Vec<MemberReport> {
        let session = self.session;
        let members = 0..engine.members(session);
        let report = |index| {
            let mut report = engine.report(now, MemberId { session, index })?;
            if let (Some(ModeReason::NoGroup), Some(why)) = (&report.mode_reason, &self.unusable) {
                report.mode_reason = Some(ModeReason::Unusable(why.clone()));
            }
            Some(report)
        };
        members.filter_map(report).collect()
    }

    /// What was sent so far, over all receivers.
    pub fn sent(&self) -> Sent {
        self.handle.ask(|engine, _| engine.sent(self.session))
    }

    /// How far the session is.
    pub fn state(&self) -> SessionState {
        self.handle.ask(|engine, _| engine.session_state(self.session))
    }

    /// Ends the session now, for every receiver that has no outcome yet; they are told why.
    pub fn abort(&self, why: &str) {
        self.handle.act(|engine, now| engine.abort(now, self.session, why));
    }

    /// Number of receivers.
    pub fn members(&self) -> usize {
        self.handle.ask(|engine, _| engine.members(self.session))
    }

    /// The private stream with the receiver at this place of the list. Beyond the list, every use
    /// of it gives `InvalidInput`.
    pub fn member(&self, index: usize) -> MemberStream {
        let member = MemberId { session: self.session, index };
        let restarts = self.handle.ask(|engine, _| engine.restarts(member));
        MemberStream::new(self.handle.clone(), member, restarts)
    }

    /// Wakes this task whenever something changed: the state, room to write, a need, a member's
    /// stream or outcome; `None` removes it.
    pub fn set_waker(&self, waker: Option<Waker>) {
        self.handle.set_waker(Key::Session(self.session), waker);
    }

    /// The local address and port; the address is unspecified unless one was given.
    pub fn local_addr(&self) -> SocketAddr {
        self.local
    }
}

impl Write for Sender {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.write_all_of_it(bytes)
    }

    /// Nothing is held back: what was written is on its way.
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Write for &Sender {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.write_all_of_it(bytes)
    }

    /// Nothing is held back: what was written is on its way.
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Drop for Sender {
    fn drop(&mut self) {
        self.handle.set_waker(Key::Session(self.session), None);
        if !self.finished.load(Ordering::Acquire) {
            self.abort("the sender gave up");
        }
    }
}

/// Decides where multicast leaves, and fills in the source of a source-specific group; the inner
/// error says why its group leads nowhere.
fn choose_route(
    session: &mut SessionConfig,
    ifindex: Option<u32>,
    peers: &[Vec<SocketAddr>],
) -> io::Result<Result<Option<Route>, String>> {
    let Some(group) = &mut session.group else { return Ok(Ok(None)) };
    check_group(group.addr.ip()).map_err(misused)?;
    let family = Family::of(group.addr.ip());
    let route = if let Some(ifindex) = ifindex {
        interface::address_of(ifindex, family)?.map(|source| Route { ifindex, source })
    } else {
        let first = |addrs: &Vec<SocketAddr>| interface::first_routed(addrs, family);
        interface::route_to_most(&peers.iter().filter_map(first).collect::<Vec<_>>(), family)?
    };
    let Some(mut route) = route else {
        return Ok(Err(no_address(family, ifindex)));
    };
    if let Err(e) = interface::check_route(group.addr, route.ifindex) {
        return Ok(Err(format!("nothing to {} leaves {}: {e}", group.addr, named(route.ifindex))));
    }
    match group.source {
        // Receivers join with it, so it is what must be sent from, and an address of the interface.
        Some(source) => match interface::owner_of(source)? {
            Some(owner) if owner == route.ifindex || ifindex.is_none() => {
                route = Route { ifindex: owner, source };
            }
            _ => return Ok(Err(not_here(source, ifindex))),
        },
        None if is_source_specific(group.addr.ip()) => group.source = Some(route.source),
        None => {}
    }
    let (source, through) = (route.source, named(route.ifindex));
    tracing::debug!(group = %group.addr, %source, through, "where the group leaves");
    Ok(Ok(Some(route)))
}

fn named(ifindex: u32) -> String {
    interface::name_of(ifindex).unwrap_or_else(|_| format!("interface {ifindex}"))
}

fn no_address(family: Family, ifindex: Option<u32>) -> String {
    match ifindex {
        Some(ifindex) => format!("{} has no {family} address to send from", named(ifindex)),
        None => format!("no interface with an {family} address leads to a receiver"),
    }
}

fn not_here(source: IpAddr, ifindex: Option<u32>) -> String {
    let place = ifindex.map_or_else(|| "this host".to_owned(), named);
    format!("{place} does not have the address {source} that it is to come from")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::{ListenOptions, Listener};
    use crate::error::{Reason, Unreachable};
    use crate::trust::ListenTrust;
    use std::io::Read as _;

    #[test]
    fn without_a_family_its_receivers_fail_alone() {
        let any: SocketAddr = "127.0.0.1:0".parse().unwrap();
        let listener = Listener::bind(ListenOptions::new(any, ListenTrust::Loopback)).unwrap();
        let peers = [vec![listener.local_addr()], vec!["[::1]:9".parse().unwrap()]];
        let receiver = std::thread::spawn(move || {
            let (mut receiver, mut got) = (listener.accept().unwrap(), Vec::new());
            receiver.read_to_end(&mut got).unwrap();
            receiver.close(Ok(())).unwrap();
            got
        });
        let bind = |addr: SocketAddr| match addr {
            SocketAddr::V4(_) => UdpSocket::bind(addr),
            SocketAddr::V6(_) => Err(io::Error::from_raw_os_error(libc::EAFNOSUPPORT)),
        };
        let mut sender =
            Sender::connect_by(bind, SenderOptions::new(SenderTrust::Loopback), &peers).unwrap();
        sender.write_all(b"bytes").unwrap();
        sender.finish();
        let reports = sender.wait();
        assert_eq!(reports[0].outcome, Some(Ok(())), "{reports:?}");
        let why = Reason::Unreachable(Unreachable::NoFamily { v6: true });
        assert_eq!(reports[1].outcome, Some(Err(why)), "{reports:?}");
        assert_eq!(receiver.join().unwrap(), b"bytes");
    }
}
