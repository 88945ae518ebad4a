//! `-x`: hosts that get no copy.

use super::{Groups, HostError, Target, parse_with};
use std::collections::HashMap;

/// What is excluded, and what of that excluded something.
pub(super) struct Excluded<'a> {
    texts: Vec<&'a str>,
    /// By host; each with the place of its text.
    hosts: HashMap<String, Vec<(Target, usize)>>,
    used: Vec<bool>,
}

impl<'a> Excluded<'a> {
    pub(super) fn read(texts: Vec<&'a str>, groups: &Groups) -> Result<Self, HostError> {
        let mut hosts: HashMap<String, Vec<(Target, usize)>> = HashMap::new();
        for (place, text) in texts.iter().enumerate() {
            for target in parse_with(text, groups)? {
                hosts.entry(target.host.clone()).or_default().push((target, place));
            }
        }
        let used = vec![false; texts.len()];
        Ok(Self { texts, hosts, used })
    }

    /// Whether a host is; what an exclusion does not say, user, port or path, may be any.
    pub(super) fn has(&mut self, target: &Target) -> bool {
        let mut has = false;
        for (out, place) in self.hosts.get(&target.host).into_iter().flatten() {
            let same_port = out.port.is_none() || out.port == target.port;
            let same_user = out.user.is_none() || out.user == target.user;
            if same_user && same_port && (out.path.is_empty() || out.path == target.path) {
                (has, self.used[*place]) = (true, true);
            }
        }
        has
    }

    pub(super) fn idle(self) -> Vec<String> {
        let idle = self.texts.iter().zip(self.used).filter(|(_, used)| !used);
        idle.map(|(text, _)| (*text).to_owned()).collect()
    }
}
