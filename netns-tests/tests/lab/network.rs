//! A switch and its hosts.

use crate::daemon::Daemon;
use crate::emulator::Emulator;
use crate::shell::{run, try_run, wait_for};
use std::fs::{self, OpenOptions};
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::Once;
use std::time::Duration;
use tempfile::TempDir;

/// Bytes of the file that most scenarios copy.
pub(crate) const LEN: u64 = 64 << 20;

/// Duplicate address detection takes a second or two.
const TENTATIVE: Duration = Duration::from_secs(10);

/// A network with its own folder for everything that is written.
pub(crate) struct Lab {
    pub(crate) dir: TempDir,
    hosts: usize,
    /// What stands in the bridge's place.
    emulator: Option<Emulator>,
}

impl Lab {
    /// Where a host keeps its identity.
    pub(crate) fn state(&self, host: usize) -> PathBuf {
        self.dir.path().join(format!("state{host}"))
    }

    /// The secret that all hosts share.
    pub(crate) fn secret(&self) -> PathBuf {
        let path = self.dir.path().join("secret");
        if !path.exists() {
            let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path);
            let line = b"the secret of the hosts of this network\n";
            file.as_mut().unwrap().write_all(line).unwrap();
        }
        path
    }

    /// A sender (host 0) and so many receivers (hosts 1 and up) on a switch that floods multicast.
    pub(crate) fn bridge(receivers: usize) -> Self {
        Self::switch(receivers + 1, "mcast_snooping 0")
    }

    /// Likewise, on a switch that learns from IGMP and MLD who wants which group.
    pub(crate) fn snooping(receivers: usize, querier: bool) -> Self {
        let querier = u8::from(querier);
        Self::switch(receivers + 1, &format!("mcast_snooping 1 mcast_querier {querier}"))
    }

    /// Likewise, on a switch that asks once in a second, and forgets a membership after three. Its version of MLD
    /// and IGMP is that of source-specific groups.
    pub(crate) fn forgetful(receivers: usize) -> Self {
        let lab = Self::switch(receivers + 1, "mcast_snooping 1");
        // Before the querier: it reads the times when it is switched on. All are in hundredths of a second.
        run(
            "ip link set br0 type bridge mcast_query_response_interval 50 mcast_query_interval 100 \
             mcast_membership_interval 300 mcast_startup_query_interval 100 mcast_startup_query_count 2 \
             mcast_igmp_version 3 mcast_mld_version 2",
        );
        // A query of MLD has a link-local source (RFC 3810, 5.1.14), which is not to be tentative any more.
        let show = "ip -j -6 addr show dev br0 scope link";
        wait_for("the switch has an address", TENTATIVE, || {
            let json: serde_json::Value = serde_json::from_str(&run(show)).unwrap();
            let all = json[0]["addr_info"].as_array().cloned().unwrap_or_default();
            all.iter().any(|addr| addr["local"].is_string() && addr["tentative"].is_null())
        });
        run("ip link set br0 type bridge mcast_querier 1");
        lab
    }

    /// Likewise, on a switch that asks nobody: another one behind it does, three times when it is new and then every
    /// two minutes (RFC 3376, 8.2). So nobody asks at a port whose cable was out and in.
    pub(crate) fn asked_from_beyond(receivers: usize) -> Self {
        let lab = Self::switch(receivers + 1, "mcast_snooping 1 mcast_igmp_version 3");
        // Before the querier, as above.
        run(
            "ip link add br1 type bridge mcast_snooping 1 mcast_igmp_version 3 mcast_query_use_ifaddr 1 \
             mcast_query_response_interval 50 mcast_startup_query_interval 100 mcast_startup_query_count 3",
        );
        run("ip link add beyond0 type veth peer name beyond1");
        run("ip link set beyond0 master br0 up");
        run("ip link set beyond1 master br1 up");
        // One without an address of its own is none that others defer to (RFC 4541, 2.1.1).
        run("ip addr add 10.77.0.254/24 dev br1");
        run("ip link set br1 up");
        run("ip link set br1 type bridge mcast_querier 1");
        lab
    }

    fn switch(hosts: usize, how: &str) -> Self {
        prepare();
        let lab = Self { dir: tempfile::tempdir().unwrap(), hosts, emulator: None };
        run(&format!("ip link add br0 type bridge {how}"));
        run("ip link set br0 up");
        for host in 0..hosts {
            lab.plug(host);
        }
        lab
    }

    /// Likewise, on a switch whose cables are as slow, long and faulty as `lines` say (see
    /// `emulate --help`).
    pub(crate) fn lines<S: AsRef<str>>(receivers: usize, lines: &[S]) -> Self {
        prepare();
        let hosts = receivers + 1;
        let dir = tempfile::tempdir().unwrap();
        let emulator = Some(Emulator::start(dir.path(), hosts, lines));
        let lab = Self { dir, hosts, emulator };
        for host in 0..hosts {
            run(&format!("ip netns add {}", lab.ns(host)));
            lab.port(host, host, "eth0");
            lab.address(host);
        }
        lab
    }

    /// Likewise, and a second network beside it that only the sender sends on, as over a satellite with a dish at each
    /// receiver and the way back on the ground (RFC 3077): `sky` at each host, which is the emulator's port of
    /// [`Self::in_the_sky`].
    pub(crate) fn one_way<S: AsRef<str>>(receivers: usize, lines: &[S]) -> Self {
        prepare();
        let hosts = receivers + 1;
        let dir = tempfile::tempdir().unwrap();
        let emulator = Some(Emulator::start(dir.path(), 2 * hosts, lines));
        let lab = Self { dir, hosts, emulator };
        for host in 0..hosts {
            let ns = lab.ns(host);
            run(&format!("ip netns add {ns}"));
            lab.port(host, host, "eth0");
            lab.address(host);
            lab.port(host, hosts + host, "sky");
            run(&format!("ip -n {ns} addr add 10.78.0.{}/24 dev sky", host + 1));
            run(&format!("ip -n {ns} link set sky up"));
            if host > 0 {
                // Neither reports of memberships nor questions for a hardware address leave there.
                run(&format!("ip -n {ns} link set sky arp off"));
                lab.nft(host, "add table inet sky");
                lab.nft(host, "add chain inet sky out { type filter hook output priority 0 ; }");
                lab.nft(host, "add rule inet sky out oifname sky drop");
            }
        }
        lab
    }

    /// The emulator's port of a host's interface `sky`, among so many receivers.
    pub(crate) fn in_the_sky(receivers: usize, host: usize) -> usize {
        receivers + 1 + host
    }

    /// Gives a host a port of the emulator as this interface.
    fn port(&self, host: usize, port: usize, interface: &str) {
        let (ns, tap) = (self.ns(host), Emulator::tap(port));
        run(&format!("ip link set {tap} netns {ns}"));
        run(&format!("ip -n {ns} link set {tap} name {interface}"));
        // The queue that counts is the emulator's.
        run(&format!("ip -n {ns} link set {interface} txqueuelen 20000"));
    }

    fn plug(&self, host: usize) {
        run(&format!("ip netns add {}", self.ns(host)));
        self.cable(host);
    }

    /// A host's interface is gone, and its addresses with it.
    #[expect(clippy::unused_self, reason = "a host belongs to a lab")]
    pub(crate) fn remove_interface(&self, host: usize) {
        run(&format!("ip link delete p{host}"));
    }

    /// It has one, of the name and the addresses that all have.
    pub(crate) fn cable(&self, host: usize) {
        let ns = self.ns(host);
        run(&format!("ip link add p{host} type veth peer name eth0 netns {ns}"));
        run(&format!("ip link set p{host} master br0 up"));
        self.address(host);
    }

    fn address(&self, host: usize) {
        let ns = self.ns(host);
        run(&format!("ip -n {ns} link set lo up"));
        run(&format!("ip -n {ns} addr add {}/24 brd + dev eth0", self.v4(host)));
        run(&format!("ip -n {ns} addr add {}/64 dev eth0 nodad", self.v6(host)));
        run(&format!("ip -n {ns} link set eth0 up"));
        run(&format!("ip -n {ns} route add 224.0.0.0/4 dev eth0"));
    }

    /// The namespace of a host; named after this process, as everything that others might see.
    #[expect(clippy::unused_self, reason = "a host belongs to a lab")]
    pub(crate) fn ns(&self, host: usize) -> String {
        format!("mcp{}-{host}", std::process::id())
    }

    #[expect(clippy::unused_self, reason = "a host belongs to a lab")]
    pub(crate) fn v4(&self, host: usize) -> String {
        format!("10.77.0.{}", host + 1)
    }

    #[expect(clippy::unused_self, reason = "a host belongs to a lab")]
    pub(crate) fn v6(&self, host: usize) -> String {
        format!("fd77::{:x}", host + 1)
    }

    /// A host's link-local address, once it may be used (RFC 4862, 5.4: not while it is tentative).
    pub(crate) fn link_local(&self, host: usize) -> String {
        let show = format!("ip -n {} -j -6 addr show dev eth0 scope link", self.ns(host));
        let mut found = None;
        wait_for("the link-local address is no longer tentative", TENTATIVE, || {
            let json: serde_json::Value = serde_json::from_str(&run(&show)).unwrap();
            // Addresses of other scopes are shown as empty objects.
            let all = json[0]["addr_info"].as_array().cloned().unwrap_or_default();
            let mut usable = all.iter().filter(|addr| addr["tentative"].is_null());
            found = usable.find_map(|addr| addr["local"].as_str()).map(str::to_owned);
            found.is_some()
        });
        found.unwrap()
    }

    /// A host's own folder, created when it is first asked for.
    pub(crate) fn folder(&self, host: usize) -> PathBuf {
        let folder = self.dir.path().join(format!("host{host}"));
        fs::create_dir_all(&folder).unwrap();
        folder
    }

    /// A daemon on each receiver.
    pub(crate) fn daemons(&self) -> Vec<Daemon> {
        (1..self.hosts).map(|host| Daemon::start(self, host, &self.folder(host))).collect()
    }

    /// Every receiver's IPv4 address, as arguments for a copy.
    pub(crate) fn all(&self) -> Vec<String> {
        (1..self.hosts).map(|host| self.v4(host)).collect()
    }

    /// Runs nft in a host's namespace.
    pub(crate) fn nft(&self, host: usize, rule: &str) {
        run(&format!("ip netns exec {} nft {rule}", self.ns(host)));
    }

    /// A firewall in a table and a chain that many have: what no rule of it speaks of is accepted, or dropped.
    pub(crate) fn firewall(&self, host: usize, policy: &str) {
        self.nft(host, "add table inet filter");
        let hook = format!("{{ type filter hook input priority 0 ; policy {policy} ; }}");
        self.nft(host, &format!("add chain inet filter input {hook}"));
    }

    /// One more rule of that.
    pub(crate) fn firewall_rule(&self, host: usize, rule: &str) {
        self.nft(host, &format!("add rule inet filter input {rule}"));
    }

    /// Sets a variable of a host's network, below `/proc/sys/net`.
    pub(crate) fn set(&self, host: usize, variable: &str, value: u32) {
        let file = self.dir.path().join("value");
        fs::write(&file, format!("{value}\n")).unwrap();
        let (ns, file) = (self.ns(host), file.display());
        run(&format!("ip netns exec {ns} cp {file} /proc/sys/net/{variable}"));
    }

    /// A host hears no group any more; joining and unicast go on.
    pub(crate) fn deafen(&self, host: usize) {
        self.nft(host, "add table inet deaf");
        self.nft(host, "add chain inet deaf in { type filter hook prerouting priority 0 ; }");
        self.nft(host, "add rule inet deaf in ip daddr 224.0.0.0/4 udp dport 8737 drop");
        self.nft(host, "add rule inet deaf in ip6 daddr ff00::/8 udp dport 8737 drop");
    }

    /// It hears them again.
    pub(crate) fn undeafen(&self, host: usize) {
        self.nft(host, "delete table inet deaf");
    }

    /// Bytes that a host's interface has sent and received.
    pub(crate) fn bytes(&self, host: usize) -> (u64, u64) {
        self.bytes_by(host, "eth0")
    }

    /// Those of another interface.
    pub(crate) fn bytes_by(&self, host: usize, interface: &str) -> (u64, u64) {
        let text = run(&format!("ip -n {} -j -s link show dev {interface}", self.ns(host)));
        let json: serde_json::Value = serde_json::from_str(&text).unwrap();
        let of = |way: &str| json[0]["stats64"][way]["bytes"].as_u64().unwrap();
        (of("tx"), of("rx"))
    }

    /// Frames that a host's interface dropped before they reached the emulator.
    pub(crate) fn dropped_on_the_way_out(&self, host: usize) -> u64 {
        let text = run(&format!("ip -n {} -j -s link show dev eth0", self.ns(host)));
        let json: serde_json::Value = serde_json::from_str(&text).unwrap();
        json[0]["stats64"]["tx"]["dropped"].as_u64().unwrap()
    }

    /// Ends the emulator and gives its counters. Nothing may have been dropped unasked, here or in
    /// an interface's own queue: else what was measured was another network.
    pub(crate) fn counters(&mut self) -> serde_json::Value {
        let unasked: u64 = (0..self.hosts).map(|host| self.dropped_on_the_way_out(host)).sum();
        let counters = self.emulator.take().unwrap().end();
        assert_eq!(unasked, 0, "dropped on the way to the emulator: {counters}");
        assert_eq!(counters["unasked"]["dropped"], 0, "void: {counters}");
        counters
    }

    /// A file of `len` bytes without a period, at the sender.
    pub(crate) fn source(&self, len: u64) -> PathBuf {
        let path = self.dir.path().join(format!("source-{len}"));
        fs::write(&path, content(len)).unwrap();
        path
    }
}

impl Drop for Lab {
    fn drop(&mut self) {
        drop(self.emulator.take()); // its devices go with it
        for host in 0..self.hosts {
            // First: the namespace's end would remove the cable some time later.
            let _ = try_run(&format!("ip link delete p{host}"));
            let _ = try_run(&format!("ip netns delete {}", self.ns(host)));
        }
        // What is left of a lab that could not be built goes with the namespace.
        for device in ["br0", "beyond0", "br1"] {
            let _ = try_run(&format!("ip link delete {device}"));
        }
    }
}

/// A private /run, where `ip netns` keeps its names.
fn prepare() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        run("mount -t tmpfs tmpfs /run");
        fs::create_dir("/run/netns").unwrap();
        run("ip link set lo up");
    });
}

/// Bytes that differ from one place to every other.
pub(crate) fn content(len: u64) -> Vec<u8> {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut out = Vec::with_capacity(len as usize + 8);
    while (out.len() as u64) < len {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        out.extend_from_slice(&state.to_le_bytes());
    }
    out.truncate(len as usize);
    out
}

/// The same without partial files and their states, which stay for the next copy.
pub(crate) fn whole(dir: &Path) -> Vec<String> {
    let stays = |name: &str| {
        let kind = Path::new(name).extension().and_then(|kind| kind.to_str());
        name.contains(".mcp-") && matches!(kind, Some("partial" | "state"))
    };
    tree(dir).into_iter().filter(|name| !stays(name)).collect()
}

/// Every file and folder below, relative, sorted.
pub(crate) fn tree(dir: &Path) -> Vec<String> {
    let mut found = Vec::new();
    let mut open = vec![dir.to_owned()];
    while let Some(folder) = open.pop() {
        let Ok(entries) = fs::read_dir(folder) else { continue };
        for path in entries.filter_map(|entry| Some(entry.ok()?.path())) {
            found.push(path.strip_prefix(dir).unwrap_or(&path).display().to_string());
            if path.is_dir() {
                open.push(path);
            }
        }
    }
    found.sort();
    found
}
