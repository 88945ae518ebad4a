//! A group that is announced anew.

use super::Session;
use super::tests::{at, establish, new_session, peers};
use crate::config::{Content, Delivery, Group, SessionConfig};
use crate::proto::conn::control::Notice;
use crate::wire::GroupStatus;
use std::net::IpAddr;

const FROM: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(192, 0, 2, 9));

fn group(text: &str) -> Group {
    Group { addr: text.parse().unwrap(), source: None }
}

/// Two members that follow a group, and have its keys.
fn session() -> Session {
    let config = SessionConfig {
        group: Some(group("239.255.1.2:8737")),
        delivery: Delivery::Unordered,
        content: Content::Source { len: Some(1 << 20) },
        ..SessionConfig::default()
    };
    let mut s = new_session(config, &peers(2), 3).unwrap();
    establish(&mut s);
    let Session { members, channels, .. } = &mut s;
    for m in members.iter_mut() {
        channels[0].tell_keys(m);
    }
    s
}

/// A member has acknowledged all of its control conversation.
fn acknowledge(s: &mut Session, index: usize) {
    let control = s.members[index].conn_mut().control_mut();
    while control.take(1 << 20).is_some() {}
    let end = control.out_end();
    control.on_report(end, 1 << 20);
}

#[test]
fn who_has_not_heard_of_it_says_nothing_of_it() {
    let mut s = session();
    let new = group("239.255.1.3:8737");
    s.move_group(new, Some(FROM));
    assert_eq!((s.channels[0].group(), s.descriptor.group), (new, Some(new)));
    assert_eq!(s.descriptor.group_from, Some(FROM));
    acknowledge(&mut s, 1);
    for index in 0..2 {
        assert_eq!(s.members[index].group_status(), GroupStatus::Joining);
        s.on_notice(at(1), index, Notice::Joined);
    }
    assert_eq!(s.members[0].group_status(), GroupStatus::Joining, "that was the old one");
    assert_eq!(s.members[1].group_status(), GroupStatus::Joined);
    s.on_notice(at(1), 0, Notice::CannotJoin("the old one".to_owned()));
    assert_eq!(s.members[0].group_status(), GroupStatus::Joining);
    acknowledge(&mut s, 0);
    s.on_notice(at(2), 0, Notice::Joined);
    assert_eq!(s.members[0].group_status(), GroupStatus::Joined);
}

#[test]
fn what_it_is_already_is_not_announced() {
    let mut s = session();
    acknowledge(&mut s, 0);
    s.move_group(group("239.255.1.2:8737"), None);
    assert!(!s.moved && s.members[0].knows_group());
    assert!(s.members[0].conn().control().all_acked(), "nothing was said");
}

#[test]
fn that_sending_has_begun_is_told_once() {
    let mut s = session();
    assert!(s.takes_begin() && !s.takes_begin());
}
