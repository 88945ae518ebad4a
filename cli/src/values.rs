//! Readers for the values of options.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

/// Port of the daemon, and of a group for which no other is given.
pub const PORT: u16 = 8737;

/// Port of the group of announcements for which no other is given: the next one.
const ANNOUNCEMENTS: u16 = PORT + 1;

/// How long a host may take to answer, unless it is said.
pub const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// Longest time-out that can be asked for: a day.
const LONGEST: Duration = Duration::from_secs(24 * 60 * 60);

/// Reads `ADDR` or `ADDR:PORT`; an IPv6 address with a port stands in brackets. Without a port it
/// is `port`.
pub fn addr(text: &str, port: u16) -> Result<SocketAddr, String> {
    let bare = text.strip_prefix('[').and_then(|t| t.strip_suffix(']')).unwrap_or(text);
    bare.parse::<IpAddr>()
        .map(|ip| SocketAddr::new(ip, port))
        .or_else(|_| text.parse::<SocketAddr>())
        .map_err(|_| "not an address, nor an address and a port".to_owned())
}

/// Reads a multicast group: `ADDR` or `ADDR:PORT`.
pub fn group(text: &str) -> Result<SocketAddr, String> {
    group_or(text, PORT)
}

/// Reads the group of announcements. Its port is the one behind [`PORT`] unless another is said: a daemon
/// has [`PORT`] for itself.
pub fn announcements(text: &str) -> Result<SocketAddr, String> {
    group_or(text, ANNOUNCEMENTS)
}

fn group_or(text: &str, port: u16) -> Result<SocketAddr, String> {
    let addr = addr(text, port)?;
    if !addr.ip().is_multicast() {
        return Err(format!("{} is not a multicast address", addr.ip()));
    }
    if addr.port() == 0 {
        return Err("port 0 cannot be sent to".to_owned());
    }
    Ok(addr)
}

/// Reads a port that can be sent to.
pub fn port(text: &str) -> Result<u16, String> {
    match text.parse() {
        Ok(0) | Err(_) => Err("not a port between 1 and 65535".to_owned()),
        Ok(port) => Ok(port),
    }
}

/// Reads a rate in bits per second: a number, with k, M or G for thousands, millions and
/// thousands of millions.
pub fn rate(text: &str) -> Result<u64, String> {
    let bad = || "not a rate such as 900M, 1.5G or 64k (bits per second)".to_owned();
    let (number, unit) = match text.char_indices().last() {
        Some((at, 'k' | 'K')) => (&text[..at], 1e3),
        Some((at, 'm' | 'M')) => (&text[..at], 1e6),
        Some((at, 'g' | 'G')) => (&text[..at], 1e9),
        _ => (text, 1.0),
    };
    let number = decimal(number).ok_or_else(bad)?;
    let rate = number * unit;
    if !(1000.0..=1e13).contains(&rate) {
        return Err("a rate is between 1k and 10000G bits per second".to_owned());
    }
    #[expect(clippy::cast_sign_loss, reason = "between the bounds above")]
    Ok(rate as u64)
}

/// Reads a share in percent, a whole number, with or without its sign.
pub fn percent(text: &str) -> Result<u8, String> {
    let number = text.strip_suffix('%').unwrap_or(text).parse();
    let share = number.ok().filter(|share| *share <= 100);
    share.ok_or_else(|| "a share is a whole number between 0 and 100, in percent".to_owned())
}

/// Reads a number of bytes: a number, with k, M, G or T for thousands, millions and so on, as rates
/// have them.
pub fn size(text: &str) -> Result<u64, String> {
    let bad = || "not a size such as 10G, 1.5T or 4096 (bytes)".to_owned();
    let (number, unit) = match text.char_indices().last() {
        Some((at, 'k' | 'K')) => (&text[..at], 1e3),
        Some((at, 'm' | 'M')) => (&text[..at], 1e6),
        Some((at, 'g' | 'G')) => (&text[..at], 1e9),
        Some((at, 't' | 'T')) => (&text[..at], 1e12),
        _ => (text, 1.0),
    };
    let size = decimal(number).ok_or_else(bad)? * unit;
    if size > 1e18 {
        return Err("a size is at most 1000000T bytes".to_owned());
    }
    #[expect(clippy::cast_sign_loss, reason = "has no sign, and the bound above")]
    Ok(size as u64)
}

/// Reads a time: seconds, or a number with ms, s or m.
pub fn time(text: &str) -> Result<Duration, String> {
    let bad = || "not a time such as 10, 10s, 500ms or 2m".to_owned();
    let (number, unit) = if let Some(number) = text.strip_suffix("ms") {
        (number, 0.001)
    } else if let Some(number) = text.strip_suffix('s') {
        (number, 1.0)
    } else if let Some(number) = text.strip_suffix('m') {
        (number, 60.0)
    } else {
        (text, 1.0)
    };
    let seconds = decimal(number).ok_or_else(bad)? * unit;
    if !(0.001..=LONGEST.as_secs_f64()).contains(&seconds) {
        return Err("a time is between 1ms and a day".to_owned());
    }
    Ok(Duration::from_secs_f64(seconds))
}

/// A decimal number without sign or exponent.
fn decimal(text: &str) -> Option<f64> {
    let plain = text.starts_with(|c: char| c.is_ascii_digit())
        && text.chars().all(|c| c.is_ascii_digit() || c == '.');
    text.parse().ok().filter(|_| plain)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn groups_are_read_with_and_without_port() {
        let read = |text| group(text).map(|g| g.to_string());
        assert_eq!(read("239.255.1.2"), Ok("239.255.1.2:8737".to_owned()));
        assert_eq!(read("232.1.2.3:9000"), Ok("232.1.2.3:9000".to_owned()));
        assert_eq!(read("ff15::1"), Ok("[ff15::1]:8737".to_owned()));
        assert_eq!(read("[ff15::1]"), Ok("[ff15::1]:8737".to_owned()));
        assert_eq!(read("[ff15::1]:9"), Ok("[ff15::1]:9".to_owned()));
        let announced = |text| announcements(text).map(|g| g.to_string());
        assert_eq!(announced("ff15::1"), Ok("[ff15::1]:8738".to_owned()));
        assert_eq!(announced("239.255.1.2:9"), Ok("239.255.1.2:9".to_owned()));
        for bad in ["", "10.0.0.1", "::1", "239.255.1.2:", "239.255.1.2:0", "group", "[ff15::1"] {
            assert!(group(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn rates_are_in_bits_and_decimal() {
        let read = |text| rate(text).ok();
        assert_eq!(
            ["900M", "1.5G", "64k", "64K", "1000", "0.5m"].map(read),
            [900_000_000, 1_500_000_000, 64_000, 64_000, 1000, 500_000].map(Some)
        );
        for bad in ["", "M", "0", "-1M", "1e9", "12 M", "inf", "nan", "1T", "900", "99999G", "é"] {
            assert_eq!(read(bad), None, "{bad}");
        }
    }

    #[test]
    fn sizes_are_in_bytes_and_decimal() {
        let read = |text| size(text).ok();
        assert_eq!(
            ["10G", "1.5T", "64k", "0", "4096", "0.5m"].map(read),
            [10_000_000_000, 1_500_000_000_000, 64_000, 0, 4096, 500_000].map(Some)
        );
        for bad in ["", "G", "-1", "1e9", "10 G", "inf", "nan", "10GB", "10Gi", "1000001T", "é"] {
            assert_eq!(read(bad), None, "{bad}");
        }
    }

    #[test]
    fn times_are_seconds_unless_they_say_otherwise() {
        let read = |text| time(text).ok().map(|t| t.as_millis());
        assert_eq!(
            ["10", "10s", "500ms", "2m", "0.5"].map(read),
            [10_000, 10_000, 500, 120_000, 500].map(Some)
        );
        for bad in ["", "s", "0", "-1", "1h", "1e3", "86401", "soon"] {
            assert_eq!(read(bad), None, "{bad}");
        }
    }

    #[test]
    fn ports_are_those_that_can_be_sent_to() {
        assert_eq!((port("1"), port("65535")), (Ok(1), Ok(65_535)));
        for bad in ["0", "65536", "-1", "http", ""] {
            assert!(port(bad).is_err(), "{bad}");
        }
    }
}
