//! The sending application: one session, its bytes made up as they are asked for.

use crate::content;
use crate::scenario::{Scenario, secret};
use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::Arc;
use tcpxm::config::Content;
use tcpxm::error::ConfigError;
use tcpxm::proto::endpoint::Endpoint;
use tcpxm::proto::event::{MemberId, SessionId, SessionState};
use tcpxm::proto::time::Instant;
use tcpxm::stats::{MemberReport, Sent};
use tcpxm::trust::SenderTrust;

/// Bytes offered to a stream's ring at once.
const WRITE: usize = 64 << 10;

/// A sending application.
#[derive(Debug)]
pub(crate) struct Sender {
    seed: u64,
    bytes: u64,
    session: SessionId,
    stream: bool,
    /// What is written next, from `taken` on; it ends at offset `made` of the stream.
    chunk: Vec<u8>,
    taken: usize,
    made: u64,
    finished: bool,
    /// Bytes that were made up for the source's needs.
    supplied: u64,
    /// Receivers that are added, and when.
    late: VecDeque<(Instant, SocketAddr)>,
    end: Option<SenderEnd>,
}

/// What the sender knows at the end.
#[derive(Debug, Clone)]
pub(crate) struct SenderEnd {
    pub(crate) at: Option<Instant>,
    pub(crate) reports: Vec<MemberReport>,
    pub(crate) sent: Sent,
    pub(crate) supplied: u64,
}

impl Sender {
    /// Connects to all.
    pub(crate) fn connect(
        scenario: &Scenario,
        now: Instant,
        engine: &mut Endpoint,
        peers: &[SocketAddr],
    ) -> Result<Self, ConfigError> {
        let mut config = scenario.session.clone();
        let stream = matches!(config.content, Content::Stream { .. });
        if !stream {
            config.content = Content::Source { len: Some(scenario.bytes) };
        }
        let session = engine.connect(now, config, SenderTrust::Secret(secret()), peers)?;
        let (seed, bytes) = (scenario.seed, scenario.bytes);
        let (chunk, taken, made, finished, supplied) = (Vec::new(), 0, 0, false, 0);
        let (late, end) = (VecDeque::new(), None);
        let mut sender = Self {
            seed,
            bytes,
            session,
            stream,
            chunk,
            taken,
            made,
            finished,
            supplied,
            late,
            end,
        };
        sender.look(now, engine);
        Ok(sender)
    }

    /// Adds a receiver then; in the order of their times.
    pub(crate) fn will_add(&mut self, at: Instant, addr: SocketAddr) {
        self.late.push_back((at, addr));
    }

    /// When the next is added.
    pub(crate) fn wakes_at(&self) -> Option<Instant> {
        self.late.front().map(|(at, _)| *at)
    }

    /// Adds those whose time has come.
    pub(crate) fn wake(&mut self, now: Instant, engine: &mut Endpoint) {
        while self.wakes_at().is_some_and(|at| at <= now) {
            let Some((_, addr)) = self.late.pop_front() else { break };
            let added = engine.add_member(now, self.session, &[addr]);
            assert!(added.is_ok(), "{addr} cannot be added: {added:?}");
        }
    }

    /// Something changed at the session.
    pub(crate) fn look(&mut self, now: Instant, engine: &mut Endpoint) {
        if self.end.is_some() {
            return;
        }
        let all_given =
            if self.stream { self.write(now, engine) } else { self.answer(now, engine) };
        if all_given && !self.finished {
            self.finished = true;
            engine.finish(now, self.session);
        }
        if engine.session_state(self.session) == SessionState::Done {
            self.end = Some(self.report(now, Some(now), engine));
        }
    }

    /// Answers needs at once; a source is all given from the beginning.
    fn answer(&mut self, now: Instant, engine: &mut Endpoint) -> bool {
        while let Some(need) = engine.next_need(self.session) {
            assert!(need.start < need.end && need.end <= self.bytes, "a need of {need:?}");
            let len = (need.end - need.start) as usize;
            let mut bytes: Arc<[u8]> = std::iter::repeat_n(0, len).collect();
            if let Some(bytes) = Arc::get_mut(&mut bytes) {
                content::fill(self.seed, need.start, bytes);
            }
            self.supplied += need.end - need.start;
            engine.supply(now, self.session, need.start, bytes);
        }
        true
    }

    /// Writes as long as there is room; gives whether everything is written.
    fn write(&mut self, now: Instant, engine: &mut Endpoint) -> bool {
        loop {
            if self.taken == self.chunk.len() {
                let len = (self.bytes - self.made).min(WRITE as u64);
                if len == 0 {
                    return true;
                }
                self.chunk.resize(len as usize, 0);
                content::fill(self.seed, self.made, &mut self.chunk);
                self.made += len;
                self.taken = 0;
            }
            match engine.write(now, self.session, &self.chunk[self.taken..]) {
                0 => return false,
                n => self.taken += n,
            }
        }
    }

    fn report(&self, now: Instant, at: Option<Instant>, engine: &Endpoint) -> SenderEnd {
        let member = |index| engine.report(now, MemberId { session: self.session, index });
        let reports = (0..engine.members(self.session)).filter_map(member).collect();
        SenderEnd { at, reports, sent: engine.sent(self.session), supplied: self.supplied }
    }

    /// What it knew when the session was done, if it is.
    pub(crate) fn end(&self) -> Option<&SenderEnd> {
        self.end.as_ref()
    }

    /// What it knew when the session was done, or knows now; frees the session.
    pub(crate) fn leave(&mut self, now: Instant, engine: &mut Endpoint) -> SenderEnd {
        let end = self.end.take().unwrap_or_else(|| self.report(now, None, engine));
        engine.forget(now, self.session);
        end
    }
}
