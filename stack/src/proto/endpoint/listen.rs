//! The listener's side of the handshake: answers SYNs, repeats its cached answers, and forgets them. A
//! source that has proven nothing gets no more bytes than it sent and, once it is crowded here, no place
//! before it has shown that it receives what is sent to it.

use super::cookie::Cookies;
use super::half_open::{HalfOpen, Table};
use super::meter::Meter;
use crate::proto::conn::Names;
use crate::proto::conn::handshake::{Hello, SynTag, parse_third, syn_ack};
use crate::proto::event::{Arrival, Stranger};
use crate::proto::rng::Rng;
use crate::proto::time::Instant;
use crate::seal::Door;
use crate::seal::frame::{NO_TAG, cookie_of};
use crate::seal::{FrameKey, Keys};
use crate::stats::Crowded;
use crate::trust::{CidKey, ListenTrust, NoiseKey, PublicKey};
use crate::wire::{Descriptor, Features, Header, Reply, Said, Seq, TAG_LEN};
use core::time::Duration;
use std::collections::VecDeque;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

/// Answers that wait to be sent; more SYNs than this in one batch go unanswered and are repeated.
const MAX_REPLIES: usize = 256;
/// Strangers that wait to be told of; of more the first are.
const MAX_STRANGERS: usize = 16;

/// One datagram that answers another outside of any association.
#[derive(Debug)]
pub(crate) struct Queued {
    pub(crate) to: SocketAddr,
    pub(crate) from: Option<IpAddr>,
    pub(crate) ifindex: u32,
    pub(crate) bytes: Arc<[u8]>,
}

/// Who may come in, what is half open, and what is to be replied.
#[derive(Debug)]
pub(crate) struct Listener {
    trust: ListenTrust,
    /// Made at the start.
    key: NoiseKey,
    doors: Vec<Door>,
    cids: CidKey,
    cookies: Cookies,
    meter: Meter,
    table: Table,
    replies: VecDeque<Queued>,
    strangers: VecDeque<Stranger>,
    crowded: Crowded,
}

/// What the listener adds to a SYN to answer it.
pub(crate) struct Local<'a> {
    pub(crate) port: u16,
    /// The data's first flow-control edge.
    pub(crate) edge: u64,
    /// Whether a connection id is somebody's here.
    pub(crate) taken: &'a dyn Fn(u64) -> bool,
}

/// A SYN that is to be answered.
struct Asked<'a> {
    hello: &'a Hello<'a>,
    tag: SynTag,
    /// Which of the ways in it came by.
    door: usize,
    /// A number for its source.
    source: u64,
}

/// A third message that proved itself.
pub(crate) struct Proven {
    pub(crate) names: Names,
    pub(crate) descriptor: Descriptor,
    pub(crate) keys: Keys,
    /// How it proved itself.
    pub(crate) pass: Pass,
    /// The round trip that it shows.
    pub(crate) rtt: Option<Duration>,
}

/// By what a sender came in.
#[derive(Debug, Clone)]
pub(crate) struct Pass {
    syn: SynTag,
    frame: FrameKey,
    key: Option<PublicKey>,
}

impl Pass {
    /// Its SYN.
    pub(crate) fn syn(&self) -> &SynTag {
        &self.syn
    }

    /// The sender's key, if it has shown one.
    pub(crate) fn key(&self) -> Option<PublicKey> {
        self.key
    }
}

impl Listener {
    pub(crate) fn new(trust: ListenTrust, key: NoiseKey, cids: CidKey, rng: &mut Rng) -> Self {
        Self {
            doors: trust.doors(&key),
            trust,
            key,
            cids,
            cookies: Cookies::new(rng),
            meter: Meter::default(),
            table: Table::default(),
            replies: VecDeque::new(),
            strangers: VecDeque::new(),
            crowded: Crowded::default(),
        }
    }

    /// From now on others may come in. What is half open begins again, unless all ways in are as before: who comes by
    /// one is judged once it has shown its key.
    pub(crate) fn set_trust(&mut self, trust: ListenTrust) {
        let doors = trust.doors(&self.key);
        let same = self.doors.iter().zip(&doors).all(|(before, now)| before.is_same(now));
        if !same || self.doors.len() != doors.len() {
            self.table.clear();
        }
        (self.doors, self.trust) = (doors, trust);
    }

    /// Whether who came in by this would still: if not, why, in words for it.
    pub(crate) fn admit(&self, pass: &Pass) -> Result<(), String> {
        if !self.doors.iter().any(|door| door.frame == pass.frame) {
            return Err("the secret that it came with is not valid any more".to_owned());
        }
        self.trust.admit(pass.key)
    }

    /// The way in that a SYN's MAC opens. If it opens none, it is a stranger's: there is no answer.
    pub(crate) fn door(&mut self, arrival: &Arrival, syn: &[u8]) -> Option<usize> {
        let door = self.doors.iter().position(|door| door.frame.is_syn(syn));
        if door.is_none() {
            self.tell(Stranger::Secret { from: arrival.from });
        }
        door
    }

    /// Somebody came who may not come in.
    pub(crate) fn tell(&mut self, stranger: Stranger) {
        if self.strangers.len() < MAX_STRANGERS {
            self.strangers.push_back(stranger);
        }
    }

    /// Who came and may not come in.
    pub(crate) fn next_stranger(&mut self) -> Option<Stranger> {
        self.strangers.pop_front()
    }

    /// Whether somebody did, that was not told yet.
    pub(crate) fn has_stranger(&self) -> bool {
        !self.strangers.is_empty()
    }

    /// A SYN of another version, with a good MAC: says which one is spoken here.
    pub(crate) fn on_other_version(
        &mut self,
        now: Instant,
        arrival: &Arrival,
        cid: u64,
        syn: &[u8],
        door: usize,
    ) {
        self.reply_with(now, arrival, &Reply::new(cid, Said::OtherVersion), Some(syn), door);
    }

    /// Refuses a SYN.
    pub(crate) fn refuse(
        &mut self,
        now: Instant,
        arrival: &Arrival,
        (cid, why): (u64, &str),
        syn: &[u8],
        door: usize,
    ) {
        self.reply_with(now, arrival, &Reply::new(cid, Said::Refused(why)), Some(syn), door);
    }

    /// A datagram of `len` bytes to an id that nobody has: if it was given here once, its sender is told. By
    /// which way it came in is not known any more, so that it is told by each, as far as that is no more than came.
    pub(crate) fn on_unknown(&mut self, now: Instant, arrival: &Arrival, cid: u64, len: usize) {
        if !self.cids.is_ours(cid) || self.table.has(cid) {
            return;
        }
        let reply = Reply::new(cid, Said::Unknown);
        let most = len / reply.emit(&mut [0; Reply::MAX_LEN]);
        for door in 0..self.doors.len().min(most) {
            self.reply_with(now, arrival, &reply, None, door);
        }
    }

    /// Whether this SYN was answered, and waits for the third message.
    pub(crate) fn has_answered(&mut self, hello: &Hello<'_>) -> bool {
        self.table.find_syn(&hello.tag()).is_some()
    }

    /// Takes a SYN with a good MAC: answers it, with the same bytes if it is a repeated one; with a cookie
    /// if it is crowded here and the SYN brings none. One that is repeated from elsewhere gets the same
    /// bytes too: of two answers to one SYN somebody on the way could use the second to break what began
    /// with the first.
    pub(crate) fn on_syn(
        &mut self,
        now: Instant,
        arrival: &Arrival,
        (hello, syn, door): (&Hello<'_>, &[u8], usize),
        local: &Local<'_>,
        rng: &mut Rng,
    ) {
        self.table.expire(now);
        let tag = hello.tag();
        let source = self.cookies.number(arrival.from.ip());
        if let Some(half) = self.table.find_syn(&tag) {
            half.answered = None;
            let answer = half.answer.clone();
            if self.meter.take(now, source) {
                self.queue(arrival, answer);
            }
            return;
        }
        // Who has shown that it receives what is sent there counts by its address alone; before that, anybody
        // can send in anybody's name.
        let shown = cookie_of(syn)
            .is_some_and(|cookie| self.cookies.holds(now, arrival.from, hello.cid, cookie));
        if !shown && self.table.is_crowded_for(source) {
            let cookie = self.cookies.make(now, arrival.from, hello.cid);
            let reply = Reply::new(hello.cid, Said::Cookie(&cookie));
            self.reply_unmetered(arrival, &reply, Some(syn), door); // much less than came
            return;
        }
        let source = if shown { self.cookies.proven(arrival.from.ip()) } else { source };
        if self.replies.len() < MAX_REPLIES && self.table.has_room(source) {
            self.answer(now, arrival, &Asked { hello, tag, door, source }, local, rng);
        } else {
            self.crowded.count += 1;
            self.crowded.last = Some(arrival.from.ip());
            self.tell(Stranger::Crowded { from: arrival.from });
        }
    }

    fn answer(
        &mut self,
        now: Instant,
        arrival: &Arrival,
        asked: &Asked<'_>,
        local: &Local<'_>,
        rng: &mut Rng,
    ) {
        let Asked { hello, tag, door, source } = *asked;
        let names = Names {
            peer: arrival.from,
            trusted_as: arrival.from,
            local: arrival.to,
            ifindex: arrival.ifindex,
            port: local.port,
            local_cid: self.cids.id(rng.u32()),
            remote_cid: hello.cid,
            iss: Seq(rng.u32()),
            irs: hello.seq,
        };
        if self.table.has(names.local_cid) || (local.taken)(names.local_cid) {
            return; // of so many ids in 2^32; the SYN comes again
        }
        let Some(credentials) = self.doors.get(door).map(|door| &door.credentials) else { return };
        let own = (credentials, rng.bytes32());
        let descriptor = answer_to(&hello.descriptor);
        let Ok((responder, answer)) = syn_ack(&names, &descriptor, own, hello, local.edge) else {
            return;
        };
        let answer: Arc<[u8]> = answer.into();
        let descriptor = hello.descriptor;
        let reply = answer.clone();
        let answered = Some(now);
        let half =
            HalfOpen { syn: tag, names, descriptor, responder, answer, door, source, answered };
        self.table.insert(now, half);
        self.queue(arrival, reply);
    }

    /// Takes the third message; with a good proof the association is established.
    pub(crate) fn on_third(
        &mut self,
        now: Instant,
        arrival: &Arrival,
        (header, header_len): (&Header, usize),
        datagram: &[u8],
    ) -> Option<Proven> {
        let half = self.table.find(header.encap.cid)?;
        // RFC 9293, 3.10.7.4: in SYN-RECEIVED the ACK must be of our SYN.
        if header.segment.ack != Some(Seq::of_offset(half.names.iss, 0)) {
            return None;
        }
        let (prefix, message) = parse_third(header, header_len, datagram)?;
        let Ok((keys, key)) = half.responder.third(prefix, message) else {
            if half.responder.is_spoiled() {
                self.table.remove(header.encap.cid);
            }
            return None;
        };
        let half = self.table.remove(header.encap.cid)?;
        let frame = self.doors.get(half.door)?.frame.clone();
        Some(Proven {
            // The SYN that came first may have been a repetition from elsewhere.
            names: half.names.moved(arrival.into()),
            descriptor: half.descriptor,
            keys,
            pass: Pass { syn: half.syn, frame, key },
            rtt: half.answered.map(|at| now.since(at)),
        })
    }

    /// Queues a reply to a datagram, unless its source has had too many.
    fn reply_with(
        &mut self,
        now: Instant,
        arrival: &Arrival,
        reply: &Reply<'_>,
        to: Option<&[u8]>,
        door: usize,
    ) {
        if self.meter.take(now, self.cookies.number(arrival.from.ip())) {
            self.reply_unmetered(arrival, reply, to, door);
        }
    }

    fn reply_unmetered(
        &mut self,
        arrival: &Arrival,
        reply: &Reply<'_>,
        to: Option<&[u8]>,
        door: usize,
    ) {
        let Some(frame) = self.doors.get(door).map(|door| &door.frame) else { return };
        let mut bytes = [0; Reply::MAX_LEN];
        let len = reply.emit(&mut bytes);
        let tag = to.and_then(<[u8]>::last_chunk::<TAG_LEN>).copied().unwrap_or(NO_TAG);
        frame.sign_answer(&mut bytes[..len], &tag);
        self.queue(arrival, bytes[..len].into());
    }

    fn queue(&mut self, arrival: &Arrival, bytes: Arc<[u8]>) {
        if self.replies.len() < MAX_REPLIES {
            let (to, from, ifindex) = (arrival.from, arrival.to, arrival.ifindex);
            self.replies.push_back(Queued { to, from, ifindex, bytes });
        }
    }

    pub(crate) fn pop_reply(&mut self) -> Option<Queued> {
        self.replies.pop_front()
    }

    /// When the oldest handshake that is half open is forgotten.
    pub(crate) fn deadline(&self) -> Option<Instant> {
        self.table.deadline()
    }

    /// Forgets what has been half open for too long.
    pub(crate) fn on_timer(&mut self, now: Instant) {
        self.table.expire(now);
    }

    /// SYNs for which there was no place.
    pub(crate) fn crowded(&self) -> Crowded {
        self.crowded
    }

    /// How many handshakes are half open.
    pub(crate) fn half_open(&self) -> usize {
        self.table.len()
    }
}

/// What we say of ourselves: all that was offered and we know. The group is echoed, as option 50
/// is: whoever echoes it will try to join.
fn answer_to(offer: &Descriptor) -> Descriptor {
    let mut features = Features::XM;
    for known in [Features::GROUPS, Features::UNORDERED, Features::STREAM] {
        if offer.features.contains(known) {
            features = features.with(known);
        }
    }
    Descriptor { features, ..*offer }
}

#[cfg(test)]
mod tests;
