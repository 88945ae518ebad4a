//! TLVs: the typed values that may stand before the stream bytes in a payload.

use super::bytes::{Reader, Writer, clip, reason};
use super::{Ack, Descriptor, MAX_PN, PnMap, WireError};

/// Length field of the whole area.
pub const AREA_HEAD: usize = 2;
/// Type and length of one TLV.
pub const TLV_HEAD: usize = 3;
/// TLVs of one area. Eleven types are known; a bound on the work that one datagram can cause.
pub const MAX_TLVS: usize = 32;
/// Longest reason of an [`Tlv::Abort`], in bytes of UTF-8.
pub const MAX_REASON: usize = 256;

const PAD: u8 = 1;
const HANDSHAKE: u8 = 2;
const CID: u8 = 3;
const DESCRIPTOR: u8 = 4;
const ACK: u8 = 5;
const PING: u8 = 6;
const ABORT: u8 = 7;
const MAP: u8 = 8;
const NEWEST: u8 = 9;
const PATH_CHALLENGE: u8 = 10;
const PATH_RESPONSE: u8 = 11;

/// Longest map of a [`Tlv::Map`], in bytes: beside it an ACK block has room in a short datagram.
pub const MAX_MAP: usize = 768;

/// Longest handshake message, in bytes. The longest so far has 225: the suite's number, then the second
/// message of Noise XX, that is two keys of 32 bytes and two tags of 16 (Noise Protocol Framework, revision
/// 34, 7.5) around a digest of 32 and a certificate of 96.
pub const MAX_HANDSHAKE: usize = 256;

/// One typed value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tlv<'a> {
    /// So many bytes that mean nothing.
    Pad(usize),
    /// A handshake message.
    Handshake(&'a [u8]),
    /// "Send to me with this connection id."
    Cid(u64),
    /// The session.
    Descriptor(Descriptor),
    /// What arrived.
    Ack(Ack<'a>),
    /// "Acknowledge this datagram."
    Ping,
    /// The association is over; the reason is for people. It is the peer's text, so what shows it
    /// must escape control characters.
    Abort(&'a str),
    /// Which of the group's packet numbers arrived, where they are too many for ranges.
    Map(PnMap<'a>),
    /// The newest packet number that the sender has sent to the group.
    Newest(u64),
    /// "Are you there? Then answer this" (RFC 9000, 19.17).
    PathChallenge(u64),
    /// The answer, which repeats it (RFC 9000, 19.18).
    PathResponse(u64),
}

impl<'a> Tlv<'a> {
    /// `None` for a type not known here.
    fn parse(kind: u8, value: &'a [u8]) -> Result<Option<Self>, WireError> {
        Ok(Some(match kind {
            PAD => Self::Pad(value.len()),
            HANDSHAKE if value.len() > MAX_HANDSHAKE => {
                return Err(WireError::Malformed("length of a handshake message"));
            }
            HANDSHAKE => Self::Handshake(value),
            CID => Self::Cid(Reader::new(value).u64()?),
            DESCRIPTOR => Self::Descriptor(Descriptor::parse(value)?),
            ACK => Self::Ack(Ack::parse(value)?),
            PING => Self::Ping,
            ABORT => Self::Abort(reason(value, MAX_REASON)),
            MAP => Self::Map(PnMap::parse(value)?),
            NEWEST => Self::Newest(newest(value)?),
            PATH_CHALLENGE => Self::PathChallenge(Reader::new(value).u64()?),
            PATH_RESPONSE => Self::PathResponse(Reader::new(value).u64()?),
            _ => return Ok(None),
        }))
    }

    fn kind(&self) -> u8 {
        match self {
            Self::Pad(_) => PAD,
            Self::Handshake(_) => HANDSHAKE,
            Self::Cid(_) => CID,
            Self::Descriptor(_) => DESCRIPTOR,
            Self::Ack(_) => ACK,
            Self::Ping => PING,
            Self::Abort(_) => ABORT,
            Self::Map(_) => MAP,
            Self::Newest(_) => NEWEST,
            Self::PathChallenge(_) => PATH_CHALLENGE,
            Self::PathResponse(_) => PATH_RESPONSE,
        }
    }

    /// Writes the value at the start of `buf` and gives its length; `None` if it does not fit.
    fn emit(&self, buf: &mut [u8]) -> Option<usize> {
        if let Self::Ack(ack) = self {
            return ack.emit(buf);
        }
        let len = match self {
            Self::Pad(n) => *n,
            Self::Handshake(message) if message.len() > MAX_HANDSHAKE => return None,
            Self::Handshake(message) => message.len(),
            Self::Cid(_) | Self::Newest(_) | Self::PathChallenge(_) | Self::PathResponse(_) => 8,
            Self::Descriptor(d) => d.emit_len(),
            Self::Abort(text) => clip(text, MAX_REASON).len(),
            Self::Map(map) => 8 + map.bits.len(),
            Self::Ping | Self::Ack(_) => 0,
        };
        let mut w = Writer::new(buf.get_mut(..len)?);
        match self {
            Self::Pad(n) => w.zeros(*n),
            Self::Handshake(message) => w.put(message),
            Self::Cid(n) | Self::Newest(n) | Self::PathChallenge(n) | Self::PathResponse(n) => {
                w.u64(*n);
            }
            Self::Descriptor(d) => d.emit(&mut w),
            Self::Abort(text) => w.put(clip(text, MAX_REASON).as_bytes()),
            Self::Map(map) => map.emit(&mut w),
            Self::Ping | Self::Ack(_) => {}
        }
        Some(len)
    }
}

fn newest(value: &[u8]) -> Result<u64, WireError> {
    let pn = Reader::new(value).u64()?;
    if pn > MAX_PN {
        return Err(WireError::Malformed("newest packet number beyond 2^60 - 1"));
    }
    Ok(pn)
}

/// Writes a TLV area into a slice.
#[derive(Debug)]
pub struct TlvWriter<'a> {
    buf: &'a mut [u8],
    at: usize,
}

impl<'a> TlvWriter<'a> {
    /// `buf` is all the room that the area may take, its two bytes of length included.
    pub fn new(buf: &'a mut [u8]) -> Self {
        let limit = buf.len().min(AREA_HEAD + usize::from(u16::MAX));
        let buf = &mut buf[..limit];
        Self { at: AREA_HEAD.min(buf.len()), buf }
    }

    /// Appends a TLV; `false`, and nothing is appended, if it does not fit. An ACK leaves out its
    /// oldest ranges to fit, and does not if not even the newest of each space has room.
    pub fn push(&mut self, tlv: &Tlv<'_>) -> bool {
        let Some((head, room)) = self.buf[self.at..].split_at_mut_checked(TLV_HEAD) else {
            return false;
        };
        let Some(len) = tlv.emit(room) else { return false };
        let mut w = Writer::new(head);
        w.u8(tlv.kind());
        // `new` made the room no longer than a u16 can say.
        w.u16(len as u16);
        self.at += TLV_HEAD + len;
        true
    }

    /// Bytes left for further TLVs, of which each takes 3 and its value. To fill the room up, push
    /// a [`Tlv::Pad`] of 3 less than this.
    pub fn remaining(&self) -> usize {
        self.buf.len() - self.at
    }

    /// Completes the area and gives its length, that of its length field included: 0 only if the
    /// room had not even the two bytes of that field, and there is no area at all.
    pub fn finish(self) -> usize {
        let Some(len) = self.at.checked_sub(AREA_HEAD) else { return 0 };
        // `new` made the room no longer than a u16 can say.
        Writer::new(self.buf).u16(len as u16);
        self.at
    }
}

/// Splits a payload whose header says that it begins with a TLV area: the TLVs, and the stream
/// bytes behind them.
pub fn split(payload: &[u8]) -> Result<(Tlvs<'_>, &[u8]), WireError> {
    let mut r = Reader::new(payload);
    let len = r.u16()?;
    let area = r.take(usize::from(len))?;
    Ok((Tlvs { area: Reader::new(area), seen: 0 }, r.rest()))
}

/// The TLVs of an area, unknown ones skipped; an error is the last item. Of more than [`MAX_TLVS`]
/// the last item given is an error.
#[derive(Debug, Clone)]
pub struct Tlvs<'a> {
    area: Reader<'a>,
    seen: usize,
}

impl<'a> Tlvs<'a> {
    /// Bytes of the area that were not looked at yet.
    pub(crate) fn rest_len(&self) -> usize {
        self.area.rest().len()
    }

    fn step(&mut self) -> Result<Option<Tlv<'a>>, WireError> {
        self.seen += 1;
        let kind = self.area.u8()?;
        let len = self.area.u16()?;
        let value = self.area.take(usize::from(len))?;
        if self.seen == MAX_TLVS && !self.area.rest().is_empty() {
            return Err(WireError::Malformed("number of TLVs"));
        }
        Tlv::parse(kind, value)
    }
}

impl<'a> Iterator for Tlvs<'a> {
    type Item = Result<Tlv<'a>, WireError>;

    fn next(&mut self) -> Option<Self::Item> {
        while !self.area.rest().is_empty() {
            match self.step() {
                Ok(None) => {}
                Ok(Some(tlv)) => return Some(Ok(tlv)),
                Err(e) => {
                    self.area = Reader::new(&[]);
                    return Some(Err(e));
                }
            }
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn area(tlvs: &[&[u8]]) -> Vec<u8> {
        let body = tlvs.concat();
        let len = u16::try_from(body.len()).unwrap().to_be_bytes();
        [&len[..], &body].concat()
    }

    #[test]
    fn unknown_types_are_skipped_and_data_follows() {
        let mut payload = area(&[&[200, 0, 2, 9, 9], &[PING, 0, 0], &[0, 0, 0], &[PAD, 0, 1, 7]]);
        payload.extend([0xda, 0x7a]);
        let (tlvs, data) = split(&payload).unwrap();
        assert_eq!(tlvs.collect::<Vec<_>>(), [Ok(Tlv::Ping), Ok(Tlv::Pad(1))]);
        assert_eq!(data, [0xda, 0x7a]);
    }

    #[test]
    fn an_error_is_the_last_item() {
        let payload = area(&[&[CID, 0, 1, 9], &[PING, 0, 0]]);
        let items: Vec<_> = split(&payload).unwrap().0.collect();
        assert_eq!(items, [Err(WireError::Truncated)]);
        let payload = area(&[&[PING, 0, 0], &[PING, 0]]);
        let items: Vec<_> = split(&payload).unwrap().0.collect();
        assert_eq!(items, [Ok(Tlv::Ping), Err(WireError::Truncated)]);
        assert!(split(&[0, 1]).is_err() && split(&[0]).is_err());
    }

    #[test]
    fn the_limit_counts_unknown_ones_too() {
        let ping: &[u8] = &[PING, 0, 0];
        let unknown: &[u8] = &[99, 0, 0];
        let full = area(&[ping; MAX_TLVS]);
        assert_eq!(split(&full).unwrap().0.flatten().count(), MAX_TLVS);
        for kind in [ping, unknown] {
            let over = area(&[kind; MAX_TLVS + 1]);
            let items: Vec<_> = split(&over).unwrap().0.collect();
            assert!(items.len() <= MAX_TLVS);
            assert_eq!(items.last(), Some(&Err(WireError::Malformed("number of TLVs"))));
        }
    }

    #[test]
    fn what_does_not_fit_changes_nothing() {
        let mut buf = [0; AREA_HEAD + 2 * TLV_HEAD + 8];
        let mut w = TlvWriter::new(&mut buf);
        assert!(w.push(&Tlv::Cid(5)));
        assert!(!w.push(&Tlv::Cid(6)));
        assert!(!w.push(&Tlv::Pad(1)));
        assert!(!w.push(&Tlv::Handshake(&[0; MAX_HANDSHAKE + 1])));
        assert_eq!(w.remaining(), TLV_HEAD);
        assert!(w.push(&Tlv::Ping));
        assert_eq!((w.remaining(), w.finish()), (0, buf.len()));
        let items: Vec<_> = split(&buf).unwrap().0.collect();
        assert_eq!(items, [Ok(Tlv::Cid(5)), Ok(Tlv::Ping)]);
    }

    #[test]
    fn an_area_needs_room_for_its_length() {
        for n in 0..AREA_HEAD {
            let mut buf = [0; AREA_HEAD];
            let mut w = TlvWriter::new(&mut buf[..n]);
            assert!(!w.push(&Tlv::Ping));
            assert_eq!((w.remaining(), w.finish()), (0, 0));
        }
    }

    #[test]
    fn a_long_reason_is_cut_between_characters() {
        let long = "é".repeat(200);
        let mut buf = [0; 300];
        let mut w = TlvWriter::new(&mut buf);
        assert!(w.push(&Tlv::Abort(&format!("x{long}"))));
        let len = w.finish();
        assert_eq!(len, AREA_HEAD + TLV_HEAD + MAX_REASON - 1);
        let items: Vec<_> = split(&buf[..len]).unwrap().0.collect();
        assert_eq!(items, [Ok(Tlv::Abort(&format!("x{}", "é".repeat(127))))]);
    }
}
