//! The three messages that open an association: SYN, SYN-ACK, ACK (RFC 9293, 3.5), each with one
//! message of the key exchange in its payload, so that keys cost no round trip.
//!
//! The SYN is padded to 1,200 bytes: it proves that datagrams of that length pass, and the answer,
//! which must not be longer, amplifies nothing (RFC 9000, 8.1, asks for the same). The responder
//! keeps the bytes of its answer and repeats them for a repeated SYN; it has no timer.

use super::Names;
use super::emit::{WINDOW_SHIFT, assemble, assemble_bare};
use crate::error::Reason;
use crate::proto::send::space::INITIAL_RTO;
use crate::proto::time::Instant;
use crate::seal::exchange::Message;
use crate::seal::frame::{cookie_of, set_cookie};
use crate::seal::{
    Answered, Credentials, FrameKey, Initiator, Keys, MAX_MESSAGE, Responder, SealError,
};
use crate::trust::{NoiseKey, PublicKey, SenderTrust};
use crate::wire::COOKIE_LEN;
use crate::wire::{
    Ack, Descriptor, Encap, GroupStatus, Header, Kind, OVERHEAD, Options, SYN_LEN, Segment, Seq,
    TAG_LEN, TLV_HEAD, Tlv, split,
};
use core::convert::Infallible;
use core::time::Duration;
use std::sync::Arc;

/// A SYN is repeated after [`INITIAL_RTO`], then each time after twice as long, up to this.
const SYN_INTERVAL_MAX: Duration = Duration::from_secs(2);
/// A SYN is sent again for another cookie after this, at least.
const COOKIE_INTERVAL: Duration = Duration::from_millis(50);
/// Room for either answer; what remains unused is cut off.
const ROOM: usize = SYN_LEN + 64;

/// The whole datagram of the third message: always the same bytes.
pub(crate) type Third = Arc<[u8]>;

/// What a SYN or a SYN-ACK says. Of a SYN it is covered by Noise's prologue, of a SYN-ACK by the digest in
/// its message: nothing of it counts before the message has been read.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Hello<'a> {
    /// The datagram up to the message.
    pub(crate) prefix: &'a [u8],
    /// The key exchange's message.
    pub(crate) message: &'a [u8],
    /// The id that the other side must put into its datagrams.
    pub(crate) cid: u64,
    pub(crate) descriptor: Descriptor,
    pub(crate) seq: Seq,
    /// The receiver's first flow-control edge (SYN-ACK only).
    pub(crate) edge: Option<u64>,
}

/// What tells one SYN from another: all that its handshake covers. Not where it comes from nor the id that it
/// names, for anybody can repeat it from elsewhere, or send another with the same id; nor its MAC, for
/// without a secret anybody can make that anew around other padding.
pub(crate) type SynTag = [u8; blake3::OUT_LEN];

impl Hello<'_> {
    /// What tells this SYN from others.
    pub(crate) fn tag(&self) -> SynTag {
        let mut hasher = blake3::Hasher::new();
        hasher.update(self.prefix).update(self.message);
        hasher.finalize().into()
    }
}

/// Reads a SYN or SYN-ACK. `None`: not one, or malformed. What stands behind the handshake's message is
/// not covered by it, and is not looked at.
pub(crate) fn parse_hello<'a>(
    header: &Header,
    header_len: usize,
    datagram: &'a [u8],
) -> Option<Hello<'a>> {
    let (mut cid, mut descriptor, mut edge) = (None, None, None);
    let (prefix, message) = find_message(header, header_len, datagram, |tlv| match tlv {
        Tlv::Cid(id) => cid = Some(id),
        Tlv::Descriptor(d) => descriptor = Some(d),
        Tlv::Ack(ack) => edge = Some(ack.data_edge),
        _ => {}
    })?;
    // A SYN's header has the id: its receiver has chosen none yet.
    let cid = if header.segment.ack.is_none() { Some(header.encap.cid) } else { cid };
    Some(Hello {
        prefix,
        message,
        cid: cid?,
        descriptor: descriptor?,
        seq: header.segment.seq,
        edge,
    })
}

/// Reads the third message: what stands before it, and the message.
pub(crate) fn parse_third<'a>(
    header: &Header,
    header_len: usize,
    datagram: &'a [u8],
) -> Option<(&'a [u8], &'a [u8])> {
    find_message(header, header_len, datagram, |_| {})
}

/// A datagram up to its handshake message, and that; `each` sees the TLVs before it.
fn find_message<'a>(
    header: &Header,
    header_len: usize,
    datagram: &'a [u8],
    mut each: impl FnMut(Tlv<'a>),
) -> Option<(&'a [u8], &'a [u8])> {
    if !header.encap.tlvs {
        return None;
    }
    let payload = datagram.get(header_len..datagram.len().checked_sub(TAG_LEN)?)?;
    let (mut tlvs, body) = split(payload).ok()?;
    let area_end = header_len + payload.len() - body.len();
    while let Some(tlv) = tlvs.next() {
        match tlv.ok()? {
            Tlv::Handshake(message) => {
                let at = area_end - tlvs.rest_len() - message.len();
                return Some((&datagram[..at], message));
            }
            other => each(other),
        }
    }
    None
}

/// What the headers of all three messages have in common.
fn header(names: &Names, cid: u64, (seq, ack): (Seq, Option<Seq>)) -> Header {
    Header {
        encap: Encap {
            kind: Kind::Handshake,
            tlvs: true,
            repair: false,
            key_id: 0,
            offset_high: 0,
            cid,
            pn: 0,
        },
        segment: Segment {
            src_port: names.port,
            dst_port: names.peer.port(),
            seq,
            ack,
            window: 0,
            syn: false,
            fin: false,
            rst: false,
            psh: false,
            options: Options::default(),
        },
    }
}

/// The header of a SYN, or of a SYN-ACK.
fn hello_header(names: &Names, ack: Option<Seq>, descriptor: &Descriptor) -> Header {
    // As in every datagram the id of whoever receives it; a SYN's receiver has none yet.
    let cid = if ack.is_some() { names.remote_cid } else { names.local_cid };
    let mut header = header(names, cid, (names.iss, ack));
    header.segment.syn = true;
    header.segment.window = u16::MAX;
    header.segment.options = Options {
        mss: Some(descriptor.segment_size),
        window_scale: Some(WINDOW_SHIFT),
        sack_permitted: true,
        // TCP-XM slide 13: the group in every SYN, echoed by who can join one.
        group: descriptor.group.map(|g| g.addr.ip()),
        heard: None,
    };
    header
}

fn edge_report(edge: u64) -> Ack<'static> {
    Ack {
        data_next: 0,
        data_edge: edge,
        control_next: 0,
        control_edge: 0,
        group_status: GroupStatus::None,
        unicast: None,
        group: None,
    }
}

/// Writes a handshake datagram: header, TLVs, then the message, which `make` writes knowing what stands
/// before it. `None` if it cannot be made.
fn with_message(
    header: Header,
    before: &[Tlv<'_>],
    len: usize,
    make: impl FnOnce(&[u8], &mut [u8]) -> Option<usize>,
) -> Option<Vec<u8>> {
    let mut message = [0; MAX_MESSAGE];
    let mut tlvs = before.to_vec();
    tlvs.push(Tlv::Handshake(&message[..len]));
    let mut buf = vec![0; ROOM];
    let bare = assemble_bare(&mut buf, header, &tlvs, |_, _| {});
    let at = bare - TAG_LEN - len;
    if make(&buf[..at], &mut message)? != len {
        return None;
    }
    buf[at..at + len].copy_from_slice(&message[..len]);
    buf.truncate(bare);
    Some(buf)
}

/// Answers a SYN: the responder that waits for the third message, and the bytes of the SYN-ACK, which is
/// never longer than the SYN.
pub(crate) fn syn_ack(
    names: &Names,
    descriptor: &Descriptor,
    (credentials, random): (&Credentials, [u8; 32]),
    hello: &Hello<'_>,
    edge: u64,
) -> Result<(Responder, Vec<u8>), SealError> {
    let header = hello_header(names, Some(Seq::of_offset(names.irs, 0)), descriptor);
    let before =
        [Tlv::Cid(names.local_cid), Tlv::Descriptor(*descriptor), Tlv::Ack(edge_report(edge))];
    let mut made = Err(SealError::Length);
    let first = (hello.prefix, hello.message);
    let len = credentials.message_len(Message::Second);
    let bytes = with_message(header, &before, len, |prefix, out| {
        match Responder::answer(credentials, random, first, prefix, out) {
            Ok((responder, len)) => {
                made = Ok(responder);
                Some(len)
            }
            Err(why) => {
                made = Err(why);
                None
            }
        }
    });
    let responder = made?;
    Ok((responder, bytes.ok_or(SealError::Length)?))
}

/// The whole datagram of a third message, and the keys.
fn third(names: &Names, answered: Answered) -> Option<(Vec<u8>, Keys)> {
    let (seq, ack) = (Seq::of_offset(names.iss, 0), Seq::of_offset(names.irs, 0));
    let header = header(names, names.remote_cid, (seq, Some(ack)));
    let mut keys = None;
    let len = answered.third_len();
    let bytes = with_message(header, &[], len, |prefix, out| {
        let (len, made) = answered.third(prefix, out).ok()?;
        keys = Some(made);
        Some(len)
    })?;
    Some((bytes, keys?))
}

/// The initiator's side while it waits for the SYN-ACK, and until that is proven.
#[derive(Debug)]
pub(crate) struct Opening {
    /// As it was before any answer: another one may have to be taken.
    exchange: Initiator,
    trust: Arc<SenderTrust>,
    /// The key that the responder showed in an earlier handshake of this session: it must again.
    shown: Option<PublicKey>,
    frame: FrameKey,
    syn: Vec<u8>,
    interval: Duration,
    next_at: Instant,
    /// No cookie makes it be sent before this.
    cookie_at: Instant,
    /// When it was sent last.
    sent_at: Option<Instant>,
    repeated: bool,
    /// It was answered, and the SYN is due all the same.
    again: bool,
}

impl Opening {
    pub(crate) fn new(
        now: Instant,
        names: &Names,
        descriptor: &Descriptor,
        (trust, key, random): (&Arc<SenderTrust>, &NoiseKey, [u8; 32]),
    ) -> Self {
        let exchange = Initiator::new(trust.credentials(key, names.trusted_as), random);
        let frame = trust.frame(names.trusted_as);
        Self {
            syn: syn(names, descriptor, &exchange, &frame),
            exchange,
            trust: Arc::clone(trust),
            shown: None,
            frame,
            interval: INITIAL_RTO,
            next_at: now,
            cookie_at: now,
            sent_at: None,
            repeated: false,
            again: false,
        }
    }

    /// The same, to a responder that has shown this key before.
    pub(crate) fn expecting(self, shown: Option<PublicKey>) -> Self {
        Self { shown, ..self }
    }

    pub(crate) fn deadline(&self) -> Instant {
        self.next_at
    }

    /// The SYN, if it is due.
    pub(crate) fn emit(&mut self, now: Instant, buf: &mut [u8]) -> Option<usize> {
        if now < self.next_at {
            return None;
        }
        if self.sent_at.is_some() {
            self.repeated = true;
            self.interval = (self.interval * 2).min(SYN_INTERVAL_MAX);
        }
        self.sent_at = Some(now);
        self.next_at = now + self.interval;
        buf[..self.syn.len()].copy_from_slice(&self.syn);
        Some(self.syn.len())
    }

    /// The third message stays unanswered: the responder may have forgotten what it is about.
    pub(crate) fn begin_again(&mut self) {
        self.again = true;
    }

    /// The SYN, if it is to begin again.
    pub(crate) fn emit_again(&mut self, buf: &mut [u8]) -> Option<usize> {
        if !core::mem::take(&mut self.again) {
            return None;
        }
        self.repeated = true;
        buf[..self.syn.len()].copy_from_slice(&self.syn);
        Some(self.syn.len())
    }

    /// The tag of the SYN, which replies to it refer to.
    fn tag(&self) -> Option<&[u8; TAG_LEN]> {
        self.syn.last_chunk()
    }

    /// Whether a reply to the SYN comes from someone with the same frame key: if so, whether that proves
    /// anything.
    pub(crate) fn is_replied(&self, reply: &[u8]) -> Option<bool> {
        let good = self.tag().is_some_and(|tag| self.frame.is_answer(reply, tag));
        good.then(|| self.trust.frames_prove())
    }

    /// Takes a cookie: the SYN is sent again with it, at once unless it has just been sent: whoever saw it
    /// could else make it be sent without end.
    pub(crate) fn on_cookie(&mut self, now: Instant, cookie: &[u8; COOKIE_LEN]) {
        if cookie_of(&self.syn) != Some(cookie) {
            set_cookie(&mut self.syn, cookie);
            self.next_at = self.next_at.min(now.max(self.cookie_at));
            self.cookie_at = now + COOKIE_INTERVAL;
        }
    }

    /// Takes message two: the keys, message three, whom the responder is, and what it shows of the round
    /// trip. `None`: not an answer to our SYN. `names` are the
    /// association's as the answer has them.
    pub(crate) fn on_answer(
        &self,
        now: Instant,
        names: &Names,
        hello: &Hello<'_>,
    ) -> Result<Opened, NoAnswer> {
        let unrelated = NoAnswer::Unrelated;
        let (header, len) = Header::parse(&self.syn).map_err(|_| unrelated.clone())?;
        let first = find_message(&header, len, &self.syn, |_| {}).ok_or(unrelated.clone())?.0;
        let answered = self
            .exchange
            .second(first, hello.prefix, hello.message)
            .map_err(|_| unrelated.clone())?;
        let peer = answered.peer();
        self.trust.judge(names.trusted_as, peer).map_err(NoAnswer::Untrusted)?;
        self.judge_again(peer).map_err(NoAnswer::Untrusted)?;
        let (third, keys) = third(names, answered).ok_or(unrelated)?;
        let since = self.sent_at.map_or(Duration::ZERO, |at| now.since(at));
        let rtt = if self.repeated { RoundTrip::AtLeast(since) } else { RoundTrip::Sample(since) };
        Ok(Opened { keys, third: third.into(), peer, rtt })
    }
}

impl Opening {
    /// Who shows another key than before is somebody else, though neither may be known.
    fn judge_again(&self, peer: Option<PublicKey>) -> Result<(), Reason> {
        match (self.shown, peer) {
            (Some(known), Some(shown)) if known != shown => {
                Err(Reason::HostKeyChanged { known, shown })
            }
            (Some(_), None) => Err(Reason::NoHostKey),
            _ => Ok(()),
        }
    }
}

/// Why a SYN-ACK is not taken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum NoAnswer {
    /// It does not answer our SYN, or says nothing new.
    Unrelated,
    /// Whoever sent it is not who it should be. A better answer may come.
    Untrusted(Reason),
}

/// What a good answer gives the initiator.
pub(crate) struct Opened {
    pub(crate) keys: Keys,
    pub(crate) third: Third,
    /// Whose identity certified the responder's key, if one did.
    pub(crate) peer: Option<PublicKey>,
    pub(crate) rtt: RoundTrip,
}

/// What the answer to a SYN shows of the round trip.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum RoundTrip {
    /// What it is.
    Sample(Duration),
    /// The SYN was sent more than once, and the last of them so long ago: which one is answered nobody knows (Karn's
    /// rule, RFC 6298, 3).
    AtLeast(Duration),
}

/// A SYN: header, descriptor and message, then what nothing else covers but its MAC: padding, and room
/// for a cookie.
fn syn(names: &Names, descriptor: &Descriptor, exchange: &Initiator, frame: &FrameKey) -> Vec<u8> {
    let header = hello_header(names, None, descriptor);
    let (len, none) = (exchange.first_len(), [0; MAX_MESSAGE]);
    let before = [Tlv::Descriptor(*descriptor), Tlv::Handshake(&none[..len])];
    let mut buf = vec![0; ROOM];
    let bare = assemble_bare(&mut buf, header, &before, |_, _| {});
    let at = bare - TAG_LEN - len;
    // Three bytes of type and length go with the padding.
    let pad = (SYN_LEN - COOKIE_LEN).saturating_sub(bare + TLV_HEAD);
    let tlvs = [before[0], before[1], Tlv::Pad(pad)];
    let fill = |_: &mut [u8]| Ok::<_, Infallible>(());
    let Ok(len) = assemble(&mut buf, header, &tlvs, COOKIE_LEN, fill, |_, _| {});
    buf.truncate(len);
    let (prefix, rest) = buf.split_at_mut(at);
    exchange.first(prefix, rest);
    frame.sign_syn(&mut buf);
    buf
}

/// The names that the initiator's conn starts with: the peer's half is not known yet.
pub(crate) fn blank_names(peer: std::net::SocketAddr, port: u16, cid: u64, iss: Seq) -> Names {
    Names {
        peer,
        trusted_as: peer,
        local: None,
        ifindex: 0,
        port,
        local_cid: cid,
        remote_cid: 0,
        iss,
        irs: Seq(0),
    }
}

const _: () = assert!(OVERHEAD + TAG_LEN < SYN_LEN);

#[cfg(test)]
mod tests {
    use super::{Opening, RoundTrip, blank_names, parse_hello, parse_third, syn_ack};
    use crate::config::Group;
    use crate::proto::conn::Names;
    use crate::proto::time::Instant;
    use crate::seal::Credentials;
    use crate::trust::{NoiseKey, SenderTrust};
    use crate::wire::COOKIE_LEN;
    use crate::wire::{Descriptor, Features, Header, Kind, SYN_LEN, Seq, TAG_LEN};
    use core::time::Duration;
    use std::sync::Arc;

    fn descriptor(group: &str, source: Option<&str>) -> Descriptor {
        Descriptor {
            features: Features::XM.with(Features::GROUPS),
            first_offset: 0,
            segment_size: 1400,
            group_cid: 9,
            group: Some(Group {
                addr: group.parse().unwrap(),
                source: source.map(|s| s.parse().unwrap()),
            }),
            group_from: source.map(|s| s.parse().unwrap()),
        }
    }

    fn opening(names: &Names, d: &Descriptor) -> Opening {
        Opening::new(
            Instant::ZERO,
            names,
            d,
            (&Arc::new(SenderTrust::Loopback), &NoiseKey::drawn(&[1; 32]), [1; 32]),
        )
    }

    #[test]
    fn a_syn_is_padded_and_its_answer_is_not_longer() {
        for d in [
            descriptor("239.255.1.2:8737", None),
            descriptor("[ff35::1:2]:8737", Some("2001:db8::1")),
        ] {
            let names = blank_names("[::1]:8737".parse().unwrap(), 4000, 1, Seq(u32::MAX));
            let mut opening = opening(&names, &d);
            let mut buf = [0; 2000];
            let len = opening.emit(Instant::ZERO, &mut buf).unwrap();
            assert_eq!(len, SYN_LEN);
            let (header, at) = Header::parse(&buf[..len]).unwrap();
            assert!(header.segment.syn && header.encap.kind == Kind::Handshake);
            let hello = parse_hello(&header, at, &buf[..len]).unwrap();
            assert_eq!((hello.cid, hello.descriptor), (1, d));
            assert!(hello.prefix.len() + hello.message.len() < len - COOKIE_LEN - TAG_LEN);
            let (mut responder, answer) = syn_ack(
                &names,
                &d,
                (&Credentials::Fresh(NoiseKey::drawn(&[2; 32])), [2; 32]),
                &hello,
                77,
            )
            .unwrap();
            assert!(answer.len() <= len);
            let (header, at) = Header::parse(&answer).unwrap();
            let hello = parse_hello(&header, at, &answer).unwrap();
            assert_eq!(hello.edge, Some(77));
            let rtt = Duration::from_millis(3);
            let opened = opening.on_answer(Instant::ZERO + rtt, &names, &hello).unwrap();
            assert_eq!(opened.rtt, RoundTrip::Sample(rtt));
            let (header, at) = Header::parse(&opened.third).unwrap();
            let (prefix, message) = parse_third(&header, at, &opened.third).unwrap();
            assert!(responder.third(prefix, message).is_ok());
            assert!(parse_third(&header, at, &opened.third[..at]).is_none());
        }
    }

    #[test]
    fn cookies_do_not_make_it_be_sent_without_end() {
        let d = descriptor("239.255.1.2:8737", None);
        let names = blank_names("127.0.0.1:1".parse().unwrap(), 4000, 1, Seq(5));
        let mut opening = opening(&names, &d);
        let mut buf = [0; 2000];
        opening.emit(Instant::ZERO, &mut buf).unwrap();
        let mut sent = 0;
        for n in 0..100_u8 {
            let now = Instant::ZERO + Duration::from_millis(u64::from(n));
            opening.on_cookie(now, &[n + 1; COOKIE_LEN]);
            sent += u32::from(opening.emit(now, &mut buf).is_some());
        }
        assert!((1..=3).contains(&sent), "{sent}");
    }

    #[test]
    fn a_repeated_syn_gives_no_round_trip_and_backs_off() {
        let d = descriptor("239.255.1.2:8737", None);
        let names = blank_names("127.0.0.1:1".parse().unwrap(), 4000, 1, Seq(5));
        let mut opening = opening(&names, &d);
        let mut buf = [0; 2000];
        let mut last = Instant::ZERO;
        let mut gaps = Vec::new();
        for _ in 0..6 {
            let at = opening.deadline();
            gaps.push(at.since(last));
            last = at;
            assert!(opening.emit(at, &mut buf).is_some());
            assert!(opening.emit(at, &mut buf).is_none());
        }
        assert_eq!(gaps[2], gaps[1] * 2);
        assert_eq!(gaps[5], super::SYN_INTERVAL_MAX);
    }
}
