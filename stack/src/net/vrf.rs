//! VRFs, in which interfaces have a routing table of their own (Documentation/networking/vrf.rst of Linux). What comes in
//! by such an interface reaches only sockets that are bound to it or to its VRF's device, unless
//! `net.ipv4.udp_l3mdev_accept` says otherwise, and what any other socket sends goes by the main table. So sockets for
//! an interface of a VRF are bound to the VRF's device.

use super::sys;
use socket2::Socket;
use std::path::Path;
use std::{fs, io};

/// Where the system tells of interfaces (sysfs(5)).
const INTERFACES: &str = "/sys/class/net";

/// The device of the VRF that an interface is in; `None` if it is in none.
pub(crate) fn of(ifindex: u32) -> Option<String> {
    let name = sys::name_of(ifindex).ok()?;
    let device = told(Path::new(INTERFACES), &name)?;
    // In a container that folder may tell of another network.
    sys::index_of(&device).is_ok().then_some(device)
}

fn told(interfaces: &Path, name: &str) -> Option<String> {
    let master = fs::read_link(interfaces.join(name).join("master")).ok()?;
    let master = master.file_name()?.to_str()?;
    let uevent = fs::read_to_string(interfaces.join(master).join("uevent")).ok()?;
    // A bridge, a bond or a team is a master as well.
    uevent.lines().any(|line| line == "DEVTYPE=vrf").then(|| master.to_owned())
}

/// Binds a socket to the device. If it is bound to that already, as whatever `ip vrf exec` has started, that is all:
/// to do it once more needs a right that few have (`CAP_NET_RAW`, socket(7)).
pub(super) fn enter(io: &Socket, device: Option<&str>) -> io::Result<()> {
    let Some(device) = device.map(str::as_bytes) else { return Ok(()) };
    if io.device()?.as_deref() == Some(device) {
        return Ok(());
    }
    io.bind_device(Some(device))
}

#[cfg(test)]
mod tests {
    use super::*;
    use socket2::{Domain, Type};
    use std::os::unix::fs::symlink;

    #[test]
    fn the_device_is_that_of_a_vrf_and_of_nothing_else() {
        let dir = tempfile::tempdir().unwrap();
        let device = |name: &str, uevent: &str| {
            fs::create_dir(dir.path().join(name)).unwrap();
            fs::write(dir.path().join(name).join("uevent"), uevent).unwrap();
        };
        device("blue", "DEVTYPE=vrf\nINTERFACE=blue\nIFINDEX=7\n");
        device("br0", "DEVTYPE=bridge\nINTERFACE=br0\nIFINDEX=8\n");
        for (name, master) in [("eth0", "../blue"), ("eth1", "../br0"), ("eth2", "../gone")] {
            device(name, &format!("INTERFACE={name}\n"));
            symlink(master, dir.path().join(name).join("master")).unwrap();
        }
        device("eth3", "INTERFACE=eth3\n");
        let found = ["eth0", "eth1", "eth2", "eth3", "blue", "eth9"].map(|n| told(dir.path(), n));
        assert_eq!(found, [Some("blue".to_owned()), None, None, None, None, None]);
    }

    #[test]
    fn interfaces_of_this_host_that_are_in_none_have_none() {
        let lo = sys::addresses().unwrap().into_iter().find(|owned| owned.loopback).unwrap();
        assert_eq!(of(lo.ifindex), None);
        assert_eq!(of(u32::MAX), None);
    }

    #[test]
    fn a_socket_is_bound_to_it_also_if_it_is_already() {
        let socket = Socket::new(Domain::IPV4, Type::DGRAM, None).unwrap();
        enter(&socket, None).unwrap();
        assert_eq!(socket.device().unwrap(), None);
        for _ in 0..2 {
            enter(&socket, Some("lo")).unwrap();
            assert_eq!(socket.device().unwrap().as_deref(), Some(&b"lo"[..]));
        }
        assert!(enter(&socket, Some("no such device")).is_err());
    }
}
