//! The tables in `docs/states.md` are those of the code. The document's first lines say how to write
//! it anew.

use super::channel::eviction::{LONGEST, LONGEST_RTTS, PATIENCE, PATIENCE_RTTS};
use super::channel::judge::{
    PERIOD_MIN, PERIOD_QUEUED_RTTS, PERIOD_RTTS, PUBLISHED_BYTES, PUBLISHED_PERCENT,
};
use super::channel::verdict::KEEPS_UP;
use super::channel::worth::WORTH;
use super::conn::{life, state};
use super::member::lag::SELDOM;
use super::member::mode::{
    self, BOOTS, Cause, DEMOTE_SHARE, MOST_SHARED, PROMOTE, RETRY_FIRST, RETRY_MAX, RETRY_SLOWER,
};
use super::member::presence::{self, PATIENCE_MAX, PATIENCE_TIMEOUTS, SAID, Sign};
use super::member::slow::{AWAY, AWAY_MAX};
use super::member::ways::{FASTER, SPEAKS, STAY};
use super::send::scoreboard::{JUDGED, ONE_TRAIN};
use core::fmt::Write as _;

const DOCUMENT: &str = include_str!("../../../docs/states.md");

const HEAD: &str = "# States

Written by the test that holds it to the code, `stack/src/proto/tests_document.rs`; never by hand:

```sh
cargo test -q -p tcpxm --lib tests_document -- --nocapture | sed -n '/^# States/,/^<!-- end/p' > docs/states.md
```
";

fn percent(share: f64) -> String {
    format!("{:.0} %", share * 100.0)
}

/// When a cause is given.
fn when(cause: Cause) -> String {
    let period = format!("max({PERIOD_RTTS} RTT, {PERIOD_QUEUED_RTTS} SRTT, {PERIOD_MIN:?})");
    let (least, share) = PROMOTE;
    match cause {
        Cause::Hears => format!(
            "at least {} heard of at least {least} group packets, of the last {JUDGED}, less \
             the share that unicast loses as well (at most {}); with \
             `Promotion::After75K`: {} KiB sent by unicast, and option 51 at {PUBLISHED_PERCENT} %; \
             and room for the next bytes of a group that others follow",
            percent(share),
            percent(MOST_SHARED),
            PUBLISHED_BYTES >> 10
        ),
        Cause::HearsLittle => {
            let little = percent(DEMOTE_SHARE);
            format!(
                "less than {little} heard of at least {least}, or none of more than {ONE_TRAIN} in a row, for {period}"
            )
        }
        Cause::TimedOut => "each the repetition of another, on its unicast".to_owned(),
        Cause::Slow => format!(
            "it was the slowest for max({PATIENCE_RTTS} RTT, {PATIENCE:?}), the group went on without waiting for it for \
             max({LONGEST_RTTS} SRTT, {LONGEST:?}) at most, and the others then went faster by more than {WORTH}, of which \
             it got less than {}, or its losses are clearly more than theirs, or than a flow of its own could bear; not what \
             is lost in a silence that it was told of, the first in {SELDOM:?}; it leaves the group",
            percent(KEEPS_UP)
        ),
        Cause::Slower => format!(
            "by the first datagrams of both ways, or since half of all it could serve found so within {SPEAKS:?}: unicast \
             is faster by more than {FASTER}; the group is tried again after {RETRY_SLOWER:?}, then after twice as long, and \
             left when {STAY:?} of it brings that much less than unicast did"
        ),
        Cause::Silent => "it is silent (below), and another that follows, or is tried, was heard when it should have \
                          answered; or it is lost; it is tried again as soon as it is heard"
            .to_owned(),
        Cause::NoKey => {
            "the group's new key is in use, and the member has not acknowledged it".to_owned()
        }
        Cause::CannotJoin => "CANNOT_JOIN, or its answer takes no groups".to_owned(),
        Cause::Retry => format!(
            "{RETRY_FIRST:?} after a demotion, then doubled, to {RETRY_MAX:?}; not doubled for one that hears \
             little of an IPv6 group in the first {BOOTS:?} after it has answered: it may just have started; of one that left the \
             group {AWAY:?} after that, doubled up to {AWAY_MAX:?}, if what it gets alone shows that it may keep up"
        ),
        Cause::Ended => "verdict, failure or abort".to_owned(),
    }
}

/// Whether a member is there.
fn presence() -> String {
    let mut out =
        "\n## Whether a member is there\n\nNobody waits for one that is silent or lost.\n\n\
                   | in | on | to | when |\n|---|---|---|---|\n"
            .to_owned();
    for (state, sign, to) in presence::STEPS {
        let when = match sign {
            Sign::Heard => "something sealed came from it".to_owned(),
            Sign::Silence => format!(
                "an answer is due for {PATIENCE_TIMEOUTS} (RTO + ACK delay), {PATIENCE_MAX:?} at most unless one of these is longer"
            ),
            Sign::Absence => format!(
                "nothing heard for `idle_timeout` (10s), or for {SAID:?} since when it is said that nobody is there; not while \
                 it answers whether it has forgotten the session"
            ),
        };
        let _ = writeln!(out, "| {state:?} | {sign:?} | {to:?} | {when} |");
    }
    out
}

fn document() -> String {
    let mut out = HEAD.to_owned();
    out += "\n## Modes of a member\n\nHow its data travels. A member begins in trial if a group is \
            offered, else in unicast; without a\nstep in this table a cause changes nothing.\n\n\
            | from | why | to | when |\n|---|---|---|---|\n";
    for (from, cause, to) in mode::STEPS {
        let (from, why, to) = (from.name(), cause.text(), to.name());
        let _ = writeln!(out, "| {from} | {why} | {to} | {} |", when(*cause));
    }
    out += &presence();
    out += "\n## States of a conversation\n\nData and control each, at either end, as in RFC 9293, \
            3.3.2. An abort leads from every state to Closed;\nany other input without a step in \
            this table changes nothing.\n\n| in | on | to |\n|---|---|---|\n";
    for (state, input, to) in state::STEPS {
        let _ = writeln!(out, "| {state:?} | {input:?} | {to:?} |");
    }
    out += "\n## The handshake\n\nHow far it is, as the keys of an association see it. The initiator begins with \
            SynSent, the responder, which\nkeeps no more than its answer before, with Established. \
            What ends once it is established keeps its keys\nuntil its entry goes; any other input \
            without a step in this table changes nothing.\n\n| in | on | to |\n|---|---|---|\n";
    for (state, input, to) in life::tests::STEPS {
        let _ = writeln!(out, "| {state} | {input} | {to} |");
    }
    out + "\n<!-- end -->\n"
}

#[test]
fn the_document_has_the_tables_of_the_code() {
    let document = document();
    println!("\n{document}");
    assert!(DOCUMENT == document, "docs/states.md is not what the code says; see its first lines");
}
