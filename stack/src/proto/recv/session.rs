//! A receiving session: data from two directions, the group and unicast, into one buffer.

use super::autotune::Autotune;
use super::buffer::{Accepted, RecvBuffer};
use super::declare::Declarations;
use super::group::GroupRx;
use super::heard::Heard;
use super::joins::{Joins, Move};
use super::membership::Pace;
use crate::config::{Delivery, Group};
use crate::error::{DeclareError, Reason};
use crate::proto::conn::Conn;
use crate::proto::conn::control::Notice;
use crate::proto::conn::emit::Report;
use crate::proto::conn::incoming::{Incoming, dissect};
use crate::proto::endpoint::listen::Pass;
use crate::proto::event::{ControlRead, ReadOutcome};
use crate::proto::send::space::{Fired, News};
use crate::proto::time::Instant;
use crate::seal::GroupKey;
use crate::stats::{Arrived, Counters, Sent};
use crate::wire::{Ack, Descriptor, Features, GroupStatus, Header, Kind, MAX_OFFSET, Record};
use core::ops::Range;
use core::time::Duration;

/// The edge is told again when it has moved by this part of the buffer (against silly windows,
/// RFC 9293, 3.8.6.2.2).
const EDGE_STEPS: u64 = 4;

/// The sockets bound no session to less than two segments: a smaller window would be a silly one.
const LEAST_CREDIT: u64 = 2 * crate::wire::PAYLOAD_V4 as u64;

/// More ranges than this that are news in a report are told as bits: the ACK block has room for so
/// many of each space (docs/wire.md, ACK).
const SAYABLE: usize = crate::wire::MAX_RANGES / 2;

/// One receiving session.
#[derive(Debug)]
pub(crate) struct Receiving {
    pub(crate) conn: Conn,
    /// By what its sender came in.
    pass: Pass,
    pub(crate) delivery: Delivery,
    /// The sender asks what the application holds.
    pub(crate) declares: bool,
    buffer: RecvBuffer,
    tune: Autotune,
    told_edge: u64,
    /// Bytes that may be on their way to here, if the sockets bound that.
    credit: Option<u64>,
    pub(crate) group: Option<GroupRx>,
    heard: Heard,
    pub(crate) arrived: Arrived,
    pub(crate) sent: Sent,
    declarations: Declarations,
    verdict_given: bool,
    /// The verdict that waits until everything else has been said.
    verdict: Option<(bool, String)>,
    /// What this side's application said when it closed before the end.
    given_up: Option<Reason>,
    pub(crate) ended: Option<Reason>,
    pub(crate) released: bool,
    /// The group is to be left.
    pub(crate) leave_due: bool,
    /// Joins that the system was asked for.
    joins: Joins,
    pub(crate) changed: bool,
}

impl Receiving {
    pub(crate) fn new(
        conn: Conn,
        descriptor: &Descriptor,
        pass: Pass,
        (capacity, most): (usize, usize),
    ) -> Self {
        let unordered = descriptor.features.contains(Features::UNORDERED);
        let delivery = if unordered { Delivery::Unordered } else { Delivery::Ordered };
        let group = GroupRx::offered(descriptor, conn.names().peer.ip());
        Self {
            conn,
            pass,
            delivery,
            declares: descriptor.features.contains(Features::DECLARES),
            buffer: RecvBuffer::new(delivery, capacity),
            tune: Autotune::new(capacity, most),
            told_edge: capacity as u64,
            credit: None,
            group,
            heard: Heard::new(),
            arrived: Arrived::default(),
            sent: Sent::default(),
            declarations: Declarations::default(),
            verdict_given: false,
            verdict: None,
            given_up: None,
            ended: None,
            released: false,
            leave_due: false,
            joins: Joins::default(),
            changed: false,
        }
    }

    /// By what its sender came in.
    pub(crate) fn pass(&self) -> &Pass {
        &self.pass
    }

    /// Its sender may not send here: it is told why, and nobody here hears of it.
    pub(crate) fn turn_away(&mut self, why: &str) {
        self.group = None;
        self.conn.abort(why);
        self.end(Reason::Cancelled(why.to_owned()));
        self.released = true;
    }

    /// Its sender may not send here any more.
    pub(crate) fn revoke(&mut self, why: &str) {
        self.conn.abort(why);
        self.end(Reason::Cancelled(why.to_owned()));
    }

    /// Takes an opened unicast datagram.
    pub(super) fn on_datagram(&mut self, now: Instant, incoming: &Incoming<'_>, ce: bool) {
        if incoming.header.segment.rst {
            let why = incoming.abort.unwrap_or("no reason given");
            self.conn.on_reset();
            self.end(Reason::Aborted(why.to_owned()));
            return;
        }
        if self.conn.refuse_aborted() {
            return;
        }
        let taken = match incoming.header.encap.kind {
            Kind::Control => self.conn.accept_control(incoming),
            _ => self.accept_data(now, incoming, false),
        };
        if !taken {
            return;
        }
        if incoming.header.encap.kind == Kind::Data && !incoming.body.is_empty() {
            self.heard.record(false);
        }
        self.conn.book(now, incoming, ce);
        if let (Some(pn), Some(group)) = (incoming.newest, &mut self.group) {
            group.newest_is(now, pn);
        }
        if let Some(ack) = &incoming.ack {
            self.on_ack(now, ack);
        }
        self.on_control(now);
        self.after_data();
        self.conn.settle(now);
    }

    /// Takes a datagram that came through the group, and was opened: `pn` is its whole packet number.
    pub(crate) fn on_group(
        &mut self,
        now: Instant,
        (header, header_len): (Header, usize),
        pn: u64,
        datagram: &[u8],
        ce: bool,
    ) {
        let irs = self.conn.names().irs;
        let Some(incoming) = dissect(header, header_len, pn, irs, datagram) else { return };
        if !self.accept_data(now, &incoming, true) {
            return;
        }
        self.heard.record(true);
        if let Some(group) = &mut self.group {
            let recorded = group.record(now, pn, header.encap.key_id, ce);
            self.conn.on_group_packet(now, recorded);
        }
        self.after_data();
    }

    /// Stores data and counts it where it first arrived; `false`: not to be acknowledged.
    fn accept_data(&mut self, now: Instant, incoming: &Incoming<'_>, by_group: bool) -> bool {
        if self.verdict_given {
            // Nobody reads it any more; only the end still matters.
            if incoming.header.segment.fin && !by_group {
                self.conn.on_data_fin();
            }
            return !by_group;
        }
        let end = incoming.offset + incoming.body.len() as u64;
        // FIN, like all that is one member's own, means nothing in a group segment.
        if incoming.header.segment.fin && !by_group && !self.buffer.set_end(end) {
            return false;
        }
        if incoming.body.is_empty() {
            return true;
        }
        let Accepted::Stored { fresh } = self.buffer.accept(incoming.offset, incoming.body) else {
            return false;
        };
        let count = if by_group { &mut self.arrived.multicast } else { &mut self.arrived.unicast };
        *count += fresh;
        if incoming.header.encap.repair {
            self.arrived.repaired += fresh;
        }
        self.arrived.duplicate += incoming.body.len() as u64 - fresh;
        let round_trip = self.conn.path().rtt.least();
        if let Some(capacity) = self.tune.on_data(now, fresh as usize, round_trip) {
            self.buffer.grow(capacity);
        }
        true
    }

    fn after_data(&mut self) {
        if self.buffer.readable() || self.buffer.complete() {
            self.changed = true;
        }
        if self.credit.is_some() {
            self.tell_edge(); // then it moves with what arrives
        }
        if self.buffer.complete() {
            // Only now are all bytes before the FIN there (RFC 9293, 3.10.7.4, eighth step).
            self.conn.on_data_fin();
        }
    }

    fn on_ack(&mut self, now: Instant, ack: &Ack<'_>) {
        if let Some(news) = self.conn.on_report(now, ack) {
            self.settle(news);
        }
        self.say();
    }

    /// Applies what a report, or a timer, has shown.
    pub(super) fn settle(&mut self, news: News) {
        for (_, content) in &news.acked {
            self.conn.content_acked(content);
        }
        for content in &news.lost {
            self.conn.content_lost(content);
        }
        self.conn.recycle(news);
        self.changed |= self.verdict_given;
    }

    fn on_control(&mut self, now: Instant) {
        let mut notices = Vec::new();
        if let Err(reason) = self.conn.decode(&mut notices) {
            self.end(reason);
        }
        self.changed |= self.conn.take_control_news();
        for notice in notices {
            match notice {
                Notice::GroupKey { id, key, overlap_ms } => {
                    let suite = self.conn.suite();
                    if let (Some(group), Some(suite)) = (&mut self.group, suite) {
                        let overlap = Duration::from_millis(u64::from(overlap_ms));
                        group.take_key(now, GroupKey::new(suite, id, *key), overlap);
                    }
                    self.tell_joined();
                }
                Notice::Join { group: offered, from } => {
                    let peer = self.conn.names().peer.ip();
                    if let Some(group) = &mut self.group
                        && group.announced(now, (offered, from), peer)
                    {
                        self.joins.begin_anew(now);
                    }
                }
                Notice::Leave => {
                    if let Some(group) = &mut self.group {
                        group.leave();
                        self.joins.leave();
                    }
                }
                Notice::AckPolicy { every, delay_us } => {
                    let delay = Duration::from_micros(u64::from(delay_us));
                    self.conn.take_policy(now, u32::from(every), delay);
                }
                Notice::Count => {
                    if let Some(group) = &mut self.group {
                        group.on_question(now);
                    }
                }
                // A sender reports nothing of this kind.
                Notice::Joined
                | Notice::CannotJoin(_)
                | Notice::Verdict { .. }
                | Notice::Have(_)
                | Notice::Lack(_)
                | Notice::Again(_)
                | Notice::Counted(_) => {}
            }
        }
    }

    fn set_status(&mut self, status: GroupStatus) {
        if let Some(group) = &mut self.group {
            group.set_status(status);
        }
    }

    /// What the system is to be asked for: the group's address, and the source to join it with.
    pub(crate) fn ask_to_join(&mut self) -> Option<Group> {
        let group = self.group.as_ref()?.group();
        self.joins.ask();
        Some(group)
    }

    /// Whether the group is to be left, or to be left and joined anew, as the sender wants; told once.
    pub(crate) fn take_move(&mut self, now: Instant) -> Option<Move> {
        self.joins.take(now)
    }

    /// The system's answer to the wish to join, on an interface where memberships are reported so often.
    pub(crate) fn on_join(&mut self, now: Instant, result: Result<(), String>, pace: Pace) {
        if !self.joins.answer() {
            return; // to a join of the group as it was before
        }
        match result {
            Ok(()) => {
                if let Some(group) = &mut self.group {
                    group.joined(now, pace);
                }
                self.tell_joined();
            }
            Err(why) => {
                self.set_status(GroupStatus::Cannot);
                self.answer(&Record::CannotJoin(&why));
            }
        }
    }

    /// What this host has counted lately, as its sender has asked.
    pub(crate) fn on_counted(&mut self, counters: Counters) {
        self.answer(&Record::Counted(counters));
    }

    /// Answers what the sender may ask again and again.
    fn answer(&mut self, record: &Record<'_>) {
        if !self.conn.control().is_full() {
            self.conn.control_mut().push(record);
        }
    }

    /// Says JOINED once the group can be heard and opened.
    fn tell_joined(&mut self) {
        if self.group.as_mut().is_some_and(GroupRx::becomes_joined) {
            self.answer(&Record::Joined);
        }
    }

    /// Writes the next datagram that is owed to the sender; `None` when there is none.
    pub(crate) fn emit(&mut self, now: Instant, buf: &mut [u8]) -> Option<usize> {
        let data_edge = self.edge();
        let Self { conn, buffer, group, heard, verdict_given, sent, .. } = self;
        if !conn.wants_control() {
            return None;
        }
        let report = Report {
            data_next: buffer.next(),
            data_edge,
            group_status: group.as_ref().map_or(GroupStatus::None, GroupRx::status),
            group: group.as_ref().map(GroupRx::tracker),
            map: group.as_ref().is_some_and(|g| g.unsaid() > SAYABLE),
            heard: Some(heard.percent()), // TCP-XM slide 17: option 51 in every ACK
            newest: None,
        };
        self.told_edge = report.data_edge;
        // Control bytes that ride along leave no room for the map.
        let told = !report.map || !conn.control().has_next();
        let len = conn.emit_control(now, buf, &report, verdict_given.then_some(0))?;
        if let Some(group) = group
            && told
        {
            group.said();
        }
        sent.datagrams += 1;
        sent.datagram_bytes += len as u64;
        Some(len)
    }

    pub(crate) fn read(&mut self, buf: &mut [u8]) -> Result<ReadOutcome, Reason> {
        if let Some((offset, len)) = self.buffer.read(buf) {
            self.tell_edge();
            return Ok(ReadOutcome::Data { offset, len });
        }
        match (self.buffer.end(), &self.ended) {
            (Some(len), _) if self.buffer.drained() => Ok(ReadOutcome::End { len }),
            (_, Some(reason)) => Err(reason.clone()),
            _ => self.given_up.clone().map_or(Ok(ReadOutcome::Empty), Err),
        }
    }

    /// The edge to tell: what the buffer can take, and the sockets before it. What was told once
    /// stays (RFC 9293, 3.8.6: a receiver should not shrink the window).
    fn edge(&mut self) -> u64 {
        let edge = match self.credit {
            Some(credit) => self.buffer.edge_within(credit),
            None => self.buffer.edge(),
        };
        edge.max(self.told_edge)
    }

    /// Tells the edge unasked when it has moved far enough.
    fn tell_edge(&mut self) {
        let moved = self.edge().saturating_sub(self.told_edge);
        let window = self.credit.map_or(u64::MAX, |credit| credit).min(self.tune.capacity() as u64);
        if moved > 0 && moved >= window / EDGE_STEPS {
            self.conn.demand_ack();
        }
    }

    /// No more than so many bytes are to be on their way to here; `None`: as many as there is room
    /// for.
    pub(crate) fn bound_credit(&mut self, credit: Option<u64>) {
        self.credit = credit.map(|credit| credit.max(LEAST_CREDIT));
        self.tell_edge();
    }

    pub(crate) fn control_read(&mut self, buf: &mut [u8]) -> Result<ControlRead, Reason> {
        match (self.conn.control_mut().app_read(buf), &self.ended) {
            (ControlRead::Empty, Some(reason)) => Err(reason.clone()),
            (ControlRead::Empty, None) => self.given_up.clone().map_or(Ok(ControlRead::Empty), Err),
            (read, _) => Ok(read),
        }
    }

    pub(crate) fn control_write(&mut self, bytes: &[u8]) -> Result<usize, Reason> {
        match &self.ended {
            Some(reason) => Err(reason.clone()),
            None if self.verdict_given => Err(Reason::Cancelled("closed by this side".to_owned())),
            None => Ok(self.conn.control_mut().app_write(bytes)),
        }
    }

    /// Gives the verdict and closes this side of both conversations.
    pub(crate) fn close(&mut self, verdict: Result<(), String>) {
        if self.verdict_given || self.ended.is_some() {
            return;
        }
        let verdict = match verdict {
            Ok(()) if !self.buffer.complete() => {
                Err("closed before the end of the stream".to_owned())
            }
            other => other,
        };
        self.verdict_given = true;
        let reason = verdict.as_ref().err().map_or("", String::as_str);
        let ok = verdict.is_ok();
        if !ok {
            // Who reads in another thread must not wait for what does not come any more.
            self.given_up = Some(Reason::Cancelled(reason.to_owned()));
            self.changed = true;
        }
        self.verdict = Some((ok, reason.to_owned()));
        self.say();
        self.leave_due = self.group.is_some();
    }

    /// Says what is to be said, as far as there is room: what is held and lacked, then the verdict.
    fn say(&mut self) {
        self.declarations.say(self.conn.control_mut());
        if self.declarations.is_empty()
            && let Some((ok, reason)) = self.verdict.take()
        {
            let (arrived, reason) = (self.arrived, reason.as_str());
            self.conn.control_mut().push(&Record::Verdict { ok, arrived, reason });
            self.conn.close();
        }
    }

    /// The application holds these ranges.
    pub(crate) fn have(&mut self, ranges: &[Range<u64>]) -> Result<(), DeclareError> {
        self.check_declaration(ranges)?;
        let end = self.buffer.end().unwrap_or(MAX_OFFSET);
        if let Some(range) = ranges.iter().find(|range| range.end > end) {
            return Err(DeclareError::BeyondEnd(range.end));
        }
        for range in ranges {
            self.buffer.have(range.clone());
            self.declarations.have(range.clone());
        }
        self.declared();
        Ok(())
    }

    /// The application lacks these ranges, as far as they are neither held nor received.
    pub(crate) fn lack(&mut self, ranges: &[Range<u64>]) -> Result<(), DeclareError> {
        self.check_declaration(ranges)?;
        for range in ranges {
            self.declarations.lack(range.start..range.end.min(MAX_OFFSET));
        }
        self.declared();
        Ok(())
    }

    /// The application lacks a range after all that it held, or that was received.
    pub(crate) fn again(&mut self, range: Range<u64>) -> Result<(), DeclareError> {
        self.check_declaration(core::slice::from_ref(&range))?;
        for had in self.buffer.take_back(range) {
            self.declarations.again(had);
        }
        self.declared();
        Ok(())
    }

    fn check_declaration(&self, ranges: &[Range<u64>]) -> Result<(), DeclareError> {
        if self.delivery == Delivery::Ordered {
            return Err(DeclareError::Ordered);
        }
        if let Some(empty) = ranges.iter().find(|range| range.start >= range.end) {
            return Err(DeclareError::Empty(empty.start));
        }
        match self.over() {
            Some(reason) => Err(DeclareError::Over(reason)),
            None if self.verdict_given => Err(DeclareError::Closed),
            None => Ok(()),
        }
    }

    fn declared(&mut self) {
        self.say();
        // The window, and how far all is here, may have moved.
        self.conn.demand_ack();
        self.after_data();
    }

    /// Whether the sender has the verdict, or will not get it any more.
    pub(crate) fn closed(&self) -> Option<Result<(), Reason>> {
        if self.verdict_given && self.conn.is_control_done() {
            return Some(Ok(()));
        }
        self.ended.clone().map(Err)
    }

    /// Why nobody wants what is received any more, if that is so.
    pub(crate) fn over(&self) -> Option<Reason> {
        self.ended.clone().or_else(|| self.given_up.clone())
    }

    /// When something came from the sender last.
    pub(crate) fn last_heard(&self) -> Instant {
        self.conn.last_heard()
    }

    /// Asks the sender for an answer.
    pub(crate) fn ping(&mut self) {
        self.conn.ping();
    }

    /// The session is over for a reason of the other side's, or of the network's.
    pub(crate) fn end(&mut self, reason: Reason) {
        if self.ended.is_none() && self.closed().is_none() {
            self.ended = Some(reason);
        }
        self.leave_due = self.group.is_some();
        self.changed = true;
    }

    /// When [`Self::on_timer`] is due.
    pub(crate) fn deadline(&self) -> Option<Instant> {
        let word = self.last_heard();
        let group = self.group.as_ref().and_then(|group| group.deadline(word));
        let joins = self.joins.deadline();
        self.conn.deadline().into_iter().chain(group).chain(joins).min()
    }

    /// Fires what is due.
    pub(crate) fn on_timer(&mut self, now: Instant) {
        let word = self.last_heard();
        if let Some(group) = &mut self.group {
            group.on_timer(now, word);
        }
        match self.conn.on_timer(now) {
            Ok((Fired::Nothing, _)) => {}
            Ok((Fired::Probe, _)) => self.conn.ping(),
            Ok((Fired::Reordering | Fired::Timeout, news)) => self.settle(news),
            Err(reason) => {
                if self.verdict_given {
                    self.conn.drop_dead();
                } else {
                    self.conn.abort("it heard nothing from this host for too long"); // should it still be there
                }
                self.end(reason);
            }
        }
    }
}
