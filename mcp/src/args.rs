//! The command line.

use clap::{Args, Parser, Subcommand};
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;

/// Port of the daemon, and of a group for which no other is given.
pub(crate) const PORT: u16 = 8737;

/// Copies a file to many hosts in the time of one.
#[derive(Debug, Parser)]
#[command(name = "mcp", version, arg_required_else_help = true)]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Copies a file to three receivers in this process, on loopback, and shows how it went.
    Demo(Demo),
}

#[derive(Debug, Args)]
pub(crate) struct Demo {
    /// The file to copy [default: this program itself].
    pub(crate) file: Option<PathBuf>,
    /// Multicast group to copy through [default: a random one in 239.255.0.0/16].
    #[arg(long, env = "MCP_GROUP", value_name = "ADDR[:PORT]", value_parser = group)]
    pub(crate) group: Option<SocketAddr>,
    /// Print JSON lines instead of a table: one object per host, then one summary.
    #[arg(long, env = "MCP_JSON", value_parser = clap::builder::FalseyValueParser::new())]
    pub(crate) json: bool,
}

/// Reads `ADDR` or `ADDR:PORT`; an IPv6 address with a port stands in brackets.
fn group(text: &str) -> Result<SocketAddr, String> {
    let bare = text.strip_prefix('[').and_then(|t| t.strip_suffix(']')).unwrap_or(text);
    let addr = bare
        .parse::<IpAddr>()
        .map(|ip| SocketAddr::new(ip, PORT))
        .or_else(|_| text.parse::<SocketAddr>())
        .map_err(|_| "not an address, nor an address and a port".to_owned())?;
    if !addr.ip().is_multicast() {
        return Err(format!("{} is not a multicast address", addr.ip()));
    }
    if addr.port() == 0 {
        return Err("port 0 cannot be sent to".to_owned());
    }
    Ok(addr)
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_definition_is_sound() {
        Cli::command().debug_assert();
    }

    #[test]
    fn groups_are_read_with_and_without_port() {
        let read = |text| group(text).map(|g| g.to_string());
        assert_eq!(read("239.255.1.2"), Ok("239.255.1.2:8737".to_owned()));
        assert_eq!(read("232.1.2.3:9000"), Ok("232.1.2.3:9000".to_owned()));
        assert_eq!(read("ff15::1"), Ok("[ff15::1]:8737".to_owned()));
        assert_eq!(read("[ff15::1]"), Ok("[ff15::1]:8737".to_owned()));
        assert_eq!(read("[ff15::1]:9"), Ok("[ff15::1]:9".to_owned()));
        for bad in ["", "10.0.0.1", "::1", "239.255.1.2:", "239.255.1.2:0", "group", "[ff15::1"] {
            assert!(group(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn file_and_options_are_taken_in_any_order() {
        let cli = Cli::try_parse_from(["mcp", "demo", "--json", "f", "--group", "239.255.0.1"]);
        let Command::Demo(demo) = cli.unwrap().command;
        assert!(demo.json && demo.group.is_some());
        assert_eq!(demo.file, Some(PathBuf::from("f")));
    }
}
