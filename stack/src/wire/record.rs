//! Records: what the byte stream of a control conversation is cut into.

use super::bytes::{Reader, Writer, clip, reason};
use super::descriptor::{emit_group, group_len, parse_offer};
use super::{MAX_OFFSET, OffsetList, WireError};
use crate::config::Group;
use crate::stats::{Arrived, Counters};
use core::fmt;
use std::net::IpAddr;

/// Type and length of a record, in bytes.
pub const HEAD: usize = 3;
/// Longest body, in bytes; bounds what a reader must hold before a record is whole.
pub const MAX_BODY: usize = 16_384;
/// Application bytes that either side may send before the first [`Record::Credit`].
pub const INITIAL_CREDIT: u64 = 65_536;
/// Longest reason of [`Record::CannotJoin`], in bytes of UTF-8.
pub const MAX_JOIN_REASON: usize = 256;
/// Longest reason of [`Record::Verdict`], in bytes of UTF-8.
pub const MAX_VERDICT_REASON: usize = 1024;

const APP: u8 = 0;
const CREDIT: u8 = 1;
const GROUP_KEY: u8 = 2;
const JOINED: u8 = 3;
const CANNOT_JOIN: u8 = 4;
const LEAVE: u8 = 5;
const VERDICT: u8 = 6;
const ACK_POLICY: u8 = 7;
const HAVE: u8 = 8;
const LACK: u8 = 9;
const AGAIN: u8 = 10;
const JOIN: u8 = 11;
const COUNT: u8 = 12;
const COUNTED: u8 = 13;

const KEY_LEN: usize = 32;
/// Status and four counters.
const VERDICT_FIXED: usize = 1 + 4 * 8;
/// Flags and three counts.
const COUNTED_LEN: usize = 1 + 3 * 8;
/// The flag of [`Record::Counted`]: the route to the group's source leaves by another interface.
const OTHER_WAY: u8 = 1;
/// A count that is not known.
const UNKNOWN: u64 = u64::MAX;

/// One record. Reasons are the peer's text, for people: what shows them must escape control
/// characters.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Record<'a> {
    /// Bytes of the application's private stream, at most [`MAX_BODY`].
    App(&'a [u8]),
    /// So many of the application's bytes, counted from the first, may be sent to me.
    Credit(u64),
    /// Group datagrams with this key id are sealed with this key.
    GroupKey {
        /// Key id.
        id: u8,
        /// Key.
        key: [u8; KEY_LEN],
        /// The key before it still opens what is late, for so many milliseconds after the first
        /// datagram that this one opened.
        overlap_ms: u32,
    },
    /// I joined the group.
    Joined,
    /// I cannot join the group, because of this.
    CannotJoin(&'a str),
    /// Leave the group.
    Leave,
    /// What became of the session here.
    Verdict {
        /// Whether everything arrived and the application could use it.
        ok: bool,
        /// What arrived; each of the distinct byte counts is at most [`MAX_OFFSET`].
        arrived: Arrived,
        /// Why not.
        reason: &'a str,
    },
    /// Acknowledge like this from now on.
    AckPolicy {
        /// After so many packets that want an answer, at least 1.
        every: u16,
        /// Or after so many microseconds.
        delay_us: u32,
    },
    /// I hold these bytes of the session, from elsewhere: they count as acknowledged.
    Have(OffsetList<'a>),
    /// I lack these bytes, unless I acknowledged or declared them: takes nothing back. An end of
    /// [`MAX_OFFSET`] is that of the session, wherever it lies.
    Lack(OffsetList<'a>),
    /// I lack these bytes, whatever I acknowledged or declared of them before.
    Again(OffsetList<'a>),
    /// Leave the group, and join this one: its keys and packet numbers go on. JOINED answers.
    Join {
        /// The group; its source has its family.
        group: Group,
        /// The address that its datagrams come from; `None`: the one that the sender's others come from.
        from: Option<IpAddr>,
    },
    /// Say what your host has counted of datagrams that it dropped since you joined the group.
    Count,
    /// It has counted these.
    Counted(Counters),
}

/// What stands at the front of a record stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Parsed<'a> {
    /// The beginning of a record: read more.
    Incomplete,
    /// A record of a type not known here.
    Unknown {
        /// Its length in bytes, to be skipped.
        consumed: usize,
    },
    /// A record.
    Record {
        /// The record.
        record: Record<'a>,
        /// Its length in bytes.
        consumed: usize,
    },
}

impl<'a> Record<'a> {
    /// Length once written, in bytes.
    pub fn emit_len(&self) -> usize {
        HEAD + self.body_len()
    }

    fn body_len(&self) -> usize {
        match self {
            Self::App(bytes) => bytes.len(),
            Self::Credit(_) => 8,
            Self::GroupKey { .. } => 1 + KEY_LEN + 4,
            Self::Joined | Self::Leave | Self::Count => 0,
            Self::Counted(_) => COUNTED_LEN,
            Self::AckPolicy { .. } => 6,
            Self::Have(list) | Self::Lack(list) | Self::Again(list) => list.emit_len(),
            Self::Join { group, from } => group_len(group, *from),
            Self::CannotJoin(why) => clip(why, MAX_JOIN_REASON).len(),
            Self::Verdict { reason, .. } => VERDICT_FIXED + clip(reason, MAX_VERDICT_REASON).len(),
        }
    }

    fn kind(&self) -> u8 {
        match self {
            Self::App(_) => APP,
            Self::Credit(_) => CREDIT,
            Self::GroupKey { .. } => GROUP_KEY,
            Self::Joined => JOINED,
            Self::CannotJoin(_) => CANNOT_JOIN,
            Self::Leave => LEAVE,
            Self::Verdict { .. } => VERDICT,
            Self::AckPolicy { .. } => ACK_POLICY,
            Self::Have(_) => HAVE,
            Self::Lack(_) => LACK,
            Self::Again(_) => AGAIN,
            Self::Join { .. } => JOIN,
            Self::Count => COUNT,
            Self::Counted(_) => COUNTED,
        }
    }

    /// Writes the record into the first [`Self::emit_len`] bytes of `buf`, which must be that long,
    /// and gives that length. Application bytes and ranges beyond [`MAX_BODY`] are the caller's to
    /// split ([`OffsetList::fit`]); longer reasons are cut.
    pub fn emit(&self, buf: &mut [u8]) -> usize {
        let len = self.body_len();
        debug_assert!(len <= MAX_BODY, "a record's body is too long");
        let mut w = Writer::new(buf);
        w.u8(self.kind());
        // At most MAX_BODY.
        w.u16(len as u16);
        match self {
            Self::App(bytes) => w.put(bytes),
            Self::Credit(credit) => w.u64(*credit),
            Self::GroupKey { id, key, overlap_ms } => {
                w.u8(*id);
                w.put(key);
                w.u32(*overlap_ms);
            }
            Self::Joined | Self::Leave | Self::Count => {}
            Self::Counted(counters) => emit_counted(counters, &mut w),
            Self::AckPolicy { every, delay_us } => {
                w.u16(*every);
                w.u32(*delay_us);
            }
            Self::Have(list) | Self::Lack(list) | Self::Again(list) => list.emit(&mut w),
            Self::Join { group, from } => emit_group(&mut w, group, *from),
            Self::CannotJoin(why) => w.put(clip(why, MAX_JOIN_REASON).as_bytes()),
            Self::Verdict { ok, arrived, reason } => {
                w.u8(u8::from(!ok));
                w.u64(arrived.multicast);
                w.u64(arrived.unicast);
                w.u64(arrived.repaired);
                w.u64(arrived.duplicate);
                w.put(clip(reason, MAX_VERDICT_REASON).as_bytes());
            }
        }
        w.len()
    }

    /// Reads the record at the front of `bytes`. An error ends the association: where the next
    /// record begins is then unknown, or the peer says what cannot be.
    pub fn parse(bytes: &'a [u8]) -> Result<Parsed<'a>, WireError> {
        let Some((head, rest)) = bytes.split_first_chunk::<HEAD>() else {
            return Ok(Parsed::Incomplete);
        };
        let len = usize::from(u16::from_be_bytes([head[1], head[2]]));
        if len > MAX_BODY {
            return Err(WireError::Malformed("length of a record"));
        }
        let Some(body) = rest.get(..len) else { return Ok(Parsed::Incomplete) };
        let consumed = HEAD + len;
        let mut r = Reader::new(body);
        let record = match head[0] {
            APP => Self::App(body),
            CREDIT => Self::Credit(r.u64()?),
            GROUP_KEY => Self::GroupKey { id: r.u8()?, key: r.array()?, overlap_ms: r.u32()? },
            JOINED => Self::Joined,
            CANNOT_JOIN => Self::CannotJoin(reason(body, MAX_JOIN_REASON)),
            LEAVE => Self::Leave,
            VERDICT => parse_verdict(r)?,
            ACK_POLICY => Self::AckPolicy { every: r.u16()?.max(1), delay_us: r.u32()? },
            HAVE => Self::Have(OffsetList::parse(body)?),
            LACK => Self::Lack(OffsetList::parse(body)?),
            AGAIN => Self::Again(OffsetList::parse(body)?),
            JOIN => parse_join(r)?,
            COUNT => Self::Count,
            COUNTED => parse_counted(r)?,
            _ => return Ok(Parsed::Unknown { consumed }),
        };
        Ok(Parsed::Record { record, consumed })
    }
}

fn parse_join(mut r: Reader<'_>) -> Result<Record<'_>, WireError> {
    match parse_offer(&mut r)? {
        Some((group, from)) => Ok(Record::Join { group, from }),
        None => Err(WireError::Malformed("no group to join")),
    }
}

/// A status other than 0 is a failure, so that later versions may tell failures apart.
fn parse_verdict(mut r: Reader<'_>) -> Result<Record<'_>, WireError> {
    let ok = r.u8()? == 0;
    let arrived =
        Arrived { multicast: r.u64()?, unicast: r.u64()?, repaired: r.u64()?, duplicate: r.u64()? };
    if arrived.multicast.max(arrived.unicast).max(arrived.repaired) > MAX_OFFSET {
        return Err(WireError::Malformed("byte counts of a verdict"));
    }
    Ok(Record::Verdict { ok, arrived, reason: reason(r.rest(), MAX_VERDICT_REASON) })
}

fn emit_counted(counters: &Counters, w: &mut Writer<'_>) {
    w.u8(if counters.other_way { OTHER_WAY } else { 0 });
    for count in [counters.reverse_path, counters.buffer, counters.interface] {
        w.u64(count.unwrap_or(UNKNOWN));
    }
}

fn parse_counted(mut r: Reader<'_>) -> Result<Record<'_>, WireError> {
    let other_way = r.u8()? & OTHER_WAY != 0;
    let mut count = || r.u64().map(|count| Some(count).filter(|count| *count != UNKNOWN));
    let (reverse_path, buffer, interface) = (count()?, count()?, count()?);
    Ok(Record::Counted(Counters { reverse_path, buffer, interface, other_way }))
}

/// Without the key and without the application's bytes: neither belongs into a log.
impl fmt::Debug for Record<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::App(bytes) => write!(f, "App({} bytes)", bytes.len()),
            Self::Credit(credit) => write!(f, "Credit({credit})"),
            Self::GroupKey { id, .. } => write!(f, "GroupKey({id})"),
            Self::Joined => f.write_str("Joined"),
            Self::CannotJoin(why) => write!(f, "CannotJoin({why:?})"),
            Self::Leave => f.write_str("Leave"),
            Self::AckPolicy { every, delay_us } => {
                write!(f, "AckPolicy(every {every}, {delay_us} us)")
            }
            Self::Have(list) => write!(f, "Have({list:?})"),
            Self::Lack(list) => write!(f, "Lack({list:?})"),
            Self::Again(list) => write!(f, "Again({list:?})"),
            Self::Join { group, from } => write!(f, "Join({group:?} from {from:?})"),
            Self::Count => f.write_str("Count"),
            Self::Counted(counters) => write!(f, "{counters:?}"),
            Self::Verdict { ok, arrived, reason } => {
                write!(f, "Verdict({ok}, {arrived:?}, {reason:?})")
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stream_is_cut_as_it_was_put_together() {
        let mut stream = Vec::new();
        for record in [Record::Joined, Record::App(b"hello"), Record::Credit(70_000)] {
            let at = stream.len();
            stream.resize(at + record.emit_len(), 0);
            assert_eq!(record.emit(&mut stream[at..]), record.emit_len());
        }
        stream.splice(0..0, [250, 0, 2, 1, 1]);
        let mut got = Vec::new();
        let mut at = 0;
        loop {
            match Record::parse(&stream[at..]).unwrap() {
                Parsed::Incomplete => break,
                Parsed::Unknown { consumed } => at += consumed,
                Parsed::Record { record, consumed } => {
                    got.push(record);
                    at += consumed;
                }
            }
        }
        assert_eq!(got, [Record::Joined, Record::App(b"hello"), Record::Credit(70_000)]);
        assert_eq!(at, stream.len());
    }

    #[test]
    fn an_announced_length_is_judged_before_the_body_arrives() {
        assert_eq!(Record::parse(&[APP, 0x40, 0x00]), Ok(Parsed::Incomplete));
        let expected = Err(WireError::Malformed("length of a record"));
        assert_eq!(Record::parse(&[APP, 0x40, 0x01]), expected);
        assert_eq!(Record::parse(&[CREDIT, 0, 7, 0, 0, 0, 0, 0, 0, 0]), Err(WireError::Truncated));
    }

    #[test]
    fn impossible_byte_counts_are_refused() {
        let arrived = Arrived { multicast: MAX_OFFSET + 1, ..Arrived::default() };
        let mut buf = [0; 64];
        let len = Record::Verdict { ok: true, arrived, reason: "" }.emit(&mut buf);
        assert!(Record::parse(&buf[..len]).is_err());
    }

    #[test]
    fn what_is_not_counted_is_no_count() {
        let counters = Counters { buffer: Some(3), other_way: true, ..Counters::default() };
        let record = Record::Counted(counters);
        let mut buf = [0; HEAD + COUNTED_LEN];
        assert_eq!(record.emit(&mut buf), buf.len());
        assert_eq!(buf[..4], [13, 0, 25, 1]);
        assert_eq!(buf[4..12], [0xff; 8]);
        assert_eq!(buf[12..20], 3_u64.to_be_bytes());
        let parsed = Record::parse(&buf);
        assert_eq!(parsed, Ok(Parsed::Record { record, consumed: buf.len() }));
        buf[3] = 0xfe; // flags of later versions
        let Ok(Parsed::Record { record: Record::Counted(read), .. }) = Record::parse(&buf) else {
            panic!("it is a record");
        };
        assert!(!read.other_way);
    }

    #[test]
    fn a_key_does_not_show() {
        let shown =
            format!("{:?}", Record::GroupKey { id: 3, key: [0xab; KEY_LEN], overlap_ms: 1 });
        assert_eq!(shown, "GroupKey(3)");
    }
}
