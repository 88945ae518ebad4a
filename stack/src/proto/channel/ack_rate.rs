//! How often each member is to acknowledge: often enough for its window, seldom enough that the
//! ACKs of many members fit through the sender's downlink.

use super::Channel;
use super::limiting::REPORTERS;
use crate::proto::conn::ack::{AckPolicy, LONGEST_DELAY};
use crate::proto::member::Member;
use core::time::Duration;

/// Eight ACKs a window at the least, as with TCP's own thinning (RFC 3449, 5.1 warns of fewer) …
const ACKS_PER_WINDOW: u64 = 8;
/// … every packet at the most: a window of few segments is clocked by every one of its ACKs (RFC
/// 5681, 4.2, asks for every second at least); every 64th at the least.
const EVERY: (u64, u64) = (1, 64);
/// With so many members an ACK each costs the sender's downlink half of what a full segment costs
/// its uplink (an ACK is some 200 bytes with all headers). More members acknowledge the less
/// often, down to twice a window.
const FULL_RATE: u64 = 4;
/// A quarter of a round trip, or what so many packets take, within these bounds …
const DELAY: (Duration, Duration) = (Duration::from_millis(1), Duration::from_millis(25));
/// … but an eighth of a round trip at least: a long path has nothing of ACKs at short intervals,
/// and its way back may be narrow (on 64 kbit/s pass forty a second).
const DELAY_PART: u32 = 8;

/// A round is so many round trips (as TFMCC's feedback round, RFC 4654, 6.5) …
const ROUND_RTTS: u32 = 6;
/// … but long enough for everybody's report: 4,000 a second are 10 Mbit/s at the sender …
const ROUND_MEMBER: Duration = Duration::from_micros(250);
/// … or so many packets, of which one map tells twice as many, so that a lost one costs nothing.
const ROUND_PACKETS: u32 = crate::wire::MAX_MAP as u32 * 8 / 2;

/// The policy for a window of so many bytes, of which so many members report.
pub(crate) fn wanted(window: u64, segment: u64, srtt: Duration, members: u64) -> AckPolicy {
    let segments = (window / segment.max(1)).max(1);
    let crowd = (members / FULL_RATE).min(segments / 2);
    let every = (segments / ACKS_PER_WINDOW).max(crowd).clamp(EVERY.0, EVERY.1);
    let share = (every as f64 / segments as f64).clamp(0.25, 1.0);
    let delay = srtt.mul_f64(share).clamp(DELAY.0, DELAY.1.max(srtt / DELAY_PART));
    AckPolicy { every: every as u32, delay }
}

/// The policy of a member whose window bounds nothing, one of so many: it reports in rounds.
fn round(srtt: Duration, members: u64) -> AckPolicy {
    let delay = (srtt * ROUND_RTTS).max(ROUND_MEMBER * members as u32).min(LONGEST_DELAY);
    AckPolicy { every: ROUND_PACKETS, delay }
}

/// Whether a policy differs from the one in force by more than a quarter, so that it is worth a
/// control record.
pub(crate) fn differs(a: AckPolicy, b: AckPolicy) -> bool {
    let far = |x: f64, y: f64| (x - y).abs() > y / 4.0;
    far(f64::from(a.every), f64::from(b.every)) || far(a.delay.as_secs_f64(), b.delay.as_secs_f64())
}

/// Tells a member how to acknowledge, when that has changed.
pub(crate) fn tune(channel: Option<&Channel>, members: &mut [Member], index: usize) {
    let group = channel.and_then(|channel| Some((channel, channel.window(members)?)));
    let following = members.iter().filter(|m| m.is_multicast()).count() as u64;
    let limiting = members.iter().filter(|m| m.is_limiting()).count() as u64;
    let m = &members[index];
    if !m.is_served() || !m.conn().control().all_sent() {
        return;
    }
    let in_rounds = following > REPORTERS as u64;
    let policy = if let Some((channel, window)) = group.filter(|_| m.is_multicast()) {
        let Some(srtt) = m.group_path().rtt.smoothed() else { return };
        // Whoever reports at the group's pace is one of the crowd.
        let reporters = if in_rounds { limiting } else { following };
        if in_rounds && !m.is_limiting() {
            round(srtt, following)
        } else {
            m.thinning().apply(wanted(window, channel.segment(), srtt, reporters))
        }
    } else {
        let Some(srtt) = m.path().rtt.smoothed() else { return };
        m.thinning().apply(wanted(m.path().congestion.window(), m.segment(), srtt, 1))
    };
    if differs(policy, m.ack_policy()) {
        members[index].tell_policy(policy);
    }
}

#[cfg(test)]
mod tests {
    use super::{AckPolicy, differs, wanted};
    use core::time::Duration;

    #[test]
    fn a_policy_follows_the_window_within_bounds() {
        let ms = Duration::from_millis;
        let policy = |every, delay| AckPolicy { every, delay };
        let wanted = |segments: u64, rtt, members| wanted(segments * 1420, 1420, rtt, members);
        assert_eq!(wanted(10, ms(100), 1), policy(1, ms(25)));
        assert_eq!(wanted(16, ms(100), 1), policy(2, ms(25)));
        assert_eq!(wanted(160, ms(20), 1), policy(20, ms(5)));
        assert_eq!(wanted(1 << 20, Duration::ZERO, 1), policy(64, ms(1)));
        assert_eq!(wanted(160, ms(20), 8), policy(20, ms(5)), "that is seldom enough");
        assert_eq!(wanted(10, ms(20), 8), policy(2, ms(5)), "these would drown the downlink");
        assert_eq!(wanted(10, ms(20), 100), policy(5, ms(10)), "twice a window at the least");
        assert_eq!(wanted(800, ms(560), 1), policy(64, ms(70)));
        assert_eq!(wanted(0, ms(20), 100).every, 1);
        assert!(!differs(policy(20, ms(5)), policy(16, ms(5))));
        assert!(differs(policy(21, ms(5)), policy(16, ms(5))));
        assert!(differs(policy(16, ms(4)), policy(16, ms(8))));
    }
}
