//! Loss of each handshake message, once and twice.

/// Runs it and checks that exactly so many datagrams were lost: the ones meant.
fn losing(name: &str, count: u64) {
    sim::verify(name, |outcome| assert_eq!(outcome.traffic.lost, count));
}

#[test]
fn syn() {
    losing("lost-syn", 1);
}

#[test]
fn syn_twice() {
    losing("lost-syn-twice", 2);
}

#[test]
fn syn_ack() {
    losing("lost-syn-ack", 1);
}

#[test]
fn syn_ack_twice() {
    losing("lost-syn-ack-twice", 2);
}

#[test]
fn third_message() {
    losing("lost-third", 1);
}

#[test]
fn third_message_twice() {
    losing("lost-third-twice", 2);
}
