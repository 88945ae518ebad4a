use super::super::Congestion;
use super::*;
use crate::config::Algorithm;
use crate::proto::send::delivery::RateSample;

const MSS: u64 = 1420;

/// A path of 12,500,000 bytes a second and 20 ms, in which each round trip is one report.
struct Line {
    bbr: Bbr,
    now: Instant,
    rate: f64,
    least: Duration,
    queue: f64,
}

impl Line {
    fn new(members: usize) -> Self {
        let mut bbr = Bbr::for_group(members, MSS, 7);
        (0..members).for_each(|path| bbr.set_active(path, true));
        let least = Duration::from_millis(20);
        Self { bbr, now: Instant::from_nanos(1), rate: 12.5e6, least, queue: 0.0 }
    }

    fn product(&self) -> f64 {
        self.rate * self.least.as_secs_f64()
    }

    /// A round trip: what is paced in, as far as the window lets it; what the line carries comes
    /// back, the rest waits in its queue.
    fn round(&mut self, loss: f64) {
        for path in 0..self.bbr.models.len() {
            let rtt = self.least + Duration::from_secs_f64(self.queue / self.rate);
            let paced = self.bbr.pacing_rate(rtt) * rtt.as_secs_f64();
            let sent = paced.min(self.bbr.window(path) as f64);
            let carried = sent.min(self.rate * rtt.as_secs_f64());
            if path == 0 {
                self.now += rtt;
                self.queue = (sent - self.product()).max(0.0);
            }
            let gone = bytes(carried * loss);
            let acked = bytes(carried) - gone;
            let rate = carried / rtt.as_secs_f64();
            self.bbr.on_report(
                path,
                &Shown {
                    now: self.now,
                    acked,
                    lost: gone,
                    flight_before: bytes(sent),
                    flight: bytes(sent),
                    rtt: Some(rtt),
                    srtt: rtt,
                    congested: gone > 0,
                    undone: false,
                    recovered: false,
                    round: true,
                    rate: Some(RateSample { rate, delivered: acked, app_limited: false }),
                    cap: None,
                },
            );
        }
    }

    fn rounds(&mut self, count: usize, loss: f64) -> Vec<Phase> {
        let mut phases = Vec::new();
        for _ in 0..count {
            self.round(loss);
            if phases.last() != Some(&self.bbr.phase) {
                phases.push(self.bbr.phase);
            }
        }
        phases
    }
}

#[test]
fn startup_finds_the_rate_and_drains_its_queue() {
    let mut line = Line::new(1);
    let phases = line.rounds(40, 0.0);
    assert_eq!(phases[..3], [Phase::Startup, Phase::Drain, Phase::Down], "{phases:?}");
    assert!((line.bbr.rate() / line.rate - 1.0).abs() < 0.01, "{}", line.bbr.rate());
    assert!(line.queue < line.product() / 2.0, "{}", line.queue);
}

#[test]
fn a_cycle_probes_and_gives_back() {
    let mut line = Line::new(1);
    line.rounds(40, 0.0);
    let phases = line.rounds(400, 0.0);
    let cycle = [Phase::Cruise, Phase::Refill, Phase::Up, Phase::Down];
    let at = phases.iter().position(|phase| *phase == Phase::Cruise).unwrap();
    assert_eq!(phases[at..at + 4], cycle, "{phases:?}");
}

#[test]
fn one_in_a_hundred_lost_at_random_slows_nothing_and_one_in_ten_does() {
    let mut line = Line::new(1);
    line.rounds(200, 0.01);
    assert!(line.bbr.rate() > 0.95 * line.rate, "{}", line.bbr.rate());
    line.rounds(20, 0.1);
    let bound = line.bbr.models[0].bound();
    assert!(bound < 1.6 * line.product(), "{bound} of {}", line.product());
}

#[test]
fn a_faster_line_is_found_and_a_slower_one_believed() {
    let mut line = Line::new(1);
    line.rounds(60, 0.0);
    line.rate *= 4.0;
    line.rounds(300, 0.0);
    assert!(line.bbr.rate() > 0.9 * line.rate, "{} of {}", line.bbr.rate(), line.rate);
    line.rate /= 4.0;
    line.rounds(400, 0.0);
    assert!(line.bbr.rate() < 1.3 * line.rate, "{} of {}", line.bbr.rate(), line.rate);
}

#[test]
fn the_slowest_that_follows_sets_the_rate_and_one_that_leaves_does_not() {
    let mut line = Line::new(3);
    line.rounds(60, 0.0);
    line.bbr.models[1].rate_for_test(1e6);
    line.bbr.find_limit();
    assert_eq!(line.bbr.limiting(), Some(1));
    assert!((line.bbr.rate() - 1e6).abs() < 1.0);
    line.bbr.set_active(1, false);
    assert!(line.bbr.rate() > 0.9 * line.rate);
    line.bbr.set_active(1, true);
    assert!(line.bbr.rate() > 0.9 * line.rate, "of who comes back nothing is known");
}

#[test]
fn a_time_out_leaves_four_segments_until_it_is_taken_back() {
    let mut line = Line::new(1);
    line.rounds(60, 0.0);
    let window = line.bbr.window(0);
    line.bbr.on_timeout(0);
    assert_eq!(line.bbr.window(0), 4 * MSS);
    line.bbr.undo(0);
    assert_eq!(line.bbr.window(0), window);
}

#[test]
fn the_least_round_trip_is_looked_for_when_it_is_never_seen() {
    let mut line = Line::new(1);
    line.rounds(60, 0.0);
    // Somebody else fills the queue for good: every round trip is longer than the one remembered.
    line.least += Duration::from_millis(10);
    let phases = line.rounds(300, 0.0);
    assert!(phases.contains(&Phase::ProbeRtt), "{phases:?}");
}

/// Full packets take longer than the short one that the least round trip came from, by their time on
/// each line; 1/32 of a short round trip is less than one of them.
#[test]
fn a_round_trip_longer_by_a_few_packets_needs_no_probe() {
    for (packets, probed) in [(0, false), (2, false), (3, false), (6, true)] {
        let mut line = Line::new(1);
        line.least = Duration::from_millis(2);
        line.rounds(60, 0.0);
        line.least += Duration::from_secs_f64(f64::from(packets) * MSS as f64 / line.rate);
        let phases = line.rounds(4000, 0.0);
        assert_eq!(phases.contains(&Phase::ProbeRtt), probed, "{packets} packets: {phases:?}");
    }
}

/// While anything is sent, a packet is in flight, and the pipe holds three quarters of one.
#[test]
fn a_pipe_shorter_than_a_packet_is_drained_after_startup() {
    let mut bbr = Bbr::new(1, MSS, 0);
    let (rtt, rate) = (Duration::from_micros(900), 1.15e6);
    let mut now = Instant::from_nanos(1);
    for _ in 0..20 {
        now += rtt;
        bbr.on_report(0, &Shown { flight: MSS, ..shown(now, rtt, (MSS, 0), rate, false) });
    }
    assert!(bbr.filled && bbr.phase != Phase::Drain, "{:?}", bbr.phase);
}

/// What was lost because the peer had forgotten its sender is no sign of the path's.
#[test]
fn a_path_that_begins_again_has_its_first_window() {
    let mut path = Congestion::new(Algorithm::Bbr, MSS);
    let first = path.window();
    path.on_timeout(first);
    assert!(path.window() < first);
    path.begin_again();
    assert_eq!(path.window(), first);
}

/// A report of one round trip.
fn shown(now: Instant, rtt: Duration, (acked, lost): (u64, u64), rate: f64, scant: bool) -> Shown {
    Shown {
        now,
        acked,
        lost,
        flight_before: acked + lost,
        flight: 0,
        rtt: Some(rtt),
        srtt: rtt,
        congested: lost > 0,
        undone: false,
        recovered: false,
        round: true,
        rate: Some(RateSample { rate, delivered: acked, app_limited: scant }),
        cap: None,
    }
}

#[test]
fn a_small_first_sample_does_not_slow_startup() {
    let mut bbr = Bbr::new(1, MSS, 0);
    let rtt = Duration::from_millis(100);
    let before = bbr.pacing_rate(rtt);
    bbr.on_report(0, &shown(Instant::from_nanos(1), rtt, (60, 0), 600.0, true));
    assert!(bbr.pacing_rate(rtt) >= before * 0.9, "{before}, {}", bbr.pacing_rate(rtt));
}

#[test]
fn a_startup_that_ends_by_loss_keeps_what_was_delivered() {
    let mut bbr = Bbr::new(1, MSS, 0);
    let rtt = Duration::from_millis(20);
    let mut now = Instant::from_nanos(1);
    for lost in [0, 0, 0, 60_000] {
        now += rtt;
        bbr.on_report(0, &shown(now, rtt, (250_000, lost), 12.5e6, false));
    }
    assert!(bbr.filled && bbr.models[0].flight_high >= 250_000.0);
}

#[test]
fn bounds_of_false_losses_are_taken_back() {
    let mut line = Line::new(1);
    line.rounds(60, 0.0);
    while line.bbr.phase != Phase::Cruise {
        line.round(0.0);
    }
    let (rate, bound) = (line.bbr.models[0].rate(), line.bbr.models[0].bound());
    line.bbr.on_report(0, &shown(line.now, line.least, (100_000, 150_000), 5e6, false));
    assert!(line.bbr.models[0].rate() < rate);
    let late = shown(line.now, line.least, (1420, 0), 5e6, false);
    line.bbr.on_report(0, &Shown { undone: true, round: false, ..late });
    let model = &line.bbr.models[0];
    assert!(model.rate() >= rate && model.bound() >= bound, "{} {}", model.rate(), model.bound());
}

#[test]
fn time_outs_in_a_row_are_taken_back_to_the_first_and_once() {
    let mut bbr = Bbr::new(1, MSS, 0);
    bbr.models[0].window = 10_000_000;
    bbr.on_timeout(0);
    bbr.on_timeout(0);
    bbr.undo(0);
    assert_eq!(bbr.window(0), 10_000_000);
    bbr.models[0].window = 20_000;
    bbr.undo(0);
    assert_eq!(bbr.window(0), 20_000);
}

#[test]
fn a_group_that_all_have_left_begins_anew() {
    let mut line = Line::new(1);
    line.rounds(60, 0.0);
    line.bbr.set_active(0, false);
    line.bbr.set_active(0, true);
    line.now += line.least;
    line.bbr.on_report(0, &shown(line.now, line.least, (11_360, 0), 568e3, false));
    let phases = line.rounds(20, 0.0);
    assert_eq!(phases[0], Phase::Startup);
    assert!(line.bbr.rate() > 0.9 * line.rate, "{}", line.bbr.rate());
}

#[test]
fn who_joins_while_little_is_sent_does_not_hold_the_group() {
    let mut line = Line::new(2);
    line.rounds(60, 0.0);
    line.bbr.set_active(1, false);
    line.rounds(60, 0.0);
    line.bbr.set_active(1, true);
    line.bbr.on_report(1, &shown(line.now, line.least, (1_420, 0), 71e3, true));
    assert!(line.bbr.rate() > 0.9 * line.rate, "{}", line.bbr.rate());
}

/// The bound of one path holds the group's probe up while another has the least rate.
#[test]
fn a_bound_is_raised_whoever_has_the_least_rate() {
    let mut line = Line::new(2);
    line.rounds(60, 0.0);
    line.bbr.models[1].flight_high = line.product() / 4.0;
    line.rounds(600, 0.0);
    let high = line.bbr.models[1].flight_high;
    assert!(high > line.product(), "{high} of {}", line.product());
}

/// On a fast, short path the window is a few trains: it is full when the next does not fit.
#[test]
fn a_window_without_room_for_a_train_is_full() {
    let raised = |room: u64| {
        let mut bbr = Bbr::for_group(1, MSS, 7);
        bbr.set_active(0, true);
        bbr.models[0].rate_for_test(125e6);
        bbr.models[0].window = 195_000;
        bbr.models[0].flight_high = 93_000.0;
        bbr.find_limit();
        (bbr.filled, bbr.phase) = (true, Phase::Up);
        let flight = bbr.window(0) - room;
        let report =
            shown(Instant::from_nanos(1), Duration::from_micros(200), (10_000, 0), 125e6, false);
        bbr.on_report(0, &Shown { flight_before: flight, round: false, ..report });
        bbr.models[0].flight_high > 93_000.0
    };
    let train = TRAIN * MSS;
    assert!(raised(0) && raised(train - 1), "a train has no room");
    assert!(!raised(train + 1), "a train has room");
}
