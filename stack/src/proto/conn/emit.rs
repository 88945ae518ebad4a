//! Building one end's datagrams. Each function writes one datagram into the front of `buf` and
//! gives its length.

use super::handshake::Third;
use super::migration::NetPath;
use super::state::Input;
use super::{Conn, Role};
use crate::proto::recv::pns::PnTracker;
use crate::proto::send::space::Content;
use crate::proto::send::store::NotAtHand;
use crate::proto::time::Instant;
use crate::seal::{KeyChain, Keys};
use crate::wire::{
    AREA_HEAD, Ack, Encap, GroupStatus, Header, Kind, MAX_MAP, MAX_RANGES, Options, RangeList,
    Segment, Seq, SpaceAck, TAG_LEN, TLV_HEAD, Tlv, TlvWriter, offset_high,
};
use core::convert::Infallible;
use core::ops::Range;

/// The scale of the window field in every segment but SYNs (RFC 7323, 2.2: at most 14). The edge
/// that counts stands in the ACK block, in 64 bits.
pub(crate) const WINDOW_SHIFT: u8 = 14;
/// Room of a control datagram: the length of a short one, so that it passes wherever a SYN did.
const CONTROL_DATAGRAM: usize = crate::wire::SYN_LEN;
/// Bytes of TLVs, at most, before the bytes of a control datagram (one ACK block).
const TLV_ROOM: usize = 700;

/// What a side has to report about the data conversation; a sender has nothing but its newest packet.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Report<'a> {
    pub(crate) data_next: u64,
    pub(crate) data_edge: u64,
    pub(crate) group_status: GroupStatus,
    pub(crate) group: Option<&'a PnTracker>,
    /// Its news has more gaps than ranges can say: as bits as well.
    pub(crate) map: bool,
    /// Option 51.
    pub(crate) heard: Option<u8>,
    /// The newest packet number of the group, from its sender.
    pub(crate) newest: Option<u64>,
}

/// Writes a datagram: header, TLVs, then `body_len` bytes by `fill`; then `seal` gets it, with the length of
/// its headers. If `fill` fails nothing is written.
pub(crate) fn assemble<E>(
    buf: &mut [u8],
    mut header: Header,
    tlvs: &[Tlv<'_>],
    body_len: usize,
    fill: impl FnOnce(&mut [u8]) -> Result<(), E>,
    seal: impl FnOnce(&mut [u8], usize),
) -> Result<usize, E> {
    header.encap.tlvs = !tlvs.is_empty();
    let head = header.len();
    header.emit(buf);
    let mut at = head;
    if !tlvs.is_empty() {
        let room = buf.len() - TAG_LEN - body_len;
        let mut writer = TlvWriter::new(&mut buf[head..room]);
        for tlv in tlvs {
            let fits = writer.push(tlv);
            debug_assert!(fits, "the callers leave room for their TLVs");
        }
        at += writer.finish();
    }
    fill(&mut buf[at..at + body_len])?;
    at += body_len;
    let len = at + TAG_LEN;
    buf[at..len].fill(0);
    seal(&mut buf[..len], head);
    Ok(len)
}

/// Seals with the key of this packet number.
fn seal_as(keys: &mut Keys, pn: u64) -> impl FnOnce(&mut [u8], usize) {
    move |datagram, head| keys.tx().seal(pn, datagram, head)
}

/// Writes a datagram of TLVs alone.
pub(crate) fn assemble_bare(
    buf: &mut [u8],
    header: Header,
    tlvs: &[Tlv<'_>],
    seal: impl FnOnce(&mut [u8], usize),
) -> usize {
    let Ok(len) = assemble(buf, header, tlvs, 0, |_| Ok::<_, Infallible>(()), seal);
    len
}

/// Writes a probe: a datagram as long as a segment with `payload` bytes, which carries nothing but
/// the wish for an answer (RFC 8899, 4.1: probing with padding alone).
pub(crate) fn assemble_probe(
    buf: &mut [u8],
    header: Header,
    payload: u64,
    seal: impl FnOnce(&mut [u8], usize),
) -> usize {
    let pad = payload as usize - AREA_HEAD - 2 * TLV_HEAD;
    assemble_bare(buf, header, &[Tlv::Ping, Tlv::Pad(pad)], seal)
}

impl Conn {
    fn header(&self, kind: Kind, offset: u64, ack: Option<Seq>, report: &Report<'_>) -> Header {
        let window = report.data_edge.saturating_sub(report.data_next) >> WINDOW_SHIFT;
        Header {
            encap: Encap {
                kind,
                tlvs: false,
                repair: false,
                key_id: KeyChain::id(self.tx.next_pn()),
                offset_high: offset_high(offset),
                cid: self.names.remote_cid,
                pn: self.tx.next_pn() as u32,
            },
            segment: Segment {
                src_port: self.names.port,
                dst_port: self.names.peer.port(),
                seq: Seq::of_offset(self.names.iss, offset),
                ack,
                window: u16::try_from(window).unwrap_or(u16::MAX),
                syn: false,
                fin: false,
                rst: false,
                psh: false,
                options: Options::default(),
            },
        }
    }

    /// One full or partial data segment of the session's sequence: its range, whether it repeats what
    /// was sent before, and whether it asks for an acknowledgement at once. Nothing is sent if `fill`
    /// does not find the bytes.
    pub(crate) fn emit_data(
        &mut self,
        now: Instant,
        buf: &mut [u8],
        (range, repair, push): (Range<u64>, bool, bool),
        fill: impl FnOnce(&mut [u8]) -> Result<(), NotAtHand>,
    ) -> Result<usize, NotAtHand> {
        let ack = Seq::of_offset(self.names.irs, 0);
        let mut header = self.header(Kind::Data, range.start, Some(ack), &Report::default());
        header.encap.repair = repair;
        header.segment.psh = push;
        let Some(keys) = self.life.keys_mut() else { return Ok(0) };
        let body = (range.end - range.start) as usize;
        let seal = seal_as(keys, self.tx.next_pn());
        let len = assemble(buf, header, &[], body, fill, seal)?;
        self.life.on_data_sent();
        self.tx.on_sent(now, Content { data: range, ..Content::default() });
        Ok(len)
    }

    /// A probe of the path, as long as a segment with `payload` bytes.
    pub(crate) fn emit_probe(&mut self, now: Instant, buf: &mut [u8], payload: u64) -> usize {
        let ack = Seq::of_offset(self.names.irs, 0);
        let header = self.header(Kind::Data, 0, Some(ack), &Report::default());
        let Some(keys) = self.life.keys_mut() else { return 0 };
        let seal = seal_as(keys, self.tx.next_pn());
        let len = assemble_probe(buf, header, payload, seal);
        self.tx.on_sent(now, Content { probe: payload, ..Content::default() });
        self.tx.path.mtu.on_probe(payload);
        len
    }

    /// Whether [`Self::emit_control`] has something to send.
    pub(crate) fn wants_control(&self) -> bool {
        self.abort_due.is_some()
            || (self.acks.due() && self.answers())
            || (self.is_open()
                && (self.life.is_third_due()
                    || self.ping_due
                    || self.control_bytes_due()
                    || self.control_fin_due()
                    || (self.role == Role::Responder && self.data_fin.is_due())))
    }

    /// Control bytes share the congestion window with the data; one datagram of them may always be
    /// out, so that they never starve.
    fn control_bytes_due(&self) -> bool {
        self.control.has_next()
            && (self.tx.flight() == 0 || self.tx.permits(CONTROL_DATAGRAM as u64))
    }

    /// The control FIN goes with or after the last byte.
    fn control_fin_due(&self) -> bool {
        self.control_fin.is_due() && self.control.all_sent()
    }

    /// Everything but data segments: RST, the third message, control bytes, FINs, pings, ACKs.
    /// `data_end` is where the data FIN stands, once it may be sent.
    pub(crate) fn emit_control(
        &mut self,
        now: Instant,
        buf: &mut [u8],
        report: &Report<'_>,
        data_end: Option<u64>,
    ) -> Option<usize> {
        if let Some(why) = self.abort_due.take() {
            return self.emit_reset(now, buf, &why);
        }
        if !self.is_open() && !self.acks.due() {
            return None;
        }
        if let Some(third) = self.life.take_third() {
            return Some(put(buf, &third));
        }
        let data_fin = self.data_fin.is_due() && data_end.is_some();
        if data_fin {
            let at = data_end.unwrap_or(0);
            return self.emit_segment(now, buf, report, Kind::Data, at..at, true);
        }
        if self.control_bytes_due() || self.control_fin_due() {
            let room = CONTROL_DATAGRAM - crate::wire::OVERHEAD - TLV_ROOM;
            let range = self.control.take(room).unwrap_or_else(|| {
                let end = self.control.out_end();
                end..end
            });
            let fin = self.control_fin_due();
            return self.emit_segment(now, buf, report, Kind::Control, range, fin);
        }
        if self.ping_due || self.acks.due() {
            // A receiver's bare ACK belongs to the data conversation, a sender's to control.
            let kind = if self.role == Role::Responder { Kind::Data } else { Kind::Control };
            let at = if kind == Kind::Data { 0 } else { self.control.out_end() };
            return self.emit_segment(now, buf, report, kind, at..at, false);
        }
        None
    }

    fn emit_segment(
        &mut self,
        now: Instant,
        buf: &mut [u8],
        report: &Report<'_>,
        kind: Kind,
        range: Range<u64>,
        fin: bool,
    ) -> Option<usize> {
        let mut lists = [[(0, 0); MAX_RANGES]; 2];
        let [first, second] = &mut lists;
        let (control_next, control_edge) = self.control.window();
        let ack = Ack {
            data_next: report.data_next,
            data_edge: report.data_edge,
            control_next,
            control_edge,
            group_status: report.group_status,
            unicast: space_ack(now, &self.rx, first),
            group: report.group.and_then(|tracker| space_ack(now, tracker, second)),
        };
        let next = if kind == Kind::Data { report.data_next } else { control_next };
        let acked = Seq::of_offset(self.names.irs, next);
        let mut header = self.header(kind, range.start, Some(acked), report);
        header.segment.fin = fin;
        header.segment.psh = !range.is_empty();
        header.segment.options.heard = report.heard;
        let content = Content {
            data: 0..0,
            control: if kind == Kind::Control { range.clone() } else { 0..0 },
            data_fin: fin && kind == Kind::Data,
            control_fin: fin && kind == Kind::Control,
            ping: self.ping_due,
            probe: 0,
        };
        let mut bits = [0; MAX_MAP];
        let map = report.group.filter(|_| report.map && range.is_empty());
        // A receiver has a map to say, a sender its newest packet; either stands first, for the ACK leaves
        // ranges out where it finds no room.
        let first = map.map(|tracker| Tlv::Map(tracker.map(&mut bits)));
        let first = first.or(report.newest.map(Tlv::Newest));
        let tlvs = [first.unwrap_or(Tlv::Ping), Tlv::Ack(ack), Tlv::Ping];
        let tlvs = &tlvs[usize::from(first.is_none())..if self.ping_due { 3 } else { 2 }];
        let body = if kind == Kind::Control { (range.end - range.start) as usize } else { 0 };
        let keys = self.life.keys_mut()?;
        let seal = seal_as(keys, self.tx.next_pn());
        let control = &self.control;
        let fill = |to: &mut [u8]| {
            control.copy(&range, to);
            Ok::<_, Infallible>(())
        };
        let Ok(len) = assemble(&mut buf[..CONTROL_DATAGRAM], header, tlvs, body, fill, seal);
        self.mark_fin(fin, kind);
        self.ping_due = false;
        self.acks.sent(now);
        self.tx.on_sent(now, content);
        Some(len)
    }

    fn mark_fin(&mut self, fin: bool, kind: Kind) {
        if !fin {
            return;
        }
        if kind == Kind::Data {
            self.data_fin.on_sent();
            self.data_state.step(Input::Close);
        } else {
            self.control_fin.on_sent();
            self.control_state.step(Input::Close);
        }
    }

    fn emit_reset(&mut self, now: Instant, buf: &mut [u8], why: &str) -> Option<usize> {
        let mut header = self.header(Kind::Data, 0, None, &Report::default());
        header.segment.rst = true;
        let keys = self.life.keys_mut()?;
        let seal = seal_as(keys, self.tx.next_pn());
        let len = assemble_bare(buf, header, &[Tlv::Abort(why)], seal);
        self.tx.on_sent(now, Content::default());
        Some(len)
    }

    /// What the peer is asked, or answered, by another way than the usual one.
    pub(crate) fn emit_aside(&mut self, now: Instant, buf: &mut [u8]) -> Option<(NetPath, usize)> {
        let (way, tlv) = self.migration.next()?;
        let mut header = self.header(Kind::Data, 0, None, &Report::default());
        header.segment.dst_port = way.peer.port();
        let keys = self.life.keys_mut()?;
        let seal = seal_as(keys, self.tx.next_pn());
        let len = assemble_bare(buf, header, &[tlv], seal);
        self.tx.on_sent(now, Content::default());
        Some((way, len))
    }

    /// The third message, which leads each flight until the peer is proven: without it the peer
    /// can open nothing of the flight. `None`: it is not needed, or has just been sent.
    pub(crate) fn lead_flight(&mut self, buf: &mut [u8]) -> Option<usize> {
        let third = self.life.lead_flight()?;
        Some(put(buf, &third))
    }

    /// The SYN, if it is due, for the first time or again.
    pub(crate) fn emit_syn(&mut self, now: Instant, buf: &mut [u8]) -> Option<usize> {
        self.life.emit_syn(now, buf)
    }
}

fn put(buf: &mut [u8], third: &Third) -> usize {
    buf[..third.len()].copy_from_slice(third);
    third.len()
}

fn space_ack<'a>(
    now: Instant,
    tracker: &PnTracker,
    list: &'a mut [(u64, u64); MAX_RANGES],
) -> Option<SpaceAck<'a>> {
    let largest = tracker.largest()?;
    let count = tracker.ranges(list);
    let delay = now.since(tracker.largest_at()).as_micros();
    Some(SpaceAck {
        largest,
        delay_us: u32::try_from(delay).unwrap_or(u32::MAX),
        ce: tracker.ce(),
        ranges: RangeList::Listed(&list[..count]),
    })
}
