//! What becomes of this host's interfaces, as the system tells by rtnetlink(7): nothing is asked for, and nobody looks
//! again and again. What is read is little, and is taken apart here: two kinds of messages, and four of
//! their attributes.

use super::sys;
use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::{self, Read};
use std::net::IpAddr;
use std::os::fd::{AsRawFd, RawFd};

/// Bytes of one read. A link's message is the longest, some 2 KiB; what is longer counts as an overflow.
const BUFFER: usize = 32 << 10;
/// Reads of one turn.
const READS: usize = 16;
/// Interfaces, and addresses, that are remembered at most; a host that has more is told of some once too often.
const MAX_KNOWN: usize = 4096;

/// Lengths of struct nlmsghdr, ifinfomsg, ifaddrmsg and rtattr (netlink(7), rtnetlink(7)).
const HEAD: usize = 16;
const LINK_HEAD: usize = 16;
const ADDRESS_HEAD: usize = 8;
const ATTRIBUTE_HEAD: usize = 4;
/// Attributes, and their length as well, are aligned to this (netlink(3)).
const ALIGN: usize = 4;

/// One message, as far as it matters here.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Message {
    /// An interface, and whether it carries frames.
    Link {
        ifindex: u32,
        name: String,
        carries: bool,
    },
    LinkGone {
        ifindex: u32,
    },
    /// An address, and whether it may be used: one of IPv6 may not before it is known that nobody else has it (RFC
    /// 4862, 5.4).
    Address {
        ifindex: u32,
        addr: IpAddr,
        usable: bool,
    },
    AddressGone {
        ifindex: u32,
        addr: IpAddr,
    },
}

/// What is to be done about an interface.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum News {
    /// Memberships on it may be forgotten: it carries frames again, or has another address.
    Back { ifindex: u32 },
    /// Likewise; it has this name, and may have taken the place of one that is gone.
    Up { ifindex: u32, name: String },
    /// An address is gone, or may not be used any more.
    Gone,
    /// Messages were lost: every interface may have changed.
    Everything,
}

/// A socket that hears of interfaces and their addresses.
#[derive(Debug)]
pub(super) struct Links {
    socket: File,
    known: Known,
    buffer: Box<[u8]>,
}

impl Links {
    pub(super) fn open() -> io::Result<Self> {
        let socket = File::from(sys::hear_of_links()?);
        let buffer = vec![0; BUFFER].into_boxed_slice();
        Ok(Self { socket, known: Known::default(), buffer })
    }

    pub(super) fn fd(&self) -> RawFd {
        self.socket.as_raw_fd()
    }

    /// What is new; and whether all of it was read.
    pub(super) fn read(&mut self) -> (Vec<News>, bool) {
        let mut news = Vec::new();
        for _ in 0..READS {
            match self.socket.read(&mut self.buffer) {
                Ok(len) => self.known.take(&self.buffer[..len], &mut news),
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => return (news, true),
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                // There was no room for some (netlink(7)).
                Err(e) if e.raw_os_error() == Some(libc::ENOBUFS) => self.known.lost(&mut news),
                Err(e) => {
                    tracing::debug!("hears nothing of interfaces: {e}");
                    return (news, true);
                }
            }
        }
        (news, false)
    }
}

/// What was heard so far.
#[derive(Debug, Default)]
struct Known {
    /// Whether an interface carries frames.
    carries: BTreeMap<u32, bool>,
    /// Addresses that may be used.
    usable: BTreeSet<(u32, IpAddr)>,
}

impl Known {
    /// Takes one read: any number of messages.
    fn take(&mut self, mut bytes: &[u8], news: &mut Vec<News>) {
        while let Some((kind, body, rest)) = split(bytes) {
            if let Some(message) = parse(kind, body) {
                news.extend(self.learn(message));
            }
            bytes = rest;
        }
        if !bytes.is_empty() {
            self.lost(news); // the last one is cut
        }
    }

    fn lost(&mut self, news: &mut Vec<News>) {
        *self = Self::default();
        news.push(News::Everything);
    }

    /// Most messages tell what was known before: that is no news. An interface that was not known may have come
    /// back just now.
    fn learn(&mut self, message: Message) -> Option<News> {
        if self.carries.len() > MAX_KNOWN || self.usable.len() > MAX_KNOWN {
            *self = Self::default();
        }
        match message {
            Message::Link { ifindex, name, carries } => {
                let before = self.carries.insert(ifindex, carries);
                (carries && before != Some(true)).then_some(News::Up { ifindex, name })
            }
            Message::LinkGone { ifindex } => {
                self.carries.remove(&ifindex);
                self.usable.retain(|(of, _)| *of != ifindex);
                None
            }
            Message::Address { ifindex, addr, usable: true } => {
                self.usable.insert((ifindex, addr)).then_some(News::Back { ifindex })
            }
            Message::Address { ifindex, addr, usable: false } => {
                self.usable.remove(&(ifindex, addr)).then_some(News::Gone)
            }
            // It need not be one of those that were heard of.
            Message::AddressGone { ifindex, addr } => {
                self.usable.remove(&(ifindex, addr));
                Some(News::Gone)
            }
        }
    }
}

/// The first message: its type, what follows its head, and the messages after it. `None` if there is none, or it is
/// cut.
fn split(bytes: &[u8]) -> Option<(u16, &[u8], &[u8])> {
    let len = u32_at(bytes, 0)? as usize;
    let body = bytes.get(HEAD..len)?;
    let rest = bytes.get(len.next_multiple_of(ALIGN)..).unwrap_or_default();
    Some((u16_at(bytes, 4)?, body, rest))
}

fn parse(kind: u16, body: &[u8]) -> Option<Message> {
    match kind {
        libc::RTM_NEWLINK => {
            let flags = u32_at(body, 8)?;
            let name = attribute(body.get(LINK_HEAD..)?, libc::IFLA_IFNAME)?;
            let name = name.split(|byte| *byte == 0).next().unwrap_or_default();
            let name = String::from_utf8_lossy(name).into_owned();
            // netdevice(7): up, and running; a carrier alone may be one that is not let through yet.
            let carries = flags & UP == UP;
            Some(Message::Link { ifindex: u32_at(body, 4)?, name, carries })
        }
        libc::RTM_DELLINK => Some(Message::LinkGone { ifindex: u32_at(body, 4)? }),
        libc::RTM_NEWADDR | libc::RTM_DELADDR => {
            let attributes = body.get(ADDRESS_HEAD..)?;
            // On links between two hosts IFA_ADDRESS is the other's (rtnetlink(7)).
            let own = attribute(attributes, libc::IFA_LOCAL);
            let addr = ip_of(own.or_else(|| attribute(attributes, libc::IFA_ADDRESS))?)?;
            let ifindex = u32_at(body, 4)?;
            if kind == libc::RTM_DELADDR {
                return Some(Message::AddressGone { ifindex, addr });
            }
            let long = attribute(attributes, libc::IFA_FLAGS).and_then(|flags| u32_at(flags, 0));
            let flags = long.unwrap_or_else(|| u32::from(body[2]));
            let usable = flags & (libc::IFA_F_TENTATIVE | libc::IFA_F_DADFAILED) == 0;
            Some(Message::Address { ifindex, addr, usable })
        }
        _ => None,
    }
}

/// Of an interface that carries frames.
const UP: u32 = (libc::IFF_UP | libc::IFF_RUNNING) as u32;

/// The value of the first attribute of this type.
fn attribute(mut bytes: &[u8], wanted: u16) -> Option<&[u8]> {
    loop {
        let len = usize::from(u16_at(bytes, 0)?);
        let value = bytes.get(ATTRIBUTE_HEAD..len)?;
        if u16_at(bytes, 2)? == wanted {
            return Some(value);
        }
        bytes = bytes.get(len.next_multiple_of(ALIGN)..)?;
    }
}

fn ip_of(value: &[u8]) -> Option<IpAddr> {
    let v4 = <[u8; 4]>::try_from(value).map(IpAddr::from);
    v4.or_else(|_| <[u8; 16]>::try_from(value).map(IpAddr::from)).ok()
}

fn u16_at(bytes: &[u8], at: usize) -> Option<u16> {
    let bytes = bytes.get(at..)?.first_chunk()?;
    Some(u16::from_ne_bytes(*bytes))
}

fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    let bytes = bytes.get(at..)?.first_chunk()?;
    Some(u32::from_ne_bytes(*bytes))
}

#[cfg(test)]
#[path = "netlink_tests.rs"]
mod tests;
