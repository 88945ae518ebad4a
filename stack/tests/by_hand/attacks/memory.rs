//! Somebody finds what a program's memory keeps.

use super::{LEN, Sort, addr, by_secret, group_source, net, tapped};
use crate::hand::App;
use tcpxm::proto::event::Arrival;

/// Datagrams are opened where they were received, and one of control may have the group's key.
#[test]
fn what_control_said_is_not_left_where_it_was_received() {
    let trust = by_secret("s");
    let (tap, path) = tapped();
    let mut net = net(2, &trust.1, path);
    let mut app = App::with(&mut net, group_source(LEN), LEN, trust.0.clone());
    // What is on its way to the first receiver comes a little sooner, and into memory that is looked at.
    let mut control = 0;
    net.run(super::SECOND, |net| {
        app.serve(net);
        for (n, packet) in tap.borrow_mut().drain(..) {
            if n != 1 || Sort::of(&packet) != Sort::Control {
                continue;
            }
            let mut bytes = packet.bytes.clone();
            let (to, stride) = (Some(addr(1).ip()), bytes.len());
            let arrival = Arrival { from: packet.from, to, ifindex: 1, ecn: 0, stride };
            net.nodes[1].endpoint.handle_datagram(net.now, &arrival, &mut bytes);
            control += usize::from(packet.from == addr(0));
            assert!(bytes.iter().all(|byte| *byte == 0), "{} bytes are left", bytes.len());
        }
        !app.done(net)
    });
    assert!(control > 0, "nothing was said");
    assert!(app.finish(&mut net, super::SECOND * 5));
}
