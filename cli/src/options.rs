//! The options that every tool has.

use crate::values;
use clap::Args;
use clap::builder::FalseyValueParser;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

/// Options that every tool has. Each can also be given in the environment and in the
/// configuration file, see [`crate::parse`].
#[derive(Debug, Clone, Args)]
pub struct Common {
    /// Say nothing but what went wrong.
    #[arg(short, long, value_parser = FalseyValueParser::new())]
    pub quiet: bool,
    /// Say more; twice: what the transport does.
    #[arg(short, long, action = clap::ArgAction::Count)]
    pub verbose: u8,
    /// Print JSON lines on standard output.
    #[arg(long, value_parser = FalseyValueParser::new())]
    pub json: bool,
    /// Show no progress.
    #[arg(long, value_parser = FalseyValueParser::new())]
    pub no_progress: bool,
    /// Read options from this file: TOML, the keys are the long options' names.
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// The secret that all hosts share: whoever holds it may send to them.
    #[arg(long, value_name = "FILE")]
    pub secret_file: Option<PathBuf>,
    /// Identities and other state stand here [default: /var/lib/mcp for root, else ~/.local/state/mcp].
    #[arg(long, value_name = "DIR")]
    pub state_dir: Option<PathBuf>,
    /// Multicast goes through this interface [default: the one that leads to most hosts].
    #[arg(long, value_name = "NAME")]
    pub interface: Option<String>,
    /// Multicast group [default: a random source-specific one].
    #[arg(long, value_name = "ADDR[:PORT]", value_parser = values::group)]
    pub group: Option<SocketAddr>,
    /// Port of the daemon.
    #[arg(long, default_value_t = values::PORT, value_parser = values::port)]
    pub port: u16,
    /// Routers that multicast may pass, plus one.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=255))]
    pub ttl: u32,
    /// Most that is sent, in bits per second, such as 900M [default: what everybody can take].
    #[arg(long, value_name = "BITS", value_parser = values::rate)]
    pub rate: Option<u64>,
    /// A host that has not answered for so long fails [default: 10s, or at once where nobody listens].
    #[arg(long, value_name = "TIME", value_parser = values::time)]
    pub connect_timeout: Option<Duration>,
    /// Encrypt nothing and ask nobody who it is; both ends must say so.
    #[arg(long, value_parser = FalseyValueParser::new())]
    pub insecure_plaintext: bool,
}

impl Common {
    /// How long a host may take to answer.
    pub fn patience(&self) -> Duration {
        self.connect_timeout.unwrap_or(values::CONNECT_TIMEOUT)
    }
}
