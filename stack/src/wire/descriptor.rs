//! The session descriptor: what both ends must know of a session before its first byte.

use super::bytes::{Reader, Writer};
use super::{MAX_OFFSET, WireError};
use crate::config::Group;
use std::net::{IpAddr, SocketAddr};

/// What the side that sends the descriptor can do, or does in this session. Bits without a name are
/// kept and mean nothing yet.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Features(pub u32);

impl Features {
    /// It speaks this protocol, not plain TCP.
    pub const XM: Self = Self(1 << 0);
    /// Sender: a group is offered. Receiver: it joins groups.
    pub const GROUPS: Self = Self(1 << 1);
    /// Delivery is unordered.
    pub const UNORDERED: Self = Self(1 << 2);
    /// The bytes come from a ring, once, not from a source that can be asked again.
    pub const STREAM: Self = Self(1 << 3);
    /// Sender: it asks what is held already. It keeps back what this receiver has not declared, by
    /// HAVE, LACK or AGAIN ([`super::Record`]); without this bit a receiver lacks everything from
    /// the start, though it may declare as well.
    pub const DECLARES: Self = Self(1 << 4);

    /// Whether all bits of `other` are set here.
    pub const fn contains(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }

    /// These bits and those of `other`.
    #[must_use]
    pub const fn with(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}

/// Session descriptor.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Descriptor {
    /// What is possible.
    pub features: Features,
    /// Stream offset of the first byte that this receiver gets; at most [`MAX_OFFSET`].
    pub first_offset: u64,
    /// Payload of a full segment, in bytes.
    pub segment_size: u16,
    /// Connection id of [`super::Kind::Group`] datagrams.
    pub group_cid: u64,
    /// The group. One whose source has another family, or that is not multicast, cannot be said:
    /// it is left out, and the session goes by unicast.
    pub group: Option<Group>,
    /// The address that the group's datagrams come from, of the group's family; `None`: the one that
    /// the sender's other datagrams come from.
    pub group_from: Option<IpAddr>,
}

/// Features, first offset, segment size, group's connection id, group present.
const FIXED: usize = 4 + 8 + 2 + 8 + 1;
const NO_GROUP: u8 = 0;
const GROUP_V4: u8 = 4;
const GROUP_V6: u8 = 6;

impl Descriptor {
    /// Length of the longest one, in bytes: an IPv6 group with a source, and what it is sent from.
    pub const MAX_LEN: usize = FIXED + 16 + 2 + 2 * (1 + 16);

    fn sayable_group(&self) -> Option<Group> {
        self.group.filter(|g| {
            g.addr.ip().is_multicast() && g.source.is_none_or(|s| s.is_ipv6() == g.addr.is_ipv6())
        })
    }

    pub(crate) fn emit_len(&self) -> usize {
        FIXED - 1 + self.sayable_group().map_or(1, |group| group_len(&group, self.group_from))
    }

    pub(crate) fn emit(&self, w: &mut Writer<'_>) {
        w.u32(self.features.0);
        w.u64(self.first_offset);
        w.u16(self.segment_size);
        w.u64(self.group_cid);
        let Some(group) = self.sayable_group() else { return w.u8(NO_GROUP) };
        emit_group(w, &group, self.group_from);
    }

    /// Bytes behind the known fields are a later version's and ignored.
    pub(crate) fn parse(value: &[u8]) -> Result<Self, WireError> {
        let mut r = Reader::new(value);
        let features = Features(r.u32()?);
        let first_offset = r.u64()?;
        if first_offset > MAX_OFFSET {
            return Err(WireError::Malformed("first offset beyond 2^48 - 1"));
        }
        let segment_size = r.u16()?;
        let group_cid = r.u64()?;
        let (group, group_from) = match parse_offer(&mut r)? {
            Some((group, from)) => (Some(group), from),
            None => (None, None),
        };
        Ok(Self { features, first_offset, segment_size, group_cid, group, group_from })
    }
}

/// What it is sent from can be said if it has the group's family.
fn sayable_from(group: &Group, from: Option<IpAddr>) -> Option<IpAddr> {
    from.filter(|from| from.is_ipv6() == group.addr.is_ipv6())
}

/// Bytes that [`emit_group`] writes.
pub(super) fn group_len(group: &Group, from: Option<IpAddr>) -> usize {
    let ip = if group.addr.is_ipv6() { 16 } else { 4 };
    let source = group.source.map_or(0, |_| ip);
    1 + ip + 2 + 1 + source + 1 + sayable_from(group, from).map_or(0, |_| ip)
}

/// Writes a group, its family first, and what it is sent from.
pub(super) fn emit_group(w: &mut Writer<'_>, group: &Group, from: Option<IpAddr>) {
    w.u8(if group.addr.is_ipv6() { GROUP_V6 } else { GROUP_V4 });
    w.ip(group.addr.ip());
    w.u16(group.addr.port());
    for ip in [group.source, sayable_from(group, from)] {
        w.u8(ip.is_some().into());
        if let Some(ip) = ip {
            w.ip(ip);
        }
    }
}

/// Reads what [`emit_group`] writes, or that there is none.
pub(super) fn parse_offer(
    r: &mut Reader<'_>,
) -> Result<Option<(Group, Option<IpAddr>)>, WireError> {
    let v6 = match r.u8()? {
        NO_GROUP => return Ok(None),
        GROUP_V4 => false,
        GROUP_V6 => true,
        _ => return Err(WireError::Malformed("address family of the group")),
    };
    let group = parse_group(r, v6)?;
    let from = match r.u8()? {
        0 => None,
        1 => Some(r.ip(v6)?),
        _ => return Err(WireError::Malformed("presence of what the group is sent from")),
    };
    Ok(Some((group, from)))
}

fn parse_group(r: &mut Reader<'_>, v6: bool) -> Result<Group, WireError> {
    let ip: IpAddr = r.ip(v6)?;
    if !ip.is_multicast() {
        return Err(WireError::Malformed("group address is not multicast"));
    }
    let addr = SocketAddr::new(ip, r.u16()?);
    let source = match r.u8()? {
        0 => None,
        1 => Some(r.ip(v6)?),
        _ => return Err(WireError::Malformed("presence of the group's source")),
    };
    Ok(Group { addr, source })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn features_are_sets() {
        let both = Features::XM.with(Features::UNORDERED);
        assert!(both.contains(Features::XM) && both.contains(Features::UNORDERED));
        assert!(!both.contains(Features::GROUPS));
        assert!(!both.contains(Features::XM.with(Features::STREAM)), "all bits, not any");
    }

    #[test]
    fn a_group_that_cannot_be_said_is_left_out() {
        let mixed = Group {
            addr: "232.1.2.3:8737".parse().unwrap(),
            source: Some("fe80::1".parse().unwrap()),
        };
        let unicast = Group { addr: "10.0.0.1:8737".parse().unwrap(), source: None };
        for group in [mixed, unicast] {
            let d = Descriptor {
                features: Features::XM,
                first_offset: 0,
                segment_size: 1420,
                group_cid: 1,
                group: Some(group),
                group_from: None,
            };
            let mut buf = [0; Descriptor::MAX_LEN];
            let mut w = Writer::new(&mut buf);
            d.emit(&mut w);
            let len = w.len();
            assert_eq!(len, d.emit_len());
            assert_eq!(Descriptor::parse(&buf[..len]), Ok(Descriptor { group: None, ..d }));
        }
    }
}
