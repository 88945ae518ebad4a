//! How long a channel's segments are: as the shortest way from it carries, since one group segment
//! has but one length (RFC 8899, on each path).

use super::Channel;
use crate::proto::member::Member;
use crate::proto::time::Instant;
use crate::wire::PAYLOAD_SHORT;

/// Of so many packets to the group a member has heard none: maybe they are too long for it.
const UNHEARD: u32 = 16;

impl Channel {
    /// What has come back may allow or forbid longer segments.
    pub(crate) fn fit(&mut self, members: &mut [Member]) {
        let heard = members.iter().filter(|m| is_counted(m));
        let shortest = heard.map(|m| m.group_path().mtu.segment()).min();
        let segment = shortest.unwrap_or(PAYLOAD_SHORT as u64);
        if segment == self.segment {
            return;
        }
        self.segment = segment;
        for m in members {
            m.group_path_mut().fit(segment);
        }
        if let Some(bbr) = &mut self.bbr {
            bbr.set_mss(segment);
        }
    }

    /// The length that the member whose segments are the shortest wants to try next: nobody else's
    /// could make the group's longer.
    pub(crate) fn wanted_probe(&self, now: Instant, members: &mut [Member]) -> Option<u64> {
        if self.log.is_full() {
            return None;
        }
        let deaf = members.iter_mut().find(|m| {
            m.is_tried() && !m.group_path().mtu.is_heard() && m.board().hearing().0 >= UNHEARD
        });
        deaf.and_then(|m| m.group_path_mut().mtu.wanted(now)).or_else(|| {
            let counted = members.iter_mut().filter(|m| is_counted(m));
            let shortest = counted.min_by_key(|m| m.group_path().mtu.segment())?;
            shortest.group_path_mut().mtu.wanted(now)
        })
    }
}

/// Whether a member's way counts for the length of the group's segments: it hears them.
fn is_counted(m: &Member) -> bool {
    m.hears() && m.group_path().mtu.is_heard()
}
