//! Where what is sent leaves this host, when that changes in the middle of a copy.

use crate::reach::Reach;
use std::collections::BTreeMap;
use std::net::IpAddr;
use tcpxm::api::Sender;
use tcpxm::config::Group;
use tcpxm::net::interface::Route;

/// Addresses that this host has lost, and how many hosts know it by each.
type Lost = BTreeMap<IpAddr, usize>;

/// What was told of it.
#[derive(Debug, Default)]
pub(super) struct Way {
    moved: Option<(Group, Route)>,
    lost: Lost,
}

impl Way {
    /// What is new, to be told; the second only to who asks for details.
    pub(super) fn news(&mut self, sender: &Sender) -> (Vec<String>, Option<String>) {
        let (lost, moved) = (sender.lost_addresses(), sender.moved());
        let addresses = difference(&self.lost, &lost);
        self.lost = lost;
        let changed = moved != std::mem::replace(&mut self.moved, moved);
        let way = changed.then(|| Reach::new(sender, None, 0).way());
        (addresses, way.map(|way| format!("from now on {way}")))
    }
}

/// In words what has been lost, and what is there again.
fn difference(before: &Lost, now: &Lost) -> Vec<String> {
    let lost = now.iter().filter(|(addr, _)| !before.contains_key(addr)).map(|(addr, hosts)| {
        let by = match hosts {
            1 => "one host knows it by that and cannot".to_owned(),
            hosts => format!("{hosts} hosts know it by that and cannot"),
        };
        format!("this host has lost the address {addr}; {by} answer until it is back, or they find this host elsewhere")
    });
    let back = before.keys().filter(|addr| !now.contains_key(addr));
    lost.chain(back.map(|addr| format!("this host has the address {addr} again"))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_change_is_told_in_one_line() {
        let [one, two]: [IpAddr; 2] =
            ["192.0.2.1", "2001:db8::1"].map(|text| text.parse().unwrap());
        let (none, both) = (Lost::new(), Lost::from([(one, 1), (two, 3)]));
        let told = difference(&none, &both);
        assert_eq!(told.len(), 2);
        assert!(
            told[0]
                .starts_with("this host has lost the address 192.0.2.1; one host knows it by that")
        );
        assert!(
            told[1]
                .starts_with("this host has lost the address 2001:db8::1; 3 hosts know it by that")
        );
        assert!(difference(&both, &both).is_empty());
        assert_eq!(
            difference(&both, &Lost::from([(one, 1)])),
            ["this host has the address 2001:db8::1 again"]
        );
    }
}
