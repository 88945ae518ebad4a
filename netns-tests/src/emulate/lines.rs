//! Reads what lines are to be like.

use super::frame;
use super::hub::Way;
use core::time::Duration;
use mcp_cli::values;
use sim::{Link, Loss};

/// A line about which nothing is said: 1 Gbit/s, no delay, a queue of 1 MiB, no faults.
pub fn plain() -> Way {
    let link = Link::lan().rate(1_000_000_000).delay(Duration::ZERO).queue(1 << 20).mtu(LONGEST);
    Way { link, mark_above: None }
}

/// Longest IP packet: what frames have room for beside their header.
const LONGEST: usize = frame::MAX - frame::HEADER;

/// Which lines a word is about, and what it says.
#[derive(Debug, Clone, PartialEq)]
pub struct Setting {
    /// `None`: every port.
    port: Option<usize>,
    up: bool,
    down: bool,
    what: Vec<(String, String)>,
}

/// Reads `[PORT.][up|down:]KEY=VALUE,…`, such as `delay=10ms`, `down:loss=1%` or `2.up:rate=1M`.
pub fn setting(text: &str) -> Result<Setting, String> {
    let (place, keys) = match text.split_once(':') {
        Some((place, keys)) if !place.contains('=') => (place, keys),
        _ => ("", text),
    };
    let (port, way) = match place.split_once('.') {
        Some((port, way)) => (port, way),
        None if place == "*" || place.bytes().all(|b| b.is_ascii_digit()) => (place, ""),
        None => ("", place),
    };
    let port = match port {
        "" | "*" => None,
        port => Some(port.parse().map_err(|_| format!("{port} is not the number of a port"))?),
    };
    let (up, down) = match way {
        "" => (true, true),
        "up" => (true, false),
        "down" => (false, true),
        _ => return Err(format!("{way} is neither up nor down")),
    };
    let mut what = Vec::new();
    for pair in keys.split(',') {
        let (key, value) = pair.split_once('=').ok_or(format!("{pair} is not KEY=VALUE"))?;
        apply(&mut plain(), key, value)?; // so that it is known to make sense
        what.push((key.to_owned(), value.to_owned()));
    }
    let has = |key: &str| what.iter().any(|(k, _)| k == key);
    if has("loss") && has("burst") {
        return Err("a line loses at random (loss) or in bursts (burst)".to_owned());
    }
    Ok(Setting { port, up, down, what })
}

/// The ways of so many ports: up to the switch, and down from it. Later settings override earlier.
pub fn ways(ports: usize, settings: &[Setting]) -> Result<Vec<(Way, Way)>, String> {
    let mut ways = vec![(plain(), plain()); ports];
    for setting in settings {
        if setting.port.is_some_and(|port| port >= ports) {
            return Err(format!("there is no port {}", setting.port.unwrap_or_default()));
        }
        for (port, (up, down)) in ways.iter_mut().enumerate() {
            if setting.port.is_some_and(|only| only != port) {
                continue;
            }
            for (key, value) in &setting.what {
                for (way, wanted) in [(&mut *up, setting.up), (&mut *down, setting.down)] {
                    if wanted {
                        apply(way, key, value)?;
                    }
                }
            }
        }
    }
    Ok(ways)
}

fn apply(way: &mut Way, key: &str, value: &str) -> Result<(), String> {
    let link = &mut way.link;
    match key {
        "rate" => link.rate_bps = values::rate(value)?,
        "delay" => link.delay = time(value)?,
        "jitter" => link.jitter = time(value)?,
        "queue" => link.queue_bytes = bytes(value)?,
        "loss" => link.loss = Loss::Random(share(value)?),
        "burst" => {
            let (enter, leave) = pair(value)?;
            let (p_enter, p_leave) = (share(enter)?, share(leave)?);
            link.loss = Loss::Burst { p_enter, p_leave, p_loss_in_burst: 1.0 };
        }
        "duplicate" => link.duplicate = share(value)?,
        "reorder" => {
            let (p, by) = pair(value)?;
            link.reorder = (share(p)?, time(by)?);
        }
        "mark" => way.mark_above = Some(bytes(value)?),
        "mtu" => link.mtu = bytes(value)?,
        _ => return Err(format!("{key} is not a property of a line")),
    }
    Ok(())
}

fn pair(value: &str) -> Result<(&str, &str), String> {
    value.split_once('/').ok_or(format!("{value} is not two values with a slash between"))
}

/// A probability: a fraction, or percent.
fn share(value: &str) -> Result<f64, String> {
    let (number, unit) = value.strip_suffix('%').map_or((value, 1.0), |number| (number, 0.01));
    let share = number.parse::<f64>().ok().map(|number| number * unit);
    share
        .filter(|share| (0.0..=1.0).contains(share))
        .ok_or(format!("{value} is not a probability such as 0.01 or 1%"))
}

fn bytes(value: &str) -> Result<usize, String> {
    let (number, unit) = match value.char_indices().last() {
        Some((at, 'k' | 'K')) => (&value[..at], 1 << 10),
        Some((at, 'm' | 'M')) => (&value[..at], 1 << 20),
        _ => (value, 1),
    };
    let bytes = number.parse::<usize>().ok().and_then(|number| number.checked_mul(unit));
    bytes.ok_or(format!("{value} is not a number of bytes such as 300000, 256K or 1M"))
}

/// Also in microseconds, and none.
fn time(value: &str) -> Result<Duration, String> {
    if let Some(number) = value.strip_suffix("us") {
        let micros = number.parse().map_err(|_| format!("{value} is not a time"))?;
        return Ok(Duration::from_micros(micros));
    }
    if value == "0" { Ok(Duration::ZERO) } else { values::time(value) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_reach_the_lines_they_name() {
        let read = |text| setting(text).unwrap();
        let all =
            ["*:rate=100M,delay=10ms", "down:loss=1%", "2.up:rate=64k,queue=16K", "1:mark=30000"];
        let ways = ways(3, &all.map(read)).unwrap();
        assert_eq!(ways[0].0.link.rate_bps, 100_000_000);
        assert_eq!((ways[0].0.link.loss, ways[0].1.link.loss), (Loss::None, Loss::Random(0.01)));
        assert_eq!((ways[2].0.link.rate_bps, ways[2].0.link.queue_bytes), (64_000, 16 << 10));
        assert_eq!(ways[2].1.link.rate_bps, 100_000_000);
        assert_eq!((ways[1].0.mark_above, ways[2].0.mark_above), (Some(30_000), None));
        let link =
            super::ways(1, &[read("reorder=2%/3ms,jitter=200us,burst=0.1%/20%,duplicate=1")]);
        let link = link.unwrap()[0].0.link;
        assert_eq!(link.reorder, (0.02, Duration::from_millis(3)));
        assert_eq!((link.jitter, link.duplicate), (Duration::from_micros(200), 1.0));
        assert!((link.loss.mean() - 0.001 / 0.201).abs() < 1e-9);
    }

    #[test]
    fn what_makes_no_sense_is_named() {
        for text in [
            "",
            "rate",
            "rate=fast",
            "speed=1",
            "up",
            "up:",
            "x:rate=1M",
            "1.left:rate=1M",
            "loss=2",
            "loss=-1%",
            "reorder=1%",
            "queue=lots",
            "delay=1parsec",
            "x.up:loss=1%",
            "loss=1%,burst=1%/10%",
        ] {
            assert!(setting(text).is_err(), "{text}");
        }
        assert!(ways(2, &[setting("2:loss=1%").unwrap()]).is_err());
    }
}
