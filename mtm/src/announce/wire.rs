//! An announcement, byte for byte (`docs/mtm.md`, "An announcement").

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

/// Version of the layout.
pub(super) const VERSION: u8 = 1;
/// What is readable to all: version, request, master's key, incarnation, counter, life.
pub(super) const HEADER_LEN: usize = 2 + 32 + 8 + 8 + 16;
/// Hosts that a roster has, at most: a bit for each of them leaves a third of a datagram to names.
pub const MAX_ROSTER: usize = 4096;

/// What a master asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Request {
    /// MRQ: a file or a batch of entries is about to be sent.
    Transfer,
    /// MDR: directories, which carry no data.
    Directories,
}

impl Request {
    pub(super) fn code(self) -> u8 {
        match self {
            Self::Transfer => 1,
            Self::Directories => 2,
        }
    }

    pub(super) fn of(code: u8) -> Option<Self> {
        [Self::Transfer, Self::Directories].into_iter().find(|request| request.code() == code)
    }
}

/// The hosts of a roster that may take part: a bit for each, the first one the lowest of the first byte.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Allowed(Vec<u8>);

impl Allowed {
    /// These places of the roster, each below [`MAX_ROSTER`]; others are left out.
    pub fn of(places: impl IntoIterator<Item = usize>) -> Self {
        let mut bits = Vec::new();
        for place in places.into_iter().filter(|place| *place < MAX_ROSTER) {
            if bits.len() <= place / 8 {
                bits.resize(place / 8 + 1, 0);
            }
            bits[place / 8] |= 1 << (place % 8);
        }
        Self(bits)
    }

    /// Whether the host at this place may.
    pub fn has(&self, place: usize) -> bool {
        self.0.get(place / 8).is_some_and(|byte| byte >> (place % 8) & 1 == 1)
    }
}

/// What everybody on the channel reads.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Open {
    /// Names the job, and says nothing of it.
    pub job: [u8; 16],
    /// The revision of the tree.
    pub version: u32,
    /// Where the transfer will take place, if by a group.
    pub group: Option<SocketAddr>,
    /// BLAKE3 of the manifest.
    pub digest: [u8; 32],
    /// Who may take part.
    pub allowed: Allowed,
}

impl Open {
    /// Appends it.
    pub(super) fn emit(&self, out: &mut Vec<u8>) {
        out.extend(self.job);
        out.extend(self.version.to_be_bytes());
        match self.group.map(|group| (group.ip(), group.port())) {
            None => out.push(0),
            Some((IpAddr::V4(ip), port)) => {
                out.push(4);
                out.extend(ip.octets());
                out.extend(port.to_be_bytes());
            }
            Some((IpAddr::V6(ip), port)) => {
                out.push(6);
                out.extend(ip.octets());
                out.extend(port.to_be_bytes());
            }
        }
        out.extend(self.digest);
        let bits = &self.allowed.0;
        out.extend(u16::try_from(bits.len()).unwrap_or(u16::MAX).to_be_bytes());
        out.extend(bits);
    }

    /// Takes it from the front of these bytes; what is left.
    pub(super) fn parse(bytes: &[u8]) -> Option<(Self, &[u8])> {
        let (job, rest) = bytes.split_first_chunk::<16>()?;
        let (version, rest) = rest.split_first_chunk::<4>()?;
        let (family, rest) = rest.split_first()?;
        let (ip, rest): (Option<IpAddr>, _) = match family {
            0 => (None, rest),
            4 => {
                let (octets, rest) = rest.split_first_chunk::<4>()?;
                (Some(Ipv4Addr::from(*octets).into()), rest)
            }
            6 => {
                let (octets, rest) = rest.split_first_chunk::<16>()?;
                (Some(Ipv6Addr::from(*octets).into()), rest)
            }
            _ => return None,
        };
        let (group, rest) = match ip {
            None => (None, rest),
            Some(ip) => {
                let (port, rest) = rest.split_first_chunk::<2>()?;
                (Some(SocketAddr::new(ip, u16::from_be_bytes(*port))), rest)
            }
        };
        let (digest, rest) = rest.split_first_chunk::<32>()?;
        let (len, rest) = rest.split_first_chunk::<2>()?;
        let len = usize::from(u16::from_be_bytes(*len));
        if len > MAX_ROSTER / 8 || rest.len() < len {
            return None;
        }
        let (bits, rest) = rest.split_at(len);
        let open = Self {
            job: *job,
            version: u32::from_be_bytes(*version),
            group,
            digest: *digest,
            allowed: Allowed(bits.to_vec()),
        };
        Some((open, rest))
    }
}
