//! Where packets of the group were lost that a member did not hear, as its host's own counters say.

use core::fmt;

/// Datagrams that a receiver's host has dropped itself since the receiver joined its group, by its system's counters. A
/// train that is not taken apart counts as one. `None`: they are not counted there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Counters {
    /// Of the whole host, by the reverse-path filter: the source is reached through another interface (RFC 3704, 2.2).
    pub reverse_path: Option<u64>,
    /// In the group's socket, for want of room in its receive buffer.
    pub buffer: Option<u64>,
    /// On the interface that the group is joined on, by its queue or its driver.
    pub interface: Option<u64>,
    /// The route to where the group comes from leaves by another interface than that.
    pub other_way: bool,
}

/// What became of packets that a member did not hear.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lost {
    /// Its host's reverse-path filter dropped them.
    ReversePath {
        /// So many datagrams lately, since it joined or was reported the last time but one.
        dropped: u64,
        /// The route to where the group comes from leaves by another interface.
        other_way: bool,
    },
    /// They found no room in the receive buffer of the group's socket there.
    Buffer {
        /// So many times lately.
        times: u64,
    },
    /// The interface there dropped them.
    Interface {
        /// So many datagrams lately, since it joined or was reported the last time but one.
        dropped: u64,
    },
    /// They were lost before anything there counted them: in a firewall, or on the way.
    Before,
}

impl fmt::Display for Lost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::ReversePath { dropped, other_way } => {
                let (count, s) = counted(*dropped);
                write!(f, "the reverse-path filter has dropped {count} packet{s} there (rp_filter")?;
                let way = if *other_way { "; the route back leaves by another interface)" } else { ")" };
                f.write_str(way)
            }
            Self::Buffer { times } => {
                let (count, s) = counted(*times);
                write!(f, "its socket's buffer overflowed {count} time{s} (net.core.rmem_max)")
            }
            Self::Interface { dropped } => {
                let (count, s) = counted(*dropped);
                write!(f, "the interface has dropped {count} packet{s} there")
            }
            Self::Before => f.write_str(
                "the group does not arrive there; a firewall or a switch drops it (docs/firewalls.md)",
            ),
        }
    }
}

/// A count in groups of three digits, and the ending of what is counted.
fn counted(count: u64) -> (String, &'static str) {
    let digits = count.to_string();
    let mut out = String::new();
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    (out, if count == 1 { "" } else { "s" })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_can_be_read() {
        let said = |dropped| Lost::Interface { dropped }.to_string();
        assert_eq!(said(1), "the interface has dropped 1 packet there");
        assert!(said(999).contains(" 999 packets "));
        assert!(said(1234).contains(" 1,234 "));
        assert!(said(100_000).contains(" 100,000 "));
        assert!(said(12_345_678).contains(" 12,345,678 "));
        let back = |other_way| Lost::ReversePath { dropped: 7, other_way }.to_string();
        let said = "the reverse-path filter has dropped 7 packets there (rp_filter";
        assert_eq!(back(false), format!("{said})"));
        assert_eq!(back(true), format!("{said}; the route back leaves by another interface)"));
    }
}
