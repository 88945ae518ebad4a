//! Where a program listens: an address of this host, a port, or both.

use crate::values;
use std::net::IpAddr;

/// An address, a port, or both.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Listen {
    ip: Option<IpAddr>,
    port: Option<u16>,
}

impl Listen {
    /// `None`: every address of this host.
    pub fn ip(self) -> Option<IpAddr> {
        self.ip
    }

    /// `port` where it has none.
    pub fn port(self, port: u16) -> u16 {
        self.port.unwrap_or(port)
    }

    /// Reads `[ADDR][:PORT]`.
    ///
    /// # Errors
    ///
    /// It is neither, or a group.
    pub fn parse(text: &str) -> Result<Self, String> {
        if let Some(port) =
            text.strip_prefix(':').filter(|port| port.bytes().all(|b| b.is_ascii_digit()))
        {
            let port =
                port.parse().map_err(|_| format!("{port} is not a port between 0 and 65535"))?;
            return Ok(Self { ip: None, port: Some(port) });
        }
        // Whatever port is assumed, an address with its own keeps it.
        let (one, two) = (values::addr(text, 1)?, values::addr(text, 2)?);
        let port = (one == two).then(|| one.port());
        if one.ip().is_multicast() {
            return Err(format!("{} is a group, not an address of this host", one.ip()));
        }
        Ok(Self { ip: Some(one.ip()), port })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::SocketAddr;

    #[test]
    fn a_port_of_its_own_is_kept() {
        let addr = |text| {
            let listen = Listen::parse(text)?;
            let (ip, port) = (listen.ip(), listen.port(7));
            Ok::<_, String>(
                ip.map_or_else(|| format!(":{port}"), |ip| SocketAddr::new(ip, port).to_string()),
            )
        };
        assert_eq!(addr("10.0.0.1"), Ok("10.0.0.1:7".to_owned()));
        assert_eq!(addr("10.0.0.1:1"), Ok("10.0.0.1:1".to_owned()));
        assert_eq!(addr("127.0.0.1:0"), Ok("127.0.0.1:0".to_owned()));
        assert_eq!(addr("::"), Ok("[::]:7".to_owned()));
        assert_eq!(addr("[::1]:9"), Ok("[::1]:9".to_owned()));
        assert_eq!((addr(":0"), addr(":9")), (Ok(":0".to_owned()), Ok(":9".to_owned())));
        for bad in ["", ":", ":65536", ":-1", "host", "239.255.0.1", "10.0.0.1:", "10.0.0.1:65536"]
        {
            assert!(Listen::parse(bad).is_err(), "{bad}");
        }
    }
}
