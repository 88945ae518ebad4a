//! Where what is sent leaves this host, when that changes in the middle of a copy.

use crate::reach::Reach;
use tcpxm::api::Sender;
use tcpxm::config::Group;
use tcpxm::net::interface::Route;

/// What was told of it.
#[derive(Debug, Default)]
pub(super) struct Way {
    moved: Option<(Group, Route)>,
    cut_off: bool,
}

impl Way {
    /// What is new, to be told; the second only to who asks for details.
    pub(super) fn news(&mut self, sender: &Sender) -> (Option<&'static str>, Option<String>) {
        let (cut_off, moved) = (sender.is_cut_off(), sender.moved());
        let loss =
            (cut_off != std::mem::replace(&mut self.cut_off, cut_off)).then(|| told(cut_off));
        let changed = moved != std::mem::replace(&mut self.moved, moved);
        let way = changed.then(|| Reach::new(sender, None, 0).way());
        (loss, way.map(|way| format!("from now on {way}")))
    }
}

fn told(cut_off: bool) -> &'static str {
    if cut_off {
        "this host has lost the address that the hosts know it by; the copy goes on when it has that again, unless a \
         host does not wait so long"
    } else {
        "this host has its address again, and the copy goes on"
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_is_told_in_one_line() {
        assert!(told(true).contains("lost the address") && told(false).contains("goes on"));
        assert!(!told(true).contains('\n'));
    }
}
