//! `emulate`: a switch between TAP devices whose cables have a rate, a queue, a delay, and faults.

use anyhow::{Context, Result, bail};
use clap::Parser;
use mcp_cli::signals::Watch;
use netns_tests::emulate::hub::{Counts, Hub};
use netns_tests::emulate::lines::{self, Setting};
use netns_tests::emulate::tap::Taps;
use serde_json::{Value, json};
use std::io::Write as _;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// Carries Ethernet frames between TAP devices over lines that are as slow, long and faulty as is
/// asked for.
///
/// Creates a TAP device for each --tap in its own network namespace and says so on standard
/// output; whoever wants them elsewhere moves them (ip link set NAME netns NS). At its end, by
/// SIGINT, SIGTERM or --for, it prints what happened on every line as JSON.
///
/// A line is described by --line KEY=VALUE,… as often as needed; later ones override earlier ones.
/// Before the keys may stand which lines are meant, as in 2.up:rate=1M or down:loss=1%: ports are
/// counted from 0 in the order of --tap, and without a number all are meant; without up (from the
/// device to the switch) or down (from the switch to the device) both.
/// Keys: rate (100M), delay (10ms), jitter (500us), queue (256K), loss (1%), burst (ENTER/LEAVE:
/// the probabilities of a burst of losses to begin and to end), duplicate (1%), reorder
/// (1%/3ms: so many are held up, and for how long), mark (30000: frames that find more bytes in
/// the queue are marked, RFC 3168), mtu (1400: longer IP packets vanish, each by itself; 1500 is the
/// most). What a device itself has no room for while this process is busy, the system counts: TX
/// dropped of ip -s link, in the namespace where the device is; a longer txqueuelen helps.
#[derive(Debug, Parser)]
#[command(name = "emulate", version)]
struct Args {
    /// Name of a device to create; twice at least.
    #[arg(long = "tap", required = true, value_name = "NAME")]
    taps: Vec<String>,
    /// What a line is like.
    #[arg(long = "line", value_name = "SETTING", value_parser = lines::setting)]
    settings: Vec<Setting>,
    /// Seed of everything that is random.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Ends after so long.
    #[arg(long = "for", value_name = "TIME", default_value = "600s", value_parser = mcp_cli::values::time)]
    lasts: Duration,
}

fn main() -> ExitCode {
    match run(&Args::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("emulate: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(args: &Args) -> Result<()> {
    if args.taps.len() < 2 {
        bail!("a cable has two ends: name two devices at least");
    }
    let ways = lines::ways(args.taps.len(), &args.settings).map_err(anyhow::Error::msg)?;
    let mut hub = Hub::new(&ways, args.seed);
    let watch = Watch::start().context("cannot watch for signals")?;
    let mut taps = Taps::create(&args.taps)
        .context("cannot create a TAP device (it needs /dev/net/tun and CAP_NET_ADMIN)")?;
    let end = Arc::new(AtomicBool::new(false));
    let ended = end.clone();
    watch.on_end(move || ended.store(true, Ordering::Relaxed));
    say(&json!({ "ready": taps.names() }))?;
    taps.run(&mut hub, &end, args.lasts)?;
    let ports = taps.names().into_iter().enumerate().map(|(port, name)| {
        let (up, down) = hub.counts(port);
        json!({ "tap": name, "up": shown(&up), "down": shown(&down) })
    });
    let unasked = taps.unasked;
    say(&json!({
        "ports": ports.collect::<Vec<_>>(),
        "unasked": {
            "dropped": unasked.dropped + hub.exhausted(),
            "to_nobody": unasked.to_nobody,
            "late": unasked.late,
            "latest_us": unasked.latest_us,
        },
    }))
}

fn shown(counts: &Counts) -> Value {
    json!({
        "frames": counts.frames,
        "bytes": counts.bytes,
        "queue_dropped": counts.queue_dropped,
        "lost": counts.lost,
        "too_long": counts.too_long,
        "duplicated": counts.duplicated,
        "marked": counts.marked,
    })
}

fn say(what: &Value) -> Result<()> {
    let mut out = std::io::stdout().lock();
    writeln!(out, "{what}").and_then(|()| out.flush()).context("cannot write to standard output")
}
