//! Receivers on access points, which send to groups at their basic rate: by unicast they have it in a tenth of the time.

use crate::copy::{Done, copy};
use crate::network::Lab;
use crate::shell::run;

/// What is copied, in bytes: for a second or so by unicast.
const LEN: u64 = 8 << 20;

/// Groups reach each receiver at 6 Mbit/s, and all else at 94. The switch gets what passes in trains, as from the
/// sender's own system.
fn stations(receivers: usize) -> Lab {
    let lab = Lab::bridge(receivers);
    for host in 1..=receivers {
        let class = |id: &str, rate: &str, queue: &str| {
            run(&format!("tc class add dev p{host} parent 1: classid 1:{id} htb rate {rate}"));
            run(&format!("tc qdisc add dev p{host} parent 1:{id} bfifo limit {queue}"));
        };
        run(&format!("tc qdisc add dev p{host} root handle 1: htb default 10"));
        class("10", "94mbit", "500kb");
        class("20", "6mbit", "100kb");
        let group = "protocol ip u32 match ip dst 224.0.0.0/4 flowid 1:20";
        run(&format!("tc filter add dev p{host} parent 1: {group}"));
    }
    lab
}

fn to_all(lab: &Lab, options: &[&str]) -> Done {
    let mut args: Vec<String> = options.iter().map(|&option| option.to_owned()).collect();
    args.push(lab.source(LEN).display().to_string());
    args.extend(lab.all());
    let done = copy(lab, &args);
    done.assert_ok();
    done
}

/// Neither by the group, which would take 11 seconds, nor much longer than without one. How fast the ways are shows in
/// the first datagrams only, and a machine that does all hosts' work may be late with them: of some tries one must show it.
pub(super) fn are_served_by_unicast() {
    const TRIES: usize = 6;
    let lab = stations(2);
    let _daemons = lab.daemons();
    let alone = to_all(&lab, &["--unicast"]);
    let found = (0..TRIES).any(|_| {
        let done = to_all(&lab, &["-I"]);
        eprintln!("two stations: {:?}, by unicast alone {:?}", done.took, alone.took);
        let slower = |host| done.text(host, "mode_reason").starts_with("the group is slower: ");
        done.modes() == ["unicast"; 2] && slower(0) && slower(1)
    });
    assert!(found, "a group at 6 Mbit/s was kept {TRIES} times, where unicast has 94");
}
