//! A source of which one piece after the other comes to exist, and whose receivers declare each piece when
//! they have looked at it.

use crate::hand::{App, DELAY, Net, group, outcome, source, straight};
use core::ops::Range;
use core::time::Duration;
use tcpxm::config::{Content, Delivery, SessionConfig};
use tcpxm::proto::time::Instant;

const SECOND: Duration = Duration::from_secs(1);
const PIECE: u64 = 1 << 20;

/// A session to so many receivers, that ask nothing before it is said what exists.
fn begin(receivers: usize, len: u64) -> (Net, App) {
    let config = source(len, Delivery::Unordered, Some(group()));
    let config = SessionConfig { declares: true, content: Content::Source { len: None }, ..config };
    let mut net = Net::new(receivers, 0, straight());
    let mut app = App::new(&mut net, config, len);
    app.careless = true;
    (net, app)
}

/// Grows by a piece, of so many, whenever somebody has all but one of those before; receiver `n` declares to lack a piece
/// `late[n]` after it has come to exist. All end well; gives when the first one had everything, and the bytes to
/// the group and to each alone.
fn copy(pieces: u64, late: &[Duration]) -> (Duration, u64, u64) {
    let len = PIECE * pieces;
    let (mut net, mut app) = begin(late.len(), len);
    let begin = net.now;
    let mut grown: Vec<Instant> = Vec::new();
    let mut declared = vec![0; late.len()];
    let mut first = None;
    let done = net.run(SECOND * 120, |net| {
        let (now, session) = (net.now, app.session);
        let arrived = app.got.iter().max().copied().unwrap_or(0);
        if (grown.len() as u64) < pieces && arrived + 2 * PIECE > grown.len() as u64 * PIECE {
            grown.push(now);
            let to = grown.len() as u64 * PIECE;
            net.nodes[0].endpoint.grow(now, session, to).unwrap();
            if to == len {
                net.nodes[0].endpoint.set_end(now, session, len).unwrap();
            }
        }
        app.serve(net);
        if app.got[0] == len {
            first.get_or_insert(now.since(begin));
        }
        for (n, late) in late.iter().enumerate() {
            let Some(id) = app.ids[n] else { continue };
            while let Some(at) = grown.get(declared[n])
                && now >= *at + *late
            {
                let piece = declared[n] as u64 * PIECE;
                let piece: Range<u64> = piece..piece + PIECE;
                net.nodes[n + 1].endpoint.lack(now, id, &[piece]).unwrap();
                declared[n] += 1;
            }
        }
        !app.done(net)
    });
    assert!(
        done && (0..late.len()).all(|n| outcome(&net, &app, n) == Some(Ok(()))),
        "{:?}",
        app.got
    );
    let sent = net.nodes[0].endpoint.sent(app.session);
    (first.unwrap(), sent.group_bytes, sent.unicast_bytes)
}

/// The group waits for each piece until all have looked at it.
#[test]
fn what_all_lack_goes_by_the_group_though_they_say_so_one_after_the_other() {
    let late = [0, 30, 60].map(Duration::from_millis);
    let (_, group, alone) = copy(6, &late);
    let len = PIECE * 6;
    assert!(group >= len * 9 / 10 && alone < len / 4, "group {group} alone {alone}");
}

/// It waits for one who stays behind once, a second at most, however many pieces there are.
#[test]
fn who_stays_behind_does_not_hold_up_the_others() {
    let late = [0, 0, 4000].map(Duration::from_millis);
    let (time, group, _) = copy(6, &late);
    assert!(time < SECOND * 3 / 2, "{time:?}");
    assert!(group >= PIECE * 6 * 9 / 10, "group {group}");
}

/// Also where there is but one piece, and the group is still to be tried when the first one says so.
#[test]
fn a_short_source_goes_by_the_group_though_not_all_have_looked_at_it_at_once() {
    for late in [[5, 0], [0, 20], [40, 0]] {
        let (time, group, alone) = copy(1, &late.map(Duration::from_millis));
        assert!(group >= PIECE * 8 / 10 && alone < PIECE / 2, "group {group} alone {alone}");
        assert!(time < SECOND, "{time:?}");
    }
}

/// What they hold they may know before its sender has found it: it counts all the same.
#[test]
fn what_is_held_can_be_said_before_it_comes_to_exist() {
    let len = PIECE * 3;
    let (mut net, mut app) = begin(2, len);
    let (session, begin) = (app.session, net.now);
    net.nodes[0].endpoint.grow(begin, session, PIECE).unwrap();
    let mut said = [false; 2];
    let done = net.run(SECOND * 10, |net| {
        let now = net.now;
        app.serve(net);
        for (n, said) in said.iter_mut().enumerate() {
            if let Some(id) = app.ids[n]
                && !std::mem::replace(said, true)
            {
                let endpoint = &mut net.nodes[n + 1].endpoint;
                endpoint.have(now, id, &[PIECE..len]).unwrap();
                endpoint.lack(now, id, &[0..PIECE]).unwrap();
            }
        }
        if app.got == [PIECE; 2] {
            let endpoint = &mut net.nodes[0].endpoint;
            if endpoint.grow(now, session, len).is_ok() {
                endpoint.set_end(now, session, len).unwrap();
            }
        }
        !app.done(net)
    });
    let outcomes = [0, 1].map(|n| outcome(&net, &app, n));
    assert!(done && outcomes == [Some(Ok(())), Some(Ok(()))], "{:?} {outcomes:?}", app.got);
    assert!(net.now.since(begin) < SECOND, "nothing is waited for");
    let sent = net.nodes[0].endpoint.sent(session);
    let all = sent.group_bytes + sent.unicast_bytes;
    assert!(all < PIECE * 3 / 2, "{sent:?}");
}

/// Twelve pieces that exist from the start, of which the source reads one each 200 ms. Receiver `n` declares piece
/// `late[n].0` that much later than that it has the one before the last one, and all others at once. All end well;
/// gives the bytes to the group and to each alone, and when the first one had all.
fn read_slowly(late: &[(usize, Duration)]) -> (u64, u64, Duration) {
    let (pieces, pause) = (12, Duration::from_millis(200));
    let len = PIECE * pieces;
    let (mut net, mut app) = begin(late.len(), len);
    let (session, begin) = (app.session, net.now);
    net.nodes[0].endpoint.grow(begin, session, len).unwrap();
    net.nodes[0].endpoint.set_end(begin, session, len).unwrap();
    let mut asked: Vec<Range<u64>> = Vec::new();
    let mut declared = vec![0; late.len()];
    let mut ready: Vec<Option<Instant>> = vec![None; late.len()];
    let mut first = None;
    let done = net.run(SECOND * 60, |net| {
        let now = net.now;
        while let Some(need) = net.nodes[0].endpoint.next_need(session) {
            asked.push(need);
        }
        asked.retain(|need| {
            let due = now.since(begin) >= pause * (need.start / PIECE) as u32;
            if due {
                let bytes: Vec<u8> = need.clone().map(crate::hand::byte).collect();
                net.nodes[0].endpoint.supply(now, session, need.start, bytes.into());
            }
            !due
        });
        (0..late.len()).for_each(|n| app.take_at(net, n));
        if app.got[0] == len {
            first.get_or_insert(now.since(begin));
        }
        for (n, late) in late.iter().enumerate() {
            let Some(id) = app.ids[n] else { continue };
            while declared[n] < pieces as usize
                && app.got[n] + 2 * PIECE > declared[n] as u64 * PIECE
            {
                let since = *ready[n].get_or_insert(now);
                if late.0 == declared[n] && now < since + late.1 {
                    break;
                }
                let piece = declared[n] as u64 * PIECE;
                let endpoint = &mut net.nodes[n + 1].endpoint;
                endpoint.lack(now, id, &[piece..piece + PIECE]).unwrap();
                if late.0 <= declared[n] {
                    // What has come of it by now it did not know what to do with.
                    endpoint.again(now, id, piece..piece + PIECE).unwrap();
                    app.got[n] = app.got[n].min(piece);
                }
                declared[n] += 1;
                ready[n] = None;
            }
        }
        !app.done(net)
    });
    assert!(done && (0..late.len()).all(|n| outcome(&net, &app, n) == Some(Ok(()))));
    let sent = net.nodes[0].endpoint.sent(session);
    (sent.group_bytes, sent.unicast_bytes, first.unwrap())
}

/// However long all of it takes: the second is one in which the group has nothing else to do.
#[test]
fn a_piece_far_behind_is_waited_for_as_the_first_one_is() {
    let late = [(12, Duration::ZERO), (12, Duration::ZERO), (9, Duration::from_millis(500))];
    let (group, alone, _) = read_slowly(&late);
    assert!(group < PIECE * 13 && alone < PIECE / 2, "group {group} alone {alone}");
}

/// Who needs longer is waited for once, and the others go on.
#[test]
fn a_piece_far_behind_does_not_hold_up_the_others_for_long() {
    let late = [(12, Duration::ZERO), (12, Duration::ZERO), (9, Duration::from_secs(20))];
    let (group, _, time) = read_slowly(&late);
    assert!(group < PIECE * 13, "group {group}");
    assert!(time < Duration::from_millis(3600), "{time:?}");
}

/// A sender that has nothing to say is silent for a second; asked for a sign of life, it gives one in a round trip, also
/// where the question is lost.
#[test]
fn a_silent_sender_that_is_asked_answers() {
    for lost in [0, 1] {
        let (mut net, mut app) = begin(1, PIECE);
        assert!(net.run(SECOND, |net| {
            app.serve(net);
            app.ids[0].is_none()
        }));
        let id = app.ids[0].unwrap();
        let silence = |net: &Net| net.nodes[1].endpoint.silence(net.now, id).unwrap();
        // It is asked by itself every second.
        let silent = net.run(SECOND * 3, |net| {
            app.serve(net);
            silence(net) < SECOND / 2
        });
        assert!(silent && silence(&net) > SECOND / 2, "{:?}", silence(&net));
        let begun = net.now;
        net.nodes[1].endpoint.ping(begun, id);
        let mut left = lost;
        net.path = Box::new(move |now, n, packet| {
            let asks = n == 1 && left > 0;
            left -= usize::from(asks);
            // The sender's own question, which is due at the same moment, is lost with it.
            let dropped = asks || lost > 0 && n == 0 && now == begun;
            if dropped { Vec::new() } else { straight()(now, n, packet) }
        });
        assert!(net.run(SECOND, |net| silence(net) >= net.now.since(begun)));
        let (took, most) = (net.now.since(begun), DELAY * 2 + Duration::from_millis(1));
        assert!(
            if lost == 0 { took <= most } else { took > most && took < SECOND / 2 },
            "{took:?}"
        );
    }
}
