use super::*;

fn ms(n: u64) -> Duration {
    Duration::from_millis(n)
}

fn at(n: u64) -> Instant {
    Instant::ZERO + ms(n)
}

fn joined() -> Membership {
    Membership::begin(at(0), Pace::default())
}

/// Lets time pass from `from` to `to`, with a word of the sender's at every look if `word` says so, and gives when the
/// membership was reported.
fn reports(m: &mut Membership, from: u64, to: u64, words: bool) -> Vec<u64> {
    let mut reports = Vec::new();
    for t in from..to {
        m.on_timer(at(t), if words { at(t) } else { at(from) });
        if m.is_due() {
            m.report(at(t), 0);
            reports.push(t);
        }
    }
    reports
}

/// Every 10 ms a packet of the group, from `from` to `to`.
fn flow(m: &mut Membership, from: u64, to: u64) -> Vec<u64> {
    let mut all = Vec::new();
    for t in (from..to).step_by(10) {
        m.heard(at(t), t / 10);
        all.extend(reports(m, t, t + 10, true));
    }
    all
}

#[test]
fn a_membership_that_nothing_disturbs_is_reported_every_minute() {
    let mut m = joined();
    assert_eq!(flow(&mut m, 0, 185_000), [60_000, 120_000, 180_000]);
    assert_eq!(m.pace, Pace { every: PACE_MAX, quiet: 3 });
    assert_eq!(m.learnt(), None, "it would undo what others have learnt");
}

#[test]
fn it_is_reported_when_packets_are_known_to_lack() {
    let mut m = joined();
    flow(&mut m, 0, 1_000); // up to packet 99
    m.told(at(1_000), 99 + LAG - 1);
    assert_eq!(reports(&mut m, 1_000, 2_000, true), [], "too few");
    m.told(at(2_000), 99 + LAG);
    assert_eq!(reports(&mut m, 2_000, 2_900, true), [2_050], "they may be on their way");
    let mut m = joined();
    flow(&mut m, 0, 1_000);
    m.told(at(1_100), 99 + LAG);
    assert_eq!(reports(&mut m, 1_100, 1_200, true), []);
    m.heard(at(1_200), 200);
    assert_eq!(reports(&mut m, 1_200, 3_000, true), [], "they came");
}

#[test]
fn what_was_sent_before_it_joined_lacks_nobody() {
    let mut m = joined();
    m.told(at(100), 1 << 20);
    assert_eq!(reports(&mut m, 100, 9_000, true), []);
    m.told(at(9_000), (1 << 20) + LAG);
    assert_eq!(reports(&mut m, 9_000, 9_900, true), [9_050]);
}

#[test]
fn it_is_reported_when_nothing_comes_at_all() {
    let mut m = joined();
    flow(&mut m, 0, 1_000);
    assert_eq!(reports(&mut m, 1_000, 4_500, false), [4_000], "3 s after the last word");
    m.heard(at(4_500), 400);
    assert_eq!(m.pace, Pace::default(), "that says nothing of how long a membership lasts");
}

#[test]
fn a_silence_that_a_report_ends_sets_the_pace() {
    let mut m = joined();
    flow(&mut m, 0, 9_000); // forgotten then
    m.told(at(9_100), 899 + LAG);
    assert_eq!(reports(&mut m, 9_100, 9_300, true), [9_290]);
    m.heard(at(9_300), 1_000);
    assert_eq!(m.pace.every, (ms(8_990)) / PER_LIFE);
    assert_eq!(m.learnt(), Some(m.pace));
    assert_eq!(m.learnt(), None, "it is known now");
    // Ten quiet periods of three seconds, then twice as long, and so on up to a minute.
    let told = flow(&mut m, 9_310, 2_000_000);
    let gaps: Vec<u64> = told.windows(2).map(|two| two[1] - two[0]).collect();
    assert_eq!(gaps[..9], [gaps[0]; 9]);
    assert!(gaps.is_sorted() && gaps.last() == Some(&60_000), "{gaps:?}");
    assert!((2_996..=2_998).contains(&gaps[0]), "{gaps:?}");
}

#[test]
fn a_pace_is_not_quicker_than_a_second() {
    let mut m = joined();
    flow(&mut m, 0, 500);
    m.told(at(500), 49 + LAG);
    assert_eq!(reports(&mut m, 500, 800, true), [790]);
    m.heard(at(800), 500);
    assert_eq!(m.pace.every, PACE_MIN);
}

#[test]
fn what_does_not_help_is_done_more_and_more_seldom() {
    let mut m = joined();
    flow(&mut m, 0, 1_000);
    let mut all = Vec::new();
    for t in (1_000..121_000).step_by(100) {
        m.told(at(t), t); // the group goes on all the time
        all.extend(reports(&mut m, t, t + 100, true));
    }
    // At once, then 1, 2, 4, 8, 16, 32 s later; one of them is its minute's.
    assert!(all.len() <= 9, "{all:?}");
    assert_eq!(all[..4], [1_290, 2_290, 4_290, 8_290]);
    assert_eq!(m.pace.every, PACE_MAX, "nothing was learnt");
}

#[test]
fn a_link_that_comes_back_is_answered_at_once_and_one_that_flaps_not_each_time() {
    let mut m = joined();
    flow(&mut m, 0, 1_000);
    let mut all = Vec::new();
    for t in (1_000..2_000).step_by(10) {
        m.link(at(t));
        all.extend(reports(&mut m, t, t + 10, true));
    }
    assert_eq!(all, [1_000, 1_250, 1_500, 1_750]);
    assert_eq!(reports(&mut m, 2_000, 2_900, true), [2_000], "the last one, too");
}

#[test]
fn a_report_for_another_reason_counts_as_one() {
    let mut m = joined();
    flow(&mut m, 0, 50_000);
    m.report(at(50_000), 0);
    assert_eq!(flow(&mut m, 50_000, 111_000), [110_000]);
}
