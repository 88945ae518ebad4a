//! The modes of the transport in words that people know; `--json` has the transport's own.

use tcpxm::stats::Mode;

/// How a host's bytes travelled at last, by the mode's name. While the group is tried they go by unicast.
pub(crate) fn way(mode: &'static str) -> &'static str {
    match mode {
        "trial" => "unicast",
        "gone" => "-",
        other => other,
    }
}

/// What happens at that moment.
pub(crate) fn now(mode: Mode) -> &'static str {
    match mode {
        Mode::Trial => "by unicast, trying the group",
        Mode::Multicast => "by multicast",
        Mode::Unicast => "by unicast",
        Mode::Gone => "no longer served",
    }
}

/// What it is from a moment on; why, which is told beside it, says that the group is tried.
pub(crate) fn from_then(mode: Mode) -> &'static str {
    if mode == Mode::Trial { now(Mode::Unicast) } else { now(mode) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_mode_is_told_by_what_only_the_transport_calls_it() {
        for mode in [Mode::Trial, Mode::Multicast, Mode::Unicast, Mode::Gone] {
            for words in [way(mode.name()), now(mode), from_then(mode)] {
                assert!(!words.contains("trial") && !words.contains("gone"), "{words}");
            }
        }
        assert_eq!([Mode::Trial, Mode::Gone].map(|mode| way(mode.name())), ["unicast", "-"]);
    }
}
