//! The layers of the stack: wire ← seal ← proto ← net ← api, each importing only to its left, and
//! the first three without any input or output.

use super::repo::Repo;
use super::{Finding, paths, source};

/// Where the layers are.
const STACK: &str = "stack/src/";
/// From left to right.
const ORDER: [&str; 5] = ["wire", "seal", "proto", "net", "api"];
/// So many of them, from the left, touch no operating system.
const PURE: usize = 3;
/// What every layer may use, and what itself uses no layer.
const SHARED: [&str; 4] = ["config", "error", "stats", "trust"];
/// The only files that lift clippy's ban (`stack/clippy.toml`), for their whole layer.
const MAY_LIFT: [&str; 2] = ["stack/src/net/mod.rs", "stack/src/api/mod.rs"];
/// What the pure layers may not name: anything that reads the world or waits for it.
const IMPURE: [&str; 24] = [
    "std::env",
    "std::fs",
    "std::io::stdin",
    "std::net::TcpListener",
    "std::net::TcpStream",
    "std::net::ToSocketAddrs",
    "std::net::UdpSocket",
    "std::os",
    "std::process",
    "std::sync::Barrier",
    "std::sync::Condvar",
    "std::sync::LazyLock",
    "std::sync::Mutex",
    "std::sync::RwLock",
    "std::sync::mpsc",
    "std::thread",
    "std::time::Instant",
    "std::time::SystemTime",
    "getrandom",
    "libc",
    "mio",
    "parking_lot",
    "quinn_udp",
    "socket2",
];

/// Looks at every source of the stack.
pub(super) fn check(repo: &Repo) -> Vec<Finding> {
    let mut found = Vec::new();
    for (path, text) in repo.rust().filter(|(path, _)| path.starts_with(STACK)) {
        file(path, text, &mut found);
    }
    found
}

/// Looks at one source.
fn file(path: &str, text: &str, found: &mut Vec<Finding>) {
    let inside = &path[STACK.len()..];
    let modules: Vec<&str> =
        inside.trim_end_matches(".rs").split('/').filter(|module| *module != "mod").collect();
    let home = modules.first().copied().unwrap_or_default();
    if home == "lib" {
        return;
    }
    let rank = ORDER.iter().position(|layer| *layer == home);
    if rank.is_none() && !SHARED.contains(&home) {
        found.push(Finding::new(path, 1, format!("`{home}` is neither a layer nor shared")));
        return;
    }
    for name in paths::named(&source::split(text).code) {
        if let Some(target) = target(&name.segments, modules.len())
            && let Some(why) = forbidden(home, rank, target)
        {
            found.push(Finding::new(path, name.line, why));
        }
        let full = name.segments.join("::");
        if rank.is_some_and(|rank| rank < PURE)
            && let Some(what) = impure(&name.segments)
        {
            let why =
                format!("`{full}`: {home} takes part in no I/O, {what} belongs to net or api");
            found.push(Finding::new(path, name.line, why));
        }
        if full.starts_with("clippy::disallowed_") && !MAY_LIFT.contains(&path) {
            let why = format!("`{full}` may be lifted only in {}", MAY_LIFT.join(" and "));
            found.push(Finding::new(path, name.line, why));
        }
    }
}

/// The module below the crate's root that a path leads to, if it leads there.
fn target(segments: &[String], depth: usize) -> Option<&str> {
    if segments[0] == "crate" {
        return segments.get(1).map(String::as_str);
    }
    let ups = segments.iter().take_while(|segment| *segment == "super").count();
    // A nested module, such as the tests, needs more of them for the same; hence names of layers
    // alone count here.
    let target = segments.get(ups).filter(|_| ups >= depth)?;
    ORDER.contains(&target.as_str()).then_some(target)
}

/// Why a file of `home` may not use `target`, if so.
fn forbidden(home: &str, rank: Option<usize>, target: &str) -> Option<String> {
    if SHARED.contains(&target) || target == home {
        return None;
    }
    let Some(there) = ORDER.iter().position(|layer| *layer == target) else {
        return Some(format!("`crate::{target}`: name it by the layer it stands in"));
    };
    match rank {
        Some(here) if there < here => None,
        Some(_) => Some(format!("{home} may not use {target}: {}", ORDER.join(" ← "))),
        None => Some(format!("{home} is shared by all layers and may not use {target}")),
    }
}

/// The forbidden name that a path contains, or could be used to reach.
fn impure(segments: &[String]) -> Option<&'static str> {
    let glob = segments.last().is_some_and(|last| last == "*");
    let plain = &segments[..segments.len() - usize::from(glob)];
    IMPURE.into_iter().find(|name| {
        let parts: Vec<&str> = name.split("::").collect();
        let common = parts.iter().zip(plain).take_while(|(a, b)| a == b).count();
        // The name itself, or its module taken whole (`use std::net;`), which hides what is used.
        common == parts.len() || (common == plain.len() && (glob || common > 1))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(path: &str, text: &str) -> Vec<String> {
        let repo = Repo::of(&[(path, text)]);
        check(&repo).into_iter().map(|f| f.to_string()).collect()
    }

    #[test]
    fn leftwards_and_shared_are_fine() {
        let text = "use crate::{wire::seq::Seq, seal, config::Group, proto::time, stats};\n\
                    use super::super::wire; // crate::net\nfn f() { g(\"crate::api\") }";
        assert_eq!(found("stack/src/proto/conn/mod.rs", text), [""; 0]);
        assert_eq!(found("stack/src/lib.rs", "pub use crate::api::Sender;"), [""; 0]);
        assert_eq!(found("mcp/src/main.rs", "use crate::args; use std::thread;"), [""; 0]);
    }

    #[test]
    fn rightwards_is_not() {
        let one = found("stack/src/wire/seq.rs", "\nuse crate::{error, proto::time::Instant};");
        assert_eq!(
            one,
            ["stack/src/wire/seq.rs:2: wire may not use proto: wire ← seal ← proto ← net ← api"]
        );
        assert_eq!(found("stack/src/net/clock.rs", "crate::api::Sender::new()").len(), 1);
        assert_eq!(found("stack/src/seal/null.rs", "use super::super::net::clock;").len(), 1);
        assert_eq!(found("stack/src/wire/mod.rs", "use super::api;").len(), 1);
        assert_eq!(found("stack/src/stats.rs", "use crate::wire::seq;").len(), 1);
    }

    #[test]
    fn a_name_at_the_root_hides_its_layer() {
        assert_eq!(found("stack/src/proto/rng.rs", "use crate::Sender;").len(), 1);
        assert_eq!(found("stack/src/other.rs", "").len(), 1);
    }

    #[test]
    fn the_pure_layers_touch_no_system() {
        for text in [
            "use std::time::Instant;",
            "use std::{net::{IpAddr, UdpSocket}};",
            "fn f() { std::thread::spawn(g) }",
            "use parking_lot::Mutex;",
            "use std::sync::Mutex;",
            "use std::net;",
            "use std::net::*;",
            "use std::*;",
            "std::env::var(x)",
        ] {
            for layer in ["wire", "seal", "proto"] {
                assert_eq!(found(&format!("stack/src/{layer}/x.rs"), text).len(), 1, "{text}");
            }
            assert_eq!(found("stack/src/net/x.rs", text), [""; 0], "{text}");
        }
        let fine = "use std::{net::{IpAddr, SocketAddr}, sync::Arc, time::Duration, fmt};";
        assert_eq!(found("stack/src/proto/x.rs", fine), [""; 0]);
    }

    #[test]
    fn the_ban_is_lifted_in_two_places_only() {
        let text = "#![allow(clippy::disallowed_methods)]";
        assert_eq!(found("stack/src/net/mod.rs", text), [""; 0]);
        assert_eq!(found("stack/src/net/clock.rs", text).len(), 1);
        assert_eq!(found("stack/src/proto/mod.rs", text).len(), 1);
    }
}
