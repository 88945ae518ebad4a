//! Hosts that answer late, and how many must have answered before anything is sent: what the command line says of that.

use clap::Args;
use std::num::NonZeroUsize;
use tcpxm::config::SessionConfig;

#[derive(Debug, Args)]
pub(crate) struct LateHosts {
    /// Hosts that have not answered within --connect-timeout are asked on, every 2 seconds, as long as there are others
    /// to send to; one that answers gets all of it.
    #[arg(long, value_parser = clap::builder::FalseyValueParser::new())]
    pub(crate) late_join: bool,
    /// Begin as soon as N hosts have answered, and not with fewer.
    #[arg(long, value_name = "N")]
    pub(crate) min_hosts: Option<NonZeroUsize>,
}

impl LateHosts {
    /// What is wrong with it where there are so many hosts, if anything is.
    pub(crate) fn fault(&self, hosts: usize) -> Option<String> {
        let wanted = self.min_hosts.filter(|wanted| wanted.get() > hosts)?;
        let there = if hosts == 1 { "1 is given".to_owned() } else { format!("{hosts} are given") };
        Some(format!("--min-hosts {wanted} waits for more hosts than there are: {there}"))
    }

    /// As a session with so many hosts takes it: those of a later try may be fewer than are wanted in all, as may hosts
    /// that have several names. A machine that is just starting says as well that nobody listens there.
    pub(crate) fn apply(&self, session: &mut SessionConfig, hosts: usize) {
        session.late_join = self.late_join;
        session.least_answers = self.min_hosts.map_or(0, NonZeroUsize::get).min(hosts);
        session.give_up_refused &= !self.late_join;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::args::read;

    fn session(line: &str) -> SessionConfig {
        let words = std::iter::once("mcp").chain(line.split_whitespace()).map(Into::into);
        let mut session = SessionConfig::default();
        read(words).unwrap().copy.late_hosts.apply(&mut session, 4);
        session
    }

    #[test]
    fn each_is_one_of_the_session() {
        let usual = session("f h");
        assert!(!usual.late_join && usual.give_up_refused && usual.least_answers == 0);
        let late = session("--late-join --min-hosts 3 f h i j");
        assert!(late.late_join && !late.give_up_refused && late.least_answers == 3);
        let words = ["mcp", "--min-hosts", "5", "f", "h[1-5]"].map(Into::into);
        let five = read(words).unwrap().copy.late_hosts;
        assert_eq!(
            five.fault(4).unwrap(),
            "--min-hosts 5 waits for more hosts than there are: 4 are given"
        );
        assert_eq!(five.fault(5), None);
        let mut few = SessionConfig::default();
        five.apply(&mut few, 4);
        assert_eq!(few.least_answers, 4, "no more can come");
    }
}
