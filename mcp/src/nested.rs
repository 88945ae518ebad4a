//! Paths of one host that a mirror job names: each leads to a place of its own, and none of these is in another one.

use crate::hosts::{self, Target};
use crate::mirror::Fault;
use std::collections::{BTreeMap, HashSet};
use std::ffi::OsStr;
use std::net::Ipv6Addr;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

/// Finds out whether a job brings its tree to these hosts without one place taking what another one has. `source`: the
/// root of the tree as the job keeps it, with a slash behind it if what it holds is meant; `port`: of the hosts that name
/// none, if it is known.
///
/// # Errors
///
/// Two of them are one place, or one is in the other: with `--delete` each would delete what the other has.
pub fn check(source: &Path, hosts: &[String], port: Option<u16>) -> Result<(), Fault> {
    let mut places: BTreeMap<_, Vec<(Vec<String>, &str)>> = BTreeMap::new();
    let mut seen = HashSet::new();
    for text in hosts.iter().filter(|text| seen.insert(text.as_str())) {
        let targets = hosts::parse(text).map_err(|error| Fault::Usage(error.to_string()))?;
        for target in targets {
            let place = place(source, &target);
            let host = (host(&target.host), target.port.or(port));
            places.entry(host).or_default().push((place, text));
        }
    }
    for mut of_host in places.into_values() {
        // Behind a folder stands first what is in it.
        of_host.sort();
        for pair in of_host.windows(2) {
            let [(outer, above), (inner, below)] = pair else { continue };
            if inner.starts_with(outer) {
                return Err(Fault::Usage(why((above, below), inner == outer)));
            }
        }
    }
    Ok(())
}

fn why((above, below): (&str, &str), is_same: bool) -> String {
    if is_same {
        return format!("{above} and {below} are one place of one host: a job names it once");
    }
    format!(
        "{below} leads into {above}: each of the two would delete what the other one has, so a job has no places in each \
         other at a host"
    )
}

/// The folders that lead to what a target has of the tree, from its root on.
fn place(source: &Path, target: &Target) -> Vec<String> {
    let name = source.as_os_str().as_bytes().rsplit(|byte| *byte == b'/').next();
    let name = OsStr::from_bytes(name.unwrap_or_default()).to_string_lossy();
    let parts = target.path.split('/').chain([&*name]);
    parts.filter(|part| !matches!(*part, "" | ".")).map(str::to_owned).collect()
}

/// A host as it is named, in one of the ways in which that is written.
fn host(name: &str) -> String {
    let literal = name.parse::<Ipv6Addr>().map(|ip| ip.to_canonical().to_string());
    literal.unwrap_or_else(|_| name.trim_end_matches('.').to_ascii_lowercase())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(source: &str, hosts: &[&str]) -> Result<(), String> {
        let hosts: Vec<String> = hosts.iter().map(|text| (*text).to_owned()).collect();
        super::check(Path::new(source), &hosts, Some(8737)).map_err(|fault| fault.to_string())
    }

    #[test]
    fn one_place_of_a_host_is_named_once() {
        for pair in [
            ["h:s", "h:./s"],
            ["h:s", "h:/s/"],
            ["h:a/b", "h:a//b/."],
            ["h", "H.:"],
            ["h:s", "h:8737:s"],
            ["[fd77::1]:s", "[fd77:0::1]:s"],
            ["[::ffff:10.0.0.1]:s", "10.0.0.1:s"],
        ] {
            let why = check("/srv/t/", &pair).unwrap_err();
            assert!(why.contains("one place of one host"), "{pair:?}: {why}");
        }
    }

    #[test]
    fn no_place_of_a_host_is_in_another_one() {
        for hosts in [
            &["h:q/sub", "h:q"][..],
            &["h", "h:q"],
            &["h:q", "h:q-2", "h:q/sub"],
            &["h:q/a/b", "other", "h:9:q", "h:8737:q"],
        ] {
            let why = check("/srv/t/", hosts).unwrap_err();
            assert!(why.contains(" leads into h"), "{hosts:?}: {why}");
        }
        let why = check("/srv/t", &["h:q", "h:q/t"]).unwrap_err();
        assert!(why.contains("h:q/t leads into h:q"), "{why}");
    }

    #[test]
    fn places_beside_each_other_are_several() {
        for hosts in [
            &["h:q", "h:q-2", "h:r/q", "h:9:q/sub", "h2:q/sub"][..],
            &["h:q", "h:q"], // it is one, as it was typed
        ] {
            assert_eq!(check("/srv/t/", hosts), Ok(()), "{hosts:?}");
        }
        assert_eq!(check("/srv/t", &["h", "h:q", "h:q/sub"]), Ok(()), "t, q/t and q/sub/t");
    }
}
