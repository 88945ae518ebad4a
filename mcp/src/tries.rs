//! `--retry N`: the hosts that failed are tried again, each time as a copy of its own.

use crate::hosts::Target;
use crate::say::say;
use crate::table::HostRow;
use mcp_cli::signals::Watch;
use std::time::Duration;

/// How long the second try waits: so long systemd does before it starts a daemon that was killed again
/// (`packaging/systemd/mcpd.service`, `RestartSec=`).
const FIRST: Duration = Duration::from_secs(2);
/// The longest wait: a host that is started anew takes about as long.
const LONGEST: Duration = Duration::from_secs(30);

/// How long is waited before try `number` of those after the first, which counts from 1: twice as long each time.
fn wait(number: u32) -> Duration {
    let twice = 1_u32.checked_shl(number.saturating_sub(1)).unwrap_or(u32::MAX);
    FIRST.saturating_mul(twice).min(LONGEST)
}

/// Which hosts are to be tried again. `dry`: one that has told what a copy would change there would say the same.
pub(crate) fn failed(rows: &[HostRow], dry: bool) -> Vec<usize> {
    let again = |row: &HostRow| row.reason.is_some() && !(dry && row.has_told());
    rows.iter().enumerate().filter(|(_, row)| again(row)).map(|(at, _)| at).collect()
}

/// Says that they are, and waits before it; `false` if the copy was interrupted.
pub(crate) fn pause(hosts: usize, (number, of): (u32, u32), quiet: bool, watch: &Watch) -> bool {
    let wait = wait(number);
    if watch.is_ended() {
        return false;
    }
    if !quiet {
        let hosts = if hosts == 1 { "1 host".to_owned() } else { format!("{hosts} hosts") };
        let seconds = wait.as_secs();
        say(format_args!("trying {hosts} again in {seconds} seconds (--retry: {number} of {of})"));
    }
    !watch.wait(wait)
}

/// The hosts of a try.
pub(crate) fn targets(all: &[Target], failed: &[usize]) -> Vec<Target> {
    failed.iter().filter_map(|at| all.get(*at)).cloned().collect()
}

/// Puts what came of a try to what came before. `dry`: nothing was changed.
pub(crate) fn replace(rows: &mut [HostRow], failed: &[usize], again: Vec<HostRow>, dry: bool) {
    for (at, row) in failed.iter().zip(again) {
        if let Some(place) = rows.get_mut(*at) {
            *place = row.after(place.clone(), dry);
        }
    }
}

/// What failed on this side in the end; of each try its hosts, and what did. A later try makes up for it only if it was
/// of all hosts of that one: it was for all of them.
pub(crate) fn failure(tries: &[(usize, Option<String>)]) -> Option<String> {
    let later = tries.iter().skip(1).map(|(hosts, _)| *hosts).chain([0]);
    let stands = tries.iter().zip(later).filter(|((hosts, _), later)| later < hosts);
    stands.map(|((_, why), _)| why).find_map(Clone::clone)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_wait_is_twice_the_one_before_up_to_a_bound() {
        let seconds: Vec<_> = (1..=7).map(|number| wait(number).as_secs()).collect();
        assert_eq!(seconds, [2, 4, 8, 16, 30, 30, 30]);
        assert_eq!(wait(u32::MAX), LONGEST);
    }

    #[test]
    fn those_that_failed_are_replaced_in_their_places() {
        let row = |host: &str, why: Option<&str>| {
            let mut row = HostRow::without_session(host.to_owned(), String::new(), false);
            row.reason = why.map(str::to_owned);
            row
        };
        let mut rows =
            vec![row("a", None), row("b", Some("x")), row("c", None), row("d", Some("y"))];
        let all: Vec<Target> = ["a", "b", "c", "d"]
            .iter()
            .flat_map(|text| crate::hosts::parse(text).unwrap())
            .collect();
        let again = failed(&rows, false);
        let texts: Vec<_> = targets(&all, &again).into_iter().map(|target| target.text).collect();
        assert_eq!(texts, ["b", "d"]);
        replace(&mut rows, &again, vec![row("b", None), row("d", Some("z"))], false);
        assert_eq!(failed(&rows, false), [3]);
        assert_eq!(rows.iter().map(|row| row.tries).collect::<Vec<_>>(), [1, 2, 1, 2]);
        assert_eq!(rows[3].reason.as_deref(), Some("z"));
        let mut told = row("e", Some("z"));
        told.entries = Some(1);
        rows.push(told);
        assert_eq!((failed(&rows, false), failed(&rows, true)), (vec![3, 4], vec![3]));
    }

    #[test]
    fn a_failure_of_this_side_stands_unless_all_of_its_hosts_were_tried_again() {
        for (tries, stands) in [
            (&[(3, None)][..], None),
            (&[(3, Some("a"))], Some("a")),
            (&[(3, Some("a")), (3, None)], None),
            (&[(3, Some("a")), (2, None)], Some("a")),
            (&[(3, Some("a")), (3, Some("b"))], Some("b")),
            (&[(3, Some("a")), (2, Some("b")), (2, None)], Some("a")),
            (&[(3, None), (2, Some("b")), (2, None)], None),
            (&[(3, None), (2, Some("b")), (1, None)], Some("b")),
        ] {
            let all: Vec<_> =
                tries.iter().map(|(hosts, why)| (*hosts, why.map(str::to_owned))).collect();
            assert_eq!(failure(&all).as_deref(), stands, "{tries:?}");
        }
    }
}
